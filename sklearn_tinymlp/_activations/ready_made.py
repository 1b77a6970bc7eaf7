"""Which ready-made activation, with what constants, an `Activation` is.

A ready-made one binds constants to a function of `activations`, also after it was saved and loaded.
Its name is not looked at: that is for people, and shows six digits.
"""

from functools import partial

from .. import activations
from .table import ROWS, BuiltIn

# The built-in activations that are a ready-made one with constants.
CASES = {
    row.name: getattr(activations, row.ready_made)(**row.constants)
    for row in ROWS
    if row.ready_made
}

_FUNCTIONS = [(CASES[row.name].value.func, row) for row in ROWS if row.ready_made]


def ready_made(activation) -> tuple[BuiltIn, dict] | None:
    """Return the row of the same formula, and the constants; None of a user's own function."""
    value = activation.value
    if isinstance(value, partial):
        for function, row in _FUNCTIONS:
            if value.func is function:
                return row, value.keywords
    return None
