"""Activations of the user's own, and those ready-made with parameters."""

import math
import pickle
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError
from functools import partial
from math import tanh as math_tanh

import joblib
import numpy as np
import pytest
from formulas import compiled_value_and_slope
from numba import config
from numpy.testing import assert_allclose, assert_array_equal
from scipy import special
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_tinymlp import Activation, TinyMLPRegressor, activations
from sklearn_tinymlp._activations.compiled import _compiled_functions
from sklearn_tinymlp._activations.derivative_check import check_derivative
from sklearn_tinymlp._activations.lookup import compiled, value_and_slope
from sklearn_tinymlp._activations.table import BUILT_IN
from sklearn_tinymlp._activations.users_own import by_numpy
from sklearn_tinymlp._displays.html import trained_network

compiles = pytest.mark.skipif(bool(config.DISABLE_JIT), reason="looks at the machine code")


def own_tanh(z):
    return np.tanh(z)


def own_tanh_slope(z):
    return 1 - np.tanh(z) ** 2


def leaky(x):
    return np.where(x > 0, x, x * 0.01)


def leaky_slope_of_the_question(x):
    x = np.array(x)
    x[x <= 0] = 0.01
    x[x > 0] = 1
    return x


def leaky_slope_mended(x):
    return np.where(np.array(x) <= 0, 0.01, 1)


def scaled(z, factor):
    return factor * z


def scaled_slope(z, factor):
    return factor


OWN = Activation(own_tanh, own_tanh_slope, output_range=(-1, 1))
LEAKY = Activation(leaky, leaky_slope_mended)
X, Y = np.linspace(-2, 2, 40)[:, np.newaxis], np.sin(2 * np.linspace(-2, 2, 40))


