"""Any loss as weighted least squares, so that the evidence can judge it.

Let a row's loss have the slope s by its prediction f, and let c be the curvature that is to be
expected. To first order the weights of the least mean loss are those of weighted least squares on
the working response

    y* = f - s / c        with the weights c

(for robust losses Huber, "Robust statistics", 1981, section 7.6; for deviances Fisher scoring,
McCullagh and Nelder, "Generalized linear models", 1989, section 2.5). So the evidence is that of
the working response: its residuals s / c tell beta, as those of a normal noise do, and
A = beta sum (c / h) j j^T + diag(alpha), with h the mean of c.

The loss itself then counts beta / h times in S. That is the strength at which the curvature of S is
the variance of its gradient, as it is of the logarithm of a likelihood (Lyddon, Holmes and Walker,
"General Bayesian updating and the loss-likelihood bootstrap", Biometrika 106, 2019), and for a
Poisson or Gamma deviance 1 over Pearson's estimate of the dispersion.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._losses.loss import quantiles
from .._objective.objective import Objective

# Share of a normal distribution within one standard deviation.
WITHIN_ONE = 0.6826895

# Median size of a standard normal number.
NORMAL_MEDIAN = 0.6744898

# Share of an observation that is left for the noise at least.
LEAST_FREE = 1e-8

# Noise of a thousandth of the spread of y is taken for granted. Where weights are more than rows
# all residuals can be zero, and with them each scale; what then tells the weights is rounding.
LEAST_NOISE = 1e-3

# Rows for each parameter up to which each row's leverage is computed.
LEVERAGE_ROWS = 20


class Surrogate(NamedTuple):
    """Weighted least squares with the slopes and curvatures of a loss."""

    objective: Objective  # whose rows and outputs have the curvature, relative to its mean
    errors: np.ndarray  # (n_outputs,) half the weighted sum of squared working residuals
    mean_curvature: float  # h


def surrogate(objective: Objective, theta, residuals=None) -> Surrogate:
    """Return what the evidence reads at theta; of squared errors the objective itself.

    `residuals` are the leave-one-out ones, of which the curvature is taken where they are known.
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
    if np.all(relative == 1.0):
        return Surrogate(objective, errors, mean_curvature)
    weighted = replace(samples, curvature=relative)
    return Surrogate(replace(objective, training=weighted), errors, mean_curvature)


def log_likelihood_change(objective: Objective, theta, errors, beta, mean_curvature) -> float:
    """Compute what the log likelihood of a deviance is beyond that of its working residuals.

    The normal density of working residuals, sum_r 1/2 log(beta / 2 pi) - beta E, has another scale
    at each theta, so that networks could not be compared by it. In its place stands the extended
    quasi-likelihood with the dispersion h / beta (Nelder and Pregibon, "An extended
    quasi-likelihood function", Biometrika 74, 1987, eq. 5; without what depends on y alone),

        sum_r 1/2 log(beta / (2 pi h)) - beta / h times the loss.

    0 for other losses.
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
    """Compute 1 - h of each row, (n_samples, n_outputs); None for losses without a scale.

    h = beta j A^-1 j^T is the leverage of a row. Of many rows the leverages are small, and their
    mean is taken.
    """
    if objective.loss.with_scale is None:
        return None
    samples, n_outputs = objective.training, objective.n_outputs
    n_determined = float(gamma.sum())
    free = np.full(samples.y.shape, 1.0 - n_determined / (n_outputs * samples.weight_sum))
    if samples.n_samples <= LEVERAGE_ROWS * theta.size:
        plain = replace(samples, weight=None, curvature=None)
        for block in replace(objective, training=plain).linearise(theta):
            free[block.rows] = 1.0 - (beta * precision.variances(objective.network, block).T)
    return np.maximum(free, LEAST_FREE)


def leave_one_out_residuals(objective: Objective, theta, free, mean_curvature) -> np.ndarray | None:
    """Compute the residual that each row would have without it; None where `free` is None.

    A row moves its own prediction by h / (1 - h) times its working residual: of squared errors this
    is r / (1 - h) (Cook and Weisberg, "Residuals and influence in regression", 1982, section 2.2;
    for other losses Beirami et al., "On optimal generalizability in parametric learning", 2017).
    What follows the few weights that it determines has hardly any residual, and rows gather at a
    kink: a scale taken from residuals as they are went to zero, step by step. Corrected by their
    mean leverage it did too, for the other rows then look like outliers.
    """
    if free is None:
        return None
    y, f = objective.training.y, predictions(objective, theta)
    working = -objective.loss.slope(y, f) / mean_curvature
    return (y - f) + (1.0 - free) / free * working


def recentred(objective: Objective, theta, residuals) -> np.ndarray:
    """Move the output's intercept to the least loss of the leave-one-out residuals.

    A network that has learned a part of the noise lies closer to the rows trained on than to
    others, and a quantile then holds too few of these. theta itself where there is no intercept,
    or where the output activation bends it.
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
    """Return the objective whose loss has its scale from residuals; those at theta where None."""
    if objective.loss.with_scale is None:
        return objective
    y = objective.training.y
    if residuals is None:
        residuals = y - objective.predict(theta)
    least = LEAST_NOISE * spread(objective)
    residuals = np.copysign(np.maximum(np.abs(residuals), least), residuals)
    return objective.with_scale(y - residuals)


def most_beta(objective: Objective, mean_curvature: float) -> float:
    """Return the greatest beta: none but that of the evidence itself for squared errors.

    Of a loss whose dispersion h / beta has a lower bound it is what that allows.
    """
    loss = objective.loss
    if loss.least_squares:
        return np.inf
    most = 1.0 / (LEAST_NOISE * spread(objective)) ** 2
    return min(most, mean_curvature / loss.least_dispersion) if loss.least_dispersion else most


def spread(objective: Objective) -> float:
    """Compute the spread of y that a few rows far off do not change: the median distance from it.

    The standard deviation where half of the rows are alike.
    """
    y, weight = objective.training.y.astype(np.float64), objective.training.weight
    middle = quantiles(y, 0.5, weight)
    sizes = quantiles(np.abs(y - middle), 0.5, weight)
    if (sizes > 0.0).all():
        return float(np.mean(sizes)) / NORMAL_MEDIAN
    return float(np.sqrt(objective.variance()))


def predictions(objective: Objective, theta) -> np.ndarray:
    """Predict; above zero where the loss needs it."""
    f = objective.predict(theta)
    return np.maximum(f, np.finfo(float).tiny) if objective.loss.positive else f


def noise_std(objective: Objective, theta, gamma) -> np.ndarray | None:
    """Compute the noise's standard deviation of each output where residuals have long tails.

    It is that of a normal noise with as many residuals within it. None for squared errors, whose
    beta tells it, and where residuals are not those of a noise about the middle.
    """
    loss, samples = objective.loss, objective.training
    if loss.least_squares or not loss.location_family:
        return None
    sizes = np.abs(samples.y - objective.predict(theta))
    within = quantiles(sizes, WITHIN_ONE, samples.weight)
    n, n_determined = samples.weight_sum, float(gamma.sum()) / objective.n_outputs
    least = np.finfo(float).tiny
    return np.maximum(within * np.sqrt(n / max(n - n_determined, 1.0)), least)
