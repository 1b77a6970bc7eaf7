"""Writes a fitted network as source code that needs nothing of this package: NumPy, or C99."""

import keyword
import re
import textwrap
from collections import Counter

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._activations import name_of
from ._formulas import WHICH_CAN, formula_of
from ._regressor import TinyMLPRegressor

# ---------------------------------------------------------------------------------- Python

# Functions of an array z. float32 stays float32: Python's numbers do not widen it. `_filled` puts
# numbers in the places of the constants.
PYTHON_ACTIVATIONS = {
    "logistic": """\
def {name}(z):
    e = np.exp(-np.abs(z))  # at most 1: never overflows
    return np.where(z > 0, 1, e) / (1 + e)
""",
    "scaled_tanh": """\
def {name}(z):
    return scale * np.tanh(rate * z)
""",
    "relu": """\
def {name}(z):
    return np.maximum(z, 0)
""",
    "leaky_relu": """\
def {name}(z):
    return np.where(z > 0, z, negative_slope * z)
""",
    "elu": """\
def {name}(z):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))
""",
    "softplus": """\
def {name}(z):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(beta * z))) / beta
""",
    "swish": """\
def {name}(z):
    e = np.exp(-np.abs(beta * z))  # at most 1: never overflows
    return z * np.where(z > 0, 1, e) / (1 + e)
""",
    "gelu": """\
def {name}(z):
    erf = [math.erf(number) for number in (z * math.sqrt(0.5)).ravel().tolist()]
    return z * (0.5 * (1 + np.array(erf, dtype=z.dtype).reshape(z.shape)))
""",
    "sin": """\
def {name}(z):
    return np.sin(z)
""",
    "exp": """\
def {name}(z):
    return np.exp(z)
""",
}

# --------------------------------------------------------------------------------------- C

# Functions of a number z. `real` becomes double or float, and in float `exp` becomes `expf`.
C_ACTIVATIONS = {
    "logistic": """\
    real e = exp(-fabs(z)); /* at most 1: never overflows */
    return (z > 0 ? 1 : e) / (1 + e);
""",
    "scaled_tanh": "    return scale * tanh(rate * z);\n",
    "relu": "    return z > 0 ? z : 0;\n",
    "leaky_relu": "    return z > 0 ? z : negative_slope * z;\n",
    "elu": "    return z > 0 ? z : alpha * expm1(z);\n",
    "softplus": "    return (z > 0 ? z : 0) + log1p(exp(-fabs(beta * z))) / beta;\n",
    "swish": """\
    real e = exp(-fabs(beta * z)); /* at most 1: never overflows */
    return z * (z > 0 ? 1 : e) / (1 + e);
""",
    "gelu": "    return z * ((real)0.5 * (1 + erf(z * (real)0.70710678118654752)));\n",
    "sin": "    return sin(z);\n",
    "exp": "    return exp(z);\n",
}

C_FUNCTIONS = ("exp", "expm1", "log1p", "fabs", "tanh", "erf", "sin")

C_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main _Bool _Complex _Imaginary".split()
)


