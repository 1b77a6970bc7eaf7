import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import BayesianRidge

from sklearn_tinymlp import TinyMLPRegressor


def fit(X, y, **params):
    params = {"solver": "lm", "random_state": 0, **params}
    return TinyMLPRegressor(**params).fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("hidden_layer_sizes", [(20,), (3,)])
def test_three_points_are_found_from_every_start(hidden_layer_sizes):
    for seed in range(50):
        net = fit(
            [[1], [2], [3]],
            [5, 4, 3],
            hidden_layer_sizes=hidden_layer_sizes,
            random_state=seed,
        )
        np.testing.assert_allclose(net.predict([[1], [2], [3]]), [5, 4, 3], atol=0.05)


def test_linear_network_agrees_with_bayesian_ridge():
    X, y = load_diabetes(return_X_y=True)
    net = fit(X, y, hidden_layer_sizes=(), tol=1e-9, max_iter=1000)
    ridge = BayesianRidge(
        tol=1e-12, max_iter=10_000, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0
    ).fit((X - X.mean(0)) / X.std(0), y)
    mean, std = net.predict(X[:50], return_std=True)
    ridge_mean, ridge_std = ridge.predict(((X - X.mean(0)) / X.std(0))[:50], return_std=True)
    np.testing.assert_allclose(mean, ridge_mean, rtol=2e-3)
    np.testing.assert_allclose(std, ridge_std, rtol=5e-3)
    assert net.noise_std_ == pytest.approx(ridge.alpha_**-0.5, rel=5e-3)


def test_a_weight_of_two_is_the_row_twice():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(40)
    weight = rng.integers(1, 3, 40)
    weighted = TinyMLPRegressor(solver="lm", random_state=0, hidden_layer_sizes=(5,))
    weighted.fit(X, y, sample_weight=weight)
    repeated = fit(np.repeat(X, weight, 0), np.repeat(y, weight), hidden_layer_sizes=(5,))
    assert weighted.log_evidence_ == pytest.approx(repeated.log_evidence_, rel=1e-6)
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_rows_and_outputs_may_be_permuted():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    Y = np.column_stack([np.sin(X[:, 0]), X[:, 1] ** 2, X[:, 0] * X[:, 1]])
    Y += 0.1 * rng.standard_normal(Y.shape)
    net = fit(X, Y, hidden_layer_sizes=(6,))
    order = rng.permutation(60)
    again = fit(X[order], Y[order], hidden_layer_sizes=(6,))
    np.testing.assert_allclose(again.predict(X), net.predict(X), rtol=1e-3, atol=1e-4)
    _, std = net.predict(X, return_std=True)
    assert std.shape == Y.shape
    assert np.shape(net.noise_std_) == (3,)


@pytest.mark.parametrize("factor", [1e-9, 1e6, 1e9])
def test_units_do_not_matter(factor):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60)
    plain = fit(X, y, hidden_layer_sizes=(5,))
    scaled = fit(X * factor, y * factor, hidden_layer_sizes=(5,))
    np.testing.assert_allclose(
        scaled.predict(X * factor) / factor, plain.predict(X), rtol=1e-6, atol=1e-8
    )
    assert scaled.noise_std_ / factor == pytest.approx(plain.noise_std_, rel=1e-5)


def one_hot(n):
    return np.eye(3)[np.arange(n) % 3]


RNG = np.random.default_rng(0)
LINE = np.linspace(-1, 1, 30)[:, None]
BREAKERS = {
    "noise-free": (LINE, np.sin(3 * LINE[:, 0])),
    "constant y": (LINE, np.full(30, 7.0)),
    "constant column": (np.c_[LINE, np.ones(30)], np.sin(3 * LINE[:, 0])),
    "duplicated column": (np.c_[LINE, LINE], np.sin(3 * LINE[:, 0])),
    "fewer rows than parameters": (RNG.standard_normal((10, 5)), RNG.standard_normal(10)),
    "two rows": (np.array([[0.0], [1.0]]), np.array([1.0, 3.0])),
    "outlier": (LINE, np.where(np.arange(30) == 7, 100.0, LINE[:, 0])),
    "one-hot": (one_hot(30), one_hot(30) @ [1.0, 2.0, 5.0]),
    "small y": (LINE, 1e-9 * np.sin(3 * LINE[:, 0])),
    "large y": (LINE, 1e9 * np.sin(3 * LINE[:, 0])),
    "large offset": (LINE + 1e6, 1e6 + np.sin(3 * LINE[:, 0])),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKERS)
