"""What `levenberg_marquardt` makes of the compiled loop: solutions, endings, two beginnings."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from test_levenberg_marquardt import Run, in_numpy, make_problem
from watching import Watch, watch_budgets

from sklearn_tinymlp._bayes.evidence import MOST_BETA, Hyperparameters
from sklearn_tinymlp._engine import kernels
from sklearn_tinymlp._engine.objective import Samples, predict
from sklearn_tinymlp._engine.second_order import second_order_arrays
from sklearn_tinymlp._solvers import by_evidence
from sklearn_tinymlp._solvers import levenberg_marquardt as lm
from sklearn_tinymlp._solvers.monitor import Monitor, Record, Solution, StopReason

COLUMNS = ["loss", "gradient_norm", "damping", "alpha", "log_evidence", "n_effective_parameters"]


def solve(problem, monitor=None, **changes):
    objective, theta, groups, hyper = problem
    given = {"groups": groups, "hyper": hyper, "tol": 0.0, "estimate": True} | changes
    return lm.solve(objective, theta, monitor or Monitor(8, Record()), **given)


@pytest.mark.parametrize("n_samples", [37, 5], ids=["large matrix", "small matrix"])
@pytest.mark.parametrize("per_call", [3, 256])
def test_solution_is_the_best_of_the_evidence_and_has_a_record_of_all(
    n_samples, per_call, monkeypatch
):
    monkeypatch.setattr(lm, "ITERATIONS_PER_CALL", per_call)
    problem = objective, theta, groups, _ = make_problem(n_samples=n_samples)
    start = theta.copy()
    solution = solve(problem)
    *_, curves, best, _ = in_numpy(*problem, 8, estimate=True, damping=lm.CAREFUL_DAMPING)
    record = solution.record.columns
    assert list(record) == COLUMNS
    np.testing.assert_allclose(np.column_stack(list(record.values())), curves, rtol=1e-5)
    assert solution.log_evidence == pytest.approx(best[0], rel=1e-6)
    assert solution.loss == pytest.approx(best[1], rel=1e-6)
    state = solution.state
    found = np.concatenate([solution.theta, *state.hyper, state.gamma])
    np.testing.assert_allclose(found, best[2], rtol=1e-5)
    assert state.groups is groups and state.n_samples == n_samples
    assert (solution.reason, solution.n_iter) == (StopReason.MAX_ITER, 8)
    assert "max_iter=8 iterations" in solution.warning
    np.testing.assert_array_equal(theta, start)


def test_solution_with_a_fixed_penalty_is_where_the_last_step_led():
    problem = make_problem()
    solution = solve(problem, estimate=False)
    theta, _, curves, *_ = in_numpy(*problem, 8, estimate=False, damping=kernels.FIRST_DAMPING)
    record = solution.record.columns
    assert list(record) == COLUMNS[:3]
    np.testing.assert_allclose(np.column_stack(list(record.values())), curves[:, :3], rtol=1e-6)
    np.testing.assert_allclose(solution.theta, theta, rtol=1e-6)
    assert solution.loss == record["loss"][-1]
    assert (solution.log_evidence, solution.state) == (-np.inf, None)
    assert solution.reason is StopReason.MAX_ITER


def test_hyperparameters_wait_for_the_warm_up():
    alpha = solve(make_problem(), warm_up=4).record.columns["alpha"]
    assert len(set(alpha[:4])) == 1
    assert len(set(alpha[3:])) == 5


def test_the_tolerance_of_a_fixed_penalty_is_a_relative_fall():
    problem = make_problem()
    run = Run(*problem, damping=kernels.FIRST_DAMPING, estimate=False, reduction=1e-4)
    curves = run.iterate(50)
    solution = solve(problem, Monitor(50, Record()), tol=1.0, estimate=False)
    assert (solution.reason, solution.warning) == (StopReason.TOL, None)
    assert solution.n_iter == len(curves) < 50
    np.testing.assert_array_equal(solution.theta, run.theta)


def test_the_tolerance_of_the_evidence_is_a_rise_in_nats():
    solution = solve(make_problem(), Monitor(300, Record()), tol=1e-5)
    assert (solution.reason, solution.warning) == (StopReason.EVIDENCE, None)
    best = np.fmax.accumulate(solution.record.columns["log_evidence"])
    rises = best[lm.REST :] - best[: -lm.REST]
    assert rises[-1] <= 0.1
    assert (rises[:-1] > 0.1).all()


def test_bounds_of_the_noise_are_those_of_the_variance():
    objective, theta, groups, hyper = make_problem()
    training = objective.training
    outputs = predict(objective.network, training.rows, 37, theta)
    # The targets are what the network gives: the evidence asks for less and less noise.
    exact = replace(objective, training=Samples.of(training.rows.values, outputs))
    problem = exact, 1.001 * theta, groups, hyper
    solution = solve(problem, Monitor(15, Record()))  # too few for the evidence to have rested
    assert (solution.reason, solution.warning) == (StopReason.EXACT, None)
    for given, variance in (({}, 1.0), ({"variance": 100.0}, 100.0)):
        solution = solve(problem, Monitor(60, Record()), **given)
        assert solution.state.hyper.beta == MOST_BETA / variance


@pytest.mark.parametrize(("n_samples", "n_residuals"), [(11, 11), (12, 0)])
def test_the_cheaper_matrix_is_taken(n_samples, n_residuals, monkeypatch):
    made = []

    def keep(*arguments):
        made.append(second_order_arrays(*arguments))
        return made[-1]

    monkeypatch.setattr(lm, "second_order_arrays", keep)
    problem = make_problem(n_samples=n_samples)
    assert problem[1].size == 17
    solve(problem)
    assert made[0].residuals.size == n_residuals


def test_the_target_is_met_by_what_is_returned():
    problem = make_problem()
    losses = solve(problem, estimate=False).record.columns["loss"]
    target = losses[4]
    for estimate in (False, True):
        monitor = Monitor(50, Record(), loss_tol=target)
        solution = solve(problem, monitor, estimate=estimate)
        assert solution.reason is StopReason.LOSS_TOL
        assert solution.loss <= target < solution.record.columns["loss"][-2]


@pytest.mark.parametrize("reached", [False, True])
def test_where_the_target_is_met_without_an_evidence_those_weights_are_given(reached, monkeypatch):
    def iterate(objective, theta, so, *, curves, **given):
        # An evidence is known of an earlier iteration; of the last, with its lower loss, none.
        theta[:], so.best[:], curves[:] = 5.0, 3.0, np.nan
        curves[0, kernels.LOSS] = 0.1
        progress = so.progress[0]
        progress["best_evidence"], progress["best_loss"], progress["loss"] = 1.0, 9.0, 0.1
        progress["iteration"], so.errors[:] = 1, 1.0

    monkeypatch.setattr(lm, "iterate", iterate)
    solution = solve(make_problem(), Monitor(1, Record(), loss_tol=0.2 if reached else 0.0))
    assert solution.reason is (StopReason.LOSS_TOL if reached else StopReason.MAX_ITER)
    assert (solution.theta == (5.0 if reached else 3.0)).all()
    assert solution.loss == (0.1 if reached else 9.0)
    assert (solution.state is None) == reached


@pytest.mark.parametrize("estimate", [False, True])
def test_early_stopping_returns_the_best_unless_the_target_is_met(estimate):
    seen = []

    def validate(theta):
        seen.append(theta.copy())
        return 0.0, -abs(len(seen) - 3.0)  # best at the third iteration

    problem = make_problem()
    stopping = {"validate": validate, "early_stopping": True, "n_iter_no_change": 2}
    solution = solve(problem, Monitor(50, Record(), **stopping), estimate=estimate)
    assert solution.reason is StopReason.VALIDATION
    assert (solution.n_iter, solution.score) == (6, 0.0)
    np.testing.assert_array_equal(solution.theta, seen[2])
    target = solution.record.columns["loss"][4]
    seen.clear()
    monitor = Monitor(50, Record(), loss_tol=target, **stopping)
    solution = solve(problem, monitor, estimate=estimate)
    assert solution.reason is StopReason.LOSS_TOL
    np.testing.assert_array_equal(solution.theta, seen[-1])


@pytest.mark.parametrize("warm_up", [0, 3])
@pytest.mark.parametrize("estimate", [False, True])
def test_a_watcher_sees_each_iteration_and_what_a_fit_that_ended_there_gives(
    estimate, warm_up, monkeypatch
):
    monkeypatch.setattr(lm, "CAREFUL_DAMPING", 1e-5)  # so bold that the evidence falls at times
    problem, watch = make_problem(n_samples=12), Watch()
    options = {"estimate": estimate, "warm_up": warm_up}
    solution = solve(problem, Monitor(60, Record(), watcher=watch), **options)
    assert [n_iter for _, n_iter in watch.begun] == list(range(60))
    np.testing.assert_array_equal(watch.begun[0][0], problem[1])
    looked_at = [1, 2, 3, 4, 60]
    if estimate and not warm_up:
        found = np.array(solution.record.columns["log_evidence"])
        falling = np.flatnonzero(found < np.fmax.accumulate(found))
        looked_at.append(falling[0] + 1)
    for n_iter in looked_at:
        ended = solve(problem, Monitor(n_iter, Record()), **options)
        np.testing.assert_array_equal(watch.ended[n_iter - 1], ended.theta)


def test_a_watcher_may_end_it():
    solution = solve(make_problem(), Monitor(40, Record(), watcher=Watch(stop_after=3)))
    assert (solution.reason, solution.n_iter) == (StopReason.CALLBACK, 3)


def test_each_call_is_given_the_budget_that_follows_from_the_one_before(monkeypatch):
    calls, given, iterate = watch_budgets(monkeypatch, lm), [], lm.iterate

    def keep(*arguments, budget, **named):
        given.append(budget)
        return iterate(*arguments, budget=budget, **named)

    monkeypatch.setattr(lm, "FIRST_BUDGET", 5)
    monkeypatch.setattr(lm, "iterate", keep)
    solve(make_problem())
    assert calls == [(5 + k, 3.0) for k in range(len(calls))]
    assert given == [5 + k for k in range(len(calls))] and len(calls) > 8


def test_ctrl_c_keeps_the_best_so_far(monkeypatch):
    problem = make_problem()
    expected, iterate, calls = solve(problem, Monitor(3, Record())), lm.iterate, []

    def interrupted(*arguments, **named):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return iterate(*arguments, **named)

    monkeypatch.setattr(lm, "ITERATIONS_PER_CALL", 3)
    monkeypatch.setattr(lm, "iterate", interrupted)
    solution = solve(problem)
    assert (solution.reason, solution.n_iter) == (StopReason.INTERRUPTED, 3)
    assert solution.warning is None
    assert solution.log_evidence == expected.log_evidence
    np.testing.assert_array_equal(solution.theta, expected.theta)


def test_an_interrupt_is_heard_within_an_iteration(monkeypatch):
    monkeypatch.setattr(lm, "FIRST_BUDGET", 1)
    interrupted = threading.Event()
    interrupted.set()
    problem = make_problem()
    solution = solve(problem, Monitor(10, Record(), interrupted=interrupted))
    assert solution.reason is StopReason.INTERRUPTED
    assert solution.n_iter == 0
    np.testing.assert_array_equal(solution.theta, problem[1])


class Ended:
    """Arrays of a fit by the evidence that has come to max_iter."""

    def __init__(self, errors=(1.0, 1.0), rise=1e9, n_peaks=3):
        hyper = Hyperparameters(np.ones(1), np.ones(2))
        self.objective, theta, *_ = make_problem(n_outputs=2)
        self.so = second_order_arrays(np.zeros(theta.size), *hyper, 37.0, 3)
        self.so.errors[:] = errors * self.objective.spread()
        self.so.peaks[:] = 7.0
        self.so.peaks[n_peaks % 3] -= rise  # the oldest in the ring of three
        self.so.progress["best_evidence"] = 7.0
        self.so.progress["n_peaks"] = n_peaks

    def reason(self, tol=1e-4):
        return lm._forgive(StopReason.MAX_ITER, self.so, self.objective, tol)


def test_at_max_iter_residuals_of_next_to_nothing_are_good_enough():
    assert Ended((1e-8, 1e-8)).reason() is StopReason.EXACT
    assert Ended((1.1e-8, 1e-8)).reason() is StopReason.MAX_ITER


@pytest.mark.parametrize("n_peaks", [3, 5])
@pytest.mark.parametrize(("n_samples", "nats"), [(37, 1.0), (300, 3.0)])
def test_at_max_iter_a_rise_of_few_nats_is_good_enough(n_samples, nats, n_peaks):
    # 1e4 tol nats, or 100 tol nats a sample where these are more.
    for rise, reason in ((1.0, StopReason.AT_REST), (1.01, StopReason.MAX_ITER)):
        ended = Ended(rise=rise * nats, n_peaks=n_peaks)
        training = replace(ended.objective.training, weight_sum=float(n_samples))
        ended.objective = replace(ended.objective, training=training)
        assert ended.reason() is reason
    assert Ended(rise=0.0, n_peaks=2).reason() is StopReason.MAX_ITER


class Fake:
    """Stands for `solve`: gives prepared solutions, keeps what it was called with."""

    def __init__(self, *solutions):
        self.solutions, self.calls = iter(solutions), []

    def __call__(self, objective, theta, monitor, **options):
        self.calls.append((monitor, options))
        return next(self.solutions)


def ending(log_evidence, reason=StopReason.EVIDENCE, gamma=(1.0, 1.0), score=-np.inf):
    state = None if gamma is None else by_evidence.State(None, np.array(gamma), None, 1.0)
    return Solution(
        None, 0.0, 1, reason, Record(), score=score, log_evidence=log_evidence, state=state
    )


FIRST = ending(1.0)
INTERRUPTED, CALLBACK, LOSS_TOL = StopReason.INTERRUPTED, StopReason.CALLBACK, StopReason.LOSS_TOL
BEGINNINGS = {
    "the better evidence": (50, FIRST, ending(2.0), 2.0),
    "the first of equals": (50, FIRST, ending(1.0), 1.0),
    "not the worse evidence": (50, FIRST, ending(0.5), 1.0),
    "the better score": (50, ending(1.0, score=0.1), ending(0.5, score=0.2), 0.5),
    "not the worse score": (50, ending(1.0, score=0.2), ending(2.0, score=0.1), 1.0),
    "at 50 samples": (50, FIRST, ending(2.0), 2.0),
    "one of many samples": (51, FIRST, None, 1.0),
    "many samples, no effect": (51, ending(1.0, gamma=(0.9, 1.0)), ending(2.0), 2.0),
    "many samples, no state": (51, ending(1.0, gamma=None), ending(2.0), 2.0),
    "first interrupted": (50, ending(1.0, INTERRUPTED), None, 1.0),
    "first stopped": (50, ending(1.0, CALLBACK), None, 1.0),
    "target met at first": (50, ending(1.0, LOSS_TOL), None, 1.0),
    "second interrupted": (50, FIRST, ending(0.5, INTERRUPTED), 1.0),
    "second stopped": (50, FIRST, ending(2.0, CALLBACK), 2.0),
    "target met at second": (50, FIRST, ending(0.5, LOSS_TOL), 0.5),
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_of_two_beginnings_the_better_one_is_kept(name, monkeypatch):
    n_samples, first, second, kept = BEGINNINGS[name]
    objective, theta, groups, _ = make_problem(n_samples=n_samples, n_outputs=2)
    fake, monitor = Fake(first, second), Monitor(9, Record(), loss_tol=0.5)
    monkeypatch.setattr(lm, "solve", fake)
    search = partial(lm.search_by_evidence, groups=groups, tol=0.1)
    solution = by_evidence.solve_by_evidence(objective, theta, monitor, search=search)
    assert solution.log_evidence == kept
    if name == "the first of equals":
        assert solution is first
    last = first if second is None else second
    heard = last.reason in (INTERRUPTED, CALLBACK, LOSS_TOL)
    assert solution.reason is (last.reason if heard else StopReason.EVIDENCE)
    assert len(fake.calls) == 1 + (second is not None)
    variance = objective.variance()
    for number, (watched, options) in enumerate(fake.calls):
        hyper = options.pop("hyper")
        np.testing.assert_array_equal(hyper.alpha, [by_evidence.FIRST_ALPHA] * 2)
        np.testing.assert_array_equal(hyper.beta, [by_evidence.FIRST_BETA / variance] * 2)
        assert options.pop("groups") is groups
        assert options.pop("warm_up", 0) == (by_evidence.WARM_UP if number else 0)
        assert options == {"tol": 0.1, "estimate": True, "variance": variance}
        assert (watched.max_iter, watched.loss_tol) == (9, 0.5)
    assert fake.calls[0][0] is monitor
    if second is not None:
        assert fake.calls[1][0].record is not monitor.record


def test_the_fixed_penalty_is_that_of_the_coefs(monkeypatch):
    objective, theta, *_ = make_problem(n_outputs=2)
    fake, monitor = Fake(FIRST), Monitor(9, Record())
    monkeypatch.setattr(lm, "solve", fake)
    lm.solve_penalised(objective, theta, monitor, tol=0.1)
    ((watched, options),) = fake.calls
    alpha, beta = options.pop("hyper")
    np.testing.assert_array_equal(alpha[options.pop("groups")], [2 * 0.7] * 16 + [0.0] * 6)
    np.testing.assert_array_equal(beta, [1.0, 1.0])
    assert watched is monitor
    assert options == {"tol": 0.1, "estimate": False}
