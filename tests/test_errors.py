"""Contradictions are refused, in which words; a refusal leaves a fitted estimator as it was.

What is refused in the data themselves is in test_hostile_input.py.
"""

import functools
import warnings

import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import PROBLEMS
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._training import settings

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = PROBLEMS["outputs"].X, PROBLEMS["outputs"].y[:, 0]
INF, NAN = np.inf, np.nan

NOT_ALLOWED = {
    "loss": ["log_cosh", None, 1],
    "quantile": [0, 1.0, -0.1, "median", None, NAN],
    "hidden_layer_sizes": ["ten", -1, 0, 2.5, [2.5], ["a"], None],
    "activation": ["swish", "exp", None, 1, ["swish"], [None], [3], {"tanh"}],
    "bias": ["yes", None, 2],
    "output_activation": ["softmax", None, ["tanh"]],
    "solver": ["newton", None],
    "alpha": [-1e-4, "none", None, NAN],
    "noise": ["normal", None, 0.1],
    "standardize": ["yes", None, 2],
    "init": ["zeros", None],
    "inputs": ["splines", None],
    "n_init": [0, -1, 1.5, "auto", None],
    "loss_tol": [-1.0, "auto", NAN],
    "batch_size": [0, -5, 1.5, "all", None],
    "learning_rate": ["fast", 0, 0.0, -0.1, None, NAN],
    "learning_rate_init": [0.0, -1, "auto", NAN],
    "power_t": [-0.5, None, "a"],
    "max_iter": [0, -1, 1.5, None, INF],
    "shuffle": ["yes", None],
    "random_state": ["seed", -1, 1.5],
    "tol": [-1e-4, None, "a"],
    "verbose": [-1, "yes", None],
    "warm_start": ["yes", None],
    "momentum": [-0.1, 1.1, None],
    "nesterovs_momentum": ["yes", None],
    "early_stopping": ["yes", None],
    "validation_fraction": [-0.1, 1, 1.0, None],
    "beta_1": [-0.1, 1.0, None],
    "beta_2": [-0.1, 1.0, None],
    "epsilon": [0.0, -1e-8, None],
    "n_iter_no_change": [0, -1, 1.5, None, -INF],
    "max_fun": [0, -1, 1.5, None],
}

COEFS = [np.zeros((3, 4)), np.zeros((4, 1))]
INTERCEPTS = [np.zeros(4), np.zeros(1)]
NEGATIVE = np.where(np.arange(len(y)) == 3, -2.0, 1.0)
PLUS_MINUS = np.resize([1.0, -1.0], len(y))

