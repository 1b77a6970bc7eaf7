"""Student's t: noise with long tails, of four degrees of freedom.

The negative log density of a residual r = y - f at the scale s, times s^2 and zero at r = 0, is

    s^2 (nu + 1) / 2 log(1 + r^2 / (nu s^2)),

a parabola near zero; far out a residual has hardly any say. nu = 4 is the classical choice (Lange,
Little and Taylor, "Robust statistical modeling using the t distribution", JASA 84, 1989), which is
still 95% as good as least squares on normal noise; nu estimated from few rows is unstable (ibid.).
s is that of the greatest likelihood, found by reweighting, which is the EM algorithm (ibid.,
section 3): with w = (nu + 1) / (nu + r^2 / s^2) it is s^2 = mean of w r^2.
"""

import math
from functools import lru_cache, partial

import numpy as np

from .loss import MOST_STEPS, Loss, by_reweighting, least_scale, mean_of, quantiles

NU = 4.0

# Expected curvature of t noise, (nu + 1) / (nu + 3), and the least share of it that is believed.
EXPECTED, LEAST_SHARE = (NU + 1.0) / (NU + 3.0), 0.25


def value(y, f, *, nu, scale):
    """Return s^2 (nu + 1) / 2 log(1 + r^2 / (nu s^2))."""
    return 0.5 * (nu + 1.0) * scale**2 * np.log1p(((f - y) / scale) ** 2 / nu)


def curvature(y, f, *, nu, scale):
    """Return (nu + 1) / (nu + r^2 / s^2): of the parabola above the loss that touches it at r."""
    return (nu + 1.0) / (nu + ((f - y) / scale) ** 2)


def slope(y, f, *, nu, scale):
    """Return the curvature times f - y."""
    return curvature(y, f, nu=nu, scale=scale) * (f - y)


def expected_curvature(y, f, sample_weight, *, nu, scale):
    """Return the mean second derivative of each output, (nu + 1)(nu - z^2) / (nu + z^2)^2."""
    squares = ((f - y) / scale) ** 2
    bends = (nu + 1.0) * (nu - squares) / (nu + squares) ** 2
    mean = np.average(bends, axis=0, weights=sample_weight)
    return np.broadcast_to(np.maximum(mean, LEAST_SHARE * EXPECTED), y.shape)


def scale_of(residuals, sample_weight, nu, least) -> float:
    """Return the scale of the greatest likelihood, for all outputs together."""
    squares = residuals**2
    weight = np.ones(len(squares)) if sample_weight is None else sample_weight.astype(np.float64)
    weight = np.broadcast_to(weight[:, None], squares.shape)
    size = np.sqrt(squares)
    scale = float(quantiles(size.reshape(-1, 1), 0.5, weight.ravel())[0]) / 0.7407  # of t with nu=4
    scale = max(scale, least)
    for _ in range(MOST_STEPS):
        of_rows = weight * (nu + 1.0) / (nu + squares / scale**2)
        # Divided by the sum of these weights, not by the rows: the same limit, sooner (Kent, Tyler
        # and Vardi, "A curious likelihood identity", 1994).
        moved = max(math.sqrt(float((of_rows * squares).sum() / of_rows.sum())), least)
        done = abs(moved - scale) <= 1e-10 * scale
        scale = moved
        if done:
            break
    return scale


@lru_cache(maxsize=64)
def student_t(nu=NU, scale=1.0) -> Loss:
    """Return the loss with these degrees of freedom and this scale."""
    constants = {"nu": nu, "scale": scale}
    of_values = partial(value, **constants)

    def best_constant(y, sample_weight):
        return by_reweighting(y, loss, sample_weight, quantiles(y, 0.5, sample_weight))

    def with_scale(y, f, sample_weight, narrowing):
        return student_t(nu, scale_of(y - f, sample_weight, nu, least_scale(y)))

    loss = Loss(
        name="student_t",
        value=of_values,
        slope=partial(slope, **constants),
        curvature=partial(curvature, **constants),
        kernel="student_t",
        mean=mean_of(of_values),
        best_constant=best_constant,
        check_y=check_y,
        parameters=(nu, scale),
        uses_d2=True,
        location_family=True,
        expected_curvature=partial(expected_curvature, **constants),
        with_scale=with_scale,
        with_parameters=student_t,
    )
    return loss


def check_y(y, name) -> None:
    """Take any finite number."""


STUDENT_T = student_t()
