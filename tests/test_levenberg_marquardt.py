from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from sklearn_tinymlp import TinyMLPRegressor, _kernels
from sklearn_tinymlp import _levenberg_marquardt as lm
from sklearn_tinymlp._evidence import Hyperparameters
from sklearn_tinymlp._objective import (
    Objective,
    Samples,
    kernel_network,
    second_order_arrays,
)
from sklearn_tinymlp._parameters import Architecture
from sklearn_tinymlp._training import Monitor, Record


def make_objective(units, activations, *, bias=True, weighted=False, n_samples=37, alpha=0.0):
    rng = np.random.default_rng(0)
    architecture = Architecture(units, bias)
    X = rng.standard_normal((n_samples, units[0]))
    y = rng.standard_normal((n_samples, units[-1]))
    weight = rng.uniform(0.1, 3.0, n_samples) if weighted else None
    network = kernel_network(architecture, activations, "squared_error", "float64")
    theta = rng.uniform(-1.0, 1.0, architecture.n_parameters)
    return Objective(network, Samples.of(X, y, weight), alpha), theta


CASES = [
    ((2, 4, 1), ("tanh", "identity"), True, False),
    ((2, 4, 3), ("sin", "identity"), True, True),
    ((1, 3, 1), ("softplus", "tanh"), False, False),
    ((3, 4, 3, 2), ("logistic", "gelu", "identity"), True, True),
    ((2, 2), ("silu",), True, False),
    ((2, 3, 3, 3, 1), ("elu", "tanh", "leaky_relu", "softplus"), False, True),
    ((2, 5, 1), ("exp", "relu"), True, True),
]


@pytest.mark.parametrize("units, activations, bias, weighted", CASES)
def test_gauss_newton_agrees_with_central_differences(units, activations, bias, weighted):
    objective, theta = make_objective(units, activations, bias=bias, weighted=weighted)
    picture = objective.gauss_newton(theta)
    step = 1e-5
    gradients = np.empty_like(picture.gradients)
    for p in range(theta.size):
        unit = step * np.eye(theta.size)[p]
        gradients[:, p] = (objective.errors(theta + unit) - objective.errors(theta - unit)) / (
            2 * step
        )
    np.testing.assert_allclose(picture.errors, objective.errors(theta), rtol=1e-12)
    np.testing.assert_allclose(picture.gradients, gradients, rtol=1e-6, atol=1e-6)


def test_gauss_newton_matrices_are_those_of_the_jacobian_of_the_residuals():
    objective, theta = make_objective((2, 4, 3), ("tanh", "identity"), weighted=True)
    weight = objective.training.weight

    def residuals(theta):
        from sklearn_tinymlp._objective import predict

        samples = objective.training
        outputs = predict(objective.network, samples.rows, samples.n_samples, theta)
        return np.sqrt(weight)[:, None] * (outputs - samples.y)

    step = 1e-6
    jacobian = np.stack(
        [
            (residuals(theta + step * unit) - residuals(theta - step * unit)) / (2 * step)
            for unit in np.eye(theta.size)
        ]
    )
    picture = objective.gauss_newton(theta)
    for k in range(3):
        expected = np.triu(jacobian[:, :, k] @ jacobian[:, :, k].T)
        np.testing.assert_allclose(np.triu(picture.hessians[k]), expected, rtol=1e-6, atol=1e-6)


def test_blocks_of_rows_add_up():
    objective, theta = make_objective((2, 4, 2), ("tanh", "identity"), n_samples=300)
    assert 300 > 2 * _kernels.BLOCK_ROWS
    whole = objective.gauss_newton(theta)
    samples = objective.training
    parts = [
        replace(objective, training=Samples.of(samples.rows.values[rows], samples.y[rows]))
        for rows in (slice(0, 100), slice(100, 300))
    ]
    for sums, *terms in zip(whole, *(part.gauss_newton(theta) for part in parts), strict=True):
        np.testing.assert_allclose(sum(terms), sums, rtol=1e-10, atol=1e-12)


def test_tiny_slices_of_time_change_nothing():
    objective, theta = make_objective((2, 4, 2), ("tanh", "identity"), n_samples=300)
    hyper = Hyperparameters(np.array([0.01]), np.array([100.0, 100.0]))
    results = []
    for budget in (1, 10**9):
        so = second_order_arrays(np.zeros(theta.size), *hyper, 300.0, 20)
        options = objective.second_order_options(estimate=True)
        curves, parameters = np.empty((7, _kernels.N_SECOND_ORDER_COLUMNS)), theta.copy()
        while so.progress["iteration"] < 7:
            objective.iterate(parameters, so, curves, options, budget)
        results.append((parameters, curves, so.hyper))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_first_step_solves_the_damped_normal_equations():
    objective, theta = make_objective((2, 4, 1), ("tanh", "identity"))
    groups = np.zeros(theta.size, dtype=int)
    hyper = Hyperparameters(np.array([0.3]), np.array([2.0]))
    solution = lm.solve(
        objective, theta, Monitor(1, Record()), groups=groups, hyper=hyper, tol=0.0, estimate=False
    )
    picture = objective.gauss_newton(theta)
    upper = np.triu(picture.hessians[0])
    A = 2.0 * (upper + np.triu(upper, 1).T) + 0.3 * np.eye(theta.size)
    damped = A + _kernels.FIRST_DAMPING * np.trace(A) / theta.size * np.eye(theta.size)
    step = np.linalg.solve(damped, -(2.0 * picture.gradients[0] + 0.3 * theta))
    np.testing.assert_allclose(solution.theta - theta, step, rtol=1e-9)


