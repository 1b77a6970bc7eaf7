"""Fits with other losses: scikit-learn's optima, outliers, shares of quantiles, left-out rows."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    PoissonRegressor,
    QuantileRegressor,
)

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._bayes import irls
from sklearn_tinymlp._bayes.curvature import Curvature
from sklearn_tinymlp._losses.robust import huber
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples

# For fits that are cut short, or whose peer in the same test is.
ignore_convergence = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROBUST = ["student_t", "huber", "absolute_error"]
WITH_SCALE = [name for name, loss in LOSSES.items() if loss.with_scale is not None]


def line(seed=0, n=300):
    rng = np.random.RandomState(seed)
    X = rng.standard_normal((n, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 1.0, rng


def friedman(n=500, seed=0, outliers=0.1):
    """Return X, y with outliers of twenty times the noise, and clean data to compare with."""
    X, y = make_friedman1(n, noise=1.0, random_state=seed)
    rng = np.random.RandomState(seed)
    y += (rng.uniform(size=n) < outliers) * 20.0 * rng.standard_normal(n)
    return X, y, *make_friedman1(1000, noise=0.0, random_state=100 + seed), rng


def bumps(n, rng):
    """Return data whose noise grows from left to right."""
    X = rng.uniform(-2, 2, (n, 2))
    mean = np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2
    return X, mean + (0.3 + 0.1 * (X[:, 0] + 2.0)) * rng.standard_normal(n)


# ------------------------------------------------------------------------ scikit-learn's optima

# The loss, its scikit-learn counterpart, and our alpha for n rows, which divides by them.
OPTIMA = {
    "quantile 0.05": ("quantile", {"quantile": 0.05}, QuantileRegressor(quantile=0.05, alpha=0.0)),
    "quantile 0.9": ("quantile", {"quantile": 0.9}, QuantileRegressor(quantile=0.9, alpha=0.0)),
    "absolute error": ("absolute_error", {}, QuantileRegressor(quantile=0.5, alpha=0.0)),
    "huber": ("huber", {}, HuberRegressor(alpha=0.0, tol=1e-9, max_iter=1000)),
    "huber, penalised": ("huber", {}, HuberRegressor(alpha=5.0, tol=1e-9, max_iter=1000)),
    "gamma": ("gamma", {}, GammaRegressor(alpha=0.1, tol=1e-7, solver="newton-cholesky")),
    "poisson": ("poisson", {}, PoissonRegressor(alpha=0.1, tol=1e-7, solver="newton-cholesky")),
}


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("name", OPTIMA)
def test_a_linear_network_ends_at_the_optimum_of_scikit_learn(name, standardize):
    loss, params, oracle = OPTIMA[name]
    X, mean, rng = line()
    y = mean + rng.standard_t(2, len(mean))
    if LOSSES[loss].positive:
        y = np.exp(0.3 * mean) * rng.gamma(2.0, 0.5, len(mean)) + 1e-3
        y = y if loss == "gamma" else np.round(y)
    oracle = clone(oracle).fit(X, y)
    # HuberRegressor's penalty stands beside the loss divided by its scale.
    strength = oracle.scale_ if loss == "huber" else len(y)
    alpha = float(strength * oracle.alpha)
    if standardize and alpha > 0.0:
        # On scaled data other weights are penalised than scikit-learn's: no oracle for this pair.
        pytest.skip("the penalty is that of other weights")
    net = TinyMLPRegressor(
        loss, (), solver="lbfgs", alpha=alpha, standardize=standardize, tol=1e-9,
        max_iter=20_000, random_state=0, **params,
    ).fit(X, y)  # fmt: skip
    assert net.converged_
    assert_allclose(net.coefs_[0].ravel(), oracle.coef_, atol=1e-4)
    assert_allclose(net.intercepts_[0], oracle.intercept_, atol=1e-4)
    if loss == "huber" and not standardize:
        assert_allclose(net._loss_constants[0], 1.35 * oracle.scale_, rtol=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_through_a_network_is_that_of_its_loss(name):
    loss, rng = LOSSES[name], np.random.RandomState(1)
    X, y = rng.standard_normal((20, 3)), rng.gamma(2.0, 1.0, (20, 2))
    architecture = Architecture((3, 4, 2))
    network = Network(architecture, ("tanh", loss.output_activation))
    objective = Objective(network, Samples.of(X, y), 0.3, loss=loss).at_constant()
    theta = 0.5 * rng.standard_normal(architecture.n_parameters)
    numeric = [
        (objective.loss_gradient(theta + e)[0] - objective.loss_gradient(theta - e)[0]) / 2e-6
        for e in 1e-6 * np.eye(theta.size)
    ]
    value, gradient = objective.loss_gradient(theta)
    assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-7)
    penalty = 0.15 * np.sum(theta[: architecture.n_coefs] ** 2) / 20
    expected = objective.loss.mean(y, objective.predict(theta), None) + penalty
    assert value == pytest.approx(expected, rel=1e-10)


# -------------------------------------------------------------------------------- other solvers


@pytest.mark.slow
@ignore_convergence
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("name", [*WITH_SCALE, "gamma"])
def test_each_solver_trains_several_outputs_with_weights(name, solver):
    X, mean, rng = line(n=200)
    y = np.exp(0.2 * np.column_stack([mean, -mean])) * rng.uniform(0.9, 1.1, (200, 2))
    weight = rng.integers(1, 3, 200) if hasattr(rng, "integers") else rng.randint(1, 3, 200)
    net = TinyMLPRegressor(
        name, (8,), solver=solver, learning_rate=0.02, max_iter=150, random_state=0,
    ).fit(X, y, sample_weight=weight)  # fmt: skip
    assert net.score(X, y) > 0.6
    again = pickle.loads(pickle.dumps(net))
    assert again._loss_constants == net._loss_constants
    assert str(again.diagnose(X, y)) == str(net.diagnose(X, y))
    assert net.solver_ == solver


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WITH_SCALE, "gamma"])
def test_training_starts_at_the_best_constant(name):
    X, mean, rng = line(n=100)
    y = np.exp(mean) + 1.0
    weight = rng.uniform(0.5, 2.0, 100)
    net = TinyMLPRegressor(
        name, (3,), solver="sgd", learning_rate=1e-12, max_iter=1, quantile=0.8, random_state=0,
    )  # fmt: skip
    start = [np.zeros((4, 3)), np.zeros((3, 1))]
    with pytest.warns(UserWarning):
        net.fit(X, y, sample_weight=weight, coefs_init=start)
    loss = LOSSES[name] if name != "quantile" else LOSSES[name].configured({"quantile": 0.8})
    best = loss.best_constant(y[:, np.newaxis], weight)
    assert_allclose(net.predict(X), best[0], rtol=1e-8)


@ignore_convergence
@pytest.mark.parametrize("solver", ["adam", "lbfgs", "lm"])
def test_early_stopping_looks_at_the_loss_itself(solver):
    X, y = bumps(300, np.random.RandomState(0))
    net = TinyMLPRegressor(
        "quantile", (6,), quantile=0.9, solver=solver, early_stopping=True, learning_rate=0.01,
        standardize=False, max_iter=60, random_state=0,
    ).fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])  # fmt: skip
    loss = LOSSES["quantile"].configured({"quantile": 0.9})
    y_val, f = y[200:, np.newaxis], net.predict(X[200:])[:, np.newaxis]
    # Solvers of smooth losses look at the smoothed one.
    tolerance = 1e-9 if solver == "adam" else 0.05
    assert loss.score(y_val, f, None) == pytest.approx(net.best_validation_score_, abs=tolerance)
    assert net.best_validation_score_ == max(net.validation_scores_)


@pytest.mark.slow
def test_partial_fit_follows_the_scale_of_each_batch():
    X, mean, rng = line(n=400)
    y = mean + 0.1 * rng.standard_t(2, 400)
    net = TinyMLPRegressor("huber", (), solver="adam", learning_rate=0.02, random_state=0)
    for _ in range(150):
        for part in np.array_split(np.arange(400), 2):
            net.partial_fit(X[part], y[part])
    assert_allclose(net.coefs_[0].ravel(), [1.0, -2.0, 0.5, 0.0], atol=0.05)
    assert net._loss_constants[0] < 0.5


@pytest.mark.slow
def test_fits_that_predict_no_better_than_a_quantile_are_told():
    X, _, rng = line(n=100)
    net = TinyMLPRegressor("absolute_error", (2,), solver="lbfgs", alpha=1e4, random_state=0)
    with pytest.warns(UserWarning, match="no better than the best constant"):
        net.fit(X, rng.standard_normal(100))


# -------------------------------------------------------------------------------- by the evidence


@pytest.mark.parametrize("name", ROBUST)
def test_outliers_do_not_decide_a_robust_fit(name):
    X, y, X_new, f_new, rng = friedman()
    net = TinyMLPRegressor(name, random_state=0).fit(X, y)
    assert (net.solver_, net.stop_reason_) == ("lm", "evidence")
    assert net.score(X_new, f_new) > 0.85
    mean, std = net.predict(X_new, return_std=True)
    clean = f_new + rng.standard_normal(len(f_new))
    assert 0.9 < np.mean(np.abs(clean - mean) < 1.96 * std) < 0.995
    assert net.noise_std_ == pytest.approx(1.2, abs=0.6)
    assert net.sample_y(X_new[:3], 2).shape == (3, 2)


def two_outputs(name, n, rng):
    """Return X, y of two outputs with the noise that a loss is for, and their mean."""
    X = rng.uniform(-2, 2, (n, 2))
    mean = np.column_stack([np.sin(2 * X[:, 0]) + 1.5, 2.0 + np.cos(X[:, 1])])
    if name == "poisson":
        return X, rng.poisson(4 * mean).astype(float), 4 * mean
    if name == "gamma":
        return X, mean * rng.gamma(20.0, 1 / 20.0, mean.shape) + 1e-6, mean
    noise = rng.standard_normal(mean.shape) * [0.2, 0.4]
    outliers = (rng.uniform(size=mean.shape) < 0.05) * 20.0 * rng.standard_normal(mean.shape)
    return X, mean + noise + (outliers if name in ROBUST else 0.0), mean


@pytest.mark.parametrize("name", [*ROBUST, "quantile", "gamma", "poisson"])
def test_the_evidence_finds_the_penalty_of_several_outputs(name):
    rng = np.random.RandomState(0)
    X, y, _ = two_outputs(name, 400, rng)
    X_new, _, f_new = two_outputs(name, 1000, rng)
    net = TinyMLPRegressor(name, (12,), random_state=0).fit(X, y)
    assert (net.solver_, net.stop_reason_) == ("lm", "evidence")
    assert net.score(X_new, f_new) > 0.85
    assert np.isfinite(net.alpha_).all() and 4 < net.n_effective_parameters_ < net.n_parameters_
    assert net.n_parameters_ == 62
    if name not in ROBUST:
        with pytest.raises(ValueError, match=f"loss='{name}'"):
            net.predict(X_new, return_std=True)
        return
    mean, std = net.predict(X_new, return_std=True)
    clean = f_new + rng.standard_normal(f_new.shape) * [0.2, 0.4]
    held = np.mean(np.abs(clean - mean) < 1.96 * std, axis=0)
    # A robust loss takes the outliers for a part of the noise: its band is wide, not narrow.
    assert (held > 0.9).all() and (held < 0.999).all()
    assert net.noise_std_.shape == (2,) and net.noise_std_[1] > 1.3 * net.noise_std_[0]
    low, high = net.predict_interval(X_new, coverage=0.9).swapaxes(0, 1)
    assert ((low < mean) & (mean < high)).all()
    assert (np.mean((low < clean) & (clean < high), axis=0) > 0.85).all()
    assert net.sample_y(X_new[:3], 2).shape == (3, 2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", [*ROBUST, "quantile", "gamma", "poisson"])
def test_the_evidence_finds_the_penalty_of_large_networks(name, n_outputs):
    rng = np.random.RandomState(1)
    X, y, _ = two_outputs(name, 300, rng)
    X_new, _, f_new = two_outputs(name, 1000, rng)
    y, f_new = (y, f_new) if n_outputs == 2 else (y[:, 1], f_new[:, 1])
    net = TinyMLPRegressor(name, (64, 64), random_state=0).fit(X, y)
    assert net.solver_ == "lm" and net.converged_ and net.n_parameters_ > 4000
    assert net.score(X_new, f_new) > 0.8
    assert np.isfinite(net.alpha_).all() and net.n_effective_parameters_ < 150 * n_outputs
    if name in ROBUST:
        mean, std = net.predict(X_new, return_std=True)
        clean = f_new + rng.standard_normal(f_new.shape) * ([0.2, 0.4] if n_outputs == 2 else 0.4)
        assert 0.9 < np.mean(np.abs(clean - mean) < 1.96 * std) < 0.999


@pytest.mark.slow
def test_diagnose_names_long_tails_and_what_mends_them():
    X, y, X_new, f_new, _ = friedman()
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    (found,) = [finding for finding in net.diagnose(X, y) if finding.code == "long_tails"]
    assert "of 500 residuals are more than 5 robust standard deviations" in found.sentence
    mended = clone(net).set_params(**found.parameters).fit(X, y)
    assert "long_tails" not in [finding.code for finding in mended.diagnose(X, y)]
    assert mended.score(X_new, f_new) > 0.92 > 0.88 > net.score(X_new, f_new)


@pytest.mark.slow
def test_clean_noise_has_no_long_tails():
    for seed in range(8):
        X, y = bumps(80, np.random.RandomState(seed))
        net = TinyMLPRegressor(hidden_layer_sizes=(6,), random_state=seed).fit(X, y)
        assert "long_tails" not in [finding.code for finding in net.diagnose(X, y)]


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_quantiles_hold_their_share_of_new_rows(share):
    held = []
    for seed in range(4):
        rng = np.random.RandomState(seed)
        X, y = bumps(1000, rng)
        X_new, y_new = bumps(3000, rng)
        net = TinyMLPRegressor("quantile", (8,), quantile=share, random_state=seed).fit(X, y)
        held.append(np.mean(y_new <= net.predict(X_new)))
    # One fit is off by chance alone by sqrt(q (1 - q) (1 / 1000 + 1 / 3000)), 1.8% at the median.
    assert np.mean(held) == pytest.approx(share, abs=0.02)
    with pytest.raises(ValueError, match="loss='quantile'"):
        net.predict(X_new, return_std=True)


@ignore_convergence
@pytest.mark.parametrize("name", ["quantile", "gamma"])
def test_the_penalty_that_the_evidence_finds_predicts_better(name):
    rng = np.random.RandomState(0)
    (X, y), (X_new, y_new) = bumps(150, rng), bumps(1000, rng)
    if name == "gamma":
        y, y_new = np.exp(y), np.exp(y_new)
    net = TinyMLPRegressor(name, quantile=0.9, random_state=0).fit(X, y)
    fixed = clone(net).set_params(solver="lbfgs", standardize=True, max_iter=1000).fit(X, y)
    loss = LOSSES[name] if name == "gamma" else LOSSES[name].configured({"quantile": 0.9})
    of_evidence, of_fixed = (
        loss.mean(y_new[:, np.newaxis], each.predict(X_new)[:, np.newaxis], None)
        for each in (net, fixed)
    )
    assert net.solver_ == "lm" and net.n_effective_parameters_ < 100
    assert of_evidence < 0.98 * of_fixed


def test_weights_that_count_are_copies_to_the_evidence_too():
    X, mean, rng = line(n=150)
    y, counts = mean + rng.standard_t(3, 150), rng.randint(0, 3, 150)
    net = TinyMLPRegressor("student_t", (4,), random_state=0).fit(X, y, sample_weight=counts)
    copied = clone(net).fit(np.repeat(X, counts, axis=0), np.repeat(y, counts))
    assert_allclose(net.predict(X), copied.predict(X), atol=1e-4)
    assert net.n_effective_parameters_ == pytest.approx(copied.n_effective_parameters_, rel=1e-3)


@pytest.mark.parametrize("loss", ["absolute_error", "quantile"])
@ignore_convergence
def test_only_ratios_of_weights_decide_how_a_kink_is_smoothed(loss):
    X, y, rng = line(n=60)
    weight = rng.uniform(0.3, 2.0, len(y))
    predictions = [
        TinyMLPRegressor(
            loss, hidden_layer_sizes=(3,), solver="lbfgs", alpha=c * 0.1, max_iter=3, random_state=0
        )
        .fit(X, y, c * weight)
        .predict(X)
        for c in (1.0, 0.01, 50.0)
    ]
    assert_allclose(predictions[1:], [predictions[0]] * 2, rtol=1e-6)


def test_many_rows_take_the_mean_leverage():
    X, mean, rng = line(n=4000)
    y = mean + rng.standard_t(2, 4000)
    net = TinyMLPRegressor("student_t", (3,), random_state=0).fit(X, y)
    assert net.n_parameters_ * irls.LEVERAGE_ROWS < len(y)
    assert np.mean((net.predict(X) - mean) ** 2) < 0.02


def test_left_out_residuals_are_those_of_fits_without_the_row():
    # With a threshold beyond all residuals Huber's loss is the squared error, where this is exact.
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((25, 2)), rng.standard_normal((25, 1))
    loss, alpha, beta = huber(100.0), 0.5, 2.0
    network = Network(Architecture((2, 1)), ("identity",))
    objective = Objective(network, Samples.of(X, y), 0.0, loss=loss)
    J = np.column_stack([X, np.ones(25)])

    def fitted(rows):
        A = beta * J[rows].T @ J[rows] + alpha * np.eye(3)
        return np.linalg.solve(A, beta * J[rows].T @ y[rows])

    every = np.arange(25)
    theta = fitted(every).ravel()
    surrogate = irls.surrogate(objective, theta)
    assert surrogate.mean_curvature == 1.0 and surrogate.objective is objective
    assert_allclose(surrogate.errors, objective.errors(theta))
    noise = np.array([beta])
    product = Curvature(False, None, 0.0).gauss_newton(objective, theta, noise).product
    precision = product.factorised(np.full(3, alpha), noise)
    free = irls.one_minus_leverages(objective, theta, precision, noise, np.array([3.0]))
    left_out = irls.leave_one_out_residuals(objective, theta, free, surrogate.mean_curvature)
    expected = [y[k] - J[k] @ fitted(np.delete(every, k)) for k in every]
    assert_allclose(left_out, expected, rtol=1e-8)


def test_a_gamma_loss_counts_by_the_dispersion_of_pearson():
    rng = np.random.RandomState(0)
    X, mean = rng.standard_normal((200, 1)), np.full((200, 1), 3.0)
    y, loss = mean * rng.gamma(4.0, 0.25, (200, 1)), LOSSES["gamma"]
    network = Network(Architecture((1, 1)), ("exp",))
    objective = Objective(network, Samples.of(X, y), 0.0, loss=loss)
    theta = np.array([0.2, np.log(3.0)])
    f = objective.predict(theta)
    of_least_squares, errors, mean_curvature = irls.surrogate(objective, theta)
    dispersion = 2.0 * errors[0] * mean_curvature / 200
    assert dispersion == pytest.approx(np.mean((y - f) ** 2 / f**2))
    assert_allclose(of_least_squares.training.curvature, f**-2.0 / mean_curvature)


@pytest.mark.parametrize("loss", ["student_t", "huber", "absolute_error"])
def test_codes_of_missing_values_do_not_decide_a_robust_fit(loss):
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (200, 2))
    truth = np.sin(X[:, 0])
    y = np.where(np.arange(200) % 20 != 0, truth + 0.2 * rng.standard_normal(200), -9999.0)
    net = TinyMLPRegressor(loss, (4,), random_state=0).fit(X, y)
    assert np.sqrt(np.mean((net.predict(X) - truth) ** 2)) < 0.15
    assert 0.1 < net.noise_std_ < 0.4


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam"])
@pytest.mark.parametrize("loss", ["huber", "student_t", "absolute_error"])
def test_a_constant_y_has_no_scale_and_warns_of_nothing_else(loss, solver):
    X = np.linspace(0.0, 1.0, 12)[:, np.newaxis]
    shape = {"hidden_layer_sizes": (3,), "max_iter": 20, "random_state": 0}
    net = TinyMLPRegressor(loss=loss, solver=solver, **shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(X, np.zeros(12))
    assert np.isfinite(net.predict(X)).all()


def test_infinite_predictions_are_refused_with_advice_that_another_solver_does_not_help():
    X, start = np.full((1, 2), 1e4), [np.full((2, 3), 1.0), np.full((3, 1), 1.0)]
    net = TinyMLPRegressor(activation="relu", output_activation="exp", solver="lm")
    net.set_params(hidden_layer_sizes=(3,))
    with pytest.raises(ValueError, match="non-finite.*other start weights"):
        net.fit(X, [1.0], coefs_init=start)
    assert not hasattr(net, "coefs_")
