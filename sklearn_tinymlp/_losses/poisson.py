"""Half the Poisson deviance, f - y + y log(y / f), of counts y and predictions f above zero."""

import math

import numpy as np
from scipy.special import xlogy
from sklearn.neural_network._base import poisson_loss

from .._machine.compilation import carray
from .loss import Loss, average


def kernel(values, slopes, targets, deltas, losses, parameters, n):
    """F - y + y log(y / f), and by z (1 - y / f) f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    one = values.dtype.type(1)
    for k in range(n):
        value, target = float(values[k]), float(targets[k])
        loss = value - target
        if target > 0.0:
            loss += target * math.log(target / value)
        losses[k] = loss
        deltas[k] = (one - targets[k] / values[k]) * slopes[k]


def kernel_of_exp(values, slopes, targets, deltas, losses, parameters, n):
    """Do so for f = exp(z), where (1 - y / f) f = f - y stays finite if exp(z) underflows."""
    values, targets = carray(values, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        value, target = float(values[k]), float(targets[k])
        loss = value - target
        if target > 0.0:
            loss += target * math.log(target / value)
        losses[k] = loss
        deltas[k] = values[k] - targets[k]


def check_y(y, name) -> None:
    """Refuse negative counts."""
    if y.min() < 0:
        raise ValueError(f"loss='poisson' needs {name} >= 0, got a least value of {y.min()}.")


def value(y, f):
    """F - y + y log(y / f), with 0 log 0 = 0."""
    with np.errstate(all="ignore"):
        return f - y + xlogy(y, np.where(y > 0, y / f, 1.0))  # y / f may be 0 / 0


def curvature(y, f):
    """1 / f, what y / f^2 is on average; an exp may have underflown."""
    return 1.0 / np.maximum(f, 1e-100)


POISSON = Loss(
    name="poisson",
    value=value,
    slope=lambda y, f: 1.0 - y / f,
    curvature=curvature,
    kernel=kernel,
    mean=poisson_loss,  # scikit-learn's: mean over rows, summed over outputs
    best_constant=average,
    check_y=check_y,
    output_activation="exp",
    positive=True,
    averages_outputs=False,
    simpler_kernels={"exp": kernel_of_exp},
)
