"""The layout of a network's diagram: the positions of nodes and lines, and the units shown."""

from typing import NamedTuple

import numpy as np

from .._activations.lookup import name_of
from .._network.architecture import Architecture
from .._network.derivatives import layer_values
from .._training.fitted_weights import architecture_of
from .base import fitted_network, input_names, unwrap


class Node(NamedTuple):
    """A unit, an intercept ("bias"), or a placeholder for the units not shown ("rest")."""

    x: float  # index of the layer
    y: float  # between 0 and 1
    kind: str
    label: str  # name of an input or output
    shade: float  # between 0 (light) and 1 (dark), NaN without an activation


class Link(NamedTuple):
    """A weight between two nodes."""

    start: tuple[float, float]
    end: tuple[float, float]
    weight: float  # divided by the largest absolute weight of its layer


class Diagram(NamedTuple):
    """Nodes and lines; x is between 0 and the number of layers minus one, y between 0 and 1."""

    nodes: list[Node]
    links: list[Link]
    captions: list[str]  # one per layer
    most: int  # number of nodes of the largest layer


def network_diagram(
    coefs, intercepts, input_names, output_names, activations, *, shades=None, most_units=20
) -> Diagram:
    """Lay out a network from left to right.

    `activations` are the names of those of the layers, and `shades` of each unit, inputs included,
    are between 0 and 1. Of a layer the `most_units` with the largest weights are shown, in order.
    """
    n_units = [coefs[0].shape[0], *(coef.shape[1] for coef in coefs)]
    kept = [_strongest(layer, coefs, most_units) for layer in range(len(n_units))]
    columns = [list(units) for units in kept]
    for column, intercept in zip(columns[:-1], intercepts, strict=True):
        if np.any(intercept):
            column.insert(0, "bias")
    for column, units, n_all in zip(columns, kept, n_units, strict=True):
        if len(units) < n_all:
            column.append("rest")
    most = max(map(len, columns))
    names = {0: input_names, len(coefs): output_names}

    nodes, positions = [], []
    for layer, column in enumerate(columns):
        positions.append({})
        for place, unit in enumerate(column):
            y = 0.5 + 1.0 / most * (0.5 * (len(column) - 1) - place)
            positions[layer][unit] = (float(layer), y)
            kind, shade = unit, np.nan
            if unit == "bias":
                label = "1"
            elif unit == "rest":
                label = f"{n_units[layer] - len(kept[layer])} more"
            else:
                kind, label = "unit", str(names[layer][unit]) if layer in names else ""
                shade = np.nan if shades is None else float(shades[layer][unit])
            nodes.append(Node(float(layer), y, kind, label, shade))

    links = []
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        largest = max(np.abs(coef).max(), np.abs(intercept).max(), np.finfo(float).tiny)
        for after in kept[layer + 1]:
            for before, start in positions[layer].items():
                if before != "rest":
                    weight = intercept[after] if before == "bias" else coef[before, after]
                    end = positions[layer + 1][after]
                    links.append(Link(start, end, float(weight / largest)))
    links.sort(key=lambda link: abs(link.weight))  # the largest weights are drawn on top
    return Diagram(nodes, links, ["inputs", *activations], most)


def _strongest(layer, coefs, most_units) -> list[int]:
    """Return the indices of the units of a layer with the largest weights, in order."""
    strength = 1.0
    if layer < len(coefs):
        strength *= np.linalg.norm(coefs[layer], axis=1)
    if layer > 0:
        strength *= np.linalg.norm(coefs[layer - 1], axis=0)
    return sorted(np.argsort(-strength, kind="stable")[:most_units].tolist())


def diagram_of(estimator, X=None, *, feature_names=None, output_names=None, most_units=20):
    """Lay out the network of a fitted estimator; the parameters are those of `NetworkDisplay`."""
    network = fitted_network(estimator, single=True)
    coefs = [np.asarray(coef, dtype=float) for coef in network.coefs_]
    intercepts = [np.asarray(intercept, dtype=float) for intercept in network.intercepts_]
    activations = getattr(network, "_layer_activations", None)
    if activations is None:  # an MLPRegressor
        activations = [network.activation] * (len(coefs) - 1) + [network.out_activation_]
    names = input_names(estimator, coefs[0].shape[0], feature_names)
    rows = None if X is None else _inputs_of_network(estimator, X)
    layer = getattr(network, "_input_layer", None)
    if layer is not None:  # the network that was trained, on features of the inputs
        coefs, intercepts = layer.removed(coefs, intercepts)
        activations, names = activations[1:], layer.feature_names(names)
        rows = None if rows is None else layer.features(rows)
    if output_names is None:
        n_outputs = coefs[-1].shape[1]
        output_names = ["y"] if n_outputs == 1 else [f"y{k}" for k in range(n_outputs)]
    scaling = getattr(network, "_scaling", None)
    shades = None
    if rows is not None:
        values, _ = layer_values(coefs, intercepts, activations, rows)
        shades = [_relative(value.mean(axis=0), constant=0.5) for value in values]
        if scaling is not None:
            inputs = ((rows - scaling.x_mean) / scaling.x_scale).mean(axis=0)
            shades[0] = _relative(inputs, constant=0.0)
    if scaling is not None:
        units = (coefs[0].shape[0], *(coef.shape[1] for coef in coefs))
        architecture = Architecture(units, architecture_of(vars(network)).bias)
        theta = architecture.pack(coefs, intercepts, np.float64)
        coefs, intercepts = architecture.unpack(scaling.unfold(architecture, theta))
    return network_diagram(
        coefs,
        intercepts,
        names,
        output_names,
        [name_of(activation) for activation in activations],
        shades=shades,
        most_units=most_units,
    )


def _relative(values, constant) -> np.ndarray:
    """Map values linearly to [0, 1]; to `constant` if all are equal."""
    spread = np.ptp(values)
    return np.full(len(values), constant) if spread == 0 else (values - values.min()) / spread


def _inputs_of_network(estimator, X):
    """Return X as transformed by the pipeline before the network."""
    transformers, network = unwrap(estimator)
    for transformer in transformers:
        X = transformer.transform(X)
    X = X.toarray() if hasattr(X, "toarray") else np.asarray(X, dtype=float)
    if X.ndim != 2 or X.shape[1] != network.coefs_[0].shape[0]:
        raise ValueError(
            f"X has the shape {X.shape}, but the network has {network.coefs_[0].shape[0]} inputs."
        )
    return X
