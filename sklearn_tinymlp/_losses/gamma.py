"""Half the Gamma deviance, log(f / y) + y / f - 1, of targets y and predictions f above zero."""

import math

import numpy as np

from .._machine.compilation import carray
from .loss import Loss, average, mean_of

LEAST = 1e-100  # an exp may have underflown


def kernel(values, slopes, targets, deltas, losses, parameters, n):
    """Write log(f / y) + y / f - 1, and by z (1 - y / f) / f f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        value = max(float(values[k]), LEAST)
        ratio = float(targets[k]) / value
        losses[k] = ratio - 1.0 - math.log(ratio)
        deltas[k] = (1.0 - ratio) / value * slopes[k]


def kernel_of_exp(values, slopes, targets, deltas, losses, parameters, n):
    """Do so for f = exp(z), where (1 - y / f) / f f = 1 - y / f."""
    values, targets = carray(values, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        ratio = float(targets[k]) / max(float(values[k]), LEAST)
        losses[k] = ratio - 1.0 - math.log(ratio)
        deltas[k] = 1.0 - ratio


def value(y, f):
    """Give y / f - 1 - log(y / f)."""
    ratio = y / np.maximum(f, LEAST)
    return ratio - 1.0 - np.log(ratio)


def slope(y, f):
    """Give (1 - y / f) / f."""
    f = np.maximum(f, LEAST)
    return (1.0 - y / f) / f


def curvature(y, f):
    """Give 1 / f^2, what (2 y / f - 1) / f^2 is on average."""
    return 1.0 / np.maximum(f, LEAST) ** 2


def check_y(y, name) -> None:
    """Refuse targets that are not above zero."""
    if y.min() <= 0:
        raise ValueError(f"loss='gamma' needs {name} > 0, got a least value of {y.min()}.")


GAMMA = Loss(
    name="gamma",
    value=value,
    slope=slope,
    curvature=curvature,
    kernel=kernel,
    mean=mean_of(value),
    best_constant=average,
    check_y=check_y,
    output_activation="exp",
    positive=True,
    simpler_kernels={"exp": kernel_of_exp},
    degree=0,
    own_score=True,
    expected_curvature=lambda y, f, sample_weight: curvature(y, f),
)
