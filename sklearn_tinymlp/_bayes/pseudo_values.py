"""Any loss as least squares of pseudo-values, so that the evidence can judge it.

Let a row's loss have the slope s by its prediction f, and let c be the curvature that is to be
expected. To first order the weights of the least mean loss are those of weighted least squares on

    y* = f - s / c        with the weights c

(for robust losses Huber, "Robust statistics", 1981, section 7.6; for deviances the working response
of Fisher scoring, McCullagh and Nelder, "Generalized linear models", 1989, section 2.5). So the
evidence is that of these pseudo-values: their residuals s / c tell beta, as those of a normal noise
do, and A = beta sum (c / h) j j^T + diag(alpha), with h the mean of c.

The loss itself then counts beta / h times in S. That is the strength at which the curvature of S is
the variance of its gradient, as it is of the logarithm of a likelihood (Lyddon, Holmes and Walker,
"General Bayesian updating and the loss-likelihood bootstrap", Biometrika 106, 2019), and for a
Gamma deviance 1 over Pearson's estimate of the dispersion.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from .._engine.objective import Objective, read_only
from .._engine.second_order import residual_jacobian
from .._losses.loss import quantiles

# Share of a normal distribution within one standard deviation.
WITHIN_ONE = 0.6826895

# Median size of a standard normal number.
NORMAL_MEDIAN = 0.6744898

# Share of an observation that is left for the noise at least.
LEAST_FREE = 1e-8

# Noise of a thousandth of the spread of y is taken for granted. Where weights are more than rows
# all residuals can be zero, and with them each scale; what then tells the weights is rounding.
LEAST_NOISE = 1e-3

# Rows for each parameter up to which each row's leverage is computed, and rows at once.
LEVERAGE_ROWS, JACOBIAN_ROWS = 20, 1024


class LeastSquaresLike(NamedTuple):
    """Least squares with the curvature of a loss."""

    objective: Objective  # whose rows have the curvature as weight
    errors: np.ndarray  # (n_outputs,) half the weighted sum of squares of the pseudo-residuals
    stiffness: float  # h, the mean curvature


def least_squares_like(objective: Objective, theta, residuals=None) -> LeastSquaresLike:
    """Give what the evidence reads at theta; of squared errors the objective itself.

    `residuals` are the left-out ones, of which the curvature is taken where they are known.
    """
    if objective.loss.least_squares:
        return LeastSquaresLike(objective, objective.errors(theta), 1.0)
    samples = objective.training
    loss, weight, y = objective.loss, samples.weight_or_none, samples.y
    f = predictions(objective, theta)
    curvature = loss.expected_curvature(y, f if residuals is None else y - residuals, weight)
    slope = loss.slope(y, f)
    stiffness = float(np.average(curvature, axis=0, weights=weight).mean())
    squares = slope**2 / (curvature * stiffness)
    weights = np.ones(len(y)) if weight is None else weight
    errors = 0.5 * weights @ squares
    relative = curvature[:, 0] / stiffness  # of one output, as `Plan` sees to
    if np.all(relative == 1.0):
        return LeastSquaresLike(objective, errors, stiffness)
    weighted = read_only(np.ascontiguousarray(weights * relative))
    samples = replace(samples, weight=weighted)  # as many observations as before
    return LeastSquaresLike(replace(objective, training=samples), errors, stiffness)


def stiffness_of(objective: Objective, theta) -> float:
    """Give the mean curvature alone."""
    return least_squares_like(objective, theta).stiffness


def free_shares(objective: Objective, theta, precision, beta, n_determined) -> np.ndarray | None:
    """Give 1 - h of each row, of shape (n_samples, 1); None for losses without a scale.

    h = beta j A^-1 j^T is the leverage of a row. Of many rows the leverages are small, and their
    mean is taken.
    """
    if objective.loss.adapted is None:
        return None
    n_rows = objective.training.n_samples
    free = np.full((n_rows, 1), 1.0 - n_determined / objective.training.weight_sum)
    if n_rows <= LEVERAGE_ROWS * theta.size:
        for start in range(0, n_rows, JACOBIAN_ROWS):
            rows = slice(start, min(start + JACOBIAN_ROWS, n_rows))
            some = objective.on_rows(rows)
            some = replace(some, training=replace(some.training, weight=np.empty(0)))
            spread = precision.whiten(residual_jacobian(some, theta)[1][0])
            free[rows, 0] = 1.0 - beta * np.einsum("pr,pr->r", spread, spread)
    return np.maximum(free, LEAST_FREE)


def left_out_residuals(objective: Objective, theta, free, stiffness) -> np.ndarray | None:
    """Give the residual that each row would have if it were left out; None where `free` is None.

    A row moves its own prediction by h / (1 - h) times its pseudo-residual: of squared errors this
    is r / (1 - h) (Cook and Weisberg, "Residuals and influence in regression", 1982, section 2.2;
    for other losses Beirami et al., "On optimal generalizability in parametric learning", 2017).
    What follows the few weights that it determines has hardly any residual, and rows gather at a
    kink: a scale taken from residuals as they are went to zero, step by step. Corrected by their
    mean leverage it did too, for the other rows then look like outliers.
    """
    if free is None:
        return None
    y, f = objective.training.y, predictions(objective, theta)
    pseudo = -objective.loss.slope(y, f) / stiffness
    return (y - f) + (1.0 - free) / free * pseudo


def recentred(objective: Objective, theta, residuals) -> np.ndarray:
    """Move the output's intercept until the left-out residuals have the least loss.

    A network that has learned a part of the noise lies closer to the rows trained on than to
    others, and a quantile then holds too few of these. theta itself where there is no intercept,
    or where the output activation bends it.
    """
    if residuals is None or not (objective.loss.kinked and objective.network.bias):
        return theta
    shift = objective.loss.best_constant(residuals, objective.training.weight_or_none)
    moved = theta.copy()
    moved[-len(shift) :] += shift
    change = objective.predict(moved) - objective.predict(theta)
    scale = np.abs(objective.training.y).max()
    return moved if np.allclose(change, shift, rtol=0.0, atol=1e-9 * scale) else theta


def adapted(objective: Objective, theta, residuals) -> Objective:
    """Give the objective whose loss has its scale from residuals; those at theta where None."""
    if objective.loss.adapted is None:
        return objective
    y = objective.training.y
    if residuals is None:
        residuals = y - objective.predict(theta)
    least = LEAST_NOISE * spread(objective)
    residuals = np.copysign(np.maximum(np.abs(residuals), least), residuals)
    return objective.adapted(y - residuals)


def most_beta(objective: Objective) -> float:
    """Give the greatest beta: none but that of the evidence itself for squared errors."""
    if objective.loss.least_squares:
        return np.inf
    return 1.0 / (LEAST_NOISE * spread(objective)) ** 2


def spread(objective: Objective) -> float:
    """Give the spread of y that a few rows far off do not change: the median distance from it.

    The standard deviation where half of the rows are alike.
    """
    y, weight = objective.training.y.astype(np.float64), objective.training.weight_or_none
    middle = quantiles(y, 0.5, weight)
    sizes = quantiles(np.abs(y - middle), 0.5, weight)
    if (sizes > 0.0).all():
        return float(np.mean(sizes)) / NORMAL_MEDIAN
    return float(np.sqrt(objective.variance()))


def predictions(objective: Objective, theta) -> np.ndarray:
    """Predict; above zero where the loss needs it."""
    f = objective.predict(theta)
    return np.maximum(f, np.finfo(float).tiny) if objective.loss.positive else f


def noise_std(objective: Objective, theta, n_determined) -> np.ndarray | None:
    """Give the noise's standard deviation of each output where residuals have long tails.

    It is that of a normal noise with as many residuals within it. None for squared errors, whose
    beta tells it, and where residuals are not those of a noise about the middle.
    """
    loss, samples = objective.loss, objective.training
    if loss.least_squares or not loss.location:
        return None
    sizes = np.abs(samples.y - objective.predict(theta))
    within = quantiles(sizes, WITHIN_ONE, samples.weight_or_none)
    n = samples.weight_sum
    least = np.finfo(float).tiny
    return np.maximum(within * np.sqrt(n / max(n - n_determined, 1.0)), least)
