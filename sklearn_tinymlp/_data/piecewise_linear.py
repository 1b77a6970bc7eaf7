"""Quantiles of columns, and ramps between them."""

import numpy as np


def quantiles(X, shares, sample_weight=None) -> np.ndarray:
    """Return the least value of each column that this share of the weight does not exceed.

    A row of weight 2 counts as two rows, and one of weight 0 as none.
    """
    weight = np.ones(len(X)) if sample_weight is None else sample_weight.astype(np.float64)
    X, weight = X[weight > 0.0], weight[weight > 0.0]
    order = np.argsort(X, axis=0, kind="stable")
    total = np.cumsum(weight[order], axis=0)
    at = [np.argmax(total >= share * total[-1], axis=0) for share in shares]
    return np.take_along_axis(X, np.take_along_axis(order, np.array(at), axis=0), axis=0)


def bin_edges(X, n_bins, sample_weight=None) -> list[np.ndarray]:
    """Return the distinct quantiles of each column, least and greatest value included."""
    edges = quantiles(X, np.linspace(0.0, 1.0, n_bins + 1), sample_weight)
    return [np.unique(column) for column in edges.T]


def ramps(X, edges) -> np.ndarray:
    """Compute the ramps of all columns, from the edges of each."""
    return np.hstack(
        [_ramps(column[:, np.newaxis], e) for column, e in zip(X.T, edges, strict=True)]
    )


def n_ramps(edges) -> list[int]:
    """Return the number of ramps of each column: one for a constant."""
    return [max(len(e) - 1, 1) for e in edges]


def ramp_names(names, edges) -> list[str]:
    """Return the name of each ramp: that of its column and a number from 0."""
    numbers = n_ramps(edges)
    return [f"{name}_{k}" for name, n in zip(names, numbers, strict=True) for k in range(n)]


def _ramps(column, edges):
    if len(edges) < 2:
        return column - edges[0]
    position = (column - edges[:-1]) / np.diff(edges)
    last = position.shape[1] - 1
    position[:, 1:] = np.maximum(position[:, 1:], 0.0)
    position[:, :last] = np.minimum(position[:, :last], 1.0)
    return position
