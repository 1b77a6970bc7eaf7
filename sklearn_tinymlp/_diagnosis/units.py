"""Causes: hidden units that are dead, saturated or alike."""

import math
from functools import cache

import numpy as np

from .._activations.lookup import name_of, value_and_slope, value_range
from .finding import ERROR, INFO, WARNING, _finding
from .look import square_norms


def _dead_units(look):
    """No gradient comes through a unit whose slope is zero on every row."""
    fit = look.fit
    for layer, slopes in enumerate(look.slopes):
        if all(map(math.isfinite, value_range(fit.activations[layer]))):
            continue  # a slope that has underflown is saturated, see below
        dead = np.abs(slopes).max(axis=0) <= 1e-12
        if not dead.any():
            continue
        name = name_of(fit.activations[layer])
        is_output = layer == len(look.slopes) - 1
        where = "of the output" if is_output else f"of hidden layer {layer + 1}"
        share = dead.mean()
        severity = ERROR if dead.all() else WARNING if share >= 0.5 else INFO
        remedy = {"output_activation": "identity"}
        if not is_output:
            other = "tanh" if fit.of_sklearn else "leaky_relu"
            other = "elu" if other == name else other
            one = fit.params["activation"]
            many = isinstance(one, (list, tuple))
            remedy = {"activation": [*one[:layer], other, *one[layer + 1 :]] if many else other}
        yield _finding(
            fit,
            "dead_units",
            severity,
            f"{dead.sum()} of {len(dead)} units {where} are dead: the slope of {name!r} is zero "
            f"on all {look.n_rows} rows, and nothing can change their weights.",
            **remedy,
        )


@cache
def _steepest(activation) -> float:
    return float(np.abs(value_and_slope(activation, np.linspace(-5.0, 5.0, 101))[1]).max())


def _saturated_units(look):
    """Find units that are flat wherever data are: they learn a hundred times more slowly."""
    fit = look.fit
    for layer, slopes in enumerate(look.slopes[:-1]):
        activation = fit.activations[layer]
        if not all(map(math.isfinite, value_range(activation))):
            continue
        flat = np.mean(np.abs(slopes) < 0.01 * _steepest(activation), axis=0) >= 0.9
        if not flat.mean() >= 0.5:
            continue
        rms = np.sqrt(np.mean(square_norms(look.values[0])) / look.values[0].shape[1])
        remedy = {"standardize": True}
        if fit.standardized or rms < 3.0:
            remedy = {"alpha": max(100.0 * fit.penalty, 0.01)}
            if fit.params.get("init", "glorot_uniform") != "glorot_uniform":
                remedy = {"init": "glorot_uniform"}
            elif fit.stochastic:
                remedy = fit.at_rate(min(0.1 * fit.rate, 0.01))
        median = np.median(np.abs(slopes)) / _steepest(activation)
        yield _finding(
            fit,
            "saturated_units",
            WARNING if look.troubled else INFO,
            f"{flat.sum()} of {len(flat)} units of hidden layer {layer + 1} are saturated: on nine "
            f"rows in ten the slope of {name_of(activation)!r} is below a hundredth of its "
            f"greatest (median {median:.1e} of it), and so is what they learn.",
            **remedy,
        )


def _identical_units(look):
    """Units that begin alike get the same gradient and stay alike."""
    for layer, (coef, intercept) in enumerate(
        zip(look.coefs[:-1], look.intercepts[:-1], strict=True)
    ):
        weights = np.vstack([coef, intercept])
        sizes = np.abs(weights).max(axis=0)
        weights = weights[:, sizes > 1e-3 * sizes.max()]  # a unit that was pruned is no twin
        n_units = weights.shape[1]
        if n_units < 2:
            continue
        n_kinds = np.unique(np.round(weights / sizes.max(), 6), axis=1).shape[1]
        if n_kinds > n_units // 2:
            continue
        yield _finding(
            look.fit,
            "identical_units",
            ERROR if n_kinds == 1 else WARNING,
            f"The {n_units} units of hidden layer {layer + 1} have only {n_kinds} different "
            "set(s) of weights and act as so many: start weights must differ (leave out "
            "coefs_init, or draw it).",
            init="glorot_uniform",
        )
