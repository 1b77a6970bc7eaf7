"""A number as alpha with the solver left open, and grids brought from MLPRegressor."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._diagnosis import convergence_warning

X, y = load_diabetes(return_X_y=True)
NOISY = make_friedman1(250, n_features=10, noise=3.0, random_state=1)


def fit(X, y, **params):
    return TinyMLPRegressor(**{"random_state": 0, **params}).fit(X, y)


def standardised(X):
    return (X - X.mean(0)) / X.std(0)


# MLPRegressor ends at its max_iter of 200, with a warning.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("alpha", [1e-4, 0.1, 10.0])
@pytest.mark.parametrize("data", [(X, y), NOISY], ids=["diabetes", "noisy"])
def test_what_is_brought_is_not_worse_than_mlp_regressor(data, alpha):
    X, X_test, y, y_test = train_test_split(*data, random_state=0)
    params = {"alpha": alpha, "hidden_layer_sizes": (16, 16), "random_state": 0}
    theirs = MLPRegressor(**params), make_pipeline(StandardScaler(), MLPRegressor(**params))
    best = max(mlp.fit(X, y).score(X_test, y_test) for mlp in theirs)
    assert fit(X, y, **params).score(X_test, y_test) > best - 0.01


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("loss", ["squared_error", "student_t"])
def test_too_small_a_number_does_not_bind(loss, n_outputs):
    Y = np.column_stack([y, X[:, 2] * y.std() + y])[:150]
    Y = Y[:, 0] if n_outputs == 1 else Y
    params = {"loss": loss, "hidden_layer_sizes": (3,)}
    free, bound = (fit(X[:150], Y, alpha=alpha, **params) for alpha in ("one", 1e-12))
    assert free.solver_ == bound.solver_ == "lm"
    assert_array_equal(bound.predict(X), free.predict(X))


@pytest.mark.parametrize("alpha", [20.0, 100.0])
def test_a_number_that_binds_is_the_penalty_of_ridge(alpha):
    Z, t = standardised(X), standardised(y)
    net = fit(Z, t, hidden_layer_sizes=(), alpha=alpha, max_iter=1000, tol=1e-6)
    ridge = Ridge(alpha).fit(Z, t)
    assert_allclose(net.predict(Z), ridge.predict(Z), atol=1e-4)
    assert net.alpha_[0] == pytest.approx(alpha / net.noise_std_**2, rel=1e-4)
    # y has the covariance beta^-1 (I + Z Z' / alpha), whose likelihood beta maximises.
    covariance = np.eye(len(t)) + Z @ Z.T / alpha
    variance = t @ np.linalg.solve(covariance, t) / len(t)
    assert net.noise_std_ == pytest.approx(np.sqrt(variance), rel=1e-4)


# With a penalty of 1000 nothing can be learned, which the fit warns of.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_with_other_losses_a_larger_number_leaves_fewer_effective_parameters():
    numbers = [
        fit(*NOISY, loss="student_t", hidden_layer_sizes=(5,), alpha=alpha).n_effective_parameters_
        for alpha in (1e-4, 10.0, 1e3)
    ]
    assert numbers[0] > numbers[1] + 1 > numbers[2] + 2


def test_zero_is_plain_least_squares():
    points, targets = [[1], [2], [3]], [5, 4, 3]
    net = fit(points, targets, hidden_layer_sizes=(3,), alpha=0.0)
    assert (net.solver_, net.alpha_, net.log_evidence_) == ("lm", 0.0, None)
    assert_allclose(net.predict(points), targets, rtol=1e-12)
    many = np.random.RandomState(0).standard_normal((3000, 2))
    net = fit(many, many[:, 0], hidden_layer_sizes=(40, 90), alpha=0.0, tol=0.1)
    assert net.solver_ == "adam"


# Five iterations show which penalty is used; none of the solvers converges in them.
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_with_a_named_solver_a_number_is_fixed(solver):
    net = fit(X, y, solver=solver, hidden_layer_sizes=(2,), alpha=3.0, max_iter=5)
    assert (net.alpha_, net.log_evidence_) == (3.0, None)


@pytest.mark.slow
def test_a_number_that_is_too_large_is_found_with_a_smaller_one():
    with pytest.warns(ConvergenceWarning, match=r"alpha=100000 is too strong") as caught:
        net = fit(X, y, alpha=1e5)
    finding = net.diagnose(X, y)[0]
    assert (finding.code, list(finding.parameters)) == ("penalty_too_large", ["alpha"])
    assert "n_init" not in str(caught[0].message)
    assert fit(X, y, **finding.parameters).score(X, y) > 0.4


@pytest.mark.slow
def test_a_search_names_parameters_without_effect_once(monkeypatch):
    monkeypatch.setattr(convergence_warning, "NAMED", set())
    grid = {
        "hidden_layer_sizes": [(2,), (3,)],
        "alpha": [1e-4, 1.0],
        "learning_rate_init": [0.001, 0.01],
        "batch_size": ["auto", 20],
    }
    search = GridSearchCV(TinyMLPRegressor(random_state=0), grid, cv=2)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        search.fit(X[:60], y[:60])
    texts = [str(warning.message) for warning in caught if "no effect" in str(warning.message)]
    assert [text.split()[0] for text in texts] == ["learning_rate_init", "batch_size"]
    assert all("solver='auto' chose 'lm'" in text for text in texts)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"momentum": 0.5, "max_fun": 10, "beta_1": 0.8}, "momentum, beta_1, max_fun have"),
        ({"n_iter_no_change": 5}, "n_iter_no_change has"),
        ({"n_iter_no_change": 5, "early_stopping": True}, None),
        ({"n_iter_no_change": 5, "solver": "lm"}, None),
        ({"learning_rate_init": 0.001, "alpha": 1e-4}, None),
    ],
)
def test_only_a_solver_left_open_names_what_it_does_not_use(params, named, monkeypatch):
    monkeypatch.setattr(convergence_warning, "NAMED", set())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            fit(X[:60], y[:60], hidden_layer_sizes=(2,), **params)
    assert [f"{named} no effect" in str(warning.message) for warning in caught] == [True] * bool(
        named
    )
    assert all(warning.filename == __file__ for warning in caught)
