"""`to_c`: a fitted network, or an ensemble, as a C99 function."""

import re

import numpy as np

from .._activations.table import ROW_OF
from .layers import Part, filled, functions_of, indented, nested, parts_of, title

C_FUNCTIONS = ("exp", "expm1", "log1p", "fabs", "tanh", "erf", "sin")

C_KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main _Bool _Complex _Imaginary".split()
)


def to_c(estimator, *, name="predict", dtype=None) -> str:
    """Write a fitted network, or an ensemble, as a C99 function without allocation.

    Parameters
    ----------
    estimator : TinyMLPRegressor or TinyMLPEnsembleRegressor
        A fitted network, with activations that are built in or of `sklearn_tinymlp.activations`;
        or an ensemble of such.

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
        constants, those of an ensemble's members of one shape in one table, and the stack holds
        the values of the hidden layers. Any standardisation is within the weights.

    Raises
    ------
    TypeError
        When `estimator` is of another kind.

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
    parts, dtype = parts_of(estimator, "to_c", dtype)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in C_KEYWORDS | set(C_FUNCTIONS):
        raise ValueError(f"name must be a name in C that is not taken, got {name!r}.")
    single = dtype == np.float32
    real, suffix = ("float", "f") if single else ("double", "")
    number_of = _c_float if single else _c_double
    layers = parts[0].layers
    n_in, n_out = layers[0][0].shape[-2], layers[-1][0].shape[-1]
    arguments = f"(const {real} x[{n_in}], {real} y[{n_out}])"
    signature = f"void {name}{arguments}"
    functions = functions_of(parts)
    out = [
        f"/* {title(parts)}\n\n"
        f"       {signature};\n\n"
        "   predicts y from one row x; the two must not overlap. C99, link with -lm. */\n\n"
    ]
    if any(word in ROW_OF[f.name].c for f in functions for word in C_FUNCTIONS):
        out.append("#include <math.h>\n\n")
    out.append(f"{signature};\n")
    for part in parts:
        out += _tables(part, f"{name}{part.suffix}", real, lambda v: number_of(dtype.type(v)))
    for formula, function in functions.items():
        body = ROW_OF[formula.name].c.replace("real", real)
        body = re.sub(rf"\b({'|'.join(C_FUNCTIONS)})\(", rf"\1{suffix}(", body)
        body = re.sub(r"\(float\)(\d+\.\d+)", r"\1f", body).replace("(double)", "")
        body = filled(body, formula, lambda constant: number_of(dtype.type(constant)))
        out.append(f"\nstatic {real} {name}_{function}({real} z)\n{{\n{body}}}\n")
    called = {formula: f"{name}_{function}(z)" for formula, function in functions.items()}
    for part in parts:
        static = "" if part.weights is None else "static "
        out.append(f"\n{static}void {name}{part.suffix}{arguments}\n")
        out += _body(part, f"{name}{part.suffix}", real, called)
    if parts[0].weights is not None:
        out.append(f"\n{signature}\n{{\n    int j;\n\n")
        out.append(f"    for (j = 0; j < {n_out}; j++)\n        y[j] = 0;\n")
        out += [f"    {name}{part.suffix}(x, y);\n" for part in parts]
        out.append("}\n")
    return "".join(out)


def _tables(part: Part, prefix, real, number_of) -> list[str]:
    """Write the weights of a part's networks as constants."""
    tables = []
    for number, (coefs, intercepts, _) in enumerate(part.layers, 1):
        rows = np.swapaxes(coefs, -1, -2)  # a row a unit: read in order
        tables += [(f"coefs_{number}", rows), (f"intercepts_{number}", intercepts)]
    out = []
    if part.weights is not None:
        out.append(f"\n/* {len(part.weights)} of them: a {part.title} each. */\n")
        tables.append(("weights", np.array(part.weights)))
    for kind, values in tables:
        size = "".join(f"[{length}]" for length in values.shape)
        literal = nested(values, "{", "}", number_of)
        out.append(f"\nstatic const {real} {prefix}_{kind}{size} =\n{indented(literal)};\n")
    return out


def _body(part: Part, prefix, real, called) -> list[str]:
    """Write how y follows from x; an ensemble's part adds to y what its networks give."""
    alone = part.weights is None
    member = "" if alone else "[m]"
    n_layers = len(part.layers)
    loops = []
    for number, (coefs, _, formula) in enumerate(part.layers, 1):
        n_before, n_after = coefs.shape[-2:]
        before = "x" if number == 1 else f"a{number - 1}"
        after = "y[j] =" if number == n_layers else f"a{number}[j] ="
        if number == n_layers and not alone:
            after = f"y[j] += {prefix}_weights[m] *"
        loops.append(
            f"    for (j = 0; j < {n_after}; j++) {{\n"
            f"        {real} z = {prefix}_intercepts_{number}{member}[j];\n"
            f"        for (i = 0; i < {n_before}; i++)\n"
            f"            z += {prefix}_coefs_{number}{member}[j][i] * {before}[i];\n"
            f"        {after} {called.get(formula, 'z')};\n"
            "    }\n"
        )
    out = ["{\n"]
    for number, (coefs, _, _) in enumerate(part.layers[:-1], 1):
        out.append(f"    {real} a{number}[{coefs.shape[-1]}];\n")
    out.append(f"    int i, j{'' if alone else ', m'};\n\n")
    steps = "\n".join(loops)
    if not alone:
        steps = f"    for (m = 0; m < {len(part.weights)}; m++) {{\n{indented(steps)}    }}\n"
    return [*out, steps, "}\n"]


def _c_double(value) -> str:
    return repr(float(value))


def _c_float(value) -> str:
    """Write the shortest decimal that gives the value back; C reads it as a float at once."""
    return f"{value!s}f"
