"""`predict_interval` of a network within a pipeline, a search, a transformed target."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor, predict_interval


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (150, 2))
    return X, np.exp(np.sin(X[:, 0]) + 0.1 * rng.standard_normal(150))


def test_a_pipeline_and_a_search_are_their_last_step(data):
    X, y = data
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), alpha="one", random_state=0)
    double = FunctionTransformer(lambda X: 2 * X)
    expected = net.fit(2 * X, y).predict_interval(2 * X, 0.8)
    pipeline = make_pipeline(double, net).fit(X, y)
    assert_array_equal(predict_interval(pipeline, X, 0.8), expected)
    search = GridSearchCV(pipeline, {"tinymlpregressor__alpha": ["one"]}, cv=2).fit(X, y)
    assert_array_equal(predict_interval(search, X, 0.8), expected)
    assert_array_equal(predict_interval(net, 2 * X, 0.8), expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_limits_of_a_transformed_target_are_transformed_back(data, sign):
    X, y = data
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), alpha="one", random_state=0)
    model = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), net),
        func=lambda y: sign * np.log(y),
        inverse_func=lambda z: np.exp(sign * z),
    ).fit(X, y)
    inner = model.regressor_
    limits = inner[-1].predict_interval(inner[:-1].transform(X), 0.9)
    assert_allclose(predict_interval(model, X, 0.9), np.sort(np.exp(sign * limits), axis=1))
    lower, upper = predict_interval(model, X, 0.9).T
    assert 0.85 < np.mean((lower <= y) & (y <= upper)) < 0.96


def test_several_outputs_and_an_ensemble(data):
    X, y = data
    Y = np.column_stack([y, -y])
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), alpha="one", random_state=0)
    model = TransformedTargetRegressor(net, transformer=StandardScaler()).fit(X, Y)
    found, direct = predict_interval(model, X), net.fit(X, Y).predict_interval(X)
    assert found.shape == (150, 2, 2)
    assert_allclose(found, direct, rtol=1e-3, atol=1e-3)
    ensemble = TinyMLPEnsembleRegressor(
        net, hidden_layer_sizes=[(2,)], cv=2, n_refits=1, random_state=0
    )
    pipeline = make_pipeline(StandardScaler(), ensemble).fit(X, y)
    expected = pipeline[-1].predict_interval(pipeline[:-1].transform(X))
    assert_array_equal(predict_interval(pipeline, X), expected)


def test_other_estimators_are_refused(data):
    X, y = data
    with pytest.raises(TypeError, match=r"that contains one, got Ridge\(\)"):
        predict_interval(make_pipeline(StandardScaler(), Ridge()).fit(X, y), X)
