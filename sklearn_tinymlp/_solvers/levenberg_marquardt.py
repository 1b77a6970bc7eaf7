"""Levenberg-Marquardt with the evidence: damped Gauss-Newton steps, accepted or rejected.

A step solves

    (A + mu I) step = -g,    A = sum_k beta_k J_k^T J_k + diag(alpha),
                             g = sum_k beta_k J_k^T r_k + alpha theta

for S(theta) of `_bayes.evidence`. It is accepted when S falls, and mu follows the ratio of the
actual to the predicted fall by Nielsen's rule ("Damping parameter in Marquardt's method", 1999, eq.
2.5), which needs fewer factorisations than factors of ten. Between accepted steps the evidence
re-estimates alpha and beta.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from .._bayes.curvature import Curvature, GaussNewton
from .._bayes.evidence import Hyperparameters, evidence
from .._machine.memory import Scratch
from .._objective.objective import Evaluation, Objective
from . import held_curvature
from .evidence_restarts import (
    NATS_A_SAMPLE,
    ZERO_RESIDUAL,
    State,
    first_hyperparameters,
    solve_by_evidence,
)
from .monitor import Monitor, Solution, StopReason
from .solver import Options, Solver

# The evidence has converged when its best value rose by less than 10,000 tol nats, at the default
# odds of 2.7 to 1, in the last REST iterations. A bound on nats means the same for any number of
# samples: the rule before, 3e-4 nats a sample in each of three steps, ended 9,000 rows tens of
# nats too early. And a bound on the change of each step is not met where the evidence swings about
# its maximum or falls beyond it, as it often does. Resting for 10 iterations made the test errors
# of two UCI sets 3 to 11% larger; 30 made none 3% smaller and took a quarter longer.
REST, NATS = 20, 1e4

# mu is counted in units of the mean diagonal of A, so that it means the same after beta has grown
# by orders of magnitude. 1e-2 begins close to Gauss-Newton; where mu reaches 1e12 a step is lost in
# rounding; below 1e-12 it adds nothing to a positive definite A.
FIRST_DAMPING, MOST_DAMPING, LEAST_DAMPING = 1e-2, 1e12, 1e-12

# The evidence begins with more damping than a fixed penalty: bold first steps, taken while alpha
# and beta are still far off, end in minima with larger test errors (docs/evidence.md).
CAREFUL_DAMPING = 1.0

# Multiply-adds of a curvature from which on it is held for many steps, see `held_curvature`: 10 ms
# on one core.
MOST_WORK = 250_000_000


class Point(NamedTuple):
    """Parameters, and the second-order model of the data there."""

    theta: np.ndarray
    model: GaussNewton


class Step(NamedTuple):
    """A step that lowers S."""

    theta: np.ndarray
    evaluated: Evaluation
    fall: float
    gain_ratio: float  # of the actual to the predicted fall


class Found(NamedTuple):
    """Parameters, and what the evidence says of them."""

    theta: np.ndarray
    hyper: Hyperparameters
    gamma: np.ndarray
    log_evidence: float
    loss: float


@dataclass
class Damping:
    """Nielsen's damping, in units of the mean diagonal of A."""

    value: float
    growth: float = 2.0

    def accept(self, gain_ratio) -> None:
        """Shrink by up to a third, or grow up to twofold."""
        factor = max(1.0 / 3.0, 1.0 - (2.0 * gain_ratio - 1.0) ** 3)
        self.value, self.growth = max(self.value * factor, LEAST_DAMPING), 2.0

    def reject(self) -> None:
        """Grow, faster each time."""
        self.value *= self.growth
        self.growth *= 2.0


@dataclass
class EvidenceCurve:
    """The best evidence so far after each iteration, and where it was."""

    rise: float  # nats in `rest` iterations below which it has converged
    rest: int = REST
    best: Found | None = None
    peaks: list[float] = field(default_factory=list)

    def add(self, found: Found, *, is_last: bool) -> None:
        """Take note of an iteration; where the target is met, it is the best whatever it is."""
        if self.best is None or found.log_evidence > self.best.log_evidence or is_last:
            self.best = found
        self.peaks.append(self.best.log_evidence)

    @property
    def recent_rise(self) -> float:
        """Nats in the last `rest` iterations; infinite before there were as many."""
        peaks, rest = self.peaks, self.rest
        return peaks[-1] - peaks[-rest - 1] if len(peaks) > rest else np.inf

    @property
    def is_flat(self) -> bool:
        """Whether it has converged."""
        return self.recent_rise <= self.rise


