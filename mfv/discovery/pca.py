"""Principal components."""

import numpy as np
from sklearn.decomposition import PCA


def principal_components(codes: np.ndarray, count: int) -> np.ndarray:
    """Return codes (n, d) in their first components (n, min(count, n, d)) as float32, not whitened.

    Exact: by SVD, or by the covariance where there are many more codes than dimensions. The
    components' signs are fixed, so that the same codes give the same numbers.
    """
    count = min(count, *codes.shape)
    solver = "covariance_eigh" if len(codes) > 10 * codes.shape[1] else "full"
    return PCA(count, svd_solver=solver).fit_transform(codes.astype(np.float64)).astype(np.float32)
