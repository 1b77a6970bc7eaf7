"""Whether residuals still depend on the inputs: a smoother with leave-one-out errors.

Kernel ridge regression of the residuals on the inputs, with a linear kernel and Gaussian ones of
three widths, each at five ridges. With K = Q diag(l) Q^T the smoother is
H = Q diag(l / (l + ridge)) Q^T, and its leave-one-out residual is (r - H r)_i / (1 - H_ii) (Wahba,
"Spline models for observational data", 1990, section 4.2), at the cost of one fit. The best of the
twenty is compared with the best for residuals in random orders.
"""

import numpy as np
from scipy import sparse
from scipy.spatial.distance import cdist

# Maximum and minimum number of rows examined: an eigendecomposition for 300 rows takes some 20 ms.
MOST_ROWS, LEAST_ROWS = 300, 12

# Widths of the kernels, in root mean square distances of standardised rows.
WIDTHS = (0.05, 0.2, 0.8)
RIDGES = (0.01, 0.1, 1.0, 10.0, 100.0)

# With more columns all rows are about equally far apart.
MOST_COLUMNS = 500

# Number of random orders. The share predicted for the residuals must exceed the largest share
# predicted for random orders by twice the standard deviation of these shares.
N_ORDERS = 20


def residual_pattern(X, residuals, most_rows=MOST_ROWS) -> np.ndarray:
    """Compute the share of the variance of residuals that a smoother predicts, leave-one-out.

    It is 0 where it may be due to chance, and NaN where it cannot be computed; shape (n_outputs,).
    """
    unknown = np.full(residuals.shape[1], np.nan)
    if X.shape[1] > MOST_COLUMNS or not np.isfinite(residuals).all():
        return unknown
    rng = np.random.RandomState(0)
    rows = np.arange(len(residuals))
    if len(rows) > 4 * most_rows:
        rows = rng.choice(rows, 4 * most_rows, replace=False)
    X = X[rows].toarray() if sparse.issparse(X) else X[rows]
    scale = X.std(axis=0)
    X = (X - X.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    if not X.shape[1] or not np.isfinite(X).all():
        return unknown
    # Duplicated rows would leak the residual.
    _, first = np.unique(np.round(X, 9), axis=0, return_index=True)
    first = rng.permutation(first)[:most_rows]
    if len(first) < LEAST_ROWS:
        return unknown
    X, residuals = X[first], residuals[rows[first]]
    centred = residuals - residuals.mean(axis=0)
    size = np.sqrt(np.mean(centred**2, axis=0))
    centred = centred / np.where(size > 0, size, 1.0)
    orders = [rng.permutation(len(X)) for _ in range(N_ORDERS)]
    columns = np.hstack([centred, *(centred[order] for order in orders)])
    shares = _predicted_shares(X, columns).reshape(1 + N_ORDERS, -1)
    found, chance = shares[0], shares[1:]
    beyond = found > chance.max(axis=0) + 2.0 * chance.std(axis=0)
    return np.where(beyond & (size > 0), np.maximum(found, 0.0), 0.0)


def _predicted_shares(X, columns) -> np.ndarray:
    """Compute the share of each column's variance that the best smoother predicts."""
    best = np.full(columns.shape[1], -np.inf)
    distances = cdist(X, X, "sqeuclidean") / (2.0 * X.shape[1])
    for width in (None, *WIDTHS):
        kernel = X @ X.T / X.shape[1] if width is None else np.exp(-0.5 * distances / width**2)
        values, vectors = np.linalg.eigh(kernel + 1.0)  # with a constant
        values = np.maximum(values, 0.0)
        coefs = vectors.T @ columns
        for ridge in RIDGES:
            shrinkage = values / (values + ridge)
            free = 1.0 - (vectors**2) @ shrinkage
            loo = (columns - vectors @ (shrinkage[:, None] * coefs)) / free[:, None]
            best = np.maximum(best, 1.0 - np.mean(loo**2, axis=0))
    return best
