"""`to_python`: a fitted network as a Python function."""

import keyword

from .._activations.table import ROW_OF
from .layers import filled, functions_of, indented, layers_of, nested, title


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
    layers, dtype = layers_of(estimator, "to_python")
    if not name.isidentifier() or keyword.iskeyword(name) or name in ("np", "math"):
        raise ValueError(f"name must be a name in Python that is not taken, got {name!r}.")
    functions = functions_of(layers)
    n_in, n_out = layers[0][0].shape[0], layers[-1][0].shape[1]
    out = [f'"""{title(layers)}"""\n\n']
    out.append("import math\n\n" if any(f.name == "gelu" for f in functions) else "")
    out.append("import numpy as np\n\n")
    for number, (coefs, intercepts, _) in enumerate(layers, 1):
        for kind, values in (("COEFS", coefs), ("INTERCEPTS", intercepts)):
            literal = nested(values, "[", "]", _python_number)
            out.append(
                f"{name.upper()}_{kind}_{number} = np.array(\n{indented(literal)},\n"
                f"    dtype=np.{dtype.name},\n)\n"
            )
    for formula, function in functions.items():
        source = ROW_OF[formula.name].python.format(name=f"_{name}_{function}")
        out.append("\n\n" + filled(source, formula, repr))
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


def _python_number(value) -> str:
    """Write the shortest decimal that gives the value back, read as a double and rounded."""
    short = str(value)
    return short if type(value)(float(short)) == value else repr(float(value))
