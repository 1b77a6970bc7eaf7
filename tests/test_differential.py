"""TinyMLPRegressor against MLPRegressor: the same parameters, the same data, step by step."""

import warnings

import numpy as np
import pytest
import scipy.optimize
from configurations import (
    SEQUENCES,
    assert_close,
    assert_same_path,
    make_data,
    make_random_state,
    position_of,
    tolerance,
    train,
    train_both,
)
from fuzz import compare
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._base import LOSS_FUNCTIONS

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._solvers.lbfgs import Loop


@st.composite
def hyperparameters(draw, solver):
    """Parameters that both estimators share; modest rates, so that nothing amplifies rounding."""
    n_hidden = draw(st.sampled_from([1, 2, 3, 0]))
    hidden = [draw(st.sampled_from([5, 30, 1, 12, 17, 2])) for _ in range(n_hidden)]
    momentum = draw(st.sampled_from([0.9, 0.5, 0.0, 0.99]))
    rate = draw(st.sampled_from([5e-3, 1e-3, 1e-4]))
    if solver == "sgd":
        rate *= 4 * (1 - momentum)
    # With fast decaying moments Adam goes by signs of gradients, and those of rounding errors too.
    beta_1, beta_2 = draw(st.sampled_from([(0.9, 0.999), (0.5, 0.99), (0.0, 0.9), (0.8, 0.95)]))
    return {
        "solver": solver,
        "loss": draw(st.sampled_from(["squared_error", "poisson"])),
        "hidden_layer_sizes": draw(st.sampled_from([hidden, tuple(hidden), np.array(hidden, int)])),
        "activation": draw(st.sampled_from(["relu", "tanh", "logistic", "identity"])),
        "alpha": draw(st.sampled_from([1e-4, 0.1, 1.0, 0.0])),
        "batch_size": draw(st.sampled_from(["auto", 7, 1, 2, 13, 32, 1000])),
        "learning_rate": draw(st.sampled_from(["constant", "invscaling", "adaptive"])),
        "learning_rate_init": rate,
        "power_t": draw(st.sampled_from([0.5, 0.1, 1.0, 0.0])),
        "max_iter": draw(st.sampled_from([20, 13, 7, 3, 1])),
        "shuffle": draw(st.sampled_from([True, False])),
        # lbfgs with tol=0 ends where rounding says so.
        "tol": draw(st.sampled_from([1e-4, 1e-2, 0.1] + ([0.0] if solver != "lbfgs" else []))),
        "n_iter_no_change": draw(st.sampled_from([5, 1, 2, np.inf])),
        "warm_start": draw(st.booleans()),
        "momentum": momentum,
        "nesterovs_momentum": draw(st.booleans()),
        "early_stopping": draw(st.booleans()),
        "validation_fraction": draw(st.sampled_from([0.1, 0.25, 0.5])),
        "beta_1": beta_1,
        "beta_2": beta_2,
        "epsilon": draw(st.sampled_from([1e-8, 1e-3])),
        "max_fun": draw(st.sampled_from([15000, 15, 4, 1])),
    }


@st.composite
def data_kinds(draw, params):
    """How the data of a configuration look; the numbers themselves come from `seed`."""
    several_outputs = params["solver"] != "lbfgs" or params["loss"] == "poisson"
    roomy = params["solver"] == "lbfgs" or params["early_stopping"]
    return {
        "seed": draw(st.integers(0, 10_000)),
        "n_samples": draw(st.sampled_from([30, 60, 23] + ([] if roomy else [12, 3]))),
        "n_features": draw(st.sampled_from([3, 1, 6])),
        "n_outputs": draw(st.sampled_from([1, 2, 3])) if several_outputs else 1,
        "column": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["float64", "float64", "float32"])),
        "layout": draw(st.sampled_from(["C", "F", "csr", "csc"])),
        "weights": draw(st.sampled_from([None, "uneven", "one zero"])),
    }