def test_without_penalty_it_finds_the_optimum_of_least_squares_in_no_more_iterations():
    rng = np.random.default_rng(1)
    X = np.linspace(-3, 3, 60)[:, None]
    y = np.sin(X[:, 0]) + 0.1 * rng.standard_normal(60)
    net = TinyMLPRegressor(
        hidden_layer_sizes=(3,), solver="lm", alpha=0.0, standardize=False, random_state=0
    )
    net.fit(X, y)
    architecture = Architecture((1, 3, 1))
    start = TinyMLPRegressor(
        hidden_layer_sizes=(3,), solver="sgd", learning_rate=1e-300, max_iter=1, random_state=0
    ).partial_fit(X, y)
    theta = architecture.pack(start.coefs_, start.intercepts_, float)

    def residuals(theta):
        coefs, intercepts = architecture.unpack(theta)
        return (np.tanh(X @ coefs[0] + intercepts[0]) @ coefs[1] + intercepts[1])[:, 0] - y

    def jacobian(theta):
        coefs, intercepts = architecture.unpack(theta)
        hidden = np.tanh(X @ coefs[0] + intercepts[0])
        slope = (1 - hidden**2) * coefs[1][:, 0]
        return np.hstack([X * slope, hidden, slope, np.ones((60, 1))])

    theirs = least_squares(residuals, theta, jacobian, method="lm")
    assert net.loss_ == pytest.approx(theirs.cost / 60, rel=1e-6)
    assert net.n_iter_ <= theirs.nfev


@pytest.mark.parametrize("bias", [True, False])
def test_with_a_fixed_penalty_the_gradient_ends_at_zero(bias):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 2))
    y = np.sin(X[:, 0]) * X[:, 1]
    net = TinyMLPRegressor(
        hidden_layer_sizes=(5,),
        solver="lm",
        alpha=0.1,
        bias=bias,
        standardize=False,
        random_state=0,
        max_iter=1000,
        tol=0.0,
    ).fit(X, y)
    architecture = Architecture((2, 5, 1), bias)
    network = kernel_network(architecture, ("tanh", "identity"), "squared_error", "float64")
    objective = Objective(network, Samples.of(X, y[:, None]), 0.1)
    theta = architecture.pack(net.coefs_, net.intercepts_, float)
    loss, gradient = objective.loss_gradient(theta)
    _, gradient_without_penalty = replace(objective, alpha=0.0).loss_gradient(theta)
    assert net.loss_ == pytest.approx(loss, rel=1e-10)
    assert np.abs(gradient).max() < 1e-6 * np.linalg.norm(gradient_without_penalty)


def test_poisson_is_refused_with_the_solver_that_takes_it():
    with pytest.raises(ValueError, match="solver='lbfgs'"):
        TinyMLPRegressor(solver="lm", loss="poisson").fit([[1.0], [2.0]], [1.0, 2.0])


def test_stops_at_the_target_loss():
    X = np.linspace(-2, 2, 50)[:, None]
    net = TinyMLPRegressor(solver="lm", alpha=0.0, loss_tol=1e-3, random_state=0)
    net.fit(X, 100 * np.sin(2 * X[:, 0]))
    assert net.stop_reason_ == "loss_tol"
    assert net.loss_ <= 1e-3 < net.loss_curve_[-2]


def test_early_stopping_returns_the_best_validation_score():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 3))
    y = X[:, 0] + rng.standard_normal(60)
    X_val = rng.standard_normal((50, 3))
    y_val = X_val[:, 0] + rng.standard_normal(50)
    net = TinyMLPRegressor(
        solver="lm", alpha=0.0, early_stopping=True, n_iter_no_change=5, random_state=0
    ).fit(X, y, X_val=X_val, y_val=y_val)
    assert net.stop_reason_ == "validation"
    assert net.score(X_val, y_val) == pytest.approx(max(net.validation_scores_))


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_small_matrix_and_the_large_one_give_the_same_step_and_evidence(n_outputs, weighted):
    units = (2, 6, n_outputs)
    objective, theta = make_objective(
        units, ("tanh", "identity"), weighted=weighted, n_samples=150 if n_outputs == 1 else 50
    )
    rng = np.random.default_rng(1)
    groups = np.arange(theta.size) % 3
    alpha, beta = rng.uniform(0.1, 2.0, 3), rng.uniform(1.0, 5.0, n_outputs)
    results = []
    for n_residuals in (0, objective.training.y.size):
        so = second_order_arrays(
            groups, alpha, beta, objective.training.weight_sum, 20, n_residuals
        )
        curves, parameters = np.empty((5, _kernels.N_SECOND_ORDER_COLUMNS)), theta.copy()
        options = objective.second_order_options(estimate=True)
        objective.iterate(parameters, so, curves, options, 10**9)
        assert so.progress["iteration"] == 5
        results.append((parameters, curves, so.hyper, so.best))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)
