"""The ensemble: its folds, weights, members and band, and what a user may do with it."""

import itertools
import pickle
import signal
import threading
import warnings

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GroupKFold, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_tinymlp import (
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
    _ensemble,
    _network_estimator,
    diagnose,
)
from sklearn_tinymlp._bayes.conformal import ConformalScores
from sklearn_tinymlp._losses.table import LOSSES, SQUARED_ERROR
from sklearn_tinymlp._selection import ensemble_fit
from sklearn_tinymlp._selection.candidates import (
    KINDS,
    Candidate,
    larger_layers,
    parameters_to_try,
)
from sklearn_tinymlp._selection.folds import splits_of
from sklearn_tinymlp._selection.stacking import mixture, order_of_members, stacking_weights

# Both of `BOTH` come through all folds.
BOTH = {"hidden_layer_sizes": [(5,), (6,)], "cv": 3, "n_refits": 1, "random_state": 0}
FEW = {"hidden_layer_sizes": [(3,), (6,)], "cv": 3, "n_refits": 1, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    X, y = make_friedman1(160, n_features=5, noise=1.0, random_state=0)
    return X[:120], y[:120], X[120:], y[120:]


@pytest.fixture(scope="module")
def fitted(data):
    X, y, *_ = data
    return TinyMLPEnsembleRegressor(**FEW).fit(X, y)


# ------------------------------------------------------------------------------ the parts


def test_equal_rows_come_into_one_fold_whatever_their_order():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 2))[rng.integers(40, size=120)]
    y = X[:, :1]
    splits = splits_of(4, X, y, None, np.random.RandomState(0))
    assert_array_equal(np.sort(np.concatenate([rest for _, rest in splits])), np.arange(120))
    for kept, rest in splits:
        assert not set(map(tuple, X[kept])) & set(map(tuple, X[rest]))
    order = rng.permutation(120)
    for form in (np.asarray, sparse.csr_matrix):
        again = splits_of(4, form(X[order]), y[order], None, np.random.RandomState(0))
        for (_, rest), (_, rest_again) in zip(splits, again, strict=True):
            assert_array_equal(np.sort(order[rest_again]), rest)


def test_groups_and_splitters_are_heard():
    X, y = np.arange(12.0)[:, None], np.arange(12.0)[:, None]
    groups = np.repeat([5, 1, 9], 4)
    splits = splits_of(4, X, y, groups, np.random.RandomState(0))
    assert len(splits) == 3
    for _, rest in splits:
        assert len(set(groups[rest])) == 1
    by_splitter = splits_of(GroupKFold(3), X, y, groups, np.random.RandomState(0))
    assert len(by_splitter) == 3
    with pytest.raises(ValueError, match="cv=4 needs at least 2 groups.*n_samples=12"):
        splits_of(4, X, y, np.zeros(12), np.random.RandomState(0))


def test_weights_are_those_of_the_least_squared_error():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((4000, 1))
    noise = rng.standard_normal((3, 4000, 1)) * np.array([0.3, 0.6, 3.0])[:, None, None]
    weights = stacking_weights(SQUARED_ERROR, y + noise, y, np.ones(4000))
    assert weights.sum() == pytest.approx(1.0)
    # Of independent errors the best weights are as the inverse of their variances: 4 to 1.
    assert_allclose(weights[:2], [0.8, 0.2], atol=0.04)
    assert weights[2] == 0.0
    equal = stacking_weights(SQUARED_ERROR, y[:10] + noise[:2, :10] * 0.0, y[:10], np.ones(10))
    assert_allclose(equal, [0.5, 0.5])
    # A row of weight 2 is that row twice.
    counts = rng.integers(1, 4, 50).astype(float)
    rows = np.repeat(np.arange(50), counts.astype(int))
    by_count = stacking_weights(SQUARED_ERROR, (y + noise)[:2, :50], y[:50], counts)
    repeated = stacking_weights(SQUARED_ERROR, (y + noise)[:2, rows], y[rows], np.ones(len(rows)))
    assert_allclose(by_count, repeated, atol=0.02)


def test_the_interval_is_that_of_a_mixture_and_holds_its_share():
    weights, means = np.array([0.25, 0.75]), np.array([[[0.0]], [[4.0]]])
    mean, variance = mixture(weights, means, np.ones((2, 1, 1)))
    assert mean == 3.0 and variance == 1.0 + 0.25 * 9 + 0.75 * 1
    residuals = np.abs(2.0 * np.random.default_rng(0).standard_normal((5000, 1)))
    assert_allclose(ConformalScores.of(residuals).scale(), 2.0, rtol=0.05)
    assert_array_equal(ConformalScores.of(residuals[:9]).scale(), [1.0])


