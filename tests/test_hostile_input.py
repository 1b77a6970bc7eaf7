"""Hostile data and parameters at the ends of their ranges, each with its one right answer.

What `check_array` and MLPRegressor do is the guide. A refusal leaves the fitted estimator and its
random state as they were.
"""

import tracemalloc
import warnings
from contextlib import contextmanager
from numbers import Integral, Real

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
)

from sklearn_tinymlp import Activation, TinyMLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = {
    "evidence": {"solver": "lm"},
    "lm": {"solver": "lm", "alpha": 0.01},
    "lbfgs": {"solver": "lbfgs"},
    "adam": {"solver": "adam"},
    "sgd": {"solver": "sgd", "batch_size": 1},
}
each_solver = pytest.mark.parametrize("solver", SOLVERS)
each_stochastic_solver = pytest.mark.parametrize("solver", ["adam", "sgd"])

rng = np.random.RandomState(0)
X = rng.standard_normal((30, 3))
y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(30)
ones = np.ones(30)
CSR = sparse.csr_array(np.where(X > -0.5, X, 0.0))
INF, NAN = np.inf, np.nan
INT64 = np.iinfo(np.int64)


def make_net(solver, **params):
    defaults = {
        "hidden_layer_sizes": (4,),
        "max_iter": 10,
        "random_state": np.random.RandomState(0),
    }
    return TinyMLPRegressor(**defaults | SOLVERS[solver] | params)


def with_value(array, value, place):
    array = array.copy()
    array[place] = value
    return array


