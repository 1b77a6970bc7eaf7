"""`describe`: a fitted network as the diagnosis wants it described."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._data.data import Data
from .._losses.table import LOSSES
from .._solvers.table import SOLVERS
from .._training.fitted_weights import architecture_of
from .._training.settings import first_rate
from .trained_network import TrainedNetwork


def describe(
    fitted: Mapping[str, Any], params: dict[str, Any], theta, data: Data, defaults=None
) -> TrainedNetwork:
    """Describe a network by its fitted attributes and its parameters.

    `theta` and the data are in the units of training. `defaults` of the parameters tell which of
    them were set.
    """
    solver, scaling = SOLVERS[fitted["solver_"]], fitted["_scaling"]
    by_evidence = fitted["log_evidence_"] is not None
    loss_unit = 1.0
    loss = LOSSES[fitted["_loss"]]
    # A file of an earlier release has no constants, nor a loss that would have some.
    loss = loss.remade(fitted.get("_loss_constants", loss.parameters))
    if solver.least_squares and scaling is not None:
        with np.errstate(over="ignore"):  # y of 1e200
            loss_unit = float(np.mean(scaling.y_scale**loss.degree))
    return TrainedNetwork(
        architecture_of(fitted),
        theta,
        fitted["_layer_activations"],
        loss,
        (data.X, data.y, data.sample_weight),
        params=params,
        solver=solver,
        standardized=scaling is not None,
        penalty=0.0 if by_evidence else float(fitted["alpha_"]),
        by_evidence=by_evidence,
        rate=first_rate(params),
        stop_reason=fitted["stop_reason_"],
        n_iter=fitted["n_iter_"],
        reached=float(fitted["loss_"]),
        loss_unit=loss_unit,
        history=fitted["_record"].columns,
        restart_losses=fitted["starts_"]["loss"],
        defaults=defaults or {},
    )
