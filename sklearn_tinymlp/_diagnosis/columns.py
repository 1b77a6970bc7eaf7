"""Causes: columns that say nothing, the same as another, or the target itself."""

import numpy as np
from scipy import sparse

from .._data.input_range import InputRange
from .finding import INFO, Finding

# Columns of a dense matrix that are compared, and rows that tell them apart.
MOST_COLUMNS, ROWS_COMPARED = 2000, 500

# A correlation this close to 1 is 1 but for rounding.
ROUNDING = 1e-9

MOST_NAMED = 5


def constant_columns(exam):
    """Find features that have the same value in all rows."""
    least, greatest = InputRange.of(exam.X)
    constant = np.flatnonzero(greatest - least <= 1e-12 * np.maximum(abs(least), abs(greatest)))
    if len(constant):
        sentence = f"Feature {constant[0]} is constant: it tells the network nothing."
        if len(constant) > 1:
            sentence = (
                f"{len(constant)} of {exam.X.shape[1]} features are constant, {numbers(constant)}: "
                "they tell the network nothing."
            )
        yield Finding("constant_columns", INFO, sentence, {}, "leaving out what is constant")


def duplicated_columns(exam):
    """Find features that are another one, but for scale and shift."""
    columns, kept = _standardised(exam)
    if columns is None or columns.shape[1] < 2:
        return
    signs = np.sign(columns[np.argmax(np.abs(columns) > 0.1, axis=0), range(columns.shape[1])])
    rounded = np.round(columns * signs, 6)
    _, first, group = np.unique(rounded.T, axis=0, return_index=True, return_inverse=True)
    copies = np.flatnonzero(first[group.ravel()] != np.arange(len(kept)))
    if len(copies):
        pairs = ", ".join(
            f"feature {kept[k]} repeats {kept[first[group.ravel()[k]]]}"
            for k in copies[:MOST_NAMED]
        )
        more = f", and {len(copies) - MOST_NAMED} more" if len(copies) > MOST_NAMED else ""
        sentence = f"{pairs[0].upper()}{pairs[1:]}{more}, on another scale at most."
        yield Finding("duplicated_columns", INFO, sentence, {}, "leaving the copies out")


def leaked_target(exam):
    """Find a feature that is the target, but for scale and shift."""
    columns, kept = _standardised(exam)
    if columns is None or exam.X.shape[1] < 2:  # a straight line is a line
        return
    rows = slice(0, ROWS_COMPARED)
    y = exam.y[rows] - exam.y[rows].mean(axis=0)
    size = np.sqrt(np.mean(y**2, axis=0))
    for k in np.flatnonzero(size > 0):
        correlations = np.abs(columns.T @ y[:, k]) / (len(y) * size[k])
        if correlations.max(initial=0.0) > 1.0 - ROUNDING:
            feature = kept[int(correlations.argmax())]
            target = "the target" if len(size) == 1 else f"target {k}"
            sentence = (
                f"Feature {feature} is {target}, on another scale at most: new rows that lack it "
                "will be predicted badly."
            )
            yield Finding("leaked_target", INFO, sentence, {}, "leaving that feature out")
            return


def _standardised(exam):
    """Give some rows of the columns that vary, of mean 0 and variance 1, and their numbers."""
    if exam.X.shape[1] > MOST_COLUMNS:
        return None, None
    X = exam.X[:ROWS_COMPARED]
    X = X.toarray() if sparse.issparse(X) else X
    X = X - X.mean(axis=0)
    size = np.sqrt(np.mean(X**2, axis=0))
    kept = np.flatnonzero(size > 1e-12 * np.abs(exam.X[:ROWS_COMPARED]).max())
    return X[:, kept] / size[kept], kept


def numbers(which) -> str:
    """List numbers, of many the first."""
    more = f" and {len(which) - MOST_NAMED} more" if len(which) > MOST_NAMED else ""
    return ", ".join(map(str, which[:MOST_NAMED])) + more
