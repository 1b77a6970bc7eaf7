"""The hyperparameters of sgd and adam, and the state that they keep between epochs."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SCHEDULE_CODES = {"constant": 0, "invscaling": 1, "adaptive": 2}
CONSTANT, INVSCALING, ADAPTIVE = range(3)

# Why the last epoch ended, in `progress["event"]`.
RUNNING, STALLED, TARGET_REACHED = range(3)

# Columns of the curves that `run_epochs` writes, one row per epoch.
LOSS, RATE = range(2)

# The state of a stochastic fit, apart from its arrays: an array of one row that kernels change.
PROGRESS_DTYPE = np.dtype(
    [
        ("learning_rate", "f8"),
        ("best_loss", "f8"),
        ("loss_sum", "f8"),  # of the current epoch: mean losses of batches times their rows
        ("row", "i8"),  # where in the current epoch the next batch begins
        ("epoch", "i8"),  # finished epochs of this fit
        ("step", "i8"),  # updates so far, Adam's t
        ("samples", "i8"),  # training samples seen since the first fit: `t_`
        ("no_improvement", "i8"),  # consecutive epochs without an improvement by tol
        ("event", "i8"),
    ]
)


class StochasticOptions(NamedTuple):
    """Hyperparameters of sgd and adam, constant during a fit."""

    schedule: int
    learning_rate_init: float
    power_t: float
    momentum: float
    nesterovs_momentum: bool
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    tol: float
    n_iter_no_change: float
    loss_tol: float


@dataclass
class StochasticState:
    """The state of the optimizer and of the stopping rule, from which training continues."""

    options: StochasticOptions
    progress: np.ndarray  # PROGRESS_DTYPE, one row
    moment: np.ndarray  # the velocity of sgd, the mean gradient of Adam, (n_parameters,)
    second_moment: np.ndarray | None  # Adam's mean squared gradient

    @classmethod
    def initial(cls, n_moments, options, theta) -> "StochasticState":
        """Return the state before the first update, with one moment (sgd) or two (Adam)."""
        progress = np.zeros(1, PROGRESS_DTYPE)
        progress["learning_rate"] = options.learning_rate_init
        progress["best_loss"] = np.inf
        moments = [np.zeros_like(theta) if k < n_moments else None for k in range(2)]
        return cls(options, progress, *moments)

    def restarted(self, n_moments, options, theta) -> "StochasticState":
        """Return an initial state that keeps the state of the stopping rule: a warm start."""
        state = StochasticState.initial(n_moments, options, theta)
        for name in ("best_loss", "no_improvement", "samples"):
            state.progress[name] = self.progress[name]
        return state

    def resumed(self, options) -> "StochasticState":
        """Return a copy to continue from in `partial_fit`; on failure this one is unchanged.

        As in scikit-learn the optimizer keeps its first hyperparameters; the penalty and the
        stopping rule come from the new options.
        """
        names = ("alpha", "tol", "n_iter_no_change", "loss_tol")
        changed = {name: getattr(options, name) for name in names}
        second_moment = None if self.second_moment is None else self.second_moment.copy()
        return StochasticState(
            self.options._replace(**changed),
            self.progress.copy(),
            self.moment.copy(),
            second_moment,
        )
