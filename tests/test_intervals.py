"""Intervals of a chosen coverage: order statistics of rows left out, and what new rows say."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._bayes.conformal import (
    LEAST_ROWS,
    LEVEL,
    MOST_SCORES,
    NORMAL_QUANTILE,
    ConformalScores,
)


def curve(seed, n, noise):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] ** 2 / 2 + 0.3 * noise.rvs(n, random_state=seed)


@pytest.fixture(scope="module")
def long_tailed():
    X, y = curve(0, 2400, stats.t(3))
    return fit(X[:400], y[:400]), X, y


def fit(X, y, **params):
    return TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0, **params).fit(X, y)


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_the_score_of_a_rank_is_that_of_split_conformal_prediction(n, coverage):
    z = np.random.default_rng(n).permutation(np.arange(1.0, n + 1.0))[:, None]
    rank = int(np.ceil(coverage * (n + 1) - 1e-9))
    found = ConformalScores.of(z)._quantile(coverage)[0]
    if rank <= n:
        assert found == rank
    else:
        assert found >= n


@pytest.mark.parametrize("n", [18, 19, 20, 39, 40, 100])
def test_weights_say_how_often_a_row_is_there(n):
    rng = np.random.default_rng(n)
    z = np.abs(rng.standard_normal((n, 2)))
    assert_array_equal(ConformalScores.of(z).scores, ConformalScores.of(z, np.ones(n)).scores)
    counts = rng.integers(0, 3, n)
    assert_array_equal(
        ConformalScores.of(z, counts).scores,
        ConformalScores.of(np.repeat(z, counts, axis=0)).scores,
    )
    assert ConformalScores.of(z).few == (n < LEAST_ROWS)
    if n < LEAST_ROWS:
        assert_array_equal(ConformalScores.of(z).scale(), 1.0)
        assert_allclose(ConformalScores.of(z).half_width(0.5), stats.norm.ppf(0.75))


def test_of_many_rows_quantiles_are_kept():
    z = np.abs(stats.t(3).rvs((20_000, 1), random_state=0))
    tails = ConformalScores.of(z)
    assert len(tails.scores) == MOST_SCORES
    for coverage in (0.5, 0.9, 0.99):
        assert_allclose(tails._quantile(coverage), np.quantile(z, coverage), rtol=0.02)
    assert_allclose(tails.scale() * NORMAL_QUANTILE, np.quantile(z, LEVEL), rtol=0.02)
    assert_allclose(tails.half_width(LEVEL), NORMAL_QUANTILE)
    # Beyond the last order statistic the interval still grows with the coverage.
    assert tails.half_width(0.99999) > tails.half_width(0.9999) > tails.half_width(0.999)


def test_rows_without_error_have_a_normal_interval():
    assert_allclose(ConformalScores.of(np.zeros((50, 1))).half_width(0.9), stats.norm.ppf(0.95))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.95, 0.99])
def test_intervals_hold_their_share_of_long_tailed_targets(long_tailed, coverage):
    net, X, y = long_tailed
    lower, upper = net.predict_interval(X[400:], coverage).T
    held = np.mean((lower <= y[400:]) & (y[400:] <= upper))
    assert held == pytest.approx(coverage, abs=0.015 + 0.2 * (1 - coverage))
    mean, std = net.predict(X[400:], return_std=True)
    assert_allclose(0.5 * (lower + upper), mean)
    if coverage == 0.95:
        assert_allclose(upper - mean, NORMAL_QUANTILE * std)


def test_intervals_of_several_outputs_and_after_a_pickle(long_tailed):
    _, X, y = long_tailed
    net = fit(X[:100], np.column_stack([y, 10 * X[:, 0]])[:100])
    interval = net.predict_interval(X[:7], 0.9)
    assert interval.shape == (7, 2, 2)
    assert (interval[:, 0] < interval[:, 1]).all()
    assert_array_equal(pickle.loads(pickle.dumps(net)).predict_interval(X[:7], 0.9), interval)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 95])
def test_a_coverage_is_between_0_and_1(long_tailed, coverage):
    net, X, _ = long_tailed
    with pytest.raises(ValueError, match=f"coverage == {coverage}, must be"):
        net.predict_interval(X, coverage)


@pytest.mark.parametrize("estimator", [None, "adam"])
def test_an_ensemble_has_intervals_of_rows_left_out(long_tailed, estimator):
    _, X, y = long_tailed
    if estimator:
        estimator = TinyMLPRegressor(solver="adam", standardize=True, learning_rate=0.02)
    net = TinyMLPEnsembleRegressor(
        estimator, hidden_layer_sizes=[(6,)], cv=3, n_refits=0, random_state=0
    ).fit(X[:300], y[:300])
    for coverage in (0.5, 0.95):
        lower, upper = net.predict_interval(X[400:], coverage).T
        held = np.mean((lower <= y[400:]) & (y[400:] <= upper))
        assert held == pytest.approx(coverage, abs=0.02 + 0.2 * (1 - coverage))
    again = pickle.loads(pickle.dumps(net)).predict_interval(X[:7], 0.9)
    assert_array_equal(again, net.predict_interval(X[:7], 0.9))


def test_without_the_evidence_there_is_no_interval(long_tailed):
    _, X, y = long_tailed
    net = fit(X[:50], y[:50], solver="lbfgs", alpha=0.1, max_iter=2000)
    with pytest.raises(ValueError, match="solver='lm'"):
        net.predict_interval(X)
