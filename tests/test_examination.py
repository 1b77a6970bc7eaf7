"""Derivatives of the loss, and the limits that follow from them, against independent ones."""

from dataclasses import replace

import numpy as np
import pytest
from diagnosis_cases import FULL_BATCH, POINTS, described, fit_quietly, make_net, plane, wave
from numpy.testing import assert_allclose

from sklearn_tinymlp._diagnosis.derivatives import largest_eigenvalue
from sklearn_tinymlp._diagnosis.examination import Examination
from sklearn_tinymlp._diagnosis.trained_network import TrainedNetwork
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._solvers.table import LBFGS

# --------------------------------------------------------------------- the stability limit


def random_design(n, d, seed, **more):
    rng = np.random.RandomState(seed)
    return {"X": rng.standard_normal((n, d)), "y": rng.standard_normal(n), **more}


QUADRATICS = {
    "a line": {"X": wave()[0], "y": wave()[1]},
    "three points": {"X": POINTS[0], "y": POINTS[1]},
    "five features": random_design(30, 5, 0),
    "weighted": random_design(30, 2, 1, sample_weight=np.linspace(0.1, 2.0, 30)),
    "two outputs": {
        **random_design(30, 3, 2),
        "y": np.random.RandomState(3).standard_normal((30, 2)),
    },
    "penalised": random_design(10, 4, 4, params={"alpha": 5.0}),
    "heavy ball": random_design(30, 3, 5, params={"momentum": 0.9, "nesterovs_momentum": False}),
    "nesterov": random_design(30, 3, 6, params={"momentum": 0.9, "nesterovs_momentum": True}),
    "without bias": random_design(30, 3, 7, params={"bias": False}),
    "more weights than rows": random_design(6, 10, 8),
}


def objective_of(exam):
    return lambda theta: exam.replaced(theta=theta).objective


def limit_of(net, X, y, sample_weight=None):
    return Examination(described(net, X, y, sample_weight)).stable_rate


@pytest.mark.slow
@pytest.mark.parametrize("name", QUADRATICS)
def test_gradient_descent_converges_below_the_limit_and_diverges_above(name):
    problem = dict(QUADRATICS[name])
    params = {**FULL_BATCH, "hidden_layer_sizes": (), **problem.pop("params", {})}
    net = fit_quietly(make_net(**{**params, "max_iter": 1}), **problem)
    limit = limit_of(net, **problem)

    below = make_net(**{**params, "learning_rate": 0.9 * limit, "max_iter": 3000})
    losses = np.array(fit_quietly(below, **problem).loss_curve_)
    assert abs(losses[-1] - losses[-2]) <= 1e-9 * losses[0]
    assert losses[-1] <= losses[:10].min()
    above = make_net(**{**params, "learning_rate": 1.1 * limit, "max_iter": 300})
    losses = fit_quietly(above, **problem).loss_curve_
    assert losses[-1] > 1e6 * losses[0]
    (finding, *_) = above.diagnose(**problem)
    assert finding.code == "learning_rate_too_large"
    assert f"exceeds {limit:.3g}" in finding.sentence


def test_gradient_descent_leaves_the_minimum_of_a_network_above_the_limit():
    X, y = wave()
    net = fit_quietly(make_net(alpha=0.01, hidden_layer_sizes=(3,), max_iter=5000, tol=1e-9), X, y)
    start = {"coefs_init": [c + 1e-6 for c in net.coefs_], "intercepts_init": net.intercepts_}
    params = {**FULL_BATCH, "hidden_layer_sizes": (3,), "alpha": 0.01, "max_iter": 2000}
    limit = limit_of(net.set_params(**params), X, y)
    for share, stays in ((0.9, True), (1.1, False)):
        descent = make_net(**{**params, "learning_rate": share * limit})
        fit_quietly(descent, X, y, **start)
        away = np.abs(descent.coefs_[0] - net.coefs_[0]).max()
        assert (away < 0.01) == stays, away  # 0.001 against 0.16


def test_the_largest_eigenvalue_is_that_of_the_gauss_newton_matrix():
    X, y = plane(50, 3)
    net = fit_quietly(
        make_net(alpha=0.5, hidden_layer_sizes=(5, 4), solver="sgd", max_iter=3), X, y
    )
    exam = Examination(described(net, X, y))
    theta = exam.network.theta
    matrix = np.array([exam.gauss_newton_product(e) for e in np.eye(theta.size)])
    assert_allclose(matrix, matrix.T, atol=1e-12)
    assert_allclose(exam.largest_curvature, np.linalg.eigvalsh(matrix)[-1], rtol=1e-6)
    loss_at, step = objective_of(exam), 1e-6
    numeric = [
        (loss_at(theta + step * e) - loss_at(theta - step * e)) / (2 * step)
        for e in np.eye(theta.size)
    ]
    assert_allclose(exam.gradient, numeric, rtol=1e-5, atol=1e-8)


