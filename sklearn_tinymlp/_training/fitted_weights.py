"""Trained weights in the units of the user's data, and the attributes that `predict` reads."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from .._network.architecture import Architecture
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
    """Return the attributes that `predict` reads; `constants` are those of the loss."""
    architecture, layer = plan.full_architecture, plan.input_layer
    coefs, intercepts = architecture.unpack(weights)
    activations = plan.settings.activations
    if layer is not None:
        coefs, intercepts = layer.prepended(coefs, intercepts)
        activations = (layer.activation, *activations)
    return {
        **columns,
        "coefs_": coefs,
        "intercepts_": intercepts,
        "n_parameters_": architecture.n_parameters,
        "n_outputs_": architecture.units[-1],
        "_layer_activations": activations,
        "_input_layer": layer,
        "_loss": plan.settings.loss.name,
        "_loss_constants": plan.settings.loss.parameters if constants is None else constants,
        "_scaling": plan.scaling,
        "_posterior": None,
    }


def architecture_of(fitted: Mapping[str, Any]) -> Architecture:
    """Infer layer sizes and bias from fitted attributes."""
    coefs, intercepts = fitted["coefs_"], fitted["intercepts_"]
    units = (coefs[0].shape[0], *(len(intercept) for intercept in intercepts))
    has_bias = fitted["n_parameters_"] > sum(coef.size for coef in coefs)
    return _architecture(units, has_bias or fitted.get("_input_layer") is not None)


# Cached, because its properties take a tenth of the time of a prediction for one row.
_architecture = lru_cache(maxsize=64)(Architecture)
