"""`to_c`: a fitted network, or an ensemble, as a C99 function, or as a header and a source."""

import re
from typing import NamedTuple

import numpy as np

from .._data.validation import validate_inputs
from .c_source import FixedSource, FloatSource
from .c_words import C_KEYWORDS, CPP_KEYWORDS, comment, enumerators, is_taken, rounded_up
from .fixed_point import fixed_point
from .layers import parts_of, title
from .self_test import self_test

FIXED = {"int8": 8, "int16": 16}
DTYPES = (None, "float32", "float64", *FIXED)
NAME_TAKEN = "name must be a name in C that is not taken, got {!r}."


class CFiles(NamedTuple):
    """A header, its source, and the largest error of fixed point against `predict`."""

    header: str
    source: str
    error_bound: np.ndarray | None


def to_c(estimator, *, name="predict", dtype=None, header=False, X=None, progmem=False):
    """Write a fitted network, or an ensemble, as a C99 function without allocation.

    Parameters
    ----------
    estimator : TinyMLPRegressor or TinyMLPEnsembleRegressor
        A fitted estimator whose activations are built in or from `sklearn_tinymlp.activations`.

    name : str, default='predict'
        Name of the function, and prefix of all other names in the source, so that one program can
        contain several networks.

    dtype : {'float32', 'float64', 'int16', 'int8'}, default=None
        Arithmetic: `float`, `double`, or integers of 16 or 8 bits with sums of 32 bits. If None,
        the precision of the weights. With unscaled features large terms cancel: test 'float32' on
        data of your own. Integers do not have this problem, but need `X`.

    header : bool, default=False
        Whether to write two files for a project: `name`.h, with guards for C++, an enum of the
        features and their names in comments, and `name`.c, which includes it.

    X : array-like of shape (n_samples, n_features), default=None
        Rows similar to the training data. If given, the source has a `main`, compiled with
        ``-DTEST``, that compares ten of them with `predict`. For integers their ranges are the
        ranges of the inputs; values beyond them are clipped.

    progmem : bool, default=False
        Whether AVR reads the weights from flash memory, so that they take no RAM. Other processors
        ignore it. Not available with 'float64', a type that AVR lacks.

    Returns
    -------
    source : str or CFiles
        One file, to be linked with ``-lm``. ``void predict(const double x[n_features], double
        y[n_outputs])`` computes `predict` for one row, up to rounding. The weights are constants,
        in one table for all members of an ensemble with the same layers, and the stack holds the
        values of the hidden layers. Standardisation is included in the weights.

        With `header` a named tuple of the strings `header` and `source`, and `error_bound`: for
        integers an array of shape (n_outputs,), otherwise None. For each row within the ranges of
        `X` it bounds the error of the prediction, in the units of y. The files state it too.

        With integers the function is ``void predict(const int16_t x[n_features], int32_t
        y[n_outputs])``; ``int16_t predict_to_fixed(int i, double value)`` converts the value of
        feature i, and ``double predict_to_real(int j, int32_t value)`` the prediction of output j.

    Raises
    ------
    TypeError
        If `estimator` is of another type.

    NotFittedError
        If it is not fitted.

    ValueError
        If an activation is a user's own function, if a weight or a constant of an activation is
        not finite in `dtype`, if `name` or `dtype` is not allowed, if `dtype` is an integer type
        and `X` is None, or if `predict` does not accept `X`.

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
    >>> files = to_c(net, name="tank_level", dtype="int16", header=True, X=X)
    >>> "void tank_level(const int16_t x[1], int32_t y[1]);" in files.header
    True
    >>> bool(files.error_bound[0] < 0.01)
    True
    """
    if dtype not in DTYPES:
        known = ", ".join(map(repr, DTYPES[1:]))
        raise ValueError(f"dtype must be {known} or None, got {dtype!r}.")
    for flag, value in (("header", header), ("progmem", progmem)):
        if not isinstance(value, (bool, np.bool_)):
            raise ValueError(f"{flag} must be True or False, got {value!r}.")
    bits = FIXED.get(dtype)
    parts, dtype = parts_of(estimator, "to_c", "float64" if bits else dtype)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(NAME_TAKEN.format(name))
    rows = None
    if X is not None:
        rows = validate_inputs(estimator, X)
        rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)
    elif bits:
        raise ValueError(f"dtype='int{bits}' needs X, rows with the ranges of the features.")
    if progmem and not bits and dtype == np.float64:
        raise ValueError("progmem=True needs dtype='float32', 'int16' or 'int8', got 'float64'.")
    numbers, usage = None, ", link with -lm."
    if bits:
        numbers = fixed_point(parts, rows.min(axis=0), rows.max(axis=0), bits)
        source = FixedSource(parts, name, progmem, numbers, bits)
        usage = (
            f".\n\n   In integers: x[i] = {name}_to_fixed(i, value), and what is predicted\n"
            f"   is {name}_to_real(j, y[j]). Within the ranges of the features it is off by at most"
            f"\n   {', '.join(map(rounded_up, numbers.error_bound))}, in the units of y, "
            "from what the network gives without rounding."
        )
    else:
        source = FloatSource(parts, name, progmem, dtype)
    n_in, n_out = parts[0].n_inputs, parts[0].n_outputs
    arguments = f"(const {source.kind} x[{n_in}], {source.result} y[{n_out}])"
    signature = f"void {name}{arguments}"
    about = (
        f"/* {title(parts)}\n\n"
        f"       {signature};\n\n"
        f"   predicts y from one row x; the two must not overlap. C99{usage} */\n\n"
    )
    declared = f"{signature};\n{source.prototypes()}"
    code = source.body(arguments, signature)
    if rows is not None:
        code += self_test(estimator, X, rows, source)
    names = getattr(estimator, "feature_names_in_", [f"x{i}" for i in range(n_in)])
    enum = _enum(name, list(map(str, names)), numbers) if header else ""
    if is_taken(name, enum + declared + code, C_KEYWORDS | (CPP_KEYWORDS if header else set())):
        raise ValueError(NAME_TAKEN.format(name))
    includes = source.includes()
    if not header:
        newline = "\n" if includes else ""
        return f"{about}{includes}{newline}{declared}{code}"
    return CFiles(
        header=about + _guarded(name, includes if bits else "", f"{enum}\n{declared}"),
        source=f'/* See {name}.h. */\n\n#include "{name}.h"\n\n{"" if bits else includes}{code}',
        error_bound=numbers.error_bound if bits else None,
    )


def _guarded(name, includes, declared) -> str:
    """Write a header with guards against a second inclusion and for C++."""
    guard = f"{name.upper()}_H_"
    newline = "\n" if includes else ""
    return (
        f"#ifndef {guard}\n#define {guard}\n\n{includes}{newline}"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"{declared}\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n"
    )


def _enum(name, features, numbers) -> str:
    """Write an enum of the indices of the features in x."""
    words = enumerators(name.upper(), features)
    lines = [f"/* The features: x[{words[0]}] is {comment(features[0])}. */\n"]
    lines.append(f"enum {name}_input {{\n")
    for number, (word, feature) in enumerate(zip(words, features, strict=True)):
        remark = comment(feature)
        if numbers is not None:
            remark += f" = {numbers.centres[number]:.9g} + {numbers.steps[number]:.9g} x[{number}]"
        comma = "," if number < len(features) - 1 else ""
        lines.append(f"    {word} = {number}{comma} /* {remark} */\n")
    return "".join([*lines, "};\n"])