# ------------------------------------------------------------------------------ candidates


@pytest.mark.parametrize(
    "fixed, kept",
    [
        ({}, KINDS),
        ({"alpha": "one"}, [k for k in KINDS if k["alpha"] == "one"]),
        ({"inputs": "ramps"}, [k for k in KINDS if k["inputs"] == "ramps"]),
    ],
)
def test_candidates_differ_in_what_the_template_leaves_open(fixed, kept):
    template = TinyMLPRegressor(**fixed)
    found = parameters_to_try(template, "auto", np.ones((3, 2)))
    assert all(not set(params) & set(fixed) for params in found)
    given = [params | fixed for params in found]
    assert all(params in given for params in kept) and len(found) >= len(kept)
    assert len({repr(params) for params in found}) == len(found)


@pytest.mark.parametrize(
    "name, params, X",
    [
        ("alpha", {"alpha": 0.1}, np.ones((3, 2))),
        ("alpha", {"solver": "adam"}, np.ones((3, 2))),
        ("inputs", {"bias": False}, np.ones((3, 2))),
        ("inputs", {}, sparse.csr_array(np.ones((3, 2)))),
        ("hidden_layer_sizes", {"hidden_layer_sizes": (4,)}, np.ones((3, 2))),
        ("hidden_layer_sizes", {"activation": ["tanh", "relu"]}, np.ones((3, 2))),
    ],
)
def test_a_parameter_that_is_fixed_or_would_be_refused_is_kept(name, params, X):
    found = parameters_to_try(TinyMLPRegressor(**params), "auto", X)
    assert found and all(name not in tried for tried in found)


def test_ramps_are_left_out_where_they_cost_too_much():
    for n_inputs, n_kinds in ((8, len(KINDS)), (20, 2)):
        found = parameters_to_try(TinyMLPRegressor(), "auto", np.ones((3000, n_inputs)))
        assert found == list(KINDS[:n_kinds])
    large = TinyMLPRegressor(hidden_layer_sizes=(500, 500))
    found = parameters_to_try(large, "auto", np.ones((3000, 20)))
    assert found == [{"inputs": "raw", "alpha": "auto"}]


def test_the_default_candidates_are_weighted_and_refitted(data):
    X, y, new, truth = data
    net = TinyMLPEnsembleRegressor(cv=2, n_refits=1, random_state=0).fit(X, y)
    table = net.results_
    assert [
        dict(zip(KINDS[0], row, strict=True))
        for row in zip(*(table[name].tolist() for name in KINDS[0]), strict=True)
    ] == list(KINDS)
    assert_array_equal(table["n_refits"] > 0, table["weight"] > 0.0)
    assert len(net.estimators_) == table["n_refits"].sum() == len(KINDS)
    assert net.score(new, truth) > 0.85
    assert str(net.diagnose(X, y))


@given(
    st.lists(st.floats(0.01, 1.0) | st.just(0.0), min_size=1, max_size=4).filter(any),
    st.integers(1, 7),
)
def test_the_order_of_members_gives_the_mean_the_least_variance(weights, n_members):
    weights = np.array(weights) / sum(weights)
    used = np.flatnonzero(weights)
    order = order_of_members(weights, n_members)
    assert order[: len(used)] == used.tolist()
    assert len(order) == max(n_members, len(used))

    def variance(numbers):
        return sum(weights[used] ** 2 / np.array(numbers))

    numbers = [order.count(k) for k in used]
    splits = itertools.product(range(1, len(order) + 1), repeat=len(used))
    least = min(variance(split) for split in splits if sum(split) == len(order))
    assert variance(numbers) == pytest.approx(least, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "lbfgs"},
        {"alpha": 0.0},
        {"bias": False},
        {"early_stopping": True},
        {"loss": "quantile"},
        {"hidden_layer_sizes": 3, "solver": "adam", "max_iter": 3},
    ],
    ids=str,
)
def test_no_candidate_contradicts_the_template(data, params):
    X, y, *_ = data
    template = TinyMLPRegressor(**params)
    net = TinyMLPEnsembleRegressor(template, cv=2, n_refits=0, random_state=0).fit(X[:40], y[:40])
    assert (net.results_["n_folds"] == 2).all() and np.isfinite(net.predict(X)).all()


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_no_member_is_started_once_the_time_is_over(data, n_jobs):
    X, y, new, _ = data
    net = TinyMLPEnsembleRegressor(max_time=1e-9, n_jobs=n_jobs, random_state=0).fit(X, y)
    # The first one, and those that joblib has dispatched with it.
    assert 1 <= net.results_["n_folds"].sum() <= 2 * (n_jobs or 0.5)
    assert net.results_["n_refits"].sum() == 0
    assert np.isfinite(net.predict(new, return_std=True)).all()
    in_time = TinyMLPEnsembleRegressor(max_time=1e9, **FEW).fit(X, y)
    assert_array_equal(in_time.predict(new), TinyMLPEnsembleRegressor(**FEW).fit(X, y).predict(new))


