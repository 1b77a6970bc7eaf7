"""Whether residuals still depend on the inputs: kernel ridge regression with leave-one-out errors.

The regression of the residuals on the inputs (`kernel_ridge`) is compared with regressions of the
residuals in random orders.
"""

import numpy as np
from scipy import sparse

from .._training.kernel_ridge import ridge_by_kernel

# Maximum and minimum number of rows examined: some 50 ms for 300 rows.
MOST_ROWS, LEAST_ROWS = 300, 12

# With more columns all rows are about equally far apart.
MOST_COLUMNS = 500

# Minimum number of outputs in random order. The share predicted for the residuals must exceed the
# largest share predicted for random orders by twice the standard deviation of these shares.
N_SHUFFLED = 20


def residual_pattern(X, residuals, most_rows=MOST_ROWS) -> np.ndarray:
    """Compute the share of the variance of residuals that a regression predicts, leave-one-out.

    It is 0 where it may be due to chance, and NaN where it cannot be computed; shape (n_outputs,).
    """
    unknown = np.full(residuals.shape[1], np.nan)
    if X.shape[1] > MOST_COLUMNS or not np.isfinite(residuals).all():
        return unknown
    rng = np.random.RandomState(0)
    rows = rng.permutation(len(residuals))[: 4 * most_rows]
    X = X[rows].toarray() if sparse.issparse(X) else X[rows]
    scale = X.std(axis=0)
    X = (X - X.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    if not X.shape[1] or not np.isfinite(X).all():
        return unknown
    # One row of each X, at random: others would leak the residual, and where inputs are held for
    # some time the first row is not like the others.
    _, first = np.unique(np.round(X, 9), axis=0, return_index=True)
    first = rng.permutation(first)[:most_rows]
    if len(first) < LEAST_ROWS:
        return unknown
    X, residuals = X[first], residuals[rows[first]]
    n_orders = -(-N_SHUFFLED // residuals.shape[1])
    orders = [np.arange(len(X)), *(rng.permutation(len(X)) for _ in range(n_orders))]
    columns = np.hstack([residuals[order] for order in orders])
    by_kernel = ridge_by_kernel(X, columns, np.ones(len(X)), len(X))
    squares = [min(np.mean(r.errors**2) for r in of_column) for of_column in by_kernel]
    variance = np.var(columns, axis=0)
    shares = 1.0 - squares / np.where(variance > 0.0, variance, np.inf)
    shares = np.where(variance > 0.0, shares, 0.0).reshape(len(orders), -1)
    found, chance = shares[0], shares[1:]
    beyond = found > chance.max() + 2.0 * chance.std()
    return np.where(beyond, np.maximum(found, 0.0), 0.0)
