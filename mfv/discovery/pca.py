"""Principal components of codes."""

import numpy as np

MANY = 5000  # rows from which the covariance's eigenvectors are taken, if they are also twice the columns


def principal_components(codes: np.ndarray, count: int) -> np.ndarray:
    """Return the codes' coordinates along their `count` main directions, (n, count) float32.

    Not whitened. Each direction points to where its largest loading is positive. There are at most
    min(n, d) of them, so of fewer images or numbers come fewer columns.
    """
    from sklearn.decomposition import PCA

    codes = np.asarray(codes, dtype=np.float32)
    centred = codes - codes.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = float(np.abs(centred).max(initial=0)) or 1.0  # of the fit, in which squares must not overflow
    rows, columns = centred.shape
    solver = "covariance_eigh" if rows >= max(MANY, 2 * columns) else "full"
    pca = PCA(n_components=min(count, rows, columns), svd_solver=solver)
    with np.errstate(invalid="ignore", divide="ignore"):  # its shares of the variance, where there is none
        pca.fit(centred / scale)
    return np.ascontiguousarray(centred @ upright(pca.components_).T, dtype=np.float32)


def upright(directions: np.ndarray) -> np.ndarray:
    """Return the directions (k, d), each turned to where its largest loading is positive."""
    largest = np.abs(directions).argmax(axis=1)
    return directions * np.where(directions[np.arange(len(directions)), largest] < 0, -1, 1)[:, None]
