"""Whether the derivative of a user's activation is that of its value."""

import math
from functools import cache

import numpy as np

from .users_own import Activation, _function_name, by_numpy

# ------------------------------------------------------------------ is it the derivative?

# Points of each of the two grids, a fine one around zero and one over the range of the data.
CHECK_POINTS, CHECK_FINE = 201, 5.0

# Central differences with this step are exact to some 1e-10 of the function's size; a slope that is
# off by less than CHECK_TOLERANCE of the steepest does no harm to training.
CHECK_STEP, CHECK_TOLERANCE = np.finfo(np.float64).eps ** (1 / 3), 1e-4


def check_derivative(activation, least: float, greatest: float) -> None:
    """Compare an activation's derivative with central differences, at least over [-5, 5].

    Between the differences to the left and to the right, which differ at a kink, any slope is
    accepted. What has passed is remembered.

    Parameters
    ----------
    activation : str or Activation
        A name passes unchecked.
    least, greatest : float
        The range of z that the data produce.

    Raises
    ------
    ValueError
        Naming the worst point, what the derivative gave and what it should be.
    """
    if isinstance(activation, Activation):
        # Powers of two, so that one check serves many fits; up to a million, since beyond it
        # differences tell little.
        ends = (
            2.0 ** math.ceil(math.log2(min(max(end, 8.0), 2.0**20))) for end in (-least, greatest)
        )
        _check_derivative(activation, *ends)


@cache
def _check_derivative(activation, left, right):
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    z = np.concatenate(
        [
            np.linspace(-CHECK_FINE, CHECK_FINE, CHECK_POINTS),
            np.linspace(-left, right, CHECK_POINTS),
        ]
    )
    f, given = value(z), derivative(z)
    for name, function, whole in (("value", value, f), ("derivative", derivative, given)):
        if not np.array_equal(function(z[:3]), whole[:3], equal_nan=True):
            raise ValueError(
                f"The {name} of activation {activation.name!r} does not treat each number by "
                f"itself: for z = {z[:3]} alone it gives {function(z[:3])}, among others "
                f"{whole[:3]}."
            )
    step = CHECK_STEP * np.sqrt(np.maximum(np.abs(z), 1.0))
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
    if not known[:CHECK_POINTS].any():
        raise ValueError(
            f"Activation {activation.name!r} gives no finite values between {-CHECK_FINE:g} and "
            f"{CHECK_FINE:g}, e.g. {f[CHECK_POINTS // 2]} at 0."
        )
    z, given, sides = z[known], given[known], sides[:, known]
    off = np.maximum(sides.min(axis=0) - given, given - sides.max(axis=0))
    off[np.isnan(given)] = np.inf
    scale = np.abs(sides[1, np.abs(z) <= CHECK_FINE]).max()
    wrong = off > CHECK_TOLERANCE * (scale + np.abs(sides[1]))
    if wrong.any():
        worst = np.argmax(np.where(wrong, off, -np.inf))
        raise ValueError(
            f"The derivative of activation {activation.name!r}, "
            f"{_function_name(activation.derivative)!r}, is not the derivative of its value "
            f"{_function_name(activation.value)!r}: at z = {z[worst]:.4g} it gave "
            f"{given[worst]:.6g}, and it should be {sides[1, worst]:.6g} (central difference). "
            f"It is wrong at {wrong.mean():.0%} of the {len(z)} points between {z.min():g} and "
            f"{z.max():g}."
        )