def test_lanczos_finds_the_largest_of_many_eigenvalues():
    rng = np.random.RandomState(0)
    Q, _ = np.linalg.qr(rng.standard_normal((200, 200)))
    matrix = (Q * np.linspace(0, 10, 200)) @ Q.T
    assert_allclose(largest_eigenvalue(lambda v: matrix @ v, 200), 10.0, rtol=0.01)
    assert largest_eigenvalue(lambda v: 0 * v, 5) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_the_limit_for_batches_lies_between_that_of_a_row_and_that_of_all(batch_size):
    X, y = wave()
    limits = [
        limit_of(fit_quietly(make_net(solver="sgd", max_iter=1, batch_size=b), X, y), X, y)
        for b in (1, batch_size, 40)
    ]
    assert limits == sorted(limits)


def test_a_matrix_that_is_not_finite_has_no_largest_eigenvalue():
    assert np.isnan(largest_eigenvalue(lambda vector: np.full(5, np.nan), 5))


# ------------------------------------------------------------------------------- each loss


def examined(name, n_outputs=2, **more):
    """Examine a small network as it is before a fit."""
    loss, rng = LOSSES[name], np.random.RandomState(0)
    X = rng.standard_normal((30, 3))
    least = 0.0 if name == "poisson" else 0.5
    y = rng.poisson(2.0, (30, n_outputs)) + least if loss.positive else X[:, :n_outputs] ** 2
    architecture = Architecture((3, 4, n_outputs))
    theta = 0.5 * rng.standard_normal(architecture.n_parameters)
    activations, data = ("tanh", loss.output_activation), (X, y, rng.uniform(0.0, 2.0, 30))
    more = {"params": {}, "solver": LBFGS, "penalty": 0.3, **more}
    return Examination(TrainedNetwork(architecture, theta, activations, loss, *data, **more))


def central_differences(function, theta, step=1e-6):
    return np.array(
        [
            (function(theta + step * e) - function(theta - step * e)) / (2.0 * step)
            for e in np.eye(theta.size)
        ]
    )


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_the_loss(name, n_outputs):
    exam = examined(name, n_outputs)
    numeric = central_differences(objective_of(exam), exam.network.theta)
    assert_allclose(exam.gradient, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_the_mean_loss_and_that_of_a_constant_are_those_of_the_loss(name, n_outputs):
    exam = examined(name, n_outputs)
    loss, y, weight = LOSSES[name], exam.network.y, exam.network.sample_weight
    assert_allclose(exam.loss, loss.mean(y, exam.predictions, weight))
    constant = loss.best_constant(y, weight)
    assert_allclose(exam.constant_loss, loss.mean(y, np.broadcast_to(constant, y.shape), weight))
    for shift in (0.99, 1.01):
        worse = loss.mean(y, np.broadcast_to(shift * constant, y.shape), weight)
        assert worse > exam.constant_loss
    assert_allclose(exam.explained, 1.0 - exam.loss / exam.constant_loss)


@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gauss_newton_matrix_is_that_of_the_linearised_network(name, n_outputs):
    exam = examined(name, n_outputs)
    loss, theta = LOSSES[name], exam.network.theta
    J = central_differences(lambda t: exam.replaced(theta=t).predictions, theta)
    curvature = loss.curvature(exam.y, exam.predictions)
    matrix = np.einsum("pri,ri,qri->pq", J, exam.weight * curvature, J)
    n_coefs = exam.network.architecture.n_coefs
    matrix[range(n_coefs), range(n_coefs)] += 0.3 / exam.network.sample_weight.sum()
    mine = [exam.gauss_newton_product(e) for e in np.eye(theta.size)]
    assert_allclose(mine, matrix, rtol=1e-5, atol=1e-8)


def test_the_gradient_stays_finite_where_an_exp_has_underflown():
    exam = examined("poisson")
    theta = exam.network.theta.copy()
    theta[-2:] = -1000.0
    below = Examination(replace(exam.network, theta=theta))
    assert (below.predictions == 0.0).all()
    assert np.isfinite(below.gradient).all()


@pytest.mark.parametrize("name", LOSSES)
def test_targets_that_are_all_alike_leave_nothing_to_explain(name):
    network = examined(name).network
    for noise, expected in ((1e-9, True), (1e-3, False)):
        exam = Examination(replace(network, y=3.0 + noise * network.y))
        assert (exam.explained == 1.0) == exam.constant_outputs.all() == expected


def test_weights_that_cancel_have_no_best_constant():
    exam = examined("squared_error")
    exam.weight = np.tile([[1.0], [-1.0]], (15, 1))
    assert np.isnan(exam.constant_loss)
