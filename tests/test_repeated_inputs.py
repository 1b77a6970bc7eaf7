"""Rows that share X, or belong to one group: their weights, intervals and hold-out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GroupKFold, cross_validate

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._data.data import Data
from sklearn_tinymlp._data.hold_out import hold_out_splits, split_validation_off
from sklearn_tinymlp._training.repeated_inputs import Repeats, equal_rows

pytestmark = pytest.mark.slow


def effect(U):
    return np.sin(2.0 * U[:, 0]) + U[:, 1] * U[:, 2]


def specimens(seed=0, n=60, m=6, between=0.3, within=0.05):
    """Return X, y and the specimen of each row; and X, f and y of new specimens."""
    rng = np.random.RandomState(seed)
    U, new = rng.uniform(-1, 1, (n, 3)), rng.uniform(-1, 1, (500, 3))
    y = np.repeat(effect(U) + between * rng.standard_normal(n), m)
    y += within * rng.standard_normal(n * m)
    y_new = effect(new) + np.hypot(between, within) * rng.standard_normal(500)
    return np.repeat(U, m, axis=0), y, np.repeat(np.arange(n), m), new, effect(new), y_new


def r2(net, X, f):
    return 1.0 - np.mean((net.predict(X) - f) ** 2) / f.var()


def n_observations(net):
    """Return what the evidence counts; only the posterior of a fit is kept, so from its scores."""
    return len(net._posterior.tails.scores)


@pytest.fixture(scope="module")
def six_times():
    X, y, specimen, *new = specimens()
    return TinyMLPRegressor(random_state=0).fit(X, y), (X, y, specimen), new


def test_measurements_of_one_specimen_are_not_taken_for_many(six_times):
    net, _, (X_new, f, y_new) = six_times
    assert r2(net, X_new, f) > 0.85  # 0.1 if each row is an observation
    assert 55 <= n_observations(net) <= 65  # of 360 rows
    assert_allclose(net.noise_std_, np.hypot(0.3, 0.05), rtol=0.2)
    lower, upper = net.predict_interval(X_new).T
    assert 0.9 < np.mean((lower <= y_new) & (y_new <= upper)) < 0.99


def test_sparse_rows_that_share_X_count_as_dense_ones_do():
    rng = np.random.RandomState(0)
    X = np.repeat((rng.uniform(size=(50, 12)) < 0.3).astype(float), 6, axis=0)
    y = X @ rng.standard_normal(12) + np.repeat(0.5 * rng.standard_normal(50), 6)
    y += 0.05 * rng.standard_normal(300)
    groups = [equal_rows(Data(form(X), y[:, np.newaxis])) for form in (np.asarray, csr_array)]
    same = [group[:, np.newaxis] == group for group in groups]
    assert_array_equal(same[1], same[0])
    dense, of_sparse = (
        TinyMLPRegressor(hidden_layer_sizes=(5,), alpha="one", random_state=0).fit(form(X), y)
        for form in (np.asarray, csr_array)
    )
    assert_allclose(of_sparse._correlation, dense._correlation, atol=0.05)
    assert_allclose(of_sparse.noise_std_, dense.noise_std_, rtol=0.2)


@pytest.mark.parametrize("kind", ["doses", "specimens"])
def test_independent_noise_changes_nothing(kind):
    if kind == "specimens":
        X, y, *_ = specimens(within=0.4, between=0.0)
    else:
        rng = np.random.RandomState(0)
        X = np.repeat(np.linspace(0, 1, 8), 20)[:, np.newaxis]
        y = 1.0 / (1.0 + np.exp(5.0 - 12.0 * X.ravel())) + 0.2 * rng.standard_normal(160)
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    # The same rows, which no longer share X to the last digit.
    apart = X + 1e-9 * np.random.RandomState(1).standard_normal(X.shape)
    other = TinyMLPRegressor(random_state=0).fit(apart, y)
    assert net._correlation == 0.0
    assert_allclose(net.predict(X), other.predict(X), atol=1e-3)
    assert n_observations(net) == len(y)


def test_weights_are_the_design_effect_and_counts_are_copies():
    groups, y = np.array([0, 0, 0, 1, 2, 2]), np.zeros((6, 1))
    repeats = Repeats(groups, 0.5)
    weight = repeats.weigh(Data(y, y)).sample_weight
    assert_allclose(weight, [0.5, 0.5, 0.5, 1.0, 1 / 1.5, 1 / 1.5])
    # The variance of the mean of three by simulation: a third of it times the design effect.
    rng = np.random.RandomState(0)
    draws = np.sqrt(0.5) * (rng.standard_normal((100_000, 1)) + rng.standard_normal((100_000, 3)))
    assert_allclose(draws.mean(axis=1).var(), 1.0 / weight[:3].sum(), rtol=0.02)
    counted = Repeats(np.array([0, 1, 2]), 0.5).weigh(Data(y[:3], y[:3], np.array([3.0, 1.0, 2.0])))
    assert_allclose(counted.sample_weight, [1.5, 1.0, 2 / 1.5])


def test_equal_rows_are_found_whatever_the_units():
    rng = np.random.RandomState(0)
    X = rng.randint(3, size=(200, 2)) * [1e-9, 1e9]
    groups = equal_rows(Data(X, np.zeros((200, 1))))
    expected = np.unique(X, axis=0, return_inverse=True)[1].ravel()
    assert groups.max() == expected.max()
    assert len(np.unique(np.column_stack([groups, expected]), axis=0)) == expected.max() + 1
    assert equal_rows(Data(rng.rand(200, 2), np.zeros((200, 1)))) is None
    # Rows without weight are no repetitions.
    weight = np.ones(200)
    weight[np.unique(X, axis=0, return_index=True)[1]] = 2.0
    assert equal_rows(Data(X, np.zeros((200, 1)), np.where(weight == 2.0, 1.0, 0.0))) is None


def test_copies_count_as_integer_weights_do(six_times):
    _, (X, y, _), _ = six_times
    X, y = X[:120], y[:120]
    twice = TinyMLPRegressor(random_state=0, hidden_layer_sizes=(5,))
    twice.fit(np.repeat(X, 2, axis=0), np.repeat(y, 2))
    counted = TinyMLPRegressor(random_state=0, hidden_layer_sizes=(5,)).fit(X, y, np.full(120, 2.0))
    assert_allclose(twice._correlation, counted._correlation, rtol=1e-3)
    assert counted._correlation > 0.5
    once = TinyMLPRegressor(random_state=0).fit(X[::6], y[::6])
    copies = TinyMLPRegressor(random_state=0).fit(X[::6], y[::6], np.full(20, 6.0))
    rows = TinyMLPRegressor(random_state=0).fit(np.repeat(X[::6], 6, axis=0), np.repeat(y[::6], 6))
    assert_allclose(rows.log_evidence_, copies.log_evidence_, rtol=1e-4)
    assert abs(once.log_evidence_ - copies.log_evidence_) > 10.0


def test_groups_of_different_rows():
    rng = np.random.RandomState(1)
    patient = np.repeat(np.arange(40), 8)
    U = np.repeat(rng.uniform(-1, 1, (40, 3)), 8, axis=0)
    X = U + 0.05 * rng.standard_normal(U.shape)
    y = effect(X) + np.repeat(0.4 * rng.standard_normal(40), 8) + 0.1 * rng.standard_normal(320)
    new = rng.uniform(-1, 1, (500, 3))
    net = TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0)
    alone, grouped = (clone(net).fit(X, y, groups=groups) for groups in (None, patient))
    assert r2(grouped, new, effect(new)) > r2(alone, new, effect(new)) + 0.05
    assert n_observations(alone) == 320 and n_observations(grouped) < 80
    in_csr = clone(net).fit(csr_array(X), y, groups=patient)
    assert_allclose(in_csr._correlation, grouped._correlation, atol=0.1)
    assert_allclose(grouped._correlation, 0.94, atol=0.05)  # 0.4^2 / (0.4^2 + 0.1^2)
    named = clone(net).fit(X, y, groups=[f"p{k:02}" for k in patient])
    assert_allclose(named.predict(new), grouped.predict(new))


@pytest.mark.parametrize("between", [0.4, 0.1, 0.0])
def test_correlation_of_batches_that_share_a_distribution_of_inputs(between):
    found = []
    for seed in range(3):
        rng = np.random.RandomState(seed)
        X, batch = rng.uniform(-1, 1, (1000, 3)), np.repeat(np.arange(20), 50)
        y = effect(X) + between * rng.standard_normal(20)[batch] + 0.2 * rng.standard_normal(1000)
        repeats = TinyMLPRegressor()._repeats(X, y, None, batch)
        found.append(0.0 if repeats is None else repeats.correlation)
    assert_allclose(np.mean(found), between**2 / (between**2 + 0.2**2), atol=0.1)


def test_groups_are_held_out_together():
    groups = np.random.RandomState(0).randint(13, size=100)
    held_out_once = np.zeros(100, dtype=int)
    for rows, held_out in hold_out_splits(100, np.random.RandomState(0), groups):
        assert not set(groups[rows]) & set(groups[held_out])
        assert_array_equal(np.sort(np.concatenate([rows, held_out])), np.arange(100))
        held_out_once[held_out] += 1
    assert (held_out_once == 1).all()
    data = Data(groups[:, np.newaxis] + 0.0, np.zeros((100, 1)), groups=groups)
    split = split_validation_off(data, 0.2, np.random.RandomState(0))
    assert not set(split.X.ravel()) & set(split.validation.X.ravel())
    assert len(split.y) + len(split.validation.y) == 100


def test_several_outputs_take_the_largest_correlation():
    rng = np.random.RandomState(0)
    X = np.repeat(rng.uniform(-1, 1, (50, 2)), 4, axis=0)
    noise = np.repeat(0.3 * rng.standard_normal(50), 4), 0.3 * rng.standard_normal(200)
    y = np.column_stack([X[:, 1] + noise[1], X[:, 0] + noise[0] + 0.1 * noise[1]])
    net = TinyMLPRegressor(hidden_layer_sizes=(5,), random_state=0).fit(X, y)
    assert net._correlation > 0.8
    assert_allclose(net.noise_std_, [0.3, 0.3], rtol=0.3)


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam", "max_iter": 5},
        {"early_stopping": True},
        {"loss": "huber"},
        {"alpha": 0.1},
        {"noise": "varying"},
        {"n_init": 2},
        {"warm_start": True},
    ],
    ids=str,
)
# Twelve specimens are few, and some of the fits end at max_iter: groups are the subject.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_groups_with_every_kind_of_fit(params):
    X, y, specimen, X_new, *_ = specimens(n=12, m=3)
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0, **params)
    for _ in range(1 + ("warm_start" in params)):
        net.fit(X, y, groups=specimen)
    assert np.isfinite(net.predict(X_new)).all()


def test_one_group_and_few_groups_are_no_groups():
    X, y, *_ = specimens(n=40, m=1)
    alone = TinyMLPRegressor(random_state=0).fit(X, y)
    one = TinyMLPRegressor(random_state=0).fit(X, y, groups=np.zeros(40))
    assert_allclose(one.predict(X), alone.predict(X))
    two = TinyMLPRegressor(random_state=0).fit(X, y, groups=np.arange(40) % 2)
    assert np.isfinite(two.predict(X, return_std=True)).all()


def test_groups_of_another_length_are_refused():
    X, y, *_ = specimens(n=10, m=2)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        TinyMLPRegressor().fit(X, y, groups=[1, 2])
    with pytest.raises(ValueError, match="1d array"):
        TinyMLPRegressor().fit(X, y, groups=np.ones((20, 2)))


def test_groups_for_a_splitter_also_reach_the_fit(six_times):
    _, (X, y, specimen), _ = six_times
    X, y, specimen = X[:90], y[:90], specimen[:90]
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0)
    with config_context(enable_metadata_routing=True):
        found = cross_validate(
            net, X, y, cv=GroupKFold(3), params={"groups": specimen}, return_estimator=True
        )
        assert net.get_metadata_routing().fit.requests["groups"] is True
    rows, _ = next(GroupKFold(3).split(X, y, specimen))
    expected = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0)
    expected.fit(X[rows], y[rows], groups=specimen[rows])
    assert_allclose(found["estimator"][0].predict(X), expected.predict(X))


def test_finding_of_repeated_inputs(six_times):
    net, (X, y, _), _ = six_times
    (finding,) = [f for f in net.diagnose(X, y) if f.code == "repeated_inputs"]
    assert finding.severity == "info" and "360 rows have 60 different X" in finding.sentence
    assert "GroupKFold" in finding.remedy
    assert "ordered_rows" not in [f.code for f in net.diagnose(X, y)]  # but sorted by specimen
    X, y, *_ = specimens(between=0.0, within=0.3)
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    assert "repeated_inputs" not in [f.code for f in net.diagnose(X, y)]


def test_ensemble_holds_out_specimens():
    X, y, specimen, X_new, f, _ = specimens(n=30, m=4)
    net = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(5,)], cv=3, random_state=0).fit(X, y)
    given = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(5,)], cv=3, random_state=0)
    given.fit(X, y, groups=specimen)
    for ensemble in (net, given):
        # Out-of-fold errors are those of new specimens, not those of new measurements.
        assert ensemble.noise_std_ > 0.25
    assert_allclose(net.predict(X_new).std(), given.predict(X_new).std(), rtol=0.3)


@pytest.mark.parametrize("attribute", [False, True])
@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_rows_of_categories_are_no_specimens(form, attribute):
    rng = np.random.RandomState(0)
    level = rng.randint(0, 30, 1600)
    X, y = np.eye(30)[level], np.sin(level) + 0.3 * rng.standard_normal(1600)
    X = np.column_stack([X, rng.uniform(size=30)[level]]) if attribute else X
    net = TinyMLPRegressor(random_state=0).fit(form(X[:600]), y[:600])
    assert net._correlation == 0.0 and net.stop_reason_ == "evidence"
    assert r2(net, form(X[600:]), np.sin(level[600:])) > 0.97  # 0 if a level is left out at a time
    assert_allclose(net.noise_std_, 0.3, rtol=0.1)


@pytest.mark.parametrize("alpha", ["auto", "one", "input"])
def test_a_level_without_rows_has_no_effect(alpha):
    rng = np.random.RandomState(1)
    level = rng.randint(0, 28, 150)
    X, y = np.eye(30)[level], np.sin(level) + 0.3 * rng.standard_normal(150)
    net = TinyMLPRegressor(alpha=alpha, random_state=0).fit(X, y)
    none, *unknown = net.predict(np.vstack([np.zeros(30), np.eye(30)[28:]]))
    assert_allclose(unknown, none, rtol=1e-12)
