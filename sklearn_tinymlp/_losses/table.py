"""The losses of `TinyMLPRegressor` by name."""

import numpy as np
from sklearn.neural_network._base import squared_loss

from .deviance import GAMMA, POISSON
from .loss import Loss, any_target, average
from .pinball import ABSOLUTE_ERROR, QUANTILE
from .robust import huber, student_t

SQUARED_ERROR = Loss(
    name="squared_error",
    value=lambda y, f: 0.5 * (f - y) ** 2,
    slope=lambda y, f: f - y,
    curvature=lambda y, f: np.ones_like(f),
    kernel="squared_error",
    mean=squared_loss,  # scikit-learn's: half the mean over rows and outputs
    best_constant=average,
    check_y=any_target,
    least_squares=True,
)

ROWS = (SQUARED_ERROR, ABSOLUTE_ERROR, huber(), student_t(), QUANTILE, POISSON, GAMMA)

LOSSES = {loss.name: loss for loss in ROWS}
