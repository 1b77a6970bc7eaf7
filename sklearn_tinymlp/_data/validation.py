"""scikit-learn's validation of X and y, and the way past it for arrays on which it finds nothing.

Validation takes 60 us of a prediction that takes 10, most of it to tell plain arrays from data
frames. An array that is plain, finite and of the right shape would come out of it as it went in,
so that this is looked for first; whatever else it may be, scikit-learn has the word.
"""

import numpy as np
from scipy import sparse
from sklearn.utils.validation import validate_data

from .preprocessing_hints import preprocessing_hint


def is_plain(array, *n_dims) -> bool:
    """Say whether this is a NumPy array of finite float32 or float64, not empty, in C order.

    Finite is said by the sum, as scikit-learn does first: a sum that overflows says no.
    """
    if type(array) is not np.ndarray or array.ndim not in n_dims or array.size == 0:
        return False
    if array.dtype not in (np.float64, np.float32) or not array.flags.c_contiguous:
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(array.sum()))


def _fits(estimator, X) -> bool:
    """Say whether X has the columns of the fit, where neither has names."""
    named = getattr(estimator, "feature_names_in_", None) is not None
    return not named and X.shape[1] == getattr(estimator, "n_features_in_", None)


def validate_inputs(estimator, X):
    """Give X of shape (n_samples, n_features) validated for a fitted estimator.

    Returns
    -------
    X : ndarray or CSR matrix of float64 or float32

    Raises
    ------
    ValueError, TypeError
        Those of `sklearn.utils.validation.validate_data`.
    """
    if is_plain(X, 2) and _fits(estimator, X):
        return X
    with preprocessing_hint(estimator, X):
        X = validate_data(
            estimator, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False
        )
    check_sparse(X, "X")
    return X


def validate_training_data(estimator, X, y, reset, name="X"):
    """Give X and y validated, X as float64 or float32 in C order or CSR, y with one or two axes.

    With `reset` the estimator learns the number and the names of the columns; `name` is what a
    sentence calls X.

    Raises
    ------
    ValueError, TypeError
        Those of `sklearn.utils.validation.validate_data`.
    """
    plain = is_plain(X, 2) and is_plain(y, 1, 2) and len(X) == len(y)
    if plain and (reset or _fits(estimator, X)):
        if reset:
            vars(estimator).pop("feature_names_in_", None)
            estimator.n_features_in_ = X.shape[1]
        return X, y
    with preprocessing_hint(estimator, X):
        X, y = validate_data(
            estimator,
            X,
            y,
            accept_sparse="csr",
            # A vector gets the same checks in half the time when it need not be a matrix.
            multi_output=not (isinstance(y, np.ndarray) and y.ndim == 1),
            y_numeric=True,
            dtype=(np.float64, np.float32),
            order="C",
            reset=reset,
        )
    check_sparse(X, name)
    return X, y


def check_sparse(X, name):
    """Refuse a CSR matrix whose indices lead out of it, where compiled code would follow them."""
    if sparse.issparse(X):
        try:  # a new matrix with the same arrays, because the check may put others in their place
            sparse.csr_array((X.data, X.indices, X.indptr), X.shape).check_format()
        except ValueError as error:
            raise ValueError(f"{name} is not a valid CSR matrix: {error}.") from error
