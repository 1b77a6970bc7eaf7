"""The referee: a fit that predicts unseen rows worse than kernel ridge regression is mended."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import d2_tweedie_score

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._training import calibration, fit_result, referee
from sklearn_tinymlp._training.candidate import Errors
from sklearn_tinymlp._training.kernel_ridge import JITTER, KERNELS, RIDGES, kernel_ridge

pytestmark = pytest.mark.slow


def r2(net, X, truth):
    return 1.0 - np.mean((net.predict(X) - truth) ** 2) / np.var(truth)


def wave(seed=0, n=240, noise=0.1):
    """Draw four waves, which networks with small start weights mistake for noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (n + 500, 1))
    truth = np.sin(8 * np.pi * x[:, 0])
    return x[:n], truth[:n] + noise * rng.standard_normal(n), x[n:], truth[n:]


def bowl(seed, n=200):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n + 500, 10))
    truth = np.sum(X**2, axis=1)
    return X[:n], truth[:n], X[n:], truth[n:]


def short_waves(seed=0, n=300):
    """Draw a function that kernel ridge regression learns partly, and default starts miss."""
    rng = np.random.RandomState(seed)
    X = rng.random_sample((n, 2))
    truth = np.sin(30 * X[:, 0]) + np.abs(np.sin(8 * X[:, 1]))
    return X, truth + 0.05 * rng.standard_normal(n)


def distilled(X, y, **params):
    """Return a network as it was trained on the predictions of the regression."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(referee, "restarted", lambda fit, *_: never_fitted(fit))
        net = TinyMLPRegressor(random_state=0, **params).fit(X, y)
    assert net.stop_reason_ == "distilled" and net.converged_
    return net


def never_fitted(fit):
    return referee.replace(fit, solution=fit.solution._replace(state=None))


def without_referee(patch, X, y, weight=None, **params):
    patch.setattr(fit_result, "refereed", lambda fit, *_: fit)
    net = TinyMLPRegressor(random_state=0, **params).fit(X, y, weight)
    patch.undo()
    return net


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kernel", range(len(KERNELS)), ids=lambda k: KERNELS[k].__name__)
def test_leave_one_out_errors_are_those_of_refits(monkeypatch, kernel, weighted):
    rng = np.random.default_rng(kernel)
    n = 25
    X, weight = rng.standard_normal((n, 2)), np.ones(n)
    y = np.column_stack([X[:, 0] ** 2 + np.abs(X[:, 1]) + 2 * X[:, 1], 5.0 + 9.0 * X[:, 0]])
    y += 0.3 * rng.standard_normal(y.shape)
    if weighted:
        weight = rng.uniform(0.5, 2.0, n)
    monkeypatch.setattr("sklearn_tinymlp._training.kernel_ridge.RIDGES", RIDGES[9:10])
    gram = KERNELS[kernel](X, X)
    gram[np.diag_indices(n)] += JITTER * np.trace(gram)

    def refit(column, rest):
        """Minimise the weighted squares plus ridge a' K a, with an intercept."""
        K, W = gram[np.ix_(rest, rest)], np.diag(weight[rest])
        system = np.block(
            [
                [W @ K + RIDGES[9] * np.eye(len(rest)), W.sum(1)[:, None]],
                [W.sum(1) @ K, W.sum()],
            ]
        )
        return np.linalg.solve(system, np.r_[W @ column[rest], weight[rest] @ column[rest]])

    regressions = kernel_ridge(X, y, weight, n, (KERNELS[kernel],))
    for column, regression in zip(y.T, regressions, strict=True):
        assert regression.kernels == (KERNELS[kernel],)
        expected = []
        for i in range(n):
            rest = np.flatnonzero(np.arange(n) != i)
            found = refit(column, rest)
            expected.append(column[i] - KERNELS[kernel](X[[i]], X[rest]) @ found[:-1] - found[-1])
        assert_allclose(regression.errors, np.ravel(expected), rtol=1e-5, atol=1e-5)
        found = refit(column, np.arange(n))
        assert_allclose(
            regression.predict(X), KERNELS[kernel](X, X) @ found[:-1] + found[-1], atol=1e-5
        )


def test_a_regression_that_finds_nothing_is_the_mean():
    rng = np.random.default_rng(0)
    X, y, weight = rng.standard_normal((60, 3)), rng.standard_normal(60), rng.uniform(0.5, 2, 60)
    (regression,) = kernel_ridge(X, y[:, None], weight, 60)
    assert_allclose(regression.predict(X), np.average(y, weights=weight))
    left_out = [np.average(np.delete(y, i), weights=np.delete(weight, i)) for i in range(60)]
    assert_allclose(regression.errors, y - left_out)


@pytest.mark.parametrize("regression", [0.0, 0.5, 1.0, 1.05])
def test_a_network_as_good_as_the_regression_is_not_beaten(regression):
    # Leave-one-out errors of the mean of y exceed the variance.
    level = np.array([regression])
    assert not Errors(level, level).is_beaten.any()
    assert Errors(level + 0.6, level).is_beaten.all()


