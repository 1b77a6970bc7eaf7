"""What the rest of the package asks of an activation, built in or the user's own."""

import numpy as np
import scipy.optimize

from .._machine.compilation import c_function, once
from .arrays import on_arrays
from .derivative_check import CHECK_FINE, CHECK_POINTS
from .table import BUILT_IN
from .users_own import Activation, _compiled_user, by_numpy


@once
def compiled(activation, dtype: str):
    """Compile an activation for 'float32' or 'float64'."""
    if isinstance(activation, Activation):
        return _compiled_user(activation, dtype)
    return c_function(BUILT_IN[activation].kernel, 2, 1, dtype)


def value_range(activation) -> tuple[float, float]:
    """Give the least and the greatest value."""
    if isinstance(activation, Activation):
        return activation.output_range
    row = BUILT_IN[activation]
    return row.least, row.greatest


def name_of(activation) -> str:
    """Give the name of a built-in or of an `Activation`."""
    return getattr(activation, "name", activation)


def is_positive(activation) -> bool:
    """Whether all values are above zero, as the Poisson deviance needs; a user's on [-5, 5]."""
    if not isinstance(activation, Activation):
        return BUILT_IN[activation].positive
    z = np.linspace(-CHECK_FINE, CHECK_FINE, CHECK_POINTS)
    return activation.output_range[0] >= 0.0 and bool((by_numpy(activation.value)(z) > 0.0).all())


def inverted(activation, value) -> float:
    """Give z with f(z) = value; NaN where none is found between -700 and 700, nor by identity."""
    if activation == "identity":
        return float(value)

    def excess(z):
        return float(value_and_slope(activation, np.array([z]))[0][0]) - value

    with np.errstate(all="ignore"):
        ends = excess(-700.0), excess(700.0)  # beyond, exp is no number
        if not (np.isfinite(ends).all() and ends[0] < 0.0 < ends[1]):
            return np.nan
        return float(scipy.optimize.brentq(excess, -700.0, 700.0))


def value_and_slope(activation, z):
    """Compute f(z) and f'(z), arrays of the shape and dtype of z (float32 or float64)."""
    functions = on_arrays(activation)
    with np.errstate(all="ignore"):
        values = functions.value(z)
        return values, functions.slope(z, values)
