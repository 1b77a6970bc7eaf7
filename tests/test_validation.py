"""The way past scikit-learn's validation is open to what validation would leave as it is."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.utils.validation import validate_data

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._data import validation

X = np.random.default_rng(0).standard_normal((12, 3))
y = X.sum(axis=1)


class Subclass(np.ndarray):
    pass


def with_entry(value, dtype=np.float64):
    array = X.astype(dtype)
    array[5, 1] = value
    return array


NOT_PLAIN = {
    "a list": X.tolist(),
    "a data frame": pd.DataFrame(X),
    "CSR": sparse.csr_matrix(X),
    "a subclass": X.view(Subclass),
    "a masked array": np.ma.masked_array(X),
    "NaN": with_entry(np.nan),
    "infinite": with_entry(-np.inf),
    "infinities that cancel": np.where(X > 0, np.inf, -np.inf),
    "a sum that overflows": np.full((12, 3), 1e308),
    "integers": np.arange(36).reshape(12, 3),
    "half precision": X.astype(np.float16),
    "longer numbers": X.astype(np.longdouble),
    "another byte order": X.astype(X.dtype.newbyteorder()),
    "complex": X + 0j,
    "objects": X.astype(object),
    "Fortran order": np.asfortranarray(X),
    "a view": X[::-1],
    "no rows": X[:0],
    "no columns": X[:, :0],
    "one axis": X[:, 0].copy(),
    "three axes": X[None],
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_validation_may_change_or_refuse_is_not_plain(name):
    assert not validation.is_plain(NOT_PLAIN[name], 2)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_what_is_plain_comes_out_of_validation_as_it_went_in(dtype):
    inputs, targets = X.astype(dtype), y.astype(dtype)
    inputs.flags.writeable = False
    ours, theirs = TinyMLPRegressor(), TinyMLPRegressor()
    result = validation.validate_training_data(ours, inputs, targets, reset=True)
    expected = validate_data(
        theirs, inputs, targets, y_numeric=True, dtype=(np.float64, np.float32), order="C"
    )
    assert result[0] is inputs and result[1] is targets
    for array, other in zip(result, expected, strict=True):
        assert array.dtype == other.dtype
        assert_array_equal(array, other)
    assert vars(ours) == vars(theirs)


# scikit-learn itself lets NumPy warn of the last.
@pytest.mark.parametrize(
    "name", sorted(NOT_PLAIN.keys() - {"a data frame", "infinities that cancel"})
)
def test_the_answer_is_that_of_validation(name):
    """Predictions, or the error, are those of the validated input."""
    model = TinyMLPRegressor(random_state=0).fit(X, y)
    given = NOT_PLAIN[name]
    try:
        expected = model.predict(np.ascontiguousarray(_dense(validate_data(model, given, **CHECK))))
    except (ValueError, TypeError) as error:
        with pytest.raises(type(error)) as raised:
            model.predict(given)
        said, _, mend = str(raised.value).partition("\n\nImpute and encode")
        assert said == str(error)
        assert bool(mend) == (name == "NaN")
    else:
        if sparse.issparse(given):  # whose products are summed in another order
            assert_allclose(model.predict(given), expected, rtol=1e-13, atol=1e-14)
        else:
            assert_array_equal(model.predict(given), expected)


CHECK = {"accept_sparse": "csr", "dtype": (np.float64, np.float32), "reset": False}


def _dense(array):
    return array.toarray() if sparse.issparse(array) else array


def test_names_of_columns_are_compared_and_forgotten():
    frame = pd.DataFrame(X, columns=list("abc"))
    model = TinyMLPRegressor(random_state=0).fit(frame, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        model.predict(X)
    model.fit(X, y)
    assert not hasattr(model, "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names"):
        model.predict(frame)


def test_another_number_of_columns_is_refused():
    model = TinyMLPRegressor(random_state=0).fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but .* is expecting 3 features"):
        model.predict(np.ascontiguousarray(X[:, :2]))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TinyMLPRegressor().fit(X, y[:-1])


def test_nan_passes_where_the_user_has_said_that_all_is_finite():
    model = TinyMLPRegressor(random_state=0).fit(X, y)
    with config_context(assume_finite=True):
        predictions = model.predict(with_entry(np.nan))
    assert np.isnan(predictions[5]) and np.isfinite(np.delete(predictions, 5)).all()
