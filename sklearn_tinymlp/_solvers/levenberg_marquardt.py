"""Levenberg-Marquardt with the evidence: damped Gauss-Newton steps, accepted or rejected.

A step solves

    (A + mu I) step = -g,    A = sum_k beta_k J_k^T J_k + diag(alpha),
                             g = sum_k beta_k J_k^T r_k + alpha theta

for S(theta) of `_bayes.evidence`. It is accepted when S falls, and mu follows the ratio of the
actual to the predicted fall by Nielsen's rule ("Damping parameter in Marquardt's method", 1999, eq.
2.5), which needs fewer factorisations than factors of ten. Between accepted steps the evidence
re-estimates alpha and beta. The loop is compiled (`kernels.run_levenberg_marquardt`); here it is
begun, called for some 20 ms at a time, and watched.
"""

import time
from functools import partial
from typing import NamedTuple

import numpy as np

from .._bayes import dual as _dual
from .._bayes import evidence as _evidence
from .._bayes.evidence import Hyperparameters
from .._engine import kernels
from .._engine.objective import Objective
from .._engine.second_order import iterate, second_order_arrays, second_order_options
from .._machine.compilation import unsigned
from .._machine.memory import aligned_copy
from . import held_out, sampled_gauss_newton
from .by_evidence import (
    EXACT,
    NATS_A_SAMPLE,
    State,
    first_hyperparameters,
    solve_by_evidence,
)
from .monitor import Monitor, Solution, StopReason, next_budget
from .solver import Options, PenaltyFrom, Solver

# The evidence has converged when its best value rose by less than 10,000 tol nats, at the default
# odds of 2.7 to 1, in the last REST iterations. A bound on nats means the same for any number of
# samples: the rule before, 3e-4 nats a sample in each of three steps, ended 9,000 rows tens of
# nats too early. And a bound on the change of each step is not met where the evidence swings about
# its maximum or falls beyond it, as it often does. Resting for 10 iterations made the test errors
# of two UCI sets 3 to 11% larger; 30 made none 3% smaller and took a quarter longer.
REST, NATS = 20, 1e4

# The evidence begins with more damping than a fixed penalty: bold first steps, taken while alpha
# and beta are still far off, end in minima with larger test errors (docs/evidence.md).
CAREFUL_DAMPING = 1.0

# Rows of the table that a call writes its iterations to; a full one is followed by another call.
ITERATIONS_PER_CALL = 256

# Of R residuals and P parameters the dual takes some R^2 P + R^3 / 2 + R^2 P / 2 multiply-adds an
# iteration, and A itself R P^2 / 2 + 2 P^3 / 3: the dual is cheaper below some 0.65 P.
DUAL_PAYS = 0.65

# The first call's work in multiply-adds, a few milliseconds of it.
FIRST_BUDGET = 2e7


def evidence_routines(*, dual: bool) -> kernels.EvidenceRoutines:
    """Compile what the evidence computes, from A or from its dual; give the addresses."""
    functions = _dual.compiled() if dual else _evidence.compiled()
    return kernels.EvidenceRoutines(*(unsigned(function.address) for function in functions))


def solve(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    groups: np.ndarray,
    hyper: Hyperparameters,
    tol: float,
    estimate: bool,
    warm_up: int = 0,
    variance: float = 1.0,
) -> Solution:
    """Minimise S(theta), and maximise the evidence on the way if asked to.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
        The start; not changed.
    monitor : Monitor
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter.
    hyper : Hyperparameters
        The first alpha and beta; the only ones unless `estimate`.
    tol : float
        With `estimate` it decides when the evidence has converged, see `NATS`. Else the fit
        ends when S falls by less than 1e-4 tol of itself in a step.
    estimate : bool
        Whether the evidence re-estimates alpha and beta.
    warm_up : int, default=0
        Iterations at the first alpha and beta before they are re-estimated.
    variance : float, default=1.0
        Of the targets; what is known of beta beforehand is known for a variance of 1.

    Returns
    -------
    Solution
        With `estimate` the state is the `State` of the best evidence.
    """
    search = Search.begin(
        objective,
        aligned_copy(theta),
        groups=groups,
        hyper=hyper,
        variance=variance,
        options=second_order_options(
            objective,
            estimate=estimate,
            warm_up=warm_up,
            reduction=1e-4 * tol,
            rise=NATS * tol,
            loss_tol=float(monitor.loss_tol),
        ),
    )
    try:
        reason = _iterate_until_it_ends(search, monitor)
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    return _solution(search, monitor, reason, tol)