@pytest.mark.parametrize("seed", [10, 11, 27])
def test_noise_of_a_few_rows_with_long_tails_is_not_followed(seed):
    # Two of 14 to 70 rows left out decided that the network was better, by one standard error.
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((70, 19)), 1.0 + rng.pareto(1.6, 70)
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    new = net.predict(rng.standard_normal((500, 19)))
    assert np.std(new) < 0.5 * np.std(y)


@pytest.mark.parametrize("seed", [0, 2, 11])
def test_a_line_in_a_few_counts_is_found(monkeypatch, seed):
    # The share of the deviance explained was -0.8, -1.7 and -2.9.
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((650, 8))
    mean = np.exp(0.3 * (X[:, 0] + X[:, 1] - X[:, 2]))
    y, new = rng.poisson(mean[:150]), mean[150:]

    def explained(net):
        return d2_tweedie_score(new, net.predict(X[150:]), power=1)

    net = TinyMLPRegressor(loss="poisson", random_state=0).fit(X[:150], y)
    alone = without_referee(monkeypatch, X[:150], y, loss="poisson")
    assert explained(net) > 0.4 and explained(alone) < -0.5


def test_a_wave_that_was_taken_for_noise_is_found(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (1300, 2))
    truth = np.sin(30 * X[:, 0]) + np.abs(np.sin(8 * X[:, 1]))
    y = truth[:300] + 0.1 * rng.standard_normal(300)
    net = TinyMLPRegressor(random_state=0).fit(X[:300], y)
    assert net.converged_ and r2(net, X[300:], truth[300:]) > 0.97
    assert r2(without_referee(monkeypatch, X[:300], y), X[300:], truth[300:]) < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_bowl_in_ten_dimensions_is_found(seed):
    X, y, new, truth = bowl(seed)
    assert r2(TinyMLPRegressor(random_state=seed).fit(X, y), new, truth) > 0.9


def test_weights_are_copies_of_rows_and_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    X, y, new, _ = bowl(0, n=80)
    y = y + rng.standard_normal(80)
    weight = rng.integers(1, 4, 80)
    weighted = TinyMLPRegressor(random_state=0).fit(X, y, weight)
    assert weighted.stop_reason_ == "distilled"
    rows = rng.permutation(np.repeat(np.arange(80), weight))
    repeated = TinyMLPRegressor(random_state=0).fit(X[rows], y[rows])
    found, expected = (net.predict(new, return_std=True) for net in (weighted, repeated))
    assert_allclose(found, expected, rtol=1e-6, atol=1e-8)


