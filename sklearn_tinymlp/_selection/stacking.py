"""Stacking: weights that minimise the out-of-fold loss, and the mixture distribution they define.

With weights w_m, means f_m and variances v_m at some x the mixture has (law of total variance)

    f = sum w_m f_m,    v = sum w_m (v_m + (f_m - f)^2),

the uncertainty of each member and their disagreement.
"""

import numpy as np
from scipy.optimize import minimize

from .._machine.threads import single_threaded_blas

# Weights are shrunk towards equal weights: the penalty |w - 1/m|^2 has this times the lowest mean
# loss over n as factor, as if that many rows were predicted best by equal weights (Breiman,
# "Stacked regressions", Machine Learning 24, 1996, without the shrinkage).
SHRINKAGE = 10.0

# Candidates with a loss below this share of the constant's count as equally good.
MIN_LOSS = 1e-12

# A smaller weight is set to zero, and with many candidates any weight below half an equal weight:
# it would cost time in each prediction and gain nothing.
MIN_WEIGHT = 0.03


def weighted_mean(weights, values) -> np.ndarray:
    """Average over the first axis; not by BLAS, whose threads would round it differently."""
    return np.einsum("m,m...->...", weights, values)


def mixture(weights, means, variances) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance; `means` and `variances` have the members on their first axis."""
    mean = weighted_mean(weights, means)
    return mean, weighted_mean(weights, variances + (means - mean) ** 2)


@single_threaded_blas()
def stacking_weights(loss, predictions, y, sample_weight) -> np.ndarray:
    """Return the weights, not negative and summing to 1, that minimise the mean loss.

    `predictions` are out-of-fold predictions of shape (n_candidates, n_samples, n_outputs), `y` is
    of shape (n_samples, n_outputs), and the sum of `sample_weight` is the number of rows. If the
    loss has a scale, it is estimated from the residuals of the equally weighted mean.
    """
    n_candidates = len(predictions)
    equal = np.full(n_candidates, 1.0 / n_candidates)
    if n_candidates == 1:
        return equal
    if loss.least_squares:  # outputs of any units
        scale = np.std(y, axis=0)
        scale = np.where(scale > 0.0, scale, 1.0)
        predictions, y = predictions / scale, y / scale
    loss = rescaled(loss, y, weighted_mean(equal, predictions), sample_weight)
    predictions_of_constant = loss.constant_predictions(y, sample_weight)
    constant = excess_loss(loss, y, predictions_of_constant, sample_weight)
    least = min(excess_loss(loss, y, mean, sample_weight) for mean in predictions)
    unit = max(least, MIN_LOSS * constant, np.finfo(float).tiny)
    shrinkage = SHRINKAGE / sample_weight.sum()
    share = loss.factor(y.shape[1]) * (sample_weight / sample_weight.sum())[:, None]

    def value_gradient(weights):
        mean = weighted_mean(weights, predictions)
        value = excess_loss(loss, y, mean, sample_weight) / unit
        gradient = np.einsum("mno,no->m", predictions, loss.slope(y, mean) * share / unit)
        off = weights - equal
        return value + shrinkage * off @ off, gradient + 2.0 * shrinkage * off

    found = minimize(
        value_gradient,
        equal,
        jac=True,
        method="SLSQP",
        options={"ftol": 1e-12},  # copies of rows and their weights agree
        bounds=[(0.0, 1.0)] * n_candidates,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
    )
    weights = found.x if np.isfinite(found.x).all() else equal
    weights[weights < min(MIN_WEIGHT, 0.5 / n_candidates) * weights.sum()] = 0.0
    return weights / weights.sum()


def order_of_members(weights, n_members) -> list[int]:
    """Return which candidate each of `n_members` is trained for, one of each weighted one first.

    The variance of the ensemble over random starts is the sum of w_m^2 / k_m, with k_m members of
    candidate m, if it is the same for each. One more lowers it by w_m^2 / (k_m (k_m + 1)); each
    member is for the candidate where this is largest (Neyman allocation).
    """
    weights = np.asarray(weights)
    order = np.flatnonzero(weights > 0.0).tolist()
    while order and len(order) < n_members:
        numbers = np.maximum(np.bincount(order, minlength=len(weights)), 1)
        order.append(int(np.argmax(weights**2 / (numbers * (numbers + 1)))))
    return order


def rescaled(loss, y, predictions, sample_weight):
    """Return the loss with the scale of these residuals, if it is smooth and has a scale."""
    if loss.with_scale is None or loss.nonsmooth:
        return loss
    return loss.with_scale(y, predictions, sample_weight, 1.0)


def excess_loss(loss, y, predictions, sample_weight) -> float:
    """Return the mean loss minus the mean loss of predictions without error."""
    exact = np.maximum(y, np.finfo(float).tiny) if loss.positive else y
    return float(loss.mean(y, predictions, sample_weight) - loss.mean(y, exact, sample_weight))
