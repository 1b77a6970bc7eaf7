"""What the rest of the package asks of an activation, built in or the user's own."""

import numpy as np
import scipy.optimize

from .derivative_check import CHECK_FINE, CHECK_POINTS
from .ready_made import ready_made
from .table import BUILT_IN
from .users_own import Activation, by_numpy


def compiled(activation, dtype: str):
    """Compile an activation for 'float32' or 'float64'; numba is imported for this alone."""
    from .compiled import compiled_activation

    return compiled_activation(activation, dtype)


def value_range(activation) -> tuple[float, float]:
    """Return the least and the greatest value."""
    if isinstance(activation, Activation):
        return activation.output_range
    row = BUILT_IN[activation]
    return row.least, row.greatest


def name_of(activation) -> str:
    """Return the name of a built-in or of an `Activation`."""
    return getattr(activation, "name", activation)


def is_positive(activation) -> bool:
    """Whether all values are above zero, as the Poisson deviance needs; a user's on [-5, 5]."""
    if not isinstance(activation, Activation):
        return BUILT_IN[activation].positive
    z = np.linspace(-CHECK_FINE, CHECK_FINE, CHECK_POINTS)
    return activation.output_range[0] >= 0.0 and bool((by_numpy(activation.value)(z) > 0.0).all())


def inverted(activation, value) -> float:
    """Return z with f(z) = value; NaN where none is found between -700 and 700, nor by identity."""
    if activation == "identity":
        return float(value)

    def excess(z):
        return float(value_of(activation, np.array([z]))[0]) - value

    with np.errstate(all="ignore"):
        ends = excess(-700.0), excess(700.0)  # beyond, exp is no number
        if not (np.isfinite(ends).all() and ends[0] < 0.0 < ends[1]):
            return np.nan
        return float(scipy.optimize.brentq(excess, -700.0, 700.0))


def value_and_slope(activation, z) -> tuple[np.ndarray, np.ndarray]:
    """Compute f(z) and f'(z) with NumPy.

    Parameters
    ----------
    activation : str or Activation
    z : ndarray of float32 or float64
        Of one dimension or more, in any layout.

    Returns
    -------
    values, slopes : ndarray
        New arrays of the shape, layout and dtype of z.
    """
    values = np.array(z)
    slopes = np.empty_like(values)
    _compute(activation, values, slopes)
    return values, slopes


def value_of(activation, z) -> np.ndarray:
    """Compute f(z), a new array of the shape, layout and dtype of z."""
    return replace_by_value(activation, np.array(z))


def replace_by_value(activation, z) -> np.ndarray:
    """Replace an array z by f(z), and return it."""
    _compute(activation, z, None)
    return z


def _compute(activation, z, slope):
    """Replace z by f(z), and write f'(z) to slope unless it is None."""
    if isinstance(activation, Activation):
        found = ready_made(activation)
        if found is None:
            _compute_by(by_numpy(activation.value), by_numpy(activation.derivative), z, slope)
            return
        row, constants = found
    else:
        row = BUILT_IN[activation]
        constants = row.constants
    if row.in_place is None:
        _compute_by(by_numpy(row.numpy), by_numpy(row.numpy_slope), z, slope)
    else:
        row.in_place(z, slope, **constants)


def _compute_by(value, derivative, z, slope):
    """Do so with two functions of one-dimensional arrays."""
    flat = z.ravel()
    if slope is not None:
        slope[...] = derivative(flat).reshape(z.shape)
    z[...] = value(flat).reshape(z.shape)
