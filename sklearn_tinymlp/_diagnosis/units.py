"""Causes: hidden units that are dead, saturated or alike."""

import math
from functools import cache

import numpy as np

from .._activations.lookup import name_of, value_and_slope, value_range
from .finding import ERROR, INFO, WARNING, make_finding
from .rates import MOST_RMS
from .remedies import next_remedy
from .shortfall import falls_short

INIT = "glorot_uniform"  # the default


def is_bounded(activation) -> bool:
    """Whether an activation has a finite range."""
    return all(map(math.isfinite, value_range(activation)))


def dead_units(exam):
    """Find units whose slope is zero on every row, so that no gradient passes."""
    network, found = exam.network, []
    for layer, slopes in enumerate(exam.slopes):
        is_output = layer == len(exam.slopes) - 1
        # The slope of a bounded activation underflows; such a unit is saturated. The slope of a
        # loss of positive predictions, like 1 / f, compensates a small slope of f.
        if is_bounded(network.activations[layer]) or (is_output and network.loss.positive):
            continue
        dead = np.abs(slopes).max(axis=0) <= 1e-12
        short = dead.any() and (dead.all() or falls_short(exam))
        if not (short or dead.mean() >= 0.5):
            continue
        severity = ERROR if dead.all() else WARNING if short and dead.mean() >= 0.5 else INFO
        name = name_of(network.activations[layer])
        where = "of the output" if is_output else f"of hidden layer {layer + 1}"
        remedy = {"output_activation": network.loss.output_activation}
        if not is_output:
            other = "elu" if name == "leaky_relu" else "leaky_relu"
            if network.is_mlp_regressor:
                other = "tanh"
            given = network.params["activation"]
            is_list = isinstance(given, (list, tuple))
            activation = [*given[:layer], other, *given[layer + 1 :]] if is_list else other
            remedy = {"activation": activation}
        sentence = (
            f"{dead.sum()} of {len(dead)} units {where} are dead: the slope of {name!r} is "
            f"zero on all {exam.n_rows} rows, so no gradient reaches their weights."
        )
        found.append(make_finding(network, "dead_units", severity, sentence, **remedy))
    yield from worst_layer(found)


def worst_layer(findings):
    """Yield the most severe finding of all layers, which mentions the others."""
    if not findings:
        return
    worst = min(findings, key=lambda finding: (ERROR, WARNING, INFO).index(finding.severity))
    others = [finding.sentence.partition(" are ")[0] for finding in findings if finding != worst]
    also = f" The same holds for {' and '.join(others)}." if others else ""
    yield worst._replace(sentence=worst.sentence + also)


@cache
def _largest_slope(activation) -> float:
    return float(np.abs(value_and_slope(activation, np.linspace(-5.0, 5.0, 101))[1]).max())


def saturated_units(exam):
    """Find units whose slope is small on most rows: they learn a hundred times more slowly."""
    network, found = exam.network, []
    for layer, slopes in enumerate(exam.slopes[:-1]):
        activation = network.activations[layer]
        if not is_bounded(activation):
            continue
        relative = np.abs(slopes) / _largest_slope(activation)
        flat = np.mean(relative < 0.01, axis=0) >= 0.9
        if not flat.mean() >= 0.5:
            continue
        sentence = (
            f"{flat.sum()} of {len(flat)} units of hidden layer {layer + 1} are saturated: on "
            f"nine rows in ten the slope of {name_of(activation)!r} is below a hundredth of "
            f"its maximum (median {np.median(relative):.1e} of it), so they hardly learn."
        )
        remedy = _remedy_of_saturation(exam)
        if not remedy:
            continue
        severity = WARNING if exam.failed and not network.uses_evidence else INFO
        found.append(make_finding(network, "saturated_units", severity, sentence, **remedy))
    yield from worst_layer(found)


def _remedy_of_saturation(exam) -> dict:
    network = exam.network
    if not network.standardized and exam.rms_of_X >= MOST_RMS:
        return {"standardize": True}
    if network.params.get("init", INIT) != INIT:
        return {"init": INIT}
    if network.solver.stochastic:
        return network.rate_remedy(min(0.1 * network.rate, 0.01))
    if network.uses_evidence:
        return next_remedy(exam)[0]
    return {"alpha": max(100.0 * network.penalty, 0.01)}


def identical_units(exam):
    """Find units that started with equal weights: they get the same gradient and stay equal."""
    for layer, parts in enumerate(zip(exam.coefs[:-1], exam.intercepts[:-1], strict=True)):
        weights = np.vstack(parts)
        sizes = np.abs(weights).max(axis=0)
        weights = weights[:, sizes > 1e-3 * sizes.max()]  # without pruned units
        n_units = weights.shape[1]
        if n_units < 2:
            continue
        n_distinct = np.unique(np.round(weights / sizes.max(), 6), axis=1).shape[1]
        if n_distinct > n_units // 2 or not falls_short(exam):
            continue
        severity, weights = WARNING, f"only {n_distinct} sets of weights"
        who = f"{n_units} units of hidden layer {layer + 1}"
        if n_distinct == 1:
            severity, weights, who = ERROR, "the same weights", f"All {who}"
        sentence = f"{who} have {weights} and act as {n_distinct}: start weights must differ."
        finding = make_finding(exam.network, "identical_units", severity, sentence, init=INIT)
        yield finding._replace(remedy="removing coefs_init, or random values for it")
