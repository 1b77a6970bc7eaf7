"""The losses of `TinyMLPRegressor` by name."""

from .deviance import GAMMA, POISSON
from .pinball import ABSOLUTE_ERROR, QUANTILE
from .robust import huber, student_t
from .squared_error import SQUARED_ERROR

ROWS = (SQUARED_ERROR, ABSOLUTE_ERROR, huber(), student_t(), QUANTILE, POISSON, GAMMA)

LOSSES = {loss.name: loss for loss in ROWS}
