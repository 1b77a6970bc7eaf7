"""`Solver`: the interface of a solver, its traits and its options."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._engine.stochastic_state import StochasticOptions
from .evidence_restarts import Restart


class Options(NamedTuple):
    """Options of all solvers; each solver reads those that it needs."""

    tol: float
    max_fun: int
    groups: np.ndarray | None  # (n_parameters,) of penalties; None for that of the objective
    least_ratio: np.ndarray | None  # (n_groups,) of alpha to beta by the evidence
    stochastic: StochasticOptions
    batch_size: int
    shuffle: bool
    random_state: np.random.RandomState
    earlier: object = None  # the `state` of the Solution to continue
    restart: Restart | None = None  # see `evidence_restarts`, like the next field
    draw_restart: Callable[[], Restart] | None = None
    rest: int | None = None  # iterations without a rise of the evidence; None: the usual number
    single_epoch: bool = False  # one epoch without a stopping rule: `partial_fit`


@dataclass(frozen=True, eq=False)
class Solver:
    """A solver and its traits, which other modules read instead of its name.

    ``solve(objective, theta, monitor, options)`` returns a `Solution`. It calls
    ``monitor.update(...)`` after each iteration, and ends when `update` returns a reason.
    """

    name: str  # value of the parameter `solver`
    solve: Callable
    stochastic: bool = False  # has epochs, batches and a learning rate; supports `partial_fit`
    float32: bool = False  # computes in float32 for float32 data; others compute in float64
    # Works on residuals: handles other losses by their surrogate, accepts no negative weights,
    # estimates alpha by the evidence, and returns the loss in the units of y.
    least_squares: bool = False
    holds_out: bool = True  # `early_stopping` holds out a share of the data
    has_schedule: bool = False  # the learning rate may follow a schedule

    def __post_init__(self):
        """Validate `solve`."""
        if not callable(self.solve):
            raise TypeError(f"The solver {self.name!r} needs a function as solve.")
