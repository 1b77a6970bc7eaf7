"""Feature importances: permutation importance, on some of the rows that a network was trained on.

With x~_j the row x whose entry j is replaced by the entry of another row drawn at random,

    importance_j = E (f(x~_j) - f(x))^2 / Var f(x),

divided by the sum over j: the permutation importance of Breiman ("Random forests", Machine Learning
45, 2001), with the network in the place of y, or twice the total effect of Homma and Saltelli
(Reliability Engineering & System Safety 52, 1996) where inputs are independent.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._activations.lookup import value_and_slope
from .._data.data import Data
from .._network.derivatives import layer_values

# Maximum and minimum number of rows that are kept, and maximum number of their values: 200 rows
# rank inputs as well as all rows do (docs: Which inputs matter), and with 100,000 inputs ten rows
# still take less memory than the weights.
MAX_SEEN_ROWS, MIN_SEEN_ROWS, MAX_SEEN_VALUES = 200, 10, 200_000

# Maximum number of other rows that each row is paired with, and maximum number of unit values that
# are computed: some 50 ms.
MAX_PARTNERS, MAX_UNIT_VALUES = 10, 4_000_000

# The fractional parts of multiples of the golden ratio are evenly spread, and do not coincide with
# any period that rows may have (Weyl 1916). They take 7 us, a random draw of rows 100 us.
PLACES = np.arange(MAX_SEEN_ROWS) * 1.618033988749895 % 1.0

# Number of values computed at once: 8 MB.
BLOCK_VALUES = 1_000_000


class SeenRows(NamedTuple):
    """Rows of positive weight that a network was trained on."""

    X: Any  # float64, dense or CSR
    weight: np.ndarray

    @classmethod
    def of(cls, data: Data, before: "SeenRows | None" = None) -> "SeenRows":
        """Copy some rows, in the user's units; for `partial_fit` the last rows, with `before`."""
        X, weight = data.X, data.sample_weight
        most = max(MIN_SEEN_ROWS, min(MAX_SEEN_ROWS, MAX_SEEN_VALUES // X.shape[1]))
        rows = np.arange(X.shape[0]) if weight is None else np.flatnonzero(weight > 0)
        if before is None and len(rows) > most:
            rows = rows[(PLACES[:most] * len(rows)).astype(np.intp)]
        rows = rows[-most:]
        X = X[rows].astype(np.float64)
        weight = np.ones(len(rows)) if weight is None else weight[rows]
        if before is not None:
            any_sparse = sparse.issparse(X) or sparse.issparse(before.X)
            stack = partial(sparse.vstack, format="csr") if any_sparse else np.concatenate
            X = stack([before.X, X])[-most:]
            weight = np.concatenate([before.weight, weight])[-most:]
        return cls(X, weight)


def importances_of(fitted: Mapping[str, Any]) -> np.ndarray:
    """Compute `feature_importances_` from fitted attributes, shape (n_features,).

    A file contains no rows, but the importances computed when it was written; an AttributeError is
    raised if it contains none.
    """
    if fitted.get("_seen_rows") is None:
        if fitted.get("_importances") is None:
            raise AttributeError(
                "The network was saved by a release that had no feature_importances_. Fit it again."
            )
        return fitted["_importances"].copy()
    coefs = [coef.astype(np.float64) for coef in fitted["coefs_"]]
    intercepts = [intercept.astype(np.float64) for intercept in fitted["intercepts_"]]
    X, weight = fitted["_seen_rows"]
    n_features = coefs[0].shape[0]
    changes = np.zeros(n_features)
    if X.shape[0] > 1:
        with np.errstate(over="ignore", invalid="ignore"):
            changes = _squared_changes(coefs, intercepts, fitted["_layer_activations"], X, weight)
    total = changes.sum()
    return changes / total if total > 0 else changes


def _squared_changes(coefs, intercepts, activations, X, weight) -> np.ndarray:
    """Sum the squared changes of predictions when an input takes another row's value."""
    (n_rows, n_features), n_units = X.shape, coefs[0].shape[1]
    z = X @ coefs[0] + intercepts[0]
    here = _outputs(z, coefs, intercepts, activations)
    scale = _spread(here, weight)
    n_partners = MAX_UNIT_VALUES // (n_rows * n_features * sum(coef.shape[1] for coef in coefs))
    n_partners = max(1, min(MAX_PARTNERS, n_partners, n_rows - 1))
    order = np.random.RandomState(0).permutation(n_rows)
    here, z, X, weight = here[order], z[order], X[order], weight[order]
    step = max(1, BLOCK_VALUES // (n_rows * n_units))
    changes = np.zeros(n_features)
    for start in range(0, n_features, step):
        inputs = slice(start, start + step)
        values = X[:, inputs].toarray() if sparse.issparse(X) else X[:, inputs]
        for number in range(n_partners):
            shift = 1 + number * (n_rows - 1) // n_partners
            moves = (np.roll(values, shift, axis=0) - values).T  # (inputs, rows)
            moved = z + moves[:, :, np.newaxis] * coefs[0][inputs, np.newaxis]
            outputs = _outputs(moved.reshape(-1, n_units), coefs, intercepts, activations)
            change = (outputs.reshape(*moves.shape, -1) - here) / scale
            # Changes that overflow are replaced by large ones, so that sums of squares stay finite.
            squares = np.clip(np.nan_to_num(change), -1e140, 1e140) ** 2
            pair_weight = weight * np.roll(weight, shift)
            changes[inputs] += squares.sum(axis=2) @ pair_weight
    return changes


def _outputs(z, coefs, intercepts, activations) -> np.ndarray:
    """Return the outputs from the values before the first activation."""
    first, _ = value_and_slope(activations[0], z)
    return layer_values(coefs[1:], intercepts[1:], activations[1:], first)[0][-1]


def _spread(outputs, weight) -> np.ndarray:
    """Return the standard deviation of each output, or 1 where it is constant."""
    deviations = outputs - np.average(outputs, axis=0, weights=weight)
    largest = np.abs(deviations).max(axis=0)
    largest[(largest == 0) | ~np.isfinite(largest)] = 1.0
    spread = largest * np.sqrt(np.average((deviations / largest) ** 2, axis=0, weights=weight))
    return np.where((spread > 0) & np.isfinite(spread), spread, 1.0)
