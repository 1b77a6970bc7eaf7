"""Inputs clipped or as ramps: a network of the features, with a first layer that is not trained."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_tinymlp import PiecewiseLinearEncoder, TinyMLPRegressor, to_python
from sklearn_tinymlp._data.input_layer import InputLayer
from sklearn_tinymlp._data.piecewise_linear import bin_edges, quantiles

KINDS = "clipped", "ramps"


def mixed(seed=0, n=150):
    """Columns of different kinds: normal, far from zero, binary, few values, constant."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 5)) * [1, 5, 1, 1, 0] + [0, 300, 0, 0, 2]
    X[:, 2] = X[:, 2] > 0
    X[:, 3] = rng.integers(0, 3, n)
    return X, np.sin(X[:, 0]) + (X[:, 1] > 301) + X[:, 2] * X[:, 3] + 0.1 * rng.normal(size=n)


def features(kind, X):
    """Compute the features by their formulas."""
    if kind == "ramps":
        return PiecewiseLinearEncoder().fit(X).transform(X)
    low, middle, high = quantiles(X, (0.25, 0.5, 0.75))
    scale = (high - low) / 1.349
    scale = np.where(scale > 0, scale, X.std(axis=0))
    return 3 * np.tanh((X - middle) / (3 * np.where(scale > 0, scale, 1.0)))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_weight_do_not_shape_the_layer(kind):
    X, _ = mixed()
    X[:, 4] = np.arange(len(X)) < 3  # without an interquartile range
    extra, weight = X[:20] * 7.0 - 3.0, np.ones(len(X) + 20)
    weight[len(X) :] = 0.0
    layers = InputLayer.of(kind, X, None), InputLayer.of(kind, np.vstack([X, extra]), weight)
    for one, other in zip(*(layer.features(X) for layer in layers), strict=True):
        assert_allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "params",
    [
        {"alpha": "layer"},
        {"alpha": "layer", "early_stopping": True},
        {"alpha": 0.1, "solver": "lbfgs", "standardize": True},
        {"alpha": 0.1, "solver": "adam", "standardize": True, "max_iter": 15},
        {"alpha": 0.1, "solver": "sgd", "standardize": True, "max_iter": 15},
        {"alpha": "layer", "hidden_layer_sizes": ()},
    ],
)
# A few iterations suffice to compare two fits.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_network_is_that_of_its_features(kind, params):
    X, y = mixed()
    Z = features(kind, X)
    net = TinyMLPRegressor(inputs=kind, random_state=0, **params).fit(X, y)
    other = TinyMLPRegressor(random_state=0, **params).fit(Z, y)
    assert_allclose(net.predict(X), other.predict(Z), rtol=1e-8, atol=1e-8)
    assert len(net.coefs_) == len(other.coefs_) + 1
    assert net.n_parameters_ == other.n_parameters_ and net.n_features_in_ == 5
    if other._posterior is not None:
        std, expected = (m.predict(D, return_std=True)[1] for m, D in ((net, X), (other, Z)))
        assert_allclose(std, expected, rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_beyond_the_range_the_layer_is_its_formula(kind):
    X, _ = mixed()
    layer, new = InputLayer.of(kind, X, None), 10 * X + 3
    first, offset, mix, shift = layer._units()
    z = new @ first + offset
    units = np.tanh(z) if kind == "clipped" else np.maximum(z, 0)
    assert_allclose(units @ mix + shift, layer.features(new), rtol=1e-9, atol=1e-9)
    coefs = [np.random.default_rng(0).normal(size=(mix.shape[1], 3)), np.ones((3, 1))]
    intercepts = [np.arange(3.0), np.ones(1)]
    again = layer.removed(*layer.prepended(coefs, intercepts))
    for part, expected in zip(again, (coefs, intercepts), strict=True):
        for array, other in zip(part, expected, strict=True):
            assert_allclose(array, other, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_computed_from_the_weights_refers_to_the_users_columns(kind):
    X, y = mixed()
    net = TinyMLPRegressor(inputs=kind, random_state=0).fit(X, y)
    source = {}
    exec(to_python(net), source)
    assert_allclose(source["predict"](X), net.predict(X), rtol=1e-9)
    importances = net.feature_importances_
    assert importances.shape == (5,) and importances[4] < 1e-12
    gradient = net.predict_gradient(X[:20])
    step = 1e-6 * np.eye(5)
    inside = [net.predict(X[:20] + h) - net.predict(X[:20] - h) for h in step]
    numeric = np.column_stack(inside) / 2e-6
    far = np.abs(gradient - numeric) > 1e-4 * (1 + np.abs(numeric))
    assert far[:, :2].mean() < 0.1  # at a bend the derivative is one-sided
    assert_array_equal(pickle.loads(pickle.dumps(net)).predict(X), net.predict(X))
    assert net.diagnose(X, y) is not None
    names = TinyMLPRegressor(inputs=kind, alpha="input", random_state=0).fit(X, y).alpha_groups_
    assert names[:5] == [f"coefs of x{k}" for k in range(5)]


@pytest.mark.parametrize("kind", KINDS)
def test_units_of_columns_order_of_rows_and_weights(kind):
    X, y = mixed()
    params = {"inputs": kind, "alpha": "layer", "random_state": 0}
    expected = TinyMLPRegressor(**params).fit(X, y).predict(X)
    scale, shift = np.array([2.0, 0.5, 4.0, 8.0, 1.0]), np.array([1.0, -5.0, 0.0, 3.0, 0.0])
    scaled = TinyMLPRegressor(**params).fit(scale * X + shift, y)
    assert_allclose(scaled.predict(scale * X + shift), expected, rtol=1e-6, atol=1e-6)
    counts = np.random.default_rng(1).integers(0, 3, len(y))
    weighted = TinyMLPRegressor(**params).fit(X, y, counts).predict(X)
    repeated = np.repeat(np.arange(len(y)), counts)
    layer = InputLayer.of(kind, X, counts.astype(float))
    assert_allclose(layer.features(X), InputLayer.of(kind, X[repeated], None).features(X))
    assert np.isfinite(weighted).all()


@pytest.mark.parametrize("kind", KINDS)
def test_warm_start_float32_and_search(kind):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:120], y[:120]
    net = TinyMLPRegressor(inputs=kind, alpha="one", random_state=0, warm_start=True).fit(X, y)
    before = net.log_evidence_
    assert net.fit(X, y).log_evidence_ >= before - 1e-6 * abs(before)
    with pytest.raises(ValueError, match=f"inputs='{kind}', but inputs='raw'"):
        net.set_params(inputs="raw").fit(X, y)
    single = TinyMLPRegressor(inputs=kind, alpha="one", random_state=0)
    single.fit(X.astype(np.float32), y.astype(np.float32))
    assert single.predict(X.astype(np.float32)).dtype == single.coefs_[0].dtype == np.float32
    search = GridSearchCV(
        TinyMLPRegressor(hidden_layer_sizes=(3,), alpha="one", random_state=0),
        {"inputs": ["raw", "clipped", "ramps"]},
        cv=2,
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        online = TinyMLPRegressor(inputs=kind, solver="adam", random_state=0).partial_fit(X, y)
        online.partial_fit(X[:50], y[:50])
    assert clone(online).inputs == kind


@pytest.mark.parametrize("kind", KINDS)
def test_errors_name_the_parameter(kind):
    X, y = mixed()
    net = TinyMLPRegressor(inputs=kind, random_state=0)
    with pytest.raises(ValueError, match=f"inputs='{kind}' needs a dense X"):
        net.fit(sparse.csr_matrix(X), y)
    with pytest.raises(ValueError, match=f"inputs='{kind}' needs intercepts"):
        TinyMLPRegressor(inputs=kind, bias=False).fit(X, y)
    net.fit(X, y)
    assert_allclose(net.predict(sparse.csr_matrix(X)), net.predict(X), rtol=1e-6)
    with pytest.raises(ValueError, match="'inputs' parameter"):
        TinyMLPRegressor(inputs="steps").fit(X, y)


def test_ramps_are_the_formula_and_add_up_to_the_feature():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 1))
    encoder = PiecewiseLinearEncoder(n_bins=4).fit(X)
    (edges,) = encoder.bin_edges_
    assert_array_equal(edges, np.sort(X[:, 0])[[0, 9, 19, 29, 39]])
    new = np.linspace(-5, 5, 101)[:, np.newaxis]
    ramps = encoder.transform(new)
    assert_allclose(ramps @ np.diff(edges) + edges[0], new[:, 0])
    assert_allclose(ramps[:, 1:3], np.clip((new - edges[1:3]) / np.diff(edges)[1:3], 0, 1))
    assert (ramps[:, 0] <= 1).all() and (ramps[:, 3] >= 0).all()
    assert list(encoder.get_feature_names_out(["age"])) == ["age_0", "age_1", "age_2", "age_3"]