def to_python(estimator, *, name="predict") -> str:
    """Write a fitted network as a Python function that needs NumPy alone.

    Parameters
    ----------
    estimator : TinyMLPRegressor
        A fitted network, with activations that are built in or of `sklearn_tinymlp.activations`.

    name : str, default='predict'
        Name of the function.

    Returns
    -------
    source : str
        A module with the function ``predict(X)``, for X of shape (n_samples, n_features). It gives
        what `predict` gives, to rounding, in its shape and dtype. Any standardisation is within
        the weights.

    Raises
    ------
    TypeError
        When `estimator` is not a TinyMLPRegressor.

    NotFittedError
        When it is not fitted.

    ValueError
        When an activation is a function of the user's own, when a weight or a constant of an
        activation is not finite in the dtype of the weights, or when `name` is not a name.

    See Also
    --------
    to_c : The same in C.

    Examples
    --------
    >>> from sklearn_tinymlp import TinyMLPRegressor, to_python
    >>> X, y = [[1.0], [2.0], [3.0]], [5.0, 4.0, 3.0]
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    >>> module = {}
    >>> exec(to_python(net), module)
    >>> module["predict"](X).round(2)
    array([5., 4., 3.])
    """
    layers, dtype = _layers(estimator, "to_python")
    if not name.isidentifier() or keyword.iskeyword(name) or name in ("np", "math"):
        raise ValueError(f"name must be a name in Python that is not taken, got {name!r}.")
    functions = _functions(layers)
    n_in, n_out = layers[0][0].shape[0], layers[-1][0].shape[1]
    out = [f'"""{_title(layers)}"""\n\n']
    out.append("import math\n\n" if any(f.name == "gelu" for f in functions) else "")
    out.append("import numpy as np\n\n")
    for number, (coefs, intercepts, _) in enumerate(layers, 1):
        for kind, values in (("COEFS", coefs), ("INTERCEPTS", intercepts)):
            literal = _nested(values, "[", "]", _python_number)
            out.append(
                f"{name.upper()}_{kind}_{number} = np.array(\n{_indented(literal)},\n"
                f"    dtype=np.{dtype.name},\n)\n"
            )
    for formula, function in functions.items():
        source = PYTHON_ACTIVATIONS[formula.name].format(name=f"_{name}_{function}")
        out.append("\n\n" + _filled(source, formula, repr))
    shape = "(n_samples,)" if n_out == 1 else f"(n_samples, {n_out})"
    out.append(
        f'\n\ndef {name}(X):\n    """Predict y of shape {shape} from X of shape (n_samples, {n_in}'
        ')."""\n'
        "    a = np.asarray(X)\n"
        f"    if a.ndim != 2 or a.shape[1] != {n_in}:\n"
        f'        raise ValueError(f"X must be of shape (n_samples, {n_in}), got {{a.shape}}.")\n'
        f"    a = a.astype(np.result_type(a.dtype, np.{dtype.name}))\n"
    )
    for number, (_, _, formula) in enumerate(layers, 1):
        sums = f"a @ {name.upper()}_COEFS_{number} + {name.upper()}_INTERCEPTS_{number}"
        sums = f"_{name}_{functions[formula]}({sums})" if formula in functions else sums
        out.append(f"    a = {sums}\n")
    out.append("    return a[:, 0]\n" if n_out == 1 else "    return a\n")
    return "".join(out)


def to_c(estimator, *, name="predict", dtype=None) -> str:
    """Write a fitted network as a C99 function without allocation.

    Parameters
    ----------
    estimator : TinyMLPRegressor
        A fitted network, with activations that are built in or of `sklearn_tinymlp.activations`.

    name : str, default='predict'
        Name of the function, and the first part of all other names in the source, so that
        several networks fit into one program.

    dtype : {'float32', 'float64'}, default=None
        Whether to compute in `float` or in `double`; None means the precision of the weights.
        Weights of unscaled features cancel: test 'float32' on data of your own.

    Returns
    -------
    source : str
        One file, to be linked with ``-lm``. ``void predict(const double x[n_features], double
        y[n_outputs])`` gives what `predict` gives for one row, to rounding. The weights are
        constants, and the stack holds the values of the hidden layers. Any standardisation is
        within the weights.

    Raises
    ------
    TypeError
        When `estimator` is not a TinyMLPRegressor.

    NotFittedError
        When it is not fitted.

    ValueError
        When an activation is a function of the user's own, when a weight or a constant of an
        activation is not finite in `dtype`, or when `name` or `dtype` are not of those allowed.

    See Also
    --------
    to_python : The same in Python.

    Examples
    --------
    >>> from sklearn_tinymlp import TinyMLPRegressor, to_c
    >>> X, y = [[1.0], [2.0], [3.0]], [5.0, 4.0, 3.0]
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    >>> source = to_c(net, name="tank_level")
    >>> "void tank_level(const double x[1], double y[1])" in source
    True
    """
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be 'float32', 'float64' or None, got {dtype!r}.")
    layers, dtype = _layers(estimator, "to_c", dtype)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in C_KEYWORDS | set(C_FUNCTIONS):
        raise ValueError(f"name must be a name in C that is not taken, got {name!r}.")
    single = dtype == np.float32
    real, suffix = ("float", "f") if single else ("double", "")
    number_of = _c_float if single else _c_double
    n_in, n_out = layers[0][0].shape[0], layers[-1][0].shape[1]
    signature = f"void {name}(const {real} x[{n_in}], {real} y[{n_out}])"
    functions = _functions(layers)
    out = [
        f"/* {_title(layers)}\n\n"
        f"       {signature};\n\n"
        "   predicts y from one row x; the two must not overlap. C99, link with -lm. */\n\n"
    ]
    if any(word in C_ACTIVATIONS[f.name] for f in functions for word in C_FUNCTIONS):
        out.append("#include <math.h>\n\n")
    out.append(f"{signature};\n")
    for number, (coefs, intercepts, _) in enumerate(layers, 1):
        rows, columns = coefs.T.shape
        for kind, size, values in (
            ("coefs", f"[{rows}][{columns}]", coefs.T),  # a row a unit: read in order
            ("intercepts", f"[{rows}]", intercepts),
        ):
            literal = _nested(values, "{", "}", number_of)
            out.append(
                f"\nstatic const {real} {name}_{kind}_{number}{size} =\n{_indented(literal)};\n"
            )
    for formula, function in functions.items():
        body = C_ACTIVATIONS[formula.name].replace("real", real)
        body = re.sub(rf"\b({'|'.join(C_FUNCTIONS)})\(", rf"\1{suffix}(", body)
        body = re.sub(r"\(float\)(\d+\.\d+)", r"\1f", body).replace("(double)", "")
        body = _filled(body, formula, lambda constant: number_of(dtype.type(constant)))
        out.append(f"\nstatic {real} {name}_{function}({real} z)\n{{\n{body}}}\n")
    hidden = [coefs.shape[1] for coefs, _, _ in layers[:-1]]
    out.append(f"\n{signature}\n{{\n")
    out += [f"    {real} a{number}[{units}];\n" for number, units in enumerate(hidden, 1)]
    out.append("    int i, j;\n")
    for number, (coefs, _, formula) in enumerate(layers, 1):
        before = "x" if number == 1 else f"a{number - 1}"
        after = "y" if number == len(layers) else f"a{number}"
        value = f"{name}_{functions[formula]}(z)" if formula in functions else "z"
        out.append(
            f"\n    for (j = 0; j < {coefs.shape[1]}; j++) {{\n"
            f"        {real} z = {name}_intercepts_{number}[j];\n"
            f"        for (i = 0; i < {coefs.shape[0]}; i++)\n"
            f"            z += {name}_coefs_{number}[j][i] * {before}[i];\n"
            f"        {after}[j] = {value};\n"
            "    }\n"
        )
    out.append("}\n")
    return "".join(out)


