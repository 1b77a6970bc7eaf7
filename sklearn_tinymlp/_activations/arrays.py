"""Value and slope of an activation as two functions of arrays, for passes forward and back.

The slope is computed from z and the value f(z), which the forward pass has kept: of tanh, the
default, it then takes no second exponential.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from .lookup import replace_by_value, value_and_slope, value_of

# f'(z) from a = f(z) alone.
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

    value: Callable  # value(z) returns f(z), in the memory of z where the slope needs no z
    slope: Callable  # slope(z, a) returns f'(z), where a = f(z)


@lru_cache(maxsize=64)
def on_arrays(activation) -> OnArrays:
    """Return the functions of a built-in activation or of an `Activation`."""
    from_value = SLOPE_FROM_VALUE.get(activation) if isinstance(activation, str) else None
    if from_value is not None:
        return OnArrays(partial(replace_by_value, activation), lambda z, a: from_value(a))
    return OnArrays(partial(value_of, activation), lambda z, a: value_and_slope(activation, z)[1])
