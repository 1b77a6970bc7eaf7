"""`to_c`: a fitted network, or an ensemble, as a C99 function, or as a header and a source."""

import re
from typing import NamedTuple

import numpy as np

from .._data.validation import validate_inputs
from .c_fixed import FixedSource
from .c_float import C_FUNCTIONS, FloatSource
from .c_words import C_KEYWORDS, CPP_KEYWORDS, c_double, comment, enumerators, rounded_up
from .fixed_point import fixed_point
from .layers import parts_of, title
from .self_test import rounding_bound, rows_of, self_test

FIXED = {"int8": 8, "int16": 16}
DTYPES = (None, "float32", "float64", *FIXED)


class CFiles(NamedTuple):
    """A header, its source, and how far fixed point can be from `predict`."""

    header: str
    source: str
    error_bound: np.ndarray | None


def to_c(estimator, *, name="predict", dtype=None, header=False, X=None, progmem=False):
    """Write a fitted network, or an ensemble, as a C99 function without allocation.

    Parameters
    ----------
    estimator : TinyMLPRegressor or TinyMLPEnsembleRegressor
        A fitted network, with activations that are built in or of `sklearn_tinymlp.activations`;
        or an ensemble of such.

    name : str, default='predict'
        Name of the function, and the first part of all other names in the source, so that
        several networks fit into one program.

    dtype : {'float32', 'float64', 'int16', 'int8'}, default=None
        Whether to compute in `float`, in `double`, or in integers of 16 or 8 bits with sums in 32
        bits; None means the precision of the weights. Weights of unscaled features cancel: test
        'float32' on data of your own. Integers have no such trouble, but need `X`.

    header : bool, default=False
        Whether to write two files for a project: `name`.h, with guards for C++, an enum of the
        features and their names in comments, and `name`.c, which includes it.

    X : array-like of shape (n_samples, n_features), default=None
        Rows such as those trained on. With them the source has a `main` that is compiled with
        ``-DTEST`` and compares ten of them with `predict`. With integers their ranges are those of
        the inputs; what lies outside is cut off.

    progmem : bool, default=False
        Whether AVR reads the weights from flash memory, where they take no RAM. Other processors
        ignore it. Not for 'float64', which AVR does not have.

    Returns
    -------
    source : str or CFiles
        One file, to be linked with ``-lm``. ``void predict(const double x[n_features], double
        y[n_outputs])`` gives what `predict` gives for one row, to rounding. The weights are
        constants, those of an ensemble's members of one shape in one table, and the stack holds
        the values of the hidden layers. Any standardisation is within the weights.

        With `header` a named tuple of `header` and `source`, two strings, and `error_bound`, with
        integers an array of shape (n_outputs,), else None: for each row within the ranges of `X`
        the prediction is off by at most that, in the units of y. The files say it too.

        With integers the function is ``void predict(const int16_t x[n_features], int32_t
        y[n_outputs])``; ``int16_t predict_to_fixed(int i, double value)`` gives the input of
        feature i, and ``double predict_to_real(int j, int32_t value)`` the prediction of output j.

    Raises
    ------
    TypeError
        When `estimator` is of another kind.

    NotFittedError
        When it is not fitted.

    ValueError
        When an activation is a function of the user's own, when a weight or a constant of an
        activation is not finite in `dtype`, when `name` or `dtype` are not of those allowed, when
        integers are asked for without `X`, or when `X` is not such as `predict` takes.

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
    _check_name(name, header)
    rows = None if X is None else _rows(estimator, X)
    if bits and rows is None:
        raise ValueError(f"dtype='int{bits}' needs X, rows with the ranges of the features.")
    if progmem and not bits and dtype == np.float64:
        raise ValueError("progmem=True needs dtype='float32', 'int16' or 'int8', got 'float64'.")
    numbers = None
    if bits:
        numbers = fixed_point(parts, rows.min(axis=0), rows.max(axis=0), bits)
        language = FixedSource(numbers, bits, name, progmem)
    else:
        language = FloatSource(parts, dtype, name, progmem)
    layers = parts[0].layers
    n_in, n_out = layers[0][0].shape[-2], layers[-1][0].shape[-1]
    arguments = f"(const {language.kind} x[{n_in}], {language.result} y[{n_out}])"
    signature = f"void {name}{arguments}"
    about = (
        f"/* {title(parts)}\n\n"
        f"       {signature};\n\n"
        "   predicts y from one row x; the two must not overlap. C99, link with -lm. */\n\n"
    )
    if bits:
        about = _about_fixed(about, numbers, name)
    declared = f"{signature};\n{language.prototypes()}"
    code = language.body(arguments, signature)
    if rows is not None:
        code += _self_test(
            estimator,
            X,
            rows,
            parts=parts,
            numbers=numbers,
            language=language,
            name=name,
            dtype=dtype,
        )
    includes = language.includes()
    if not header:
        newline = "\n" if includes else ""
        return f"{about}{includes}{newline}{declared}{code}"
    enum = _enum(name, _feature_names(estimator, n_in), numbers)
    return CFiles(
        header=about + _guarded(name, includes if bits else "", f"{enum}\n{declared}"),
        source=f'/* See {name}.h. */\n\n#include "{name}.h"\n\n{"" if bits else includes}{code}',
        error_bound=numbers.error_bound if bits else None,
    )


def _guarded(name, includes, declared) -> str:
    """Write a header's guards, against a second inclusion and for C++."""
    guard = f"{name.upper()}_H_"
    newline = "\n" if includes else ""
    return (
        f"#ifndef {guard}\n#define {guard}\n\n{includes}{newline}"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n\n'
        f"{declared}\n"
        "#ifdef __cplusplus\n}\n#endif\n\n#endif\n"
    )


