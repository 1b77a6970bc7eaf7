"""What `levenberg_marquardt` makes of its loop: solutions, endings, two beginnings."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from explicit import BY_PARAMETERS, BY_RESIDUALS
from test_levenberg_marquardt import Run, assert_same_columns, each_kind, in_numpy, make_problem
from watching import Watch

from sklearn_tinymlp._bayes.curvature import Curvature
from sklearn_tinymlp._bayes.evidence import MOST_BETA, Hyperparameters
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers import evidence_restarts as by_evidence
from sklearn_tinymlp._solvers import held_curvature
from sklearn_tinymlp._solvers import levenberg_marquardt as lm
from sklearn_tinymlp._solvers.monitor import History, Monitor, Solution, StopReason

COLUMNS = ["loss", "gradient_norm", "damping", "alpha", "log_evidence", "n_effective_parameters"]


def solve(problem, monitor=None, **changes):
    objective, theta, groups, hyper = problem
    given = {"groups": groups, "hyper": hyper, "tol": 0.0, "estimate": True}
    given |= {"curvature": BY_PARAMETERS} | changes
    return lm.solve(objective, theta, monitor or Monitor(8, History()), **given)


@pytest.mark.parametrize("n_samples", [37, 5])
@each_kind
def test_solution_is_the_best_of_the_evidence_and_has_a_record_of_all(n_samples, curvature):
    problem = objective, theta, groups, _ = make_problem(n_samples=n_samples)
    start = theta.copy()
    solution = solve(problem, curvature=curvature)
    *_, columns, best, _ = in_numpy(*problem, 8, estimate=True, damping=lm.CAREFUL_DAMPING)
    assert list(columns) == COLUMNS
    assert_same_columns(solution.record.columns, columns, rtol=1e-5)
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
    theta, _, columns, *_ = in_numpy(*problem, 8, estimate=False, damping=lm.FIRST_DAMPING)
    assert list(columns) == COLUMNS[:3]
    assert_same_columns(solution.record.columns, columns)
    np.testing.assert_allclose(solution.theta, theta, rtol=1e-6)
    assert solution.loss == solution.record.columns["loss"][-1]
    assert (solution.log_evidence, solution.state) == (-np.inf, None)
    assert solution.reason is StopReason.MAX_ITER


def test_hyperparameters_wait_for_the_warm_up():
    alpha = solve(make_problem(), warm_up=4).record.columns["alpha"]
    assert len(set(alpha[:4])) == 1
    assert len(set(alpha[3:])) == 5


def test_the_tolerance_of_a_fixed_penalty_is_a_relative_fall():
    problem = make_problem()
    run = Run(*problem, damping=lm.FIRST_DAMPING, estimate=False, tol=1.0)
    losses = run.iterate(50)["loss"]
    solution = solve(problem, Monitor(50, History()), tol=1.0, estimate=False)
    assert (solution.reason, solution.warning) == (StopReason.TOL, None)
    assert solution.n_iter == len(losses) < 50
    np.testing.assert_array_equal(solution.theta, run.theta)


def test_the_tolerance_of_the_evidence_is_a_rise_in_nats():
    solution = solve(make_problem(), Monitor(300, History()), tol=1e-5)
    assert (solution.reason, solution.warning) == (StopReason.EVIDENCE, None)
    best = np.fmax.accumulate(solution.record.columns["log_evidence"])
    rises = best[lm.REST :] - best[: -lm.REST]
    assert rises[-1] <= 0.1
    assert (rises[:-1] > 0.1).all()


def test_bounds_of_the_noise_are_those_of_the_variance():
    objective, theta, groups, hyper = make_problem()
    outputs = objective.predict(theta)
    # The targets are what the network gives: the evidence asks for less and less noise.
    exact = replace(objective, training=Samples.of(objective.training.X, outputs))
    problem = exact, 1.001 * theta, groups, hyper
    solution = solve(problem, Monitor(15, History()))  # too few for the evidence to have rested
    assert (solution.reason, solution.warning) == (StopReason.ZERO_RESIDUAL, None)
    for given, variance in (({}, 1.0), ({"variance": 100.0}, 100.0)):
        solution = solve(problem, Monitor(60, History()), **given)
        assert solution.state.hyper.beta == MOST_BETA / variance


@pytest.mark.parametrize("n_samples", [4, 40])
def test_the_cheaper_curvature_is_taken(n_samples, monkeypatch):
    objective, theta, groups, _ = make_problem(n_samples=n_samples)
    cheapest = Curvature.cheapest(objective.network.architecture, n_samples)
    assert cheapest.n_rows is None
    fake = Fake(FIRST)
    monkeypatch.setattr(lm, "solve", fake)
    lm.search_by_evidence(objective, theta, Monitor(1, History()), groups=groups, tol=0.0)
    assert fake.calls[0][1]["curvature"] == cheapest


@pytest.mark.parametrize("by_evidence_", [False, True])
@pytest.mark.parametrize("most_work", [0.0, np.inf])
def test_a_costly_curvature_is_held_for_many_steps(most_work, by_evidence_, monkeypatch):
    objective, theta, groups, _ = make_problem(n_samples=60)
    of_each_step, held = Fake(FIRST), Fake(FIRST)
    monkeypatch.setattr(lm, "MOST_WORK_PER_STEP", most_work)
    monkeypatch.setattr(lm, "solve", of_each_step)
    monkeypatch.setattr(held_curvature, "search", held)
    options = SimpleNamespace(
        tol=0.1,
        groups=groups if by_evidence_ else None,
        least_ratio=0.0,
        random_state=np.random.RandomState(0),
        restart=None,
        draw_restart=None,
        rest=None,
    )
    assert lm.run(objective, theta, Monitor(1, History()), options) is FIRST
    # A fixed penalty is that of Levenberg-Marquardt whatever it costs.
    is_held = by_evidence_ and most_work == 0.0
    assert (len(held.calls), len(of_each_step.calls)) == ((1, 0) if is_held else (0, 1))


def test_the_target_is_met_by_what_is_returned():
    problem = make_problem()
    losses = solve(problem, estimate=False).record.columns["loss"]
    target = losses[4]
    for estimate in (False, True):
        monitor = Monitor(50, History(), loss_tol=target)
        solution = solve(problem, monitor, estimate=estimate)
        assert solution.reason is StopReason.LOSS_TOL
        assert solution.loss <= target < solution.record.columns["loss"][-2]


@pytest.mark.parametrize("reached", [False, True])
def test_where_the_target_is_met_without_an_evidence_those_weights_are_given(reached, monkeypatch):
    problem = objective, theta, _, hyper = make_problem()

    def iterate(search, monitor):
        # An evidence is known of an earlier iteration; of the last, with its lower loss, none.
        search.best = lm.Found(0 * theta + 3.0, hyper, np.ones(2), 1.0, 9.0)
        search.peaks.append(1.0)
        search.theta, search.loss = 0 * theta + 5.0, 0.1
        search.model = SimpleNamespace(errors=np.ones(1))
        return monitor.update(theta=search.theta, loss=search.loss)

    monkeypatch.setattr(lm, "_iterate", iterate)
    solution = solve(problem, Monitor(1, History(), loss_tol=0.2 if reached else 0.0))
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
    solution = solve(problem, Monitor(50, History(), **stopping), estimate=estimate)
    assert solution.reason is StopReason.VALIDATION
    assert (solution.n_iter, solution.score) == (6, 0.0)
    np.testing.assert_array_equal(solution.theta, seen[2])
    target = solution.record.columns["loss"][4]
    seen.clear()
    monitor = Monitor(50, History(), loss_tol=target, **stopping)
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
    solution = solve(problem, Monitor(60, History(), watcher=watch), **options)
    assert [n_iter for _, n_iter in watch.begun] == list(range(60))
    np.testing.assert_array_equal(watch.begun[0][0], problem[1])
    looked_at = [1, 2, 3, 4, 60]
    if estimate and not warm_up:
        found = np.array(solution.record.columns["log_evidence"])
        falling = np.flatnonzero(found < np.fmax.accumulate(found))
        looked_at.append(falling[0] + 1)
    for n_iter in looked_at:
        ended = solve(problem, Monitor(n_iter, History()), **options)
        np.testing.assert_array_equal(watch.ended[n_iter - 1], ended.theta)


def test_a_watcher_may_end_it():
    solution = solve(make_problem(), Monitor(40, History(), watcher=Watch(stop_after=3)))
    assert (solution.reason, solution.n_iter) == (StopReason.CALLBACK, 3)


class InterruptedAt:
    """Is set once it has been asked so many times."""

    def __init__(self, n_asked):
        self.n_left = n_asked

    def is_set(self):
        self.n_left -= 1
        return self.n_left < 0


@each_kind
def test_ctrl_c_is_heard_within_an_iteration_and_keeps_the_best_so_far(curvature):
    problem, n_iterations = make_problem(), set()
    for n_asked in range(14):
        monitor = Monitor(8, History(), interrupted=InterruptedAt(n_asked))
        solution = solve(problem, monitor, curvature=curvature)
        assert (solution.reason, solution.warning) == (StopReason.INTERRUPTED, None)
        n_iterations.add(solution.n_iter)
        if solution.n_iter == 0:
            assert solution.state is None
            continue
        expected = solve(problem, Monitor(solution.n_iter, History()), curvature=curvature)
        assert solution.log_evidence == expected.log_evidence
        assert solution.loss == expected.loss
        np.testing.assert_array_equal(solution.theta, expected.theta)
    assert n_iterations >= {0, 1, 2, 3}


@pytest.mark.parametrize("estimate", [False, True])
def test_after_ctrl_c_the_loss_is_that_of_the_weights_that_are_given(estimate):
    problem = objective, *_ = make_problem()
    solution = solve(
        problem, Monitor(8, History(), interrupted=InterruptedAt(0)), estimate=estimate
    )
    np.testing.assert_array_equal(solution.theta, problem[1])
    for n_asked in range(2, 14):  # before there is none
        monitor = Monitor(8, History(), interrupted=InterruptedAt(n_asked))
        solution = solve(problem, monitor, estimate=estimate)
        assert solution.reason is StopReason.INTERRUPTED
        loss = objective.mean_loss(solution.theta)
        assert solution.loss == pytest.approx(loss, rel=1e-12)


def ended(errors=(1.0, 1.0), rise=1e9, n_peaks=3, n_samples=37.0, tol=1e-4):
    """Say why a fit by the evidence has ended that has come to max_iter."""
    objective, *_ = make_problem(n_outputs=2)
    training = replace(objective.training, weight_sum=n_samples)
    objective = replace(objective, training=training)
    model = SimpleNamespace(errors=np.array(errors) * objective.spread())
    peaks, unused = (
        [7.0] * n_peaks,
        dict.fromkeys(("curvature", "groups", "between", "theta", "hyper", "damping")),
    )
    if n_peaks >= 3:
        peaks[-3] -= rise
    return lm._reason_at_max_iter(
        lm.Search(objective, **unused, model=model, tol=tol, rest=2, peaks=peaks)
    )


def test_at_max_iter_residuals_of_next_to_nothing_are_good_enough():
    assert ended((1e-8, 1e-8)) is StopReason.ZERO_RESIDUAL
    assert ended((1.1e-8, 1e-8)) is StopReason.MAX_ITER


@pytest.mark.parametrize("n_peaks", [3, 5])
@pytest.mark.parametrize(("n_samples", "nats"), [(37.0, 1.0), (300.0, 3.0)])
def test_at_max_iter_a_rise_of_few_nats_is_good_enough(n_samples, nats, n_peaks):
    # 1e4 tol nats, or 100 tol nats a sample where these are more.
    for rise, reason in ((1.0, StopReason.PLATEAU), (1.01, StopReason.MAX_ITER)):
        assert ended(rise=rise * nats, n_peaks=n_peaks, n_samples=n_samples) is reason
    assert ended(rise=0.0, n_peaks=2) is StopReason.MAX_ITER


class Fake:
    """Stands for `solve`: gives prepared solutions, keeps what it was called with."""

    def __init__(self, *solutions):
        self.solutions, self.calls = iter(solutions), []

    def __call__(self, objective, theta, monitor, **options):
        self.calls.append((monitor, options))
        return next(self.solutions)


HYPER = Hyperparameters(np.ones(2), np.ones(2))


def ending(log_evidence, reason=StopReason.EVIDENCE, gamma=(1.0, 1.0), score=-np.inf):
    state = None if gamma is None else by_evidence.State(HYPER, np.array(gamma), None, 1.0)
    return Solution(
        None, 0.0, 1, reason, History(), score=score, log_evidence=log_evidence, state=state
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
    fake, monitor = Fake(first, second), Monitor(9, History(), loss_tol=0.5)
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
        assert options.pop("curvature") == Curvature.cheapest(
            objective.network.architecture, n_samples
        )
        assert options.pop("warm_up", 0) == (by_evidence.WARM_UP if number else 0)
        assert options == {
            "tol": 0.1, "estimate": True, "variance": variance, "least_ratio": 0.0
        }  # fmt: skip
        assert (watched.max_iter, watched.loss_tol) == (9, 0.5)
    assert fake.calls[0][0] is monitor
    if second is not None:
        assert fake.calls[1][0].record is not monitor.record


def test_the_fixed_penalty_is_that_of_the_coefs(monkeypatch):
    objective, theta, *_ = make_problem(n_outputs=2)
    fake, monitor = Fake(FIRST), Monitor(9, History())
    monkeypatch.setattr(lm, "solve", fake)
    lm.solve_penalised(objective, theta, monitor, tol=0.1, curvature=BY_RESIDUALS)
    ((watched, options),) = fake.calls
    alpha, beta = options.pop("hyper")
    np.testing.assert_array_equal(alpha[options.pop("groups")], [2 * 0.7] * 16 + [0.0] * 6)
    np.testing.assert_array_equal(beta, [1.0, 1.0])
    assert watched is monitor
    assert options == {"tol": 0.1, "estimate": False, "curvature": BY_RESIDUALS}


def test_precision_without_bound_of_one_output_does_not_count():
    exact, noisy = np.array([1e8, 1e-1]), np.array([1e6, 1e2])
    gamma = np.array([1.0, 1.0])
    one, other = (
        Solution(
            None,
            0.0,
            1,
            StopReason.EVIDENCE,
            History(),
            log_evidence=log_evidence,
            state=by_evidence.State(Hyperparameters(np.ones(2), beta), gamma, None, 10.0),
        )
        for beta, log_evidence in ((exact, 20.0), (noisy, 0.0))
    )
    # 1/2 n ln 100 = 23 nats are those of precision beyond a noise of a thousandth.
    assert by_evidence._better(one, other) is other
    assert by_evidence._better(other, one) is other
    single = one._replace(state=one.state._replace(hyper=Hyperparameters(np.ones(1), exact[:1])))
    assert by_evidence._better(single, other) is single