def solve(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    curvature: Curvature,
    groups: np.ndarray,
    hyper: Hyperparameters,
    tol: float,
    estimate: bool,
    warm_up: int = 0,
    rest: int = REST,
    variance: float = 1.0,
) -> Solution:
    """Minimise S(theta), and maximise the evidence on the way if asked to.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
        The start; not changed.
    monitor : Monitor
    curvature : Curvature
        From all rows.
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
    rest : int, default=REST
        Iterations in which the evidence of a converged fit has hardly risen.
    variance : float, default=1.0
        Of the targets; what is known of beta beforehand is known for a variance of 1.

    Returns
    -------
    Solution
        With `estimate` the state is the `State` of the best evidence.
    """
    curve = EvidenceCurve(NATS * tol, rest)
    search = Search(
        objective=objective,
        curvature=curvature,
        groups=groups,
        variance=variance,
        between=monitor.raise_if_interrupted,
        theta=np.array(theta, dtype=np.float64),
        hyper=hyper,
        damping=Damping(CAREFUL_DAMPING if estimate else FIRST_DAMPING),
    )
    with np.errstate(all="ignore"):
        try:
            reason = None
            while reason is None:
                monitor.begin(search.theta)
                reason = _iterate(search, monitor, curve, tol, warm_up, estimate)
        except KeyboardInterrupt:
            reason = StopReason.INTERRUPTED
        return _solution(search, curve, monitor, reason, tol)


@dataclass
class Search:
    """Where an optimisation stands, and what it works on."""

    objective: Objective
    curvature: Curvature
    groups: np.ndarray
    variance: float
    between: Callable
    theta: np.ndarray
    hyper: Hyperparameters
    damping: Damping
    model: GaussNewton | None = None  # at theta
    loss: float = np.inf
    scratch: Scratch = field(default_factory=Scratch)

    def linearise(self, evaluated: Evaluation | None = None) -> None:
        """Compute the second-order model at theta."""
        self.model = self.curvature.gauss_newton(
            self.objective, self.theta, self.hyper.beta, evaluated, self.between, self.scratch
        )
        self.loss = mean_loss(self.objective, self.theta, self.model.errors)

    def value(self, theta, errors) -> float:
        """Compute S."""
        alpha = self.hyper.alpha[self.groups]
        return float(self.hyper.beta @ errors + 0.5 * (alpha * theta) @ theta)

    def gradient(self) -> np.ndarray:
        """Compute the gradient of S at theta."""
        return self.hyper.beta @ self.model.gradients + self.hyper.alpha[self.groups] * self.theta

    def step(self, gradient) -> Step | None:
        """Find a step that lowers S, with as much damping as that takes; None where none does."""
        alpha, beta, theta = self.hyper.alpha[self.groups], self.hyper.beta, self.theta
        product, damping = self.model.product, self.damping
        unit, value = product.mean_diagonal(alpha, beta), self.value(theta, self.model.errors)
        while damping.value <= MOST_DAMPING:
            mu = damping.value * unit
            precision = product.factorised(alpha, beta, mu, self.scratch)
            if precision is not None:
                step = precision.newton_step(gradient, theta)
                predicted = 0.5 * float(step @ (mu * step - gradient))
                trial = theta + step
                evaluated = self.objective.evaluate(trial, self.between)
                fall = value - self.value(trial, evaluated.errors)
                if predicted >= 0.0 and fall > 0.0:
                    return Step(trial, evaluated, fall, fall / predicted)
            damping.reject()
        self.damping = Damping(FIRST_DAMPING)
        return None


def _iterate(search: Search, monitor: Monitor, curve, tol, warm_up, estimate) -> StopReason | None:
    """Take a step, re-estimate alpha and beta, and say whether and why that was the last."""
    if search.model is None:
        search.linearise()
    gradient = search.gradient()
    value, alpha = search.value(search.theta, search.model.errors), search.hyper.alpha[0]
    step = search.step(gradient)
    if step is not None:
        loss = mean_loss(search.objective, step.theta, step.evaluated.errors)
        search.theta, search.loss = step.theta, loss  # both: Ctrl-C may end `linearise`
        search.damping.accept(step.gain_ratio)
        search.linearise(step.evaluated)
    row = {
        "gradient_norm": float(np.abs(gradient).max()),
        "damping": search.damping.value,
    }
    ended = None
    if not estimate:
        if step is None or step.fall <= 1e-4 * tol * abs(value):
            ended = StopReason.TOL
    else:
        row |= {"alpha": float(alpha), "log_evidence": np.nan, "n_effective_parameters": np.nan}
        if monitor.n_iter + 1 >= warm_up or step is None:
            ended = _re_estimate(search, curve, row, step is None, monitor.loss_tol)
    kept = search.theta if curve.best is None else curve.best.theta
    reason = monitor.update(theta=search.theta, kept=kept, loss=search.loss, **row)
    return ended if reason in (None, StopReason.MAX_ITER) and ended is not None else reason


def _re_estimate(search: Search, curve, row, is_stuck, loss_tol) -> StopReason | None:
    """Evaluate the evidence at theta and move alpha and beta to where it is greatest."""
    hyper, errors = search.hyper, search.model.errors
    alpha = hyper.alpha[search.groups]
    precision = search.model.product.factorised(alpha, hyper.beta, scratch=search.scratch)
    found = evidence(
        search.theta,
        errors,
        precision,
        hyper,
        search.groups,
        search.objective.training.weight_sum,
        search.variance,
        search.scratch,
    )
    if np.isnan(found.log_evidence):  # A is singular to rounding
        return StopReason.TOL if is_stuck else None
    row["log_evidence"] = found.log_evidence
    row["n_effective_parameters"] = float(found.gamma.sum())
    here = Found(search.theta, hyper, found.gamma, found.log_evidence, search.loss)
    curve.add(here, is_last=search.loss <= loss_tol)
    search.hyper = found.next
    return StopReason.EVIDENCE if curve.is_flat else None