# id: (parameters, arguments of fit beside X and y, text of the error as a regular expression)
CONTRADICTIONS = {
    "two learning rates": (
        {"learning_rate": 0.1, "learning_rate_init": 0.01},
        {},
        r"learning_rate=0\.1 .*learning_rate_init=0\.01",
    ),
    "starts and warm start": (
        {"n_init": 2, "warm_start": True},
        {},
        "n_init=2 .*warm_start=True",
    ),
    "starts and coefs": ({"n_init": 3}, {"coefs_init": COEFS}, "n_init=3 .*coefs_init"),
    "starts and intercepts": (
        {"n_init": 3},
        {"intercepts_init": INTERCEPTS},
        "n_init=3 .*intercepts_init",
    ),
    "coefs and warm start": (
        {"warm_start": True},
        {"coefs_init": COEFS},
        "warm_start=True .*coefs_init",
    ),
    "intercepts and warm start": (
        {"warm_start": True},
        {"intercepts_init": INTERCEPTS},
        "warm_start=True .*intercepts_init",
    ),
    "warm start with other layers": (
        {"warm_start": True, "hidden_layer_sizes": (6,)},
        {},
        r"\[\(3, 4\), \(4, 1\)\].*hidden_layer_sizes=\(6,\).*\[\(3, 6\), \(6, 1\)\]",
    ),
    "warm start with more features": (
        {"warm_start": True},
        {"X": np.zeros((50, 4))},
        "X has 4 features, but TinyMLPRegressor is expecting 3",
    ),
    "warm start with more outputs": (
        {"warm_start": True},
        {"y": np.zeros((50, 2))},
        r"\[\(3, 4\), \(4, 1\)\].*\[\(3, 4\), \(4, 2\)\]",
    ),
    "coefs transposed": (
        {},
        {"coefs_init": [coef.T for coef in COEFS]},
        r"coefs_init .*\[\(4, 3\), \(1, 4\)\].*hidden_layer_sizes=\(4,\).*\[\(3, 4\), \(4, 1\)\]",
    ),
    "too few coefs": ({}, {"coefs_init": COEFS[:1]}, r"coefs_init .*\[\(3, 4\)\]"),
    "intercepts of wrong shape": (
        {},
        {"intercepts_init": [np.zeros((4, 1)), np.zeros(1)]},
        r"intercepts_init .*\[\(4, 1\), \(1,\)\].*\[\(4,\), \(1,\)\]",
    ),
    "coefs not finite": (
        {},
        {"coefs_init": [np.full((3, 4), NAN), COEFS[1]]},
        "coefs_init .*not finite",
    ),
    "intercepts not finite": (
        {},
        {"intercepts_init": [np.full(4, INF), INTERCEPTS[1]]},
        "intercepts_init .*not finite",
    ),
    "intercepts without bias": (
        {"bias": False},
        {"intercepts_init": [np.ones(4), INTERCEPTS[1]]},
        "bias=False .*intercepts_init",
    ),
    "negative counts": ({"loss": "poisson"}, {"y": NEGATIVE}, r"loss='poisson' .*y >= 0.*-2"),
    "an amount of zero": ({"loss": "gamma"}, {"y": np.abs(y) * 0.0}, r"loss='gamma' .*y > 0.*0\.0"),
    "an amount from tanh": (
        {"loss": "gamma", "output_activation": "tanh"},
        {"y": np.abs(y) + 1.0},
        "loss='gamma' .*output_activation='tanh'",
    ),
    "a fixed penalty for a loss that lm takes by the evidence": (
        {"loss": "huber", "solver": "lm", "alpha": 0.1},
        {},
        r"solver='lm' accepts loss='huber' only with alpha='auto', got alpha=0\.1\.",
    ),
    "a fixed penalty for two quantiles by lm": (
        {"loss": "quantile", "solver": "lm", "alpha": 0.01},
        {"y": np.column_stack([y, y])},
        r"solver='lm' accepts loss='quantile' only with alpha='auto', got alpha=0\.01",
    ),
    "negative counts in the validation set": (
        {"loss": "poisson"},
        {"y": np.abs(y), "X_val": X, "y_val": NEGATIVE},
        r"loss='poisson' .*y_val >= 0.*-2",
    ),
    "counts from tanh": (
        {"loss": "poisson", "output_activation": "tanh"},
        {"y": np.abs(y)},
        "loss='poisson' .*output_activation='tanh'",
    ),
    "counts from relu": (
        {"loss": "poisson", "output_activation": "relu"},
        {"y": np.abs(y)},
        "loss='poisson' .*output_activation='relu'",
    ),
    "too many activations": (
        {"activation": ["tanh", "relu"]},
        {},
        r"activation has 2 entries, \['tanh', 'relu'\], but hidden_layer_sizes=\(4,\) .*1",
    ),
    "too few activations": (
        {"activation": ["tanh"], "hidden_layer_sizes": (4, 4)},
        {},
        r"activation has 1 entries, .*hidden_layer_sizes=\(4, 4\) .*2",
    ),
    "empty layer": ({"hidden_layer_sizes": (4, 0)}, {}, "hidden_layer_sizes must be > 0"),
    "X_val without y_val": ({}, {"X_val": X}, "both X_val and y_val; y_val is missing"),
    "y_val without X_val": ({}, {"y_val": y}, "both X_val and y_val; X_val is missing"),
    "validation weights alone": ({}, {"sample_weight_val": y}, "both X_val and y_val"),
    "validation set with other features": (
        {},
        {"X_val": X[:, :2], "y_val": y},
        "X_val has 2 features, but TinyMLPRegressor is expecting 3",
    ),
    "validation set with other outputs": (
        {},
        {"X_val": X, "y_val": np.c_[y, y]},
        "y_val has 2 outputs, but y has 1",
    ),
    "validation set of other length": (
        {},
        {"X_val": X, "y_val": y[1:]},
        "inconsistent numbers of samples",
    ),
    "validation weights sum to zero": (
        {},
        {"X_val": X, "y_val": y, "sample_weight_val": PLUS_MINUS},
        "sample_weight_val must not sum to zero",
    ),
    "validation set too small": (
        {"early_stopping": True, "validation_fraction": 0.01},
        {},
        "The validation set is too small",
    ),
    "weights sum to zero": (
        {},
        {"sample_weight": PLUS_MINUS},
        "sample_weight must not sum to zero",
    ),
    "weights that are not finite": (
        {"learning_rate": 1e300, "momentum": 0.0},
        {},
        "Solver produced non-finite parameter weights. The input data may contain large values "
        "and need to be preprocessed.",
    ),
}


