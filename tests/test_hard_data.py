"""What the default does where one start and one penalty fail; `test_hard_cases.py` has the R²."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._bayes.groups import GROUPINGS, PRIOR_RANGE, group_names, occam_factor
from sklearn_tinymlp._data.data import Data
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._relevance import pilots
from sklearn_tinymlp._relevance.random_features import random_features
from sklearn_tinymlp._relevance.screening import residual_inputs
from sklearn_tinymlp._solvers import evidence_restarts as by_evidence
from sklearn_tinymlp._solvers import levenberg_marquardt as lm
from sklearn_tinymlp._training import candidate, referee

pytestmark = pytest.mark.slow


def product_among_idle_inputs(rng):
    X, new = rng.standard_normal((300, 20)), rng.standard_normal((500, 20))
    truth = [rows[:, 0] * rows[:, 1] + rows[:, 2] for rows in (X, new)]
    return X, truth[0] + 0.1 * rng.standard_normal(300), new, truth[1]


def test_idle_inputs_are_left_out():
    X, y, *_ = product_among_idle_inputs(np.random.default_rng(0))
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    idle = np.isinf(net.alpha_[:20])
    assert idle[3:].sum() >= 12 and not idle[:3].any()
    assert not net.coefs_[0][idle].any() and net.coefs_[0][~idle].all()
    assert net.alpha_groups_[:2] == ["coefs of x0", "coefs of x1"]
    assert len(net.alpha_groups_) == len(net.alpha_)
    assert net.n_parameters_ == 21 * 16 + 17 * 16 + 17
    again = TinyMLPRegressor(random_state=0).fit(X, y)
    np.testing.assert_array_equal(again.coefs_[0], net.coefs_[0])


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_a_grouping_that_was_asked_for_is_taken(grouping):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 3))
    y = np.sin(X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(80)
    net = TinyMLPRegressor(hidden_layer_sizes=(4, 3), solver="lm", alpha=grouping).fit(X, y)
    n_groups = {"one": 2, "layer": 5, "input": 7}[grouping]
    assert net.alpha_.shape == (n_groups,) and np.isfinite(net.alpha_).all()
    assert len(net.alpha_groups_) == n_groups
    assert net.score(X, y) > 0.9


def test_groups_hold_what_their_names_say():
    architecture = Architecture((2, 3, 1))
    coefs, intercepts = architecture.unpack(GROUPINGS["input"](architecture))
    assert group_names(architecture, "input", ["a", "b"]) == [
        "coefs of a",
        "coefs of b",
        "coefs of layer 2",
        "hidden intercepts",
        "output intercepts",
    ]
    np.testing.assert_array_equal(coefs[0], [[0] * 3, [1] * 3])
    np.testing.assert_array_equal(coefs[1], 2)
    np.testing.assert_array_equal(intercepts[0], 3)
    np.testing.assert_array_equal(intercepts[1], 4)


def test_the_charge_is_the_integral_over_ln_alpha():
    # The evidence around its maximum as a function of t = ln alpha, prior density 1 / PRIOR_RANGE.
    gamma, t = 5.0, np.linspace(-20, 20, 100_001)
    density = np.exp(-0.5 * t**2 * gamma / 2) / PRIOR_RANGE
    np.testing.assert_allclose(
        occam_factor([gamma]), -np.log(np.sum(density) * (t[1] - t[0])), rtol=1e-6
    )
    assert occam_factor([0.0, 1e-9]) == 0.0
    np.testing.assert_allclose(occam_factor([5.0, 2.0]), occam_factor([5.0]) + occam_factor([2.0]))


def start_and_error(X, y, weight=None):
    architecture = Architecture((X.shape[1], 8, 1))
    state = np.random.RandomState(0)
    return random_features(architecture, ("tanh", "identity"), Data(X, y, weight), state)


def test_random_features_know_rows_by_what_they_are():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.sin(3 * X[:, :1]) + 0.1 * rng.standard_normal((60, 1))
    start = start_and_error(X, y)
    order, count = rng.permutation(60), rng.integers(0, 3, 60)
    np.testing.assert_allclose(start_and_error(X[order], y[order]).theta, start.theta, rtol=1e-6)
    weighted = start_and_error(X, y, count.astype(float))
    repeated = start_and_error(np.repeat(X, count, 0), np.repeat(y, count, 0))
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=1e-6)
    np.testing.assert_allclose(weighted.explained, repeated.explained, rtol=1e-9)


def test_random_features_say_what_they_explain_of_new_rows():
    rng = np.random.default_rng(0)
    X, new = rng.standard_normal((400, 1)), rng.standard_normal((400, 1))
    y = np.sin(3 * X)
    start = start_and_error(X, y)
    coefs, intercepts = Architecture((1, 8, 1)).unpack(start.theta)
    predicted = np.tanh(new @ coefs[0] + intercepts[0]) @ coefs[1] + intercepts[1]
    explained = 1 - np.mean((predicted - np.sin(3 * new)) ** 2) / np.mean(y**2)
    assert abs(explained - start.explained) < 0.1
    assert np.isnan(start_and_error(X[:10], y[:10]).explained)


@pytest.mark.parametrize("seed", range(8))
def test_noise_is_called_noise_without_a_warning(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((100, 3)), rng.standard_normal(100)
    net = TinyMLPRegressor(random_state=seed).fit(X, y)  # a warning is an error
    assert net.converged_ and net.score(X, y) < 0.3


def test_a_network_that_has_collapsed_is_told_of(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 25, (220, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(220)
    search = lm.search_by_evidence

    def too_straight(objective, theta, monitor, **options):
        return search(objective, 1e-3 * theta, monitor, **options)

    monkeypatch.setattr(lm, "search_by_evidence", too_straight)
    monkeypatch.setattr(by_evidence, "FURTHER", 1)
    net = TinyMLPRegressor(hidden_layer_sizes=(60,), random_state=0)
    monkeypatch.setattr(referee, "distilled", lambda fit, *_: fit)
    monkeypatch.setattr(referee, "restarted", lambda fit, *_: fit)
    with pytest.warns(
        ConvergenceWarning,
        match="Kernel ridge regression predicts rows that were not trained on better: in "
        r"leave-one-out validation its R² is 0\.9\d, that of the network 0\.\d\d\.",
    ):
        net.fit(X, y)
    assert not net.converged_
    monkeypatch.setattr(candidate, "COLLAPSED_SHARE", np.inf)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, y)
    assert net.converged_


def test_ctrl_c_while_inputs_are_told_apart_ends_the_fit(monkeypatch):
    X, y, *_ = product_among_idle_inputs(np.random.default_rng(0))
    search, calls = lm.search_by_evidence, []

    def pressed(objective, theta, monitor, **options):
        calls.append(1)
        monitor.interrupted.set()
        return search(objective, theta, monitor, **options)

    monkeypatch.setattr(pilots, "search_by_evidence", pressed)
    with pytest.warns(UserWarning, match="interrupted by user"):
        net = TinyMLPRegressor(random_state=0).fit(X, y)
    assert calls and net.stop_reason_ == "interrupted" and not net.converged_
    assert np.isfinite(net.predict(X)).all()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_only_ratios_of_weights_count(scale):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (80, 1))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(80)
    weight = rng.uniform(0.5, 1.5, 80)
    one, other = (
        TinyMLPRegressor(random_state=0).fit(X, y, sample_weight=factor * weight)
        for factor in (1.0, scale)
    )
    np.testing.assert_allclose(other.predict(X), one.predict(X), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(other.noise_std_, one.noise_std_, rtol=1e-5)


@pytest.mark.parametrize("seed", range(10))
def test_a_product_that_is_all_that_is_left_is_found(seed):
    # With heteroscedastic standard errors its t is sqrt(n) / 3 only.
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((600, 45))
    product = X[:, :1] * X[:, 1:2]
    found = residual_inputs(Data(X, product, None), product + 0.3 * X[:, 2:3], 0.1)
    assert sorted(found) == [0, 1]


def test_an_effect_of_a_small_share_of_the_residuals_is_left_to_the_network():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2000, 5))
    residuals = X[:, :1] * X[:, 1:2] + 4.0 * rng.standard_normal((2000, 1))
    data = Data(X, residuals, None)
    assert sorted(residual_inputs(data, residuals)) == [0, 1]
    assert not len(residual_inputs(data, residuals, 0.1))
