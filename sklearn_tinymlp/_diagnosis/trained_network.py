"""`TrainedNetwork`: what the diagnosis is told of a network and its training."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from .._losses.loss import Loss
from .._network.architecture import Architecture
from .._solvers.solver import Solver


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its data and the record of its training, in the units of training."""

    architecture: Architecture
    theta: np.ndarray
    activations: tuple  # one a layer, the output's last
    loss: Loss
    data: tuple  # X, dense or CSR; y of shape (n_samples, n_outputs); sample_weight or None
    _: KW_ONLY
    params: Mapping  # of the estimator
    solver: Solver
    penalty: float  # alpha; 0 by the evidence
    standardized: bool = False
    by_evidence: bool = False
    rate: float = math.nan  # learning rate at the start
    stop_reason: str = ""
    n_iter: int = 0
    reached: float = math.nan  # loss_
    loss_unit: float = 1.0  # loss_ is so many times the loss in the units of training
    history: Mapping = field(default_factory=dict)  # lists by column
    restart_losses: Sequence = ()
    of_sklearn: bool = False  # an MLPRegressor
    defaults: Mapping = field(default_factory=dict)  # of the parameters, where they are known

    @property
    def X(self):
        """Inputs, dense or CSR."""
        return self.data[0]

    @property
    def y(self) -> np.ndarray:
        """Targets of shape (n_samples, n_outputs)."""
        return self.data[1]

    @property
    def sample_weight(self) -> np.ndarray | None:
        """Weight of each sample; None where each counts 1."""
        return self.data[2]

    def at_rate(self, rate) -> dict:
        """Name the parameter that sets the learning rate."""
        rate = float(f"{rate:.0e}")
        by_name = self.of_sklearn or self.params["learning_rate_init"] is not None
        by_name = by_name or self.params["learning_rate"] in ("invscaling", "adaptive")
        return {"learning_rate_init" if by_name else "learning_rate": rate}

    @property
    def batch_size(self) -> int:
        """Rows of an update of sgd or adam."""
        asked, n_samples = self.params["batch_size"], self.y.shape[0]
        return min(200 if asked == "auto" else asked, n_samples)

    @property
    def stochastic(self) -> bool:
        """Whether learning rate and batches mean anything."""
        return self.solver.stochastic

    @property
    def by_one_rate(self) -> bool:
        """Whether the learning rate is that of every weight, as of sgd; adam gives each its own."""
        return self.solver.has_schedule

    @property
    def losses(self) -> np.ndarray:
        """Loss after each epoch or iteration."""
        return np.asarray(self.history.get("loss", ()), dtype=float)

    @property
    def score_name(self) -> str:
        """Name of the share of the loss explained: R² where the loss is the squared error."""
        return "R²" if self.loss.least_squares else "D²"
