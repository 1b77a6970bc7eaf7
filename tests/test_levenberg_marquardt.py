from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import least_squares
from scipy.sparse import csr_matrix

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._bayes.evidence import Hyperparameters, evidence, hessian
from sklearn_tinymlp._engine import kernels
from sklearn_tinymlp._engine.architecture import Architecture
from sklearn_tinymlp._engine.objective import (
    Objective,
    Samples,
    kernel_network,
    predict,
)
from sklearn_tinymlp._engine.second_order import (
    gauss_newton,
    iterate,
    residual_jacobian,
    second_order_arrays,
    second_order_options,
)
from sklearn_tinymlp._losses.squared_error import SQUARED_ERROR
from sklearn_tinymlp._solvers import levenberg_marquardt as lm
from sklearn_tinymlp._solvers.monitor import Monitor, Record


def make_objective(units, activations, *, bias=True, weighted=False, n_samples=37, alpha=0.0):
    rng = np.random.default_rng(0)
    architecture = Architecture(units, bias)
    X = rng.standard_normal((n_samples, units[0]))
    y = rng.standard_normal((n_samples, units[-1]))
    weight = rng.uniform(0.1, 3.0, n_samples) if weighted else None
    network = kernel_network(architecture, activations, "float64", SQUARED_ERROR)
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
    picture = gauss_newton(objective, theta)
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
    picture = gauss_newton(objective, theta)
    for k in range(3):
        expected = np.triu(jacobian[:, :, k] @ jacobian[:, :, k].T)
        np.testing.assert_allclose(np.triu(picture.hessians[k]), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_samples", [37, 150])
@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_rows_give_the_jacobian_of_dense_ones(weighted, n_samples):
    dense, theta = make_objective(
        (4, 3, 2), ("tanh", "identity"), weighted=weighted, n_samples=n_samples
    )
    X = np.where(np.arange(4) == np.arange(n_samples)[:, None] % 5, dense.training.rows.values, 0)
    weight = dense.training.weight if weighted else None
    pictures = []
    for data in (X, csr_matrix(X)):
        objective = replace(dense, training=Samples.of(data, dense.training.y, weight))
        pictures.append([*residual_jacobian(objective, theta), *gauss_newton(objective, theta)])
    for ours, theirs in zip(*pictures, strict=True):
        np.testing.assert_allclose(np.triu(ours), np.triu(theirs), rtol=1e-12, atol=1e-14)


def test_blocks_of_rows_add_up():
    objective, theta = make_objective((2, 4, 2), ("tanh", "identity"), n_samples=300)
    assert 300 > 2 * kernels.BLOCK_ROWS
    whole = gauss_newton(objective, theta)
    samples = objective.training
    parts = [
        replace(objective, training=Samples.of(samples.rows.values[rows], samples.y[rows]))
        for rows in (slice(0, 100), slice(100, 300))
    ]
    for sums, *terms in zip(whole, *(gauss_newton(part, theta) for part in parts), strict=True):
        np.testing.assert_allclose(sum(terms), sums, rtol=1e-10, atol=1e-12)


def test_tiny_slices_of_time_change_nothing():
    objective, theta = make_objective((2, 4, 2), ("tanh", "identity"), n_samples=300)
    hyper = Hyperparameters(np.array([0.01]), np.array([100.0, 100.0]))
    results = []
    for budget in (1, 10**9):
        so = second_order_arrays(np.zeros(theta.size), *hyper, 300.0, 20)
        options = second_order_options(objective, estimate=True)
        curves, parameters = np.empty((7, kernels.N_SECOND_ORDER_COLUMNS)), theta.copy()
        while so.progress["iteration"] < 7:
            iterate(
                objective,
                parameters,
                so,
                budget=budget,
                curves=curves,
                options=options,
                evidence=lm.evidence_routines(dual=so.residuals.size > 0),
            )
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
    picture = gauss_newton(objective, theta)
    upper = np.triu(picture.hessians[0])
    A = 2.0 * (upper + np.triu(upper, 1).T) + 0.3 * np.eye(theta.size)
    damped = A + kernels.FIRST_DAMPING * np.trace(A) / theta.size * np.eye(theta.size)
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
    network = kernel_network(architecture, ("tanh", "identity"), "float64", SQUARED_ERROR)
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
        curves, parameters = np.empty((5, kernels.N_SECOND_ORDER_COLUMNS)), theta.copy()
        options = second_order_options(objective, estimate=True)
        iterate(
            objective,
            parameters,
            so,
            budget=10**9,
            curves=curves,
            options=options,
            evidence=lm.evidence_routines(dual=so.residuals.size > 0),
        )
        assert so.progress["iteration"] == 5
        results.append((parameters, curves, so.hyper, so.best))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8)