@st.composite
def configurations(draw, solver):
    params = draw(hyperparameters(solver))
    data = draw(data_kinds(params))
    allowed = SEQUENCES
    if solver == "lbfgs" or params["early_stopping"]:
        allowed = SEQUENCES[:2]
    methods = draw(st.sampled_from(allowed))
    if params["batch_size"] not in ("auto", 1000) and data["weights"] == "one zero":
        data["weights"] = "uneven"  # MLPRegressor divides by the weight of each batch
    if data["dtype"] == "float32" and solver != "lbfgs":
        # Differences of the loss near tol are too small for float32: stop surely or never.
        params["tol"], params["n_iter_no_change"] = draw(
            st.sampled_from([(10.0, 1), (10.0, 3), (1e-4, np.inf)])
        )
    return {
        "params": params,
        "data": data,
        "methods": methods,
        "changes": {
            "max_iter": draw(st.sampled_from([10, 4, 1])),
            "learning_rate_init": params["learning_rate_init"] * draw(st.sampled_from([1.0, 0.5])),
        },
        "random_state": draw(st.sampled_from(["RandomState", "global", "PCG64", "int"])),
    }


# `test_fuzz.py` draws 40 more, in which planted faults are found.
@given(configurations("sgd"))
def test_sgd_follows_mlpregressor(configuration):
    ours, theirs = train_both(configuration)
    assert_same_path(ours, theirs, tolerance(configuration), exact_warnings=True)


@given(configurations("adam"))
def test_adam_follows_mlpregressor(configuration):
    ours, theirs = train_both(configuration)
    assert_same_path(ours, theirs, tolerance(configuration), exact_warnings=True)


@given(configurations("lbfgs"))
def test_lbfgs_follows_mlpregressor(configuration):
    ours, theirs = train_both(configuration)
    assert_same_path(ours, theirs, tolerance(configuration), exact_warnings=False)


def simple_configuration(random_state="int", methods=("fit",), data=None, **params):
    defaults = {"hidden_layer_sizes": (4,), "activation": "tanh", "max_iter": 5}
    kind = {
        "seed": 5,
        "n_samples": 30,
        "n_features": 2,
        "n_outputs": 1,
        "column": False,
        "dtype": "float64",
        "layout": "C",
        "weights": None,
    }
    return {
        "params": {"loss": "squared_error", "learning_rate_init": 0.001} | defaults | params,
        "data": kind | (data or {}),
        "methods": methods,
        "changes": {"max_iter": 5},
        "random_state": random_state,
    }


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (3,), (3, 2)], ids=str)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_first_iteration_is_that_of_mlpregressor(solver, hidden, activation):
    configuration = simple_configuration(
        solver=solver, hidden_layer_sizes=hidden, activation=activation, max_iter=1
    )
    ours, theirs = train_both(configuration)
    assert_same_path(ours, theirs, 1e-10, exact_warnings=solver != "lbfgs")


@pytest.mark.parametrize("params", [{}, {"beta_1": 0.99}, {"beta_2": 0.9999}], ids=str)
def test_adam_in_float32_is_as_exact_as_mlpregressor(params):
    # 1 - beta_2 of a beta_2 in float32 has four digits: weights parted by 7e-6 in one step.
    params = params | {"solver": "adam", "learning_rate_init": 1.0, "max_iter": 1}
    configuration = simple_configuration(data={"dtype": "float32"}, **params)
    ours, theirs = train_both(configuration)
    for our, their in zip(ours[0]["coefs_"], theirs[0]["coefs_"], strict=True):
        assert_allclose(our, their, rtol=0.0, atol=5e-7)


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 2},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 2, "learning_rate": "adaptive"},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 1, "learning_rate": "adaptive"}
        | {"learning_rate_init": 1e-5},
        {"solver": "adam", "early_stopping": True, "tol": 10.0, "n_iter_no_change": 3},
        {"solver": "adam"},
    ],
    ids=str,
)
def test_verbose_prints_what_mlpregressor_prints(params, capsys):
    configuration = simple_configuration(verbose=True, **{"max_iter": 12} | params)
    train(MLPRegressor(), configuration)
    expected = capsys.readouterr().out
    train(TinyMLPRegressor(), configuration)
    assert capsys.readouterr().out == expected != ""


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_early_stopping_saves_the_weights_of_a_diverging_fit(solver):
    rate = {"sgd": 1e10, "adam": 1e308}[solver]
    configuration = simple_configuration(
        solver=solver,
        activation="identity",
        early_stopping=True,
        learning_rate_init=rate,
        max_iter=30,
        tol=0.0,
        n_iter_no_change=5,
    )
    ours, theirs = train_both(configuration)
    assert "error" not in theirs[0]
    for name in ("n_iter_", "t_"):
        assert ours[0][name] == theirs[0][name]
    for one, other in zip(ours[0]["coefs_"], theirs[0]["coefs_"], strict=True):
        assert_close(one, other, 1e-7, "coefs_")