# ------------------------------------------------------------------------------ the estimator


def test_it_predicts_the_weighted_mean_of_members_with_a_band_that_holds(data, fitted):
    X, y, new, truth = data
    assert fitted.weights_.sum() == pytest.approx(1.0)
    by_hand = np.tensordot(fitted.weights_, [m.predict(new) for m in fitted.estimators_], axes=1)
    assert_allclose(fitted.predict(new), by_hand)
    mean, std = fitted.predict(new, return_std=True)
    assert_allclose(mean, by_hand)
    assert fitted.score(new, truth) > 0.85
    assert 0.8 < np.mean(np.abs(truth - mean) < 1.96 * std)
    draws = fitted.sample_y(new[:4], 4000)
    assert_allclose(draws.mean(axis=1), mean[:4], atol=0.15)
    assert_allclose(draws.std(axis=1), std[:4], rtol=0.1)
    assert str(fitted.diagnose(X, y))


def test_its_records_are_honest(data, fitted):
    X, y, *_ = data
    honest = fitted.out_of_fold_predictions_
    assert honest.shape == y.shape
    left = np.mean((y - honest) ** 2)
    assert fitted.out_of_fold_r2_ == pytest.approx(1.0 - left / y.var())
    assert fitted.noise_std_ == pytest.approx(np.sqrt(left))
    assert left > np.mean((y - fitted.predict(X)) ** 2)
    table = fitted.results_
    assert list(table["hidden_layer_sizes"]) == [(3,), (6,)]
    assert table["weight"].sum() == pytest.approx(1.0)
    assert {len(column) for column in table.values()} == {2}


def test_what_is_known_of_members_is_known_of_it(fitted):
    members = fitted.estimators_
    assert fitted.n_parameters_ == sum(
        sum(array.size for array in (*m.coefs_, *m.intercepts_)) for m in members
    )
    parts = zip(fitted.weights_, members, strict=True)
    by_hand = sum(weight * member.feature_importances_ for weight, member in parts)
    assert_allclose(fitted.feature_importances_, by_hand)
    assert fitted.feature_importances_.sum() == pytest.approx(1.0)
    for name in ("feature_importances_", "n_parameters_", "n_outputs_"):
        assert not hasattr(TinyMLPEnsembleRegressor(), name)


def test_a_prediction_is_of_one_ensemble_while_another_thread_fits_anew(data, fitted, monkeypatch):
    *_, new, _ = data
    net = pickle.loads(pickle.dumps(fitted))
    expected = net.predict(new), *net.predict(new, return_std=True)

    def validated_meanwhile(estimator, X):
        net.__dict__ = vars(net) | {"weights_": np.ones(1), "estimators_": [], "noise_std_": 9.0}
        return X

    monkeypatch.setattr(_ensemble, "validate_inputs", validated_meanwhile)
    again = []
    for options in ({}, {"return_std": True}):
        again += np.atleast_2d(net.predict(new, **options)).tolist()
        net.__dict__ = vars(fitted).copy()
    assert_array_equal(again, expected)


def test_the_member_of_the_greatest_weight_is_diagnosed_in_a_pipeline_too(data, fitted):
    X, y, *_ = data
    pipeline = make_pipeline(FunctionTransformer(), fitted)
    heaviest = fitted.estimators_[np.argmax(fitted.weights_)]
    assert str(diagnose(pipeline, X, y)) == str(fitted.diagnose(X, y))
    assert str(fitted.diagnose(X, y)) == str(heaviest.diagnose(X, y))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_outcome_does_not_depend_on_n_jobs(data, fitted, n_jobs):
    X, y, new, _ = data
    again = TinyMLPEnsembleRegressor(n_jobs=n_jobs, **FEW).fit(X, y)
    assert_array_equal(again.predict(new), fitted.predict(new))


