from numbers import Integral

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neural_network import MLPRegressor
from sklearn.utils._param_validation import Interval, InvalidParameterError

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._machine.memory import aligned, aligned_copy
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.initialization import INITIALIZERS, initial_parameters


@pytest.fixture
def architecture():
    return Architecture((3, 4, 2))


def drawn(init, units=(30, 40, 20, 3), activations=("tanh", "relu"), seed=0):
    return initial_parameters(Architecture(units), init, activations, np.random.RandomState(seed))


def test_shapes_and_counts(architecture):
    assert architecture.coef_shapes == [(3, 4), (4, 2)]
    assert architecture.n_coefs == 12 + 8
    assert architecture.n_parameters == 12 + 8 + 4 + 2


def test_without_bias_there_are_coefs_only():
    architecture = Architecture((3, 4, 2), bias=False)
    assert architecture.n_parameters == architecture.n_coefs == 20


def test_a_network_without_hidden_layers_has_one_layer_of_coefs():
    architecture = Architecture((3, 2))
    assert architecture.coef_shapes == [(3, 2)]
    assert architecture.n_parameters == 6 + 2
    assert_array_equal(architecture.coef_starts, [0])
    assert_array_equal(architecture.intercept_starts, [6])


def test_coefs_come_first_then_intercepts(architecture):
    assert_array_equal(architecture.coef_starts, [0, 12])
    assert_array_equal(architecture.intercept_starts, [20, 24])
    coefs, intercepts = architecture.unpack(np.arange(26.0))
    assert_array_equal(coefs[0], np.arange(12).reshape(3, 4))
    assert_array_equal(coefs[1], np.arange(12, 20).reshape(4, 2))
    assert_array_equal(intercepts[0], [20, 21, 22, 23])
    assert_array_equal(intercepts[1], [24, 25])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("units", [(3, 4, 2), (1, 1), (5, 1, 7, 2)])
def test_pack_and_unpack_are_inverse(units, bias):
    architecture = Architecture(units, bias)
    theta = np.random.RandomState(0).standard_normal(architecture.n_parameters)
    coefs, intercepts = architecture.unpack(theta)
    assert [coef.shape for coef in coefs] == architecture.coef_shapes
    assert [len(intercept) for intercept in intercepts] == list(units[1:])
    assert_array_equal(architecture.pack(coefs, intercepts, np.float64), theta)


def test_pack_takes_coefs_of_any_memory_order(architecture):
    theta = np.random.RandomState(0).standard_normal(26)
    coefs, intercepts = architecture.unpack(theta)
    coefs = [np.asfortranarray(coef) for coef in coefs]
    assert_array_equal(architecture.pack(coefs, intercepts, np.float64), theta)


def test_pack_copies_into_the_dtype_asked_for(architecture):
    theta = np.arange(26.0)
    packed = architecture.pack(*architecture.unpack(theta), np.float32)
    assert packed.dtype == np.float32
    packed[:] = 0
    assert_array_equal(theta, np.arange(26))


def test_unpacked_parts_are_views(architecture):
    theta = np.zeros(26)
    coefs, intercepts = architecture.unpack(theta)
    coefs[1][0, 1] = 5
    intercepts[1][1] = 6
    assert theta[13] == 5
    assert theta[25] == 6


def test_without_bias_intercepts_are_zeros_of_the_same_dtype():
    _, intercepts = Architecture((3, 4, 2), bias=False).unpack(np.ones(20, np.float32))
    for intercept, size in zip(intercepts, (4, 2), strict=True):
        assert intercept.dtype == np.float32
        assert_array_equal(intercept, np.zeros(size))


def test_equal_architectures_hash_alike():
    assert Architecture((3, 4)) == Architecture((3, 4))
    assert hash(Architecture((3, 4))) == hash(Architecture((3, 4)))
    assert Architecture((3, 4)) != Architecture((3, 4), bias=False)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("hidden", [(), (4,), (4, 3), (4, 3, 2)])
def test_glorot_draws_are_those_of_mlpregressor(hidden, activation):
    mlp = MLPRegressor(
        hidden_layer_sizes=hidden, activation=activation, random_state=3, learning_rate_init=1e-300
    )
    rng = np.random.RandomState(0)
    mlp.partial_fit(rng.standard_normal((5, 6)), rng.standard_normal(5))
    coefs, intercepts = initial_parameters(
        Architecture((6, *hidden, 1)),
        "glorot_uniform",
        (activation,) * max(1, len(hidden)),
        np.random.RandomState(3),
    )
    for actual, expected in zip(coefs + intercepts, mlp.coefs_ + mlp.intercepts_, strict=True):
        assert_array_equal(actual, expected)