def _check_name(name, header) -> None:
    taken = C_KEYWORDS | set(C_FUNCTIONS) | (CPP_KEYWORDS if header else set())
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in taken:
        raise ValueError(f"name must be a name in C that is not taken, got {name!r}.")


def _rows(estimator, X) -> np.ndarray:
    rows = validate_inputs(estimator, X)
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)


def _about_fixed(about, numbers, name) -> str:
    """Say in the first comment what the integers mean, and how far they can be off."""
    bounds = ", ".join(map(rounded_up, numbers.error_bound))
    return about.replace(
        "C99, link with -lm. */",
        f"C99.\n\n   In integers: x[i] = {name}_to_fixed(i, value), and what is predicted\n"
        f"   is {name}_to_real(j, y[j]). Within the ranges of the features it is off by at most\n"
        f"   {bounds}, in the units of y, from what the network gives without rounding. */",
    )


def _feature_names(estimator, n_features) -> list[str]:
    names = getattr(estimator, "feature_names_in_", None)
    return [f"x{i}" for i in range(n_features)] if names is None else [str(name) for name in names]


def _enum(name, names, numbers) -> str:
    """Write the places of the features in x."""
    words = enumerators(name.upper(), names)
    lines = [f"/* The features: x[{words[0]}] is {comment(names[0])}. */\n"]
    lines.append(f"enum {name}_input {{\n")
    for number, (word, feature) in enumerate(zip(words, names, strict=True)):
        said = comment(feature)
        if numbers is not None:
            said += f" = {numbers.centres[number]:.9g} + {numbers.steps[number]:.9g} x[{number}]"
        comma = "," if number < len(names) - 1 else ""
        lines.append(f"    {word} = {number}{comma} /* {said} */\n")
    return "".join([*lines, "};\n"])


def _self_test(estimator, X, rows, *, parts, numbers, language, name, dtype) -> str:
    rows, expected = rows_of(estimator, X, rows)
    if numbers is not None:
        return self_test(rows, expected, numbers.error_bound, language.kind, name, c_double)
    rows = rows.astype(dtype)
    eps = max(np.finfo(kind).eps for kind in (dtype, _precision(estimator)))
    bound = rounding_bound(parts, rows, float(eps))
    return self_test(rows, expected, bound, language.kind, name, language.number_of)


def _precision(estimator):
    members = getattr(estimator, "estimators_", [estimator])
    return np.result_type(*(member.coefs_[0] for member in members))
