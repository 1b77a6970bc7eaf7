"""Axes, colours and markers that the displays share."""

import numpy as np

# Okabe and Ito's palette without its yellow, which is too light on paper: told apart by the
# colour-blind, and in print by the marker at each line's end.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
BLUE = np.array([0x00, 0x72, 0xB2]) / 255
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def _axes(ax):
    import matplotlib.pyplot as plt

    if ax is not None:
        return ax
    return plt.subplots(layout="constrained")[1]
