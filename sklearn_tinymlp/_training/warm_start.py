"""`WarmStart`: what a fit that continues takes over from the one before it."""

from typing import NamedTuple

import numpy as np

from .._data.scaling import Scaling
from .._engine.stochastic_state import StochasticState
from .._solvers.monitor import History
from .importances import SeenRows


class WarmStart(NamedTuple):
    """The weights of the last fit, and where its training stood."""

    coefs: list[np.ndarray]  # for raw data
    intercepts: list[np.ndarray]
    scaling: Scaling | None
    record: History
    stochastic_state: StochasticState | None  # of sgd and adam
    n_seen: int  # `t_`
    best_validation_score: float | None
    grouping: str  # of its penalties
    seen: SeenRows | None = None  # None of what came from a file
    input_range: list[np.ndarray] | None = None  # least and greatest of each feature

    @classmethod
    def of(cls, estimator) -> "WarmStart | None":
        """Read a fitted estimator; None if it is not fitted."""
        if not hasattr(estimator, "coefs_"):
            return None
        return cls(
            estimator.coefs_,
            estimator.intercepts_,
            estimator._scaling,
            estimator._record,
            estimator._stochastic_state,
            estimator.t_,
            estimator.best_validation_score_,
            getattr(estimator, "_grouping", "one"),  # a file of an earlier release has none
            getattr(estimator, "_seen_rows", None),
            getattr(estimator, "_input_range", None),
        )
