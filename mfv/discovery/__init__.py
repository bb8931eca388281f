"""Facet discovery: from the codes of a unit's images to clusters and a 2-D map."""

from mfv.discovery.attribution import AttributionTSNE
from mfv.discovery.checks import check_codes
from mfv.discovery.consensus import ConsensusTSNE
from mfv.discovery.density import HDBSCANMap
from mfv.discovery.facets import exemplars, facet_members, mean_image
from mfv.discovery.kmeans import KMeansResult, kmeans
from mfv.discovery.pca import principal_components
from mfv.discovery.plain import KMeans, PCAKMeans
from mfv.discovery.refinement import Refinement
from mfv.discovery.tsne import TSNEKMeans

__all__ = [
    "AttributionTSNE",
    "ConsensusTSNE",
    "HDBSCANMap",
    "KMeans",
    "KMeansResult",
    "PCAKMeans",
    "Refinement",
    "TSNEKMeans",
    "check_codes",
    "exemplars",
    "facet_members",
    "kmeans",
    "mean_image",
    "principal_components",
]
