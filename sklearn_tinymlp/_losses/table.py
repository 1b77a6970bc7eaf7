"""The losses that `TinyMLPRegressor` knows by name."""

from .poisson import POISSON
from .squared_error import SQUARED_ERROR

LOSSES = {loss.name: loss for loss in (SQUARED_ERROR, POISSON)}