class Search(NamedTuple):
    """What the compiled loop works on in one call after the other."""

    objective: Objective
    theta: np.ndarray  # changed by the loop, as is `arrays`
    arrays: kernels.SecondOrder
    options: kernels.SecondOrderOptions
    evidence: kernels.EvidenceRoutines
    groups: np.ndarray
    n_groups: int

    @classmethod
    def begin(cls, objective, theta, *, groups, hyper, variance, options) -> "Search":
        """Allocate, for the cheaper of the two matrices that give the same step."""
        n_residuals = objective.training.y.size
        n_dual = n_residuals if n_residuals < DUAL_PAYS * theta.size else 0
        n_samples = objective.training.weight_sum
        arrays = second_order_arrays(groups, *hyper, n_samples, REST + 1, n_dual, variance)
        if options.estimate:
            arrays.progress["damping"] = CAREFUL_DAMPING
        evidence = evidence_routines(dual=n_dual > 0)
        return cls(objective, theta, arrays, options, evidence, groups, len(hyper.alpha))


def _iterate_until_it_ends(search: Search, monitor: Monitor) -> StopReason:
    objective, theta, arrays, options, evidence, *_ = search
    progress = arrays.progress[0]
    reason, budget = None, FIRST_BUDGET
    while reason is None:
        monitor.begin(theta)
        n_iterations = min(monitor.max_iter - monitor.n_iter, ITERATIONS_PER_CALL)
        n_rows = 1 if monitor.one_by_one else n_iterations
        curves = np.empty((n_rows, kernels.N_SECOND_ORDER_COLUMNS))
        progress["iteration"] = 0
        begun = time.perf_counter()
        iterate(
            objective,
            theta,
            arrays,
            budget=budget,
            curves=curves,
            options=options,
            evidence=evidence,
        )
        budget = next_budget(budget, time.perf_counter() - begun)
        done = curves[: progress["iteration"]]
        if len(done):
            found = progress["best_evidence"] > -np.inf
            kept = arrays.best[: theta.size] if found else theta
            reason = monitor.update(theta=theta, kept=kept, **_columns(done, options.estimate))
        elif monitor.is_interrupted():
            reason = StopReason.INTERRUPTED
        if reason in (None, StopReason.MAX_ITER):
            reason = _REASONS.get(int(progress["event"]), reason)
    return reason


def _solution(search: Search, monitor: Monitor, reason: StopReason, tol: float) -> Solution:
    """Give the weights of the greatest evidence where there is one, else those at the end."""
    theta, arrays = search.theta, search.arrays
    progress = arrays.progress[0]
    loss, state = float(progress["loss"]), None
    log_evidence = float(progress["best_evidence"])
    # The target may be met where A is singular; else the weights there are the best.
    missed = reason is StopReason.LOSS_TOL and progress["best_loss"] > monitor.loss_tol
    if log_evidence > -np.inf and not missed:
        if reason is StopReason.MAX_ITER:
            reason = _forgive(reason, arrays, search.objective, tol)
        n_samples = search.objective.training.weight_sum
        theta, state = _best(arrays, search.groups, search.n_groups, n_samples)
        loss = float(progress["best_loss"])
    theta = monitor.kept(theta, reason)
    warning = None
    if reason is StopReason.MAX_ITER:
        warning = (
            f"Levenberg-Marquardt: max_iter={monitor.max_iter} iterations were done before the "
            "fit converged. Increase max_iter."
        )
    return Solution(
        theta,
        loss,
        monitor.n_iter,
        reason,
        monitor.record,
        warning,
        monitor.best_score,
        log_evidence,
        state,
    )


