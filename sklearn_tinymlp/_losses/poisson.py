"""Half the Poisson deviance, f - y + y log(y / f), of counts y and predictions f above zero."""

import numpy as np
from scipy.special import xlogy
from sklearn.neural_network._base import poisson_loss

from .loss import Loss, average


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
    kernel="poisson",
    mean=poisson_loss,  # scikit-learn's: mean over rows, summed over outputs
    best_constant=average,
    check_y=check_y,
    output_activation="exp",
    positive=True,
    deviance=True,
    averages_outputs=False,
    least_dispersion=1.0,
    expected_curvature=lambda y, f, sample_weight: curvature(y, f),
    simpler_kernels={"exp": "poisson_of_exp"},
)
