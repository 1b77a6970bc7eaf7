"""Where the nodes and lines of a network's diagram stand, and which units are left out of it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._activations.lookup import name_of
from .._network.derivatives import layer_values

# Blue and vermilion of Okabe and Ito's palette, which the colour-blind tell apart. Their greys are
# much the same in print, so negative weights are dashed too.
POSITIVE, NEGATIVE = "#0072B2", "#D55E00"


class Node(NamedTuple):
    """A unit, an intercept ("bias"), or what stands for the units left out ("rest")."""

    x: float  # its layer: 0, 1, ...
    y: float  # between 0 and 1
    kind: str
    label: str  # name of an input or output
    shade: float  # between 0 (light) and 1 (dark), NaN where the activation is not known


class Link(NamedTuple):
    """A weight between two nodes."""

    start: tuple[float, float]
    end: tuple[float, float]
    weight: float  # divided by the largest absolute one of its layer


class Diagram(NamedTuple):
    """What there is to draw; x goes from 0 to the number of layers less one, y from 0 to 1."""

    nodes: list[Node]
    links: list[Link]
    captions: list[str]  # one a layer
    most: int  # nodes of the largest layer


def network_diagram(
    coefs: Sequence[np.ndarray],
    intercepts: Sequence[np.ndarray],
    input_names: Sequence[str],
    output_names: Sequence[str],
    activations: Sequence[str],
    *,
    shades: Sequence[np.ndarray] | None = None,
    most_units: int = 20,
) -> Diagram:
    """Lay a network out from left to right.

    Parameters
    ----------
    coefs, intercepts : lists of ndarray
        As `coefs_` and `intercepts_`; a layer's line widths are relative to its largest entry.
    input_names, output_names : sequences of str
    activations : sequence of str
        One name a layer, the output's last.
    shades : list of ndarray of shape (units,), default=None
        Shade of each unit, inputs included, between 0 and 1.
    most_units : int, default=20
        Of a larger layer the units with the largest weights are shown, in their order.
    """
    kept = [_strongest(layer, coefs, most_units) for layer in range(len(coefs) + 1)]
    biased = [bool(np.any(intercept)) for intercept in intercepts]
    n_units = [coefs[0].shape[0], *(coef.shape[1] for coef in coefs)]
    counts = [
        (layer < len(coefs) and biased[layer]) + len(units) + (len(units) < n_units[layer])
        for layer, units in enumerate(kept)
    ]
    step = 1.0 / max(counts)
    names = {0: input_names, len(coefs): output_names}

    nodes, places, bias_places = [], [], []
    for layer, units in enumerate(kept):
        ys = 0.5 + step * (0.5 * (counts[layer] - 1) - np.arange(counts[layer]))
        ys = list(ys)
        bias_places.append(None)
        if layer < len(coefs) and biased[layer]:
            bias_places[-1] = (float(layer), ys.pop(0))
            nodes.append(Node(*bias_places[-1], "bias", "1", np.nan))
        places.append({})
        for unit in units:
            places[-1][unit] = (float(layer), ys.pop(0))
            label = str(names[layer][unit]) if layer in names else ""
            shade = np.nan if shades is None else float(shades[layer][unit])
            nodes.append(Node(*places[-1][unit], "unit", label, shade))
        if ys:
            label = f"{n_units[layer] - len(units)} more"
            nodes.append(Node(float(layer), ys.pop(0), "rest", label, np.nan))

    links = []
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        largest = max(np.abs(coef).max(), np.abs(intercept).max(), np.finfo(float).tiny)
        for after in kept[layer + 1]:
            end = places[layer + 1][after]
            if biased[layer]:
                links.append(Link(bias_places[layer], end, float(intercept[after] / largest)))
            for before in kept[layer]:
                weight = float(coef[before, after] / largest)
                links.append(Link(places[layer][before], end, weight))
    links.sort(key=lambda link: abs(link.weight))  # the strongest on top
    return Diagram(nodes, links, ["inputs", *activations], max(counts))


def _strongest(layer, coefs, most_units) -> list[int]:
    """Units of a layer with the largest weights, in their order."""
    strength = np.ones(coefs[layer].shape[0] if layer < len(coefs) else coefs[-1].shape[1])
    if layer < len(coefs):
        strength *= np.linalg.norm(coefs[layer], axis=1)
    if layer > 0:
        strength *= np.linalg.norm(coefs[layer - 1], axis=0)
    return sorted(np.argsort(-strength, kind="stable")[:most_units].tolist())


def unit_shades(coefs, intercepts, activations, X) -> list[np.ndarray]:
    """Mean activation of each unit over the rows of X: from 0, the least of its layer, to 1.

    Parameters
    ----------
    coefs, intercepts : lists of ndarray
    activations : sequence
        One a layer, as kept by the estimator.
    X : ndarray of shape (n_samples, n_features)
        In the units of `coefs`.

    Returns
    -------
    shades : list of ndarray of shape (units,)
        One a layer, inputs included.
    """
    values, _ = layer_values(coefs, intercepts, activations, np.asarray(X, dtype=np.float64))
    means = [value.mean(axis=0) for value in values]
    return [_between_0_and_1(value) for value in means]


def _between_0_and_1(values) -> np.ndarray:
    spread = np.ptp(values)
    return np.full(len(values), 0.5) if spread == 0 else (values - values.min()) / spread


def unwrapped(estimator):
    """Give what comes before the network within pipelines and searches, in order; and the network.

    A pipeline may end in a search, and what a search has found may be a pipeline.
    """
    before = []
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            if len(estimator.steps) > 1:
                before.append(estimator[:-1])
            estimator = estimator.steps[-1][1]
        else:
            return before, estimator


def last_step(estimator):
    """Find the network, or the ensemble, within pipelines and searches."""
    return unwrapped(estimator)[1]


def one_network(estimator):
    """Find the one fitted network within pipelines and searches.

    Raises
    ------
    TypeError
        When there is an ensemble instead.
    """
    network = last_step(estimator)
    check_is_fitted(network)
    if hasattr(network, "_members"):
        raise TypeError(
            f"A {type(network).__name__} holds {len(network.estimators_)} networks, and one is "
            "asked for. That of the greatest weight is estimators_[weights_.argmax()]."
        )
    return network


def input_names(estimator, n_features, feature_names):
    if feature_names is not None:
        if len(feature_names) != n_features:
            raise ValueError(
                f"feature_names has {len(feature_names)} entries, but the network has "
                f"{n_features} inputs."
            )
        return [str(name) for name in feature_names]
    before, network = unwrapped(estimator)
    names = getattr(network, "feature_names_in_", None)
    if names is None:  # what the pipelines' transformers call them
        try:
            for transformers in before:
                names = transformers.get_feature_names_out(names)
        except (AttributeError, ValueError):  # a transformer that does not know names
            names = None
    if names is None or len(names) != n_features:
        return [f"x{number}" for number in range(n_features)]
    return [str(name) for name in names]


def diagram_of(estimator, X=None, *, feature_names=None, output_names=None, most_units=20):
    """Lay out the network of a fitted estimator; the parameters are those of `NetworkDisplay`."""
    network = one_network(estimator)
    coefs = [np.asarray(coef, dtype=float) for coef in network.coefs_]
    intercepts = [np.asarray(intercept, dtype=float) for intercept in network.intercepts_]
    activations = getattr(network, "_layer_activations", None)
    if activations is None:  # an MLPRegressor
        activations = [network.activation] * (len(coefs) - 1) + [network.out_activation_]
    n_inputs, n_outputs = coefs[0].shape[0], coefs[-1].shape[1]
    if output_names is None:
        output_names = ["y"] if n_outputs == 1 else [f"y{k}" for k in range(n_outputs)]
    scaling = getattr(network, "_scaling", None)
    shades = None
    if X is not None:
        rows = _inputs_of_network(estimator, X)
        shades = unit_shades(coefs, intercepts, activations, rows)
        if scaling is not None:
            inputs = ((rows - scaling.x_mean) / scaling.x_scale).mean(axis=0)
            spread = max(np.ptp(inputs), np.finfo(float).tiny)
            shades[0] = (inputs - inputs.min()) / spread
    if scaling is not None:
        # Scaling.fold undone, but without the shift of the output: it is no part of the picture.
        intercepts[0] = intercepts[0] + scaling.x_mean @ coefs[0]
        coefs[0] = coefs[0] * scaling.x_scale[:, None]
        intercepts[-1] = (intercepts[-1] - scaling.y_mean) / scaling.y_scale
        coefs[-1] = coefs[-1] / scaling.y_scale
        for intercept, kept in zip(intercepts, network.intercepts_, strict=True):
            intercept[np.asarray(kept) == 0] = 0.0  # bias=False stays exactly that
    return network_diagram(
        coefs,
        intercepts,
        input_names(estimator, n_inputs, feature_names),
        output_names,
        [name_of(activation) for activation in activations],
        shades=shades,
        most_units=most_units,
    )


def _inputs_of_network(estimator, X):
    """Give X as the network of a pipeline sees it."""
    before, network = unwrapped(estimator)
    for transformers in before:
        X = transformers.transform(X)
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float)
    if X.ndim != 2 or X.shape[1] != network.coefs_[0].shape[0]:
        raise ValueError(
            f"X has the shape {X.shape}, but the network has {network.coefs_[0].shape[0]} inputs."
        )
    return X