# --------------------------------------------------------------------- the loop, step by step


class Run:
    """Arrays of the compiled loop, and its first iterations from small damping."""

    def __init__(
        self, objective, theta, groups, hyper, *, dual=False, n_peaks=20, damping=1e-5, **options
    ):
        n_residuals = objective.training.y.size if dual else 0
        weight_sum = objective.training.weight_sum
        self.objective, self.theta = objective, theta.copy()
        self.so = second_order_arrays(groups, *hyper, weight_sum, n_peaks, n_residuals)
        self.progress = self.so.progress[0]
        self.progress["damping"] = damping
        self.options = second_order_options(objective, **options)

    def iterate(self, n_iterations, budget=10**9):
        """Give the rows of the curves that were written."""
        curves = np.full((n_iterations, kernels.N_SECOND_ORDER_COLUMNS), 7.0)
        self.progress["iteration"] = 0
        iterate(
            self.objective,
            self.theta,
            self.so,
            budget=budget,
            curves=curves,
            options=self.options,
            evidence=lm.evidence_routines(dual=self.so.residuals.size > 0),
        )
        return curves[: self.progress["iteration"]]


def in_numpy(objective, theta, groups, hyper, n_iterations, *, estimate, warm_up=0, damping=1e-5):
    """Nielsen's damped steps and MacKay's re-estimates, from the picture at each point.

    Give theta, the hyperparameters, the curves, the best of the evidence and how often a step was
    rejected.
    """
    n, weight_sum = theta.size, objective.training.weight_sum
    rows, growth, n_rejected, best = [], 2.0, 0, (-np.inf,)

    def value(theta):
        return hyper.beta @ objective.errors(theta) + 0.5 * hyper.alpha[groups] @ theta**2

    for n_iter in range(1, n_iterations + 1):
        picture = gauss_newton(objective, theta)
        A = hessian(picture, hyper, groups)
        A = np.triu(A) + np.triu(A, 1).T
        gradient = hyper.beta @ picture.gradients + hyper.alpha[groups] * theta
        while True:
            damped = A + damping * np.trace(A) / n * np.eye(n)
            if np.linalg.eigvalsh(damped)[0] > 0:
                step = np.linalg.solve(damped, -gradient)
                fall = value(theta) - value(theta + step)
                if fall > 0:
                    break
            damping, growth, n_rejected = damping * growth, 2 * growth, n_rejected + 1
        ratio = fall / -(gradient @ step + 0.5 * step @ A @ step)
        damping, growth = damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
        theta = theta + step
        picture, scale = gauss_newton(objective, theta), objective.output_scale
        squares = np.sum(theta[: objective.network.n_coefs] ** 2)
        loss = np.mean(scale**2 * (picture.errors + 0.5 * objective.alpha * squares)) / weight_sum
        row = [loss, np.abs(gradient).max(), damping, hyper.alpha[0], np.nan, np.nan]
        if estimate and n_iter >= warm_up:
            found = evidence(theta, picture, hyper, groups, weight_sum)
            if not np.isnan(found.log_evidence):
                row[4:] = found.log_evidence, found.gamma.sum()
                if found.log_evidence > best[0]:
                    best = found.log_evidence, loss, np.concatenate([theta, *hyper, found.gamma])
                hyper = found.next
        rows.append(row)
    return theta, hyper, np.array(rows), best, n_rejected


