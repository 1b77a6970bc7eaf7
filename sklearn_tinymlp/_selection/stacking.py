"""Weights of candidates: of the least loss on rows left out, shrunk towards equal ones."""

import numpy as np
from scipy.optimize import minimize, nnls

# The weight of the sum of weights being 1, against residuals of size 1.
SUM_IS_ONE = 100.0

# How much is shrunk: this times the least mean squared error over sqrt(n). As if weights were equal
# beforehand, and less so the more rows there are (Breiman, "Stacked regressions", Machine Learning
# 24, 1996, without the shrinking).
SHRINKAGE = 3.0

# Of candidates without error all are as good.
LEAST_ERROR = 1e-12

# A candidate of less weight costs time in each prediction and brings nothing; or of less than half
# an equal weight, where candidates are many.
LEAST_WEIGHT = 0.03

# Rows whose errors are worked on at once, so that no copy of all of them is made.
BLOCK = 10_000


def stacked(predictions: np.ndarray, y: np.ndarray, sample_weight: np.ndarray) -> np.ndarray:
    """Give weights that sum to 1 of the least squared error.

    Parameters
    ----------
    predictions : ndarray of shape (n_candidates, n_samples, n_outputs)
        Each row by members that have not seen it.
    y : ndarray of shape (n_samples, n_outputs)
    sample_weight : ndarray of shape (n_samples,)
    """
    n_candidates = len(predictions)
    scale = np.std(y, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    share = np.sqrt(sample_weight / sample_weight.sum() / y.shape[1])[:, None]
    # E of shape (n_samples n_outputs, n_candidates) has the squared error |E w|^2, and so has R of
    # its factors, E = Q R.
    factor = np.empty((0, n_candidates))
    for start in range(0, len(y), BLOCK):
        rows = slice(start, start + BLOCK)
        errors = (predictions[:, rows] - y[rows]) / scale * share[rows]
        block = errors.reshape(n_candidates, -1).T
        factor = np.linalg.qr(np.vstack([factor, block]), mode="r")
    least = max(np.min(np.sum(factor**2, axis=0)), LEAST_ERROR)
    n_samples = np.count_nonzero(sample_weight)
    shrinkage = np.sqrt(SHRINKAGE * least / np.sqrt(n_samples))
    matrix = np.vstack(
        [factor, np.full(n_candidates, SUM_IS_ONE), shrinkage * np.eye(n_candidates)]
    )
    target = np.concatenate(
        [np.zeros(len(factor)), [SUM_IS_ONE], np.full(n_candidates, shrinkage / n_candidates)]
    )
    return _without_the_least(nnls(matrix, target)[0])


def stacked_by(loss, predictions, y, sample_weight) -> np.ndarray:
    """Give weights that sum to 1 of the least mean of another loss than the squared error.

    Its scale, if it has one, is that of the residuals of the plain mean.
    """
    n_candidates = len(predictions)
    equal = np.full(n_candidates, 1.0 / n_candidates)
    if n_candidates == 1:
        return equal
    loss = at_scale(loss, y, np.tensordot(equal, predictions, axes=1), sample_weight)
    unit = loss_left(loss, y, constant_of(loss, y, sample_weight), sample_weight)
    unit = unit if unit > 0.0 else 1.0
    least = min(loss_left(loss, y, of_one, sample_weight) for of_one in predictions) / unit
    n_samples = np.count_nonzero(sample_weight)
    shrinkage = SHRINKAGE * max(least, LEAST_ERROR) / np.sqrt(n_samples)
    share = (sample_weight / sample_weight.sum() / y.shape[1])[:, None]

    def value_gradient(weights):
        mean = np.tensordot(weights, predictions, axes=1)
        value = loss_left(loss, y, mean, sample_weight) / unit
        slopes = loss.slope(y, mean) * share / unit
        gradient = np.tensordot(predictions, slopes, axes=2)
        off = weights - equal
        return value + shrinkage * off @ off, gradient + 2.0 * shrinkage * off

    sums_to_one = {"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like}
    found = minimize(
        value_gradient,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n_candidates,
        constraints=sums_to_one,
    )
    return _without_the_least(found.x if np.isfinite(found.x).all() else equal)


def constant_of(loss, y, sample_weight) -> np.ndarray:
    """Give the best constant for each row."""
    return np.broadcast_to(loss.best_constant(y, sample_weight), y.shape)


def at_scale(loss, y, predictions, sample_weight):
    """Give a loss with the scale of residuals, where it has one; kinks stay as they are."""
    if loss.with_scale is None or loss.nonsmooth:
        return loss
    return loss.with_scale(y, predictions, sample_weight, 1.0)


def loss_left(loss, y, predictions, sample_weight) -> float:
    """Give the mean loss above that of predictions without error."""
    exact = np.maximum(y, np.finfo(float).tiny) if loss.positive else y
    return float(loss.mean(y, predictions, sample_weight) - loss.mean(y, exact, sample_weight))


def _without_the_least(weights) -> np.ndarray:
    weights[weights < min(LEAST_WEIGHT, 0.5 / len(weights)) * weights.sum()] = 0.0
    return weights / weights.sum()