def fitted(activation, X=X, y=Y, **params):
    defaults = {"hidden_layer_sizes": (5,), "solver": "lbfgs", "max_iter": 30, "random_state": 0}
    net = TinyMLPRegressor(**{**defaults, "activation": activation, **params})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net.fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_own_tanh_learns_what_tanh_learns(solver, dtype):
    data = X.astype(dtype), Y.astype(dtype)
    ours = fitted(OWN, *data, solver=solver, max_iter=5)
    theirs = fitted("tanh", *data, solver=solver, max_iter=5)
    rtol = 1e-4 if dtype is np.float32 else 1e-9
    assert ours.coefs_[0].dtype == dtype
    assert_allclose(ours.predict(data[0]), theirs.predict(data[0]), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("layout", [np.asarray, csr_matrix])
def test_own_activation_in_a_list_and_for_the_output(layout):
    params = {"hidden_layer_sizes": (4, 3), "output_activation": OWN}
    ours = fitted([OWN, "relu"], layout(X), 0.9 * Y, **params)
    theirs = fitted(["tanh", "relu"], layout(X), 0.9 * Y, **{**params, "output_activation": "tanh"})
    assert ours.out_activation_ == "own_tanh"
    assert_allclose(ours.predict(layout(X)), theirs.predict(layout(X)), rtol=1e-6)


def tanh_by_name(z):
    return math_tanh(z)


@compiles
def test_tanh_and_exp_imported_by_name_are_those_of_the_built_ins():
    by_name = Activation(tanh_by_name, own_tanh_slope, output_range=(-1, 1))
    z = np.linspace(-3, 3, 101)
    expected, _ = compiled_value_and_slope("tanh", z)
    assert_array_equal(compiled_value_and_slope(by_name, z)[0], expected)


@pytest.mark.filterwarnings("ignore:numba cannot compile")
def test_functions_that_read_different_lists_are_different_activations():
    def leaking(slopes):
        return Activation(
            lambda z: np.where(z > 0, z, slopes[0] * z),
            lambda z: np.where(z > 0, 1.0, slopes[0]),
            name="leaking",
        )

    one, other = leaking([0.1]), leaking([0.2])
    assert one != other
    assert leaking((0.1,)) == leaking((0.1,)) != leaking((0.2,))
    for activation, slope in ((one, 0.1), (other, 0.2)):
        for compute in (value_and_slope, compiled_value_and_slope):
            value, _ = compute(activation, np.array([-1.0]))
            assert_allclose(value, -slope)


def mask_value(z):
    z = np.array(z)
    z[z < 0] = 0.0
    return z


def mask_slope(z):
    return (z > 0).astype(float)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_what_numba_cannot_compile_works_through_numpy(solver, dtype):
    data = X.astype(dtype), Y.astype(dtype)
    relu = Activation(mask_value, mask_slope, name=f"by mask, {solver}, {dtype.__name__}")
    if config.DISABLE_JIT:
        ours = fitted(relu, *data, solver=solver)
    else:
        with pytest.warns(UserWarning, match="numba cannot compile the activation 'by mask"):
            ours = fitted(relu, *data, solver=solver)
    theirs = fitted("relu", *data, solver=solver)
    rtol = 1e-3 if dtype is np.float32 else 1e-9
    assert_allclose(ours.predict(data[0]), theirs.predict(data[0]), rtol=rtol, atol=rtol)


@pytest.mark.filterwarnings("ignore:numba cannot compile")
def test_an_error_in_a_python_function_reaches_the_user():
    class Moody:
        """Fails once it has been asked often enough; numba cannot compile it."""

        calls = 0

        def __call__(self, z):
            Moody.calls += 1
            if Moody.calls > 200:
                raise RuntimeError("out of luck")
            return np.asarray(z) * 1.0

    moody = Activation(Moody(), np.ones_like, name="moody")
    with pytest.raises(RuntimeError, match="out of luck"):
        fitted(moody, solver="sgd", max_iter=500, tol=0.0, n_iter_no_change=500)
    net = fitted("tanh")
    assert np.isfinite(net.predict(X)).all()  # nothing is left behind


@pytest.mark.slow
@pytest.mark.parametrize(
    "activation",
    [
        OWN,
        LEAKY,
        Activation(leaky, leaky_slope_mended, name="other"),
        Activation(lambda z: z if z > 0 else 0.3 * z, lambda z: 1 if z > 0 else 0.3),
        Activation(math.sin, math.cos, output_range=(-1, 1)),
        Activation(np.sin, np.cos),
        Activation(special.expit, lambda z: special.expit(z) * special.expit(-z)),
        Activation(lambda z: z, lambda z: 1),
        Activation(np.abs, np.sign),
        Activation(lambda z: np.floor(z), lambda z: 0.0),
        Activation(partial(scaled, factor=2.0), partial(scaled_slope, factor=2.0)),
        activations.leaky_relu(0.2),
        activations.leaky_relu(0),
        activations.elu(0.5),
        activations.softplus(3),
        activations.swish(2),
        activations.scaled_tanh(),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:numba cannot compile")
def test_activation_gives_the_values_of_its_functions(activation):
    check_derivative(activation, -1000.0, 1000.0)
    z = np.linspace(-4, 4, 33)
    value, slope = by_numpy(activation.value)(z), by_numpy(activation.derivative)(z)
    for dtype, rtol in (("float64", 1e-12), ("float32", 1e-5)):
        for compute in (value_and_slope, compiled_value_and_slope):
            actual_value, actual_slope = compute(activation, z.astype(dtype))
            assert_allclose(actual_value, value, rtol=rtol, atol=rtol)
            assert_allclose(actual_slope, slope, rtol=rtol, atol=rtol)
    least, greatest = activation.output_range
    assert least <= value.min() and value.max() <= greatest


@pytest.mark.parametrize(
    "ready, name",
    [
        (activations.leaky_relu(), "leaky_relu"),
        (activations.elu(), "elu"),
        (activations.softplus(), "softplus"),
        (activations.swish(), "silu"),
    ],
)
def test_ready_made_activations_without_parameters_are_the_built_ins(ready, name):
    z = np.concatenate([np.linspace(-40, 40, 201), [0.0]])
    for compute in (value_and_slope, compiled_value_and_slope):
        for actual, expected in zip(compute(ready, z), compute(name, z), strict=True):
            assert_allclose(actual, expected, rtol=1e-12, atol=1e-14)
    row = BUILT_IN[name]
    assert_allclose(ready.output_range, (row.least, row.greatest))


@pytest.mark.parametrize(
    "make, argument, match",
    [
        (activations.leaky_relu, -1.0, "negative_slope must be .* got -1.0"),
        (activations.elu, 0.0, "alpha must be a number above 0, got 0.0"),
        (activations.softplus, np.inf, "beta must be"),
        (activations.swish, np.nan, "beta must be"),
        (activations.scaled_tanh, -2, "scale must be"),
        (lambda value: Activation(value, np.cos), 3, "function as value, got 3"),
        (lambda slope: Activation(np.sin, slope), None, "function as derivative, got None"),
        (lambda ends: Activation(np.sin, np.cos, output_range=ends), (1, -1), "least < greatest"),
        (lambda ends: Activation(np.sin, np.cos, output_range=ends), (1, 2, 3), "output_range="),
    ],
)
def test_activations_that_make_no_sense_are_refused(make, argument, match):
    with pytest.raises((ValueError, TypeError), match=match):
        make(argument)


# ------------------------------------------------------------------------ is it the derivative


def test_the_derivative_of_the_question_is_refused_with_its_worst_point():
    wrong = Activation(leaky, leaky_slope_of_the_question)
    match = (
        r"activation 'leaky', 'leaky_slope_of_the_question', is not the derivative of its value "
        r"'leaky': at z = -\S+ it is 1, but it should be 0.01 \(central difference\)"
    )
    net = TinyMLPRegressor(hidden_layer_sizes=(3,), activation=wrong, output_activation=LEAKY)
    with pytest.raises(ValueError, match=match):
        net.fit([[1], [2], [3]], [5, 4, 3])
    with pytest.raises(ValueError, match=match):
        net.set_params(activation="tanh", output_activation=wrong).fit([[1], [2], [3]], [5, 4, 3])
    assert not hasattr(net, "coefs_")
    mended = Activation(leaky, leaky_slope_mended)
    fitted(mended, [[1], [2], [3]], [5, 4, 3])


@pytest.mark.parametrize(
    "value, derivative, gave, right",
    [
        (np.tanh, lambda z: 1 - np.tanh(z), "1.7615", "0.419"),
        (np.sin, lambda z: -np.cos(z), "-1", "1"),
        (lambda z: z**2, lambda z: z, "8", "16"),
        (lambda z: np.where(z > 0, z, 0.0), lambda z: np.where(z > 2, 1.0, 0.0), "0", "1"),
    ],
)
def test_other_wrong_derivatives_are_refused(value, derivative, gave, right):
    with pytest.raises(ValueError, match="is not the derivative") as caught:
        check_derivative(Activation(value, derivative, name="f"), -8.0, 8.0)
    words = str(caught.value)
    if gave != "1.7615":  # there another point is the worst
        assert abs(float(words.split("it is ")[1].split(",")[0])) == pytest.approx(abs(float(gave)))
        assert abs(float(words.split("should be ")[1].split(" ")[0])) == pytest.approx(
            abs(float(right))
        )


def test_an_error_beyond_the_usual_range_is_found_where_the_data_are():
    bent = Activation(lambda z: np.where(z > 20, 2 * z - 20, z), lambda z: np.ones_like(z))
    check_derivative(bent, -8.0, 8.0)
    with pytest.raises(ValueError, match="it is 1, but it should be 2"):
        check_derivative(bent, -8.0, 100.0)
    with pytest.raises(ValueError, match="it is 1, but it should be 2"):
        fitted(bent, 1000.0 * X, Y, solver="adam")


def test_any_slope_at_a_kink_will_do():
    for at_zero in (0.0, 0.3, 1.0):
        relu = Activation(
            lambda z: np.maximum(z, 0.0),
            lambda z, a=at_zero: np.where(z > 0, 1.0, np.where(z < 0, 0.0, a)),
        )
        check_derivative(relu, -8.0, 8.0)


def test_functions_that_mix_numbers_are_refused():
    with pytest.raises(ValueError, match="must be computed independently for each number"):
        check_derivative(Activation(lambda z: z / np.sum(z), np.ones_like), -8.0, 8.0)


def test_a_function_without_values_is_refused():
    with pytest.raises(ValueError, match="has no finite values"):
        check_derivative(Activation(lambda z: z * np.nan, np.ones_like), -8.0, 8.0)


def test_a_missing_derivative_at_a_point_is_an_error():
    with pytest.raises(ValueError, match="it is nan"):
        check_derivative(Activation(np.sin, lambda z: np.cos(z) + 0 / z), -8.0, 8.0)


# ---------------------------------------------------------------- equality, copies, processes


def make_scaled(factor):
    return Activation(lambda z: factor * z, lambda z: factor + 0 * z, name="scaled")


def test_equality_looks_at_code_and_constants():
    assert make_scaled(2.0) == make_scaled(2.0)
    assert hash(make_scaled(2.0)) == hash(make_scaled(2.0))
    assert make_scaled(2.0) != make_scaled(3.0)
    assert OWN != Activation(own_tanh, own_tanh_slope)  # another range
    assert OWN == Activation(own_tanh, own_tanh_slope, output_range=(-1.0, 1.0))
    assert OWN != "tanh" and OWN is not None
    assert activations.elu(0.5) == activations.elu(0.5) != activations.elu(0.6)
    assert Activation(np.sin, np.cos) == Activation(np.sin, np.cos) != Activation(np.cos, np.cos)
    arrays = [make_scaled(np.array([factor])) for factor in (1.0, 1.0, 2.0)]
    assert arrays[0] == arrays[1] != arrays[2]


factor_of_the_module = 1.0


def make_by_global():
    return Activation(
        lambda z: factor_of_the_module * z,
        lambda z: factor_of_the_module + 0 * z,
        name="by a global variable",
    )


def test_a_constant_that_changed_is_not_mistaken_for_the_old_one(monkeypatch):
    before, net = make_by_global(), fitted(make_by_global(), max_iter=1)
    monkeypatch.setattr(sys.modules[__name__], "factor_of_the_module", 3.0)
    assert make_by_global() != before
    other = fitted(make_by_global(), max_iter=1)
    assert np.abs(net.predict(X) - other.predict(X)).max() > 1e-3


def test_records_are_immutable():
    with pytest.raises(FrozenInstanceError):
        OWN.name = "other"


@pytest.mark.parametrize("activation", [OWN, LEAKY, activations.swish(1.5)], ids=str)
def test_nets_are_cloned_and_saved_with_their_activation(activation, tmp_path):
    net = fitted(activation)
    assert clone(net).activation == activation
    assert pickle.loads(pickle.dumps(net)).activation == activation
    joblib.dump(net, tmp_path / "net.joblib")
    loaded = joblib.load(tmp_path / "net.joblib")
    assert_array_equal(loaded.predict(X), net.predict(X))
    assert "Activation(" in repr(net)


@pytest.mark.parametrize("activation", [OWN, activations.elu(0.5)], ids=str)
def test_skops_files(activation):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(activation)
    assert skops.loads(data, trusted=skops.get_untrusted_types(data=data)) == activation


@pytest.mark.slow
def test_grid_search_in_other_processes():
    factor = 0.5
    grid = {
        "activation": [
            OWN,
            activations.leaky_relu(0.2),
            Activation(lambda z: factor * np.sin(z), lambda z: factor * np.cos(z), name="wave"),
        ]
    }
    net = TinyMLPRegressor(hidden_layer_sizes=(3,), solver="lbfgs", random_state=0, alpha=0.1)
    with joblib.parallel_backend("loky", n_jobs=2):
        search = GridSearchCV(net, grid, cv=2, n_jobs=2, error_score="raise").fit(X, Y)
    expected = GridSearchCV(net, grid, cv=2).fit(X, Y)
    assert_allclose(
        search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"], rtol=1e-6
    )


@compiles
def test_a_second_fit_compiles_nothing(monkeypatch):
    own = Activation(own_tanh, own_tanh_slope, name="compiled once")
    fitted(own)

    def fail(*_, **__):
        raise AssertionError("compiled again")

    monkeypatch.setattr("sklearn_tinymlp._activations.compiled.c_function", fail)
    monkeypatch.setattr(
        "sklearn_tinymlp._activations.derivative_check._check_derivative", lambda *_: None
    )
    again = Activation(own_tanh, own_tanh_slope, name="compiled once")
    assert_array_equal(fitted(again).predict(X), fitted(own).predict(X))


def test_threads_compile_once():
    own = Activation(own_tanh, own_tanh_slope, name="compiled by one of many threads")
    with ThreadPoolExecutor(8) as pool:
        functions = list(pool.map(lambda _: compiled(own, "float64"), range(8)))
    assert all(function is functions[0] for function in functions)


def test_the_poisson_loss_takes_a_positive_activation_of_ones_own():
    counts = np.random.RandomState(0).poisson(2.0, 40)
    own = activations.softplus(2)
    net = fitted("tanh", X, counts, loss="poisson", output_activation=own)
    assert net.predict(X).min() > 0
    for other in (OWN, LEAKY, activations.leaky_relu(0)):
        with pytest.raises(ValueError, match="needs predictions above zero"):
            fitted("tanh", X, counts, loss="poisson", output_activation=other)


@compiles
def test_activations_that_differ_in_constants_are_compiled_once():
    _compiled_functions.cache_clear()
    for k in range(1, 15):
        factors = {"factor": 1.0 + k}
        own = Activation(partial(scaled, **factors), partial(scaled_slope, **factors))
        for activation in (own, activations.leaky_relu(0.1 * k)):
            z = np.linspace(-3, 3, 10)
            for compute in (value_and_slope, compiled_value_and_slope):
                values, slopes = compute(activation, z)
                assert_allclose(values, by_numpy(activation.value)(z))
                assert_allclose(slopes, by_numpy(activation.derivative)(z))
    assert _compiled_functions.cache_info().currsize == 2


@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 20])
def test_each_layer_has_its_own_constants(solver, batch_size):
    ready = [activations.leaky_relu(0.3), activations.swish(2.0)]
    own = [
        Activation(lambda z: z if z > 0 else 0.3 * z, lambda z: 1.0 if z > 0 else 0.3),
        Activation(
            lambda z: z / (1 + np.exp(-2 * z)),
            lambda z: (1 + 2 * z / (1 + np.exp(2 * z))) / (1 + np.exp(-2 * z)),
        ),
    ]
    shape = {"hidden_layer_sizes": (4, 3), "solver": solver, "batch_size": batch_size}
    first, second = (fitted(each, **shape).predict(X) for each in (ready, own))
    assert_allclose(first, second, rtol=1e-6, atol=1e-9)
    assert not np.allclose(first, fitted(ready[::-1], **shape).predict(X), rtol=1e-3)


@compiles
def test_the_number_of_compiled_functions_is_bounded(monkeypatch):
    monkeypatch.setattr("sklearn_tinymlp._activations.compiled.MAX_COMPILED", 1)
    _compiled_functions.cache_clear()

    def own(factor):
        return Activation(
            lambda z: math.tanh(factor * z), lambda z: factor / math.cosh(factor * z) ** 2
        )

    compiled(own(0.11), "float64")
    with pytest.warns(UserWarning, match="1 functions are compiled, whose memory is not released"):
        values, _ = compiled_value_and_slope(own(0.12), X.ravel())
    assert_allclose(values, np.tanh(0.12 * X.ravel()))
    assert _compiled_functions.cache_info().currsize == 1


def test_the_name_of_an_activation_is_escaped_in_html():
    own = Activation(own_tanh, own_tanh_slope, name="</title><script>")
    assert "<script>" not in trained_network(fitted(own, solver="lm"))
