"""Each cause is provoked, named with its number and mended; healthy fits are left alone."""

import warnings
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_tinymlp import Diagnosis, Finding, TinyMLPRegressor, diagnose
from sklearn_tinymlp._diagnosis import diagnose as diagnosis
from sklearn_tinymlp._diagnosis.feasibility import (
    intercept_sentence,
    needs_intercept,
    targets_out_of_range,
)
from sklearn_tinymlp._diagnosis.look import Look, conjugate_gradients, largest_eigenvalue
from sklearn_tinymlp._fit.data import Data
from sklearn_tinymlp._fit.description import describe


def described(net, theta, data):
    return describe(vars(net), net.get_params(deep=False), theta, Data(*data))


# What is diagnosed here are fits that fail on purpose, so they warn.
ignore_convergence = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

POINTS = np.array([[1.0], [2.0], [3.0]]), np.array([5.0, 4.0, 3.0])
FULL_BATCH = {
    "solver": "sgd",
    "batch_size": 10_000,
    "momentum": 0.0,
    "alpha": 0.0,
    "tol": 0.0,
    "n_iter_no_change": np.inf,
}


def wave(n=40, noise=0.0, seed=0):
    x = np.linspace(-2, 2, n)[:, np.newaxis]
    return x, np.sin(2 * x.ravel()) + noise * np.random.RandomState(seed).standard_normal(n)


def plane(n=100, d=2, intercept=0.0, seed=0):
    X = np.random.RandomState(seed).standard_normal((n, d))
    return X, intercept + X @ np.arange(1.0, d + 1)


def make_net(**params):
    defaults = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "alpha": 0.0, "random_state": 0}
    return TinyMLPRegressor(**{**defaults, **params})


def fit_quietly(net, X, y, **start):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net.fit(X, y, **start)


class Case(NamedTuple):
    code: str
    data: tuple
    params: dict
    severity: str = "error"
    number: str = ""  # what the sentence says, to the digit
    goal: float = 0.99  # R² after the remedy
    start: dict = {}
    steps: int = 1  # remedies to follow, the first one each time


NEGATIVE = np.linspace(-10, -2, 30)[:, np.newaxis]
MANY = np.random.RandomState(0).uniform(size=(60, 40))

