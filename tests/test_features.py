"""What TinyMLPRegressor offers beyond MLPRegressor."""

import re
import warnings
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from formulas import FORMULAS
from numpy.testing import assert_allclose, assert_array_equal
from problems import PROBLEMS, SOLVERS
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPRegressor

from sklearn_tinymlp import Activation, TinyMLPRegressor
from sklearn_tinymlp._engine import kernels
from sklearn_tinymlp._machine import compilation
from sklearn_tinymlp._solvers.monitor import Monitor
from sklearn_tinymlp._training import progress

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

each_solver = pytest.mark.parametrize("solver", SOLVERS)
each_stochastic_solver = pytest.mark.parametrize("solver", ["sgd", "adam"])

X, Y = PROBLEMS["outputs"].X, PROBLEMS["outputs"].y
y = Y[:, 0]
X_train, y_train, X_val, y_val = X[:30], y[:30], X[30:], y[30:]


def make_net(solver="sgd", **params):
    params = {"hidden_layer_sizes": (4,), "max_iter": 10, "random_state": 0} | params
    return TinyMLPRegressor(solver=solver, **params)


def start_of(init, hidden=(400, 300), **params):
    """Coefs and intercepts that a fit begins with: training at a rate too small to count."""
    net = make_net(init=init, learning_rate=1e-300, hidden_layer_sizes=hidden, **params)
    net.set_params(max_iter=1).fit(X, Y)
    return net.coefs_, net.intercepts_


def parameters(net):
    return np.concatenate([np.ravel(array) for array in (*net.coefs_, *net.intercepts_)])


@contextmanager
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ------------------------------------------------------------------- bias and activations


@pytest.mark.slow
@each_solver
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=str)
def test_without_bias_intercepts_stay_exactly_zero(solver, problem):
    net = make_net(solver, bias=False, loss=problem.loss, hidden_layer_sizes=(4, 3))
    net.fit(problem.X, problem.y, sample_weight=problem.sample_weight)
    if solver != "lbfgs":
        net.partial_fit(problem.X, problem.y)
    assert [len(intercept) for intercept in net.intercepts_] == [4, 3, net.n_outputs_]
    assert not any(intercept.any() for intercept in net.intercepts_)
    assert net.n_parameters_ == sum(coef.size for coef in net.coefs_)
    zeros = np.zeros((1, net.n_features_in_))
    assert_array_equal(net.predict(zeros).ravel(), float(problem.loss == "poisson"))


@each_solver
def test_bias_is_what_three_points_need(solver):
    problem = PROBLEMS["three points"]
    scores = {}
    for bias in (False, True):
        net = make_net(solver, bias=bias, activation="leaky_relu", max_iter=5000, tol=0.0)
        net.set_params(alpha=0.0, n_iter_no_change=np.inf, n_init=3)
        if solver == "adam":
            net.set_params(learning_rate=0.01)
        scores[bias] = net.fit(problem.X, problem.y).score(problem.X, problem.y)
    assert scores[False] < 0 < 0.95 < scores[True]


@each_solver
@pytest.mark.parametrize("output", FORMULAS)
def test_predicting_by_hand(solver, output):
    names = [name for name in FORMULAS if name != "exp"]
    net = make_net(solver, activation=names, output_activation=output)
    net.set_params(hidden_layer_sizes=[3] * len(names), max_iter=3).fit(X, np.abs(Y) / 10)
    values = X
    for name, coef, intercept in zip([*names, output], net.coefs_, net.intercepts_, strict=True):
        values = FORMULAS[name](values @ coef + intercept)
    assert_allclose(net.predict(X), values, rtol=1e-12, atol=1e-14)
    assert net.out_activation_ == output


@each_solver
def test_a_list_of_equal_activations_is_the_same_as_one(solver):
    one = make_net(solver, activation="elu", hidden_layer_sizes=(4, 3)).fit(X, y)
    for names in (["elu", "elu"], ("elu", "elu")):
        other = make_net(solver, activation=names, hidden_layer_sizes=(4, 3)).fit(X, y)
        assert_array_equal(parameters(one), parameters(other))
    mixed = make_net(solver, activation=["elu", "sin"], hidden_layer_sizes=(4, 3)).fit(X, y)
    assert not np.allclose(parameters(one), parameters(mixed))


@pytest.mark.parametrize("loss, expected", [("squared_error", "identity"), ("poisson", "exp")])
def test_output_activation_auto_suits_the_loss(loss, expected):
    assert make_net(loss=loss).fit(X, np.abs(y)).out_activation_ == expected


