"""The absolute error |y - f|, of which the median is the best constant."""

from .pinball import pinball

ABSOLUTE_ERROR = pinball("absolute_error", 1.0, 1.0, location_family=True)