def make_net(**params):
    params = {"hidden_layer_sizes": (4,), "solver": "sgd", "max_iter": 3} | params
    return TinyMLPRegressor(random_state=0, **params)


def assert_refused(net, method, arguments, error, match):
    """The call raises, and the fitted estimator is what it was, to the last bit."""
    predictions = net.predict(X)
    names, before = list(vars(net)), joblib.hash(vars(net))
    with pytest.raises(error, match=match) as caught:
        getattr(net, method)(**{"X": X, "y": y} | arguments)
    assert list(vars(net)) == names
    assert joblib.hash(vars(net)) == before
    assert_array_equal(net.predict(X), predictions)
    return caught.value


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, values in NOT_ALLOWED.items() for value in values]
)
def test_wrong_types_and_ranges_are_refused(name, value):
    net = make_net().fit(X, y).set_params(**{name: value})
    assert_refused(net, "fit", {}, InvalidParameterError, f"'{name}' parameter")
    with pytest.raises(InvalidParameterError if name != "solver" else AttributeError):
        clone(net).partial_fit(X, y)


def test_parameters_found_valid_are_remembered_and_forgotten_before_they_are_too_many(monkeypatch):
    assert settings._validate.cache_parameters()["maxsize"] is not None
    remembered = functools.lru_cache(maxsize=2, typed=True)(settings._validate.__wrapped__)
    monkeypatch.setattr(settings, "_validate", remembered)
    for alpha in (0.0, 1.0, 1.0, 2.0, 3.0, 0.0):
        make_net(alpha=alpha)._validate_params()
        assert 1 <= remembered.cache_info().currsize <= 2
    assert remembered.cache_info().hits == 1
    with pytest.raises(ValueError, match="alpha"):
        make_net(alpha=-1.0)._validate_params()


def test_every_parameter_has_wrong_values_in_the_table():
    assert NOT_ALLOWED.keys() == TinyMLPRegressor().get_params().keys()


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_refused_with_both_sides_named(case):
    params, arguments, match = CONTRADICTIONS[case]
    net = make_net().fit(X, y).set_params(**params)
    error = assert_refused(net, "fit", arguments, ValueError, f"(?s){match}")
    assert not isinstance(error, InvalidParameterError)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("case", ["negative counts", "coefs transposed", "two learning rates"])
def test_other_solvers_refuse_the_same(solver, case):
    params, arguments, match = CONTRADICTIONS[case]
    net = make_net(solver=solver).fit(X, y).set_params(**params)
    assert_refused(net, "fit", arguments, ValueError, f"(?s){match}")


@pytest.mark.parametrize(
    "params, match",
    [
        ({"n_init": 2}, "partial_fit .*n_init=2"),
        ({"early_stopping": True}, "partial_fit does not support early_stopping=True"),
        ({"batch_size": 0}, "The 'batch_size' parameter of TinyMLPRegressor .* Got 0 instead"),
        ({"hidden_layer_sizes": (6,)}, r"\[\(3, 4\), \(4, 1\)\].*hidden_layer_sizes=\(6,\)"),
        ({"learning_rate": 0.1, "learning_rate_init": 0.01}, "learning_rate_init=0.01"),
    ],
    ids=str,
)
def test_partial_fit_refuses_what_it_cannot_do(params, match):
    net = make_net().partial_fit(X, y).set_params(**params)
    assert_refused(net, "partial_fit", {}, ValueError, match)


