"""Half the squared error."""

import numpy as np
from sklearn.neural_network._base import squared_loss

from .loss import Loss, any_target, average

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