CASES = {
    "targets out of range": Case(
        "output_range",
        POINTS,
        {"output_activation": "tanh"},
        number="below 4.833",  # ((5 - 1)^2 + (4 - 1)^2 + (3 - 1)^2) / 6
    ),
    "some targets out of range": Case(
        "output_range", wave(), {"output_activation": "relu", "max_iter": 2000}, number="20 of 40"
    ),
    "no bias, on a ray": Case(
        "no_bias",
        POINTS,
        {
            "activation": "leaky_relu",
            "output_activation": "leaky_relu",
            "bias": False,
            "hidden_layer_sizes": (3,),
        },
        number="below 2.571",  # 108 / 7 / 6
    ),
    "no bias, odd network": Case(
        "no_bias", plane(intercept=3.0), {"activation": "tanh", "bias": False, "max_iter": 2000}
    ),
    "identical units": Case(
        "identical_units",
        wave(),
        {"max_iter": 2000},
        number="6 units of hidden layer 1 have only 1",
        start={
            "coefs_init": [np.full((1, 6), 0.5), np.full((6, 1), 0.5)],
            "intercepts_init": [np.zeros(6), np.zeros(1)],
        },
    ),
    "rate too large": Case(
        "learning_rate_too_large",
        wave(),
        {**FULL_BATCH, "learning_rate": 0.9, "max_iter": 3000},
        goal=0.9,
        number="learning rate of 0.9 is too large",
    ),
    "rate too large for adam": Case(
        "learning_rate_too_large",
        wave(),
        {
            "solver": "adam",
            "learning_rate": 3.0,
            "max_iter": 1000,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
        },
        goal=0.9,
        number="learning rate of 3 is too large",
    ),
    "dead units": Case(
        "dead_units",
        (NEGATIVE, 0.1 * NEGATIVE.ravel() ** 2),
        {"activation": "relu", "init": "uniform", "max_iter": 5000},
        number="6 of 6 units",
        goal=0.9,
    ),
    "unscaled features": Case(
        "unscaled_features",
        (1000.0 + 100.0 * wave()[0], wave()[1]),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 5000},
        "warning",
        number="mean of 1000",
    ),
    "unscaled target": Case(
        "unscaled_target",
        (wave()[0], 1000.0 + 100.0 * wave()[1]),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 3000},
        "warning",
        number="mean of 1000",
    ),
    "saturated units": Case(
        "saturated_units",
        (MANY, np.sin(3 * MANY[:, 0])),
        {**FULL_BATCH, "init": "uniform", "learning_rate": 0.05, "max_iter": 5000},
        "warning",
        number="6 of 6 units",
        goal=0.9,
    ),
    "rate too small": Case(
        "learning_rate_too_small",
        plane(),
        {**FULL_BATCH, "learning_rate": 1e-4, "max_iter": 1000, "activation": "identity"},
        "warning",
        number="learning rate of 0.0001",
    ),
    "rate too small for adam": Case(
        "learning_rate_too_small",
        wave(),
        {
            "solver": "adam",
            "learning_rate": 1e-4,
            "max_iter": 2000,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
        },
        "warning",
        number="in 2000 updates of adam no weight moves by much more than 0.2",
        goal=0.6,
    ),
    "stopped by tol": Case(
        "stopped_by_tol",
        wave(),
        {"solver": "adam", "learning_rate": 0.01, "tol": 0.01},
        "warning",
        number="tol=0.01",
        goal=0.9,
    ),
    "too few iterations of lbfgs": Case(
        "max_iter", wave(), {"max_iter": 20}, "warning", number="max_iter=20"
    ),
    "too few epochs of adam": Case(
        "max_iter",
        wave(),
        {"solver": "adam", "learning_rate": 0.01, "max_iter": 60, "tol": 1e-6},
        "warning",
        number="max_iter=60",
        goal=0.9,
    ),
    "too few iterations of lm": Case(
        "max_iter",
        wave(noise=0.1),
        {"solver": "lm", "alpha": "auto", "max_iter": 10},
        "warning",
        number="max_iter=10",
        goal=0.9,
    ),
    "a linear network": Case(
        "no_better_than_mean",
        (wave()[0], wave()[0].ravel() ** 2),
        {"activation": "identity"},
        number="R² is 0.000",
    ),
    "starts that disagree": Case(
        "restarts_disagree",
        (wave(80)[0], np.sin(4 * wave(80)[0].ravel())),
        {"n_init": 4, "max_iter": 3000, "activation": "relu"},
        "warning",
        number="4 starts ended at losses between 0.0793 and 0.177, 1 of them within",
        goal=0.98,
    ),
    "a local minimum": Case(
        "local_minimum",
        wave(),
        {"hidden_layer_sizes": (4,), "activation": "relu", "max_iter": 5000, "loss_tol": 0.01},
        "warning",
        goal=0.95,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_cause_is_found_and_its_remedy_mends_it(name):
    case = CASES[name]
    X, y = case.data
    net = fit_quietly(make_net(**case.params), X, y, **case.start)
    found = net.diagnose(X, y)
    assert found[0].code == case.code, str(found)
    assert found[0].severity == case.severity
    assert case.number in found[0].sentence, found[0].sentence
    mended = clone(net).set_params(**found[0].parameters)
    fit_quietly(mended, X, y)
    assert case.code not in [finding.code for finding in mended.diagnose(X, y)]
    assert mended.score(X, y) > case.goal > net.score(X, y)
    if mended.loss_tol is not None:
        assert mended.converged_


@ignore_convergence
def test_weights_that_are_never_determined_are_worth_knowing():
    X, y = wave(30, noise=0.1)
    net = make_net(hidden_layer_sizes=(50,), max_iter=300).fit(X, y)
    (finding,) = [f for f in net.diagnose(X, y) if f.code == "more_weights_than_data"]
    assert (finding.severity, finding.remedy) == ("info", "solver='lm'")
    assert "151 weights for 30 targets" in finding.sentence
    mended = clone(net).set_params(**finding.parameters, alpha="auto").fit(X, y)
    assert "more_weights_than_data" not in [f.code for f in mended.diagnose(X, y)]


@ignore_convergence
def test_who_trains_by_lm_already_needs_the_evidence_only():
    X, y = wave(30, noise=0.1)
    net = make_net(solver="lm", hidden_layer_sizes=(50,), max_iter=5).fit(X, y)
    (finding,) = [f for f in net.diagnose(X, y) if f.code == "more_weights_than_data"]
    assert finding.remedy == "alpha='auto'"


@ignore_convergence
def test_a_rate_beyond_the_limit_is_named_before_the_loss_begins_to_rise():
    # Orthogonal features of size 10 and 1: sgd is stable up to 2 / 10^2, the start is the minimum
    # along the first, and along the second the loss falls in any case.
    rng = np.random.RandomState(0)
    Q, _ = np.linalg.qr(rng.standard_normal((50, 2)))
    X = np.sqrt(50) * Q * [10.0, 1.0]
    net = TinyMLPRegressor(**FULL_BATCH, hidden_layer_sizes=(), bias=False, standardize=False)
    net.set_params(learning_rate=0.021, max_iter=6, batch_size=50)
    net.fit(X, 5.0 * X[:, 1], coefs_init=[np.zeros((2, 1))])
    assert (np.diff(net.loss_curve_) < 0).all()
    (finding, *_) = net.diagnose(X, 5.0 * X[:, 1])
    assert finding.code == "learning_rate_too_large"
    assert f"the loss was once as low as {net.loss_curve_[-1]:.3g}" in finding.sentence
    assert "It is above 0.02, where" in finding.sentence
    assert finding.remedy == "learning_rate=0.01"


@ignore_convergence
@pytest.mark.parametrize(
    ("scales", "what"),
    [
        ((1.0, 0.005), "standard deviations lie up to a factor 200 apart"),
        ((0.01, 0.005), "the largest standard deviation is 0.01"),
        ((5.0, 0.5), None),
    ],
)
def test_scales_of_features_are_named_where_they_hinder(scales, what):
    X = scale(np.random.RandomState(0).standard_normal((40, 2)))
    y = X[:, 0] * X[:, 1]
    net = make_net(max_iter=5, standardize=False).fit(X * scales, y)
    found = [f.sentence for f in net.diagnose(X * scales, y) if f.code == "unscaled_features"]
    assert len(found) == (what is not None)
    assert all(what in sentence for sentence in found)


def test_a_system_without_a_bend_has_no_solution_to_approach():
    right = np.arange(3.0)
    assert_allclose(conjugate_gradients(lambda v: 0 * v, right, 5), 0.0)
    A = np.diag([1.0, 2.0, 3.0])
    assert_allclose(conjugate_gradients(lambda v: A @ v, right, 5), np.linalg.solve(A, right))


@ignore_convergence
def test_learning_by_heart_is_a_warning_where_the_validation_loss_shows_it():
    X, y = wave(20, noise=1.5)
    net = make_net(hidden_layer_sizes=(20,), max_iter=1000)
    net.fit(X, y, X_val=X + 0.15, y_val=wave(20, noise=1.5, seed=1)[1])
    (finding,) = [f for f in net.diagnose(X, y) if f.code == "more_weights_than_data"]
    assert finding.severity == "warning"
    losses = net.history_["validation_loss"]
    assert f"from {losses.min():.3g} to {losses[-1]:.3g}" in finding.sentence


def test_a_diverged_fit_is_told_the_limit_and_a_rate_that_works():
    X, y = wave()
    net = make_net(**{**FULL_BATCH, "learning_rate": 3.0, "max_iter": 3000, "batch_size": 40})
    with (
        np.errstate(all="ignore"),
        pytest.raises(ValueError, match=r"rate of 3 is above 0.518.*Try learning_rate=0.3\."),
    ):
        net.fit(X, y)
    fit_quietly(net.set_params(learning_rate=0.3), X, y)
    assert net.score(X, y) > 0.99


@ignore_convergence
def test_a_fit_whose_derivatives_overflow_is_not_lost_to_its_diagnosis():
    X, y = wave(44)
    params = {"loss": "poisson", "early_stopping": True, "learning_rate": 1e10, "max_iter": 5}
    params |= {"solver": "sgd", "activation": "relu", "hidden_layer_sizes": (8, 3)}
    net = make_net(**params)
    with np.errstate(all="ignore"):
        net.fit(X.astype(np.float32), np.abs(y))
    assert np.isnan(net.loss_)
    assert str(net.diagnose(X, np.abs(y)))


def test_a_matrix_that_is_not_finite_has_no_largest_eigenvalue():
    assert np.isnan(largest_eigenvalue(lambda vector: np.full(5, np.nan), 5))


def test_starts_that_all_end_in_nan_are_diagnosed_without_a_warning():
    X, y = wave()
    net = make_net(solver="sgd", learning_rate=1e10, early_stopping=True, n_init=3)
    fit_quietly(net.set_params(validation_fraction=0.3, n_iter_no_change=np.inf), X, y)
    assert np.isnan(net.starts_["loss"]).all()
    assert np.isnan(net.history_["validation_loss"][-1])
    assert str(net.diagnose(X, y))


# ------------------------------------------------------------------------------ healthy fits


def healthy_data():
    yield "wave", *wave(60, noise=0.1)
    X, y = plane(intercept=2.0)
    yield "plane", X, y + 0.1 * np.random.RandomState(1).standard_normal(len(y))
    X, y = load_diabetes(return_X_y=True)
    yield "diabetes", scale(X), scale(y)
    X, y = make_friedman1(200, noise=0.3, random_state=0)
    yield "friedman", scale(X), scale(y)
    X = np.random.RandomState(0).standard_normal((150, 3))
    y = np.column_stack([X[:, 0] ** 2, np.tanh(X[:, 1]) - X[:, 2]])
    yield "two outputs", X, y + 0.1 * np.random.RandomState(1).standard_normal(y.shape)


HEALTHY = [
    *(
        ({"solver": "lm", "alpha": "auto", "max_iter": 1000, "activation": a})
        for a in ("tanh", "logistic", "softplus")
    ),
    *(
        ({"solver": "lbfgs", "alpha": 0.01, "max_iter": 5000, "tol": 1e-3, "activation": a})
        for a in ("tanh", "relu", "elu", "gelu")
    ),
    *(
        (
            {
                "solver": "adam",
                "learning_rate": 0.02,
                "max_iter": 3000,
                "tol": 1e-5,
                "n_iter_no_change": 50,
                "activation": a,
            }
        )
        for a in ("tanh", "relu", "silu")
    ),
    *(
        (
            {
                "solver": "sgd",
                "learning_rate": 0.02,
                "max_iter": 5000,
                "tol": 1e-6,
                "n_iter_no_change": 50,
                "activation": a,
            }
        )
        for a in ("tanh", "leaky_relu")
    ),
]


@pytest.mark.parametrize("params", [{"n_iter_no_change": 50}, {"early_stopping": True}], ids=str)
def test_healthy_fits_of_mlp_regressor_are_left_alone(params):
    for name, X, y in healthy_data():
        mlp = MLPRegressor(max_iter=3000, learning_rate_init=0.01, random_state=0, **params)
        found = diagnose(mlp.fit(X, y), X, y)
        assert not [finding for finding in found if finding.severity != "info"], (name, found)


def test_healthy_fits_are_left_alone():
    alarms = []
    for name, X, y in healthy_data():
        for params in HEALTHY:
            net = make_net(hidden_layer_sizes=(8,), **params)
            found = net.fit(X, y).diagnose(X, y)  # a ConvergenceWarning would be an error
            alarms += [(f.severity, f.code, name, params) for f in found if f.severity != "info"]
    assert not [alarm for alarm in alarms if alarm[0] == "error"], alarms
    assert len(alarms) <= 2, alarms
    assert len(HEALTHY) * 5 >= 40


@pytest.mark.parametrize("activation", ["relu", "identity", "leaky_relu"])
def test_noise_does_not_look_like_a_missing_intercept(activation):
    rng = np.random.RandomState(0)
    for seed in range(20):
        x = rng.standard_normal((30, 1))
        y = 2.0 * x + rng.standard_normal((30, 1))
        assert needs_intercept(x, y, None, (activation, "identity")) is None, seed
    assert needs_intercept(x, y + 5.0, None, (activation, "identity")).share > 0.5


def test_an_intercept_is_needed_at_zero_where_the_network_is_fixed():
    x = np.array([[0.0], [0.0], [0.0], [0.0], [1.0], [-1.0]])
    y = np.array([[3.0], [3.1], [3.0], [3.1], [4.0], [-4.0]])
    obstacle = needs_intercept(x, y, None, ("tanh", "identity"))
    assert_allclose(obstacle.floor, (3.0**2 + 3.1**2) / 6)
    assert "gives 0 at x = 0, whatever its weights" in intercept_sentence(obstacle)
    assert needs_intercept(x, y, None, ("logistic", "identity")) is None
    assert needs_intercept(x, y, None, ("tanh", "logistic")).number == 4


def test_rays_are_found_in_many_dimensions_and_in_sparse_rows():
    directions = np.random.RandomState(0).standard_normal((4, 3))
    X = np.vstack([directions * c for c in (0.5, 1.0, 2.0, 4.0)])
    y = np.full((16, 1), 2.0) + 0.01 * np.random.RandomState(1).standard_normal((16, 1))
    c = np.linalg.norm(X, axis=1)
    expected = 0.0
    for ray in range(4):
        rows = slice(ray, None, 4)
        slope = c[rows] @ y[rows, 0] / (c[rows] @ c[rows])
        expected += np.sum((y[rows, 0] - slope * c[rows]) ** 2) / 32
    for inputs in (X, sparse.csr_matrix(X)):
        obstacle = needs_intercept(inputs, y, None, ("relu", "identity"))
        assert_allclose(obstacle.floor, expected)
        assert obstacle.number == 16


def test_few_targets_beyond_the_range_are_taken_for_noise():
    y = np.random.RandomState(0).uniform(size=(100, 1))
    y[:2] = -0.01
    assert targets_out_of_range(y, None, "relu") is None
    assert targets_out_of_range(y, None, "relu", loss_tol=1e-9).number == 2
    assert_allclose(
        targets_out_of_range(y - 0.5, None, "relu").floor,
        0.5 * np.mean(np.minimum(y - 0.5, 0) ** 2),
    )
    assert targets_out_of_range(y, None, "identity") is None


# --------------------------------------------------------------------- the stability limit


def random_design(n, d, seed, **more):
    rng = np.random.RandomState(seed)
    return {"X": rng.standard_normal((n, d)), "y": rng.standard_normal(n), **more}


QUADRATICS = {
    "a line": {"X": wave()[0], "y": wave()[1]},
    "three points": {"X": POINTS[0], "y": POINTS[1]},
    "five features": random_design(30, 5, 0),
    "weighted": random_design(30, 2, 1, sample_weight=np.linspace(0.1, 2.0, 30)),
    "two outputs": {
        **random_design(30, 3, 2),
        "y": np.random.RandomState(3).standard_normal((30, 2)),
    },
    "penalised": random_design(10, 4, 4, params={"alpha": 5.0}),
    "heavy ball": random_design(30, 3, 5, params={"momentum": 0.9, "nesterovs_momentum": False}),
    "nesterov": random_design(30, 3, 6, params={"momentum": 0.9, "nesterovs_momentum": True}),
    "without bias": random_design(30, 3, 7, params={"bias": False}),
    "more weights than rows": random_design(6, 10, 8),
}


def limit_of(net, X, y, sample_weight=None):
    data = (X, np.asarray(y, float).reshape(len(y), -1), sample_weight)
    architecture = net._architecture()
    theta = architecture.pack(net.coefs_, net.intercepts_, np.float64)
    return Look(described(net, theta, data)).stable_rate


@pytest.mark.parametrize("name", QUADRATICS)
def test_gradient_descent_converges_below_the_limit_and_diverges_above(name):
    problem = dict(QUADRATICS[name])
    params = {**FULL_BATCH, "hidden_layer_sizes": (), **problem.pop("params", {})}
    net = fit_quietly(make_net(**{**params, "max_iter": 1}), **problem)
    limit = limit_of(net, **problem)

    below = make_net(**{**params, "learning_rate": 0.9 * limit, "max_iter": 3000})
    losses = np.array(fit_quietly(below, **problem).loss_curve_)
    assert abs(losses[-1] - losses[-2]) <= 1e-9 * losses[0]
    assert losses[-1] <= losses[:10].min()
    above = make_net(**{**params, "learning_rate": 1.1 * limit, "max_iter": 300})
    losses = fit_quietly(above, **problem).loss_curve_
    assert losses[-1] > 1e6 * losses[0]
    (finding, *_) = above.diagnose(**problem)
    assert finding.code == "learning_rate_too_large"
    assert f"above {limit:.3g}" in finding.sentence


def test_gradient_descent_leaves_the_minimum_of_a_network_above_the_limit():
    X, y = wave()
    net = fit_quietly(make_net(alpha=0.01, hidden_layer_sizes=(3,), max_iter=5000, tol=1e-9), X, y)
    start = {"coefs_init": [c + 1e-6 for c in net.coefs_], "intercepts_init": net.intercepts_}
    params = {**FULL_BATCH, "hidden_layer_sizes": (3,), "alpha": 0.01, "max_iter": 2000}
    limit = limit_of(net.set_params(**params), X, y)
    for share, stays in ((0.9, True), (1.1, False)):
        descent = make_net(**{**params, "learning_rate": share * limit})
        fit_quietly(descent, X, y, **start)
        away = np.abs(descent.coefs_[0] - net.coefs_[0]).max()
        assert (away < 1e-3) == stays, away


def test_the_largest_eigenvalue_is_that_of_the_gauss_newton_matrix():
    X, y = plane(50, 3)
    net = fit_quietly(
        make_net(alpha=0.5, hidden_layer_sizes=(5, 4), solver="sgd", max_iter=3), X, y
    )
    architecture = net._architecture()
    theta = architecture.pack(net.coefs_, net.intercepts_, np.float64)
    look = Look(described(net, theta, (X, y[:, None], None)))
    matrix = np.array([look.curve(e) for e in np.eye(theta.size)])
    assert_allclose(matrix, matrix.T, atol=1e-12)
    assert_allclose(look.steepest_curvature, np.linalg.eigvalsh(matrix)[-1], rtol=1e-6)
    step = 1e-6
    numeric = [
        (look.loss_at(theta + step * e) - look.loss_at(theta - step * e)) / (2 * step)
        for e in np.eye(theta.size)
    ]
    assert_allclose(look.gradient, numeric, rtol=1e-5, atol=1e-8)


def test_lanczos_finds_the_largest_of_many_eigenvalues():
    rng = np.random.RandomState(0)
    Q, _ = np.linalg.qr(rng.standard_normal((200, 200)))
    matrix = (Q * np.linspace(0, 10, 200)) @ Q.T
    assert_allclose(largest_eigenvalue(lambda v: matrix @ v, 200), 10.0, rtol=0.01)
    assert largest_eigenvalue(lambda v: 0 * v, 5) == 0.0


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_limit_for_batches_lies_between_that_of_a_row_and_that_of_all(batch_size):
    X, y = wave()
    limits = [
        limit_of(fit_quietly(make_net(solver="sgd", max_iter=1, batch_size=b), X, y), X, y)
        for b in (1, batch_size, 40)
    ]
    assert limits == sorted(limits)


# --------------------------------------------------------------- the faults of the question


def seed_net(activation, **params):
    return make_net(
        hidden_layer_sizes=(3,),
        activation=activation,
        output_activation=activation,
        **{**FULL_BATCH, "init": "uniform", "batch_size": 1, "shuffle": False, **params},
    )


FAULTS = {
    "no bias": (
        "leaky_relu",
        {"bias": False, "learning_rate": 1e-3, "max_iter": 4000, "loss_tol": 1e-4 / 3},
        ["no_bias"],
    ),
    "targets beyond tanh": (
        "tanh",
        {"learning_rate": 0.01, "max_iter": 20_000, "loss_tol": 1e-4 / 3},
        ["output_range", "saturated_units"],
    ),
    "no bias, and a rate that is too small": (
        "leaky_relu",
        {"bias": False, "learning_rate": 1e-5, "max_iter": 4000, "loss_tol": 1e-4 / 3},
        ["no_bias", "learning_rate_too_small"],
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_faults_of_the_question_are_named_and_mended_in_order(name):
    activation, params, codes = FAULTS[name]
    X, y = POINTS
    net = seed_net(activation, **params)
    for code in codes:
        assert not fit_quietly(net, X, y).converged_
        found = net.diagnose(X, y)
        assert found[0].code == code
        net.set_params(**found[0].parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, y)
    assert net.converged_
    assert 3 * net.loss_ <= 1e-4


def test_the_order_of_updates_shows_in_the_first_epoch():
    """The question updated w2 before it computed delta_1; the fit of one epoch tells."""
    X, y = POINTS
    rng = np.random.RandomState(0)
    w1, w2 = rng.rand(3, 1), rng.rand(1, 3)
    net = seed_net("leaky_relu", bias=False, learning_rate=1e-3, max_iter=1)
    fit_quietly(net, X[:1], y[:1], coefs_init=[w1.T, w2.T])

    def one_update(w1, w2, wrong_order):
        error = y[0] - w2 @ (w1 @ X[0])  # all is positive here
        new = w2 + 1e-3 * error * (w1 @ X[0])
        back = new if wrong_order else w2
        return w1 + 1e-3 * error * back.T * X[0], new

    right, wrong = one_update(w1, w2, False), one_update(w1, w2, True)
    assert_allclose(net.coefs_[0], right[0].T)
    assert_allclose(net.coefs_[1], right[1].T)
    assert_allclose(net.coefs_[1], wrong[1].T)
    assert np.abs(net.coefs_[0] - wrong[0].T).max() > 1e-6


# -------------------------------------------------------------------------------- warnings


def caught_in(net, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y)
    assert all(w.category is ConvergenceWarning for w in caught)
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize(
    "params, beginning",
    [
        ({"solver": "adam", "max_iter": 3}, "Stochastic Optimizer: Maximum iterations (3) reached"),
        ({"solver": "lbfgs", "max_iter": 3}, "lbfgs failed to converge after 3 iteration(s)"),
        ({"solver": "lm", "max_iter": 3}, "Levenberg-Marquardt: max_iter=3 iterations"),
        (
            {"loss_tol": 1e-9},
            "loss_tol=1e-09 was not reached. The training loss no longer improved",
        ),
    ],
)
def test_a_convergence_warning_says_why_in_three_lines(params, beginning):
    X, y = wave(noise=0.1)
    net = make_net(hidden_layer_sizes=(2,), **{"max_iter": 5000, **params})
    (message,) = caught_in(net, X, y)
    first, second, third = message.split("\n")
    assert first.startswith(beginning)
    assert f"stop_reason_={net.stop_reason_!r}" in second
    assert f"loss_ is {net.loss_:.4g}" in second
    assert ("loss_tol=1e-09" if "loss_tol" in params else "no loss_tol") in second
    finding = net.diagnose(X, y)[0]
    assert third == f"{finding.sentence} Try {finding.remedy}."
    assert not net.converged_


@pytest.mark.parametrize(
    "params, word",
    [
        ({"output_activation": "tanh"}, "lie outside [-1, 1]"),
        ({"activation": "relu", "bias": False}, "need an intercept"),
    ],
)
def test_what_is_impossible_is_said_before_training(params, word, capsys):
    with pytest.raises(ConvergenceWarning) as caught:  # an error stops before the first iteration
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            make_net(solver="adam", verbose=True, **params).fit(*POINTS)
    assert word in str(caught.value)
    assert capsys.readouterr().out == ""


def test_an_ending_that_learned_nothing_is_no_silent_success():
    x = wave()[0]
    (message,) = caught_in(make_net(activation="identity"), x, x.ravel() ** 2)
    assert "no better than the mean" in message.split("\n")[0]
    assert "Try activation='tanh'" in message.split("\n")[2]


def test_a_missed_target_is_not_converged_and_a_reached_one_is():
    X, y = wave(noise=0.1)
    net = fit_quietly(make_net(hidden_layer_sizes=(2,), loss_tol=1e-9), X, y)
    assert (net.converged_, net.stop_reason_) != (True, "loss_tol")
    net.set_params(loss_tol=0.1).fit(X, y)
    assert (net.converged_, net.stop_reason_) == (True, "loss_tol")


def test_no_diagnosis_is_made_for_a_warning_that_is_ignored(monkeypatch):
    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(diagnosis, "diagnose", fail)
    X, y = wave()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        make_net(max_iter=3).fit(X, y)
        warnings.filterwarnings("default", module="nowhere")
        with pytest.raises(AssertionError):
            make_net(max_iter=3).fit(X, y)
        warnings.resetwarnings()
        with pytest.raises(AssertionError):
            make_net(max_iter=3).fit(X, y)


# ------------------------------------------------------------------------- what it works on


@ignore_convergence
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam", "sgd"])
def test_the_estimator_is_not_changed(solver):
    import joblib

    X, y = wave()
    net = make_net(solver=solver, max_iter=5, alpha="auto").fit(X, y)
    before = joblib.hash(vars(net))
    net.diagnose(X, y)
    diagnose(net, X, y)
    assert joblib.hash(vars(net)) == before


@ignore_convergence
@pytest.mark.parametrize("params", [{}, {"standardize": True}, {"loss": "poisson"}])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_layouts_dtypes_and_weights_agree(solver, params):
    rng = np.random.RandomState(0)
    X = sparse.random(60, 8, density=0.3, format="csr", random_state=rng)
    y = X.toarray() @ np.arange(8.0) + 1.0
    params = {"solver": solver, "max_iter": 5, **params}
    net = make_net(**params).fit(X, y)
    whole = net.diagnose(X, y)
    if "standardize" not in params:  # a sparse X is not centred, a dense one is
        dense = make_net(**params).fit(X.toarray(), y).diagnose(X.toarray(), y)
        assert [f.code for f in dense] == [f.code for f in whole]
    single = make_net(**params).fit(X.astype(np.float32), y)
    assert [f.code for f in single.diagnose(X.astype(np.float32), y)] == [f.code for f in whole]
    ones = net.diagnose(X, y, sample_weight=np.ones(60))
    assert str(ones) == str(whole)


@ignore_convergence
def test_of_many_rows_an_even_part_is_looked_at():
    X, y = plane(20_000, 2)
    net = make_net(max_iter=3).fit(X, y)
    part = diagnosis.diagnose(
        described(
            net,
            net._architecture().pack(net.coefs_, net.intercepts_, np.float64),
            (X, y[:, None], None),
        ),
        most_values=9_000,
    )
    assert "1000 of them looked at" in part.summary
    assert [f.code for f in part] == [f.code for f in net.diagnose(X, y)]


@ignore_convergence
def test_mlp_regressor_is_diagnosed_in_its_own_terms():
    X, y = wave()
    mlp = MLPRegressor(hidden_layer_sizes=(20,), max_iter=20, random_state=0).fit(1000 * X, y)
    codes = {finding.code: finding for finding in diagnose(mlp, 1000 * X, y)}
    assert codes["unscaled_features"].remedy == "make_pipeline(StandardScaler(), mlp)"
    assert "standard deviation of 1184" in codes["unscaled_features"].sentence
    mlp = MLPRegressor(hidden_layer_sizes=(20,), solver="sgd", learning_rate_init=1e-6)
    mlp.set_params(random_state=0).fit(X, y)
    (finding, *_) = diagnose(mlp, X, y)
    assert finding.remedy.startswith("learning_rate_init=")
    ours = TinyMLPRegressor(**mlp.get_params()).fit(X, y)
    assert finding.sentence == ours.diagnose(X, y)[0].sentence
    mlp = MLPRegressor(hidden_layer_sizes=(20,), random_state=0, max_iter=20).fit(X, 1e4 + 1e3 * y)
    codes = {finding.code: finding for finding in diagnose(mlp, X, 1e4 + 1e3 * y)}
    assert codes["unscaled_target"].remedy.startswith("TransformedTargetRegressor(mlp")
    assert codes["no_better_than_mean"].remedy == "TinyMLPRegressor(..., solver='lm')"


@ignore_convergence
def test_weights_count_in_the_diagnosis_of_mlp_regressor():
    X, y = wave()
    weight = np.random.RandomState(0).uniform(size=40)
    params = {"hidden_layer_sizes": (20,), "solver": "sgd", "learning_rate_init": 1e-6}
    mlp = MLPRegressor(random_state=0, **params).fit(X, y)
    found = diagnose(mlp, X, y, sample_weight=weight)
    assert str(found) != str(diagnose(mlp, X, y))
    # Weights that are whole numbers are rows so many times over.
    whole = np.arange(40) % 3
    (first, *_) = diagnose(mlp, X, y, sample_weight=whole)
    (repeated, *_) = diagnose(mlp, np.repeat(X, whole, 0), np.repeat(y, whole))
    assert first.sentence == repeated.sentence


@ignore_convergence
def test_pipelines_searches_and_target_transformers_are_opened():
    X, y = wave()
    net = make_net(max_iter=5)
    expected = str(clone(net).fit(scale(X), y).diagnose(scale(X), y))
    pipe = make_pipeline(StandardScaler(), net).fit(X, y)
    assert str(diagnose(pipe, X, y)) == expected
    assert str(pipe[-1].diagnose(pipe[:-1].transform(X), y)) == expected
    search = GridSearchCV(pipe, {"tinymlpregressor__alpha": [0.0]}, cv=2).fit(X, y)
    assert str(diagnose(search, X, y)) == expected
    scaled = TransformedTargetRegressor(net, transformer=StandardScaler()).fit(X, y)
    assert str(diagnose(scaled, X, y)) == str(clone(net).fit(X, scale(y)).diagnose(X, scale(y)))


def test_what_cannot_be_diagnosed_is_refused():
    X, y = wave()
    with pytest.raises(TypeError, match="LinearRegression"):
        diagnose(LinearRegression().fit(X, y), X, y)
    net = fit_quietly(make_net(), X, y)
    with pytest.raises(ValueError, match="y has 2 outputs, but the network has 1"):
        net.diagnose(X, np.column_stack([y, y]))
    mlp = fit_quietly(MLPRegressor(hidden_layer_sizes=(3,), max_iter=5), X, y)
    with pytest.raises(ValueError, match="X has 2 features"):
        diagnose(mlp, np.hstack([X, X]), y)


# ------------------------------------------------------------------------------ how it looks


def test_a_diagnosis_is_a_sequence_that_prints_and_shows_in_a_notebook():
    import json

    one = Finding("code", "error", "a < b & c: 3.14", {"bias": True}, "bias=True")
    two = Finding("other", "info", "More.", {"alpha": 1.0}, "alpha=1.0")
    found = Diagnosis("How it went.", [one, two])
    assert list(found) == [one, two] and len(found) == 2
    assert found[-1] is two and found[:1] == (one,)
    assert (
        str(found)
        == repr(found)
        == (
            "How it went.\n1. error: a < b & c: 3.14 [code]\n   Try bias=True\n"
            "2. info: More. [other]\n   Try alpha=1.0"
        )
    )
    assert "a &lt; b &amp; c: 3.14" in found._repr_html_()
    assert "<code>bias=True</code>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["findings"][0] == one._asdict()
    assert "Nothing found" in str(Diagnosis("Well.", []))
    assert "Nothing found" in Diagnosis("Well.", [])._repr_html_()
