"""Discovery: the kinds of images that a unit fires for, found among their codes.

A method is anything that takes codes (n, d), a number of facets and a seed, and returns a `Clustering`.
"""

from mfv.discovery.facets import exemplars, facet_members, mean_image
from mfv.discovery.flat import KMeans, PCAKMeans
from mfv.discovery.kmeans import kmeans
from mfv.discovery.pca import principal_components
from mfv.discovery.selection import Selection
from mfv.discovery.tsne import TSNEKMeans

__all__ = [
    "KMeans",
    "PCAKMeans",
    "Selection",
    "TSNEKMeans",
    "exemplars",
    "facet_members",
    "kmeans",
    "mean_image",
    "principal_components",
]
