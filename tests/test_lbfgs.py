from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_tinymlp._engine.architecture import Architecture
from sklearn_tinymlp._engine.objective import Objective, Samples, kernel_network
from sklearn_tinymlp._losses.squared_error import SQUARED_ERROR
from sklearn_tinymlp._solvers.lbfgs import solve
from sklearn_tinymlp._solvers.monitor import Monitor, Record, StopReason

CENTRE = np.array([1.0, -2.0, 3.0])
START = np.array([-1.2, 1.0, -1.0])


def of_function(function, gradient):
    """An objective as far as the solver sees it."""
    return SimpleNamespace(
        loss_gradient=lambda theta, between=None: (function(theta), gradient(theta))
    )


quadratic = of_function(
    lambda theta: 0.5 * np.sum([1, 10, 100] * (theta - CENTRE) ** 2),
    lambda theta: [1, 10, 100] * (theta - CENTRE),
)
rosenbrock = of_function(scipy.optimize.rosen, scipy.optimize.rosen_der)


def monitor(**options):
    return Monitor(**{"max_iter": 500, "record": Record()} | options)


def test_minimum_of_a_quadratic_is_found():
    solution = solve(quadratic, START, monitor(), tol=1e-8, max_fun=1000)
    assert_allclose(solution.theta, CENTRE, rtol=1e-7)
    assert_allclose(solution.loss, 0, atol=1e-13)
    assert solution.reason.converged
    assert solution.warning is None


def test_minimum_of_rosenbrock_is_found():
    solution = solve(rosenbrock, START, monitor(), tol=1e-6, max_fun=1000)
    assert_allclose(solution.theta, np.ones(3), rtol=1e-5)


def test_start_is_left_as_it_was():
    start = START.copy()
    solve(rosenbrock, start, monitor(), tol=1e-6, max_fun=1000)
    assert_array_equal(start, START)


def test_ridge_regression_has_its_closed_form():
    rng = np.random.RandomState(0)
    n, alpha = 40, 3.0
    X, weight = rng.standard_normal((n, 3)), rng.uniform(0.5, 2, n)
    y = X @ [1.0, 2.0, -1.0] + 0.5 + rng.standard_normal(n)
    objective = Objective(
        kernel_network(Architecture((3, 1)), ("identity",), "float64", SQUARED_ERROR),
        Samples.of(X, y.reshape(-1, 1), weight),
        alpha,
    )
    solution = solve(objective, np.zeros(4), monitor(), tol=1e-10, max_fun=1000)
    design = np.column_stack([X, np.ones(n)])
    penalty = alpha * np.diag([1.0, 1.0, 1.0, 0.0])
    expected = np.linalg.solve(design.T * weight @ design + penalty, design.T @ (weight * y))
    assert_allclose(solution.theta, expected, rtol=1e-6)


def test_a_small_gradient_is_the_reason_to_stop():
    start = CENTRE + 1e-3
    solution = solve(quadratic, start, monitor(), tol=1.0, max_fun=1000)
    assert solution.reason is StopReason.GRADIENT
    assert solution.n_iter == 0
    assert_array_equal(solution.theta, start)


def test_a_standstill_of_the_loss_is_another_reason():
    solution = solve(rosenbrock, START, monitor(), tol=0.0, max_fun=1000)
    assert solution.reason is StopReason.TOL
    assert solution.warning is None


