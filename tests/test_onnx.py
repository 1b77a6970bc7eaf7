"""The ONNX converter: onnxruntime gives what `predict` gives, to 1e-6."""

import doctest
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from problems import READY_MADE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import (
    Activation,
    MLPRegressor,
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
    activations,
)
from sklearn_tinymlp._activations.onnx_formulas import TAIL_MIDDLE, normal_tail_coefficients
from sklearn_tinymlp._activations.table import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS

pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from skl2onnx import to_onnx  # noqa: E402
from skl2onnx.common.data_types import Int64TensorType  # noqa: E402

import sklearn_tinymlp.onnx as tinymlp_onnx  # noqa: E402

RNG = np.random.RandomState(0)
X = RNG.standard_normal((1000, 3)) * [1.0, 30.0, 0.01] + [0.0, 200.0, 1.0]  # raw units
Z = (X - X.mean(axis=0)) / X.std(axis=0)
Y = np.column_stack([Z[:, 0] ** 2 + 10.0, np.tanh(Z[:, 1]) - Z[:, 2]])
COUNTS = RNG.poisson(np.exp(0.5 * Z[:, 0])).astype(float)

HIDDEN = {name: name for name in HIDDEN_ACTIVATIONS} | READY_MADE
OUTPUT = {name: name for name in OUTPUT_ACTIVATIONS} | READY_MADE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::sklearn.exceptions.ConvergenceWarning"  # a few iterations give weights enough
    ),
]


def net(**parameters):
    defaults = {"hidden_layer_sizes": (5,), "max_iter": 15, "random_state": 0}
    return TinyMLPRegressor(**(defaults | parameters))


def ensemble(**parameters):
    return TinyMLPEnsembleRegressor(
        net(**parameters),
        hidden_layer_sizes=[(3,), (2, 2)],
        cv=2,
        n_refits=1,
        random_state=0,
    )


def check(estimator, rows, tolerance=1e-6):
    """Compare with `predict`, relative to the largest prediction."""
    expected = estimator.predict(rows)
    model = to_onnx(estimator, rows[:1])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {session.get_inputs()[0].name: rows})
    assert result.dtype == rows.dtype
    assert result.shape == (len(rows), expected.size // len(rows))
    scale = max(1.0, np.abs(expected).max())
    assert_allclose(result.reshape(expected.shape), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", HIDDEN)
def test_hidden_activations(activation, dtype):
    network = net(activation=HIDDEN[activation], hidden_layer_sizes=(6, 4), solver="lbfgs")
    check(network.fit(Z.astype(dtype), Y), Z.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", OUTPUT)
def test_output_activations(activation, dtype):
    target = 0.25 + 0.5 / (1.0 + np.exp(-Z[:, 0]))
    network = net(output_activation=OUTPUT[activation], solver="lbfgs")
    check(network.fit(Z.astype(dtype), target), Z.astype(dtype))


@pytest.mark.parametrize("activation", HIDDEN)
def test_double_precision_is_kept(activation):
    network = net(activation=HIDDEN[activation], hidden_layer_sizes=(6, 4), solver="lbfgs")
    check(network.fit(Z, Y), Z, tolerance=1e-12)


@pytest.mark.parametrize("y", [Y, Y[:, 0]], ids=["outputs", "output"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_raw_units_at_the_defaults(dtype, y):
    # The weights of raw features cancel; they are float64, and so the graph computes in float64.
    network = net().fit(X, y)
    assert network.solver_ == "lm"
    check(network, X.astype(dtype))


def test_the_class_with_scikit_learns_name():
    check(MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0).fit(Z, Y), Z)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_a_pipeline(dtype):
    pipeline = make_pipeline(StandardScaler(), net(solver="adam", activation="gelu"))
    check(pipeline.fit(X.astype(dtype), Y), X.astype(dtype))


@pytest.mark.parametrize("y", [Y[:80], Y[:80, 0]], ids=["outputs", "output"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_ensemble(dtype, y):
    # That of float32 data computes in float32, that of raw float64 data in float64.
    for rows, tolerance in ((Z[:80].astype(dtype), 1e-6), (X[:80], 1e-12)):
        fitted = ensemble().fit(rows, y)
        assert len(fitted.estimators_) >= 2
        check(fitted, rows, tolerance)
    check(fitted, X[:80].astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_ensemble_in_a_pipeline(dtype):
    pipeline = make_pipeline(StandardScaler(), ensemble(activation="gelu"))
    check(pipeline.fit(X[:80].astype(dtype), Y[:80]), X.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson(dtype):
    network = net(loss="poisson", solver="lbfgs", standardize=True)
    check(network.fit(Z.astype(dtype), COUNTS), Z.astype(dtype))


@pytest.mark.parametrize(
    "parameters",
    [
        {"hidden_layer_sizes": ()},
        {"bias": False},
        {"hidden_layer_sizes": (4, 3, 2), "activation": ["gelu", "gelu", "sin"]},
        {
            "hidden_layer_sizes": (4, 3, 4),
            "activation": ["elu", activations.elu(0.3), activations.elu(2.0)],
            "output_activation": activations.swish(0.5),
        },
    ],
    ids=str,
)
def test_other_networks(parameters):
    check(net(**parameters).fit(Z, Y), Z)


@pytest.mark.parametrize("activation", ["gelu", "softplus", "elu", "silu", "logistic"])
def test_inputs_far_out(activation):
    network = net(activation=activation, solver="lbfgs").fit(Z, Y)
    check(network, 1e4 * Z)


def test_whole_numbers():
    rows = np.arange(30).reshape(10, 3)
    network = net(solver="lbfgs").fit(rows, rows.sum(axis=1))
    model = to_onnx(network, initial_types=[("rows", Int64TensorType([None, 3]))])
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"rows": rows})
    assert result.dtype == np.float32
    assert_allclose(result.ravel(), network.predict(rows), rtol=1e-6)


def test_the_normal_tail_is_that_of_scipy():
    from scipy.special import ndtr

    a = np.linspace(0.0, 40.0, 100_001)
    t = (a - TAIL_MIDDLE) / (a + TAIL_MIDDLE)
    tail = np.polynomial.polynomial.polyval(t, normal_tail_coefficients())
    assert_allclose(a * tail * np.exp(-0.5 * a * a), a * ndtr(-a), rtol=0, atol=2e-15)


def test_an_activation_of_the_users_own_is_refused():
    network = net(activation=Activation(np.sin, np.cos, name="bump")).fit(Z, Y)
    with pytest.raises(NotImplementedError, match="'bump' is a function of your own.*activations"):
        to_onnx(network, Z[:1])
    fitted = ensemble().fit(Z[:80], Y[:80])
    fitted.estimators_[1] = network
    with pytest.raises(NotImplementedError, match="'bump' is a function of your own.*activations"):
        to_onnx(fitted, Z[:1])


def test_a_constant_that_does_not_fit_is_refused():
    network = net(activation=activations.swish(1e-50), solver="lbfgs").fit(Z.astype(np.float32), Y)
    with pytest.raises(ValueError, match="beta=1e-50 of .* does not fit into float32"):
        to_onnx(network, Z[:1].astype(np.float32))


def test_a_loaded_network_is_converted():
    check(pickle.loads(pickle.dumps(net(activation=activations.elu(0.3)).fit(Z, Y))), Z, 1e-12)


def test_examples_in_docstrings():
    failed, attempted = doctest.testmod(tinymlp_onnx)
    assert attempted > 0
    assert failed == 0
