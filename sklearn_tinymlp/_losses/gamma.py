"""Half the Gamma deviance, log(f / y) + y / f - 1, of targets y and predictions f above zero."""

import numpy as np

from .loss import Loss, average, mean_of

LEAST = 1e-100  # an exp may have underflown


def value(y, f):
    """Return y / f - 1 - log(y / f)."""
    ratio = y / np.maximum(f, LEAST)
    return ratio - 1.0 - np.log(ratio)


def slope(y, f):
    """Return (1 - y / f) / f."""
    f = np.maximum(f, LEAST)
    return (1.0 - y / f) / f


def curvature(y, f):
    """Return 1 / f^2, what (2 y / f - 1) / f^2 is on average."""
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
    kernel="gamma",
    mean=mean_of(value),
    best_constant=average,
    check_y=check_y,
    output_activation="exp",
    positive=True,
    deviance=True,
    simpler_kernels={"exp": "gamma_of_exp"},
    degree=0,
    uses_d2=True,
    expected_curvature=lambda y, f, sample_weight: curvature(y, f),
)