def test_it_survives_pickle_and_serves_in_pipelines(data, fitted):
    X, y, new, _ = data
    loaded = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(loaded.predict(new, return_std=True), fitted.predict(new, return_std=True))
    pipeline = make_pipeline(StandardScaler(), TinyMLPEnsembleRegressor(**FEW))
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["several outputs", "sparse", "float32", "weights", "one shape"])
def test_all_kinds_of_data_are_taken(data, kind):
    X, y, new, truth = data
    params, weight = dict(FEW), None
    if kind == "several outputs":
        y, truth = np.column_stack([y, -2 * y]), np.column_stack([truth, -2 * truth])
    if kind == "sparse":
        X, new = sparse.csr_matrix(X), sparse.csr_matrix(new)
    if kind == "float32":
        X, new = X.astype(np.float32), new.astype(np.float32)
    if kind == "weights":
        weight = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    if kind == "one shape":
        params["hidden_layer_sizes"] = [(4, 4)]
    net = TinyMLPEnsembleRegressor(**params).fit(X, y, weight)
    mean, std = net.predict(new, return_std=True)
    assert mean.shape == std.shape == truth.shape and (std > 0).all()
    assert net.score(new, truth) > 0.7
    assert net.sample_y(new, 3).shape == (*truth.shape, 3)
    assert net.n_outputs_ == (2 if kind == "several outputs" else 1)
    assert net.predict(new).dtype == mean.dtype == new.dtype
    if kind == "float32":
        assert net.predict(new.astype(np.float64)).dtype == np.float64


def test_rows_without_weight_are_as_good_as_absent(data):
    X, y, new, _ = data
    weight = np.ones(len(y))
    weight[::3] = 0.0
    weighted = TinyMLPEnsembleRegressor(**FEW).fit(X, y, weight)
    fewer = TinyMLPEnsembleRegressor(**FEW).fit(X[weight > 0], y[weight > 0])
    assert_allclose(weighted.predict(new), fewer.predict(new), rtol=1e-6)
    assert_array_equal(np.isnan(weighted.out_of_fold_predictions_), weight == 0.0)


@pytest.mark.slow
def test_the_template_is_that_of_the_members(data):
    X, y, *_ = data
    template = TinyMLPRegressor(activation="elu", alpha="one", solver="lm")
    net = TinyMLPEnsembleRegressor(template, **FEW).fit(X, y)
    for member in net.estimators_:
        assert (member.activation, member.alpha, member.solver) == ("elu", "one", "lm")
    assert "random_state" in template.get_params() and template.random_state is None
    by_adam = TinyMLPRegressor(solver="adam", learning_rate=0.02, max_iter=60, standardize=True)
    net = TinyMLPEnsembleRegressor(by_adam, **FEW).fit(X, y)
    _, std = net.predict(X, return_std=True)  # without bands of their own
    assert (std > 0).all()
    with pytest.raises(ValueError, match="needs the evidence"):
        net.sample_y(X)


def test_members_of_large_data_see_some_rows(data):
    X, y, *_ = data
    net = TinyMLPEnsembleRegressor(**(FEW | {"n_refits": 0}), max_samples=30).fit(X, y)
    assert len(net.estimators_) <= 6
    assert np.isfinite(net.out_of_fold_predictions_).all()


def test_a_splitter_that_leaves_rows_in_gives_them_no_honest_prediction(data):
    X, y, *_ = data
    splits = list(KFold(4).split(X))[:2]
    net = TinyMLPEnsembleRegressor(**(FEW | {"cv": splits})).fit(X, y)
    assert_array_equal(np.isnan(net.out_of_fold_predictions_), np.arange(len(y)) >= 60)
    assert np.isfinite(net.predict(X)).all()


def raise_in_the_call(monkeypatch, number, act):
    """Do something as the member of this number, counted from 1, begins to be trained."""
    fit, calls = TinyMLPRegressor._fit, itertools.count(1)

    def press(self, *arguments, **options):
        if next(calls) == number:
            act()
        return fit(self, *arguments, **options)

    monkeypatch.setattr(TinyMLPRegressor, "_fit", press)


def raise_keyboard_interrupt(*arguments, **options):
    raise KeyboardInterrupt


def press_ctrl_c():
    signal.raise_signal(signal.SIGINT)


