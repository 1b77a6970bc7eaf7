"""`TrainedNetwork`: a fitted network in the form that the diagnosis uses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np

from .._data.data import Data
from .._data.scaling import Scaling
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._network.architecture import Architecture
from .._solvers.solver import Solver
from .._solvers.table import SOLVERS
from .._training.candidate import Errors
from .._training.fitted_weights import architecture_of
from .._training.settings import first_rate


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with its data and its training history, in the units of training."""

    architecture: Architecture
    theta: np.ndarray
    activations: tuple  # one per layer, the output layer last
    loss: Loss
    X: Any  # ndarray or CSR matrix of shape (n_samples, n_features)
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    _: KW_ONLY
    params: Mapping  # of the estimator
    solver: Solver
    penalty: float  # alpha; 0 if determined by the evidence
    standardized: bool = False
    uses_evidence: bool = False
    rate: float = math.nan  # initial learning rate
    stop_reason: str = ""
    n_iter: int = 0
    final_loss: float = math.nan  # loss_
    loss_unit: float = 1.0  # factor from the loss in the units of training to loss_
    history: Mapping = field(default_factory=dict)  # column name to list
    restart_losses: Sequence = ()
    correlation: float = 0.0  # of the noise within groups of rows
    zero: Any = 0.0  # in the units of training, where y is zero
    errors: Errors | None = None  # on rows not trained on, where the fit was compared
    defaults: Mapping = field(default_factory=dict)  # of the estimator's parameters, where known

    @property
    def is_mlp_regressor(self) -> bool:
        """Whether the parameters are those of an MLPRegressor."""
        return bool(self.defaults) and "bias" not in self.defaults

    @property
    def batch_size(self) -> int:
        """Rows per update of sgd or adam."""
        batch_size, n_samples = self.params["batch_size"], self.y.shape[0]
        return min(200 if batch_size == "auto" else batch_size, n_samples)

    @property
    def losses(self) -> np.ndarray:
        """Loss after each epoch or iteration."""
        return self.column("loss")

    def column(self, name) -> np.ndarray:
        """Return a column of the history, empty if there is no such column."""
        return np.asarray(self.history.get(name, ()), dtype=float)

    @property
    def ends_of_starts(self) -> tuple[np.ndarray, int]:
        """Finite losses at which the starts ended, and the number within 10% of the lowest."""
        losses = np.asarray(self.restart_losses, dtype=float)
        losses = losses[np.isfinite(losses)]
        least = losses.min(initial=math.inf)  # a deviance may be negative by rounding
        return losses, int(np.sum(losses - least <= 0.1 * abs(least)))

    @property
    def score_name(self) -> str:
        """Name of the explained share of the loss: R² for the squared error."""
        return "R²" if self.loss.least_squares else "D²"

    def rate_remedy(self, rate) -> dict:
        """Return the parameter that sets the initial learning rate, with its value."""
        named = self.is_mlp_regressor or self.params["learning_rate_init"] is not None
        named = named or self.params["learning_rate"] in ("invscaling", "adaptive")
        return {"learning_rate_init" if named else "learning_rate": float(f"{rate:.0e}")}


def in_units_of_training(fitted: Mapping[str, Any], data: Data) -> tuple[np.ndarray, Data]:
    """Return the weights of a fitted network, and raw data, in the units of training.

    Where the network was trained on features of the inputs, these are standardised instead.
    """
    architecture, scaling = architecture_of(fitted), fitted["_scaling"]
    theta = architecture.pack(fitted["coefs_"], fitted["intercepts_"], np.float64)
    if scaling is None:
        return theta, data
    if fitted.get("_input_layer") is not None:
        of_inputs = Scaling.of(data.X, data.y, data.sample_weight, bias=True, scale_y=False)
        scaling = of_inputs._replace(y_mean=scaling.y_mean, y_scale=scaling.y_scale)
    return scaling.unfold(architecture, theta), data.scaled(scaling)


def describe(
    fitted: Mapping[str, Any], params: dict[str, Any], theta, data: Data, defaults: Mapping
) -> TrainedNetwork:
    """Build a `TrainedNetwork` from fitted attributes and parameters.

    `theta` and the data are in the units of training; `defaults` are the default values of the
    parameters.
    """
    solver, scaling = SOLVERS[fitted["solver_"]], fitted["_scaling"]
    uses_evidence = fitted["log_evidence_"] is not None
    loss = LOSSES[fitted["_loss"]].remade(fitted["_loss_constants"])
    loss_unit = 1.0
    if solver.least_squares and scaling is not None:
        with np.errstate(over="ignore"):  # y of 1e200
            loss_unit = float(np.mean(scaling.y_scale**loss.degree))
    errors = fitted.get("_errors")
    return TrainedNetwork(
        architecture_of(fitted),
        theta,
        fitted["_layer_activations"],
        loss,
        data.X,
        data.y,
        data.sample_weight,
        params=params,
        solver=solver,
        standardized=scaling is not None,
        penalty=0.0 if uses_evidence else float(fitted["alpha_"]),
        uses_evidence=uses_evidence,
        rate=first_rate(params),
        stop_reason=fitted["stop_reason_"],
        n_iter=fitted["n_iter_"],
        final_loss=float(fitted["loss_"]),
        loss_unit=loss_unit,
        history=fitted["_record"].columns,
        restart_losses=fitted["starts_"]["loss"],
        correlation=fitted.get("_correlation", 0.0),
        zero=0.0 if scaling is None else -scaling.y_mean / scaling.y_scale,
        errors=None if errors is None else Errors(*errors),
        defaults=defaults,
    )
