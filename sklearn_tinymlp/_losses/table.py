"""The losses that `TinyMLPRegressor` knows by name."""

from .absolute_error import ABSOLUTE_ERROR
from .gamma import GAMMA
from .huber import HUBER
from .poisson import POISSON
from .quantile import QUANTILE
from .squared_error import SQUARED_ERROR
from .student_t import STUDENT_T

ROWS = (SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, STUDENT_T, QUANTILE, POISSON, GAMMA)

LOSSES = {loss.name: loss for loss in ROWS}