# -------------------------------------------------------------------- where a RandomState stands


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "lbfgs"},
        {"solver": "adam"},
        {"solver": "sgd", "shuffle": False},
        {"solver": "sgd", "batch_size": 7},
        {"solver": "adam", "early_stopping": True},
        {"solver": "adam", "tol": 1e3, "n_iter_no_change": 2},  # ends before max_iter
        {"solver": "sgd", "max_iter": 30, "batch_size": 1},  # needs more than 624 words
    ],
    ids=str,
)
@pytest.mark.parametrize("random_state", ["RandomState", "PCG64", "global"])
def test_random_state_stands_where_mlpregressor_leaves_it(random_state, params):
    methods = ["fit", "fit"]
    if params["solver"] != "lbfgs" and not params.get("early_stopping"):
        methods.append("partial_fit")
    ours, theirs = train_both(simple_configuration(random_state, methods, **params))
    start = make_random_state("PCG64" if random_state == "PCG64" else "RandomState", 5)
    assert len(ours) == len(theirs) == len(methods)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_equal(our["position"], their["position"])
    with pytest.raises(AssertionError):  # some numbers were drawn
        np.testing.assert_equal(ours[0]["position"], position_of(start))


# ------------------------------------------------------------------------------ what both refuse


@pytest.mark.parametrize("layout", ["C", "csr"])
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "sgd", "learning_rate_init": 1e10},
        {"solver": "sgd", "learning_rate_init": 1e10, "batch_size": 1},
        {"solver": "adam", "learning_rate_init": 1e308},
        {"solver": "sgd", "learning_rate_init": 1e10, "loss": "poisson"},
    ],
    ids=str,
)
def test_weights_that_are_not_finite_are_refused_alike(params, layout):
    configuration = simple_configuration(
        activation="identity", max_iter=30, data={"layout": layout}, **params
    )
    ours, theirs = train_both(configuration)
    (kind, text), (their_kind, their_text) = ours[0]["error"], theirs[0]["error"]
    assert len(ours) == len(theirs)
    assert kind is their_kind is ValueError
    # What follows is advice on the learning rate.
    assert text.startswith(their_text)
    assert text.startswith("Solver produced non-finite parameter weights.")


# Where X has missing values, what is told beyond scikit-learn's sentences begins so.
WHAT_MENDS_IT = "Impute and encode before the network"


def refusal(estimator, method, X, y):
    try:
        getattr(estimator, method)(X, y)
    except Exception as error:
        text = str(error).partition(WHAT_MENDS_IT)[0].strip()
        return type(error), text.replace("TinyMLPRegressor", "MLPRegressor")
    raise AssertionError("not refused")


@pytest.mark.parametrize(
    "method, params",
    [
        ("fit", {"hidden_layer_sizes": (3, 0)}),
        ("fit", {"hidden_layer_sizes": (-1,)}),
        ("fit", {"early_stopping": True, "solver": "sgd", "validation_fraction": 0.05}),
        ("partial_fit", {"early_stopping": True, "solver": "sgd"}),
        ("fit", {"batch_size": 0}),
        ("fit", {"max_iter": -1}),
        ("fit", {"momentum": 2}),
        ("fit", {"beta_1": 1.0}),
        ("fit", {"tol": -1}),
    ],
    ids=str,
)
def test_parameters_are_refused_alike(method, params):
    X, y, _ = make_data(simple_configuration()["data"], "squared_error", 0)
    X, y = X[:12], y[:12]
    assert refusal(TinyMLPRegressor(**params), method, X, y) == refusal(
        MLPRegressor(**params), method, X, y
    )


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_data_that_are_not_finite_are_refused_alike(solver, bad):
    X, y, _ = make_data(simple_configuration()["data"], "squared_error", 0)
    bad_X, bad_y = X.copy(), y.copy()
    bad_X[3, 1] = bad_y[3] = bad
    ours, theirs = TinyMLPRegressor(solver=solver), MLPRegressor(solver=solver)
    for data in ((bad_X, y), (X, bad_y), (X[:5], y), (X[:, 0], y)):
        assert refusal(ours, "fit", *data) == refusal(theirs, "fit", *data)


