"""Trained weights in the units of the user's data, and the attributes that `predict` reads."""

from typing import Any

import numpy as np

from .plan import Plan


def raw_weights(plan: Plan, theta) -> np.ndarray:
    """Fold the scaling into weights found on scaled data."""
    theta = plan.with_all_inputs(theta)
    if plan.scaling is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            theta = plan.scaling.fold(plan.full_architecture, theta)
    with np.errstate(over="ignore"):
        return theta.astype(plan.dtype, copy=False)


def predicting_attributes(plan: Plan, columns, weights, constants=None) -> dict[str, Any]:
    """Give the attributes that `predict` reads; `constants` of the loss are those of training."""
    architecture = plan.full_architecture
    coefs, intercepts = architecture.unpack(weights)
    return {
        **columns,
        "coefs_": coefs,
        "intercepts_": intercepts,
        "n_parameters_": architecture.n_parameters,
        "n_outputs_": architecture.units[-1],
        "_layer_activations": plan.settings.activations,
        "_loss": plan.settings.loss.name,
        "_loss_constants": plan.settings.loss.parameters if constants is None else constants,
        "_scaling": plan.scaling,
        "_posterior": None,
    }
