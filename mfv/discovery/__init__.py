"""Facet discovery: from the codes of a unit's images to clusters and a 2-D map."""

from typing import TYPE_CHECKING

from mfv.libraries import on_first_use

if TYPE_CHECKING:
    from mfv.discovery.attribution import AttributionTSNE
    from mfv.discovery.checks import check_codes
    from mfv.discovery.consensus import ConsensusTSNE
    from mfv.discovery.density import HDBSCANMap
    from mfv.discovery.facets import exemplars, facet_members, mean_image
    from mfv.discovery.partition import KMeansResult, kmeans
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

_HOMES = {
    "AttributionTSNE": "mfv.discovery.attribution",
    "ConsensusTSNE": "mfv.discovery.consensus",
    "HDBSCANMap": "mfv.discovery.density",
    "KMeans": "mfv.discovery.plain",
    "KMeansResult": "mfv.discovery.partition",
    "PCAKMeans": "mfv.discovery.plain",
    "Refinement": "mfv.discovery.refinement",
    "TSNEKMeans": "mfv.discovery.tsne",
    "check_codes": "mfv.discovery.checks",
    "exemplars": "mfv.discovery.facets",
    "facet_members": "mfv.discovery.facets",
    "kmeans": "mfv.discovery.partition",
    "mean_image": "mfv.discovery.facets",
    "principal_components": "mfv.discovery.pca",
}

# What is said of wrong settings needs neither PyTorch nor scikit-learn.
__getattr__ = on_first_use(__name__, _HOMES)
