"""The IRLS surrogate of a loss: weighted least squares, which has an evidence.

Let a row's loss have the slope s and the expected curvature c with respect to its prediction f. To
first order the weights that minimise the mean loss are those of weighted least squares on the
working response

    y* = f - s / c        with the weights c

(for robust losses Huber, "Robust statistics", 1981, section 7.6; for deviances Fisher scoring,
McCullagh and Nelder, "Generalized linear models", 1989, section 2.5). So the evidence is computed
for the working response: beta is estimated from its residuals s / c, as with normal noise, and A =
beta sum (c / h) j j^T + diag(alpha), with h the mean of c.

The loss itself is multiplied by beta / h in S. Then the curvature of S is the variance of its
gradient, as of a log likelihood (Lyddon, Holmes and Walker, "General Bayesian updating and the
loss-likelihood bootstrap", Biometrika 106, 2019); for a Poisson or Gamma deviance beta / h is the
reciprocal of Pearson's estimate of the dispersion.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._losses.loss import quantiles
from .._objective.objective import Objective

# Probability of |z| < 1 and median of |z| for a standard normal z.
WITHIN_ONE, NORMAL_MEDIAN = 0.6826895, 0.6744898

# Minimum of 1 - leverage.
LEAST_FREE = 1e-8

# Minimum noise as a share of the spread of y. With more weights than rows all residuals, and with
# them each scale, can be zero; the weights then depend on rounding.
LEAST_NOISE = 1e-3

# Maximum number of rows per parameter with which the leverage of each row is computed.
LEVERAGE_ROWS = 20


class Surrogate(NamedTuple):
    """Weighted least squares with the slopes and curvatures of a loss."""

    objective: Objective  # with the curvatures, relative to their mean, as further weights
    errors: np.ndarray  # (n_outputs,) half the weighted sum of squared working residuals
    mean_curvature: float  # h


def surrogate(objective: Objective, theta, residuals=None) -> Surrogate:
    """Return the surrogate at theta; for squared errors the objective itself.

    If leave-one-out `residuals` are given, the curvature is computed at these.
    """
    if objective.loss.least_squares:
        return Surrogate(objective, objective.errors(theta), 1.0)
    samples = objective.training
    loss, weight, y = objective.loss, samples.weight, samples.y
    f = predictions(objective, theta)
    curvature = loss.expected_curvature(y, f if residuals is None else y - residuals, weight)
    slope = loss.slope(y, f)
    mean_curvature = float(np.average(curvature, axis=0, weights=weight).mean())
    squares = slope**2 / (curvature * mean_curvature)
    errors = 0.5 * (squares.sum(axis=0) if weight is None else weight @ squares)
    relative = curvature / mean_curvature
    if np.any(relative != 1.0):
        objective = replace(objective, training=replace(samples, curvature=relative))
    return Surrogate(objective, errors, mean_curvature)


def log_likelihood_change(objective: Objective, theta, errors, beta, mean_curvature) -> float:
    """Compute the log likelihood of a deviance minus that of its working residuals, else 0.

    The normal density of working residuals, sum_r 1/2 log(beta / 2 pi) - beta E, has a different
    scale at each theta, so that networks cannot be compared by it. The extended quasi-likelihood
    with the dispersion h / beta replaces it (Nelder and Pregibon, "An extended quasi-likelihood
    function", Biometrika 74, 1987, eq. 5; without the terms that depend on y alone),

        sum_r 1/2 log(beta / (2 pi h)) - beta / h times the loss.
    """
    loss, samples = objective.loss, objective.training
    if not loss.deviance:
        return 0.0
    values = loss.value(samples.y, predictions(objective, theta))
    totals = values.sum(axis=0) if samples.weight is None else samples.weight @ values
    n = samples.weight_sum * len(beta)
    change = beta @ errors - (beta / mean_curvature) @ totals
    return float(change - 0.5 * n * np.log(mean_curvature))


def one_minus_leverages(objective: Objective, theta, precision, beta, gamma) -> np.ndarray | None:
    """Compute 1 - leverage of each row, (n_samples, n_outputs); None for losses without a scale.

    The leverage is beta j A^-1 j^T; with many rows it is approximated by its mean.
    """
    if objective.loss.with_scale is None:
        return None
    samples, n_outputs = objective.training, objective.n_outputs
    mean_leverage = float(gamma.sum()) / (n_outputs * samples.weight_sum)
    free = np.full(samples.y.shape, 1.0 - mean_leverage)
    if samples.n_samples <= LEVERAGE_ROWS * theta.size:
        plain = replace(samples, weight=None, curvature=None)
        for block in replace(objective, training=plain).linearise(theta):
            free[block.rows] = 1.0 - (beta * precision.variances(objective.network, block).T)
    return np.maximum(free, LEAST_FREE)


def leave_one_out_residuals(objective: Objective, theta, free, mean_curvature) -> np.ndarray | None:
    """Compute the leave-one-out residual of each row; None where `free` is None.

    With the leverage h a row moves its own prediction by h / (1 - h) times its working residual:
    for squared errors the result is r / (1 - h) (Cook and Weisberg, "Residuals and influence in
    regression", 1982, section 2.2; for other losses Beirami et al., "On optimal generalizability in
    parametric learning", 2017). A scale estimated from training residuals went to zero, step by
    step, because rows of high leverage have residuals near zero. So did a scale corrected by the
    mean leverage, because the other rows then look like outliers.
    """
    if free is None:
        return None
    y, f = objective.training.y, predictions(objective, theta)
    working = -objective.loss.slope(y, f) / mean_curvature
    return (y - f) + (1.0 - free) / free * working


def recentred(objective: Objective, theta, residuals) -> np.ndarray:
    """Shift output intercepts of a nonsmooth loss to minimise the loss of leave-one-out residuals.

    A network that has overfitted is closer to training rows than to new ones, so that a quantile
    covers too few of the new ones. Return theta where there is no intercept, or where the output
    activation is not the identity at the predictions.
    """
    bias = objective.network.architecture.bias
    if residuals is None or not (objective.loss.nonsmooth and bias):
        return theta
    shift = objective.loss.best_constant(residuals, objective.training.weight)
    moved = theta.copy()
    moved[-len(shift) :] += shift
    change = objective.predict(moved) - objective.predict(theta)
    scale = np.abs(objective.training.y).max()
    return moved if np.allclose(change, shift, rtol=0.0, atol=1e-9 * scale) else theta


def with_scale(objective: Objective, theta, residuals) -> Objective:
    """Return the objective with the loss's scale estimated from `residuals`, or at theta."""
    if objective.loss.with_scale is None:
        return objective
    y = objective.training.y
    if residuals is None:
        residuals = y - objective.predict(theta)
    least = LEAST_NOISE * spread(objective)
    residuals = np.copysign(np.maximum(np.abs(residuals), least), residuals)
    return objective.with_scale(y - residuals)


def most_beta(objective: Objective, mean_curvature: float) -> float:
    """Return the maximum of beta, from `LEAST_NOISE` and the loss's minimum dispersion h / beta.

    For squared errors it is infinite.
    """
    loss = objective.loss
    if loss.least_squares:
        return np.inf
    most = 1.0 / (LEAST_NOISE * spread(objective)) ** 2
    return min(most, mean_curvature / loss.least_dispersion) if loss.least_dispersion else most


def spread(objective: Objective) -> float:
    """Compute a robust standard deviation of y, from its median absolute deviation.

    Where half of the rows are equal it is the ordinary standard deviation.
    """
    y, weight = objective.training.y.astype(np.float64), objective.training.weight
    middle = quantiles(y, 0.5, weight)
    sizes = quantiles(np.abs(y - middle), 0.5, weight)
    if (sizes > 0.0).all():
        return float(np.mean(sizes)) / NORMAL_MEDIAN
    return float(np.sqrt(objective.variance()))


def predictions(objective: Objective, theta) -> np.ndarray:
    """Predict, above zero where the loss requires it."""
    f = objective.predict(theta)
    return np.maximum(f, np.finfo(float).tiny) if objective.loss.positive else f


def noise_std(objective: Objective, theta, gamma) -> np.ndarray | None:
    """Compute the standard deviation of long-tailed noise, (n_outputs,).

    It is the standard deviation of normal noise with the same 68% quantile of absolute residuals.
    None for squared errors, where beta determines it, and for losses that are not a location
    family.
    """
    loss, samples = objective.loss, objective.training
    if loss.least_squares or not loss.location_family:
        return None
    sizes = np.abs(samples.y - objective.predict(theta))
    within = quantiles(sizes, WITHIN_ONE, samples.weight)
    n, n_effective = samples.weight_sum, float(gamma.sum()) / objective.n_outputs
    least = np.finfo(float).tiny
    return np.maximum(within * np.sqrt(n / max(n - n_effective, 1.0)), least)