@each_solver
@pytest.mark.parametrize("output", ["exp", "softplus", "logistic"])
def test_poisson_with_each_positive_output(solver, output):
    target = PROBLEMS["counts"].y / 10
    net = make_net(solver, loss="poisson", output_activation=output).fit(X, target)
    predictions = net.predict(X)
    assert (predictions > 0).all()
    if output == "logistic":
        assert (predictions < 1).all()
    assert net.loss_curve_[-1] < net.loss_curve_[0]


@each_solver
def test_a_network_without_hidden_layers(solver):
    net = make_net(solver, hidden_layer_sizes=(), max_iter=2000, alpha=0.0, learning_rate=0.05)
    net.set_params(tol=0.0, n_iter_no_change=np.inf)
    net.fit(X, X @ [1.0, -2.0, 3.0] + 4.0)
    assert_allclose(net.coefs_[0].ravel(), [1, -2, 3], atol=0.05)
    assert_allclose(net.intercepts_[0], [4], atol=0.05)


# ----------------------------------------------------------------------------------- starts


@pytest.mark.parametrize(
    "init, bound",
    [
        ("glorot_uniform", lambda n_in, n_out: np.sqrt(6 / (n_in + n_out))),
        ("he_uniform", lambda n_in, n_out: np.sqrt(6 / n_in)),
        ("lecun_uniform", lambda n_in, n_out: np.sqrt(3 / n_in)),
    ],
)
def test_uniform_starts_fill_their_bounds(init, bound):
    coefs, intercepts = start_of(init)
    for coef, intercept in zip(coefs, intercepts, strict=True):
        limit = bound(*coef.shape)
        assert 0.98 * limit < np.abs(coef).max() <= limit
        assert_allclose(coef.mean(), 0, atol=0.1 * limit)
        expected = limit if init == "glorot_uniform" else 1e-290
        assert np.abs(intercept).max() <= expected


def test_glorot_has_smaller_bounds_for_logistic_units():
    coefs, _ = start_of("glorot_uniform", activation="logistic")
    for coef in coefs:
        limit = np.sqrt(2 / sum(coef.shape))
        assert 0.98 * limit < np.abs(coef).max() <= limit


def test_nguyen_widrow_gives_each_hidden_unit_the_same_length():
    coefs, intercepts = start_of("nguyen_widrow")
    for coef, intercept in zip(coefs[:-1], intercepts[:-1], strict=True):
        n_in, n_out = coef.shape
        length = 0.7 * n_out ** (1 / n_in)
        assert_allclose(np.linalg.norm(coef, axis=0), length)
        assert 0.9 * length < np.abs(intercept).max() <= length
    assert np.abs(coefs[-1]).max() <= np.sqrt(6 / sum(coefs[-1].shape))


def test_uniform_draws_between_zero_and_one():
    coefs, intercepts = start_of("uniform")
    rng = np.random.RandomState(0)
    for coef, intercept in zip(coefs, intercepts, strict=True):
        assert_array_equal(coef, rng.rand(*coef.shape))
        assert_array_equal(intercept, rng.rand(*intercept.shape))


@each_solver
def test_given_coefs_and_intercepts_are_the_start(solver):
    donor = make_net(solver, max_iter=50).fit(X, y)
    heir = make_net(solver, max_iter=1, learning_rate=1e-300, random_state=1)
    heir.fit(X, y, coefs_init=donor.coefs_, intercepts_init=donor.intercepts_)
    if solver == "lbfgs":
        assert heir.loss_ <= donor.loss_
    else:
        assert_array_equal(parameters(heir), parameters(donor))
    as_lists = [coef.tolist() for coef in donor.coefs_]
    again = make_net(solver, max_iter=1, learning_rate=1e-300, random_state=1)
    again.fit(X, y, coefs_init=as_lists, intercepts_init=donor.intercepts_)
    assert_array_equal(parameters(again), parameters(heir))


def test_given_coefs_alone_leave_the_intercepts_drawn():
    coefs, intercepts = start_of("glorot_uniform", hidden=(4,))
    zeros = [np.zeros_like(coef) for coef in coefs]
    net = make_net(learning_rate=1e-300, max_iter=1).fit(X, Y, coefs_init=zeros)
    assert max(np.abs(coef).max() for coef in net.coefs_) < 1e-290
    for ours, drawn in zip(net.intercepts_, intercepts, strict=True):
        assert_array_equal(ours, drawn)


