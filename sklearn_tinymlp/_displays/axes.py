"""What the displays share: the way to matplotlib, axes, colours and markers."""

from functools import wraps

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support

# Okabe and Ito's palette without its yellow, which is too light on paper: told apart by the
# colour-blind, and in print by the marker at each line's end.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
BLUE = np.array([0x00, 0x72, 0xB2]) / 255
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def needs_matplotlib(method):
    """Raise scikit-learn's ImportError, which names the method, where there is no matplotlib."""

    @wraps(method)
    def checked(*arguments, **named):
        check_matplotlib_support(method.__qualname__)
        return method(*arguments, **named)

    return checked


def new_axes(ax):
    """Give the axes that were given, or else new ones in a figure of their own."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(layout="constrained")[1]