def test_max_iter_stops_with_a_warning():
    watcher = monitor(max_iter=5)
    solution = solve(rosenbrock, START, watcher, tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.MAX_ITER
    assert solution.n_iter == watcher.n_iter == 5
    assert solution.warning.startswith("lbfgs failed to converge after 5 iteration(s)")
    assert "max_iter=5" in solution.warning
    assert_allclose(solution.loss, scipy.optimize.rosen(solution.theta))


def test_max_fun_stops_with_a_warning():
    solution = solve(rosenbrock, START, monitor(), tol=1e-6, max_fun=10)
    assert solution.reason is StopReason.MAX_FUN
    assert "lbfgs failed to converge" in solution.warning
    assert "max_iter" not in solution.warning


def test_a_false_gradient_ends_in_the_line_search():
    uphill = of_function(lambda theta: np.sum(theta**2), lambda theta: -2 * theta)
    solution = solve(uphill, START, monitor(), tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.LINE_SEARCH
    assert not solution.reason.converged
    assert solution.warning is not None


def test_a_line_search_that_meets_nan_ends_at_the_iterate_before_it():
    watched, known = monitor(), set()

    def defined_at_the_first_two_iterates(theta, between=None):
        loss, gradient = rosenbrock.loss_gradient(theta)
        if watched.n_iter < 2:
            known.add(theta.tobytes())
        return (loss, gradient) if theta.tobytes() in known else (np.nan, np.nan * gradient)

    objective = SimpleNamespace(loss_gradient=defined_at_the_first_two_iterates)
    solution = solve(objective, START, watched, tol=1e-8, max_fun=1000)
    assert (solution.reason, solution.n_iter) == (StopReason.LINE_SEARCH, 2)
    assert solution.loss == watched.record.columns["loss"][-1]
    assert solution.loss == scipy.optimize.rosen(solution.theta)


def test_record_has_a_row_an_iteration_and_ends_with_the_loss():
    watcher = monitor()
    solution = solve(rosenbrock, START, watcher, tol=1e-6, max_fun=1000)
    losses = watcher.record.columns["loss"]
    assert len(losses) == solution.n_iter
    assert losses[-1] == solution.loss
    assert all(np.diff(losses) <= 0)


def test_target_loss_ends_training_at_the_first_iteration_below_it():
    watcher = monitor(loss_tol=1.0)
    solution = solve(rosenbrock, START, watcher, tol=1e-6, max_fun=1000)
    *before, last = watcher.record.columns["loss"]
    assert solution.reason is StopReason.LOSS_TOL
    assert min(before) > 1.0 >= last
    assert solution.loss == last
    assert_allclose(scipy.optimize.rosen(solution.theta), last)
    assert solution.n_iter == len(before) + 1
    assert solution.warning is None


def test_early_stopping_gives_the_parameters_of_the_best_score():
    seen = []

    def validate(theta):
        seen.append(theta.copy())
        return 0.0, -abs(len(seen) - 3.0)  # best at the third iteration

    watcher = monitor(validate=validate, early_stopping=True, n_iter_no_change=2)
    solution = solve(rosenbrock, START, watcher, tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.VALIDATION
    assert solution.n_iter == 6
    assert solution.score == 0
    assert_array_equal(solution.theta, seen[2])


def test_an_interrupt_keeps_the_parameters_so_far():
    n_calls = 0

    def loss_gradient(theta, between):
        nonlocal n_calls
        n_calls += 1
        if n_calls > 12:
            raise KeyboardInterrupt
        return rosenbrock.loss_gradient(theta)

    watcher = monitor()
    objective = SimpleNamespace(loss_gradient=loss_gradient)
    solution = solve(objective, START, watcher, tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.INTERRUPTED
    assert solution.n_iter == watcher.n_iter > 0
    assert solution.loss == watcher.record.columns["loss"][-1]
    assert_allclose(scipy.optimize.rosen(solution.theta), solution.loss)


def test_an_interrupt_before_the_first_iteration_keeps_the_start():
    def loss_gradient(theta, between=None):
        if between is not None:  # by which Ctrl-C is heard
            raise KeyboardInterrupt
        return rosenbrock.loss_gradient(theta)

    objective = SimpleNamespace(loss_gradient=loss_gradient)
    solution = solve(objective, START, monitor(), tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.INTERRUPTED
    assert solution.n_iter == 0
    assert_array_equal(solution.theta, START)
    assert solution.loss == rosenbrock.loss_gradient(START)[0]


def test_other_errors_pass():
    def loss_gradient(theta, between):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        solve(
            SimpleNamespace(loss_gradient=loss_gradient), START, monitor(), tol=1e-6, max_fun=1000
        )


def test_nothing_is_printed(capfd):
    solve(rosenbrock, START, monitor(), tol=1e-6, max_fun=1000)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
