"""Stacking: weights that minimise the out-of-fold loss, and the mixture distribution they define.

With weights w_m, means f_m and variances v_m at some x the mixture has (law of total variance)

    f = sum w_m f_m,    v = sum w_m (v_m + (f_m - f)^2),

the uncertainty of each member and their disagreement.
"""

import numpy as np
from scipy.optimize import minimize, nnls

# Weight of the constraint that weights sum to 1, against residuals of size 1.
SUM_TO_ONE_WEIGHT = 100.0

# Weights are shrunk towards equal weights, with this times the lowest mean squared error over
# sqrt(n) as penalty, which falls with the number of rows (Breiman, "Stacked regressions", Machine
# Learning 24, 1996, without the shrinkage).
SHRINKAGE = 3.0

# Candidates with an error below this share of the variance of y count as equally good.
MIN_ERROR = 1e-12

# A smaller weight is set to zero, and with many candidates any weight below half an equal weight:
# it would cost time in each prediction and gain nothing.
MIN_WEIGHT = 0.03

# Number of rows whose errors are factorised at a time, so that no copy of all errors is made.
FACTORISED_ROWS = 10_000


def mixture(weights, means, variances) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance; `means` and `variances` have the members on their first axis."""
    mean = np.tensordot(weights, means, axes=1)
    return mean, np.tensordot(weights, variances + (means - mean) ** 2, axes=1)


def least_squares_weights(predictions, y, sample_weight) -> np.ndarray:
    """Return the weights, summing to 1, that minimise the squared error.

    `predictions` are out-of-fold predictions of shape (n_candidates, n_samples, n_outputs), and
    `y` is of shape (n_samples, n_outputs).
    """
    n_candidates = len(predictions)
    scale = np.std(y, axis=0)
    scale = np.where(scale > 0.0, scale, 1.0)
    share = np.sqrt(sample_weight / sample_weight.sum() / y.shape[1])[:, None]
    # E of shape (n_samples n_outputs, n_candidates) has the squared error |E w|^2 = |R w|^2, where
    # E = Q R.
    factor = np.empty((0, n_candidates))
    for start in range(0, len(y), FACTORISED_ROWS):
        rows = slice(start, start + FACTORISED_ROWS)
        errors = (predictions[:, rows] - y[rows]) / scale * share[rows]
        block = errors.reshape(n_candidates, -1).T
        factor = np.linalg.qr(np.vstack([factor, block]), mode="r")
    least = max(np.min(np.sum(factor**2, axis=0)), MIN_ERROR)
    n_samples = np.count_nonzero(sample_weight)
    shrinkage = np.sqrt(SHRINKAGE * least / np.sqrt(n_samples))
    sums = np.full(n_candidates, SUM_TO_ONE_WEIGHT)
    matrix = np.vstack([factor, sums, shrinkage * np.eye(n_candidates)])
    equal = np.full(n_candidates, shrinkage / n_candidates)
    target = np.concatenate([np.zeros(len(factor)), [SUM_TO_ONE_WEIGHT], equal])
    return _without_small(nnls(matrix, target)[0])


def least_loss_weights(loss, predictions, y, sample_weight) -> np.ndarray:
    """Return the weights, summing to 1, that minimise the mean of a loss other than squared error.

    If the loss has a scale, it is estimated from the residuals of the equally weighted mean.
    """
    n_candidates = len(predictions)
    equal = np.full(n_candidates, 1.0 / n_candidates)
    if n_candidates == 1:
        return equal
    loss = rescaled(loss, y, np.tensordot(equal, predictions, axes=1), sample_weight)
    unit = excess_loss(loss, y, best_constant(loss, y, sample_weight), sample_weight)
    unit = unit if unit > 0.0 else 1.0
    least = min(excess_loss(loss, y, mean, sample_weight) for mean in predictions) / unit
    n_samples = np.count_nonzero(sample_weight)
    shrinkage = SHRINKAGE * max(least, MIN_ERROR) / np.sqrt(n_samples)
    share = (sample_weight / sample_weight.sum() / y.shape[1])[:, None]

    def value_gradient(weights):
        mean = np.tensordot(weights, predictions, axes=1)
        value = excess_loss(loss, y, mean, sample_weight) / unit
        slopes = loss.slope(y, mean) * share / unit
        gradient = np.tensordot(predictions, slopes, axes=2)
        off = weights - equal
        return value + shrinkage * off @ off, gradient + 2.0 * shrinkage * off

    found = minimize(
        value_gradient,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n_candidates,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
    )
    return _without_small(found.x if np.isfinite(found.x).all() else equal)


def best_constant(loss, y, sample_weight) -> np.ndarray:
    """Return the constant that minimises the loss, of the shape of y."""
    return np.broadcast_to(loss.best_constant(y, sample_weight), y.shape)


def rescaled(loss, y, predictions, sample_weight):
    """Return the loss with the scale of these residuals, if it is smooth and has a scale."""
    if loss.with_scale is None or loss.nonsmooth:
        return loss
    return loss.with_scale(y, predictions, sample_weight, 1.0)


def excess_loss(loss, y, predictions, sample_weight) -> float:
    """Return the mean loss minus the mean loss of predictions without error."""
    exact = np.maximum(y, np.finfo(float).tiny) if loss.positive else y
    return float(loss.mean(y, predictions, sample_weight) - loss.mean(y, exact, sample_weight))


def _without_small(weights) -> np.ndarray:
    weights[weights < min(MIN_WEIGHT, 0.5 / len(weights)) * weights.sum()] = 0.0
    return weights / weights.sum()
