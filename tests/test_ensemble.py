"""The ensemble: its folds, weights, members and band, and what a user may do with it."""

import pickle
import signal
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.model_selection import GroupKFold, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor, _ensemble, diagnose
from sklearn_tinymlp._race import band, race, refits
from sklearn_tinymlp._race.candidates import SHAPES, Candidate
from sklearn_tinymlp._race.folds import splits_of
from sklearn_tinymlp._race.stacking import stacked

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
    weights = stacked(y + noise, y, np.ones(4000))
    assert weights.sum() == pytest.approx(1.0)
    # Of independent errors the best weights are as the inverse of their variances: 4 to 1.
    assert_allclose(weights[:2], [0.8, 0.2], atol=0.04)
    assert weights[2] == 0.0
    equal = stacked(y[:10] + noise[:2, :10] * 0.0, y[:10], np.ones(10))
    assert_allclose(equal, [0.5, 0.5])
    # A row of weight 2 is that row twice.
    counts = rng.integers(1, 4, 50).astype(float)
    rows = np.repeat(np.arange(50), counts.astype(int))
    by_count = stacked((y + noise)[:2, :50], y[:50], counts)
    repeated = stacked((y + noise)[:2, rows], y[rows], np.ones(len(rows)))
    assert_allclose(by_count, repeated, atol=0.02)


def test_the_band_is_that_of_a_mixture_and_holds_its_share():
    weights, means = np.array([0.25, 0.75]), np.array([[[0.0]], [[4.0]]])
    mean, variance = band.mixture(weights, means, np.ones((2, 1, 1)))
    assert mean == 3.0 and variance == 1.0 + 0.25 * 9 + 0.75 * 1
    rng = np.random.default_rng(0)
    y = 2.0 * rng.standard_normal((5000, 1))
    zero, one, count = np.zeros((5000, 1)), np.ones((5000, 1)), np.ones(5000)
    assert_allclose(band.scale_of(y, zero, one, count), 2.0, rtol=0.05)
    assert_array_equal(band.scale_of(y[:9], zero[:9], one[:9], count[:9]), [1.0])


class Constant:
    """Predicts one number."""

    def __init__(self, value):
        self.value = value

    def predict(self, X):
        return np.full(len(X), self.value)


def test_a_member_that_goes_where_no_other_goes_is_left_out():
    X = np.random.default_rng(0).standard_normal((50, 2))
    others, error = [Constant(0.9), Constant(1.1)], np.array([0.2])
    draw = np.random.RandomState(0)
    assert refits.agrees(Constant(1.1), others, X, error, draw)
    assert not refits.agrees(Constant(1.5), others, X, error, draw)

    class Wild(Constant):
        def predict(self, X):
            return np.where(X[:, 0] > 0.8, 9.0, 1.0)

    assert not refits.agrees(Wild(1.0), others, X, error, draw)


def run_race(errors, n_folds=4, forbidden=None, **options):
    """Run a race in which the error of a shape is given, or a function of the fold."""
    trained = []

    def train(candidate, fold):
        trained.append((candidate, fold))
        value = errors.get(candidate.hidden_layer_sizes, 9.0)
        value = value(fold) if callable(value) else value
        return object(), value, None

    ran = race.Race(
        train,
        lambda mean, fold: mean**2,
        n_folds,
        lambda jobs: [job() for job in jobs],
        bool,
        lambda candidate: candidate.hidden_layer_sizes != forbidden,
    )
    finished = ran.run([Candidate(shape, "tanh") for shape in SHAPES], **options)
    return [runner.candidate for runner in finished], trained


def test_hopeless_candidates_train_on_no_more_folds():
    errors = {
        (5,): 1.0,
        (10,): 1.05,
        (20,): 1.25,
        (10, 10): 2.0,
        (16, 16): lambda k: 1 + 5 * (k > 2),
    }
    finished, trained = run_race(errors, grow=False, vary=False)
    assert finished == [Candidate((5,), "tanh"), Candidate((10,), "tanh")]
    folds = {shape: [k for c, k in trained if c.hidden_layer_sizes == shape] for shape in SHAPES}
    assert folds[(10, 10)] == [0] and folds[(20,)] == [0, 1] and folds[(16, 16)] == [0, 1, 2, 3]


def test_a_candidate_left_behind_by_luck_comes_back():
    errors = {(5,): 1.0, (10,): lambda k: 0.5 if k == 0 else 3.0}
    finished, trained = run_race(errors, grow=False, vary=False)
    assert finished == [Candidate((5,), "tanh")]
    assert [k for c, k in trained if c.hidden_layer_sizes == (5,)] == [0, 1, 2, 3]


def test_shapes_grow_while_the_largest_is_the_best():
    errors = dict(zip(SHAPES, (1.1, 1.09, 1.08, 1.07, 1.0), strict=True))

    def largest(**options):
        _, trained = run_race(grow=True, vary=False, **options)
        return max(c.hidden_layer_sizes for c, _ in trained if len(c.hidden_layer_sizes) == 2)

    assert largest(errors=errors | {(24, 24): 0.9, (32, 32): 0.95}) == (32, 32)
    assert largest(errors=errors | {(24, 24): 0.96}) == (24, 24)  # too little gained
    assert largest(errors=errors | {(16, 16): 1.06}) == (16, 16)
    assert largest(errors=errors | {(24, 24): 0.9}, forbidden=(24, 24)) == (16, 16)
    assert largest(errors=errors | {(24, 24): 0.9}, forbidden=(32, 32)) == (24, 24)
    _, trained = run_race(errors, grow=False, vary=True)
    varied = {c for c, _ in trained if c.activation != "tanh"}
    assert varied == {Candidate(s, a) for s in ((16, 16), (10, 10)) for a in ("silu", "sin")}


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


def raise_keyboard_interrupt(*arguments, **options):
    raise KeyboardInterrupt


def test_ctrl_c_keeps_the_members_done(data, monkeypatch):
    X, y, new, _ = data
    fit, calls = TinyMLPRegressor._fit, []

    def press(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return fit(self, *arguments, **options)

    monkeypatch.setattr(TinyMLPRegressor, "_fit", press)
    with pytest.warns(UserWarning, match="interrupted by user"):
        net = TinyMLPEnsembleRegressor(**FEW).fit(X, y)
    assert len(calls) == 4 and len(net.estimators_) >= 2
    assert np.isfinite(net.predict(new)).all()
    before = vars(net).copy()
    monkeypatch.setattr(TinyMLPRegressor, "_fit", raise_keyboard_interrupt)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y)
    assert vars(net) == before


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
