"""The self-test in an exported C file: rows, what `predict` gives, and what rounding explains."""

import numpy as np
from sklearn.utils import _safe_indexing

from .._activations.formulas import value_and_slope_of
from .c_words import c_double, rounded_up, table

MOST_ROWS = 10

MAIN = """
int main(void)
{{
    int row, j, failed = 0;
    double worst[{n_out}] = {{0}};

    for (row = 0; row < {n_rows}; row++) {{
{call}
        for (j = 0; j < {n_out}; j++) {{
            double off = {value} - {name}_test_y[row][j];

            off = off < 0 ? -off : off;
            worst[j] = off > worst[j] ? off : worst[j];
            if (!(off <= {name}_test_bound[j])) {{
                failed++;
                printf("row %d, output %d: %g, should be %g\\n", row, j, {value},
                       {name}_test_y[row][j]);
            }}
        }}
    }}
    for (j = 0; j < {n_out}; j++)
        printf("output %d: largest error %.2g, bound %.2g\\n", j, worst[j], {name}_test_bound[j]);
    printf("%s: %d of {n_values} values are wrong\\n", failed ? "FAILED" : "passed", failed);
    return failed != 0;
}}
"""

FLOAT_CALL = """\
        {real} y[{n_out}];

        {name}({name}_test_x[row], y);"""

FIXED_CALL = """\
        {small} x[{n_in}];
        int32_t y[{n_out}];

        for (j = 0; j < {n_in}; j++)
            x[j] = {name}_to_fixed(j, {name}_test_x[row][j]);
        {name}(x, y);"""


def rows_of(estimator, X, rows):
    """Pick rows evenly; give them as an array, and what the estimator predicts for them."""
    chosen = np.unique(np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(int))
    expected = np.asarray(estimator.predict(_safe_indexing(X, chosen)), dtype=float)
    return rows[chosen], expected.reshape(len(chosen), -1)


def self_test(rows, expected, bound, kind, name, number_of) -> str:
    """Write a `main` that compares what the function gives with what it should.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features)
    expected : ndarray of shape (n_rows, n_outputs)
    bound : ndarray of shape (n_outputs,)
        The largest error that is no mistake.
    kind : str
        Type of the function's inputs in C.
    name : str
        Of the function.
    number_of : callable
        Writes a number of `rows`.
    """
    n_in, n_out = rows.shape[1], expected.shape[1]
    fixed = kind.startswith("int")
    call = FIXED_CALL if fixed else FLOAT_CALL
    value = f"{name}_to_real(j, y[j])" if fixed else "(double)y[j]"
    if kind == "double":
        value = "y[j]"
    names = {"real": kind, "small": kind, "name": name, "n_in": n_in, "n_out": n_out}
    real = "double" if fixed else kind
    return "".join(
        [
            "\n#ifdef TEST\n#include <stdio.h>\n",
            table(real, f"{name}_test_x", rows, number_of),
            table("double", f"{name}_test_y", expected, c_double),
            table("double", f"{name}_test_bound", bound, rounded_up),
            MAIN.format(
                call=call.format(**names),
                value=value,
                n_rows=len(rows),
                n_values=expected.size,
                **names,
            ),
            "#endif\n",
        ]
    )


def rounding_bound(parts, rows, eps) -> np.ndarray:
    """Bound what rounding explains of the error of each output, over some rows.

    A sum of n products is off by at most (n + 2) eps times the sum of their absolute values
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), what comes in is
    off already, and weights were rounded once. Functions of libm are good to a few eps.
    """
    total = 0.0
    for part in parts:
        weights = [1.0] if part.weights is None else part.weights
        for m, weight in enumerate(weights):
            a = rows.astype(float)
            error = eps * np.abs(a)
            for coefs, intercepts, formula in part.layers:
                if part.weights is not None:
                    coefs, intercepts = coefs[m], intercepts[m]
                size = np.abs(a) @ np.abs(coefs) + np.abs(intercepts)
                error = error @ np.abs(coefs) + (len(coefs) + 3) * eps * size
                a = a @ coefs + intercepts
                if formula.name != "identity":
                    value_of, slope_of = value_and_slope_of(formula)
                    ends = [slope_of((a + side * error).ravel()) for side in (-1, -0.5, 0, 0.5, 1)]
                    steepest = np.abs(ends).max(axis=0).reshape(a.shape)
                    # Around a = 0 functions are differences of larger numbers.
                    room = np.minimum(np.abs(a), 8.0)
                    a = np.array(value_of(a.ravel())).reshape(a.shape)
                    error = 1.1 * steepest * error + 8 * eps * (np.abs(a) + room)
            total = total + abs(weight) * (error + len(weights) * eps * np.abs(a))
    return 2 * total.max(axis=0)  # twice: `predict` rounds as well
