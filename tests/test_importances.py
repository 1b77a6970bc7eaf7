"""`feature_importances_`: against closed forms and naive loops; and what reads it or its like."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from scipy.stats import spearmanr
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_friedman1
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import RFECV, SelectFromModel
from sklearn.inspection import permutation_importance
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._training import importances

# Networks are trained for some 30 iterations at most: importances are those of any weights.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)) * [1.0, 10.0, 1.0, 0.1]
y = np.sin(2 * X[:, 0]) + 0.05 * X[:, 1] + 0.05 * RNG.standard_normal(60)
WEIGHT = RNG.integers(0, 3, 60).astype(float)


def fitted(X=X, y=y, sample_weight=None, **params):
    params = {"hidden_layer_sizes": (4,), "max_iter": 30, "alpha": 0.1, "random_state": 0} | params
    return TinyMLPRegressor(**params).fit(X, y, sample_weight)


def over_all_pairs(predict, X, weight):
    """Mean squared change over all pairs of rows, in units of each output's variance."""
    here = predict(X).reshape(len(X), -1)
    mean = np.average(here, axis=0, weights=weight)
    variance = np.average((here - mean) ** 2, axis=0, weights=weight)
    variance[variance == 0] = 1.0
    changes = np.zeros(X.shape[1])
    for j in range(X.shape[1]):
        for i in range(len(X)):
            for k in set(range(len(X))) - {i}:
                row = X[i : i + 1].copy()
                row[0, j] = X[k, j]
                change = predict(row).ravel() - here[i]
                changes[j] += weight[i] * weight[k] * np.sum(change**2 / variance)
    return changes / changes.sum()


@pytest.mark.parametrize("weight", [None, np.array([1, 0, 2, 1, 3, 1, 1, 2, 1, 1, 0.0])])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_with_as_many_partners_as_rows_it_is_the_mean_over_all_pairs(weight, form, n_outputs):
    few, target = X[:11], y[:11]
    if n_outputs == 2:
        target = np.column_stack([target, 1000 * few[:, 2] * few[:, 3]])
    net = fitted(form(few), target, weight, hidden_layer_sizes=(3, 2), alpha=1e-3)
    expected = over_all_pairs(net.predict, few, np.ones(11) if weight is None else weight)
    assert_allclose(net.feature_importances_, expected, rtol=1e-8)


def test_of_a_linear_network_it_is_the_share_of_the_variance():
    net = fitted(X[:11], y[:11], hidden_layer_sizes=())
    shares = (net.coefs_[0].ravel() * X[:11].std(axis=0)) ** 2
    assert_allclose(net.feature_importances_, shares / shares.sum())


def test_it_does_not_depend_on_the_blocks_of_inputs(monkeypatch):
    net = fitted()
    whole = net.feature_importances_
    monkeypatch.setattr(importances, "BLOCK_VALUES", 60 * 4 * 2)
    assert_allclose(net.feature_importances_, whole, rtol=1e-12)


