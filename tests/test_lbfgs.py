"""L-BFGS finds minima, ends for its reasons, and follows scipy's L-BFGS-B to rounding."""

import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_tinymlp._engine import limited_memory
from sklearn_tinymlp._losses.deviance import POISSON
from sklearn_tinymlp._losses.table import SQUARED_ERROR
from sklearn_tinymlp._machine.compilation import callback, unsigned
from sklearn_tinymlp._machine.interruption import Interruption
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers.lbfgs import FTOL, Loop, solve
from sklearn_tinymlp._solvers.monitor import History, Monitor, StopReason

CENTRE = np.array([1.0, -2.0, 3.0])
START = np.array([-1.2, 1.0, -1.0])
kept = []  # what the networks below have the addresses of


def of_function(function, gradient, n=3):
    """Return the objective of a network whose loss is any function of its n weights.

    One row with the input 1: the n outputs are the weights themselves.
    """

    def loss(values, slopes, targets, deltas, losses, parameters, size):
        theta = np.array(values[:n])
        for k, slope in enumerate(gradient(theta)):
            losses[k], deltas[k] = 0.0, slope
        losses[0] = function(theta)

    kept.append(callback(loss, 6, 1, "float64"))
    network = Network(Architecture((1, n), bias=False), ("identity",))
    objective = Objective(network, Samples.of(np.ones((1, 1)), np.zeros((1, n))), 0.0)
    compiled = objective.compiled
    network = compiled.network._replace(loss=unsigned(kept[-1].address), loss_factor=1.0)
    vars(objective)["compiled"] = replace(compiled, network=network)
    return objective


quadratic = of_function(
    lambda theta: 0.5 * np.sum([1, 10, 100] * (theta - CENTRE) ** 2),
    lambda theta: [1, 10, 100] * (theta - CENTRE),
)
rosenbrock = of_function(scipy.optimize.rosen, scipy.optimize.rosen_der)


