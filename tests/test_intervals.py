"""Intervals of a chosen coverage: order statistics of rows left out, and what new rows say."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse, stats
from sklearn.datasets import make_friedman1

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._bayes.conformal import (
    LEAST_ROWS,
    LEVEL,
    MOST_SCORES,
    NORMAL_QUANTILE,
    ConformalScores,
)
from sklearn_tinymlp._data.hold_out import in_sequence


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


@pytest.mark.slow
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


# ------------------------------------------------------------------ kinds of data


def width_of_a_constant(y):
    """Return 95% of the leave-one-out residuals of the mean, as a standard deviation."""
    left_out = np.abs(y - y.mean()) * len(y) / (len(y) - 1)
    return np.sort(left_out)[int(np.ceil(0.95 * (len(y) + 1))) - 1] / NORMAL_QUANTILE


@pytest.mark.slow
@pytest.mark.parametrize("n", [19, 30, 60])
def test_noise_is_no_wider_than_that_of_a_constant(n):
    for seed in range(8):
        X, y = make_friedman1(n, n_features=5, noise=0.5, random_state=seed)
        weight = np.exp(np.random.default_rng(seed).standard_normal(n)) if seed % 2 else None
        net = TinyMLPRegressor(random_state=0).fit(X, y, weight)
        spread = width_of_a_constant(y) if weight is None else np.ptp(y)
        assert net._posterior.widening * net.noise_std_ <= max(spread, net.noise_std_) * 1.0001


@pytest.mark.slow
@pytest.mark.parametrize("n", [30, 120])
def test_relative_weights_hardly_widen_intervals(n):
    ratios, held = [], []
    for seed in range(6):
        X, y = make_friedman1(n + 200, n_features=5, noise=0.5, random_state=seed)
        weight = np.random.default_rng(seed).uniform(0.5, 1.5, n)
        std, of_equal = (
            TinyMLPRegressor(random_state=0).fit(X[:n], y[:n], w).predict(X[n:], return_std=True)
            for w in (weight, None)
        )
        ratios.append(np.median(std[1]) / np.median(of_equal[1]))
        held.append(np.mean(np.abs(y[n:] - std[0]) < 1.96 * std[1]))
    assert 0.5 < np.median(ratios) < 2 and max(ratios) < 10
    assert np.mean(held) > 0.9


@pytest.mark.slow
def test_rows_of_weight_zero_are_absent():
    rng = np.random.default_rng(4)
    X = rng.uniform(-2, 2, (330, 2))
    y = np.sin(2 * X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(330)
    present = rng.permutation(330) < 30
    without = TinyMLPRegressor(random_state=0).fit(X[present], y[present])
    for weight in (present.astype(float), 0.3 * present):
        net = TinyMLPRegressor(random_state=0).fit(X, y, weight)
        found, expected = (model.predict(X, return_std=True) for model in (net, without))
        assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_intervals_of_counts_and_of_repeated_rows_are_equal():
    X, y = make_friedman1(40, n_features=5, noise=0.5, random_state=0)
    counts = np.random.default_rng(0).integers(1, 3, 40)
    rows = np.repeat(np.arange(40), counts)
    params = {"alpha": "one", "hidden_layer_sizes": (4,), "random_state": 0}
    weighed = TinyMLPRegressor(**params).fit(X, y, counts)
    repeated = TinyMLPRegressor(**params).fit(X[rows], y[rows])
    assert weighed.n_effective_parameters_ > counts.sum() / 3  # so that there are refits
    beyond = 1.5 * X - 0.25
    assert_allclose(
        weighed.predict(beyond, return_std=True),
        repeated.predict(beyond, return_std=True),
        rtol=1e-3,
    )


def test_the_unit_of_weights_does_not_matter():
    rng = np.random.default_rng(17)
    X, weight = rng.normal(size=(19, 1)), rng.uniform(0.5, 1.5, 19)
    y = np.sin(X[:, 0]) + 0.3 * rng.standard_t(2, 19)
    std = [
        TinyMLPRegressor(random_state=0).fit(X, y, weight * unit).predict(X, return_std=True)[1]
        for unit in (1.0, 3.7)
    ]
    assert_allclose(*std, rtol=1e-6)
    z = np.abs(rng.standard_normal((19, 1)))
    weight = np.full(19, (19 - 4e-15) / 19)
    assert len(ConformalScores.of(z, weight).scores) == 19


def test_intervals_just_beyond_a_skewed_input_are_of_the_size_of_y():
    rng = np.random.default_rng(0)
    celsius = rng.uniform(-40, 125, 200)

    def ohm(celsius):
        return 10_000 * np.exp(3950 * (1 / (celsius + 273.15) - 1 / 298.15))[:, None]

    net = TinyMLPRegressor(random_state=0).fit(ohm(celsius), celsius)
    new = np.array([celsius.min() - 0.5, celsius.max() + 0.5])
    mean, std = net.predict(ohm(new), return_std=True)
    assert (np.abs(mean - new) < 1.96 * std).all()
    assert (std < 5.0).all()


@pytest.mark.slow
def test_rows_in_sequence_are_calibrated_by_later_rows():
    held, of_shuffled = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((250, 2))
        level = 0.15 * np.cumsum(rng.standard_normal(250))
        y = np.sin(X[:, 0]) + level
        for found, rows in ((held, np.arange(200)), (of_shuffled, rng.permutation(200))):
            net = TinyMLPRegressor(random_state=0).fit(X[rows], y[rows])
            mean, std = net.predict(X[200:], return_std=True)
            found.append(np.mean(np.abs(y[200:] - mean) < 1.96 * std))
    assert np.mean(held) > np.mean(of_shuffled) + 0.03


def test_what_counts_as_a_sequence():
    rng = np.random.default_rng(0)
    X, walk = rng.standard_normal((200, 2)), np.cumsum(rng.standard_normal((200, 1)), axis=0)
    assert in_sequence(X, walk) and in_sequence(sparse.csr_array(X), walk)
    order = rng.permutation(200)
    assert not in_sequence(X[order], walk[order])
    ascending = np.argsort(X[:, 0])
    assert in_sequence(X[ascending, 1:], X[ascending, :1])
    assert not in_sequence(X[ascending], X[ascending, :1])  # new rows lie between these
    rows = np.repeat(np.arange(200), 4)
    assert not in_sequence(X[rows], rng.standard_normal((200, 1))[rows])


def test_combinations_of_settings_are_no_sequence():
    # Rows of a designed experiment, in the order in which they were written down.
    speed, shape = (part.ravel() for part in np.meshgrid(np.linspace(1, 2, 14), np.arange(20.0)))
    X, y = np.column_stack([shape % 7, shape % 3, speed]), (speed**2 + shape)[:, np.newaxis]
    assert not in_sequence(X, y)
    lags = np.column_stack([y[:-1], X[1:]])  # of a series, with its season
    lags[:, 0] += 1e-3 * np.random.default_rng(0).standard_normal(len(lags))
    assert in_sequence(lags, y[1:])


@pytest.mark.slow
def test_intervals_of_many_inputs_and_few_rows():
    held = []
    for seed in range(3):
        X = np.random.default_rng(seed).standard_normal((400, 1000))
        y = X[:, :3].sum(axis=1) + 0.3 * np.random.default_rng(seed + 9).standard_normal(400)
        mean, std = TinyMLPRegressor(random_state=0).fit(X[:100], y[:100]).predict(X[100:], True)
        held.append(np.mean(np.abs(mean - y[100:]) < 1.96 * std))
    assert 0.9 < np.mean(held) < 0.995