@pytest.mark.parametrize(
    "arguments, match",
    [
        ({"X": X[:, :2]}, "X has 2 features, but TinyMLPRegressor is expecting 3"),
        ({"y": np.zeros((50, 2))}, r"\[\(3, 4\), \(4, 2\)\]"),
        ({"y": 1e308 * np.sign(y)}, "Solver produced non-finite parameter weights"),
        ({"sample_weight": PLUS_MINUS}, "sample_weight must not sum to zero"),
    ],
    ids=["features", "outputs", "diverges", "weights"],
)
def test_a_refused_partial_fit_changes_nothing(arguments, match):
    net = make_net().partial_fit(X, y)
    expected = make_net().partial_fit(X, y).partial_fit(X, y)
    assert_refused(net, "partial_fit", arguments, ValueError, match)
    assert_array_equal(net.partial_fit(X, y).predict(X), expected.predict(X))


@pytest.mark.parametrize("solver", ["lbfgs", "auto"])
def test_partial_fit_is_there_for_stochastic_solvers_only(solver):
    assert not hasattr(make_net(solver=solver), "partial_fit")
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        make_net(solver=solver).partial_fit(X, y)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_is_there(solver):
    assert hasattr(make_net(solver=solver), "partial_fit")


def test_a_warning_made_an_error_changes_nothing():
    net = make_net().fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.set_params(max_iter=5, warm_start=True)
        assert_refused(net, "fit", {}, Warning, "Maximum iterations")


def test_inputs_of_another_size_are_to_be_standardised_whatever_the_rate():
    inputs = np.linspace(-2, 2, 40)[:, np.newaxis]
    net = TinyMLPRegressor(solver="sgd", activation="identity", standardize=False, random_state=0)
    for unit in (1e10, 1e160):
        advice = r" X has values up to 2e\+1\d+, y up to 1[.] Try standardize=True[.]"
        with pytest.raises(ValueError, match=f"need to be preprocessed[.]{advice}$"):
            net.fit(inputs * unit, np.sin(inputs.ravel()))


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_first_fit_that_fails_leaves_nothing_behind(method):
    net = make_net(learning_rate=1e300)
    names = list(vars(net))
    with pytest.raises(ValueError, match="non-finite parameter weights"):
        getattr(net, method)(X, 1e10 * y)
    assert list(vars(net)) == names
    net.set_params(learning_rate="constant").fit(X, y)
    assert_array_equal(net.predict(X), make_net().fit(X, y).predict(X))


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam"])
@pytest.mark.parametrize(
    "changed, match",
    [
        ({"bias": False}, "bias=False cannot undo"),
        ({"output_activation": "softplus"}, "output_activation='softplus'.*cannot undo"),
    ],
)
def test_a_warm_start_that_the_first_scaling_does_not_fit_is_refused(solver, changed, match):
    net = make_net(solver=solver, standardize=True, warm_start=True).fit(X + 5, y + 3)
    assert_refused(net.set_params(**changed), "fit", {"X": X + 5, "y": y + 3}, ValueError, match)


@pytest.mark.slow
def test_negative_weights_are_for_other_solvers_than_lm():
    weight = np.r_[-1e-3, np.ones(len(y) - 1)]
    with pytest.raises(ValueError, match="solver='lm'.*sample_weight >= 0.*-0.001"):
        make_net(solver="lm").fit(X, y, sample_weight=weight)
    assert make_net(solver="auto").fit(X, y, sample_weight=weight).solver_ == "lbfgs"


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam", "sgd"])
@pytest.mark.parametrize(
    "x_unit, y_unit", [(1e-320, 1), (1.7e308, 1), (1, 1.7e308), (1e-320, 1e-320)]
)
def test_data_beyond_the_range_of_numbers_are_refused_or_fitted(solver, x_unit, y_unit):
    inputs, targets = np.clip(X, -1, 1) * x_unit, np.clip(y, -1, 1) * y_unit
    net = make_net(solver=solver, standardize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", UserWarning)
        try:
            net.fit(inputs, targets)
        except ValueError:
            assert not hasattr(net, "coefs_")
        else:
            assert np.isfinite(net.predict(inputs)).all()


def test_targets_that_float32_cannot_hold_are_refused():
    with pytest.raises(ValueError, match="Input y contains infinity"):
        make_net().fit(X.astype(np.float32), y * 1e300)


def test_a_held_out_set_without_weight_is_refused():
    weight = np.zeros(len(y))
    weight[0] = 1.0
    for seed in range(5):
        net = make_net(solver="adam", early_stopping=True).set_params(random_state=seed)
        try:
            net.fit(X, y, sample_weight=weight)
        except ValueError as error:
            assert "early_stopping holds out has no weight" in str(error)
            break
    else:
        raise AssertionError("no split left the only weight out")