def test_training_does_not_write_to_the_given_start():
    coefs = [np.ones((3, 4)), np.ones((4, 1))]
    make_net().fit(X, y, coefs_init=coefs)
    assert all((coef == 1).all() for coef in coefs)


@each_solver
@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_best_of_several_starts_is_kept(solver, early_stopping):
    params = {"early_stopping": early_stopping, "max_iter": 15}
    net = make_net(solver, n_init=5, **params).fit(X, y)
    seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=5)
    singles = [make_net(solver, **params).set_params(random_state=s).fit(X, y) for s in seeds]
    if early_stopping and solver != "lbfgs":
        best = max(singles, key=lambda single: single.best_validation_score_)
    else:
        best = min(singles, key=lambda single: single.loss_)
    assert_array_equal(parameters(net), parameters(best))
    assert net.loss_curve_ == best.loss_curve_
    again = make_net(solver, n_init=5, **params).fit(X, y)
    assert_array_equal(parameters(net), parameters(again))


def test_a_start_that_diverges_is_not_kept():
    net = make_net(n_init=3, learning_rate=0.05, init="uniform", hidden_layer_sizes=(100,))
    with np.errstate(all="ignore"):
        seeds = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
        losses = []
        for seed in seeds:
            try:
                single = make_net(learning_rate=0.05, init="uniform", hidden_layer_sizes=(100,))
                losses.append(single.set_params(random_state=seed).fit(X, y).loss_)
            except ValueError:
                losses.append(np.inf)
        assert net.fit(X, y).loss_ == min(losses)


# ------------------------------------------------------------------ when and why it stops


