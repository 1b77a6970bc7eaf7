"""The self-test of an exported C file: rows, predictions, and bounds of the rounding error."""

import numpy as np
from sklearn.utils import _safe_indexing

from .._activations.formulas import largest_change
from .c_words import c_double, rounded_up, table

N_TEST_ROWS = 10


def self_test(estimator, X, rows, source) -> str:
    """Write a `main` that compares the exported function with `predict` on some rows.

    `X` and `rows` are the same data, as given and as an array; `source` is a `CSource`.
    """
    chosen = np.unique(np.linspace(0, len(rows) - 1, N_TEST_ROWS).round().astype(int))
    rows = rows[chosen]
    with np.errstate(over="ignore", invalid="ignore"):
        expected, bound = source.expected(estimator, _safe_indexing(X, chosen), rows)
        written = rows.astype(source.dtype)
    if not all(np.isfinite(values).all() for values in (written, expected, bound)):
        raise ValueError(
            "The self-test needs finite inputs, predictions and bounds of their rounding errors in "
            f"{source.dtype}, which rows of X do not have. Leave extreme rows out, or use "
            "dtype='float64'."
        )
    name, kind, n_out = source.name, source.kind, expected.shape[1]
    call = f"        {kind} y[{n_out}];\n\n        {name}({name}_test_x[row], y);"
    value = "y[j]" if kind == "double" else "(double)y[j]"
    real, number_of = kind, source.number_of
    if source.result == "int32_t":
        n_in = rows.shape[1]
        call = (
            f"        {kind} x[{n_in}];\n        int32_t y[{n_out}];\n\n"
            f"        for (j = 0; j < {n_in}; j++)\n"
            f"            x[j] = {name}_to_fixed(j, {name}_test_x[row][j]);\n"
            f"        {name}(x, y);"
        )
        value, real, number_of = f"{name}_to_real(j, y[j])", "double", c_double
    x = table(real, f"{name}_test_x", rows, number_of)
    y = table("double", f"{name}_test_y", expected, c_double)
    bound = table("double", f"{name}_test_bound", bound, rounded_up)
    return f"""
#ifdef TEST
#include <stdio.h>
{x}{y}{bound}
int main(void)
{{
    int row, j, failed = 0;
    double worst[{n_out}] = {{0}};

    for (row = 0; row < {len(rows)}; row++) {{
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
    printf("%s: %d of {expected.size} values are wrong\\n", failed ? "FAILED" : "passed", failed);
    return failed != 0;
}}
#endif
"""


def rounded_outputs(estimator, parts, rows, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Compute the outputs without rounding, and bound the rounding error of each, over some rows.

    The computed sum of n products is off by at most (n + 2) eps times the sum of their absolute
    values (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1), plus the
    error of its inputs; weights were rounded once. Functions of libm are accurate to a few eps.
    """
    members = getattr(estimator, "estimators_", [estimator])
    precision = np.result_type(*(member.coefs_[0] for member in members))
    eps = float(max(np.finfo(kind).eps for kind in (dtype, precision)))
    rows = rows.astype(dtype).astype(float)
    output = total = 0.0
    for part in parts:
        weights = [1.0] if part.weights is None else part.weights
        for m, weight in enumerate(weights):
            a, error = rows, eps * np.abs(rows)
            for coefs, intercepts, formula in part.layers:
                if part.weights is not None:
                    coefs, intercepts = coefs[m], intercepts[m]
                coefs, intercepts = coefs.astype(float), intercepts.astype(float)
                size = (np.abs(a) + error) @ np.abs(coefs) + np.abs(intercepts)
                error = error @ np.abs(coefs) + (len(coefs) + 3) * eps * size
                z = a = a @ coefs + intercepts
                if formula.name != "identity":
                    change = largest_change(formula, z, error)
                    a, _ = formula.value_and_slope(z)
                    # Near z = 0 some functions are computed as differences of larger numbers.
                    error = change + 8 * eps * (np.abs(a) + np.minimum(np.abs(z), 8.0))
            output = output + weight * a
            total = total + abs(weight) * (error + len(weights) * eps * np.abs(a))
    return output, 2 * total.max(axis=0)  # twice: `predict` rounds as well
