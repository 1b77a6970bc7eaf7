"""The formula of an activation and its constants, for exports."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .. import activations
from .lookup import READY_MADE, name_of, ready_made
from .table import OUTPUT_ACTIVATIONS, ROW_OF
from .users_own import by_numpy

WHICH_CAN = (
    f"Built-in activations can be exported: {', '.join(OUTPUT_ACTIVATIONS)}; and the functions of "
    "sklearn_tinymlp.activations."
)


class Formula(NamedTuple):
    """A formula and its constants; `called` is its name in the network, with all digits."""

    name: str  # "swish"
    constants: tuple[tuple[str, float], ...] = ()
    called: str = ""  # "silu", "swish(1.5)"


def formula_of(activation, dtype) -> Formula | None:
    """Return the formula of a built-in or ready-made activation, or None for a user's function.

    Raises
    ------
    ValueError
        When a constant does not fit into `dtype`.
    """
    if isinstance(activation, str) and activation not in READY_MADE:
        return Formula(activation, called=activation)
    found = ready_made(READY_MADE.get(activation, activation))
    if found is None:
        return None
    constants, limits = {key: float(value) for key, value in found[1].items()}, np.finfo(dtype)
    for name, constant in constants.items():
        if constant != 0.0 and not float(limits.tiny) <= abs(constant) <= float(limits.max):
            raise ValueError(
                f"{name}={constant!r} of the activation {name_of(activation)!r} does not fit into "
                f"{limits.dtype}."
            )
    name, called = found[0].formula, activation
    if not isinstance(activation, str):
        called = f"{name}({', '.join(map(repr, constants.values()))})"
    return Formula(name, tuple(constants.items()), called)


def value_and_slope_of(formula) -> tuple[Callable, Callable]:
    """Return the value and the slope of a formula as functions of arrays."""
    row = ROW_OF[formula.name]
    if dict(formula.constants) == dict(row.constants):
        return row.numpy, row.numpy_slope
    activation = _activation_of(formula)
    return by_numpy(activation.value), by_numpy(activation.derivative)


def largest_change(formula, z, distance) -> np.ndarray:
    """Bound |f(z + d) - f(z)| over all |d| <= distance.

    All formulas but the sine are monotone, or decrease to their minimum and increase from there:
    the largest change is at an end of the interval, or at a minimum within it.
    """
    if formula.name == "sin":
        return np.minimum(distance, 2.0)
    value, slope = value_and_slope_of(formula)
    low, high = z - distance, z + distance
    with np.errstate(over="ignore", invalid="ignore"):
        middle = value(z)
        change = np.maximum(np.abs(value(low) - middle), np.abs(value(high) - middle))
        descends_first = (slope(low) <= 0.0) & (slope(high) > 0.0)
    row = ROW_OF[formula.name]
    same = dict(formula.constants) == dict(row.constants)
    least = row.least if same else _activation_of(formula).output_range[0]
    return np.where(descends_first, np.maximum(change, middle - least), change)


def _activation_of(formula):
    return getattr(activations, formula.name)(**dict(formula.constants))