def monitor(**options):
    return Monitor(**{"max_iter": 500, "record": History()} | options)


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
        Network(Architecture((3, 1)), ("identity",)),
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
    uphill = of_function(lambda theta: theta @ theta, lambda theta: -2 * theta)
    solution = solve(uphill, START, monitor(), tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.LINE_SEARCH
    assert not solution.reason.converged
    assert solution.warning is not None


def test_a_line_search_that_meets_nan_ends_at_the_iterate_before_it():
    watched, known = monitor(verbose=True), set()  # iterations are told one by one

    def loss(theta):
        if watched.n_iter < 2:
            known.add(theta.tobytes())
        return scipy.optimize.rosen(theta) if theta.tobytes() in known else np.nan

    objective = of_function(loss, lambda theta: scipy.optimize.rosen_der(theta) + 0 * loss(theta))
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


@pytest.mark.parametrize("n_calls", [1, 2, 13, 30])
def test_an_interrupt_keeps_the_parameters_so_far(n_calls, monkeypatch):
    go_on, calls = Loop.go_on, iter(range(1, n_calls + 1))

    def by_evaluations(search, losses, target, budget):
        if next(calls, None) == n_calls:
            raise KeyboardInterrupt
        return go_on(search, losses, target, 1)

    monkeypatch.setattr(Loop, "go_on", by_evaluations)
    watcher = monitor()
    solution = solve(rosenbrock, START, watcher, tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.INTERRUPTED
    losses = watcher.record.columns.get("loss", [])
    assert solution.n_iter == watcher.n_iter == len(losses)
    if losses:
        assert solution.loss == losses[-1] == scipy.optimize.rosen(solution.theta)
    else:
        assert_array_equal(solution.theta, START)
        assert solution.loss == scipy.optimize.rosen(START)


def test_the_flag_is_heard_within_a_line_search():
    flag = Interruption()
    seen = []

    def loss(theta):
        seen.append(theta.copy())
        if len(seen) == 12:
            flag.set()
        return scipy.optimize.rosen(theta)

    watcher = monitor(interrupted=flag, verbose=True)
    objective = of_function(loss, scipy.optimize.rosen_der)
    solution = solve(objective, START, watcher, tol=1e-6, max_fun=1000)
    assert solution.reason is StopReason.INTERRUPTED
    assert 12 <= len(seen) < 35
    assert solution.loss == watcher.record.columns["loss"][-1]
    assert solution.loss == scipy.optimize.rosen(solution.theta)


def test_nothing_is_printed(capfd):
    solve(rosenbrock, START, monitor(), tol=1e-6, max_fun=1000)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


# -------------------------------------------------------------- scipy's L-BFGS-B, step by step


def of_quadratic(decades, n):
    """Condition 10^decades, turned at random."""
    rng = np.random.default_rng(n)
    axes = np.linalg.qr(rng.standard_normal((n, n)))[0]
    hessian, centre = axes * np.logspace(0, decades, n) @ axes.T, rng.standard_normal(n)
    return of_function(
        lambda theta: 0.5 * (theta - centre) @ hessian @ (theta - centre),
        lambda theta: hessian @ (theta - centre),
        n,
    ), np.zeros(n)


def of_network(units, activation="tanh", loss=SQUARED_ERROR, alpha=1e-3, scales=1.0, sparse=False):
    """Forty rows, of inputs that may be of very different scales."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, units[0])) * scales
    y = np.abs(rng.standard_normal((40, units[-1])))
    names = [activation] * (len(units) - 2) + ["exp" if loss is POISSON else "identity"]
    network = Network(Architecture(units), tuple(names))
    rows = scipy.sparse.csr_matrix(X) if sparse else X
    weight = rng.uniform(0.5, 2, 40) if sparse else None
    theta = 0.3 * rng.standard_normal(Architecture(units).n_parameters)
    return Objective(network, Samples.of(rows, y, weight), alpha, loss=loss), theta


def of_valley(n):
    rng = np.random.default_rng(0)
    return of_function(scipy.optimize.rosen, scipy.optimize.rosen_der, n), rng.uniform(-2, 2, n)


def of_waves(n):
    """Many minima: the line search has to go back, and out again."""
    return of_function(
        lambda theta: np.sum(np.sin(3 * theta) + 0.1 * theta**2),
        lambda theta: 3 * np.cos(3 * theta) + 0.2 * theta,
        n,
    ), np.random.default_rng(0).uniform(-3, 3, n)


def of_corners(n):
    """Nearly the sum of absolute values: long steps that are too long."""
    return of_function(
        lambda theta: np.sum(np.sqrt(1 + 1e4 * theta**2)),
        lambda theta: 1e4 * theta / np.sqrt(1 + 1e4 * theta**2),
        n,
    ), np.random.default_rng(1).uniform(-3, 3, n)


def of_logarithms(n):
    """Not defined for negative weights: steps end in NaN."""

    def loss(theta):
        with np.errstate(invalid="ignore"):
            return np.sum(theta - np.log(theta))

    return of_function(loss, lambda theta: 1 - 1 / theta, n), np.logspace(-2, -6, n)


FOLLOWED = {
    "round": partial(of_quadratic, 2, 5),
    "ill-conditioned": partial(of_quadratic, 8, 30),
    "fewer weights than pairs": partial(of_quadratic, 3, 3),
    "valley": partial(of_valley, 3),
    "longer valley": partial(of_valley, 12),
    "waves": partial(of_waves, 20),
    "corners": partial(of_corners, 7),
    "logarithms": partial(of_logarithms, 3),
    "tanh": partial(of_network, (3, 5, 1)),
    "relu, two layers": partial(of_network, (3, 6, 4, 1), "relu"),
    "several outputs": partial(of_network, (2, 4, 3)),
    "sparse, weighted": partial(of_network, (4, 3, 1), "logistic", sparse=True),
    "poisson": partial(of_network, (3, 4, 1), loss=POISSON),
    "badly scaled": partial(of_network, (4, 5, 1), "relu", scales=[1e3, 1e-3, 1.0, 30.0]),
    "no penalty": partial(of_network, (3, 10, 10, 1), "elu", alpha=0.0),
}
WHOLE = ["round", "fewer weights than pairs", "valley", "waves", "corners", "logarithms"]
CUTS = [{"max_iter": 1}, {"max_iter": 12}, {"max_iter": 25}, {"max_fun": 9}, {"max_fun": 24}]


def our_path(objective, start, gtol, max_fun, max_iter, ftol=FTOL, budget=10**15):
    search = Loop.begin(objective.compiled, start, tol=gtol, ftol=ftol, max_fun=max_fun)
    state, losses = search.arrays.state, []
    while state[limited_memory.EVENT] == limited_memory.RUNNING and len(losses) < max_iter:
        room = np.empty(max_iter - len(losses))
        losses.extend(room[: search.go_on(room, -np.inf, budget)])
    return search, losses


def assert_scipy_goes_there_too(name, rtol, gtol=1e-5, max_fun=1000, max_iter=1000):
    objective, start = FOLLOWED[name]()
    losses = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        theirs = scipy.optimize.minimize(
            objective.loss_gradient,
            start,
            method="L-BFGS-B",
            jac=True,
            callback=lambda x: losses.append(objective.loss_gradient(x)[0]),
            options={"gtol": gtol, "maxfun": max_fun, "maxiter": max_iter},
        )
        search, ours = our_path(objective, start, gtol, max_fun, max_iter)
    state = search.arrays.state
    assert len(ours) == theirs.nit
    assert state[limited_memory.N_EVALUATIONS] == theirs.nfev
    assert_allclose(ours, losses, rtol=rtol, atol=1e-12)
    theta, loss = search.latest()
    assert_allclose(theta, theirs.x, rtol=rtol, atol=rtol * np.abs(theirs.x).max())
    assert_allclose(loss, theirs.fun, rtol=rtol, atol=1e-12)
    event = state[limited_memory.EVENT]
    cut = event in (limited_memory.RUNNING, limited_memory.MANY_EVALUATIONS)
    assert cut == (theirs.status == 1)
    if theirs.status == 0:
        by_gradient = "GRADIENT" in theirs.message.upper()
        assert by_gradient == (event == limited_memory.SMALL_GRADIENT)


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("name", FOLLOWED)
def test_scipy_goes_the_same_way(name, cut):
    # Rounding is amplified: of the ill-conditioned ones by a factor of some three an iteration.
    assert_scipy_goes_there_too(name, 1e-5, **cut)


@pytest.mark.parametrize("gtol", [1e-3, 1e-5, 0.0])
@pytest.mark.parametrize("name", WHOLE)
def test_scipy_ends_at_the_same_point(name, gtol):
    assert_scipy_goes_there_too(name, 1e-5, gtol=gtol)


@pytest.mark.parametrize("budget", [1, 3_000, 20_000])
def test_time_slices_change_nothing(budget):
    X, y = np.random.default_rng(0).standard_normal((2, 300, 1))  # three blocks of rows
    network = Network(Architecture((1, 4, 1)), ("tanh", "identity"))
    objective, start = Objective(network, Samples.of(X, y), 0.1), np.linspace(-1, 1, 13)
    whole, losses = our_path(objective, start, 1e-5, 1000, 60)
    sliced, same_losses = our_path(objective, start, 1e-5, 1000, 60, budget=budget)
    assert_array_equal(same_losses, losses)
    assert_array_equal(sliced.latest()[0], whole.latest()[0])
