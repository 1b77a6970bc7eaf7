"""Rows and columns of arrays, sparse matrices and data frames, each in its own type."""

import numpy as np
from scipy import sparse


def column_names(X) -> list[str]:
    """Return the names of the columns, or x0, x1, ... if there are none."""
    names = getattr(X, "columns", None)
    if names is None:
        return [f"x{number}" for number in range(X.shape[1])]
    return [str(name) for name in names]


def column_index(feature, X) -> int:
    """Return the index of a column that is given by its index or its name."""
    names = column_names(X)
    known = len(names)
    if isinstance(feature, str):
        known = names if hasattr(X, "columns") else "no names"
        if known is names and feature in names:
            return names.index(feature)
    elif -len(names) <= feature < len(names):
        return int(feature) % len(names)
    raise ValueError(f"feature={feature!r} is not a column of X, which has {known}.")


def indexable(X):
    """Return a data frame as it is, and other data as an array or matrix that can be indexed."""
    if hasattr(X, "columns"):
        return X
    return X.tocsr() if sparse.issparse(X) else np.asarray(X)


def take_rows(X, rows):
    """Return a subset of the rows, dense, or of the entries of a column."""
    if hasattr(X, "iloc"):
        return X.iloc[rows].reset_index(drop=True)
    return X[rows].toarray() if sparse.issparse(X) else X[rows]


def take_column(X, index):
    """Return a column: a series of a data frame, otherwise an array."""
    if hasattr(X, "iloc"):
        return X.iloc[:, index]
    return X[:, [index]].toarray().ravel() if sparse.issparse(X) else X[:, index]


def replace_column(rows, index, values):
    """Return the rows with other values in one column."""
    if hasattr(rows, "iloc"):
        rows = rows.copy()
        rows.isetitem(index, values)
        return rows
    if hasattr(rows, "columns"):  # polars
        name = rows.columns[index]
        series = values if hasattr(values, "alias") else type(rows[name])(values)
        return rows.with_columns(series.alias(name))
    rows = rows.astype(np.result_type(rows, values))
    rows[:, index] = values
    return rows


def numbers_of(column) -> np.ndarray | None:
    """Return a column as float64, with NaN for missing values; None for categories."""
    if str(column.dtype).lower().startswith(("bool", "category", "categorical", "enum")):
        return None
    values = np.asarray(column)
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        return None
    known = ~is_missing(column)
    if any(isinstance(value, (str, bool)) for value in values[known]):
        return None
    numbers = np.full(len(values), np.nan)
    try:
        numbers[known] = values[known].astype(np.float64)
    except (TypeError, ValueError):
        return None
    return numbers


def is_missing(column) -> np.ndarray:
    """Return a mask of the missing values of a column."""
    for method in ("isna", "is_null"):  # pandas, polars
        if hasattr(column, method):
            return np.asarray(getattr(column, method)())
    if column.dtype.kind != "O":
        return column != column
    return np.array([value is None or value != value for value in column])


def categories_of(column) -> tuple[list, np.ndarray]:
    """Return the distinct values, the most frequent first, and the index of an example of each."""
    known = np.flatnonzero(~is_missing(column))
    values = np.array([str(value) for value in np.asarray(column)[known]])
    names, first, counts = np.unique(values, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return names[order].tolist(), known[first[order]]
