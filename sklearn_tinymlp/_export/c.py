"""`to_c`: a fitted network as a C99 function."""

import re

import numpy as np

from .._activations.table import ROW_OF
from .layers import filled, functions_of, indented, layers_of, nested, title

C_FUNCTIONS = ("exp", "expm1", "log1p", "fabs", "tanh", "erf", "sin")

C_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main _Bool _Complex _Imaginary".split()
)


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
    layers, dtype = layers_of(estimator, "to_c", dtype)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in C_KEYWORDS | set(C_FUNCTIONS):
        raise ValueError(f"name must be a name in C that is not taken, got {name!r}.")
    single = dtype == np.float32
    real, suffix = ("float", "f") if single else ("double", "")
    number_of = _c_float if single else _c_double
    n_in, n_out = layers[0][0].shape[0], layers[-1][0].shape[1]
    signature = f"void {name}(const {real} x[{n_in}], {real} y[{n_out}])"
    functions = functions_of(layers)
    out = [
        f"/* {title(layers)}\n\n"
        f"       {signature};\n\n"
        "   predicts y from one row x; the two must not overlap. C99, link with -lm. */\n\n"
    ]
    if any(word in ROW_OF[f.name].c for f in functions for word in C_FUNCTIONS):
        out.append("#include <math.h>\n\n")
    out.append(f"{signature};\n")
    for number, (coefs, intercepts, _) in enumerate(layers, 1):
        rows, columns = coefs.T.shape
        for kind, size, values in (
            ("coefs", f"[{rows}][{columns}]", coefs.T),  # a row a unit: read in order
            ("intercepts", f"[{rows}]", intercepts),
        ):
            literal = nested(values, "{", "}", number_of)
            out.append(
                f"\nstatic const {real} {name}_{kind}_{number}{size} =\n{indented(literal)};\n"
            )
    for formula, function in functions.items():
        body = ROW_OF[formula.name].c.replace("real", real)
        body = re.sub(rf"\b({'|'.join(C_FUNCTIONS)})\(", rf"\1{suffix}(", body)
        body = re.sub(r"\(float\)(\d+\.\d+)", r"\1f", body).replace("(double)", "")
        body = filled(body, formula, lambda constant: number_of(dtype.type(constant)))
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


def _c_double(value) -> str:
    return repr(float(value))


def _c_float(value) -> str:
    """Write the shortest decimal that gives the value back; C reads it as a float at once."""
    return f"{value!s}f"
