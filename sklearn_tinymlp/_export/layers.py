"""The layers of a network or an ensemble, for its exports; formulas and arrays as source text."""

import re
import textwrap
from collections import Counter
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._activations.formulas import WHICH_CAN, formula_of
from .._activations.lookup import name_of


def layers_of(estimator, function, dtype=None):
    """Return (coefs, intercepts, formula) of each layer, and the dtype, by default the weights'."""
    if not hasattr(estimator, "_layers"):
        raise TypeError(
            f"{function} takes a TinyMLPRegressor or a TinyMLPEnsembleRegressor, got "
            f"{type(estimator).__name__}. Pass the last step of a pipeline; scaling within the "
            "network (standardize=True) is exported with it."
        )
    check_is_fitted(estimator)
    dtype = np.dtype(dtype or estimator.coefs_[0].dtype)
    layers = []
    for coefs, intercepts, activation in estimator._layers():
        formula = formula_of(activation, dtype)
        if formula is None:
            raise ValueError(
                f"The activation {name_of(activation)!r} is a function of your own, which "
                f"{function} cannot export. {WHICH_CAN}"
            )
        layers.append((coefs.astype(dtype), intercepts.astype(dtype), formula))
        if not all(np.isfinite(weights).all() for weights in layers[-1][:2]):
            raise ValueError("A weight is not finite (in the dtype of the export).")
    return layers, dtype


class Part(NamedTuple):
    """A network; or the networks of an ensemble that differ in their numbers only."""

    suffix: str  # of names in the source: "" for a network, "_1", "_2", ... within an ensemble
    layers: list  # (coefs, intercepts, formula); in an ensemble the first axis counts networks
    weights: list[float] | None  # weight of each network of an ensemble

    @property
    def n_inputs(self) -> int:
        """Number of inputs."""
        return self.layers[0][0].shape[-2]

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        return self.layers[-1][0].shape[-1]

    @property
    def title(self) -> str:
        """The sizes and the activations of the layers."""
        units = [self.n_inputs, *(b.shape[-1] for _, b, _ in self.layers)]
        sizes = "-".join(map(str, units))
        return f"{sizes} network ({', '.join(f.called for _, _, f in self.layers)})"


def parts_of(estimator, function, dtype=None) -> tuple[list[Part], np.dtype]:
    """Return a network as one part, an ensemble as one per combination of shapes and formulas."""
    if not hasattr(estimator, "_members"):
        layers, dtype = layers_of(estimator, function, dtype)
        return [Part("", layers, None)], dtype
    check_is_fitted(estimator)
    members = estimator._members()
    dtype = np.dtype(dtype or np.result_type(*(member.coefs_[0] for _, member in members)))
    alike: dict[tuple, list] = {}
    for weight, member in members:
        layers, _ = layers_of(member, function, dtype)
        key = tuple((coefs.shape, formula) for coefs, _, formula in layers)
        alike.setdefault(key, []).append((weight, layers))
    parts = []
    for number, networks in enumerate(alike.values(), 1):
        weights, layers = zip(*networks, strict=True)
        stacked = []
        for layer in zip(*layers, strict=True):
            coefs, intercepts, formulas = zip(*layer, strict=True)
            stacked.append((np.stack(coefs), np.stack(intercepts), formulas[0]))
        parts.append(Part(f"_{number}", stacked, list(weights)))
    return parts, dtype


def functions_of(parts):
    """Return, for each formula, the last part of the name of its function in the source."""
    taken, functions = Counter(), {}
    for formula in dict.fromkeys(formula for part in parts for _, _, formula in part.layers):
        if formula.name != "identity":
            name, _, _ = formula.called.partition("(")
            taken[name] += 1
            functions[formula] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return functions


def filled(source, formula, number_of) -> str:
    """Replace the constants of a formula by numbers; a factor of 1 is dropped."""
    for name, constant in formula.constants:
        if constant == 1.0:
            source = source.replace(f"{name} * ", "").replace(f" / {name}", "")
        source = re.sub(rf"\b{name}\b", number_of(constant), source)
    return source


def title(parts) -> str:
    if parts[0].weights is None:
        return f"A {parts[0].title}, by sklearn-tinymlp."
    n_networks = sum(len(part.weights) for part in parts)
    return f"An ensemble of {n_networks} networks, by sklearn-tinymlp."


def nested(values, left, right, number_of) -> str:
    """Write an array as nested brackets, in lines below 100 characters."""
    if values.ndim > 1:
        rows = [nested(row, left, right, number_of) for row in values]
        return f"{left}\n" + "".join(f"{indented(row)},\n" for row in rows) + right
    numbers = f"{left}{', '.join(map(number_of, values))}{right}"
    if len(numbers) <= 80:
        return numbers
    return f"{left}\n{indented(textwrap.fill(numbers[1:-1], 80))}\n{right}"


def indented(text) -> str:
    return textwrap.indent(text, "    ")
