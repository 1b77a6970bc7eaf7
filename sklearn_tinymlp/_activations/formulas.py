"""The formula of an activation and its constants, for exports."""

from typing import NamedTuple

import numpy as np

from .. import activations
from .lookup import name_of, ready_made
from .table import OUTPUT_ACTIVATIONS, ROW_OF

WHICH_CAN = (
    f"Built-in activations can be exported: {', '.join(OUTPUT_ACTIVATIONS)}; and the functions of "
    "sklearn_tinymlp.activations."
)


class Formula(NamedTuple):
    """A formula and its constants; `called` is its name in the network, with all digits."""

    name: str  # "swish"
    constants: tuple[tuple[str, float], ...] = ()
    called: str = ""  # "silu", "swish(1.5)"

    def value_and_slope(self, z) -> tuple[np.ndarray, np.ndarray]:
        """Compute f(z) and f'(z) of an array."""
        values, slopes = np.array(z), np.empty_like(z)
        ROW_OF[self.name].in_place(values, slopes, **dict(self.constants))
        return values, slopes

    @property
    def least(self) -> float:
        """The lower end of the range."""
        if not self.constants:
            return ROW_OF[self.name].least
        return getattr(activations, self.name)(**dict(self.constants)).output_range[0]


def formula_of(activation, dtype) -> Formula | None:
    """Return the formula of a built-in or ready-made activation, or None for a user's function.

    A ValueError is raised when a constant does not fit into `dtype`.
    """
    found = ready_made(activation)
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


def largest_change(formula, z, distance) -> np.ndarray:
    """Bound |f(z + d) - f(z)| over all |d| <= distance.

    All formulas but the sine are monotone, or decrease to their minimum and increase from there:
    the largest change is at an end of the interval, or at a minimum within it.
    """
    if formula.name == "sin":
        return np.minimum(distance, 2.0)
    low, high = z - distance, z + distance
    with np.errstate(over="ignore", invalid="ignore"):
        middle, _ = formula.value_and_slope(z)
        (below, slope_below), (above, slope_above) = map(formula.value_and_slope, (low, high))
        change = np.maximum(np.abs(below - middle), np.abs(above - middle))
        descends_first = (slope_below <= 0.0) & (slope_above > 0.0)
    return np.where(descends_first, np.maximum(change, middle - formula.least), change)
