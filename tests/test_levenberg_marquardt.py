"""Levenberg-Marquardt step by step, against the published algorithm with explicit Jacobians."""

from dataclasses import replace

import numpy as np
import pytest
from explicit import BY_PARAMETERS, BY_RESIDUALS, Explicit, make_objective, outputs_at
from scipy.optimize import least_squares

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._bayes.evidence import Hyperparameters
from sklearn_tinymlp._bayes.groups import GROUPINGS
from sklearn_tinymlp._machine.threads import single_threaded_blas
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers import levenberg_marquardt as lm
from sklearn_tinymlp._solvers.monitor import History, Monitor, StopReason

KINDS = {"by parameters": BY_PARAMETERS, "by residuals": BY_RESIDUALS}
each_kind = pytest.mark.parametrize("curvature", KINDS.values(), ids=KINDS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Hold BLAS to one thread, as fits do: threads of several tests at once wait for each other."""
    with single_threaded_blas():
        yield


def test_first_step_solves_the_damped_normal_equations():
    objective, theta = make_objective((2, 4, 1), ("tanh", "identity"))
    groups = np.zeros(theta.size, dtype=int)
    hyper = Hyperparameters(np.array([0.3]), np.array([2.0]))
    solution = lm.solve(
        objective,
        theta,
        Monitor(1, History()),
        curvature=BY_PARAMETERS,
        groups=groups,
        hyper=hyper,
        tol=0.0,
        estimate=False,
    )
    explicit, alpha = Explicit.of(objective, theta), hyper.alpha[groups]
    A = explicit.A(alpha, hyper.beta)
    damped = A + lm.FIRST_DAMPING * np.trace(A) / theta.size * np.eye(theta.size)
    step = np.linalg.solve(damped, -explicit.gradient(alpha, hyper.beta))
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


@each_kind
def test_several_outputs_with_a_penalty_are_those_of_least_squares(curvature):
    objective, theta = make_objective(
        (2, 4, 3), ("tanh", "identity"), weighted=True, n_samples=20, alpha=0.01
    )
    solution = lm.solve_penalised(
        objective, theta, Monitor(1000, History()), tol=0.0, curvature=curvature
    )
    samples, n_coefs = objective.training, objective.network.architecture.n_coefs

    def residuals(theta):
        outputs = outputs_at(objective.network, theta, samples.X)
        of_rows = np.sqrt(samples.weight)[:, None] * (outputs - samples.y)
        return np.concatenate([of_rows.ravel(), np.sqrt(3 * 0.01) * theta[:n_coefs]])

    # Of several minima the one that is near: which one is reached hangs on rounding on the way.
    near = solution.theta + 1e-3
    theirs = least_squares(residuals, near, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14)
    assert solution.reason is StopReason.TOL
    assert solution.loss < 0.5 * objective.mean_loss(theta)
    assert solution.loss == pytest.approx(theirs.cost / (3 * samples.weight_sum), rel=1e-9)
    np.testing.assert_allclose(solution.theta, theirs.x, rtol=1e-4, atol=1e-5)


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
    like, _ = make_objective((2, 5, 1), ("tanh", "identity"), bias=bias)
    objective = replace(like, training=Samples.of(X, y[:, None]), alpha=0.1)
    architecture = objective.network.architecture
    theta = architecture.pack(net.coefs_, net.intercepts_, float)
    value, gradient = objective.weighted_gradient(theta, np.ones(1))
    penalty = np.where(np.arange(theta.size) < architecture.n_coefs, 0.1 * theta, 0.0)
    assert net.loss_ == pytest.approx((value + 0.5 * penalty @ theta) / 80, rel=1e-10)
    assert np.abs(gradient + penalty).max() < 1e-6 * np.linalg.norm(gradient)


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


# --------------------------------------------------------------------- the loop, step by step


class Run:
    """The loop from small damping, an iteration at a time."""

    def __init__(
        self,
        objective,
        theta,
        groups,
        hyper,
        *,
        estimate,
        curvature=BY_PARAMETERS,
        damping=1e-5,
        warm_up=0,
        rise=-np.inf,
        rest=lm.REST,
        tol=0.0,
        loss_tol=-np.inf,
    ):
        self.search = lm.Search(
            objective=objective,
            curvature=curvature,
            groups=groups,
            between=lambda: None,
            theta=theta.copy(),
            hyper=hyper,
            damping=lm.Damping(damping),
            tol=rise / lm.NATS if estimate else tol,
            estimate=estimate,
            warm_up=warm_up,
            rest=rest,
        )
        self.monitor = Monitor(10**6, History(), loss_tol=loss_tol)
        self.reason = None

    def iterate(self, n_iterations):
        """Return the rows of the record that were added, by column."""
        before = self.monitor.n_iter
        with np.errstate(all="ignore"):
            while self.reason is None and self.monitor.n_iter < before + n_iterations:
                self.reason = lm._iterate(self.search, self.monitor)
        return {name: column[before:] for name, column in self.monitor.record.arrays().items()}

    @property
    def theta(self):
        return self.search.theta

    @property
    def best(self):
        """Weights, alpha, beta and gamma of the greatest evidence."""
        found = self.search.best
        return np.concatenate([found.theta, *found.hyper, found.gamma])


def in_numpy(
    objective,
    theta,
    groups,
    hyper,
    n_iterations,
    *,
    estimate,
    warm_up=0,
    damping=1e-5,
    curvature=BY_PARAMETERS,
):
    """Nielsen's damped steps and MacKay's re-estimates, with the explicit Jacobian at each point.

    Return theta, the hyperparameters, the columns of the record, the best of the evidence and how
    often a step was rejected.
    """
    n, rows, growth, n_rejected, best = theta.size, [], 2.0, 0, (-np.inf,)
    here, of_step = Explicit.of(objective, theta), hyper.beta
    for n_iter in range(1, n_iterations + 1):
        alpha, beta = hyper.alpha[groups], hyper.beta
        # By parameters, the matrices of several outputs were summed when beta was the one before.
        held = beta if curvature is BY_RESIDUALS else of_step * (beta.mean() / of_step.mean())
        A, gradient, value = here.A(alpha, held), here.gradient(alpha, beta), here.S(alpha, beta)
        while True:
            damped = A + damping * np.trace(A) / n * np.eye(n)
            if np.linalg.eigvalsh(damped)[0] > 0:
                step = np.linalg.solve(damped, -gradient)
                errors = objective.errors(theta + step)
                fall = value - (beta @ errors + 0.5 * alpha @ (theta + step) ** 2)
                if fall > 0:
                    break
            damping, growth, n_rejected = damping * growth, 2 * growth, n_rejected + 1
        ratio = fall / -(gradient @ step + 0.5 * step @ A @ step)
        damping, growth = damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3), 2.0
        theta = theta + step
        here, of_step, scale = Explicit.of(objective, theta), beta, objective.output_scale
        squares = np.sum(theta[: objective.network.architecture.n_coefs] ** 2)
        loss = np.mean(scale**2 * (here.errors + 0.5 * objective.alpha * squares)) / here.n_samples
        row = {"loss": loss, "gradient_norm": np.abs(gradient).max(), "damping": damping}
        if estimate:
            row |= {"alpha": hyper.alpha[0], "log_evidence": np.nan}
            row["n_effective_parameters"] = np.nan
        if estimate and n_iter >= warm_up:
            log_evidence, gamma, *found = here.evidence(hyper, groups)
            if not np.isnan(log_evidence):
                row |= {"log_evidence": log_evidence, "n_effective_parameters": gamma.sum()}
                if log_evidence > best[0]:
                    best = log_evidence, loss, np.concatenate([theta, *hyper, gamma])
                hyper = Hyperparameters(*found)
        rows.append(row)
    return theta, hyper, {name: [row[name] for row in rows] for name in row}, best, n_rejected


def make_problem(n_outputs=1, weighted=False, n_samples=37, grouping="one"):
    """Too little penalty and a start far off: some steps are rejected."""
    objective, theta = make_objective(
        (2, 4, n_outputs), ("tanh", "identity"), weighted=weighted, n_samples=n_samples, alpha=0.7
    )
    objective = replace(objective, output_scale=np.linspace(0.5, 2.0, n_outputs))
    groups = GROUPINGS[grouping](objective.network.architecture)
    alpha = np.linspace(0.02, 0.05, groups.max() + 1)
    return objective, 2.0 * theta, groups, Hyperparameters(alpha, np.linspace(1.0, 3.0, n_outputs))


def assert_same_columns(columns, expected, rtol=1e-6):
    assert list(columns) == list(expected)
    for name, column in columns.items():
        np.testing.assert_allclose(column, expected[name], rtol=rtol, err_msg=name)


@each_kind
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n_outputs", "grouping"), [(1, "one"), (2, "one"), (2, "input")])
@pytest.mark.parametrize(
    ("estimate", "warm_up"), [(False, 0), (True, 0), (True, 4)], ids=["fixed", "auto", "warm-up"]
)
def test_iterations_are_those_of_the_published_algorithm(
    estimate, warm_up, n_outputs, grouping, weighted, curvature
):
    problem = make_problem(n_outputs, weighted, grouping=grouping)
    options = {"estimate": estimate, "warm_up": warm_up, "curvature": curvature}
    theta, hyper, columns, best, n_rejected = in_numpy(*problem, 8, **options)
    assert n_rejected > 0
    run = Run(*problem, **options)
    assert_same_columns(run.iterate(8), columns)
    np.testing.assert_allclose(run.theta, theta, rtol=1e-6)
    np.testing.assert_allclose(np.concatenate(run.search.hyper), np.concatenate(hyper), rtol=1e-6)
    assert run.reason is None
    if estimate:
        assert run.search.best.log_evidence == pytest.approx(best[0], rel=1e-6)
        assert run.search.best.loss == pytest.approx(best[1], rel=1e-6)
        np.testing.assert_allclose(run.best, best[2], rtol=1e-6)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_kinds_of_curvature_give_the_same_steps_and_evidence(n_outputs, weighted):
    problem = make_problem(n_outputs, weighted, 150 if n_outputs == 1 else 50, "input")
    # Of several outputs the matrices of the parameters are summed with the beta before, so that
    # steps are the same until it is re-estimated.
    runs = [
        Run(*problem, estimate=True, curvature=kind, damping=1.0, warm_up=5 * (n_outputs > 1))
        for kind in KINDS.values()
    ]
    assert_same_columns(*(run.iterate(5) for run in runs), rtol=1e-8)
    np.testing.assert_allclose(*(run.theta for run in runs), rtol=1e-8)
    np.testing.assert_allclose(*(np.concatenate(run.search.hyper) for run in runs), rtol=1e-8)
    np.testing.assert_allclose(*(run.best for run in runs), rtol=1e-8)


def test_where_A_is_not_positive_definite_damping_grows_and_the_evidence_waits():
    objective, theta, groups, hyper = make_problem(n_samples=5)  # 5 rows, 17 parameters
    problem = objective, theta, groups, hyper._replace(alpha=np.full(2, -1e-4))
    theta, _, columns, _, n_rejected = in_numpy(*problem, 3, estimate=True)
    assert n_rejected > 0
    run = Run(*problem, estimate=True)
    assert_same_columns(run.iterate(3), columns)
    assert np.isnan(columns["log_evidence"]).all()
    np.testing.assert_allclose(run.theta, theta, rtol=1e-6)
    assert run.search.hyper is problem[-1]
    assert (run.reason, run.search.best) == (None, None)


def test_it_ends_where_no_step_lowers_the_objective_and_there_is_no_evidence():
    objective, theta, groups, hyper = make_linear_problem(n_samples=1)
    nothing = Samples.of(objective.training.X, np.zeros((1, 1)))
    hyper = hyper._replace(alpha=np.array([-1e-3]))
    run = Run(replace(objective, training=nothing), 0 * theta, groups, hyper, estimate=True)
    assert np.isnan(run.iterate(5)["log_evidence"]).tolist() == [True]
    assert run.reason is StopReason.TOL


def test_an_evidence_that_falls_again_leaves_the_best_as_it_was():
    problem = make_problem(n_samples=20, grouping="layer")
    run = Run(*problem, estimate=True)
    columns = run.iterate(60)
    best = int(np.argmax(columns["log_evidence"]))
    assert 0 < best < 59
    assert run.search.best.log_evidence == columns["log_evidence"][best]
    assert run.search.best.loss == columns["loss"][best]
    again = Run(*problem, estimate=True)
    again.iterate(best)
    hyper = again.search.hyper
    again.iterate(1)
    gamma = again.search.best.gamma
    assert gamma.sum() == columns["n_effective_parameters"][best]
    np.testing.assert_array_equal(run.best, np.concatenate([again.theta, *hyper, gamma]))


@pytest.mark.parametrize("rise", [0.1, 1.0])
@pytest.mark.parametrize("rest", [1, 3])
def test_it_ends_once_the_best_evidence_has_risen_by_no_more_than_asked(rest, rise):
    run = Run(*make_problem(), estimate=True, rise=rise, rest=rest)
    found = run.iterate(200)["log_evidence"]
    assert run.reason is StopReason.EVIDENCE
    best = np.maximum.accumulate(found)
    rises = best[rest:] - best[:-rest]
    assert rises[-1] <= rise
    assert (rises[:-1] > rise).all()


@pytest.mark.parametrize("reduction", [1e-2, 1e-4])
def test_with_a_fixed_penalty_it_ends_once_the_objective_falls_by_no_more_than_asked(reduction):
    problem = objective, theta, groups, hyper = make_problem()
    run, alpha = Run(*problem, estimate=False, tol=1e4 * reduction), hyper.alpha[groups]

    def value():
        return hyper.beta @ objective.errors(run.theta) + 0.5 * alpha @ run.theta**2

    values = [value()]
    while run.reason is None:
        run.iterate(1)
        values.append(value())
    assert run.reason is StopReason.TOL
    falls = -np.diff(values) / values[:-1]
    assert falls[-1] <= reduction
    assert len(falls) > 2 and (falls[:-1] > reduction).all()


@pytest.mark.parametrize("estimate", [False, True])
def test_it_ends_at_the_first_loss_that_is_low_enough(estimate):
    problem = make_problem()
    losses = Run(*problem, estimate=estimate).iterate(10)["loss"]
    for loss_tol in (losses[4], np.nextafter(losses[4], np.inf)):
        run = Run(*problem, estimate=estimate, loss_tol=loss_tol)
        found = run.iterate(10)["loss"]
        assert run.reason is StopReason.LOSS_TOL
        assert len(found) == 1 + np.flatnonzero(losses <= loss_tol)[0]
        if estimate:  # what met the target is kept, were its evidence the best or not
            assert run.search.best.loss == found[-1]
            np.testing.assert_array_equal(run.search.best.theta, run.theta)


def make_linear_problem(n_samples=37):
    """Ridge regression: a step or two lead to the minimum."""
    objective, theta = make_objective((2, 1), ("identity",), n_samples=n_samples)
    return objective, theta, np.zeros(3, int), Hyperparameters(np.array([0.3]), np.array([2.0]))


@pytest.mark.parametrize("warm_up", [0, 10**6])
@pytest.mark.parametrize("estimate", [False, True])
def test_where_no_step_lowers_the_objective_it_says_so_and_the_evidence_goes_on(estimate, warm_up):
    objective, theta, groups, hyper = make_linear_problem()
    run = Run(objective, theta, groups, hyper, estimate=False)
    while run.reason is None or run.search.damping.value != lm.FIRST_DAMPING:
        run.reason = None  # until no step is found at all
        run.iterate(1)
    minimum = run.theta.copy()
    run = Run(objective, minimum, groups, hyper, estimate=estimate, warm_up=warm_up)
    columns = run.iterate(1)
    np.testing.assert_array_equal(run.theta, minimum)
    assert run.search.damping == lm.Damping(lm.FIRST_DAMPING, 2.0)
    assert columns["damping"].tolist() == [lm.FIRST_DAMPING]
    if estimate:
        assert run.reason is None
        log_evidence, _, *found = Explicit.of(objective, minimum).evidence(hyper, groups)
        assert columns["log_evidence"] == pytest.approx(log_evidence)
        np.testing.assert_allclose(
            np.concatenate(run.search.hyper), np.concatenate(found), rtol=1e-9
        )
    else:
        assert run.reason is StopReason.TOL


def test_damping_falls_to_a_third_where_the_model_is_exact_and_has_a_floor():
    for damping, expected in ((3e-5, 1e-5), (2e-12, lm.LEAST_DAMPING)):
        run = Run(*make_linear_problem(), estimate=False, damping=damping)
        assert run.iterate(1)["damping"] == pytest.approx(expected, rel=1e-9, abs=0)


def test_damping_follows_the_rule_of_nielsen():
    for ratio, factor in ((1.0, 1 / 3), (0.5, 1.0), (0.75, 0.875), (0.0, 2.0), (5.0, 1 / 3)):
        damping = lm.Damping(8.0, growth=64.0)
        damping.accept(ratio)
        assert damping == lm.Damping(pytest.approx(8.0 * factor), 2.0)
    damping = lm.Damping(1.0)
    for expected in (2.0, 8.0, 64.0):
        damping.reject()
        assert damping.value == expected
