"""Huber's loss and Student's t, in which large residuals have little weight.

With r = y - f Huber's loss is r^2 / 2 for |r| <= t and t |r| - t^2 / 2 beyond. The threshold is the
same as in scikit-learn's HuberRegressor, t = 1.35 sigma, which has 95% of the efficiency of least
squares on normal noise, and sigma minimises

    n sigma + sum_i sigma H(r_i / sigma),    H(z) = z^2 for |z| <= 1.35, else 2.7 |z| - 1.35^2

together with the weights (Huber, "Robust statistics", 1981, section 7.7; Owen, "A robust hybrid of
lasso and ridge regression", 2007): sigma^2 = (sum of r^2 where |r| <= t) / (n - 1.35^2 times the
number of rows where |r| > t).

Student's t is the negative log density at the scale s, times s^2 and zero at r = 0,

    s^2 (nu + 1) / 2 log(1 + r^2 / (nu s^2)).

nu = 4 is the classical choice (Lange, Little and Taylor, "Robust statistical modeling using the t
distribution", JASA 84, 1989), which also has 95% of the efficiency on normal noise; estimates of nu
from few rows are unstable (ibid.). s is the maximum likelihood estimate, found by reweighting, the
EM algorithm (ibid., section 3): s^2 = mean of w r^2 with w = (nu + 1) / (nu + r^2 / s^2).
"""

import math
from functools import lru_cache, partial

import numpy as np

from .loss import MAX_STEPS, Loss, any_target, least_scale, mean_of, quantiles, weight_or_ones

HUBER_THRESHOLD = 1.35  # in units of sigma
NU = 4.0

# Median of |r| in units of the scale, for normal noise and for t noise with nu = 4.
NORMAL_MEDIAN, T_MEDIAN = 0.6745, 0.7407

# Lower bounds of the mean curvature with which parameters are counted. Huber's loss: as if half of
# the residuals were within the threshold. Student's t: a quarter of the curvature expected for t
# noise, (nu + 1) / (nu + 3).
MIN_SHARE_WITHIN, MIN_T_CURVATURE = 0.5, 0.25 * (NU + 1.0) / (NU + 3.0)

# Relative change at which a constant or a scale has converged, some 100 roundings. From constants
# that differ by 1e-12, fits of lbfgs that end at max_iter differed by 1e-6.
SETTLED = 1e-14


def robust_scale(y, f, sample_weight, median, step) -> float:
    """Return the fixed point of ``step(scale, |r|, weight)``, for all outputs together."""
    size, least = np.abs(y - f), least_scale(y)
    weight = np.broadcast_to(weight_or_ones(y, sample_weight)[:, None], size.shape)
    scale = float(quantiles(size.reshape(-1, 1), 0.5, weight.ravel())[0]) / median
    scale = max(scale, least)
    for _ in range(MAX_STEPS):
        moved = max(float(step(scale, size, weight)), least)
        done = abs(moved - scale) <= SETTLED * scale
        scale = moved
        if done:
            break
    return scale


def reweighted_constant(curvature):
    """Return the function `best_constant` of a loss.

    Each step is the mean of y weighted by the curvature: the parabola of that curvature is never
    below a robust loss (Huber, "Robust statistics", 1981, section 7.8).
    """

    def best_constant(y, sample_weight):
        weight = weight_or_ones(y, sample_weight)[:, None]
        constant = quantiles(y, 0.5, sample_weight)
        for _ in range(MAX_STEPS):
            of_rows = weight * curvature(y, np.broadcast_to(constant, y.shape))
            moved = (of_rows * y).sum(axis=0) / of_rows.sum(axis=0)
            done = np.abs(moved - constant) <= SETTLED * np.abs(y).max()
            constant = moved
            if done.all():
                break
        return constant

    return best_constant


def robust_loss(name, make, parameters, value, slope, curvature, **traits) -> Loss:
    """Return the loss with these parameters; ``make(*parameters)`` returns it with others."""
    bound = [partial(function, *parameters) for function in (value, slope, curvature)]
    return Loss(
        name,
        *bound,
        kernel=name,
        mean=mean_of(bound[0]),
        best_constant=reweighted_constant(bound[2]),
        check_y=any_target,
        parameters=parameters,
        uses_d2=True,
        location_family=True,
        with_parameters=make,
        **traits,
    )


