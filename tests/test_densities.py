"""Quantiles and log densities of predictions: closed forms, calibration on new rows, units."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.integrate import trapezoid
from scipy.optimize import minimize_scalar
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._bayes.conformal import LEVEL, NORMAL_QUANTILE, ConformalScores

LEVELS = [0.025, 0.05, 0.25, 0.5, 0.75, 0.95, 0.975]


def drawn(n, noise, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    f = np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 2
    return X, f, f + 0.3 * noise.rvs(n, random_state=seed)


X, F, Y = drawn(2400, stats.t(3))
BOTH = np.column_stack([Y, 10 * F + stats.norm.rvs(size=len(Y), random_state=1)])
TRAINING, NEW = slice(400), slice(400, None)


def network(y=Y[TRAINING], X=X[TRAINING], weight=None, **params):
    return TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0, **params).fit(X, y, weight)


def ensemble(y):
    net = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(6,)], cv=3, n_refits=0, random_state=0)
    return net.fit(X[TRAINING], y)


@pytest.fixture(scope="module")
def fitted():
    return {
        "network": network(),
        "outputs": network(BOTH[TRAINING]),
        "ensemble": ensemble(Y[TRAINING]),
        "ensemble of outputs": ensemble(BOTH[TRAINING]),
    }


KINDS = ["network", "outputs", "ensemble", "ensemble of outputs"]


def with_scores(net, z):
    """Return a copy of a network whose conformal scores are |z|, shape (n, n_outputs)."""
    net = pickle.loads(pickle.dumps(net))
    net._posterior = replace(net._posterior, tails=None if z is None else ConformalScores.of(z))
    return net


def student_t(nu, std):
    """Return the distribution with the 95% interval of a normal one."""
    return stats.t(nu, scale=std * stats.norm.ppf(0.975) / stats.t.ppf(0.975, nu))


# ------------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("n", [None, 18])
def test_with_no_or_few_scores_the_distribution_is_normal(fitted, n):
    net = with_scores(fitted["network"], n and np.linspace(0, 9, n)[:, None])
    mean, std = net.predict(X[NEW], return_std=True)
    normal = stats.norm(mean, std)
    assert_allclose(net.log_density(X[NEW], Y[NEW]), normal.logpdf(Y[NEW]))
    quantiles = net.predict_quantiles(X[NEW], LEVELS)
    assert_allclose(quantiles, np.column_stack([normal.ppf(p) for p in LEVELS]), atol=1e-6)


@pytest.mark.parametrize("nu", [1, 2, 4, 20])
@pytest.mark.parametrize("unit", [0.5, 1.0])
def test_scores_of_students_t_give_its_density_and_quantiles(fitted, nu, unit):
    n = 999
    true = student_t(nu, 1.0)
    z = unit * true.ppf(0.5 + 0.5 * np.arange(1, n + 1) / (n + 1))[:, None]
    net = with_scores(fitted["network"], np.abs(z))
    mean, std = net.predict(X[NEW], return_std=True)
    z = (Y[NEW] - mean) / std
    near = np.abs(z) < 3  # 999 scores end before the far tails, which are a little shorter
    expected = (true.logpdf(z) - np.log(std))[near]
    assert_allclose(net.log_density(X[NEW], Y[NEW])[near], expected, atol=0.05)
    quantiles = net.predict_quantiles(X[NEW], LEVELS)
    expected = mean[:, None] + std[:, None] * true.ppf(LEVELS)
    assert_allclose(quantiles, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("noise", [stats.t(2), stats.t(6), stats.norm(), stats.uniform(-1, 2)])
@pytest.mark.parametrize("n", [19, 100, 3000])
def test_the_degrees_of_freedom_have_the_greatest_likelihood(noise, n):
    z = np.abs(noise.rvs((n, 1), random_state=n))
    kept = ConformalScores.of(z)
    scores = kept.scores / kept._quantile(LEVEL) * NORMAL_QUANTILE
    likelihood = kept.log_density(scores).mean()

    def loss(inverse):
        return -student_t(1 / inverse, 1.0).logpdf(scores).mean()

    best = minimize_scalar(loss, bounds=(0.01, 1.0), method="bounded")
    assert -best.fun - 1e-3 < likelihood < -best.fun + 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_integrates_to_one(fitted, kind):
    net = fitted[kind]
    mean, std = net.predict(X[:1], return_std=True)
    steps = np.tan(np.linspace(-1.57, 1.57, 200_001)[1:-1])  # so that long tails are within
    y = mean + np.reshape(steps, (-1, 1)) * std if mean.ndim > 1 else mean + steps * std
    density = net.log_density(np.repeat(X[:1], len(y), axis=0), y)
    if mean.ndim == 1:
        assert_allclose(trapezoid(np.exp(density), y), 1.0, atol=2e-3)
    else:  # the product of the densities, along a diagonal
        each = net._conformal_scores().log_density(np.column_stack([steps] * 2)) - np.log(std)
        assert_allclose(density, each.sum(axis=1))
        assert_allclose(
            [trapezoid(np.exp(d), c) for d, c in zip(each.T, y.T, strict=True)], 1.0, atol=2e-3
        )


# ------------------------------------------------------------------------------- consistency


@pytest.mark.parametrize("kind", KINDS)
def test_quantiles_are_the_ends_of_intervals(fitted, kind):
    net = fitted[kind]
    coverages = [0.5, 0.9, 0.95]
    intervals = net.predict_interval(X[:7], coverages)
    quantiles = net.predict_quantiles(X[:7], LEVELS)
    outputs = (2,) if "outputs" in kind else ()
    assert intervals.shape == (7, 3, 2, *outputs)
    assert quantiles.shape == (7, *outputs, 7)
    assert_allclose(quantiles[..., 3], net.predict(X[:7]))
    for k, coverage in enumerate(coverages):
        one = net.predict_interval(X[:7], coverage)
        assert_array_equal(intervals[:, k], one)
        ends = [LEVELS.index(level) for level in (round(0.5 - coverage / 2, 3), 0.5 + coverage / 2)]
        assert_allclose(np.moveaxis(quantiles[..., ends], -1, 1), one)


@given(st.lists(st.floats(1e-6, 1 - 1e-6), min_size=1, max_size=20), st.integers(1, 60))
def test_quantiles_are_monotone(fitted, levels, n):
    z = np.random.default_rng(n).standard_cauchy((n, 1))
    levels = np.sort(levels)
    quantiles = with_scores(fitted["network"], np.abs(z)).predict_quantiles(X[:3], levels)
    assert (np.diff(quantiles, axis=1) >= 0.0).all()


@pytest.mark.parametrize("kind", ["network", "ensemble"])
def test_densities_and_quantiles_of_new_rows_are_calibrated(fitted, kind):
    net = fitted[kind]
    below = (Y[NEW, None] <= net.predict_quantiles(X[NEW], LEVELS)).mean(axis=0)
    assert_allclose(below, LEVELS, atol=0.05)
    density = net.log_density(X[NEW], Y[NEW]).mean()
    true = stats.t.logpdf((Y - F)[NEW], 3, scale=0.3).mean()
    mean, std = net.predict(X[NEW], return_std=True)
    normal = stats.norm.logpdf(Y[NEW], mean, std).mean()
    assert true - 0.1 < density < true
    assert density > normal + 0.05


def test_the_density_is_of_y_in_its_units(fitted):
    larger = network(1024 * Y[TRAINING])  # a power of two: the same fit to the last bit
    found = larger.log_density(X[NEW], 1024 * Y[NEW])
    assert_allclose(found, fitted["network"].log_density(X[NEW], Y[NEW]) - np.log(1024), atol=1e-6)
    thousand = network(1000 * Y[TRAINING]).log_density(X[NEW], 1000 * Y[NEW]).mean()
    assert_allclose(thousand, found.mean() + np.log(1.024), atol=1e-2)


def test_weights_that_are_counts_are_rows():
    counts = np.random.default_rng(0).integers(0, 3, 80)
    rows = np.repeat(np.arange(80), counts)
    params = {"alpha": "one"}
    weighed = network(Y[:80], X[:80], counts, **params)
    repeated = network(Y[rows], X[rows], **params)
    assert_allclose(
        weighed.log_density(X[NEW], Y[NEW]).mean(),
        repeated.log_density(X[NEW], Y[NEW]).mean(),
        atol=1e-2,
    )


def test_float32(fitted):
    single, new = network(X=X[TRAINING].astype(np.float32)), X[NEW].astype(np.float32)
    found = single.log_density(new, Y[NEW].astype(np.float32))
    assert found.dtype == np.float64
    assert_allclose(found.mean(), fitted["network"].log_density(X[NEW], Y[NEW]).mean(), atol=0.01)
    assert single.predict_quantiles(new, LEVELS).shape == (2000, 7)


@pytest.mark.slow
def test_a_search_by_log_density_finds_noise_that_varies():
    y = F[TRAINING] + np.abs(X[TRAINING, 0]) * stats.norm.rvs(size=400, random_state=2)
    search = GridSearchCV(
        TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0),
        {"noise": ["constant", "varying"]},
        scoring=lambda net, X, y: net.log_density(X, y).mean(),
        cv=3,
    ).fit(X[TRAINING], y)
    assert search.best_params_ == {"noise": "varying"}


# ------------------------------------------------------------------------------- edges


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_pickle_and_from_files_without_scores(fitted, kind):
    net, y = fitted[kind], BOTH[:9] if "outputs" in kind else Y[:9]
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.log_density(X[:9], y), net.log_density(X[:9], y))
    state = net.__getstate__()
    if "ensemble" in kind:
        del state["_tails"]
    else:
        del state["_posterior"]["tails"]
    earlier = type(net)()
    earlier.__setstate__(state)
    mean, std = earlier.predict(X[:9], return_std=True)
    normal = stats.norm.logpdf(y, mean, std).reshape(9, -1).sum(axis=1)
    assert_allclose(earlier.log_density(X[:9], y), normal)


def test_a_constant_target_has_a_finite_density():
    net = network(np.ones(40), X[:40])
    assert np.isfinite(net.log_density(X[:40], np.ones(40))).all()
    assert_allclose(net.predict_quantiles(X[:2], [0.1, 0.9]), 1.0, atol=1e-3)


@pytest.mark.parametrize("kind", ["network", "ensemble"])
@pytest.mark.parametrize(
    "bad", [[], [0.5, np.nan], [0.0], [0.5, 1.0], [-0.1], [[0.5]], ["a"], [True]]
)
def test_probabilities_are_between_0_and_1(fitted, kind, bad):
    message = "must contain numbers between 0 and 1, both excluded, got"
    with pytest.raises(ValueError, match=f"quantiles {message}"):
        fitted[kind].predict_quantiles(X[:3], bad)
    with pytest.raises(ValueError, match=f"coverage {message}"):
        fitted[kind].predict_interval(X[:3], bad)


def test_other_errors(fitted):
    net = fitted["network"]
    with pytest.raises(ValueError, match=r"quantiles must contain numbers .* got 0\.5"):
        net.predict_quantiles(X[:3], 0.5)
    with pytest.raises(ValueError, match="coverage must contain numbers .* got .nan"):
        net.predict_interval(X[:3], np.nan)
    with pytest.raises(TypeError, match="coverage must be an instance of float"):
        net.predict_interval(X[:3], "0.5")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        net.log_density(X[:3], Y[:4])
    with pytest.raises(ValueError, match="Input y contains NaN"):
        net.log_density(X[:1], [np.nan])
    with pytest.raises(ValueError, match="y has 2 outputs, but TinyMLPRegressor was fitted to 1"):
        net.log_density(X[:3], BOTH[:3])
    with pytest.raises(NotFittedError):
        TinyMLPRegressor().log_density(X, Y)
    by_lbfgs = network(solver="lbfgs", alpha=0.1, max_iter=2000)
    for call in (lambda: by_lbfgs.log_density(X, Y), lambda: by_lbfgs.predict_quantiles(X, [0.5])):
        with pytest.raises(ValueError, match="solver='lm'"):
            call()


def test_the_largest_coverage_below_one_has_finite_limits(fitted):
    for net in fitted.values():
        assert np.isfinite(net.predict_interval(np.zeros((1, net.n_features_in_)), 1 - 1e-16)).all()
