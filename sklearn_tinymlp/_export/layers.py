"""What both exports write: layers, formulas, numbers."""

import re
import textwrap
from collections import Counter

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .._activations.formulas import WHICH_CAN, formula_of
from .._activations.lookup import name_of


def layers_of(estimator, function, dtype=None):
    """Give (coefs, intercepts, formula) of each layer in a dtype, by default the weights' own."""
    if not hasattr(estimator, "_layers"):
        raise TypeError(
            f"{function} takes a TinyMLPRegressor, got {type(estimator).__name__}. Of a pipeline "
            "take its last step; scaling within the network (standardize=True) is exported with it."
        )
    check_is_fitted(estimator)
    dtype = np.dtype(dtype or estimator.coefs_[0].dtype)
    layers = []
    for coefs, intercepts, activation in estimator._layers():
        formula = formula_of(activation, dtype)
        if formula is None:
            raise ValueError(
                f"The activation {name_of(activation)!r} is a function of your own, which "
                f"{function} cannot write. {WHICH_CAN}"
            )
        layers.append((coefs.astype(dtype), intercepts.astype(dtype), formula))
        if not all(np.isfinite(weights).all() for weights in layers[-1][:2]):
            raise ValueError("A weight is not finite (in the dtype of the export).")
    return layers, dtype


def functions_of(layers):
    """Give each formula that needs a function in the source the last part of that one's name."""
    taken, functions = Counter(), {}
    for formula in dict.fromkeys(formula for _, _, formula in layers):
        if formula.name != "identity":
            name, _, _ = formula.called.partition("(")
            taken[name] += 1
            functions[formula] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return functions


def filled(source, formula, number_of) -> str:
    """Put numbers in the places of a formula's constants; by 1 nothing is multiplied."""
    for name, constant in formula.constants:
        if constant == 1.0:
            source = source.replace(f"{name} * ", "").replace(f" / {name}", "")
        source = re.sub(rf"\b{name}\b", number_of(constant), source)
    return source


def title(layers) -> str:
    units = [layers[0][0].shape[0], *(len(intercepts) for _, intercepts, _ in layers)]
    sizes, activations = "-".join(map(str, units)), ", ".join(f.called for _, _, f in layers)
    return f"A {sizes} network ({activations}), by sklearn-tinymlp."


def nested(values, left, right, number_of) -> str:
    """Write an array of one or two dimensions as nested brackets, in lines below 100 characters."""
    if values.ndim == 2:
        rows = [nested(row, left, right, number_of) for row in values]
        return f"{left}\n" + "".join(f"{indented(row)},\n" for row in rows) + right
    numbers = f"{left}{', '.join(map(number_of, values))}{right}"
    if len(numbers) <= 80:
        return numbers
    return f"{left}\n{indented(textwrap.fill(numbers[1:-1], 80))}\n{right}"


def indented(text) -> str:
    return textwrap.indent(text, "    ")
