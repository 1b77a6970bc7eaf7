import os
import shutil
import subprocess
import sys
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from numba import config, njit
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import shuffle

import sklearn_tinymlp
from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._activations.table import HIDDEN_ACTIVATIONS
from sklearn_tinymlp._bayes.curvature import Curvature
from sklearn_tinymlp._engine import compiled, kernels, linear_algebra
from sklearn_tinymlp._engine.linear_algebra import gemm_address
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._machine.compilation import call_from_python
from sklearn_tinymlp._network import network as networks
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective import objective as objectives
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers import stochastic
from sklearn_tinymlp._solvers.stochastic import Twister

PACKAGE = Path(sklearn_tinymlp.__file__).parent

needs_machine_code = pytest.mark.skipif(
    bool(config.DISABLE_JIT), reason="looks at the machine code"
)


def make_samples(n_samples, n_features, n_outputs, layout, weighted, loss="squared_error"):
    rng = np.random.RandomState(n_samples + 7 * n_features + n_outputs)
    X = rng.standard_normal((n_samples, n_features))
    X[np.abs(X) < 0.3] = 0.0
    y = rng.standard_normal((n_samples, n_outputs))
    if loss == "poisson":
        y = rng.poisson(1.5, (n_samples, n_outputs)).astype(float)
    weight = rng.uniform(0.0, 2.0, n_samples) if weighted else None
    return sparse.csr_matrix(X) if layout == "csr" else X, y, weight


def make_objective(
    units,
    activation="tanh",
    output="identity",
    loss="squared_error",
    bias=True,
    n_samples=9,
    layout="dense",
    weighted=False,
    alpha=0.3,
):
    """An objective and a point to look at it."""
    architecture = Architecture(tuple(units), bias)
    activations = (activation,) * (len(units) - 2) + (output,)
    X, y, weight = make_samples(n_samples, units[0], units[-1], layout, weighted, loss)
    network = Network(architecture, activations)
    theta = 0.7 * np.random.RandomState(1).standard_normal(architecture.n_parameters)
    training = Samples.of(X, y, weight)
    return Objective(network, training, alpha, loss=LOSSES[loss]), theta, architecture


def central_differences(loss, theta, step=1e-5):
    steps = step * np.eye(theta.size)
    return np.array([(loss(theta + e) - loss(theta - e)) / (2 * step) for e in steps])


def assert_gradient_of_loss(objective, theta):
    _, gradient = objective.loss_gradient(theta)
    expected = central_differences(lambda t: objective.loss_gradient(t)[0], theta)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-8)


# -------------------------------------------------------------------------- loss and gradient

HIDDEN = HIDDEN_ACTIVATIONS


@pytest.mark.parametrize("units", [(3, 4, 1), (3, 4, 5, 3)], ids=str)
@pytest.mark.parametrize("activation", HIDDEN)
def test_gradient_is_that_of_the_loss_for_each_hidden_activation(activation, units):
    assert_gradient_of_loss(*make_objective(units, activation)[:2])


@pytest.mark.parametrize("units", [(3, 1), (3, 3), (3, 4, 3)], ids=str)
@pytest.mark.parametrize("output", [*HIDDEN, "exp"])
def test_gradient_is_that_of_the_loss_for_each_output_activation(output, units):
    assert_gradient_of_loss(*make_objective(units, output=output)[:2])


@pytest.mark.parametrize("units", [(3, 1), (3, 4, 3), (3, 4, 2, 1)], ids=str)
@pytest.mark.parametrize("output", ["exp", "softplus", "logistic"])
def test_gradient_is_that_of_the_poisson_deviance(output, units):
    assert_gradient_of_loss(*make_objective(units, output=output, loss="poisson")[:2])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("units", [(3, 1), (4, 5, 3), (2, 1, 4, 1)], ids=str)
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_gradient_is_that_of_the_loss_for_each_kind_of_data(loss, units, bias, layout, weighted):
    objective, theta, _ = make_objective(
        units,
        output="exp" if loss == "poisson" else "identity",
        loss=loss,
        bias=bias,
        layout=layout,
        weighted=weighted,
    )
    assert_gradient_of_loss(objective, theta)