def amounts(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((3000, 5))
    truth = np.exp(0.5 * X[:, 0] + 0.5 * X[:, 1] * X[:, 2])
    y = truth[:1000] * np.exp(1.5 * rng.standard_normal(1000) - 1.125)
    return X[:1000], y, X[1000:], truth[1000:]


def test_amounts_with_long_tails_are_predicted_no_worse_than_by_their_mean(monkeypatch):
    worst, alone = np.inf, np.inf
    for seed in range(3):
        X, y, new, truth = amounts(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = TinyMLPRegressor(random_state=0).fit(X, y)
            worst = min(worst, r2(net, new, truth))
            alone = min(alone, r2(without_referee(monkeypatch, X, y), new, truth))
    assert alone < -0.5 and worst > -0.1


def test_a_healthy_fit_is_returned_to_the_bit(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (150, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(150)
    for weight in (None, rng.uniform(0.5, 1.5, 150), rng.integers(0, 3, 150)):
        net = TinyMLPRegressor(random_state=0).fit(X, y, weight)
        alone = without_referee(monkeypatch, X, y, weight)
        for found, expected in zip(net.coefs_, alone.coefs_, strict=True):
            assert_array_equal(found, expected)
        assert net.stop_reason_ == alone.stop_reason_ == "evidence"
        assert_array_equal(net.predict(X), alone.predict(X))
        std = [model.predict(X, return_std=True)[1] for model in (net, alone)]
        assert_allclose(*std, rtol=1e-6)  # sums over rows in another order


def test_what_the_user_has_chosen_is_not_judged(monkeypatch):
    X, y, *_ = wave(n=60)
    monkeypatch.setattr(referee, "Referee", None)  # a call would be a TypeError
    for params in ({"alpha": "one"}, {"early_stopping": True}, {"solver": "lbfgs", "alpha": 1.0}):
        TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0, **params).fit(X, y)
    TinyMLPRegressor(random_state=0).fit(X[:19], y[:19])
    with pytest.raises(TypeError):
        TinyMLPRegressor(random_state=0).fit(X, y)


@pytest.mark.parametrize("seed", range(6))
def test_noise_raises_no_warning_and_is_refitted_only_where_it_was_followed(monkeypatch, seed):
    rng = np.random.default_rng(100 + seed)
    X, y = rng.standard_normal((120, 3)), rng.standard_normal(120)
    alone = without_referee(monkeypatch, X, y)
    refits, distilled = [], referee.distilled
    monkeypatch.setattr(referee, "distilled", lambda *a: refits.append(1) or distilled(*a))
    net = TinyMLPRegressor(random_state=0).fit(X, y)  # a warning is an error
    assert net.converged_
    assert bool(refits) <= (alone.score(X, y) > 0.05)
    if refits:
        assert net.score(X, y) < alone.score(X, y)


@pytest.mark.parametrize("where", ["kernel_ridge", "distilled", "restarted"])
def test_ctrl_c_while_a_fit_is_judged_keeps_it(monkeypatch, where):
    X, y = short_waves()
    alone = without_referee(monkeypatch, X, y)
    calls = []

    def pressed(*_):
        calls.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(referee, where, pressed)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        net = TinyMLPRegressor(random_state=0).fit(X, y)
    assert calls and net.stop_reason_ == alone.stop_reason_
    assert_array_equal(net.predict(X), alone.predict(X))


@pytest.mark.parametrize("case", ["missed", "exact", "long tails"])
def test_the_evidence_is_maximised_again_only_where_signal_was_missed(monkeypatch, case):
    rng, calls = np.random.default_rng(1), []
    if case == "missed":
        X, y = short_waves()
    elif case == "exact":
        X, y, *_ = bowl(0)
    else:
        X = rng.standard_normal((400, 5))
        y = np.exp(0.5 * X[:, 0] + 0.5 * X[:, 1] * X[:, 2] + 1.2 * rng.standard_normal(400))
    monkeypatch.setattr(referee, "restarted", lambda fit, *_: calls.append(1) or never_fitted(fit))
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    assert net.stop_reason_ == "distilled"
    assert len(calls) == (case == "missed")


def test_intervals_are_calibrated_by_the_refits_of_the_referee(monkeypatch):
    rng, calls, refit = np.random.default_rng(0), [], calibration.refit
    X = rng.uniform(-1, 1, (100, 4))
    y = np.sin(3 * X[:, 0] * X[:, 1]) + X[:, 2] ** 2 + 0.02 * rng.standard_normal(100)
    monkeypatch.setattr(calibration, "refit", lambda *a: calls.append(1) or refit(*a))
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    assert net.n_effective_parameters_ > 100 * calibration.MOST_DETERMINED
    assert 1 <= len(calls) <= referee.MOST_SPLITS
    given = net._posterior.widening
    monkeypatch.setattr(fit_result, "refereed", lambda fit, *_: fit)
    calls.clear()
    alone = TinyMLPRegressor(random_state=0).fit(X, y)
    # It refits by itself, on fewer splits of the same rows.
    assert len(calls) == 1 and alone._posterior.widening > 1.0 and given > 1.0


def test_noise_and_intervals_of_a_distilled_network():
    noises, held = [], []
    for seed in range(3):
        X, y, new, truth = bowl(seed)
        rng = np.random.default_rng(seed)
        net = distilled(X, y + 2.0 * rng.standard_normal(len(y)))
        y_new = truth + 2.0 * rng.standard_normal(len(truth))
        noises.append(net.noise_std_)
        lower, upper = net.predict_interval(new, 0.9).T
        held.append(np.mean((lower <= y_new) & (y_new <= upper)))
        assert np.mean(upper - lower) < 2.5 * y_new.std()
    assert 1.6 < np.mean(noises) < 2.4
    assert 0.9 < np.mean(held) <= 0.99


def test_a_distilled_network_is_pickled_and_its_parameters_are_read_and_set():
    X, y, new, _ = bowl(0)
    net = distilled(X, y)
    loaded = pickle.loads(pickle.dumps(net))
    assert loaded.stop_reason_ == "distilled"
    for one, other in zip(
        loaded.predict(new, return_std=True), net.predict(new, return_std=True), strict=True
    ):
        assert_array_equal(one, other)
    assert loaded.get_params() == net.get_params()
    assert not hasattr(clone(net), "coefs_")
    predicted = net.predict(new)
    assert_array_equal(net.set_params(max_iter=7).predict(new), predicted)


def test_an_output_that_fails_is_mended_beside_one_that_does_not():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (600, 2))
    truth = np.column_stack([np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 2, 10 * X[:, 0]])
    y = truth + [0.3, 0.0] * rng.standard_normal((600, 2))
    net = TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0).fit(X[:100], y[:100])
    alone = TinyMLPRegressor(hidden_layer_sizes=(8,), alpha="one", random_state=0)
    alone.fit(X[:100], y[:100])
    errors = np.sqrt(np.mean((net.predict(X[100:]) - truth[100:]) ** 2, axis=0))
    before = np.sqrt(np.mean((alone.predict(X[100:]) - truth[100:]) ** 2, axis=0))
    assert before[0] > 0.4 and errors[0] < 0.3
    assert errors[1] < 0.01 * truth[:, 1].std()