# Of two candidates three folds and a refit, one after the other or two at a time.
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("act", [press_ctrl_c, raise_keyboard_interrupt])
@pytest.mark.parametrize("number", [3, 4, 6, 8])
def test_ctrl_c_keeps_the_members_done(data, monkeypatch, n_jobs, act, number):
    X, y, new, _ = data
    raise_in_the_call(monkeypatch, number, act)
    with pytest.warns(UserWarning, match="interrupted by user") as caught:
        net = TinyMLPEnsembleRegressor(n_jobs=n_jobs, **BOTH).fit(X, y)
    assert len(caught) == 1 and caught[0].filename == __file__
    n_folds, n_refits = net.results_["n_folds"], net.results_["n_refits"]
    n_members = n_folds.sum() + n_refits.sum()
    # A candidate without a refit keeps its members of folds.
    assert len(net.estimators_) == np.where(n_refits, n_refits, n_folds).sum()
    # Of two that are trained at a time the other one may have heard of it, too. And the main thread
    # may hear of it when one or two more are done.
    late = 2 if n_jobs and act is press_ctrl_c else 0
    assert number - (2 if n_jobs else 1) <= n_members <= number - 1 + late
    assert net.weights_.sum() == pytest.approx(1.0)
    assert np.isfinite(net.predict(new, return_std=True)).all()
    assert np.isfinite(net.noise_std_)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_before_any_member_leaves_the_ensemble_as_it_was(data, fitted, monkeypatch, n_jobs):
    X, y, *_ = data
    net = clone(fitted).set_params(n_jobs=n_jobs).fit(X, y)
    before = vars(net).copy()
    monkeypatch.setattr(TinyMLPRegressor, "_fit", raise_keyboard_interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert vars(net) == before


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_while_pilots_train_leaves_the_default_ensemble_as_it_was(data, monkeypatch, n_jobs):
    X, y, *_ = data
    monkeypatch.setattr(_network_estimator, "relevance_report", raise_keyboard_interrupt)
    net = TinyMLPEnsembleRegressor(n_jobs=n_jobs)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert vars(net) == vars(TinyMLPEnsembleRegressor(n_jobs=n_jobs))


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_ctrl_c_is_heard_within_a_member(data, n_jobs):
    X, y, *_ = data
    long = TinyMLPRegressor(solver="adam", max_iter=10**6, tol=0.0, n_iter_no_change=np.inf)
    press = threading.Timer(0.3, signal.raise_signal, [signal.SIGINT])
    net = TinyMLPEnsembleRegressor(long, n_jobs=n_jobs, **FEW)
    with pytest.raises(KeyboardInterrupt):
        press.start()
        net.fit(X, y)
    assert not hasattr(net, "estimators_")


# ------------------------------------------------------------------------------ workers


def assert_same_ensemble(net, expected, new):
    """To the last bit, save for the seconds taken."""
    for got, wanted in zip(
        net.predict(new, return_std=True), expected.predict(new, return_std=True), strict=True
    ):
        assert_array_equal(got, wanted)
    assert_array_equal(net.out_of_fold_predictions_, expected.out_of_fold_predictions_)
    for name in set(net.results_) - {"seconds"}:
        assert_array_equal(net.results_[name], expected.results_[name])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "float32", "sparse"])
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_the_outcome_does_not_depend_on_the_backend(data, backend, kind):
    X, y, new, _ = data
    form = {"dense": np.asarray, "float32": np.float32, "sparse": sparse.csr_matrix}[kind]
    if kind == "float32":  # with inputs that are left out
        rng = np.random.default_rng(0)
        X, new = rng.standard_normal((120, 30)), rng.standard_normal((40, 30))
        y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(120)
    weight = np.arange(len(y)) % 3 + 0.5
    shapes = {"hidden_layer_sizes": [(5,), (6,)]}
    expected = TinyMLPEnsembleRegressor(**(FEW | shapes)).fit(form(X), y, weight)
    left_out = [np.isinf(member.alpha_).any() for member in expected.estimators_]
    assert any(left_out) == (kind == "float32")
    with joblib.parallel_config(backend, n_jobs=2):
        net = TinyMLPEnsembleRegressor(**(FEW | shapes)).fit(form(X), y, weight)
    assert_same_ensemble(net, expected, form(new))


def test_threads_share_the_data(data, monkeypatch):
    X, y, *_ = data
    seen, fit = [], TinyMLPRegressor._fit

    def look(self, X, y, weight, *, context):
        seen.append(X)
        return fit(self, X, y, weight, context=context)

    monkeypatch.setattr(TinyMLPRegressor, "_fit", look)
    TinyMLPEnsembleRegressor(n_jobs=2, **BOTH).fit(X, y)
    of_refits = [given for given in seen if len(given) == len(X)]
    assert len(of_refits) == 2 and all(given is X for given in of_refits)


# ------------------------------------------------------------------------------ members given


@pytest.fixture(scope="module")
def members(data):
    X, y, *_ = data
    given = [((3,), slice(0, 60), 1), ((5,), slice(60, 120), 1), ((1,), slice(0, 30), -1)]
    return [
        TinyMLPRegressor("squared_error", shape, alpha="one", random_state=0).fit(
            X[part], sign * y[part]
        )
        for shape, part, sign in given
    ]