# ------------------------------------------------------------------------------- Huber's loss


def clipped_error(threshold, y, f):
    """Return f - y, clipped to the threshold: the slope."""
    return np.clip(f - y, -threshold, threshold)


def huber_value(threshold, y, f):
    """Return c (e - c / 2) with e = f - y and c = e clipped."""
    clipped = clipped_error(threshold, y, f)
    return clipped * ((f - y) - 0.5 * clipped)


def huber_curvature(threshold, y, f):
    """Return min(1, t / |r|), of the parabola that touches the loss from above at r."""
    return threshold / np.maximum(np.abs(f - y), threshold)


def huber_step(sigma, size, weight):
    """Return the next iterate of the sigma that solves sum w min(z^2, 1.35^2) = sum w."""
    squares = np.minimum(size / sigma, HUBER_THRESHOLD) ** 2
    return sigma * float(np.sqrt((weight * squares).sum() / float(weight.sum())))


@lru_cache(maxsize=64)
def huber(threshold=HUBER_THRESHOLD) -> Loss:
    """Return Huber's loss with this threshold."""

    def expected_curvature(y, f, sample_weight):
        within = np.average(np.abs(y - f) <= threshold, axis=0, weights=sample_weight)
        return np.broadcast_to(np.maximum(within, MIN_SHARE_WITHIN), y.shape)

    def with_scale(y, f, sample_weight, narrowing):
        sigma = robust_scale(y, f, sample_weight, NORMAL_MEDIAN, huber_step)
        return huber(HUBER_THRESHOLD * sigma)

    functions = huber_value, clipped_error, huber_curvature
    estimated = {"expected_curvature": expected_curvature, "with_scale": with_scale}
    return robust_loss("huber", huber, (threshold,), *functions, **estimated)


# --------------------------------------------------------------------------------- Student's t


def t_value(nu, scale, y, f):
    """Return s^2 (nu + 1) / 2 log(1 + r^2 / (nu s^2))."""
    return 0.5 * (nu + 1.0) * scale**2 * np.log1p(((f - y) / scale) ** 2 / nu)


def t_curvature(nu, scale, y, f):
    """Return (nu + 1) / (nu + r^2 / s^2), of the parabola that touches the loss from above at r."""
    return (nu + 1.0) / (nu + ((f - y) / scale) ** 2)


def t_slope(nu, scale, y, f):
    """Return the curvature times f - y."""
    return t_curvature(nu, scale, y, f) * (f - y)


def t_step(nu, scale, size, weight):
    """Return the next scale, the root of the mean square with weights w."""
    # Divided by the sum of the weights, not by the number of rows: the same limit, in fewer steps
    # (Kent, Tyler and Vardi, "A curious likelihood identity", 1994).
    z_squared = (size / scale) ** 2  # scale**2 may underflow
    of_rows = weight * (nu + 1.0) / (nu + z_squared)
    return scale * math.sqrt(float((of_rows * z_squared).sum() / of_rows.sum()))


@lru_cache(maxsize=64)
def student_t(nu=NU, scale=1.0) -> Loss:
    """Return Student's t with these degrees of freedom and this scale."""

    def expected_curvature(y, f, sample_weight):
        # The mean second derivative of each output, (nu + 1)(nu - z^2) / (nu + z^2)^2.
        squares = ((f - y) / scale) ** 2
        bends = (nu + 1.0) * (nu - squares) / (nu + squares) ** 2
        mean = np.average(bends, axis=0, weights=sample_weight)
        return np.broadcast_to(np.maximum(mean, MIN_T_CURVATURE), y.shape)

    def with_scale(y, f, sample_weight, narrowing):
        return student_t(nu, robust_scale(y, f, sample_weight, T_MEDIAN, partial(t_step, nu)))

    functions = t_value, t_slope, t_curvature
    estimated = {"expected_curvature": expected_curvature, "with_scale": with_scale}
    return robust_loss("student_t", student_t, (nu, scale), *functions, **estimated)
