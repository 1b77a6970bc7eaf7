"""What mends missing values and strings, shown by the errors that refuse them."""

from contextlib import contextmanager

import numpy as np
from scipy import sparse

# Of wider arrays the lists of columns would hide the lines around them.
MOST_COLUMNS = 20

# Three lines, to be copied.
MEND = (
    "\n\nFill and encode in front of the network "
    "(from sklearn.compose, .impute, .pipeline, .preprocessing):\n"
    "    {columns}\n"
    '    prepared = ColumnTransformer([("numbers", SimpleImputer(), numbers), '
    '("strings", OneHotEncoder(handle_unknown="ignore", sparse_output=False), strings)])\n'
    "    make_pipeline(prepared, {estimator}()).fit(X, y)"
)


@contextmanager
def preprocessing_hint(estimator, X):
    """Add to scikit-learn's error what to do, where X has missing values or strings."""
    try:
        yield
    except ValueError as error:
        message = str(error)
        missing, strings = "contains NaN" in message, "could not convert string" in message
        if sparse.issparse(X) or not (missing or strings):
            raise
        numbers, others = _kinds_of_columns(X)
        if strings and not others:  # they are in y
            raise
        if missing and "Input X contains NaN" not in message:
            raise
        columns = _columns(X, numbers, others)
        mend = MEND.format(columns=columns, estimator=type(estimator).__name__)
        raise type(error)(message + mend) from error


def _kinds_of_columns(X) -> tuple[list, list]:
    """Give the names, or numbers, of columns that are numbers, and of others."""
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
    except (TypeError, ValueError):  # the first is that of pandas' NA
        return all(not isinstance(value, str) for value in values.tolist())
    return True


def _columns(X, numbers, others) -> str:
    """Give the line that says which columns are which."""
    if hasattr(X, "iloc") and len(numbers) + len(others) > MOST_COLUMNS:
        kinds = 'dtype_include="number"', 'dtype_exclude="number"'
        selectors = ", ".join(f"make_column_selector({kind})" for kind in kinds)
        return f"numbers, strings = {selectors}"
    return f"numbers, strings = {numbers!r}, {others!r}"
