"""temporary"""
from dataclasses import dataclass
import numpy as np
from sklearn.manifold import TSNE; from sklearn.decomposition import PCA; from sklearn.cluster import KMeans
from mfv.structures import Clustering
@dataclass(frozen=True)
class TSNEKMeans:
    components:int=50
    def __call__(self,codes,facets,seed):
        z=TSNE(2,perplexity=30,random_state=seed).fit_transform(PCA(50).fit_transform(codes))
        km=KMeans(facets,n_init=10,random_state=seed).fit(z)
        o=np.argsort(-np.bincount(km.labels_),kind='stable'); r=np.empty(facets,int); r[o]=np.arange(facets)
        return Clustering(r[km.labels_],np.linalg.norm(z-km.cluster_centers_[km.labels_],axis=1),z.astype(np.float32),{"method":"tmp"})