@contextmanager
def diagnosed():
    """Have every fit look for what to say in its warning: what is ignored is not looked for."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always", ConvergenceWarning)
        yield


@contextmanager
def unchanged(net):
    """Hold what a refusal leaves: every attribute and every coef, to the last bit."""
    names, before = list(vars(net)), joblib.hash(vars(net))
    coefs = [coef.tobytes() for coef in getattr(net, "coefs_", ())]
    states = [state for state in (net.random_state,) if isinstance(state, np.random.RandomState)]
    positions = [joblib.hash(state.get_state()) for state in states]
    yield
    assert list(vars(net)) == names
    assert joblib.hash(vars(net)) == before
    assert [coef.tobytes() for coef in getattr(net, "coefs_", ())] == coefs
    assert [joblib.hash(state.get_state()) for state in states] == positions


# ------------------------------------------------------------------------------ refused data


def csr_with(**arrays):
    """A CSR matrix that scipy has not looked at since its arrays were exchanged."""
    matrix = CSR.copy()
    for name, array in arrays.items():
        setattr(matrix, name, array.astype(getattr(matrix, name).dtype))
    return matrix


structured = np.zeros(30, dtype=[("a", "f8"), ("b", "f8")])
decreasing = with_value(CSR.indptr, CSR.indptr[9], 4)
nullable = pd.DataFrame(X).astype("Float64")
NOT_CSR = "X is not a valid CSR matrix"
BEYOND = "infinity or a value too large"

# id: (X, error, text of the error); of fit, partial_fit, predict, score and diagnose
REFUSED_X = {
    "NaN": (with_value(X, NAN, (3, 1)), ValueError, "Input X contains NaN"),
    "infinity": (with_value(X, INF, (3, 1)), ValueError, f"Input X contains {BEYOND}"),
    "minus infinity": (with_value(X, -INF, (3, 1)), ValueError, f"Input X contains {BEYOND}"),
    "beyond float64": (X.astype("g") * np.longdouble("1e4000"), ValueError, BEYOND),
    "NaN in CSR": (sparse.csr_array(with_value(X, NAN, (3, 1))), ValueError, "X contains NaN"),
    "no rows": (X[:0], ValueError, r"Found array with 0 sample\(s\)"),
    "no columns": (X[:, :0], ValueError, r"Found array with 0 feature\(s\)"),
    "no dimension": (3.0, ValueError, "Expected 2D array, got scalar array"),
    "None": (None, ValueError, "Expected 2D array, got scalar array"),
    "one dimension": (X[:, 0], ValueError, "Expected 2D array, got 1D array"),
    "three dimensions": (X[:, :, None], ValueError, "Found array with dim 3"),
    "matrix": (np.asmatrix(X), TypeError, "np.matrix is not supported"),
    "complex": (X + 0j, ValueError, "Complex data not supported"),
    "complex CSR": (sparse.csr_array(X + 0j), ValueError, "Complex data not supported"),
    "words": (np.full((30, 3), "a"), ValueError, "could not convert string to float"),
    "None in a cell": (with_value(X.astype(object), None, (3, 1)), ValueError, "X contains NaN"),
    "records": (structured, TypeError, "Cannot cast array data"),
    "ragged lists": ([[1, 2, 3], [3]] * 15, ValueError, "inhomogeneous shape"),
    "dict": ({"a": 1}, TypeError, "float.. argument must be"),
    "pandas NA": (nullable.mask(X > 1), ValueError, "Input X contains NaN"),
    "pandas words": (
        pd.DataFrame({name: pd.Categorical(["u", "v"] * 15) for name in range(3)}),
        ValueError,
        "could not convert string to float",
    ),
    "polars null": (
        pl.DataFrame(X.tolist(), schema=["0", "1", "2"], orient="row").with_columns(
            pl.lit(None).cast(pl.Float64).alias("1")
        ),
        ValueError,
        "Input X contains NaN",
    ),
    "CSR index too large": (csr_with(indices=CSR.indices + 1), ValueError, NOT_CSR),
    "CSR index far too large": (csr_with(indices=CSR.indices + 10**9), ValueError, NOT_CSR),
    "CSR index negative": (csr_with(indices=CSR.indices - 1), ValueError, NOT_CSR),
    "CSR rows that go back": (csr_with(indptr=decreasing), ValueError, NOT_CSR),
    "CSR rows beyond the end": (csr_with(indptr=CSR.indptr * 2), ValueError, NOT_CSR),
    "CSR with too few rows": (csr_with(indptr=CSR.indptr[:-1]), ValueError, NOT_CSR),
}

# id: (y, error, text of the error); of fit and partial_fit
REFUSED_Y = {
    "NaN": (with_value(y, NAN, 3), ValueError, "Input y contains NaN"),
    "infinity": (with_value(y, INF, 3), ValueError, f"Input y contains {BEYOND}"),
    "beyond float64": (y.astype("g") * np.longdouble("1e4000"), ValueError, f"y contains {BEYOND}"),
    "None": (None, ValueError, "requires y to be passed, but the target y is None"),
    "None in a row": (with_value(y.astype(object), None, 3), ValueError, "y contains NaN"),
    "no rows": (y[:0], ValueError, "inconsistent numbers of samples|0 sample"),
    "no outputs": (np.zeros((30, 0)), ValueError, r"Found array with 0 feature\(s\)"),
    "no dimension": (3.0, TypeError, "at least 1 dimension|Singleton array"),
    "three dimensions": (y[:, None, None], ValueError, "Found array with dim 3"),
    "a row": (y[None], ValueError, r"inconsistent numbers of samples: \[30, 1\]"),
    "fewer than X": (y[1:], ValueError, r"inconsistent numbers of samples: \[30, 29\]"),
    "matrix": (np.asmatrix(y).T, TypeError, "np.matrix is not supported"),
    "sparse": (sparse.csr_array(y[:, None]), TypeError, "dense data is required"),
    "complex": (y + 0j, ValueError, "Complex data not supported"),
    "words": (np.full(30, "a"), ValueError, "could not convert string to float"),
    "pandas NA": (pd.Series(y).astype("Float64").mask(y > 0), ValueError, "Input y contains NaN"),
}

# id: (sample_weight, error, text of the error); of fit and partial_fit
REFUSED_WEIGHTS = {
    "NaN": (with_value(ones, NAN, 3), ValueError, "Input sample_weight contains NaN"),
    "infinity": (with_value(ones, INF, 3), ValueError, f"Input sample_weight contains {BEYOND}"),
    "None": ([None] * 30, ValueError, "Input sample_weight contains NaN"),
    "pandas NA": (
        pd.Series(ones).astype("Float64").mask(y > 0),
        ValueError,
        "sample_weight contains NaN",
    ),
    "zeros": (0 * ones, ValueError, "sample_weight must not sum to zero, got zeros only"),
    "zero": (0.0, ValueError, "sample_weight must not sum to zero, got zeros only"),
    "fewer than X": (ones[1:], ValueError, r"sample_weight.shape == \(29,\), expected \(30,\)"),
    "a column": (ones[:, None], ValueError, "Sample weights must be 1D array or scalar"),
    "complex": (ones + 0j, ValueError, "Complex data not supported"),
    "words": (np.full(30, "a"), ValueError, "could not convert string to float"),
}

REFUSED = {
    **{f"X: {case}": ({"X": x}, *answer) for case, (x, *answer) in REFUSED_X.items()},
    **{f"y: {case}": ({"y": t}, *answer) for case, (t, *answer) in REFUSED_Y.items()},
    **{
        f"weights: {case}": ({"sample_weight": w}, *answer)
        for case, (w, *answer) in REFUSED_WEIGHTS.items()
    },
}
# scikit-learn looks for infinity in the sum first, and NumPy warns of what it finds there.
names_differ = pytest.mark.filterwarnings("ignore:X has feature names")
sums_overflow = pytest.mark.filterwarnings("ignore:(invalid value|overflow):RuntimeWarning")


@names_differ
@sums_overflow
@each_solver
@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_fit_changes_nothing(case, solver):
    arguments, error, match = REFUSED[case]
    net = make_net(solver).fit(X, y)
    methods = [net.fit] if solver not in ("adam", "sgd") else [net.fit, net.partial_fit]
    for method in methods:
        with unchanged(net), pytest.raises(error, match=match):
            method(**{"X": X, "y": y} | arguments)


@names_differ
@sums_overflow
@each_solver
@pytest.mark.parametrize("case", REFUSED_X)
def test_what_fit_refuses_predictions_refuse_too(case, solver):
    rows, error, match = REFUSED_X[case]
    net = make_net(solver).fit(X, y)
    calls = [net.predict, lambda x: net.score(x, y), lambda x: net.diagnose(x, y)]
    if solver == "evidence":
        calls += [lambda x: net.predict(x, return_std=True), net.sample_y]
    for call in calls:
        with unchanged(net), pytest.raises(error, match=match):
            call(rows)


@each_solver
@pytest.mark.parametrize("rows", [X[:, :2], np.c_[X, X], sparse.csr_array(X[:, :2])], ids=np.shape)
def test_other_numbers_of_features_are_refused(rows, solver):
    net = make_net(solver).fit(X, y)
    match = f"X has {rows.shape[1]} features, but TinyMLPRegressor is expecting 3"
    for method in (net.predict, lambda x: net.score(x, y), lambda x: net.diagnose(x, y)):
        with unchanged(net), pytest.raises(ValueError, match=match):
            method(rows)


@each_solver
@pytest.mark.parametrize(
    "call",
    [
        lambda net: net.predict(X),
        lambda net: net.predict(X, return_std=True),
        lambda net: net.sample_y(X),
        lambda net: net.score(X, y),
        lambda net: net.diagnose(X, y),
    ],
    ids=["predict", "predict with std", "sample_y", "score", "diagnose"],
)
def test_nothing_is_predicted_before_fit(call, solver):
    net = make_net(solver)
    with unchanged(net), pytest.raises(NotFittedError, match="is not fitted yet"):
        call(net)


@each_stochastic_solver
@pytest.mark.parametrize(
    "params, match",
    [
        ({"learning_rate": 1e300}, "non-finite parameter weights"),
        ({"early_stopping": True, "validation_fraction": 0.01}, "validation set is too small"),
    ],
    ids=["diverges", "split"],
)
def test_a_fit_refused_after_its_draws_puts_the_random_state_back(params, match, solver):
    net = make_net(solver).fit(X, y).set_params(**params)
    with unchanged(net), pytest.raises(ValueError, match=match):
        net.fit(X, y)


# ----------------------------------------------------------- the same as a plain equivalent


def memory_map(array, path, name):
    mapped = np.memmap(path / name, array.dtype, "w+", shape=array.shape)
    mapped[:] = array
    mapped.flush()
    return np.memmap(path / name, array.dtype, "r", shape=array.shape)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unsorted(matrix):
    order = np.concatenate(
        [
            np.arange(start, stop)[::-1]
            for start, stop in zip(matrix.indptr, matrix.indptr[1:], strict=False)
        ]
    )
    other = csr_with(indices=matrix.indices[order], data=matrix.data[order])
    other.has_sorted_indices = other.has_canonical_format = False
    return other


def int64_indices(matrix):
    matrix = matrix.copy()
    matrix.indices, matrix.indptr = matrix.indices.astype("i8"), matrix.indptr.astype("i8")
    return matrix


def repeated_entries(matrix):
    parts = (
        np.repeat(matrix.data / 2, 2),
        np.repeat(matrix.indices, 2),
        2 * matrix.indptr,
    )
    return sparse.csr_array(parts, matrix.shape)


coo = CSR.tocoo()
places = [np.r_[index, index] for index in (coo.row, coo.col)]
at_the_limits = np.resize([INT64.min, INT64.max, 0], (30, 3))
masked = {"mask": X[:, 0] > 0}  # scikit-learn looks below the mask

# id: function of a folder: (hostile X, y, sample_weight), (plain X, y, sample_weight)
EQUAL = {
    "Fortran order": lambda _: ((np.asfortranarray(X), y), (X, y)),
    "every other column": lambda _: ((np.repeat(X, 2, 1)[:, ::2], np.repeat(y, 2)[::2]), (X, y)),
    "reversed rows": lambda _: ((X[::-1].copy()[::-1], y[::-1].copy()[::-1]), (X, y)),
    "reversed columns": lambda _: ((X[:, ::-1].copy()[:, ::-1], y), (X, y)),
    "one row many times": lambda _: (
        (np.broadcast_to(X[0], (30, 3)), y),
        (np.repeat(X[:1], 30, 0), y),
    ),
    "big-endian": lambda _: ((X.astype(">f8"), y.astype(">f8"), ones.astype(">f8")), (X, y, ones)),
    "big-endian float32": lambda _: (
        (X.astype(">f4"), y.astype(">f4")),
        (X.astype("f4").astype(float), y.astype("f4").astype(float)),
    ),
    "read-only": lambda _: ((read_only(X), read_only(y), read_only(ones)), (X, y, ones)),
    "memory map": lambda path: (
        tuple(memory_map(a, path, name) for a, name in ((X, "X"), (y, "y"), (ones, "w"))),
        (X, y, ones),
    ),
    "masked": lambda _: (
        (np.ma.array(X, mask=X > 1), np.ma.array(y, **masked), np.ma.array(ones, **masked)),
        (X, y, ones),
    ),
    "objects": lambda _: ((X.astype(object), y.astype(object), ones.astype(object)), (X, y, ones)),
    "strings": lambda _: ((X.astype(str), y.astype(str), ones.astype(str)), (X, y, ones)),
    "strings as objects": lambda _: ((X.astype(str).astype(object), y), (X, y)),
    "memory view": lambda _: ((memoryview(X.copy()), memoryview(y.copy())), (X, y)),
    "tuples": lambda _: ((tuple(map(tuple, X)), tuple(y), tuple(ones)), (X, y, ones)),
    "bool": lambda _: ((X > 0, y > 0, y > -1), ((X > 0) * 1.0, (y > 0) * 1.0, (y > -1) * 1.0)),
    "float16": lambda _: (
        (X.astype("e"), y.astype("e")),
        (X.astype("e").astype(float), y.astype("e").astype(float)),
    ),
    "long double": lambda _: ((X.astype("g"), y.astype("g"), ones.astype("g")), (X, y, ones)),
    "int64 at its limits": lambda _: ((at_the_limits, y), (at_the_limits.astype(float), y)),
    "uint64": lambda _: (
        (np.full((30, 3), 2**64 - 1, np.uint64), y),
        (np.full((30, 3), 2.0**64), y),
    ),
    "datetime": lambda _: (
        (np.rint(10 * X).astype("M8[s]"), y),
        (np.rint(10 * X), y),
    ),
    "one weight": lambda _: ((X, y, 2.0), (X, y, 2 * ones)),
    "pandas nullable": lambda _: (
        (nullable, pd.Series(y).astype("Float64"), pd.Series(ones).astype("Float64")),
        (X, y, ones),
    ),
    "pandas nullable integers": lambda _: ((nullable.round().astype("Int64"), y), (X.round(), y)),
    "pandas nullable booleans": lambda _: ((nullable > 0, y), ((X > 0) * 1.0, y)),
    "pandas categories": lambda _: (
        (pd.DataFrame(X > 0).astype(int).astype("category"), y),
        ((X > 0) * 1.0, y),
    ),
    "polars": lambda _: (
        (pl.DataFrame(X, schema=["a", "b", "c"]), pl.Series(y), pl.Series(ones)),
        (X, y, ones),
    ),
    **{
        f"{layout}_{kind}": lambda _, name=f"{layout}_{kind}": (
            (getattr(sparse, name)(CSR), y),
            (CSR, y),
        )
        for layout in ("csr", "csc", "coo", "bsr", "dia", "dok", "lil")
        for kind in ("array", "matrix")
    },
    "CSR, unsorted": lambda _: ((unsorted(CSR), y), (CSR, y)),
    "CSR, int64 indices": lambda _: ((int64_indices(CSR), y), (CSR, y)),
    "CSR of integers": lambda _: ((CSR.astype(int), y), (CSR.astype(int).astype(float), y)),
    "CSR, read-only": lambda _: (
        (
            csr_with(
                data=read_only(CSR.data),
                indices=read_only(CSR.indices),
                indptr=read_only(CSR.indptr),
            ),
            y,
        ),
        (CSR, y),
    ),
    "COO, entries in two parts": lambda _: (
        (sparse.coo_array((np.tile(coo.data / 2, 2), tuple(places)), coo.shape), y),
        (CSR, y),
    ),
    # The entries are summed by every use, or add nothing, but in another order: equal to rounding.
    "CSR, entries in two parts": lambda _: ((repeated_entries(CSR), y), (CSR, y)),
    "CSR, explicit zeros": lambda _: (
        (
            csr_with(
                data=np.r_[CSR.data, np.zeros(30)],
                indices=np.r_[CSR.indices, np.zeros(30)],
                indptr=np.r_[CSR.indptr[:-1], CSR.nnz + 30],
            ),
            y,
        ),
        (CSR, y),
    ),
}
TO_ROUNDING = {"CSR, unsorted", "CSR, entries in two parts", "CSR, explicit zeros"}


@each_solver
@pytest.mark.parametrize("case", EQUAL)
def test_hostile_forms_of_good_data_are_fitted_as_those(case, solver, tmp_path):
    hostile, plain = EQUAL[case](tmp_path)
    assert_same = assert_array_equal
    if case in TO_ROUNDING:

        def assert_same(actual, expected):
            assert_allclose(actual, expected, rtol=1e-4, atol=1e-6)

    methods = ["fit"] if solver not in ("adam", "sgd") else ["fit", "partial_fit"]
    for method in methods:
        nets = [getattr(make_net(solver), method)(*data) for data in (hostile, plain)]
        for name in ("coefs_", "intercepts_"):
            for actual, expected in zip(*(getattr(net, name) for net in nets), strict=True):
                assert actual.dtype == expected.dtype
                assert_same(actual, expected)
        expected = nets[1].predict(plain[0])
        assert np.isfinite(expected).all()
        assert_same(nets[0].predict(hostile[0]), expected)
        assert_same(nets[0].score(hostile[0], *plain[1:]), nets[1].score(*plain))
        if solver == "evidence":
            for actual, expected in zip(
                nets[0].predict(hostile[0], return_std=True),
                nets[1].predict(plain[0], return_std=True),
                strict=True,
            ):
                assert_same(actual, expected)


# -------------------------------------------------------------------- sizes of the numbers


@pytest.mark.parametrize("x_unit", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("y_unit", [1e-300, 1.0, 1e150])
@pytest.mark.parametrize("solver", ["evidence", "lm"])
def test_units_do_not_matter_where_data_are_standardised(solver, x_unit, y_unit):
    expected = make_net(solver).fit(X, y).predict(X)
    net = make_net(solver).fit(x_unit * X, y_unit * y)
    assert_allclose(net.predict(x_unit * X) / y_unit, expected, rtol=1e-6)
    if solver == "evidence":
        std = make_net(solver).fit(X, y).predict(X, return_std=True)[1]
        assert_allclose(net.predict(x_unit * X, return_std=True)[1] / y_unit, std, rtol=1e-4)


FITS = "fits"  # R² above 0.9
MEAN = "mean"  # the mean of y, to a hundredth of its spread
FINITE = "finite"  # trained in raw units, where numbers of this size leave nothing to learn
REFUSED_AS_LARGE = "non-finite parameter weights. The input data may contain large values"
TOO_LARGE = "so large that their mean or spread is not finite"

# id: (X, y, sample_weight), answers of evidence, lm, lbfgs, adam, sgd
ANSWERS = {
    "an X of 1e300": (
        (with_value(X, 1e300, (3, 1)), y, None),
        (FITS, FITS, FITS, FINITE, FINITE),
    ),
    "X of 1e300": ((1e300 * X, y, None), (FITS, FITS, FINITE, FINITE, FINITE)),
    "CSR of 1e300": ((1e300 * CSR, y, None), (TOO_LARGE, TOO_LARGE, FINITE, FINITE, FINITE)),
    "a subnormal X": ((with_value(X, 5e-324, (3, 1)), y, None), (FITS, FITS, FITS, FINITE, FITS)),
    "subnormal X": ((5e-324 * X, y, None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "a y of 1e300": (
        (X, with_value(y, 1e300, 3), None),
        (FINITE, FINITE, FINITE, FINITE, REFUSED_AS_LARGE),
    ),
    "y of 1e300": (
        (X, 1e300 * y, None),
        (FINITE, FINITE, FINITE, FINITE, REFUSED_AS_LARGE),
    ),
    "a subnormal y": ((X, with_value(y, 5e-324, 3), None), (FITS, FITS, FITS, FINITE, FITS)),
    "subnormal y": ((X, 5e-324 * y, None), (FINITE, FINITE, FINITE, FINITE, FINITE)),
    "constant y": ((X, 0 * y + 3, None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "zero y": ((X, 0 * y, None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "constant y of 1e300": (
        (X, 0 * y + 1e300, None),
        (FINITE, FINITE, FINITE, FINITE, REFUSED_AS_LARGE),
    ),
    "constant X": ((0 * X + 1, y, None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "zero X": ((0 * X, y, None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "zero CSR": ((sparse.csr_array((30, 3)), y, None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "constant X and y": ((0 * X + 1, 0 * y + 1, None), (MEAN, MEAN, MEAN, FINITE, MEAN)),
    "a constant column": ((np.c_[X, 0 * y + 7], y, None), (FITS, FITS, FITS, FINITE, FINITE)),
    "one row": ((X[:1], y[:1], None), (MEAN, MEAN, MEAN, FINITE, FINITE)),
    "one column": ((X[:, :1], y, None), (FITS, FITS, FITS, FINITE, FITS)),
    "equal rows": ((X[[0, 1, 2] * 10], y[[0, 1, 2] * 10], None), (FITS, FITS, FITS, FINITE, FITS)),
    "equal columns": ((np.c_[X, X], y, None), (FITS, FITS, FITS, FINITE, FITS)),
    "weights of 1e300": ((X, y, 1e300 * ones), (FITS, FITS, FITS, FINITE, FITS)),
    "a weight of 1e300": (
        (X, y, with_value(ones, 1e300, 3)),
        (FINITE,) * 5,
    ),
    "weights whose sum overflows": (
        (X, y, 1e308 * ones),
        ("sample_weight must have a finite sum",) * 5,
    ),
    # alpha is divided by the weight of a batch
    "weights of 1e-300": (
        (X, y, 1e-300 * ones),
        (FINITE, FINITE, FINITE, FINITE, REFUSED_AS_LARGE),
    ),
    "a weight of 1e-300": (
        (X, y, with_value(ones, 1e-300, 3)),
        (FITS, FITS, FITS, FINITE, REFUSED_AS_LARGE),
    ),
    "some weights of zero": ((X, y, (y > -1) * 1.0), (FITS, FITS, FITS, FINITE, FINITE)),
    "a single weight": ((X, y, with_value(0 * ones, 1.0, 3)), (FINITE,) * 5),
    "a negative weight": (
        (X, y, with_value(ones, -1.0, 3)),
        ("solver='lm' .*sample_weight >= 0", "sample_weight >= 0.*-1", FITS, FINITE, FITS),
    ),
    "more negative weight than positive": (
        (X, y, with_value(ones, -100.0, 3)),
        ("sample_weight >= 0.*-100", "sample_weight >= 0.*-100", FINITE, FINITE, FINITE),
    ),
}


@each_solver
@pytest.mark.parametrize("case", ANSWERS)
def test_numbers_at_the_ends_of_their_range(case, solver):
    (rows, targets, weight), answers = ANSWERS[case]
    answer = answers[list(SOLVERS).index(solver)]
    net = make_net(solver, max_iter=40)
    if answer not in (FITS, MEAN, FINITE):
        with unchanged(net), pytest.raises(ValueError, match=answer):
            net.fit(rows, targets, weight)
        return
    with diagnosed():
        predictions = net.fit(rows, targets, weight).predict(rows)
    assert net.diagnose(rows, targets, weight).summary
    assert np.isfinite(predictions).all()
    if answer == FITS:
        assert net.score(rows, targets, weight) > 0.9
    if answer == MEAN:
        error = np.abs(predictions - targets.mean()).max()
        assert error <= 0.01 * max(targets.std(), abs(targets[0]), 1.0)
    if net._posterior is not None:
        predictions, std = net.predict(rows, return_std=True)
        assert np.isfinite(std).all() and (std >= 0).all()
    elif solver == "evidence":
        with pytest.raises(ValueError, match="the evidence is not finite because values"):
            net.predict(rows, return_std=True)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@each_solver
def test_huge_data_without_an_intercept(solver, activation):
    net = make_net(solver, bias=False, activation=activation)
    if activation == "relu" and solver in ("adam", "sgd"):
        with unchanged(net), pytest.raises(ValueError, match=REFUSED_AS_LARGE):
            net.fit(1e300 * X, y)
        return
    with diagnosed():
        net.fit(1e300 * X, y)
    assert np.isfinite(net.predict(1e300 * X)).all()


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["auto", "lm"])
def test_ten_thousand_features_of_two_rows_need_little_memory(solver):
    rows, targets = rng.standard_normal((2, 10_000)), np.array([1.0, 2.0])
    net = TinyMLPRegressor(solver=solver, random_state=0)
    tracemalloc.start()
    try:
        net.fit(rows, targets)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert_allclose(net.predict(rows), targets, atol=0.1)
    # 1.6 MB hold the weights; a block of rows, or of the Jacobian, takes up to 128 times as much.
    # The square of the number of weights would take 320 GB.
    assert peak < 500e6


# ------------------------------------------------------------------- parameters: their ranges

GREATEST = {"hidden_layer_sizes": 1000, "n_init": 20}  # where the work grows with the number

# Values of the kinds of constraint that are no range. A new kind must be given some here.
EXAMPLES = {
    None: [None],
    "boolean": [True, False, np.True_],
    "verbose": [False, 0],
    "array-like": [(), [1], (1,) * 20, np.array([100, 2], np.int8), np.array(3)],
    "random_state": [None, 0, 2**32 - 1, np.int64(3), np.random.RandomState(0)],
    Activation: [Activation(np.sin, np.cos)],
    list: [["relu"]],
    tuple: [("relu",)],
}


def inside(name, constraint):
    """Both ends of a range, and extremes within."""
    if isinstance(constraint, StrOptions | Options):
        return sorted(constraint.options)
    if not isinstance(constraint, Interval):
        return EXAMPLES[constraint]
    least, greatest = constraint.left, constraint.right
    if constraint.type is Integral:
        return [least, np.int8(20), GREATEST.get(name, 10**30)]
    assert constraint.type is Real
    values = [np.float16(0.5), np.float32(0.25), 1e-300]
    values += [least if constraint.closed in ("left", "both") else np.nextafter(least, INF)]
    if greatest is None:
        return [*values, 1e300]
    return [*values, greatest if constraint.closed == "both" else np.nextafter(greatest, -INF)]


def outside(constraint):
    """Just beyond the ends of a range."""
    if not isinstance(constraint, Interval):
        return []
    least, greatest = constraint.left, constraint.right
    if constraint.type is Integral:
        return [least - 1, np.int8(least - 1), least + 0.5]
    values = [np.nextafter(least, -INF) if constraint.closed in ("left", "both") else least, NAN]
    if greatest is None:
        return [*values, INF]
    return [*values, np.nextafter(greatest, INF) if constraint.closed == "both" else greatest]


CONSTRAINTS = TinyMLPRegressor._parameter_constraints
INSIDE = [
    (name, value)
    for name, constraints in CONSTRAINTS.items()
    for constraint in constraints
    for value in inside(name, constraint)
]
OUTSIDE = [
    (name, value)
    for name, constraints in CONSTRAINTS.items()
    for value in [object(), *(v for c in constraints for v in outside(c))]
]
# What else makes a parameter count.
TOGETHER_WITH = {
    "validation_fraction": {"early_stopping": True},
    "n_iter_no_change": {"early_stopping": True},
    "power_t": {"learning_rate": "invscaling"},
}


def refusal(solver, name, value):
    """The text of the documented error that a value within its range has, or None."""
    if name == "loss" and value != "squared_error" and solver == "lm":
        return "accepts loss=.* only with alpha='auto'"  # which this lm has not
    huge = isinstance(value, Real) and float(value) == 1e300
    if name.startswith("learning_rate") and huge and solver in ("adam", "sgd"):
        return "non-finite parameter weights"
    if name == "alpha" and huge and solver == "sgd":
        return "non-finite parameter weights"
    if name == "noise" and value == "varying" and solver != "evidence":  # alpha is fixed there
        return "noise='varying' needs the evidence"
    if name == "validation_fraction" and solver != "lbfgs":
        if value == 0:
            return "test_size=0"
        if value < 0.01:
            return "validation set is too small. Increase 'validation_fraction'"
        if value > 0.99:
            return "train set will be empty"
    return None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Got `batch_size` less than 1 or larger")
@each_solver
@pytest.mark.parametrize("name, value", INSIDE)
def test_values_within_their_range_end_in_a_fit(name, value, solver):
    params = TOGETHER_WITH.get(name, {}) | {name: value}
    net, targets = make_net(solver).set_params(**params), np.abs(y)
    match = refusal(solver, name, value)
    if match:
        with unchanged(net), pytest.raises(ValueError, match=match):
            net.fit(X, targets)
    else:
        with diagnosed():
            net.fit(X, targets)
        assert np.isfinite(net.predict(X)).all()
        assert net.get_params()[name] is value


@pytest.mark.parametrize("name, value", OUTSIDE)
def test_values_outside_their_range_are_refused_by_name(name, value):
    net = make_net("sgd").fit(X, y).set_params(**{name: value})
    with unchanged(net), pytest.raises(InvalidParameterError, match=f"'{name}' parameter"):
        net.fit(X, y)


def test_every_parameter_is_in_both_tables():
    parameters = set(TinyMLPRegressor().get_params())
    assert {name for name, _ in INSIDE} == {name for name, _ in OUTSIDE} == parameters


def test_sizes_beyond_any_memory_name_the_parameter():
    X, y = np.eye(5), np.arange(5.0)
    for name, value in (
        ("hidden_layer_sizes", 10**30),
        ("hidden_layer_sizes", (10**7, 10**7)),
        ("n_init", 10**30),
    ):
        with pytest.raises(ValueError, match=f"{name}=.* TB of memory"):
            TinyMLPRegressor(**{name: value}).fit(X, y)


@pytest.mark.parametrize("start", [3, [np.ones((5, 2)) * 1j, np.ones((2, 1))], [[[1, 2], [3]]]])
def test_start_weights_that_are_no_real_arrays_are_named(start):
    net = TinyMLPRegressor(hidden_layer_sizes=(2,))
    with pytest.raises(ValueError, match="coefs_init must be a list of an array of real numbers"):
        net.fit(np.eye(5), np.arange(5.0), coefs_init=start)
    assert not hasattr(net, "coefs_")


@pytest.mark.parametrize(
    "X_val, y_val, message",
    [
        (np.full((3, 5), np.nan), np.ones(3), "Input X_val contains NaN"),
        (np.ones((3, 4)), np.ones(3), "X_val has 4 features"),
        (np.ones((3, 5)), np.ones(2), "X_val and y_val: .*inconsistent numbers of samples"),
        (np.ones((3, 5)), np.full(3, np.inf), "y_val contains infinity"),
    ],
)
def test_errors_of_the_validation_set_name_it(X_val, y_val, message):
    with pytest.raises(ValueError, match=message):
        TinyMLPRegressor().fit(np.eye(5), np.arange(5.0), X_val=X_val, y_val=y_val)


def test_columns_of_dates_are_named():
    frame = pd.DataFrame({"a": np.arange(9.0), "day": pd.date_range("2020", periods=9)})
    with pytest.raises(ValueError, match=r"columns of dates, \['day'\]. Replace them by numbers"):
        TinyMLPRegressor().fit(frame, np.arange(9.0))


def test_one_row_has_no_standard_deviation():
    net = TinyMLPRegressor(random_state=0).fit([[1.0, 2.0]], [3.0])
    assert net.predict([[1.0, 2.0]]) == pytest.approx(3.0)
    with pytest.raises(ValueError, match="one row"):
        net.predict([[1.0, 2.0]], return_std=True)