def test_the_encoder_takes_weights_float32_frames_and_is_part_of_a_pipeline():
    X, y = make_friedman1(150, n_features=6, random_state=0)
    counts = np.random.default_rng(0).integers(0, 4, 150)
    weighted = PiecewiseLinearEncoder().fit(X, sample_weight=counts)
    repeated = PiecewiseLinearEncoder().fit(np.repeat(X, counts, axis=0))
    for one, other in zip(weighted.bin_edges_, repeated.bin_edges_, strict=True):
        assert_array_equal(one, other)
    assert PiecewiseLinearEncoder().fit_transform(X.astype(np.float32)).dtype == np.float32
    frame = pd.DataFrame(X, columns=list("abcdef"))
    out = PiecewiseLinearEncoder(3).set_output(transform="pandas").fit_transform(frame)
    assert list(out.columns[:4]) == ["a_0", "a_1", "a_2", "b_0"]
    linear = LinearRegression().fit(X, y).score(X, y)
    assert (
        make_pipeline(PiecewiseLinearEncoder(), LinearRegression()).fit(X, y).score(X, y) > linear
    )
    constant = PiecewiseLinearEncoder().fit(np.ones((5, 1)))
    assert_array_equal(constant.transform([[1.0], [3.0]]), [[0.0], [2.0]])
    assert [len(e) for e in bin_edges(np.array([[0.0, 1], [1, 1]]), 5)] == [2, 1]
