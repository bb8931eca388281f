"""Facet discovery: from the codes of a unit's images to clusters and a 2-D map."""

from mfv.discovery.attribution import AttributionTSNE as AttributionTSNE
from mfv.discovery.checks import check_codes as check_codes
from mfv.discovery.consensus import ConsensusTSNE as ConsensusTSNE
from mfv.discovery.density import HDBSCANMap as HDBSCANMap
from mfv.discovery.facets import exemplars as exemplars
from mfv.discovery.facets import facet_members as facet_members
from mfv.discovery.facets import mean_image as mean_image
from mfv.discovery.kmeans import KMeansResult as KMeansResult
from mfv.discovery.kmeans import kmeans as kmeans
from mfv.discovery.pca import principal_components as principal_components
from mfv.discovery.plain import KMeans as KMeans
from mfv.discovery.plain import PCAKMeans as PCAKMeans
from mfv.discovery.refinement import Refinement as Refinement
from mfv.discovery.tsne import TSNEKMeans as TSNEKMeans