# -------------------------------------------------------------------------- shared by both


def _layers(estimator, function, dtype=None):
    """Give (coefs, intercepts, formula) of each layer in a dtype, by default the weights' own."""
    if not isinstance(estimator, TinyMLPRegressor):
        raise TypeError(
            f"{function} takes a TinyMLPRegressor, got {type(estimator).__name__}. Of a pipeline "
            "take its last step; scaling within the network (standardize=True) is exported with it."
        )
    check_is_fitted(estimator)
    dtype = np.dtype(dtype or estimator.coefs_[0].dtype)
    layers = []
    for coefs, intercepts, activation in zip(
        estimator.coefs_, estimator.intercepts_, estimator._layer_activations, strict=True
    ):
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


def _functions(layers):
    """Give each formula that needs a function in the source the last part of that one's name."""
    taken, functions = Counter(), {}
    for formula in dict.fromkeys(formula for _, _, formula in layers):
        if formula.name != "identity":
            name, _, _ = formula.called.partition("(")
            taken[name] += 1
            functions[formula] = name if taken[name] == 1 else f"{name}_{taken[name]}"
    return functions


def _filled(source, formula, number_of) -> str:
    """Put numbers in the places of a formula's constants; by 1 nothing is multiplied."""
    for name, constant in formula.constants:
        if constant == 1.0:
            source = source.replace(f"{name} * ", "").replace(f" / {name}", "")
        source = re.sub(rf"\b{name}\b", number_of(constant), source)
    return source


def _title(layers) -> str:
    units = [layers[0][0].shape[0], *(len(intercepts) for _, intercepts, _ in layers)]
    sizes, activations = "-".join(map(str, units)), ", ".join(f.called for _, _, f in layers)
    return f"A {sizes} network ({activations}), by sklearn-tinymlp."


def _python_number(value) -> str:
    """Write the shortest decimal that gives the value back, read as a double and rounded."""
    short = str(value)
    return short if type(value)(float(short)) == value else repr(float(value))


def _c_double(value) -> str:
    return repr(float(value))


def _c_float(value) -> str:
    """Write the shortest decimal that gives the value back; C reads it as a float at once."""
    return f"{value!s}f"


def _nested(values, left, right, number_of) -> str:
    """Write an array of one or two dimensions as nested brackets, in lines below 100 characters."""
    if values.ndim == 2:
        rows = [_nested(row, left, right, number_of) for row in values]
        return f"{left}\n" + "".join(f"{_indented(row)},\n" for row in rows) + right
    numbers = f"{left}{', '.join(map(number_of, values))}{right}"
    if len(numbers) <= 80:
        return numbers
    return f"{left}\n{_indented(textwrap.fill(numbers[1:-1], 80))}\n{right}"


def _indented(text) -> str:
    return textwrap.indent(text, "    ")