def mean_loss(objective: Objective, theta, errors) -> float:
    """Compute the mean loss and penalty in the units of y."""
    squares, n_outputs = objective.output_scale**2, objective.n_outputs
    # One scale stands for that of all outputs.
    total = float(squares @ errors if squares.size == n_outputs else squares[0] * errors.sum())
    total /= n_outputs
    if objective.alpha > 0.0:  # of y of 1e200 the unit is infinite, and infinity times 0 is NaN
        coefs = theta[: objective.network.architecture.n_coefs]
        total += 0.5 * float(squares.mean() * objective.alpha * (coefs @ coefs))
    return total / objective.training.weight_sum


def _solution(search: Search, curve, monitor: Monitor, reason: StopReason, tol) -> Solution:
    """Return the weights of the greatest evidence where there is one, else those at the end."""
    theta, loss, state, log_evidence = search.theta, search.loss, None, -np.inf
    best = curve.best
    # The target may be met where A is singular; else the weights there are the best.
    missed = reason is StopReason.LOSS_TOL and best is not None and best.loss > monitor.loss_tol
    if best is not None:
        log_evidence = best.log_evidence
    if best is not None and not missed:
        if reason is StopReason.MAX_ITER:
            reason = _reason_at_max_iter(search, curve, tol)
        n_samples = search.objective.training.weight_sum
        theta, loss = best.theta, best.loss
        state = State(best.hyper, best.gamma, search.groups, n_samples)
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


def _reason_at_max_iter(search: Search, curve, tol) -> StopReason:
    """Look whether a fit that has come to max_iter is good enough all the same."""
    if (search.model.errors <= ZERO_RESIDUAL * search.objective.spread()).all():
        return StopReason.ZERO_RESIDUAL
    n_samples = search.objective.training.weight_sum
    if curve.recent_rise <= tol * max(NATS, NATS_A_SAMPLE * n_samples):
        return StopReason.PLATEAU
    return StopReason.MAX_ITER


def solve_penalised(
    objective: Objective, theta: np.ndarray, monitor: Monitor, *, tol: float, curvature: Curvature
) -> Solution:
    """Minimise the loss with the fixed penalty of the objective, that of MLPRegressor.

    Times n_samples n_outputs it is 1/2 sum r^2 + 1/2 n_outputs alpha sum(coefs^2).
    """
    n_outputs = objective.n_outputs
    n_coefs = objective.network.architecture.n_coefs
    hyper = Hyperparameters(np.array([n_outputs * objective.alpha, 0.0]), np.ones(n_outputs))
    groups = (np.arange(theta.size) >= n_coefs).astype(np.intp)
    return solve(
        objective,
        theta,
        monitor,
        curvature=curvature,
        groups=groups,
        hyper=hyper,
        tol=tol,
        estimate=False,
    )


def search_by_evidence(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    groups: np.ndarray,
    tol: float,
    curvature: Curvature | None = None,
    warm_up: int = 0,
    rest: int = REST,
    hyper: Hyperparameters | None = None,
) -> Solution:
    """Go from one start to a maximum of the evidence, with the usual first alpha and beta."""
    variance = objective.variance()
    if hyper is None:
        hyper = first_hyperparameters(groups, objective.n_outputs, variance)
    if curvature is None:
        n_rows = objective.training.n_samples
        curvature = Curvature.cheapest(objective.network.architecture, n_rows)
    return solve(
        objective,
        theta,
        monitor,
        curvature=curvature,
        groups=groups,
        hyper=hyper,
        tol=tol,
        estimate=True,
        warm_up=warm_up,
        rest=rest,
        variance=variance,
    )


def run(objective, theta, monitor, options: Options) -> Solution:
    """Find the penalty by the evidence, or take that of the objective."""
    n_rows = objective.training.n_samples
    curvature = Curvature.cheapest(objective.network.architecture, n_rows)
    if not options.alpha_by_evidence:
        return solve_penalised(objective, theta, monitor, tol=options.tol, curvature=curvature)
    each_step = curvature.work <= MOST_WORK and objective.loss.least_squares
    search = partial(
        search_by_evidence if each_step else held_curvature.search,
        groups=options.groups,
        tol=options.tol,
        curvature=curvature,
    )
    if not each_step:
        search = partial(search, random_state=options.random_state)
    return solve_by_evidence(
        objective,
        theta,
        monitor,
        search=search,
        restart=options.restart,
        draw_restart=options.draw_restart,
    )


LM = Solver("lm", run, least_squares=True)
