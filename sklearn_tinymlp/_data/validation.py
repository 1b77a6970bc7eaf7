"""scikit-learn's validation of X and y, and a short cut for arrays that it would not change.

Validation takes 60 us, mostly to distinguish plain arrays from data frames, and the prediction
itself 10 us. A plain and finite array of the right shape is therefore recognised first; other data
are validated by scikit-learn.
"""

import re
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from .preprocessing_hints import preprocessing_hint


def is_plain(array, *n_dims) -> bool:
    """Whether this is a NumPy array of float32 or float64, not empty, in C order, of finite sum."""
    if type(array) is not np.ndarray or array.ndim not in n_dims or array.size == 0:
        return False
    if array.dtype not in (np.float64, np.float32) or not array.flags.c_contiguous:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()))


def _fits(estimator, X) -> bool:
    """Whether X has as many columns as in `fit`, and neither has column names."""
    named = getattr(estimator, "feature_names_in_", None) is not None
    return not named and X.shape[1] == getattr(estimator, "n_features_in_", None)


def validate_inputs(estimator, X):
    """Return X validated for a fitted estimator: an array or CSR matrix of float64 or float32."""
    if is_plain(X, 2) and _fits(estimator, X):
        return X
    with preprocessing_hint(estimator, X):
        X = validate_data(
            estimator, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False
        )
    return checked_sparse(X, "X")


def validate_training_data(estimator, X, y, reset, name="X"):
    """Return X and y validated, X as float64 or float32 in C order or CSR, y with one or two axes.

    With `reset` the number and names of the columns are stored in the estimator; `name` stands for
    X in errors.
    """
    plain = is_plain(X, 2) and is_plain(y, 1, 2) and len(X) == len(y)
    if plain and (reset or _fits(estimator, X)):
        if reset:
            vars(estimator).pop("feature_names_in_", None)
            estimator.n_features_in_ = X.shape[1]
        return X, y
    with preprocessing_hint(estimator, X), _named(name):
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            # For a vector the same checks take half the time.
            multi_output=not (isinstance(y, np.ndarray) and y.ndim == 1),
            y_numeric=True,
            dtype=(np.float64, np.float32),
            order="C",
            reset=reset,
        )
    return checked_sparse(X, name), y


@contextmanager
def _named(name):
    """Replace X and y in scikit-learn's errors by the names of the arguments, X_val and y_val."""
    try:
        yield
    except ValueError as error:
        suffix = name.removeprefix("X")
        if not suffix:
            raise
        message = re.sub(r"\b([Xy])\b", rf"\1{suffix}", str(error))
        if name not in message and f"y{suffix}" not in message:
            message = f"{name} and y{suffix}: {message}"
        raise ValueError(message) from error


def checked_sparse(X, name):
    """Return X; of a sparse one, check what scikit-learn does not, the dtype and the indices.

    A frame of sparse booleans becomes a matrix of booleans, and kernels do not check indices. A
    ValueError is raised for indices that are not valid.
    """
    if not sparse.issparse(X):
        return X
    if X.dtype not in (np.float64, np.float32):
        X = X.astype(np.float64)
    try:  # a new matrix with the same arrays, as the check may replace them
        sparse.csr_array((X.data, X.indices, X.indptr), X.shape).check_format()
    except ValueError as error:
        raise ValueError(f"{name} is not a valid CSR matrix: {error}.") from error
    return X