def test_data_that_break_naive_versions(name):
    X, y = BREAKERS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = fit(X, y)
    mean, std = net.predict(X, return_std=True)
    assert np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()
    assert np.isfinite([net.log_evidence_, net.n_effective_parameters_, net.noise_std_]).all()
    assert 0 <= net.n_effective_parameters_ <= net.n_parameters_
    if name in ("noise-free", "constant column", "duplicated column", "one-hot"):
        assert net.score(X, y) > 0.999
    if name in ("small y", "large y"):
        assert net.score(X, y) > 0.999
    if name == "constant y":
        np.testing.assert_allclose(mean, 7.0, atol=1e-4)


def test_intervals_cover_what_they_say():
    inside, total = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-2, 2, (100, 1))
        y = np.sin(2 * X[:, 0]) + 0.2 * rng.standard_normal(100)
        X_new = rng.uniform(-2, 2, (100, 1))
        y_new = np.sin(2 * X_new[:, 0]) + 0.2 * rng.standard_normal(100)
        mean, std = fit(X, y, hidden_layer_sizes=(10,)).predict(X_new, return_std=True)
        inside += (np.abs(y_new - mean) < 1.96 * std).sum()
        total += 100
    # Fits make the 2,000 trials dependent, so the bounds are those of a fifth as many.
    low, high = stats.binom.ppf([0.001, 0.999], total // 5, 0.95) / (total // 5)
    assert low <= inside / total <= high


@pytest.mark.slow
def test_sines_are_recovered():
    X = np.linspace(-3, 3, 10)[:, None]
    grid = np.linspace(-3, 3, 200)[:, None]
    good, noise_right = 0, 0
    for seed in range(25):
        net = fit(X, np.sin(X[:, 0]), random_state=seed)
        good += np.sqrt(np.mean((net.predict(grid) - np.sin(grid[:, 0])) ** 2)) < 0.1
    assert good >= 23
    rng = np.random.RandomState(0)
    X = np.linspace(-3, 3, 30)[:, None]
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(30)
    good = 0
    for seed in range(25):
        net = fit(X, y, random_state=seed)
        good += np.sqrt(np.mean((net.predict(grid) - np.sin(grid[:, 0])) ** 2)) < 0.1
        noise_right += abs(net.noise_std_ - 0.1) < 0.03
    assert good >= 23
    assert noise_right >= 23


def test_samples_of_the_posterior_have_its_mean_and_spread():
    X = np.linspace(-2, 2, 40)[:, None]
    y = np.sin(X[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(40)
    net = fit(X, y)
    mean, std = net.predict(X, return_std=True)
    samples = net.sample_y(X, n_samples=4000, random_state=1)
    assert samples.shape == (40, 4000)
    np.testing.assert_allclose(samples.mean(axis=1), mean, atol=0.02)
    np.testing.assert_allclose(samples.std(axis=1), std, rtol=0.1)
    Y = np.c_[y, y]
    assert fit(X, Y).sample_y(X, 5).shape == (40, 2, 5)


def test_the_band_widens_where_data_are_missing():
    X = np.r_[np.linspace(-3, -1, 30), np.linspace(1, 3, 30)][:, None]
    y = np.sin(2 * X[:, 0]) + 0.1 * np.random.default_rng(0).standard_normal(60)
    _, std = fit(X, y).predict([[-2.0], [0.0], [2.0]], return_std=True)
    assert std[1] > 2 * max(std[0], std[2])


def test_without_the_evidence_a_standard_deviation_is_refused():
    net = TinyMLPRegressor(solver="lm", alpha=0.1, random_state=0).fit([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(ValueError, match="alpha='auto'"):
        net.predict([[1.0]], return_std=True)
    with pytest.raises(ValueError, match="alpha='auto'"):
        net.sample_y([[1.0]])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_training_ends_where_the_evidence_has_stopped_to_rise(seed):
    X, y = make_friedman1(200, noise=1.0, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = fit(X, y, random_state=seed)
    assert net.stop_reason_ == "evidence"
    found = net.history_["log_evidence"]
    best = np.fmax.accumulate(found)
    rises = best[20:] - best[:-20]
    assert rises[-1] <= 1.0
    assert not (rises[:-1] <= 1.0).any()
    assert net.log_evidence_ == pytest.approx(best[-1] - 200 * np.log(y.std()), rel=1e-12)


def test_at_max_iter_a_rise_too_small_to_matter_is_forgiven():
    X, y = make_friedman1(1000, noise=1.0, random_state=3)
    params = {"hidden_layer_sizes": (10,), "max_iter": 1000}
    best = np.fmax.accumulate(fit(X, y, **params).history_["log_evidence"])
    rises = best[20:] - best[:-20]
    small = 20 + 1 + np.flatnonzero((rises > 1.0) & (rises <= 0.01 * 1000))[0]
    large = 20 + 1 + np.flatnonzero(rises > 0.01 * 1000)[-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fit(X, y, **{**params, "max_iter": small}).converged_
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        assert not fit(X, y, **{**params, "max_iter": large}).converged_


@pytest.mark.parametrize(("bias", "n_groups"), [(True, 2), (False, 1)])
def test_one_precision_for_all_weights_and_one_for_the_last_intercepts(bias, n_groups):
    X, y = make_friedman1(60, random_state=0)
    net = fit(X, y, alpha="one", bias=bias, hidden_layer_sizes=(4, 3))
    assert net.alpha_.shape == (n_groups,)


def without_hidden_layers(n, noise, **params):
    """A linear fit, whose posterior and whose fits without a row have closed forms."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3))
    y = X @ [1.0, -2.0, 0.5] + noise(rng, n)
    net = fit(X, y, hidden_layer_sizes=(), alpha="one", **params)
    Z = np.c_[(X - X.mean(0)) / X.std(0), np.ones(n)]
    beta = (y.std() / net.noise_std_) ** 2
    penalty = np.diag(np.r_[np.full(3, net.alpha_[0]), net.alpha_[1]])
    return net, X, Z, (y - y.mean()) / y.std(), beta, penalty


def long_tailed(rng, n):
    return rng.standard_t(2, n)


def test_the_band_is_widened_to_what_leaving_out_a_row_shows():
    net, X, Z, t, beta, penalty = without_hidden_layers(39, long_tailed)
    scores = []
    for i in range(39):
        rest = np.arange(39) != i
        A = beta * Z[rest].T @ Z[rest] + penalty
        residual = t[i] - Z[i] @ np.linalg.solve(A, beta * Z[rest].T @ t[rest])
        variance = Z[i] @ np.linalg.solve(A, Z[i])
        scores.append(np.sqrt(beta * max(0, (residual / 1.959964) ** 2 - variance)))
    widening = np.sort(scores)[37]  # 38 of 40 are 95%
    assert widening > 1.05
    variance = np.einsum("ij,ji->i", Z, np.linalg.solve(beta * Z.T @ Z + penalty, Z.T))
    _, std = net.predict(X, return_std=True)
    expected = net.noise_std_ * np.sqrt(widening**2 + beta * variance)
    np.testing.assert_allclose(std, expected, rtol=1e-4)
    draws = net.sample_y(X, 4000, random_state=0).std(axis=1)
    np.testing.assert_allclose(draws, std, rtol=0.1)


@pytest.mark.parametrize(
    ("n", "noise"),
    [(18, long_tailed), (200, lambda rng, n: rng.uniform(-1, 1, n))],
    ids=["too few rows to tell", "short tails"],
)
def test_the_band_is_left_alone(n, noise):
    net, X, Z, _, beta, penalty = without_hidden_layers(n, noise)
    variance = 1 / beta + np.einsum("ij,ji->i", Z, np.linalg.solve(beta * Z.T @ Z + penalty, Z.T))
    _, std = net.predict(X, return_std=True)
    np.testing.assert_allclose(std, net.noise_std_ * np.sqrt(beta * variance), rtol=1e-6)


def test_weights_count_in_the_width_of_the_band():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((40, 2))
    y = np.sin(X[:, 0]) + 0.1 * long_tailed(rng, 40)
    weight = rng.integers(0, 3, 40)
    weighted = TinyMLPRegressor(solver="lm", random_state=0, hidden_layer_sizes=(3,))
    weighted.fit(X, y, sample_weight=weight)
    repeated = fit(np.repeat(X, weight, 0), np.repeat(y, weight), hidden_layer_sizes=(3,))
    _, std = weighted.predict(X, return_std=True)
    assert std.min() > 1.01 * weighted.noise_std_
    np.testing.assert_allclose(std, repeated.predict(X, return_std=True)[1], rtol=1e-3)


def test_intervals_hold_with_noise_of_unequal_size():
    inside = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-2, 2, (600, 1))
        y = np.sin(2 * X[:, 0]) + np.where(X[:, 0] > 1.2, 0.6, 0.1) * rng.standard_normal(600)
        net = fit(X[:300], y[:300], hidden_layer_sizes=(10,))
        mean, std = net.predict(X[300:], return_std=True)
        inside.append(np.mean(np.abs(y[300:] - mean) < 1.96 * std))
    assert 0.93 <= np.mean(inside) <= 0.97


def test_history_holds_the_alpha_that_each_evidence_belongs_to():
    X, y = make_friedman1(150, random_state=0)
    net = TinyMLPRegressor(hidden_layer_sizes=(5,), random_state=0).fit(X, y)
    history = net.history_
    best = np.nanargmax(history["log_evidence"])
    assert history["alpha"][best] == net.alpha_[0]
    assert (history["alpha"] > 0).all() and len(set(history["alpha"])) > 10
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fixed = TinyMLPRegressor(solver="lm", alpha=0.1, max_iter=5, random_state=0).fit(X, y)
    assert "alpha" not in fixed.history_


def test_where_the_target_was_met_the_weights_that_met_it_are_kept():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 3))
    y = np.sin(2 * X[:, 0]) + 0.5 * rng.standard_normal(60)
    for early_stopping in (False, True):
        for loss_tol in (0.1, 0.0636, 0.05):
            net = TinyMLPRegressor(random_state=0, loss_tol=loss_tol, early_stopping=early_stopping)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                net.fit(X, y)
            if net.stop_reason_ == "loss_tol":
                assert net.loss_ <= loss_tol
                assert net.loss_ == net.loss_curve_[-1]
                assert net.converged_
    net = TinyMLPRegressor(random_state=0, loss_tol=0.1).fit(X, y)
    assert net.loss_ == pytest.approx(0.5 * np.mean((net.predict(X) - y) ** 2), rel=1e-9)


def test_ctrl_c_in_the_second_beginning_is_reported(monkeypatch):
    from sklearn_tinymlp._solvers import levenberg_marquardt as lm

    solve, calls = lm.solve, []

    def interrupted_the_second_time(*args, **options):
        calls.append(options)
        solution = solve(*args, **options)
        return solution._replace(reason=lm.StopReason.INTERRUPTED) if len(calls) == 2 else solution

    monkeypatch.setattr(lm, "solve", interrupted_the_second_time)
    X = np.linspace(-2, 2, 30)[:, None]
    with pytest.warns(UserWarning, match="interrupted"):
        net = TinyMLPRegressor(random_state=0).fit(X, np.sin(2 * X[:, 0]))
    assert len(calls) == 2
    assert net.stop_reason_ == "interrupted"
    assert net.score(X, np.sin(2 * X[:, 0])) > 0.99


def test_many_parameters_of_few_rows_need_no_large_matrix():
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((10, 20)), rng.standard_normal(10)
    net = TinyMLPRegressor(solver="lm", hidden_layer_sizes=(2000,), max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, y)
    assert net.n_parameters_ == 44_001
    _, std = net.predict(X, return_std=True)
    assert (std > 0).all()
    assert net._posterior.precision.lower.shape == (10, 10)


def test_the_band_of_many_outputs_is_computed_in_small_blocks():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((70, 3))
    net = TinyMLPRegressor(hidden_layer_sizes=(1,), max_iter=3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X, rng.standard_normal((70, 60)))
    _, std = net.predict(rng.standard_normal((3000, 3)), return_std=True)
    assert std.shape == (3000, 60)
    assert (std > 0).all()


def test_the_loss_with_a_fixed_penalty_falls_in_any_unit_of_y():
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 3))
    y = np.sin(X[:, 0])
    curves = []
    for factor in (1e-3, 1.0, 1e3):
        net = fit(X, factor * y, alpha=1.0, hidden_layer_sizes=(20,))
        curve = np.array(net.loss_curve_)
        assert (np.diff(curve) <= 1e-12 * curve[:-1]).all()
        curves.append(curve / factor**2)
    for curve in curves[::2]:
        np.testing.assert_allclose(curve[:10], curves[1][:10], rtol=1e-6)
        np.testing.assert_allclose(curve[-1], curves[1][-1], rtol=1e-4)


@pytest.mark.parametrize("factor", [1e-6, 1e-3, 1.0, 1e3])
def test_targets_that_are_not_standardised_may_have_any_unit(factor):
    rng = np.random.RandomState(0)
    X = rng.standard_normal((60, 3))
    y = np.exp(np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60))
    net = fit(X, factor * y, output_activation="exp")
    assert net.score(X, factor * y) > 0.95
    assert net.noise_std_ < 0.3 * factor * y.std()


@pytest.mark.parametrize("solver", ["auto", "lm"])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 7.3, 1e3, 1e6])
def test_of_weights_that_are_no_counts_only_the_ratios_matter(scale, solver):
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (80, 1))
    y = np.sin(X.ravel()) + 0.1 * rng.standard_normal(80)
    weight = rng.uniform(0.5, 1.5, 80)
    weight[:5] = 0.0
    net = TinyMLPRegressor(solver=solver, random_state=0)
    one, other = (clone(net).fit(X, y, sample_weight=w) for w in (weight, scale * weight))
    assert_allclose(one.predict(X), other.predict(X), rtol=1e-6)
    assert_allclose(*(n.predict(X, return_std=True)[1] for n in (one, other)), rtol=1e-4)
    assert one.noise_std_ == pytest.approx(0.1, rel=0.3)


def test_weights_that_are_counts_repeat_their_rows():
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 6, (60, 1))
    y = np.sin(X.ravel()) + 0.1 * rng.standard_normal(60)
    count = rng.integers(0, 4, 60)
    net = TinyMLPRegressor(random_state=0)
    weighted = clone(net).fit(X, y, sample_weight=count.astype(float))
    repeated = clone(net).fit(np.repeat(X, count, axis=0), np.repeat(y, count))
    assert weighted.noise_std_ == pytest.approx(repeated.noise_std_, rel=1e-3)
    assert weighted.log_evidence_ == pytest.approx(repeated.log_evidence_, abs=0.5)


def test_rows_without_weight_are_not_seen():
    rng = np.random.RandomState(0)
    X = rng.uniform(-2, 2, (100, 2))
    y, weight = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(100), np.ones(100)
    far = np.concatenate([X, [[1000.0, 1000.0]]])
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0)
    alone = clone(net).fit(X, y)
    net.fit(far, np.append(y, 0.0), sample_weight=np.append(weight, 0.0))
    beyond = np.full((1, 2), 50.0)
    assert_allclose(*(m.predict(beyond, return_std=True)[1] for m in (net, alone)), rtol=1e-3)
    assert [f.code for f in net.diagnose(beyond)] == ["extrapolation"]