def make_problem(n_outputs=1, weighted=False, n_samples=37, n_groups=2):
    """Too little penalty and a start far off: some steps are rejected."""
    objective, theta = make_objective(
        (2, 4, n_outputs), ("tanh", "identity"), weighted=weighted, n_samples=n_samples, alpha=0.7
    )
    objective = replace(objective, output_scale=np.linspace(0.5, 2.0, n_outputs))
    groups = np.arange(theta.size) % n_groups
    hyper = Hyperparameters(np.linspace(0.02, 0.05, n_groups), np.linspace(1.0, 3.0, n_outputs))
    return objective, 2.0 * theta, groups, hyper


@pytest.mark.parametrize("dual", [False, True], ids=["large matrix", "small matrix"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_outputs", [1, 2])
@pytest.mark.parametrize(
    ("estimate", "warm_up"), [(False, 0), (True, 0), (True, 4)], ids=["fixed", "auto", "warm-up"]
)
def test_iterations_are_those_of_the_published_algorithm(
    estimate, warm_up, n_outputs, weighted, dual
):
    problem = make_problem(n_outputs, weighted)
    theta, hyper, curves, best, n_rejected = in_numpy(
        *problem, 8, estimate=estimate, warm_up=warm_up
    )
    assert n_rejected > 0
    run = Run(*problem, dual=dual, estimate=estimate, warm_up=warm_up)
    np.testing.assert_allclose(run.iterate(8), curves, rtol=1e-6)
    np.testing.assert_allclose(run.theta, theta, rtol=1e-6)
    np.testing.assert_allclose(run.so.hyper[:-2], np.concatenate(hyper), rtol=1e-6)
    assert run.progress["n_iter"] == 8
    assert run.progress["event"] == kernels.RUNNING
    if estimate:
        assert run.progress["best_evidence"] == pytest.approx(best[0], rel=1e-6)
        assert run.progress["best_loss"] == pytest.approx(best[1], rel=1e-6)
        np.testing.assert_allclose(run.so.best, best[2], rtol=1e-6)


def test_where_A_is_not_positive_definite_damping_grows_and_the_evidence_waits():
    objective, theta, groups, hyper = make_problem(n_samples=5)  # 5 rows, 17 parameters
    problem = objective, theta, groups, hyper._replace(alpha=np.full(2, -1e-4))
    theta, _, curves, _, n_rejected = in_numpy(*problem, 3, estimate=True)
    assert n_rejected > 0
    run = Run(*problem, estimate=True)
    np.testing.assert_allclose(run.iterate(3), curves, rtol=1e-6)
    assert np.isnan(curves[:, kernels.LOG_EVIDENCE]).all()
    np.testing.assert_allclose(run.theta, theta, rtol=1e-6)
    np.testing.assert_array_equal(run.so.hyper[:-2], np.concatenate(problem[-1]))
    assert run.progress["event"] == kernels.RUNNING
    assert run.progress["best_evidence"] == -np.inf


def test_it_ends_where_no_step_lowers_the_objective_and_there_is_no_evidence():
    objective, theta, groups, hyper = make_linear_problem(n_samples=1)
    nothing = Samples.of(objective.training.rows.values, np.zeros((1, 1)))
    hyper = hyper._replace(alpha=np.array([-1e-3]))
    run = Run(replace(objective, training=nothing), 0 * theta, groups, hyper, estimate=True)
    curves = run.iterate(5)
    assert len(curves) == 1 and np.isnan(curves[0, kernels.LOG_EVIDENCE])
    assert run.progress["event"] == kernels.STALLED


def test_an_evidence_that_falls_again_leaves_the_best_as_it_was():
    problem = make_problem(n_samples=12)
    run = Run(*problem, estimate=True)
    curves = run.iterate(60)
    found = curves[:, kernels.LOG_EVIDENCE]
    best = int(np.argmax(found))
    assert 0 < best < 59
    assert run.progress["best_evidence"] == found[best]
    assert run.progress["best_loss"] == curves[best, kernels.LOSS]
    again = Run(*problem, estimate=True)
    again.iterate(best)
    hyper = again.so.hyper[:-2].copy()
    again.iterate(1)
    gamma = again.so.result[1:3]
    np.testing.assert_array_equal(run.so.best, np.concatenate([again.theta, hyper, gamma]))


@pytest.mark.parametrize("rise", [0.1, 1.0])
@pytest.mark.parametrize("n_peaks", [2, 4])
def test_it_ends_once_the_best_evidence_has_risen_by_no_more_than_asked(n_peaks, rise):
    run = Run(*make_problem(), estimate=True, n_peaks=n_peaks, rise=rise)
    found = run.iterate(200)[:, kernels.LOG_EVIDENCE]
    assert run.progress["event"] == kernels.CONVERGED
    best = np.maximum.accumulate(found)
    rises = best[n_peaks - 1 :] - best[: 1 - n_peaks]
    assert rises[-1] <= rise
    assert (rises[:-1] > rise).all()


@pytest.mark.parametrize("reduction", [1e-2, 1e-4])
def test_with_a_fixed_penalty_it_ends_once_the_objective_falls_by_no_more_than_asked(reduction):
    problem = objective, theta, groups, hyper = make_problem()
    run = Run(*problem, estimate=False, reduction=reduction)
    values = []
    while run.progress["event"] == kernels.RUNNING:
        errors, alpha = objective.errors(run.theta), hyper.alpha[groups]
        values.append(hyper.beta @ errors + 0.5 * alpha @ run.theta**2)
        run.iterate(1)
    assert run.progress["event"] == kernels.STALLED
    values.append(values[-1] - run.progress["fall"])
    falls = -np.diff(values) / values[:-1]
    assert falls[-1] <= reduction
    assert len(falls) > 2 and (falls[:-1] > reduction).all()


@pytest.mark.parametrize("estimate", [False, True])
def test_it_ends_at_the_first_loss_that_is_low_enough(estimate):
    problem = make_problem()
    losses = Run(*problem, estimate=estimate).iterate(10)[:, kernels.LOSS]
    for loss_tol in (losses[4], np.nextafter(losses[4], np.inf)):
        run = Run(*problem, estimate=estimate, loss_tol=loss_tol)
        curves = run.iterate(10)
        assert run.progress["event"] == kernels.TARGET_REACHED
        assert len(curves) == 1 + np.flatnonzero(losses <= loss_tol)[0]
        if estimate:  # what met the target is kept, were its evidence the best or not
            assert run.progress["best_loss"] == curves[-1, kernels.LOSS]
            np.testing.assert_array_equal(run.so.best[: run.theta.size], run.theta)


def make_linear_problem(n_samples=37):
    """Ridge regression: a step or two lead to the minimum."""
    objective, theta = make_objective((2, 1), ("identity",), n_samples=n_samples)
    return objective, theta, np.zeros(3, int), Hyperparameters(np.array([0.3]), np.array([2.0]))


@pytest.mark.parametrize("warm_up", [0, 10**6])
@pytest.mark.parametrize("estimate", [False, True])
def test_where_no_step_lowers_the_objective_it_says_so_and_the_evidence_goes_on(estimate, warm_up):
    objective, theta, groups, hyper = make_linear_problem()
    run = Run(objective, theta, groups, hyper, estimate=False)
    run.iterate(100)
    assert run.progress["event"] == kernels.STALLED
    minimum = run.theta.copy()
    run = Run(objective, minimum, groups, hyper, estimate=estimate, warm_up=warm_up)
    curves = run.iterate(1)
    np.testing.assert_array_equal(run.theta, minimum)
    assert run.progress["fall"] == 0.0
    assert run.progress["damping"] == curves[0, kernels.DAMPING] == kernels.FIRST_DAMPING
    assert run.progress["growth"] == 2.0
    if estimate:
        assert run.progress["event"] == kernels.RUNNING
        picture = gauss_newton(objective, minimum)
        found = evidence(minimum, picture, hyper, groups, 37.0)
        assert curves[0, kernels.LOG_EVIDENCE] == pytest.approx(found.log_evidence)
        np.testing.assert_allclose(run.so.hyper[:-2], np.concatenate(found.next), rtol=1e-9)
    else:
        assert run.progress["event"] == kernels.STALLED


def test_damping_falls_to_a_third_where_the_picture_is_exact_and_has_a_floor():
    for damping, expected in ((3e-5, 1e-5), (2e-12, kernels.LEAST_DAMPING)):
        run = Run(*make_linear_problem(), estimate=False, damping=damping)
        assert run.iterate(1)[0, kernels.DAMPING] == pytest.approx(expected, rel=1e-9, abs=0)
