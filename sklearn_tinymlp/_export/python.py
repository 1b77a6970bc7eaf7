"""`to_python`: a fitted network, or an ensemble, as a Python function."""

import keyword

import numpy as np

from .._activations.table import ROW_OF
from .layers import Part, filled, functions_of, indented, nested, parts_of, title

KINDS = ("COEFS", "INTERCEPTS")
TAKEN = ("np", "math", "enumerate", "ValueError", "__debug__")  # used by the module, or a constant


def to_python(estimator, *, name="predict") -> str:
    """Write a fitted network, or an ensemble, as a Python function that needs only NumPy.

    Parameters
    ----------
    estimator : TinyMLPRegressor or TinyMLPEnsembleRegressor
        A fitted estimator whose activations are built in or from `sklearn_tinymlp.activations`.

    name : str, default='predict'
        Name of the function.

    Returns
    -------
    source : str
        A module with the function ``predict(X)``, for X of shape (n_samples, n_features). It
        computes `predict` up to rounding, in the same shape and dtype. Standardisation is included
        in the weights.

    Raises
    ------
    TypeError
        If `estimator` is of another type.

    NotFittedError
        If it is not fitted.

    ValueError
        If an activation is a user's own function, if a weight or a constant of an activation is
        not finite in the dtype of the weights, or if `name` is not a valid name.

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
    parts, dtype = parts_of(estimator, "to_python")
    if not name.isidentifier() or keyword.iskeyword(name) or name in TAKEN:
        raise ValueError(f"name must be a name in Python that is not taken, got {name!r}.")
    called = {formula: f"_{name}_{function}" for formula, function in functions_of(parts).items()}
    n_in, n_out = parts[0].n_inputs, parts[0].n_outputs
    out = [f'"""{title(parts)}"""\n\n']
    out.append("import math\n\n" if any(f.name == "gelu" for f in called) else "")
    out.append("import numpy as np\n\n")
    for part in parts:
        out += _tables(part, f"{name}{part.suffix}".upper(), dtype)
    for formula, function in called.items():
        source = ROW_OF[formula.name].python.format(name=function)
        out.append("\n\n" + filled(source, formula, repr))
    shape = "(n_samples,)" if n_out == 1 else f"(n_samples, {n_out})"
    predict = (
        f'\n\ndef {name}(X):\n    """Predict y of shape {shape} from X of shape (n_samples, {n_in}'
        ')."""\n'
        "    a = np.asarray(X)\n"
        f"    if a.ndim != 2 or a.shape[1] != {n_in}:\n"
        f'        raise ValueError(f"X must be of shape (n_samples, {n_in}), got {{a.shape}}.")\n'
        f"    a = a.astype(np.result_type(a.dtype, np.{dtype.name}))\n"
    )
    values = "a"
    for part in parts:
        prefix = f"{name}{part.suffix}"
        if part.weights is None:
            predict += _steps(part, prefix.upper(), called, "a")
            continue
        out.append(
            f'\n\ndef _{prefix}(X):\n    """Sum up what {len(part.weights)} networks give."""\n'
            "    y = 0.0\n"
            f"    for m, weight in enumerate({prefix.upper()}_WEIGHTS):\n"
            f"{indented(_steps(part, prefix.upper(), called, 'X'))}"
            "        y = y + weight * a\n    return y\n"
        )
        predict += f"    y = _{prefix}(a)\n" if values == "a" else f"    y = y + _{prefix}(a)\n"
        values = "y"
    column = "[:, 0]" if n_out == 1 else ""
    return "".join([*out, predict, f"    return {values}{column}\n"])


def _tables(part: Part, prefix, dtype) -> list[str]:
    """Write the weights of a part as arrays."""
    out = []
    if part.weights is not None:
        literal = nested(np.array(part.weights), "[", "]", _python_number)
        out.append(f"# {len(part.weights)} of them: a {part.title} each.\n")
        out.append(f"{prefix}_WEIGHTS = (\n{indented(literal)}\n)\n")
    for number, (coefs, intercepts, _) in enumerate(part.layers, 1):
        for kind, values in zip(KINDS, (coefs, intercepts), strict=True):
            literal = nested(values, "[", "]", _python_number)
            out.append(
                f"{prefix}_{kind}_{number} = np.array(\n{indented(literal)},\n"
                f"    dtype=np.{dtype.name},\n)\n"
            )
    return out


def _steps(part: Part, prefix, called, before) -> str:
    """Write the layers, one per line; the first layer reads `before`."""
    member, lines = "" if part.weights is None else "[m]", []
    for number, (_, _, formula) in enumerate(part.layers, 1):
        coefs, intercepts = (f"{prefix}_{kind}_{number}{member}" for kind in KINDS)
        sums = f"{before} @ {coefs} + {intercepts}"
        lines.append(
            f"    a = {called[formula]}({sums})\n" if formula in called else f"    a = {sums}\n"
        )
        before = "a"
    return "".join(lines)


def _python_number(value) -> str:
    """Write the shortest decimal that, read as a double and rounded, is the value."""
    short = str(value)
    return short if type(value)(float(short)) == value else repr(float(value))
