"""Half the Poisson and the Gamma deviance, of predictions above zero."""

import numpy as np
from scipy.special import xlogy
from sklearn.neural_network._base import poisson_loss

from .loss import Loss, average, mean_of

SMALLEST_PREDICTION = 1e-100  # an exp may have underflown


def check_counts(y, name) -> None:
    """Raise a ValueError if a target is negative."""
    if y.min() < 0:
        raise ValueError(f"loss='poisson' needs {name} >= 0, got a minimum of {y.min()}.")


def poisson_value(y, f):
    """Return f - y + y log(y / f), with 0 log 0 = 0."""
    with np.errstate(all="ignore"):
        return f - y + xlogy(y, np.where(y > 0, y / f, 1.0))  # y / f may be 0 / 0


def poisson_curvature(y, f):
    """Return 1 / f, the mean of y / f^2."""
    return 1.0 / np.maximum(f, SMALLEST_PREDICTION)


POISSON = Loss(
    name="poisson",
    value=poisson_value,
    slope=lambda y, f: 1.0 - y / f,
    curvature=poisson_curvature,
    kernel="poisson",
    mean=poisson_loss,  # scikit-learn's: mean over rows, summed over outputs
    best_constant=average,
    check_y=check_counts,
    output_activation="exp",
    positive=True,
    deviance=True,
    compared_by_squares=True,
    averages_outputs=False,
    least_dispersion=1.0,
    expected_curvature=lambda y, f, sample_weight: poisson_curvature(y, f),
    simpler_kernels={"exp": "poisson_of_exp"},
)


def check_positive(y, name) -> None:
    """Raise a ValueError if a target is not above zero."""
    if y.min() <= 0:
        raise ValueError(f"loss='gamma' needs {name} > 0, got a minimum of {y.min()}.")


def gamma_value(y, f):
    """Return y / f - 1 - log(y / f)."""
    ratio = y / np.maximum(f, SMALLEST_PREDICTION)
    return ratio - 1.0 - np.log(ratio)


def gamma_slope(y, f):
    """Return (1 - y / f) / f."""
    f = np.maximum(f, SMALLEST_PREDICTION)
    return (1.0 - y / f) / f


def gamma_curvature(y, f):
    """Return 1 / f^2, the mean of (2 y / f - 1) / f^2."""
    return 1.0 / np.maximum(f, SMALLEST_PREDICTION) ** 2


GAMMA = Loss(
    name="gamma",
    value=gamma_value,
    slope=gamma_slope,
    curvature=gamma_curvature,
    kernel="gamma",
    mean=mean_of(gamma_value),
    best_constant=average,
    check_y=check_positive,
    output_activation="exp",
    positive=True,
    deviance=True,
    simpler_kernels={"exp": "gamma_of_exp"},
    degree=0,
    uses_d2=True,
    expected_curvature=lambda y, f, sample_weight: gamma_curvature(y, f),
)