_REASONS = {kernels.STALLED: StopReason.TOL, kernels.CONVERGED: StopReason.EVIDENCE}


def _forgive(reason, so, objective, tol) -> StopReason:
    """Look whether a fit that has come to max_iter is good enough all the same."""
    if (so.errors <= EXACT * objective.spread()).all():
        return StopReason.EXACT
    n_peaks = int(so.progress["n_peaks"][0])
    if n_peaks >= so.peaks.size:
        rise = so.progress["best_evidence"][0] - so.peaks[n_peaks % so.peaks.size]
        if rise <= tol * max(NATS, NATS_A_SAMPLE * objective.training.weight_sum):
            return StopReason.AT_REST
    return reason


def _columns(curves, estimate) -> dict[str, np.ndarray]:
    """Name the columns of the curves for the record."""
    columns = {
        "loss": curves[:, kernels.LOSS],
        "gradient_norm": curves[:, kernels.GRADIENT_NORM],
        "damping": curves[:, kernels.DAMPING],
    }
    if estimate:
        columns["alpha"] = curves[:, kernels.ALPHA]  # that of the first group
        columns["log_evidence"] = curves[:, kernels.LOG_EVIDENCE]
        columns["n_effective_parameters"] = curves[:, kernels.N_EFFECTIVE]
    return columns


def _best(so, groups, n_groups, n_samples) -> tuple[np.ndarray, State]:
    """Parameters of the greatest evidence, and what it says of them."""
    best = so.best.copy()  # else what is kept would keep all arrays of the fit
    parts = np.split(best, np.cumsum([groups.size, n_groups, so.errors.size]))
    theta, alpha, beta, gamma = parts
    return theta, State(Hyperparameters(alpha, beta), gamma, groups, n_samples)


def solve_penalised(
    objective: Objective, theta: np.ndarray, monitor: Monitor, *, tol: float
) -> Solution:
    """Minimise the loss with the fixed penalty of the objective, that of MLPRegressor.

    Times n_samples n_outputs it is 1/2 sum r^2 + 1/2 n_outputs alpha sum(coefs^2).
    """
    n_outputs = objective.training.y.shape[1]
    n_coefs = objective.network.n_coefs
    hyper = Hyperparameters(np.array([n_outputs * objective.alpha, 0.0]), np.ones(n_outputs))
    groups = (np.arange(theta.size) >= n_coefs).astype(np.intp)
    return solve(objective, theta, monitor, groups=groups, hyper=hyper, tol=tol, estimate=False)


def search_by_evidence(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    groups: np.ndarray,
    tol: float,
    warm_up: int = 0,
    hyper: Hyperparameters | None = None,
) -> Solution:
    """Go from one start to a maximum of the evidence, with the usual first alpha and beta."""
    n_outputs, variance = objective.training.y.shape[1], objective.variance()
    if hyper is None:
        hyper = first_hyperparameters(groups, n_outputs, variance)
    return solve(
        objective,
        theta,
        monitor,
        groups=groups,
        hyper=hyper,
        tol=tol,
        estimate=True,
        warm_up=warm_up,
        variance=variance,
    )


def run(objective, theta, monitor, options: Options) -> Solution:
    """Find the penalty by the evidence, or take that of the objective."""
    if not options.alpha_by_evidence:
        return solve_penalised(objective, theta, monitor, tol=options.tol)
    groups, draw = options.groups, options.random_state
    if options.penalty_from is PenaltyFrom.ROWS_LEFT_OUT:
        return held_out.search(objective, theta, monitor, groups=groups, random_state=draw)
    search = partial(search_by_evidence, groups=groups, tol=options.tol)
    if options.penalty_from is PenaltyFrom.SAMPLED_ROWS:
        sampled = sampled_gauss_newton.search
        search = partial(sampled, groups=groups, tol=options.tol, random_state=draw)
    return solve_by_evidence(
        objective,
        theta,
        monitor,
        search=search,
        known_start=options.known_start,
        another_start=options.another_start,
    )


LM = Solver("lm", run, least_squares=True)
