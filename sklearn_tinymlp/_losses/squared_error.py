"""Half the squared error."""

import numpy as np
from sklearn.neural_network._base import squared_loss

from .._machine.compilation import carray
from .loss import Loss, average


def kernel(values, slopes, targets, deltas, losses, parameters, n):
    """1/2 (f - y)^2, and by z (f - y) f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        error = float(values[k]) - float(targets[k])
        losses[k] = 0.5 * error * error
        deltas[k] = (values[k] - targets[k]) * slopes[k]


def check_y(y, name) -> None:
    """Take any finite number."""


SQUARED_ERROR = Loss(
    name="squared_error",
    value=lambda y, f: 0.5 * (f - y) ** 2,
    slope=lambda y, f: f - y,
    curvature=lambda y, f: np.ones_like(f),
    kernel=kernel,
    mean=squared_loss,  # scikit-learn's: half the mean over rows and outputs
    best_constant=average,
    check_y=check_y,
    least_squares=True,
)
