"""Properties and values of an activation, built-in or defined by the user."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import scipy.optimize

from .. import activations
from .derivative_check import FINE_GRID
from .table import BUILT_IN, ROWS, BuiltIn
from .users_own import Activation, by_numpy

# The built-in activations that equal ready-made ones with fixed constants.
READY_MADE = {
    row.name: getattr(activations, row.ready_made)(**row.constants)
    for row in ROWS
    if row.ready_made
}
_ROW_OF_FUNCTION = {own.value.func: BUILT_IN[name] for name, own in READY_MADE.items()}


def ready_made(activation) -> tuple[BuiltIn, dict] | None:
    """Return the row of a built-in or ready-made activation, and its constants; else None.

    A ready-made activation binds constants to a function of `activations`, also after saving and
    loading. Its name is not used, because it shows six digits only.
    """
    if isinstance(activation, str):
        return BUILT_IN[activation], BUILT_IN[activation].constants
    value = activation.value
    row = _ROW_OF_FUNCTION.get(value.func) if isinstance(value, partial) else None
    return None if row is None else (row, value.keywords)


def compiled(activation, dtype: str):
    """Return the `CompiledActivation` for 'float32' or 'float64', which imports numba."""
    from .compiled import compiled_activation

    return compiled_activation(activation, dtype)


def value_range(activation) -> tuple[float, float]:
    """Return the minimum and the maximum of an activation."""
    if isinstance(activation, Activation):
        return activation.output_range
    row = BUILT_IN[activation]
    return row.least, row.greatest


def name_of(activation) -> str:
    """Return the name of a built-in or of an `Activation`."""
    return getattr(activation, "name", activation)


def is_positive(activation) -> bool:
    """Return whether all values are above zero; an `Activation` is evaluated on [-5, 5]."""
    if not isinstance(activation, Activation):
        return BUILT_IN[activation].positive
    values = by_numpy(activation.value)(FINE_GRID)
    return activation.output_range[0] >= 0.0 and bool((values > 0.0).all())


def inverted(activation, value) -> float:
    """Return z with f(z) = value; NaN if there is none in [-700, 700], except for the identity."""
    if activation == "identity":
        return float(value)

    def excess(z):
        return float(value_of(activation, np.array([z]))[0]) - value

    with np.errstate(all="ignore"):
        ends = excess(-700.0), excess(700.0)  # beyond, exp overflows
        if not (np.isfinite(ends).all() and ends[0] < 0.0 < ends[1]):
            return np.nan
        return float(scipy.optimize.brentq(excess, -700.0, 700.0))


# --------------------------------------------------------------------------------- with NumPy


def value_and_slope(activation, z) -> tuple[np.ndarray, np.ndarray]:
    """Compute f(z) and f'(z), new arrays of the shape, layout and dtype (float32 or 64) of z."""
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
    """Replace z by f(z), and write f'(z) to `slope` unless it is None."""
    found = ready_made(activation)
    if found is not None:
        row, constants = found
        row.in_place(z, slope, **constants)
        return
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    flat = z.ravel()
    if slope is not None:
        slope[...] = derivative(flat).reshape(z.shape)
    z[...] = value(flat).reshape(z.shape)


# f'(z) computed from a = f(z), which the forward pass has stored: for tanh, the default, this saves
# a second exponential.
SLOPE_FROM_VALUE = {
    "identity": np.ones_like,
    "tanh": lambda a: np.subtract(1.0, square := a * a, out=square),
    "logistic": lambda a: a * (1.0 - a),
    "relu": np.sign,
    "elu": lambda a: np.minimum(a, 0.0) + 1.0,
    "exp": np.copy,
}


class OnArrays(NamedTuple):
    """An activation as functions of arrays of float32 or float64."""

    value: Callable  # value(z) returns f(z), in the memory of z where the slope does not need z
    slope: Callable  # slope(z, a) returns f'(z), where a = f(z)


@lru_cache(maxsize=64)
def on_arrays(activation) -> OnArrays:
    """Return the functions of a built-in activation or of an `Activation`."""
    from_value = SLOPE_FROM_VALUE.get(activation) if isinstance(activation, str) else None
    if from_value is not None:
        return OnArrays(partial(replace_by_value, activation), lambda z, a: from_value(a))
    return OnArrays(partial(value_of, activation), lambda z, a: value_and_slope(activation, z)[1])