def test_members_of_parts_are_weighed_by_rows_new_to_them(data, members):
    X, y, new, truth = data
    net = TinyMLPEnsembleRegressor.from_members(members, new, truth)
    predictions = np.array([member.predict(new) for member in members])
    weights = stacking_weights(
        SQUARED_ERROR, predictions[..., None], truth[:, None], np.ones(len(truth))
    )
    assert_allclose(net.results_["weight"], weights)
    assert weights[2] == 0.0 and len(net.estimators_) == 2  # the last is wrong
    assert_allclose(net.out_of_fold_predictions_, weights @ predictions)
    assert_allclose(net.predict(new), net.out_of_fold_predictions_)
    assert_allclose(
        net.results_["error"], np.sqrt(((predictions - truth) ** 2).mean(1)) / truth.std()
    )
    mean, std = net.predict(new, return_std=True)
    assert 0.9 < np.mean(np.abs(truth - mean) < 1.96 * std) <= 1.0
    assert net.sample_y(new, 3).shape == (len(new), 3)
    assert list(net.results_["hidden_layer_sizes"]) == [(3,), (5,), (1,)]
    assert_array_equal(pickle.loads(pickle.dumps(net)).predict(new), net.predict(new))
    refitted = clone(net).set_params(**FEW).fit(X, y)
    assert_array_equal(refitted.out_of_fold_predictions_.shape, y.shape)


def test_many_members_of_equal_worth_all_have_weight(data, members):
    *_, new, truth = data
    net = TinyMLPEnsembleRegressor.from_members(members[:1] * 50, new, truth)
    assert_allclose(net.weights_, np.full(50, 0.02))


def test_members_know_the_names_of_columns(data):
    pandas = pytest.importorskip("pandas")
    X, y, new, truth = data
    names = [f"column {k}" for k in range(X.shape[1])]
    frame, of_new = pandas.DataFrame(X, columns=names), pandas.DataFrame(new, columns=names)
    member = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(frame, y)
    weight = np.arange(len(truth)) % 2
    net = TinyMLPEnsembleRegressor.from_members([member], of_new, truth, weight)
    assert_array_equal(net.predict(of_new), member.predict(of_new))
    assert list(net.feature_names_in_) == list(member.feature_names_in_) == names
    assert_array_equal(np.isnan(net.out_of_fold_predictions_), weight == 0)
    with pytest.raises(ValueError, match="feature names should match"):
        TinyMLPEnsembleRegressor.from_members([member], of_new[names[::-1]], truth)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m, X, y: ([], X, y), "at least one fitted TinyMLPRegressor"),
        (lambda m, X, y: ([*m, KFold()], X, y), "TinyMLPRegressors, got KFold"),
        (lambda m, X, y: ([*m, clone(m[0])], X, y), "not fitted yet"),
        (lambda m, X, y: (m, X[:, 1:], y), "X has 4 features, but .* expecting 5"),
        (lambda m, X, y: (m, X, np.column_stack([y, y])), "y has 2 outputs, but a member has 1"),
        (lambda m, X, y: (m, X, y, -np.ones(len(y))), "Negative values in data"),
    ],
)
def test_members_that_do_not_fit_are_refused(data, members, change, words):
    *_, new, truth = data
    with pytest.raises(ValueError, match=words):
        TinyMLPEnsembleRegressor.from_members(*change(members, new, truth))


# ------------------------------------------------------------------------------ what fit is given


@pytest.mark.slow
def test_metadata_are_routed_to_it(data):
    X, y, *_ = data
    groups, weight = np.arange(len(y)) // 20, np.ones(len(y))
    with config_context(enable_metadata_routing=True):
        net = TinyMLPEnsembleRegressor(**FEW).set_fit_request(groups=True, sample_weight=True)
        net.set_score_request(sample_weight=True)
        found = cross_validate(
            net,
            X,
            y,
            cv=GroupKFold(2),
            params={"groups": groups, "sample_weight": weight},
            return_estimator=True,
            return_indices=True,
        )
    for fitted, kept in zip(found["estimator"], found["indices"]["train"], strict=True):
        # Three folds of the three groups: each is predicted by members of the others.
        expected = TinyMLPEnsembleRegressor(**FEW).fit(
            X[kept], y[kept], weight[kept], groups=groups[kept]
        )
        assert_array_equal(fitted.out_of_fold_predictions_, expected.out_of_fold_predictions_)