def reference(theta, architecture, X, y, weight, alpha):
    """Predictions, loss and gradient of a tanh network for the squared error, in NumPy."""
    coefs, intercepts = architecture.unpack(theta)
    values = [X.toarray() if sparse.issparse(X) else X]
    for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
        z = values[-1] @ coef + intercept
        values.append(z if layer == len(coefs) - 1 else np.tanh(z))
    weight = np.ones(len(y)) if weight is None else weight
    error, total = values[-1] - y, weight.sum()
    loss = 0.5 * (weight @ error**2).mean() / total
    loss += 0.5 * alpha * sum(np.sum(coef**2) for coef in coefs) / total
    delta = weight[:, None] * error / (y.shape[1] * total)
    coef_gradients, intercept_gradients = [], []
    for layer in range(len(coefs) - 1, -1, -1):
        coef_gradients.insert(0, values[layer].T @ delta + alpha / total * coefs[layer])
        intercept_gradients.insert(0, delta.sum(axis=0))
        delta = (delta @ coefs[layer].T) * (1 - values[layer] ** 2)
    gradient = architecture.pack(coef_gradients, intercept_gradients, np.float64)
    return values[-1], loss, gradient


@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("units", [(3, 5, 2), (70, 71, 1)], ids=["loops", "BLAS"])
@pytest.mark.parametrize("n_samples", [1, 127, 128, 129, 300])
def test_any_number_of_rows_gives_what_numpy_gives(n_samples, units, layout):
    objective, theta, architecture = make_objective(
        units, n_samples=n_samples, layout=layout, weighted=True
    )
    theta /= np.sqrt(units[0])
    X, y, weight = make_samples(n_samples, units[0], units[-1], layout, True)
    predictions, loss, gradient = reference(theta, architecture, X, y, weight, 0.3)
    actual_loss, actual_gradient = objective.loss_gradient(theta)
    assert_allclose(actual_loss, loss, rtol=1e-12)
    assert_allclose(actual_gradient, gradient, rtol=1e-10, atol=1e-12)
    assert_allclose(objective.predict(theta), predictions, rtol=1e-11, atol=1e-12)


def test_one_layer_may_use_blas_and_the_next_one_loops(monkeypatch):
    monkeypatch.setattr(linear_algebra, "blas_size", lambda: 256)
    units = (3, 16, 16, 2)
    objective, theta, architecture = make_objective(units, n_samples=130)
    theta /= 4
    addresses = objective.compiled.network.layers[:, kernels.AFFINE]
    assert addresses[0] == addresses[2] != addresses[1]
    X, y, _ = make_samples(130, 3, 2, "dense", False)
    _, loss, gradient = reference(theta, architecture, X, y, None, 0.3)
    actual_loss, actual_gradient = objective.loss_gradient(theta)
    assert_allclose(actual_loss, loss, rtol=1e-12)
    assert_allclose(actual_gradient, gradient, rtol=1e-10, atol=1e-12)


def test_float32_gives_the_loss_to_its_precision():
    objective, theta, _ = make_objective((3, 5, 2), n_samples=200)
    X, y, _ = make_samples(200, 3, 2, "dense", False)
    samples = Samples.of(X.astype(np.float32), y.astype(np.float32))
    single = Objective(objective.network, samples, 0.3)
    loss, gradient = single.loss_gradient(theta.astype(np.float32))
    assert gradient.dtype == np.float32
    expected_loss, expected = objective.loss_gradient(theta)
    assert_allclose(loss, expected_loss, rtol=1e-5)
    assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


def test_infinity_and_nan_are_not_hidden():
    objective, theta, _ = make_objective((3, 5, 2))
    theta[0] = np.nan
    loss, gradient = objective.loss_gradient(theta)
    assert np.isnan(loss)
    assert np.isnan(gradient).any()


# ------------------------------------------------------------------------------- the products


