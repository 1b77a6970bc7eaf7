"""Value and slope of an activation on NumPy arrays, built in or the user's own.

The slope is computed from z and the value f(z), which the forward pass has kept: of tanh, the
default, it then takes no second exponential.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .table import BUILT_IN
from .users_own import Activation, by_numpy

# f'(z) from a = f(z), where that is cheaper than from z.
SLOPE_FROM_VALUE = {
    "identity": lambda z, a: np.ones_like(a),
    "tanh": lambda z, a: np.subtract(1.0, square := a * a, out=square),
    "logistic": lambda z, a: a * (1.0 - a),
    "exp": lambda z, a: a,
    "elu": lambda z, a: np.minimum(a, 0.0) + 1.0,
}


class OnArrays(NamedTuple):
    """An activation as functions of arrays of float32 or float64, of any shape."""

    value: Callable  # value(z) returns f(z)
    slope: Callable  # slope(z, a) returns f'(z), where a = f(z)


@lru_cache(maxsize=64)
def on_arrays(activation) -> OnArrays:
    """Return the functions of a built-in activation or of an `Activation`."""
    if isinstance(activation, Activation):
        value, slope = map(_of_any_shape, (activation.value, activation.derivative))
        return OnArrays(value, lambda z, a: slope(z))
    row = BUILT_IN[activation]
    slope = SLOPE_FROM_VALUE.get(activation)
    if slope is None:
        slope = lambda z, a: row.numpy_slope(z).astype(z.dtype, copy=False)  # noqa: E731
    return OnArrays(row.numpy, slope)


def _of_any_shape(function) -> Callable:
    """Return the user's function of numbers, or of vectors, as one of arrays."""
    of_vector = by_numpy(function)
    return lambda z: of_vector(np.ravel(z)).reshape(z.shape)
