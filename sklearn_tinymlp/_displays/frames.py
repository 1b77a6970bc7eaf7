"""Rows and columns of arrays, sparse matrices and data frames, each kept as what it is."""

import numpy as np
from scipy import sparse


def column_names(X) -> list[str]:
    """Give the names of the columns; x0, x1, ... where they have none."""
    names = getattr(X, "columns", None)
    if names is None:
        return [f"x{number}" for number in range(X.shape[1])]
    return [str(name) for name in names]


def place_of(feature, X) -> int:
    """Give the number of a column that is given by its number or name.

    Raises
    ------
    ValueError
        When X has no such column.
    """
    names = column_names(X)
    if isinstance(feature, str):
        if not hasattr(X, "columns") or feature not in names:
            known = names if hasattr(X, "columns") else "no names"
            raise ValueError(f"feature={feature!r} is not a column of X, which has {known}.")
        return names.index(feature)
    if not -len(names) <= feature < len(names):
        raise ValueError(f"feature={feature!r} is not a column of X, which has {len(names)}.")
    return int(feature) % len(names)


def tabular(X):
    """Give what is no data frame as an array that can be indexed."""
    if hasattr(X, "columns"):
        return X
    return X.tocsr() if sparse.issparse(X) else np.asarray(X)


def rows_of(X, rows):
    """Give some rows, dense."""
    if hasattr(X, "iloc"):
        return X.iloc[rows].reset_index(drop=True)
    some = X[rows]
    return some.toarray() if sparse.issparse(some) else some


def column_of(X, place):
    """Give a column: a series of a data frame, else an array."""
    if hasattr(X, "iloc"):
        return X.iloc[:, place]
    if sparse.issparse(X):
        return X[:, [place]].toarray().ravel()
    return X[:, place]


def entries_of(column, places):
    """Give some entries of a column, in its own type."""
    return column.iloc[places].reset_index(drop=True) if hasattr(column, "iloc") else column[places]


def with_column(rows, place, values):
    """Give rows of which one column has other values."""
    if hasattr(rows, "iloc"):
        rows = rows.copy()
        rows.isetitem(place, values)
        return rows
    if hasattr(rows, "columns"):  # polars
        name = rows.columns[place]
        series = values if hasattr(values, "alias") else type(rows[name])(values)
        return rows.with_columns(series.alias(name))
    rows = rows.astype(np.result_type(rows, values))
    rows[:, place] = values
    return rows


def numbers_of(column) -> np.ndarray | None:
    """Give a column as float64, with NaN where something is missing; None of categories."""
    if str(column.dtype).lower().startswith(("bool", "category", "categorical", "enum")):
        return None
    values = np.asarray(column)
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        return None
    known = ~missing(column)
    numbers = np.full(len(values), np.nan)
    if any(isinstance(value, (str, bool)) for value in values[known]):
        return None
    try:
        numbers[known] = values[known].astype(np.float64)
    except (TypeError, ValueError):
        return None
    return numbers


def missing(column) -> np.ndarray:
    """Say where a column has no value."""
    if hasattr(column, "isna"):
        return np.asarray(column.isna())
    if hasattr(column, "is_null"):  # polars
        return np.asarray(column.is_null())
    if column.dtype.kind != "O":
        return column != column
    return np.array([value is None or value != value for value in column])


def categories_of(column) -> tuple[list, np.ndarray]:
    """Give the values of a column, the most frequent first, and a row that has each."""
    known = np.flatnonzero(~missing(column))
    values = np.array([str(value) for value in np.asarray(column)[known]])
    names, first, counts = np.unique(values, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return names[order].tolist(), known[first[order]]