@pytest.mark.parametrize(
    "params, given, words",
    [
        ({"cv": GroupKFold(2)}, {}, "'groups' parameter should not be None"),
        ({}, {"groups": [0, 1]}, "inconsistent numbers of samples"),
        ({}, {"groups": np.arange(121)}, "inconsistent numbers of samples"),
        ({}, {"groups": np.zeros(120)}, "at least 2 groups"),
        ({}, {"sample_weight": -np.ones(120)}, "Negative values in data.*sample_weight"),
        ({}, {"sample_weight": np.zeros(120)}, "non-zero number|must not sum to zero"),
        (
            {"cv": KFold(2)},
            {"sample_weight": np.arange(120) < 60},
            "fold 0 has only rows of zero weight",
        ),
        ({"cv": []}, {}, "cv=.* has no folds"),
        ({"hidden_layer_sizes": []}, {}, "hidden_layer_sizes must contain at least one shape"),
    ],
)
def test_what_cannot_be_split_is_named(data, params, given, words):
    X, y, *_ = data
    with pytest.raises(ValueError, match=words):
        TinyMLPEnsembleRegressor(**(FEW | params)).fit(X, y, **given)


def test_candidates_without_finite_weights_are_left_out(data, monkeypatch):
    X, y, *_ = data
    fit = TinyMLPRegressor._fit

    def diverge(self, *arguments, **options):
        if self.hidden_layer_sizes in bad:
            raise ValueError("Solver produced non-finite parameter weights.")
        return fit(self, *arguments, **options)

    monkeypatch.setattr(TinyMLPRegressor, "_fit", diverge)
    bad = [(3,)]
    net = TinyMLPEnsembleRegressor(**FEW).fit(X, y)
    assert_array_equal(net.results_["n_folds"], [0, 3])
    bad = [(3,), (6,)]
    with pytest.raises(ValueError, match="non-finite"):
        net.fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["several outputs", "sparse", "float32"])
def test_groups_and_weights_with_every_kind_of_data(data, kind):
    X, y, new, _ = data
    if kind == "several outputs":
        y = np.column_stack([y, -y])
    form = {"sparse": sparse.csr_array, "float32": np.float32}.get(kind, np.asarray)
    groups, weight = np.arange(len(y)) % 10, np.arange(len(y)) % 3
    net = TinyMLPEnsembleRegressor(**FEW).fit(form(X), y, weight, groups=groups)
    assert_array_equal(
        np.isnan(net.out_of_fold_predictions_).reshape(len(y), -1)[:, 0], weight == 0
    )
    assert np.isfinite(net.predict(form(new), return_std=True)).all()


@pytest.mark.parametrize(
    "params, words",
    [
        ({"hidden_layer_sizes": "large"}, "hidden_layer_sizes"),
        ({"hidden_layer_sizes": [(0,)]}, "hidden_layer_sizes must be > 0"),
        ({"n_refits": -1}, "n_refits"),
        ({"cv": 0}, "cv"),
        ({"estimator": "mlp"}, "estimator"),
    ],
)
def test_bad_parameters_are_named(data, fitted, params, words):
    X, y, new, _ = data
    net = clone(fitted).fit(X, y)
    before = net.predict(new)
    with pytest.raises(ValueError, match=words):
        net.set_params(**params).fit(X, y)
    assert_array_equal(net.predict(new), before)


