"""Gradients by the inputs, by central differences; activations of hidden layers, by hand."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError

from sklearn_tinymlp import Activation, TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._activations.table import BUILT_IN, HIDDEN_ACTIVATIONS
from sklearn_tinymlp._network import derivatives

# Networks are trained for a few iterations only: a gradient is right wherever the weights are.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
SCALES = np.array([1.0, 100.0, 0.01])
X = 5.0 * SCALES + SCALES * RNG.standard_normal((40, 3))  # raw: far from standardised
Z = (X / SCALES) - 5.0
y = 1000.0 + 30.0 * np.sin(Z[:, 0]) + 10.0 * Z[:, 1] * Z[:, 2]
Y = np.column_stack([y, Z[:, 0] ** 2, 0.001 * Z[:, 2]])
NEW = 5.0 * SCALES + SCALES * RNG.standard_normal((7, 3))

BUMP = Activation(lambda z: np.exp(-z * z), lambda z: -2 * z * np.exp(-z * z), name="bump")


def fitted(X=X, y=y, **params):
    params = {"hidden_layer_sizes": (4,), "max_iter": 5, "alpha": 0.1, "random_state": 0} | params
    return TinyMLPRegressor(**params).fit(X, y)


def central_differences(predict, X, steps):
    columns = []
    for j, step in enumerate(steps):
        move = np.zeros(X.shape[1])
        move[j] = step
        columns.append((predict(X + move) - predict(X - move)) / (2 * step))
    return np.stack(columns, axis=1)


def assert_is_gradient(net, rtol=1e-6):
    gradient = net.predict_gradient(NEW)
    expected = central_differences(net.predict, NEW, 1e-5 * SCALES)
    assert gradient.shape == expected.shape == (7, 3, *net.predict(NEW).shape[1:])
    assert np.abs(expected).max(axis=(0, 1)).min() > 0
    unit = SCALES if gradient.ndim == 2 else SCALES[:, np.newaxis]
    largest = np.abs(expected * unit).max(axis=(0, 1))
    assert_allclose(gradient * unit / largest, expected * unit / largest, atol=rtol)


@pytest.mark.parametrize("activation", [*HIDDEN_ACTIVATIONS, BUMP])
def test_gradient_through_each_hidden_activation(activation):
    assert_is_gradient(fitted(activation=activation))


@pytest.mark.parametrize("output_activation", [*BUILT_IN, BUMP])
def test_gradient_goes_through_the_output_activation(output_activation):
    target = (y - y.min()) / np.ptp(y)
    net = fitted(y=target, output_activation=output_activation, solver="lbfgs", standardize=True)
    assert_is_gradient(net)


CONFIGURATIONS = {
    "no hidden layer": {"hidden_layer_sizes": ()},
    "three layers": {"hidden_layer_sizes": (5, 4, 3), "activation": ["tanh", "gelu", "sin"]},
    "without bias": {"bias": False},
    "several outputs": {"y": Y, "hidden_layer_sizes": (5, 4)},
    "by the evidence": {"alpha": "auto", "max_iter": 50},
    "sgd": {"solver": "sgd", "standardize": True},
    "poisson": {"y": np.abs(y), "loss": "poisson", "standardize": True, "solver": "lbfgs"},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_gradient_of_each_kind_of_network(name):
    assert_is_gradient(fitted(**CONFIGURATIONS[name]))


def test_gradient_of_sparse_rows_is_that_of_dense_ones():
    thin = np.where(RNG.random(X.shape) < 0.5, 0.0, X)
    net = fitted(sparse.csr_array(thin))
    gradient = net.predict_gradient(sparse.csr_matrix(thin))
    assert isinstance(gradient, np.ndarray)
    assert_allclose(gradient, net.predict_gradient(thin), rtol=1e-12)
    assert_is_gradient(net)


@pytest.mark.slow
def test_gradient_is_single_where_rows_and_network_are():
    net = fitted(Z.astype(np.float32), y, solver="adam", standardize=True)
    rows = (NEW / SCALES - 5.0).astype(np.float32)
    single = net.predict_gradient(rows)
    assert single.dtype == np.float32
    double = net.predict_gradient(rows.astype(np.float64))
    assert double.dtype == np.float64
    assert_allclose(single, double, rtol=1e-3, atol=1e-4 * np.abs(double).max())


def test_gradient_does_not_depend_on_the_blocks_of_rows(monkeypatch):
    net = fitted(y=Y, hidden_layer_sizes=(5, 4))
    whole = net.predict_gradient(X)
    monkeypatch.setattr(derivatives, "NUMBERS", 45)  # three rows
    assert_allclose(net.predict_gradient(X), whole, rtol=1e-12)


@pytest.fixture(scope="module")
def ensemble():
    template = TinyMLPRegressor(max_iter=20)
    return TinyMLPEnsembleRegressor(
        template, hidden_layer_sizes=[(2,), (3, 3)], cv=2, n_refits=1, random_state=0
    ).fit(X, Y)


def test_gradient_of_an_ensemble_is_that_of_its_predictions(ensemble):
    assert len(ensemble.estimators_) > 1
    assert_is_gradient(ensemble)


# ------------------------------------------------------------------------------ hidden layers


def test_hidden_activations_are_those_computed_by_hand():
    net = fitted(hidden_layer_sizes=(5, 4), activation=["tanh", "relu"])
    first = np.tanh(NEW @ net.coefs_[0] + net.intercepts_[0])
    second = np.maximum(0.0, first @ net.coefs_[1] + net.intercepts_[1])
    for layer, expected in ((0, first), (1, second), (-1, second), (-2, first)):
        assert_allclose(net.hidden_activations(NEW, layer), expected, rtol=1e-10, atol=1e-12)
    assert_array_equal(net.hidden_activations(NEW), net.hidden_activations(NEW, layer=1))
    output = net.hidden_activations(NEW) @ net.coefs_[2] + net.intercepts_[2]
    assert_allclose(output.ravel(), net.predict(NEW), rtol=1e-10)


@pytest.mark.slow
def test_hidden_activations_without_bias_of_sparse_and_single_rows():
    net = fitted(Z.astype(np.float32), y, bias=False, solver="adam")
    rows = Z[:5].astype(np.float32)
    expected = np.tanh(rows @ net.coefs_[0])
    for given in (rows, sparse.csr_array(rows)):
        found = net.hidden_activations(given)
        assert found.dtype == np.float32
        assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert net.hidden_activations(rows.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize(
    ("sizes", "layer", "error", "message"),
    [
        (
            (5, 4),
            2,
            ValueError,
            "layer=2 is not a hidden layer.*has 2 hidden layers; .*between -2 and 1",
        ),
        ((5, 4), -3, ValueError, "layer=-3 is not a hidden layer"),
        ((), -1, ValueError, "layer=-1 is not a hidden layer.*has 0 hidden layers; choose none"),
        ((5,), 0.0, TypeError, "layer must be an instance of int"),
        ((5,), "first", TypeError, "layer must be an instance of int"),
    ],
)
def test_a_layer_that_is_not_there_is_refused(sizes, layer, error, message):
    net = fitted(hidden_layer_sizes=sizes)
    with pytest.raises(error, match=message):
        net.hidden_activations(NEW, layer)


@pytest.mark.parametrize("method", ["predict_gradient", "hidden_activations"])
def test_what_is_not_fitted_or_does_not_fit_is_refused(method, ensemble):
    with pytest.raises(NotFittedError):
        getattr(TinyMLPRegressor(), method)(X)
    with pytest.raises(ValueError, match="X has 2 features"):
        getattr(fitted(), method)(X[:, :2])
    if method == "predict_gradient":
        with pytest.raises(NotFittedError):
            TinyMLPEnsembleRegressor().predict_gradient(X)
        with pytest.raises(ValueError, match="X has 2 features"):
            ensemble.predict_gradient(X[:, :2])