def test_lbfgs_has_no_partial_fit():
    assert not hasattr(TinyMLPRegressor(solver="lbfgs"), "partial_fit")


# ----------------------------------------------------------------------- the deliberate difference


def lbfgs_problem(estimator, monkeypatch, n_outputs):
    """The function that an estimator minimises by L-BFGS, and a point to look at it."""
    minimize, begin = scipy.optimize.minimize, Loop.begin
    seen = []

    def spy(fun, x0, args=(), **options):
        seen.append((lambda theta: fun(theta, *args), x0.copy()))
        return minimize(fun, x0, args=args, **options)

    def spy_on_ours(objective, theta, **options):
        seen.append((objective.loss_gradient, theta.copy()))
        return begin(objective, theta, **options)

    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((15, 3)), rng.standard_normal((15, n_outputs))
    estimator.set_params(
        solver="lbfgs",
        hidden_layer_sizes=(4,),
        activation="tanh",
        alpha=0.1,
        max_iter=1,
        random_state=0,
    )
    with monkeypatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(scipy.optimize, "minimize", spy)
        patch.setattr(Loop, "begin", spy_on_ours)
        estimator.fit(X, y if n_outputs > 1 else y.ravel())
    (problem,) = seen
    return problem


def central_differences(loss, theta, step=1e-5):
    steps = step * np.eye(theta.size)
    return np.array([(loss(theta + e) - loss(theta - e)) / (2 * step) for e in steps])


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_lbfgs_follows_the_gradient_of_its_loss(n_outputs, monkeypatch):
    problem, theta = lbfgs_problem(TinyMLPRegressor(), monkeypatch, n_outputs)
    expected = central_differences(lambda t: problem(t)[0], theta)
    assert_allclose(problem(theta)[1], expected, rtol=1e-6, atol=1e-8)


CHANGED = """
scikit-learn issue 8349 is mended: {what}. Its pull request 34830 sums over the outputs. To follow,
set `mean` and `averages_outputs` of SQUARED_ERROR (_losses/table.py), the penalty of
`solve_penalised` and `Plan.least_ratio`, and the losses of `lm`; else add `loss_`, `loss_curve_`
and `tol` of several outputs to the differences in docs/mlpregressor.md. Then correct the Notes of
TinyMLPRegressor, `Objective.loss_gradient`, `fuzz.Reference`, `fuzz.squared_loss` and this test."""


def test_mlpregressor_gives_lbfgs_another_gradient_with_two_outputs(monkeypatch):
    ours, theta = lbfgs_problem(TinyMLPRegressor(), monkeypatch, 2)
    theirs, their_theta = lbfgs_problem(MLPRegressor(), monkeypatch, 2)
    assert_allclose(theta, their_theta, rtol=1e-14)
    # One loss, two gradients; only ours is its derivative.
    loss, gradient = theirs(theta)
    what = f"its loss is {loss / ours(theta)[0]:.3g} times ours"
    assert_allclose(ours(theta)[0], loss, rtol=1e-12, err_msg=CHANGED.format(what=what))
    expected = central_differences(lambda t: theirs(t)[0], theta)
    intercepts = slice(-2, None)  # without penalty: exactly n_outputs times too long
    ratio = gradient[intercepts] / expected[intercepts]
    what = f"its gradient is {ratio.mean():.3g} times that of its loss"
    assert_allclose(ratio, 2.0, rtol=1e-6, err_msg=CHANGED.format(what=what))
    assert_allclose(ours(theta)[1], expected, rtol=1e-6, atol=1e-8)


@pytest.mark.slow
def test_a_reference_that_sums_over_outputs_is_noticed(monkeypatch):
    def summed(y_true, y_pred, sample_weight=None):
        return 0.5 * np.average((y_true - y_pred) ** 2, weights=sample_weight, axis=0).sum()

    monkeypatch.setitem(LOSS_FUNCTIONS, "squared_error", summed)
    with pytest.raises(AssertionError, match=r"(?s)issue 8349 is mended: its loss is [\d.]+ times"):
        test_mlpregressor_gives_lbfgs_another_gradient_with_two_outputs(monkeypatch)
    for solver in ("sgd", "adam", "lbfgs"):  # the fuzzer's goes on
        configuration = simple_configuration(solver=solver, data={"n_outputs": 2})
        assert compare(configuration).kind == "agrees"