def test_noise_is_taken_for_noise():
    rng = np.random.default_rng(0)
    X, y, new = (
        rng.standard_normal((200, 3)),
        rng.standard_normal(200),
        rng.standard_normal((500, 3)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = TinyMLPEnsembleRegressor(**FEW).fit(X, y)
    assert np.std(net.predict(new)) < 0.3
    assert net.noise_std_ == pytest.approx(1.0, rel=0.15)


# ------------------------------------------------------------------------- other losses


def test_weights_of_other_losses_are_those_of_the_least_loss():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((2000, 1))
    noise = rng.standard_normal((2, 2000, 1)) * np.array([0.3, 0.6])[:, None, None]
    by_squares = stacking_weights(SQUARED_ERROR, y + noise, y, np.ones(2000))
    assert_allclose(
        stacking_weights(SQUARED_ERROR, y + noise, y, np.ones(2000)), by_squares, atol=0.02
    )
    # Of outliers the squared error takes the candidate that they draw to themselves.
    far = rng.random((2000, 1)) < 0.05
    wrong = np.where(far, y + 30.0 * rng.standard_normal((2000, 1)), y)
    drawn = np.array([y + noise[0], np.where(far, wrong, y + 3.0 * noise[1])])
    assert stacking_weights(SQUARED_ERROR, drawn, wrong, np.ones(2000))[1] > 0.8
    assert stacking_weights(LOSSES["absolute_error"], drawn, wrong, np.ones(2000))[0] > 0.5


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_an_ensemble_of_quantiles_is_one(data, quantile):
    X, y = make_friedman1(900, n_features=5, noise=1.0, random_state=0)
    template = TinyMLPRegressor("quantile", quantile=quantile)
    net = TinyMLPEnsembleRegressor(
        template, hidden_layer_sizes=[(3,), (5,)], cv=3, n_refits=1, random_state=0
    ).fit(X[:400], y[:400])
    assert np.mean(y[400:] <= net.predict(X[400:])) == pytest.approx(quantile, abs=0.06)
    for ask in (lambda: net.predict(X, return_std=True), lambda: net.predict_interval(X)):
        with pytest.raises(ValueError, match="needs the evidence.*loss='quantile'"):
            ask()


@pytest.mark.parametrize("quantile", [0.02, 0.99])
def test_an_ensemble_takes_quantiles_in_the_tails(data, quantile):
    X, y, *_ = data
    net = TinyMLPEnsembleRegressor(TinyMLPRegressor("quantile", quantile=quantile), **FEW)
    assert np.isfinite(net.fit(X, y).results_["error"]).all()


@pytest.mark.slow
def test_an_ensemble_takes_counts_of_zero(data):
    X, y, *_ = data
    counts = np.random.RandomState(0).poisson(np.exp(0.1 * y))
    counts[:3] = 0
    net = TinyMLPEnsembleRegressor(TinyMLPRegressor("poisson"), **FEW).fit(X, counts)
    assert np.isfinite(net.results_["error"]).all()


@pytest.mark.parametrize("loss", ["huber", "absolute_error", "quantile"])
def test_an_ensemble_of_a_constant_is_that_constant(data, loss):
    net = TinyMLPEnsembleRegressor(TinyMLPRegressor(loss), **FEW)
    assert_allclose(net.fit(data[0], np.full(120, 3.0)).predict(data[0]), 3.0, rtol=1e-3)


def test_members_have_one_loss_that_of_their_training(data):
    X, y, *_ = data
    one = TinyMLPRegressor("squared_error", (3,), alpha="one", random_state=0)
    one.fit(X[:60], y[:60])
    expected = TinyMLPEnsembleRegressor.from_members([one], X[60:], y[60:]).results_
    one.set_params(loss="quantile", hidden_layer_sizes=(9, 9))
    found = TinyMLPEnsembleRegressor.from_members([one], X[60:], y[60:]).results_
    assert_array_equal(found["error"], expected["error"])
    assert found["hidden_layer_sizes"][0] == (3,)
    other = TinyMLPRegressor("quantile", (3,), random_state=0).fit(X[:60], y[:60])
    with pytest.raises(ValueError, match="must have the same loss"):
        TinyMLPEnsembleRegressor.from_members([one, other], X[60:], y[60:])


@pytest.mark.slow
@pytest.mark.parametrize("loss, least", [("gamma", 0.8), ("poisson", 0.65), ("student_t", 0.8)])
def test_an_ensemble_takes_each_loss(data, loss, least):
    X, y, new, truth = data
    net = TinyMLPEnsembleRegressor(TinyMLPRegressor(loss), **FEW).fit(X, np.abs(y) + 1.0)
    assert net.score(new, np.abs(truth) + 1.0) > least
    assert 0.0 < net.results_["error"].min() < 0.6


@pytest.mark.slow
def test_more_units_are_tried_where_the_data_determine_all_weights():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (2500, 4))
    y = np.sin(4 * X[:, 0] * X[:, 1]) + np.sin(5 * X[:, 2]) * np.cos(5 * X[:, 3])
    template = TinyMLPRegressor(random_state=1)

    def tried(targets, rows, **params):
        net = clone(template).set_params(**params).fit(X[: len(targets)], targets)
        candidate = Candidate(KINDS[0] | params, template, [net], [0.1])
        return larger_layers([candidate], template, rows)

    assert tried(y[:1250], X) == [KINDS[0] | {"hidden_layer_sizes": (32, 32)}]
    assert tried(y[:1250], X[:2400]) == []  # two rows for each weight
    assert tried(y[:1250], X, hidden_layer_sizes=(8, 8)) == []
    assert tried(y[:400] + rng.standard_normal(400), X) == []


def test_larger_layers_are_trained_and_weighted(data, monkeypatch):
    X, y, *_ = data
    larger = {"hidden_layer_sizes": (7,), "inputs": "raw", "alpha": "one"}
    monkeypatch.setattr(ensemble_fit, "larger_layers", lambda *_: [larger])
    net = TinyMLPEnsembleRegressor(cv=2, n_refits=0, random_state=0).fit(X[:60], y[:60])
    assert net.results_["hidden_layer_sizes"][-1] == (7,)
    assert_array_equal(net.results_["n_folds"], [2] * (len(KINDS) + 1))
