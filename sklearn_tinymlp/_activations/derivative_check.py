"""Check that the derivative of a user's activation is the derivative of its value."""

import math
from functools import cache

import numpy as np

from .users_own import Activation, _function_name, by_numpy

# A fine grid around zero, and the number of points of a second grid over the range of the data.
GRID_POINTS = 201
FINE_GRID = np.linspace(-5.0, 5.0, GRID_POINTS)

# Central differences with this step are accurate to some 1e-10 of the function's size; an error
# below MAX_ERROR of the steepest slope does not harm training.
STEP, MAX_ERROR = np.finfo(np.float64).eps ** (1 / 3), 1e-4

# Limits of the range of z that is checked: powers of two, so that one check serves many fits, up to
# a million, beyond which differences are inaccurate.
MIN_RANGE, MAX_RANGE = 8.0, 2.0**20


def check_derivative(activation, least: float, greatest: float) -> None:
    """Compare an activation's derivative with central differences, at least over [-5, 5].

    `least` and `greatest` are the range of z in the data. Any slope between the left and the right
    difference, which are unequal at a kink, is accepted; built-in activations are not checked.
    Passed checks are cached. A ValueError names the worst point.
    """
    if isinstance(activation, Activation):
        ends = (min(max(end, MIN_RANGE), MAX_RANGE) for end in (-least, greatest))
        _check_derivative(activation, *(2.0 ** math.ceil(math.log2(end)) for end in ends))


@cache
def _check_derivative(activation, left, right):
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    z = np.concatenate([FINE_GRID, np.linspace(-left, right, GRID_POINTS)])
    f, given = value(z), derivative(z)
    for name, function, whole in (("value", value, f), ("derivative", derivative, given)):
        if not np.array_equal(function(z[:3]), whole[:3], equal_nan=True):
            raise ValueError(
                f"The {name} of activation {activation.name!r} must be computed independently for "
                f"each number: for z = {z[:3]} alone it is {function(z[:3])}, in a longer array "
                f"{whole[:3]}."
            )
    step = STEP * np.sqrt(np.maximum(np.abs(z), 1.0))
    before, after = z - step, z + step
    f_before, f_after = value(before), value(after)
    with np.errstate(all="ignore"):
        sides = np.array(
            [
                (f - f_before) / (z - before),
                (f_after - f_before) / (after - before),
                (f_after - f) / (after - z),
            ]
        )
    known = np.isfinite(sides).all(axis=0)
    if not known[:GRID_POINTS].any():
        raise ValueError(
            f"Activation {activation.name!r} has no finite values between {FINE_GRID[0]:g} and "
            f"{FINE_GRID[-1]:g}, e.g. {f[GRID_POINTS // 2]} at 0."
        )
    z, given, sides = z[known], given[known], sides[:, known]
    error = np.maximum(sides.min(axis=0) - given, given - sides.max(axis=0))
    error[np.isnan(given)] = np.inf
    scale = np.abs(sides[1, np.abs(z) <= FINE_GRID[-1]]).max()
    wrong = error > MAX_ERROR * (scale + np.abs(sides[1]))
    if wrong.any():
        worst = np.argmax(np.where(wrong, error, -np.inf))
        raise ValueError(
            f"The derivative of activation {activation.name!r}, "
            f"{_function_name(activation.derivative)!r}, is not the derivative of its value "
            f"{_function_name(activation.value)!r}: at z = {z[worst]:.4g} it is "
            f"{given[worst]:.6g}, but it should be {sides[1, worst]:.6g} (central difference). "
            f"It is wrong at {wrong.mean():.0%} of the {len(z)} points between {z.min():g} and "
            f"{z.max():g}."
        )
