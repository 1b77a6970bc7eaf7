"""`Solver`: the contract of a solver, what it takes, and what it is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._engine.stochastic_state import StochasticOptions
from .evidence_restarts import Restart


class Options(NamedTuple):
    """What a solver is told beside the objective, the start and the monitor.

    Each reads what concerns it. With `alpha_by_evidence` the penalty is not that of the objective.
    """

    tol: float
    max_fun: int
    alpha_by_evidence: bool
    groups: np.ndarray | None  # (n_parameters,) the penalty group of each, by the evidence
    stochastic: StochasticOptions
    batch_size: int
    shuffle: bool
    random_state: np.random.RandomState
    earlier: object = None  # the `state` of the Solution to go on from
    restart: Restart | None = None  # by the evidence, as is the next
    draw_restart: Callable[[], Restart] | None = None  # called where one is needed
    single_epoch: bool = False  # one epoch, whatever the stopping rule says: `partial_fit`


@dataclass(frozen=True, eq=False)
class Solver:
    """A solver and its traits; the rest of the package asks for these, not for names.

    Parameters
    ----------
    name : str
        What the parameter `solver` calls it.

    solve : callable
        ``solve(objective, theta, monitor, options)`` gives a `Solution`. It calls
        ``monitor.update(...)`` after each iteration, and ends when that gives a reason.

    stochastic : bool, default=False
        Whether it has epochs, batches and a learning rate, and can do `partial_fit`.

    float32 : bool, default=False
        Whether it computes in float32 where the data are; the others take float64.

    least_squares : bool, default=False
        Whether it works on residuals: it then takes no other loss than half their squares and no
        negative weight, finds alpha by the evidence, and tells the loss in the units of y.

    holds_out : bool, default=True
        Whether `early_stopping` holds out a share of the data.

    has_schedule : bool, default=False
        Whether the learning rate may follow a schedule.

    takes_kinks : bool, default=False
        Whether it trains a loss whose slope jumps as it is, and not smoothed.

    Raises
    ------
    TypeError
        When `solve` cannot be called.
    """

    name: str
    solve: Callable
    stochastic: bool = False
    float32: bool = False
    least_squares: bool = False
    holds_out: bool = True
    has_schedule: bool = False
    takes_kinks: bool = False

    def __post_init__(self):
        """Refuse a solver that cannot solve."""
        if not callable(self.solve):
            raise TypeError(f"The solver {self.name!r} needs a function as solve.")