@each_solver
def test_training_ends_at_the_target_loss(solver):
    full = make_net(solver, max_iter=50, learning_rate=0.01).fit(X, y)
    target = full.loss_curve_[len(full.loss_curve_) // 2]
    with no_warning():
        net = make_net(solver, max_iter=50, learning_rate=0.01, loss_tol=target).fit(X, y)
    assert net.stop_reason_ == "loss_tol"
    assert net.converged_ is True
    assert net.loss_ <= target < net.loss_curve_[-2]
    assert net.loss_curve_ == full.loss_curve_[: net.n_iter_]


@each_stochastic_solver
def test_a_number_as_learning_rate_is_a_constant_rate(solver):
    number = make_net(solver, learning_rate=0.02).fit(X, y)
    schedule = make_net(solver, learning_rate="constant", learning_rate_init=0.02).fit(X, y)
    assert_array_equal(parameters(number), parameters(schedule))
    rates = number.history_["learning_rate"]
    assert_array_equal(rates, schedule.history_["learning_rate"])
    if solver == "sgd":  # Adam's is the rate with its correction for the first steps
        assert_array_equal(rates, 0.02)


def test_the_learning_rate_is_0_001_unless_given():
    default = make_net().fit(X, y)
    assert_array_equal(parameters(default), parameters(make_net(learning_rate=0.001).fit(X, y)))


REASONS = {
    "tol": ("sgd", {"tol": 10.0, "n_iter_no_change": 2}, True),
    "validation": ("adam", {"tol": 10.0, "n_iter_no_change": 2, "early_stopping": True}, True),
    "max_iter": ("sgd", {}, False),
    "gradient": ("lbfgs", {"tol": 10.0}, True),
    "max_fun": ("lbfgs", {"max_fun": 3}, False),
    "loss_tol": ("adam", {"loss_tol": 1e3}, True),
}


@pytest.mark.parametrize("reason", REASONS)
def test_why_training_stopped(reason):
    solver, params, converged = REASONS[reason]
    net = make_net(solver, **params)
    if converged:
        with no_warning():
            # A tol of 10 ends a fit that has learned nothing, and then there is a word about that.
            warnings.filterwarnings("ignore", "(?s).*But the predictions are no better")
            net.fit(X, y)
    else:
        with pytest.warns(ConvergenceWarning):
            net.fit(X, y)
    assert net.stop_reason_ == reason
    assert net.converged_ is converged


def test_lbfgs_stops_by_its_own_tolerance_on_a_flat_loss():
    with no_warning():
        net = make_net("lbfgs", tol=0.0, max_iter=10_000, hidden_layer_sizes=()).fit(X, y)
    assert (net.stop_reason_, net.converged_) == ("tol", True)


def test_lbfgs_says_that_its_line_search_failed(monkeypatch):
    # The derivative has the wrong sign: no step along the gradient lowers the loss.
    monkeypatch.setattr(
        "sklearn_tinymlp._diagnosis.convergence_warning.check_derivative", lambda *_: None
    )
    uphill = Activation(lambda z: z, lambda z: -np.ones_like(z))
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        net = make_net("lbfgs", output_activation=uphill).fit(X, y)
    assert (net.stop_reason_, net.converged_) == ("line_search", False)


@each_stochastic_solver
def test_after_partial_fit_the_reason_is_partial_fit(solver):
    net = make_net(solver, tol=10.0, n_iter_no_change=1)
    with no_warning():
        for _ in range(3):
            net.partial_fit(X, y)
    assert (net.stop_reason_, net.converged_, net.n_iter_) == ("partial_fit", False, 1)
    assert len(net.loss_curve_) == 3


# ------------------------------------------------------------- validation set and history


@each_solver
def test_early_stopping_on_a_validation_set_restores_the_best_weights(solver):
    weight = np.linspace(0.1, 2, len(y_val))
    net = make_net(solver, early_stopping=True, n_iter_no_change=5, max_iter=500)
    net.set_params(hidden_layer_sizes=(30,), learning_rate=0.02)
    net.fit(X_train, y_train, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    assert (net.stop_reason_, net.converged_) == ("validation", True)
    assert len(net.validation_scores_) == len(net.loss_curve_) == net.n_iter_
    assert_array_equal(net.history_["validation_score"], net.validation_scores_)
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert_allclose(net.score(X_val, y_val, weight), net.best_validation_score_, rtol=1e-10)
    assert net.validation_scores_[-1] < net.best_validation_score_
    assert net.best_loss_ is None


@each_solver
def test_a_validation_set_without_early_stopping_only_watches(solver):
    params = {"max_iter": 30, "learning_rate": 0.01, "hidden_layer_sizes": (10,)}
    plain = make_net(solver, **params).fit(X_train, y_train)
    net = make_net(solver, **params).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert_array_equal(parameters(net), parameters(plain))
    assert net.loss_curve_ == plain.loss_curve_
    assert net.validation_scores_ is None
    assert net.best_validation_score_ is None
    residuals = y_val - net.predict(X_val)
    assert_allclose(net.history_["validation_loss"][-1], np.mean(residuals**2) / 2, rtol=1e-10)
    assert_allclose(net.history_["validation_score"][-1], net.score(X_val, y_val), rtol=1e-10)


@pytest.mark.slow
@each_solver
def test_the_validation_set_may_be_sparse_or_of_several_outputs(solver):
    problem = PROBLEMS["sparse"]
    outputs = np.column_stack([problem.y, -problem.y])
    net = make_net(solver).fit(problem.X, outputs, X_val=problem.X.tocsc()[:20], y_val=outputs[:20])
    expected = r2_score(outputs[:20], net.predict(problem.X[:20]))
    assert_allclose(net.history_["validation_score"][-1], expected, rtol=1e-10)


@each_solver
def test_the_validation_loss_of_counts_is_half_the_deviance(solver):
    problem = PROBLEMS["counts"]
    net = make_net(solver, loss="poisson")
    net.fit(problem.X, problem.y, X_val=problem.X, y_val=problem.y)
    mean = net.predict(problem.X)
    log_ratio = np.log(np.where(problem.y > 0, problem.y / mean, 1))
    half_deviance = np.mean(problem.y * log_ratio - problem.y + mean)
    assert_allclose(net.history_["validation_loss"][-1], half_deviance, rtol=1e-6)


@each_solver
def test_history_is_a_table(solver):
    net = make_net(solver, warm_start=True).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    columns = ["loss", "validation_loss", "validation_score"]
    if solver != "lbfgs":
        columns.insert(1, "learning_rate")
    assert sorted(net.history_) == sorted(columns)
    table = pd.DataFrame(net.history_)
    assert len(table) == net.n_iter_
    assert_array_equal(table["loss"], net.loss_curve_)
    net.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert len(pd.DataFrame(net.history_)) == len(table) + net.n_iter_


@pytest.mark.parametrize("second", [{"solver": "lbfgs"}, {"solver": "sgd"}, {"solver": "adam"}])
@each_solver
def test_history_stays_a_table_when_a_warm_start_adds_columns(solver, second):
    net = make_net(solver, warm_start=True).fit(X_train, y_train)
    n_first = net.n_iter_
    net.set_params(**second).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    table = pd.DataFrame(net.history_)
    assert len(table) == n_first + net.n_iter_
    assert table["validation_loss"].isna().sum() == n_first


def test_the_learning_rate_in_the_history_follows_the_schedule():
    net = make_net(learning_rate="adaptive", tol=10.0, n_iter_no_change=1, max_iter=12).fit(X, y)
    rates = net.history_["learning_rate"]
    assert rates[0] == 0.001
    assert (np.diff(rates) <= 0).all()
    assert rates[-1] < rates[0]


# --------------------------------------------------------------------- Ctrl-C and printing


def interrupt_at_call(function, count):
    calls = 0

    def wrapper(*args, **kwargs):
        nonlocal calls
        calls += 1
        if calls == count:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return wrapper


@each_solver
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("where", ["monitor", "kernel"])
def test_ctrl_c_keeps_the_weights_so_far(monkeypatch, solver, where, count):
    if where == "monitor":
        owner, name = Monitor, "update"
    else:
        owner, name = kernels, "run_lbfgs" if solver == "lbfgs" else "run_epochs"
    monkeypatch.setattr(owner, name, interrupt_at_call(getattr(owner, name), count))
    net = make_net(solver, max_iter=1000, tol=0.0, n_iter_no_change=np.inf)
    with pytest.warns(UserWarning, match="Training interrupted by user.") as caught:
        net.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert len(caught) == 1
    monkeypatch.undo()
    assert (net.stop_reason_, net.converged_) == ("interrupted", False)
    assert net.n_iter_ == len(net.loss_curve_) < 1000
    assert np.isfinite(net.predict(X)).all()
    n_iter = net.n_iter_
    net.set_params(warm_start=True, max_iter=5).fit(X_train, y_train, X_val=X_val, y_val=y_val)
    assert len(pd.DataFrame(net.history_)) == n_iter + net.n_iter_


@each_solver
def test_warnings_point_at_the_line_that_called_fit(solver):
    with pytest.warns(ConvergenceWarning) as caught:
        make_net(solver, max_iter=2).fit(X, y)
    assert [warning.filename for warning in caught] == [__file__]


def test_ctrl_c_during_several_starts_keeps_the_best_so_far(monkeypatch):
    run_epochs = kernels.run_epochs
    monkeypatch.setattr(kernels, "run_epochs", interrupt_at_call(run_epochs, 3))
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        net = make_net(n_init=1000).fit(X, y)
    assert np.isfinite(net.predict(X)).all()


@each_solver
@pytest.mark.parametrize("early_stopping", [False, True])
def test_training_is_silent(solver, early_stopping, capfd, monkeypatch):
    monkeypatch.setattr(progress, "LONG_SECONDS", np.inf)  # on a busy machine a fit is a long one
    monkeypatch.setattr(compilation, "SILENT_SECONDS", 1e6)
    make_net(solver, early_stopping=early_stopping).fit(X, y).predict(X)
    assert capfd.readouterr() == ("", "")


@each_solver
@pytest.mark.parametrize("verbose", [True, 1, 10])
def test_verbose_prints_a_line_an_iteration(solver, verbose, capsys):
    net = make_net(solver, verbose=verbose, max_iter=3).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    if solver == "lm":
        rows = [line.split() for line in lines[1:4]]
        assert lines[0].split() == ["Iteration", "Loss", "Gradient", "Damping"]
        assert [int(row[0]) for row in rows] == [1, 2, 3]
        assert_allclose([float(row[1]) for row in rows], net.loss_curve_, rtol=1e-5)
        assert lines[4:] == [
            f"Kept: iteration 3 of 3, loss {net.loss_:.6g}.",
            "Stopped: max_iter iterations were done before the fit converged.",
        ]
        return
    assert lines == [
        f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(net.loss_curve_, 1)
    ]


@each_solver
def test_verbose_prints_validation_scores(solver, capsys):
    net = make_net(solver, verbose=True, max_iter=3)
    net.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    lines = capsys.readouterr().out.splitlines()
    scores = net.history_["validation_score"]
    if solver == "lm":
        assert [line.split()[-1] for line in lines[1:4]] == [f"{score:.4f}" for score in scores]
        return
    assert lines[1::2] == [f"Validation score: {score:f}" for score in scores]


def test_verbose_of_the_evidence_is_a_table_of_80_columns(capsys):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((150, 6))
    net = TinyMLPRegressor(verbose=True, random_state=0)
    net.fit(X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(150))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert re.fullmatch(r"Pilot networks: \d of 6 inputs, a penalty for each input\.", lines[0])
    titles = "Iteration        Loss  Log evidence  Effective parameters"
    first = lines.index(titles) + 1
    rows = [line.split() for line in lines[first : first + net.n_iter_]]
    assert [int(row[0]) for row in rows] == list(range(1, net.n_iter_ + 1))
    kept = next(line for line in lines if line.startswith("Kept: "))
    number, evidence = int(kept.split()[2]), float(kept.split()[-1].rstrip("."))
    assert number == net.best_epoch_
    assert_allclose(float(rows[number - 1][2]), evidence, atol=0.01)
    assert any(line.startswith("R² on rows not trained on: network 0.9") for line in lines)
    assert lines[-1] == "Stopped: The evidence no longer changes."


@pytest.mark.parametrize(
    "params, text",
    [
        ({}, "Training loss did not improve more than tol=10.000000 for 2 consecutive epochs. "),
        (
            {"early_stopping": True},
            "Validation score did not improve more than tol=10.000000 for 2 consecutive epochs. ",
        ),
        ({"learning_rate": "adaptive"}, "Setting learning rate to 0.000200"),
        (
            {"learning_rate": "adaptive", "learning_rate_init": 1e-7},
            "Learning rate too small. Stopping.",
        ),
    ],
    ids=["loss", "validation", "adaptive", "too small"],
)
def test_verbose_says_why_training_stops(params, text, capsys):
    make_net(tol=10.0, n_iter_no_change=2, verbose=True, **params).fit(X, y)
    assert text in capsys.readouterr().out


def test_a_warm_start_by_lbfgs_keeps_what_adam_had_seen():
    problem = PROBLEMS["sine"]
    nets = []
    for net in (make_net(solver="adam"), MLPRegressor(hidden_layer_sizes=(5,), random_state=0)):
        net.set_params(warm_start=True, max_iter=3)
        for solver in ("adam", "lbfgs", "adam"):
            net.set_params(solver=solver).fit(problem.X, problem.y)
        nets.append(net)
    assert nets[0].t_ == nets[1].t_ == 6 * len(problem.y)


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam"])
@pytest.mark.parametrize(
    "given", [("coefs_init",), ("intercepts_init",), ("coefs_init", "intercepts_init")]
)
def test_start_weights_are_those_of_raw_data_whichever_are_given(solver, given):
    inputs, targets = X + 5, 1000 + 10 * y
    net = make_net(solver, standardize=True, max_iter=50).fit(inputs, targets)
    start = {"coefs_init": net.coefs_, "intercepts_init": net.intercepts_}
    again = make_net(solver, standardize=True, max_iter=1)
    again.fit(inputs, targets, **{name: start[name] for name in given})
    if len(given) == 2:
        assert again.score(inputs, targets) >= net.score(inputs, targets) - 0.01
    else:  # the other part is drawn as for standardised data, so the start is a sane one
        assert again.loss_ < 100 * np.var(targets)


def test_an_interrupted_start_without_a_step_is_not_kept(monkeypatch):
    from sklearn_tinymlp._solvers import levenberg_marquardt as lm

    solve, calls = lm.solve, []

    def interrupted_at_once_the_third_time(objective, theta, monitor, **options):
        calls.append(1)
        if len(calls) >= 3:
            monitor.interrupted.set()
        return solve(objective, theta, monitor, **options)

    rng = np.random.RandomState(0)
    inputs = rng.standard_normal((300, 3))
    targets = np.sin(inputs[:, 0]) + 0.1 * rng.standard_normal(300)
    monkeypatch.setattr(lm, "solve", interrupted_at_once_the_third_time)
    monkeypatch.setattr("sklearn_tinymlp._training.train._openmp_effective_n_threads", lambda: 1)
    with pytest.warns(UserWarning, match="interrupted"):
        net = TinyMLPRegressor(solver="lm", alpha="one", n_init=4, random_state=0)
        net.fit(inputs, targets)
    assert net.score(inputs, targets) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_constant_output_does_not_hide_the_signal_of_another(seed):
    rng = np.random.RandomState(seed)
    X, new = np.linspace(0, 1, 250)[:, np.newaxis], np.linspace(0.002, 0.998, 500)[:, np.newaxis]
    wave = np.sin(8 * np.pi * X.ravel())
    y = np.column_stack([wave + 0.1 * rng.standard_normal(250), np.ones(250)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net = TinyMLPRegressor(random_state=seed).fit(X, y)
    predictions = net.predict(new)
    assert r2_score(np.sin(8 * np.pi * new.ravel()), predictions[:, 0]) > 0.97
    np.testing.assert_allclose(predictions[:, 1], 1.0, atol=1e-3)