SIZES = [
    (1, 1, 1),
    (1, 5, 3),
    (4, 1, 7),
    (3, 2, 1),
    (5, 7, 1),
    (8, 4, 16),
    (13, 9, 33),
    (70, 61, 1),
]


@pytest.mark.parametrize("blas", [False, True], ids=["loops", "BLAS"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_in, n_out, n_rows", SIZES)
def test_combinations_replace_what_is_there_or_are_added_to_it(n_in, n_out, n_rows, dtype, blas):
    affine = linear_algebra.compiled(linear_algebra.AFFINE[blas], dtype)
    rng = np.random.RandomState(0)
    coefs = rng.standard_normal((n_in, n_out)).astype(dtype)
    source = rng.standard_normal((n_in, n_rows)).astype(dtype)
    start = rng.standard_normal((n_out, n_rows)).astype(dtype)
    expected = coefs.astype(float).T @ source.astype(float)
    rtol = 1e-4 if dtype == "float32" else 1e-12
    for stored, steps in ((coefs, (n_out, 1)), (np.ascontiguousarray(coefs.T), (1, n_in))):
        for keep in (0, 1):
            result = start.copy() if keep else np.full_like(start, np.nan)
            sizes = (n_in, n_out, n_rows, *steps, keep, gemm_address(dtype))
            call_from_python(affine, (stored, source, result), sizes)
            assert_allclose(result, expected + keep * start, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("bias", [0, 1])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_in, n_out, n_rows", SIZES)
def test_deltas_and_gradients_of_one_pass_are_those_of_the_products(
    n_in, n_out, n_rows, dtype, bias
):
    rng = np.random.RandomState(0)

    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    coefs, gradient, intercepts = draw(n_in, n_out), draw(n_in, n_out), draw(n_in)
    values, slopes, after = draw(n_in, n_rows), draw(n_in, n_rows), draw(n_out, n_rows)
    expected = slopes * (coefs @ after), gradient + values @ after.T, intercepts.copy()
    if bias:
        expected[2][:] += expected[0].sum(axis=1)
    deltas = np.full_like(values, np.nan)
    arrays = (coefs, values, slopes, after, deltas, gradient, intercepts)
    function = linear_algebra.compiled(linear_algebra.backpropagate, dtype)
    call_from_python(function, arrays, (n_in, n_out, n_rows, bias))
    rtol = 1e-4 if dtype == "float32" else 1e-12
    for actual, wanted in zip((deltas, gradient, intercepts), expected, strict=True):
        assert_allclose(actual, wanted, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("blas", [False, True], ids=["loops", "BLAS"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("n_p, n_q, n_rows", SIZES)
def test_products_are_added_to_what_is_there(n_p, n_q, n_rows, dtype, blas):
    accumulate = linear_algebra.compiled(linear_algebra.ACCUMULATE[blas], dtype)
    rng = np.random.RandomState(0)
    p = rng.standard_normal((n_p, n_rows)).astype(dtype)
    q = rng.standard_normal((n_q, n_rows)).astype(dtype)
    start = rng.standard_normal((n_p, n_q)).astype(dtype)
    expected = start.astype(float) + p.astype(float) @ q.astype(float).T
    rtol = 1e-4 if dtype == "float32" else 1e-12
    for transposed, steps in ((False, (n_q, 1)), (True, (1, n_p))):
        result = np.array(start.T if transposed else start, order="C")
        call_from_python(
            accumulate, (p, q, result), (n_p, n_q, n_rows, *steps, gemm_address(dtype))
        )
        assert_allclose(result.T if transposed else result, expected, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    "cores, size",
    [([], 64), ([""], 64), (["SkylakeX"], 64), (["Haswell", "Haswell"], 2000), (["Zen"], 2000)],
)
def test_loops_take_larger_layers_where_blas_copies_first(cores, size, monkeypatch):
    monkeypatch.setattr(linear_algebra, "blas_cores", lambda: cores)
    assert linear_algebra.blas_size.__wrapped__() == size


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_blas_and_loops_train_alike(solver, monkeypatch):
    X, y, _ = make_samples(20, 7, 3, "dense", False)
    models = []
    for threshold in (1, 10**9):
        monkeypatch.setattr(linear_algebra, "blas_size", lambda threshold=threshold: threshold)
        compiled.kernel_network.cache_clear()
        models.append(fitted(X, y, solver=solver, hidden_layer_sizes=(5, 3), batch_size=7))
    compiled.kernel_network.cache_clear()
    assert_same_model(*models, rtol=1e-9)


# --------------------------------------------------------------------------- two ways to train


def fitted(X, y, sample_weight=None, **params):
    params = {"max_iter": 6, "random_state": 0, "hidden_layer_sizes": (5,), "alpha": 0.01} | params
    model = TinyMLPRegressor(learning_rate_init=0.01, **params)
    with pytest.warns(ConvergenceWarning):
        return model.fit(X, y, sample_weight=sample_weight)


def assert_same_model(model, other, rtol):
    for ours, theirs in zip(
        model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True
    ):
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol)
    assert_allclose(model.loss_curve_, other.loss_curve_, rtol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (4, 3)], ids=str)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_single_rows_train_as_blocks_of_one_row(solver, hidden, bias, weighted, monkeypatch):
    X, y, weight = make_samples(20, 3, 2, "dense", weighted)
    params = {"solver": solver, "hidden_layer_sizes": hidden, "bias": bias, "batch_size": 1}
    model = fitted(X, y, weight, **params)
    run_epochs, seen = kernels.run_epochs, []
    names = list(signature(run_epochs).parameters)

    def by_blocks(*arguments):
        given = dict(zip(names, arguments, strict=True))
        seen.append((given["batch_size"], given["single_rows"]))
        return run_epochs(*(given | {"batch_size": 1, "single_rows": None}).values())

    monkeypatch.setattr(kernels, "run_epochs", by_blocks)
    assert_same_model(model, fitted(X, y, weight, **params), rtol=1e-10)
    assert set(seen) == {(None, True)}


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 20])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_sparse_rows_train_as_dense_ones(solver, batch_size):
    X, y, weight = make_samples(20, 3, 2, "dense", True)
    models = [
        fitted(data, y, weight, solver=solver, batch_size=batch_size)
        for data in (X, sparse.csr_matrix(X))
    ]
    assert_same_model(*models, rtol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 20])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_tiny_slices_of_time_change_nothing(solver, batch_size, monkeypatch):
    X, y, _ = make_samples(20, 3, 1, "dense", False)
    params = {"solver": solver, "batch_size": batch_size}
    whole = fitted(X, y.ravel(), **params)
    monkeypatch.setattr(stochastic, "rows_per_call", lambda n_parameters: 3)
    monkeypatch.setattr(stochastic, "next_budget", lambda budget, seconds: 3)
    monkeypatch.setattr(stochastic, "EPOCHS_PER_CALL", 2)
    assert_same_model(fitted(X, y.ravel(), **params), whole, rtol=0)


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_tiny_slices_of_rows_change_nothing(layout, monkeypatch):
    objective, theta, _ = make_objective((3, 5, 2), n_samples=20, layout=layout, weighted=True)
    loss, gradient = objective.loss_gradient(theta)
    monkeypatch.setattr(compiled, "rows_per_call", lambda n_parameters: 3)
    calls = []
    sliced_loss, sliced_gradient = replace(objective).loss_gradient(theta, lambda: calls.append(1))
    assert len(calls) == 7
    assert_allclose(sliced_loss, loss, rtol=1e-13)
    assert_allclose(sliced_gradient, gradient, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_tiny_blocks_of_rows_change_nothing(layout, monkeypatch):
    objective, theta, _ = make_objective((3, 5, 2), n_samples=20, layout=layout, weighted=True)
    predictions = objective.predict(theta)
    weights = np.array([0.5, 2.0])
    value, gradient = objective.weighted_gradient(theta, weights)
    monkeypatch.setattr(networks, "VALUES_AT_ONCE", 15)  # three rows of the widest layer
    monkeypatch.setattr(objectives, "LEAST_BLOCK", 3)
    monkeypatch.setattr(objectives, "GRADIENT_NUMBERS", 15)
    calls = []
    blocked = replace(objective, training=replace(objective.training))
    value_of_blocks, gradient_of_blocks = blocked.weighted_gradient(
        theta, weights, lambda: calls.append(1)
    )
    assert len(calls) == 7
    assert_allclose(value_of_blocks, value, rtol=1e-13)
    assert_allclose(gradient_of_blocks, gradient, rtol=1e-12, atol=1e-14)
    assert_allclose(blocked.predict(theta), predictions, rtol=1e-13)


# ----------------------------------------------------------------------- NumPy and compiled code


@pytest.mark.parametrize("output_weights", [[3.0, 3.0], [0.5, 2.0]], ids=["alike", "unlike"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize("name", LOSSES)
def test_both_engines_give_one_gradient(name, layout, bias, weighted, output_weights, monkeypatch):
    loss = LOSSES[name]
    objective, theta, _ = make_objective(
        (3, 5, 4, 2),
        output=loss.output_activation,
        loss="poisson" if loss.positive else name,
        bias=bias,
        n_samples=150,
        layout=layout,
        weighted=weighted,
    )
    samples = replace(objective.training, y=objective.training.y + (name == "gamma"))
    objective = replace(objective, training=samples, loss=loss).at_constant()
    weights, calls = np.array(output_weights), []
    expected = objective.weighted_gradient(theta, weights)
    assert not objective.is_compiled
    monkeypatch.setattr(objectives, "COMPILED_WORK", 0)
    compiled_sum = compiled.CompiledObjective.weighted_gradient
    monkeypatch.setattr(
        compiled.CompiledObjective,
        "weighted_gradient",
        lambda *arguments: calls.append(1) or compiled_sum(*arguments),
    )
    value, gradient = objective.weighted_gradient(theta, weights)
    # Compiled code weighs outputs of squared errors, and else takes all as they are.
    assert len(calls) == (loss.least_squares or output_weights == [3.0, 3.0])
    assert_allclose(value, expected[0], rtol=1e-11)
    assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("activation", HIDDEN)
def test_both_engines_give_one_gradient_for_each_activation(activation, monkeypatch):
    objective, theta, _ = make_objective((3, 5, 2), activation, n_samples=40)
    loss, gradient = objective.weighted_gradient(theta, np.ones(2))
    monkeypatch.setattr(objectives, "COMPILED_WORK", 0)
    compiled_loss, compiled_gradient = objective.weighted_gradient(theta, np.ones(2))
    assert_allclose(compiled_loss, loss, rtol=1e-11)
    assert_allclose(compiled_gradient, gradient, rtol=1e-9, atol=1e-11)


def test_work_alone_decides_between_the_engines():
    def is_compiled(n_samples, *units):
        objective, *_ = make_objective((1, *units), n_samples=n_samples)
        return objective.is_compiled

    assert not is_compiled(objectives.COMPILED_WORK // 10, 9, 1)
    assert is_compiled(objectives.COMPILED_WORK // 10 + 1, 9, 1)
    assert is_compiled(objectives.COMPILED_WORK // 19 + 1, 9, 9, 1)


def test_slices_cover_every_row_once(monkeypatch):
    monkeypatch.setattr(compiled, "rows_per_call", lambda n_parameters: 4)
    assert list(compiled.slices(10, 1)) == [(0, 4), (4, 8), (8, 10)]
    assert list(compiled.slices(4, 1)) == [(0, 4)]


def test_large_networks_come_back_after_a_row():
    assert compiled.rows_per_call(10**12) == 1
    assert compiled.rows_per_call(10) > 10_000


# ----------------------------------------------------------------------- the order of an epoch


@pytest.fixture(scope="module")
def shuffle_in_kernel():
    @njit
    def run(order, twister):
        kernels.shuffle(order, twister)

    return run


@pytest.mark.parametrize("n_samples", [1, 2, 3, 64, 65, 1000, 5000])
def test_permutations_are_those_of_scikit_learn(shuffle_in_kernel, n_samples):
    ours, theirs = np.random.RandomState(4), np.random.RandomState(4)
    order, expected = np.arange(n_samples), np.arange(n_samples)
    twister = Twister(ours)
    for _ in range(5):
        shuffle_in_kernel(order, twister.words)
        expected = shuffle(expected, random_state=theirs)
        assert_array_equal(order, expected)
    twister.put_back()
    np.testing.assert_equal(ours.get_state(), theirs.get_state())
    assert ours.uniform() == theirs.uniform()


def test_permutations_follow_from_any_position(shuffle_in_kernel):
    ours, theirs = np.random.RandomState(4), np.random.RandomState(4)
    for n_drawn in (1, 7, 600, 15):
        ours.uniform(size=n_drawn), theirs.uniform(size=n_drawn)
        order = np.arange(10)
        twister = Twister(ours)
        shuffle_in_kernel(order, twister.words)
        twister.put_back()
        assert_array_equal(order, shuffle(np.arange(10), random_state=theirs))


@pytest.mark.parametrize("generator", [np.random.MT19937, np.random.PCG64])
@pytest.mark.parametrize("n_samples", [1, 2, 300])
def test_training_visits_rows_in_the_order_of_scikit_learn(n_samples, generator, monkeypatch):
    run_epochs, orders = kernels.run_epochs, []
    names = list(signature(run_epochs).parameters)

    def watched(*arguments):
        result = run_epochs(*arguments)
        orders.append(arguments[names.index("order")].copy())
        return result

    monkeypatch.setattr(kernels, "run_epochs", watched)
    monkeypatch.setattr(stochastic, "EPOCHS_PER_CALL", 1)
    X, y, _ = make_samples(n_samples, 3, 1, "dense", False)
    objective, theta, _ = make_objective((3, 1), n_samples=n_samples)
    ours, theirs = (np.random.RandomState(generator(9)) for _ in range(2))
    model = fitted(X, y.ravel(), solver="sgd", hidden_layer_sizes=(), random_state=ours)
    # Start weights come first.
    theirs.uniform(size=(3, 1)), theirs.uniform(size=1)
    expected = np.arange(n_samples)
    assert len(orders) == model.n_iter_ == 6
    for order in orders:
        expected = shuffle(expected, random_state=theirs)
        assert_array_equal(order, expected)


# ------------------------------------------------------- without compilation, and with a cache

SMALL_FITS = """
import sys
import warnings
sys.path.insert(0, sys.argv[1])
import numpy as np
from scipy import sparse
from sklearn_tinymlp import Activation, TinyMLPRegressor
warnings.simplefilter("ignore")

def fits(n_models=None, own=None):
    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((9, 2)), rng.standard_normal((9, 2))
    for solver, batch_size, activation, data in [
        ("sgd", 1, "leaky_relu", X),
        ("lbfgs", "auto", "elu", X),
        ("sgd", 4, "logistic", sparse.csr_matrix(X)),
        ("adam", 4, "tanh", X),
        ("adam", 1, "softplus", X),
        ("lbfgs", "auto", "gelu", sparse.csr_matrix(X)),
    ][:n_models]:
        model = TinyMLPRegressor(
            hidden_layer_sizes=(3, 2), solver=solver, batch_size=batch_size,
            activation=own or activation, max_iter=3, random_state=0, alpha=0.01,
        ).fit(data, y, sample_weight=np.linspace(0.5, 1.5, 9))
        for part in model.coefs_ + model.intercepts_ + [model.predict(data), model.loss_curve_]:
            yield np.ravel(part)
"""


def output_of(code, *arguments, **environment):
    """What code prints in another process."""
    result = subprocess.run(
        [sys.executable, "-B", "-c", code, *map(str, arguments)],
        env={**os.environ, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_interpreted_kernels_do_what_the_compiled_ones_do(tmp_path):
    code = SMALL_FITS + "np.save(sys.argv[2], np.concatenate(list(fits())))"
    results = []
    for disabled in (0, 1):
        path = tmp_path / f"{disabled}.npy"
        output_of(code, PACKAGE.parent, path, NUMBA_DISABLE_JIT=disabled)
        results.append(np.load(path))
    assert_allclose(results[1], results[0], rtol=1e-10, atol=1e-10)


USE_THE_CACHE = (
    SMALL_FITS
    + """
own = Activation(lambda z: np.tanh(z), lambda z: 1 - np.tanh(z) ** 2)
for _ in [*fits(2), *fits(2, own)]:
    pass
from sklearn_tinymlp._activations import lookup
from sklearn_tinymlp._engine import kernels
kernels = [kernels.run_epochs, kernels.run_lbfgs]
print(sum(sum(kernel.compiled.stats.cache_hits.values()) for kernel in kernels), end=" ")
print(sum(sum(kernel.compiled.stats.cache_misses.values()) for kernel in kernels), end=" ")
print(lookup.compiled("elu", "float64").function.cache_hits)
"""
)


@pytest.mark.slow
@needs_machine_code
def test_a_second_process_compiles_nothing_nor_does_an_activation_of_ones_own(tmp_path):
    def files():
        paths = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in paths}

    hits, misses, _ = map(
        int, output_of(USE_THE_CACHE, PACKAGE.parent, NUMBA_CACHE_DIR=tmp_path).split()
    )
    assert (hits, misses) == (0, 2)  # each kernel once, whatever the activation
    before = files()
    assert len(before) > 10
    again, none, of_activation = map(
        int, output_of(USE_THE_CACHE, PACKAGE.parent, NUMBA_CACHE_DIR=tmp_path).split()
    )
    assert (again, none, of_activation) == (misses, 0, 1)
    assert files() == before


LOSS = """
import sys
import warnings
sys.path.insert(0, sys.argv[1])
import numpy as np
from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._engine import kernels
warnings.simplefilter("ignore")
X = np.linspace(-1, 1, 9)[:, np.newaxis]
net = TinyMLPRegressor(
    hidden_layer_sizes=(2,), solver="adam", alpha=0.0, max_iter=1, random_state=0
)
print(net.fit(X, X.ravel()).loss_curve_[-1])
print(sum(kernels.run_epochs.compiled.stats.cache_hits.values()))
"""


@pytest.mark.slow
@needs_machine_code
def test_an_edited_callee_in_another_file_is_compiled_anew(tmp_path):
    copy = tmp_path / "sklearn_tinymlp"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def run():
        found = output_of(LOSS, tmp_path, NUMBA_CACHE_DIR=tmp_path / "cache")
        return [float(word) for word in found.split()]

    loss, hits = run()
    assert hits == 0.0
    assert run() == [loss, 1.0]  # from the disk
    callee = copy / "_engine" / "linear_algebra.py"
    source = callee.read_text(encoding="utf-8")
    edited = source.replace("return (a + b) + (c + d)", "return 3.0 * ((a + b) + (c + d))")
    assert edited.count("3.0 *") == 2  # of `sum_of`, which the kernel calls
    callee.write_text(edited, encoding="utf-8")
    assert run() == [pytest.approx(3.0 * loss), 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("by_residuals", [False, True], ids=["parameters", "residuals"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_where_memory_lies_does_not_change_a_bit(n_outputs, by_residuals):
    objective, theta, _ = make_objective((3, 40, n_outputs), n_samples=200)
    beta, alpha, results = np.full(n_outputs, 2.0), np.full(theta.size, 0.1), []
    for offset in range(8):
        moved = np.empty(theta.size + 8)[offset : offset + theta.size]
        moved[:] = theta
        curvature = Curvature(by_residuals, None, 0.0)
        errors, gradients, product = curvature.gauss_newton(objective, moved, beta)
        step = product.factorised(alpha, beta).newton_step(beta @ gradients, moved)
        parts = [*objective.loss_gradient(moved), *objective.weighted_gradient(moved, beta)]
        results.append(np.hstack([*parts, errors, gradients.ravel(), step]))
    for result in results[1:]:
        assert_array_equal(result, results[0])
