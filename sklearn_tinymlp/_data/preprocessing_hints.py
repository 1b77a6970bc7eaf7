"""Preprocessing for missing values and strings, shown in the errors for such data."""

from contextlib import contextmanager

import numpy as np
from scipy import sparse

# Maximum number of columns listed; longer lists would hide the lines around them.
MAX_COLUMNS = 20

# Three lines of code that the user can copy.
HINT = (
    "\n\nImpute and encode before the network "
    "(from sklearn.compose, .impute, .pipeline, .preprocessing):\n"
    "    {columns}\n"
    '    prepared = ColumnTransformer([("numbers", SimpleImputer(), numbers), '
    '("strings", OneHotEncoder(handle_unknown="ignore", sparse_output=False), strings)])\n'
    "    make_pipeline(prepared, {estimator}()).fit(X, y)"
)


@contextmanager
def preprocessing_hint(estimator, X):
    """Add a remedy to scikit-learn's error where X has missing values or strings."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error)
        if "DateTime64DType" in message:  # numbers beside dates have no common dtype
            dates = [name for name in X.columns if np.asarray(X[name]).dtype.kind == "M"]
            raise ValueError(
                f"X has columns of dates, {dates!r}. Replace them by numbers, for example by "
                f"(X[{dates[0]!r}] - X[{dates[0]!r}].min()).dt.days."
            ) from error
        missing, strings = "contains NaN" in message, "could not convert string" in message
        if sparse.issparse(X) or not (missing or strings):
            raise
        numbers, others = _kinds_of_columns(X)
        if strings and not others:  # they are in y
            raise
        if missing and "Input X contains NaN" not in message:
            raise
        columns = f"numbers, strings = {numbers!r}, {others!r}"
        if hasattr(X, "iloc") and len(numbers) + len(others) > MAX_COLUMNS:
            kinds = 'dtype_include="number"', 'dtype_exclude="number"'
            selectors = ", ".join(f"make_column_selector({kind})" for kind in kinds)
            columns = f"numbers, strings = {selectors}"
        hint = HINT.format(columns=columns, estimator=type(estimator).__name__)
        raise ValueError(message + hint) from error


def _kinds_of_columns(X) -> tuple[list, list]:
    """Return the names, or positions, of numeric columns, and those of other columns."""
    numbers, others = [], []
    if hasattr(X, "columns"):
        named = [(name, np.asarray(X[name])) for name in X.columns]
    else:
        table = np.asarray(X)
        named = list(enumerate(table.T)) if table.ndim == 2 else []
    for name, values in named:
        (numbers if _are_numbers(values) else others).append(name)
    return numbers, others


def _are_numbers(values) -> bool:
    if values.dtype.kind in "biuf":
        return True
    try:
        np.array([np.nan if value is None else value for value in values.tolist()], dtype=float)
    except (TypeError, ValueError):  # pandas' NA raises TypeError
        return all(not isinstance(value, str) for value in values.tolist())
    return True
