"""Causes: hidden units that are dead, saturated or alike."""

import math
from functools import cache

import numpy as np

from .._activations.lookup import name_of, value_and_slope, value_range
from .._data.input_range import square_norms
from .finding import ERROR, INFO, WARNING, make_finding
from .remedies import starts_to_try
from .shortfall import falls_short


def dead_units(exam):
    """Find units whose slope is zero on every row, so that no gradient comes through."""
    network, known = exam.network, []
    for layer, slopes in enumerate(exam.slopes):
        if all(map(math.isfinite, value_range(network.activations[layer]))):
            continue  # a slope that has underflown is saturated, see below
        is_output = layer == len(exam.slopes) - 1
        if is_output and network.loss.positive:
            continue  # such a loss has a slope like 1 / f, which makes up for a small one of f
        dead = np.abs(slopes).max(axis=0) <= 1e-12
        if not dead.any():
            continue
        name = name_of(network.activations[layer])
        where = "of the output" if is_output else f"of hidden layer {layer + 1}"
        share = dead.mean()
        severity = ERROR if dead.all() else WARNING if share >= 0.5 else INFO
        if not (dead.all() or falls_short(exam)):
            if severity == INFO:
                continue  # the others do
            severity = INFO
        remedy = {"output_activation": network.loss.output_activation}
        if not is_output:
            other = "tanh" if network.of_sklearn else "leaky_relu"
            other = "elu" if other == name else other
            one = network.params["activation"]
            many = isinstance(one, (list, tuple))
            remedy = {"activation": [*one[:layer], other, *one[layer + 1 :]] if many else other}
        known.append(
            make_finding(
                network,
                "dead_units",
                severity,
                f"{dead.sum()} of {len(dead)} units {where} are dead: the slope of {name!r} is "
                f"zero on all {exam.n_rows} rows, so no gradient reaches their weights.",
                **remedy,
            )
        )
    yield from together(known)


def together(findings):
    """Tell what holds for several layers once, of the layer in which it is worst."""
    if not findings:
        return
    order = (ERROR, WARNING, INFO)
    worst = min(findings, key=lambda finding: order.index(finding.severity))
    others = [finding.sentence.partition(" are ")[0] for finding in findings if finding != worst]
    also = f" So are {' and '.join(others)}." if others else ""
    yield worst._replace(sentence=worst.sentence + also)


@cache
def _steepest(activation) -> float:
    return float(np.abs(value_and_slope(activation, np.linspace(-5.0, 5.0, 101))[1]).max())


def saturated_units(exam):
    """Find units whose slope is small on most rows: they learn a hundred times more slowly."""
    network, known = exam.network, []
    for layer, slopes in enumerate(exam.slopes[:-1]):
        activation = network.activations[layer]
        if not all(map(math.isfinite, value_range(activation))):
            continue
        flat = np.mean(np.abs(slopes) < 0.01 * _steepest(activation), axis=0) >= 0.9
        if not flat.mean() >= 0.5:
            continue
        rms = np.sqrt(np.mean(square_norms(exam.X)) / exam.X.shape[1])
        remedy = {"standardize": True}
        if network.standardized or rms < 3.0:
            remedy = {"alpha": max(100.0 * network.penalty, 0.01)}
            if network.by_evidence:  # which has its own
                remedy = {"n_init": starts_to_try(exam) or 4 * len(network.restart_losses)}
            if network.params.get("init", "glorot_uniform") != "glorot_uniform":
                remedy = {"init": "glorot_uniform"}
            elif network.stochastic:
                remedy = network.at_rate(min(0.1 * network.rate, 0.01))
        median = np.median(np.abs(slopes)) / _steepest(activation)
        known.append(
            make_finding(
                network,
                "saturated_units",
                WARNING if exam.failed else INFO,
                f"{flat.sum()} of {len(flat)} units of hidden layer {layer + 1} are saturated: on "
                f"nine rows in ten the slope of {name_of(activation)!r} is below a hundredth of "
                f"its maximum (median {median:.1e} of it), so they hardly learn.",
                **remedy,
            )
        )
    yield from together(known)


def identical_units(exam):
    """Find units that began alike: they get the same gradient and stay alike."""
    for layer, (coef, intercept) in enumerate(
        zip(exam.coefs[:-1], exam.intercepts[:-1], strict=True)
    ):
        weights = np.vstack([coef, intercept])
        sizes = np.abs(weights).max(axis=0)
        weights = weights[:, sizes > 1e-3 * sizes.max()]  # a unit that was pruned is no twin
        n_units = weights.shape[1]
        if n_units < 2:
            continue
        rounded = np.round(weights / sizes.max(), 6)
        n_kinds = len(set(map(tuple, rounded.T.tolist())))
        if n_kinds > n_units // 2 or not falls_short(exam):
            continue  # a straight line needs no second kind
        sentence = (
            f"{n_units} units of hidden layer {layer + 1} have only {n_kinds} sets of weights"
        )
        if n_kinds == 1:
            sentence = f"All {n_units} units of hidden layer {layer + 1} have the same weights"
        yield make_finding(
            exam.network,
            "identical_units",
            ERROR if n_kinds == 1 else WARNING,
            f"{sentence} and act as {n_kinds}: start weights must differ.",
            init="glorot_uniform",
        )._replace(remedy="leaving out coefs_init, or drawing it at random")
