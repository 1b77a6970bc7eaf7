"""The losses of `TinyMLPRegressor` by name."""

import numpy as np

from .deviance import GAMMA, POISSON
from .loss import Loss, any_target, average, mean_of
from .pinball import ABSOLUTE_ERROR, QUANTILE
from .robust import huber, student_t


def half_square(y, f):
    """Return (f - y)^2 / 2."""
    return 0.5 * (f - y) ** 2


SQUARED_ERROR = Loss(
    name="squared_error",
    value=half_square,
    slope=lambda y, f: f - y,
    curvature=lambda y, f: np.ones_like(f),
    kernel="squared_error",
    mean=mean_of(half_square),
    best_constant=average,
    check_y=any_target,
    least_squares=True,
    compared_by_squares=True,
)

ROWS = (SQUARED_ERROR, ABSOLUTE_ERROR, huber(), student_t(), QUANTILE, POISSON, GAMMA)

LOSSES = {loss.name: loss for loss in ROWS}