@pytest.mark.parametrize("solver", ["auto", "lm", "lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_every_solver_has_importances(solver, dtype):
    assert not hasattr(TinyMLPRegressor(solver=solver), "feature_importances_")
    with pytest.raises(NotFittedError):
        TinyMLPRegressor(solver=solver).feature_importances_  # noqa: B018
    net = fitted(X.astype(dtype), solver=solver, standardize=True)
    found = net.feature_importances_
    assert found.shape == (4,) and found.dtype == np.float64
    assert (found >= 0).all() and found.sum() == pytest.approx(1.0)
    assert_array_equal(found, net.feature_importances_)


def test_an_input_left_out_and_a_constant_one_have_none():
    idle = np.column_stack([X[:, 0], np.full(60, 7.0)])
    assert_array_equal(fitted(idle).feature_importances_, [1.0, 0.0])
    net = fitted()
    net.coefs_[0][2] = 0.0
    assert net.feature_importances_[2] == 0.0


@pytest.mark.parametrize("rows", [1, 60])
def test_a_network_that_predicts_a_constant_has_zeros(rows):
    net = fitted(X[:rows], np.ones(rows), solver="lbfgs", standardize=True)
    net.coefs_[-1][:] = 0.0
    assert_array_equal(net.feature_importances_, np.zeros(4))


def test_values_beyond_all_bounds_give_numbers():
    net = fitted(y=1e150 * y, alpha="one")
    assert_allclose(net.feature_importances_, fitted(alpha="one").feature_importances_, rtol=0.2)
    net = fitted(y=np.abs(y), loss="poisson", solver="lbfgs", standardize=True)
    net.coefs_[-1] *= 1e4  # exp overflows
    found = net.feature_importances_
    assert np.isfinite(found).all() and found.sum() == pytest.approx(1.0)


@pytest.mark.slow
def test_partial_fit_keeps_the_last_rows_it_saw(monkeypatch):
    net = TinyMLPRegressor(solver="sgd", random_state=0)
    for row in range(30):  # one at a time
        net.partial_fit(X[row : row + 1], y[row : row + 1])
    assert_array_equal(net._seen_rows.X, X[:30])
    assert net.feature_importances_.sum() == pytest.approx(1.0)
    monkeypatch.setattr(importances, "MAX_SEEN_ROWS", 20)
    net.partial_fit(X[30:45], y[30:45], WEIGHT[30:45])
    seen, weight = net._seen_rows
    last = [*range(25, 30), *(30 + np.flatnonzero(WEIGHT[30:45]))]
    assert_array_equal(seen[-len(last) :], X[last])
    assert_array_equal(weight[-len(last) :], [1] * 5 + list(WEIGHT[last[5:]]))
    net.partial_fit(sparse.csr_matrix(X[45:]), y[45:])
    assert_allclose(net._seen_rows.X.toarray()[-15:], X[45:])
    net.fit(X[:8], y[:8])
    assert_array_equal(net._seen_rows.X, X[:8])


def test_of_many_rows_some_are_kept_and_none_is_the_users(monkeypatch):
    monkeypatch.setattr(importances, "MAX_SEEN_ROWS", 20)
    own = X.copy()
    net = fitted(own, y, WEIGHT)
    before = net.feature_importances_
    seen, weight = net._seen_rows
    assert seen.shape == (20, 4) and (weight > 0).all()
    places = np.sort([np.flatnonzero((X == row).all(axis=1))[0] for row in seen])
    assert (WEIGHT[places] > 0).all()
    assert len(set(places)) > 12 and np.diff(places).max() < 12  # from everywhere
    own[:] = 0.0
    assert_array_equal(net.feature_importances_, before)


@pytest.fixture(scope="module")
def friedman():
    return make_friedman1(300, n_features=8, noise=0.5, random_state=0)


def test_it_ranks_as_permutation_importance_does(friedman):
    X, y = friedman
    net = TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0).fit(X[:200], y[:200])
    permuted = permutation_importance(net, X[200:], y[200:], n_repeats=5, random_state=0)
    assert spearmanr(net.feature_importances_[:5], permuted.importances_mean[:5]).statistic > 0.85
    assert net.feature_importances_[5:].max() < net.feature_importances_[:5].min()


def test_select_from_model_and_rfecv_need_no_argument(friedman):
    X, y = friedman[0][:120], friedman[1][:120]
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), alpha="one", random_state=0)
    chosen = SelectFromModel(net).fit(X, y)
    assert_array_equal(
        chosen.get_support(),
        chosen.estimator_.feature_importances_ >= chosen.estimator_.feature_importances_.mean(),
    )
    assert not chosen.get_support()[5:].any() and chosen.get_support()[3]
    left = RFECV(net, cv=2, step=2).fit(X, y)
    assert left.support_[[0, 1, 3]].all() and left.n_features_ < 8


def test_of_an_ensemble_it_is_the_weighted_mean_of_the_members(friedman):
    X, y = friedman[0][:100], friedman[1][:100]
    ensemble = TinyMLPEnsembleRegressor(
        hidden_layer_sizes=[(2,), (4,)], cv=2, n_refits=1, random_state=0
    )
    assert not hasattr(ensemble, "feature_importances_")
    ensemble.fit(X, y)
    mean = sum(
        weight * member.feature_importances_
        for weight, member in zip(ensemble.weights_, ensemble.estimators_, strict=True)
    )
    assert_allclose(ensemble.feature_importances_, mean)
    assert ensemble.feature_importances_.sum() == pytest.approx(1.0)
    assert SelectFromModel(ensemble, prefit=True).get_support()[3]


@pytest.mark.parametrize("explainer", ["permutation", "exact"])
def test_shap_explains_a_pipeline(explainer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        shap = pytest.importorskip("shap", reason="shap is not installed")
        model = make_pipeline(StandardScaler(), fitted()).fit(X, y)
        explained = shap.Explainer(model.predict, X[:20], algorithm=explainer)(X[:5])
    assert explained.values.shape == (5, 4)
    assert_allclose(
        explained.values.sum(axis=1) + explained.base_values, model.predict(X[:5]), rtol=1e-6
    )
    assert np.abs(explained.values).mean(axis=0).argmax() in (0, 1)


def test_permutation_importance_of_a_pipeline_with_strings():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"x": X[:, 0], "kind": np.where(X[:, 2] > 0, "a", "b"), "idle": X[:, 3]}
    )
    target = X[:, 0] + 3.0 * (X[:, 2] > 0)
    encoded = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    model = make_pipeline(encoded, fitted()).fit(frame, target)
    permuted = permutation_importance(model, frame, target, n_repeats=3, random_state=0)
    assert list(np.argsort(-permuted.importances_mean)) == [1, 0, 2]
