"""What a fit by sgd or adam is told, and the state that it keeps between its epochs."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SCHEDULE_CODES = {"constant": 0, "invscaling": 1, "adaptive": 2}
CONSTANT, INVSCALING, ADAPTIVE = range(3)

# What the last epoch or iteration ended with, in `progress["event"]`.
RUNNING, STALLED, TARGET_REACHED, CONVERGED = range(4)

# Columns of the curves that `run_epochs` writes, one row an epoch.
LOSS, RATE = range(2)

PROGRESS_DTYPE = np.dtype(
    [
        ("learning_rate", "f8"),
        ("best_loss", "f8"),
        ("loss_sum", "f8"),  # of the epoch under way, each batch times its rows
        ("row", "i8"),  # where in the epoch under way the next batch begins
        ("epoch", "i8"),  # finished epochs of this fit
        ("step", "i8"),  # updates so far, Adam's t
        ("samples", "i8"),  # training samples seen since the first fit: `t_`
        ("no_improvement", "i8"),  # epochs in a row without an improvement by tol
        ("event", "i8"),
    ]
)
"""The state of a stochastic fit beside its arrays; a record of one row that kernels change."""


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


# The hyperparameters that scikit-learn's optimizers copy when they are made.
OPTIMIZER_OPTIONS = (
    "schedule",
    "learning_rate_init",
    "power_t",
    "momentum",
    "nesterovs_momentum",
    "beta_1",
    "beta_2",
    "epsilon",
)


@dataclass
class StochasticState:
    """What is needed to go on training: the optimizer's state and what the stopping rule knows.

    The hyperparameters are kept with it, as scikit-learn's optimizer keeps them: a `partial_fit`
    goes on at the rates its training began with.
    """

    options: StochasticOptions
    progress: np.ndarray  # PROGRESS_DTYPE, one row
    moment: np.ndarray  # the velocity of sgd, the mean gradient of Adam, as long as theta
    second_moment: np.ndarray | None  # Adam's mean squared gradient

    @classmethod
    def fresh(cls, solver, options, theta) -> "StochasticState":
        """Begin anew."""
        progress = np.zeros(1, PROGRESS_DTYPE)
        progress["learning_rate"] = options.learning_rate_init
        progress["best_loss"] = np.inf
        second_moment = np.zeros_like(theta) if solver == "adam" else None
        return cls(options, progress, np.zeros_like(theta), second_moment)

    def restarted(self, solver, options, theta) -> "StochasticState":
        """Begin anew, but remember what the stopping rule has seen: a warm start."""
        state = StochasticState.fresh(solver, options, theta)
        for name in ("best_loss", "no_improvement", "samples"):
            state.progress[name] = self.progress[name]
        return state

    def resumed(self, options) -> "StochasticState":
        """Go on with a `partial_fit`; a copy, so that a failure leaves this one as it was.

        As in scikit-learn the optimizer keeps the hyperparameters that it began with; what
        belongs to the data and to the stopping rule is taken from the new options.
        """
        kept = {name: getattr(self.options, name) for name in OPTIMIZER_OPTIONS}
        second_moment = None if self.second_moment is None else self.second_moment.copy()
        return StochasticState(
            options._replace(**kept), self.progress.copy(), self.moment.copy(), second_moment
        )