@pytest.mark.parametrize("init", INITIALIZERS)
def test_every_rule_gives_the_shapes_and_is_repeatable(init):
    architecture = Architecture((5, 4, 3, 2))
    coefs, intercepts = drawn(init, architecture.units)
    assert [coef.shape for coef in coefs] == architecture.coef_shapes
    assert [len(intercept) for intercept in intercepts] == [4, 3, 2]
    again, _ = drawn(init, architecture.units)
    other, _ = drawn(init, architecture.units, seed=1)
    assert_array_equal(coefs[0], again[0])
    assert not np.array_equal(coefs[0], other[0])


@pytest.mark.parametrize(
    "init, bound",
    [
        ("glorot_uniform", lambda fan_in, fan_out: np.sqrt(6 / (fan_in + fan_out))),
        ("he_uniform", lambda fan_in, fan_out: np.sqrt(6 / fan_in)),
        ("lecun_uniform", lambda fan_in, fan_out: np.sqrt(3 / fan_in)),
    ],
)
def test_bounds_follow_the_published_rule(init, bound):
    for coef in drawn(init)[0]:
        limit = bound(*coef.shape)
        assert np.abs(coef).max() <= limit
        assert np.abs(coef).max() > 0.9 * limit
        assert abs(coef.mean()) < 0.25 * limit


@pytest.mark.parametrize("init, variance", [("he_uniform", 2), ("lecun_uniform", 1)])
def test_variance_times_fan_in_is_that_of_the_rule(init, variance):
    coefs, _ = drawn(init, units=(200, 300, 1), activations=("relu",))
    assert_allclose(coefs[0].var() * 200, variance, rtol=0.02)


def test_glorot_draws_less_widely_for_logistic():
    coefs, intercepts = drawn("glorot_uniform", (30, 40, 3), ("logistic",))
    assert np.abs(coefs[0]).max() <= np.sqrt(2 / 70)
    assert np.abs(intercepts[0]).max() <= np.sqrt(2 / 70)


@pytest.mark.parametrize("init", ["he_uniform", "lecun_uniform"])
def test_he_and_lecun_start_without_intercepts(init):
    assert not any(intercept.any() for intercept in drawn(init)[1])


def test_nguyen_widrow_scales_hidden_units_to_one_length():
    coefs, intercepts = drawn("nguyen_widrow")
    for layer, (fan_in, fan_out) in enumerate([(30, 40), (40, 20)]):
        length = 0.7 * fan_out ** (1 / fan_in)
        assert_allclose(np.linalg.norm(coefs[layer], axis=0), length)
        assert np.abs(intercepts[layer]).max() <= length


def test_nguyen_widrow_leaves_the_output_layer_to_glorot():
    coefs, _ = drawn("nguyen_widrow")
    assert np.abs(coefs[-1]).max() <= np.sqrt(6 / 23)


def test_uniform_draws_from_zero_to_one():
    coefs, intercepts = drawn("uniform")
    for part in coefs + intercepts:
        assert part.min() >= 0
        assert part.max() < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [0, 1, 7, 1000])
def test_aligned_vectors_begin_with_a_cache_line(size, dtype):
    for _ in range(5):
        vector = aligned(size, dtype)
        assert (vector.size, vector.dtype) == (size, dtype)
        assert size == 0 or vector.ctypes.data % 64 == 0
    copy = aligned_copy(np.arange(size, dtype=dtype))
    np.testing.assert_array_equal(copy, np.arange(size))


def test_a_subclass_may_be_stricter_than_its_parent():
    class Strict(TinyMLPRegressor):
        _parameter_constraints = {
            **TinyMLPRegressor._parameter_constraints,
            "max_iter": [Interval(Integral, 1, 100, closed="both")],
        }

    X = np.linspace(0, 1, 20)[:, None]
    TinyMLPRegressor(max_iter=150, solver="lbfgs").fit(X, X[:, 0])
    with pytest.raises(InvalidParameterError, match="max_iter"):
        Strict(max_iter=150, solver="lbfgs").fit(X, X[:, 0])
