"""How much each input matters to a fitted network, on some of the rows that it was given.

An input that matters changes the predictions where it takes the values of other rows. With x~_j the
row x whose entry j is that of another row drawn at random,

    importance_j = E (f(x~_j) - f(x))^2 / Var f(x),

then divided by the sum over j: the permutation importance of Breiman ("Random forests", Machine
Learning 45, 2001), with the network in the place of y, or twice the total effect of Homma and
Saltelli (Reliability Engineering & System Safety 52, 1996) where inputs are independent.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .._activations.lookup import value_and_slope
from .._data.data import Data
from .._network.derivatives import layer_values

# Rows that are kept, and numbers: 200 rows rank inputs as well as all do (docs: Which inputs
# matter), and 100,000 inputs with their ten rows still take less memory than their weights.
MOST_ROWS, LEAST_ROWS, MOST_NUMBERS = 200, 10, 200_000

# Each row meets up to so many others, as long as no more values of units than this are computed:
# some 50 ms.
PARTNERS, UNIT_VALUES = 10, 4_000_000

# The fractions of multiples of the golden ratio lie evenly, and in step with no period that rows
# may have (Weyl 1916). To draw rows takes 100 us, a fifth of a short fit; this takes 7.
PLACES = np.arange(MOST_ROWS) * 1.618033988749895 % 1.0

# Numbers that are worked on at once: 8 MB.
NUMBERS = 1_000_000


class SeenRows(NamedTuple):
    """Copies of rows and their weights, in the order in which they came."""

    parts: tuple[tuple[Any, np.ndarray | None], ...]  # X dense or CSR

    @classmethod
    def of(cls, data: Data, earlier: "SeenRows | None" = None) -> "SeenRows":
        """Keep some rows of a fit, or the last ones that `partial_fit` was given.

        Parameters
        ----------
        data : Data
            In the units of the user.
        earlier : SeenRows, default=None
            With `partial_fit`: those it kept before.
        """
        n_rows, most = data.X.shape[0], _most_rows(data.X.shape[1])
        if earlier is not None:
            rows = slice(max(0, n_rows - most), None)
        elif n_rows > most:
            rows = _spread_out(n_rows, most, data.sample_weight)
        else:
            rows = slice(None)
        weight = data.sample_weight
        parts = [(_copied(data.X, rows), None if weight is None else _copied(weight, rows))]
        n_kept = parts[0][0].shape[0]
        for part in reversed(() if earlier is None else earlier.parts):
            if n_kept >= most:
                break
            parts.append(part)
            n_kept += part[0].shape[0]
        return cls(tuple(reversed(parts)))

    def joined(self) -> tuple[Any, np.ndarray]:
        """Give X and the weights; rows without weight are left out."""
        any_sparse = any(sparse.issparse(X) for X, _ in self.parts)
        stack = sparse.vstack if any_sparse else np.concatenate
        X = stack([X for X, _ in self.parts]).astype(np.float64)
        weight = np.concatenate(
            [np.ones(X.shape[0]) if weight is None else weight for X, weight in self.parts]
        )
        seen = weight > 0
        return (X.tocsr() if sparse.issparse(X) else X)[seen], weight[seen]


def importances_of(fitted: Mapping[str, Any]) -> np.ndarray:
    """Compute `feature_importances_` from fitted attributes, shape (n_features,).

    What came from a file has no rows, but what was computed when it was written.

    Raises
    ------
    AttributeError
        When a file has neither.
    """
    if fitted.get("_seen_rows") is None:
        if fitted.get("_importances") is None:
            raise AttributeError("A file from before there were feature_importances_ has none.")
        return fitted["_importances"].copy()
    coefs = [coef.astype(np.float64) for coef in fitted["coefs_"]]
    intercepts = [intercept.astype(np.float64) for intercept in fitted["intercepts_"]]
    X, weight = fitted["_seen_rows"].joined()
    n_features = coefs[0].shape[0]
    changes = np.zeros(n_features)
    if X.shape[0] > 1:
        with np.errstate(over="ignore", invalid="ignore"):
            changes = _squared_changes(coefs, intercepts, fitted["_layer_activations"], X, weight)
    total = changes.sum()
    return changes / total if total > 0 else changes


def _squared_changes(coefs, intercepts, activations, X, weight) -> np.ndarray:
    """Sum the squared changes of predictions where an input is that of another row."""
    (n_rows, n_features), n_units = X.shape, coefs[0].shape[1]
    z = X @ coefs[0] + intercepts[0]
    here = _outputs(z, coefs, intercepts, activations)
    scale = _spread(here, weight)
    n_partners = UNIT_VALUES // (n_rows * n_features * sum(coef.shape[1] for coef in coefs))
    n_partners = max(1, min(PARTNERS, n_partners, n_rows - 1))
    order = np.random.RandomState(0).permutation(n_rows)
    here, z, X, weight = here[order], z[order], X[order], weight[order]
    step = max(1, NUMBERS // (n_rows * n_units))
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
            # A change beyond all numbers is a large one; sums of its square still are numbers.
            squares = np.clip(np.nan_to_num(change), -1e140, 1e140) ** 2
            of_pairs = weight * np.roll(weight, shift)
            changes[inputs] += squares.sum(axis=2) @ of_pairs
    return changes


def _outputs(z, coefs, intercepts, activations) -> np.ndarray:
    """Give the outputs of a network from the values before the first activation."""
    first, _ = value_and_slope(activations[0], z)
    return layer_values(coefs[1:], intercepts[1:], activations[1:], first)[0][-1]


def _spread(outputs, weight) -> np.ndarray:
    """Give the standard deviation of each output, or 1 where it is constant."""
    deviations = outputs - np.average(outputs, axis=0, weights=weight)
    largest = np.abs(deviations).max(axis=0)
    largest[(largest == 0) | ~np.isfinite(largest)] = 1.0
    spread = largest * np.sqrt(np.average((deviations / largest) ** 2, axis=0, weights=weight))
    return np.where((spread > 0) & np.isfinite(spread), spread, 1.0)


def _most_rows(n_features) -> int:
    return max(LEAST_ROWS, min(MOST_ROWS, MOST_NUMBERS // n_features))


def _copied(array, rows):
    if isinstance(rows, slice):
        return array[rows].copy()
    return array.take(rows, axis=0) if isinstance(array, np.ndarray) else array[rows]


def _spread_out(n_rows, size, weight) -> np.ndarray:
    """Choose rows that have weight, the same ones each time."""
    places = PLACES[:size]
    if weight is None:
        return (places * n_rows).astype(np.intp)
    with_weight = np.flatnonzero(weight > 0)
    if len(with_weight) <= size:
        return with_weight
    return with_weight[(places * len(with_weight)).astype(np.intp)]
