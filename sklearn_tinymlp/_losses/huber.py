"""Huber's loss: half the squared residual up to a threshold, and straight beyond it.

With r = y - f it is r^2 / 2 for |r| <= t and t |r| - t^2 / 2 beyond. The threshold is that of
scikit-learn's HuberRegressor, t = 1.35 sigma, where the estimate is 95% as good as least squares on
normal noise, and sigma minimises

    n sigma + sum_i sigma H(r_i / sigma),    H(z) = z^2 for |z| <= 1.35, else 2.7 |z| - 1.35^2

together with the weights (Huber, "Robust statistics", 1981, section 7.7; Owen, "A robust hybrid of
lasso and ridge regression", 2007): sigma^2 = sum of r^2 within t / (n - 1.35^2 times those beyond).
"""

from functools import lru_cache, partial

import numpy as np

from .loss import MOST_STEPS, Loss, by_reweighting, least_scale, mean_of, quantiles

EPSILON = 1.35


def clipped(y, f, threshold):
    """Return f - y, but not beyond the threshold."""
    return np.clip(f - y, -threshold, threshold)


def value(y, f, *, threshold):
    """Return c (e - c / 2) with e = f - y and c = e clipped."""
    bounded = clipped(y, f, threshold)
    return bounded * ((f - y) - 0.5 * bounded)


def curvature(y, f, *, threshold):
    """Return min(1, t / |r|): that of the parabola above the loss that touches it at r."""
    return threshold / np.maximum(np.abs(f - y), threshold)


def expected_curvature(y, f, sample_weight, *, threshold):
    """Return the share of residuals within the threshold, of each output."""
    within = np.average(np.abs(y - f) <= threshold, axis=0, weights=sample_weight)
    return np.broadcast_to(np.maximum(within, 0.5), y.shape)


def scale_of(residuals, sample_weight, least) -> float:
    """Return the sigma of the equation above, for all outputs together."""
    size = np.abs(residuals)
    weight = np.ones(len(size)) if sample_weight is None else sample_weight.astype(np.float64)
    weight = np.broadcast_to(weight[:, None], size.shape)
    # Huber's equation in sigma has one root: sum w min(z^2, 1.35^2) = sum w, falling in sigma.
    sigma = float(quantiles(size.reshape(-1, 1), 0.5, weight.ravel())[0]) / 0.6745
    sigma, total = max(sigma, least), float(weight.sum())
    for _ in range(MOST_STEPS):
        squares = np.minimum(size / sigma, EPSILON) ** 2
        moved = max(sigma * float(np.sqrt((weight * squares).sum() / total)), least)
        done = abs(moved - sigma) <= 1e-10 * sigma
        sigma = moved
        if done:
            break
    return sigma


@lru_cache(maxsize=64)
def huber(threshold=EPSILON) -> Loss:
    """Return the loss with this threshold."""
    of_values = partial(value, threshold=threshold)

    def best_constant(y, sample_weight):
        return by_reweighting(y, loss, sample_weight, quantiles(y, 0.5, sample_weight))

    def with_scale(y, f, sample_weight, narrowing):
        return huber(EPSILON * scale_of(y - f, sample_weight, least_scale(y)))

    loss = Loss(
        name="huber",
        value=of_values,
        slope=partial(clipped, threshold=threshold),
        curvature=partial(curvature, threshold=threshold),
        kernel="huber",
        mean=mean_of(of_values),
        best_constant=best_constant,
        check_y=check_y,
        parameters=(threshold,),
        uses_d2=True,
        location_family=True,
        expected_curvature=partial(expected_curvature, threshold=threshold),
        with_scale=with_scale,
        with_parameters=huber,
    )
    return loss


def check_y(y, name) -> None:
    """Take any finite number."""


HUBER = huber()
