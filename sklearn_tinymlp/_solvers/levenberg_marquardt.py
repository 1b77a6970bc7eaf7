"""Levenberg-Marquardt with the evidence: damped Gauss-Newton steps, accepted or rejected.

A step solves

    (A + mu I) step = -g,    A = sum_k beta_k J_k^T J_k + diag(alpha),
                             g = sum_k beta_k J_k^T r_k + alpha theta

for S(theta) of `_bayes.evidence`. It is accepted when S falls, and mu is adapted to the gain ratio,
actual over predicted fall, by Nielsen's rule ("Damping parameter in Marquardt's method", 1999, eq.
2.5), which needs fewer factorisations than changes by factors of ten. Between accepted steps the
evidence re-estimates alpha and beta.
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
from .evidence_restarts import State, first_hyperparameters, solve_by_evidence
from .monitor import Monitor, Solution, StopReason
from .solver import Options, Solver

# The evidence has converged when its best value rose by at most NATS * tol nats (1 by default) in
# the last REST iterations. 3e-4 nats per sample in each of three steps ended a fit of 9,000 rows
# tens of nats too early, and a bound on each step is not met where the evidence oscillates about
# its maximum. REST = 10 made the test errors of two UCI sets 3 to 11% larger; REST = 30 made none
# 3% smaller and took a quarter longer.
REST, NATS = 20, 1e4

# At max_iter the evidence is on a plateau if it last rose by at most 100 tol nats per sample:
# predictions differ by hundredths of a nat at best.
NATS_PER_SAMPLE = 100.0

# Data without noise have no finite best beta, and the evidence never converges. At max_iter,
# squared residuals below this share of the squared targets count as zero.
ZERO_RESIDUAL = 1e-8

# mu in units of the mean diagonal of A, which is independent of the scale of beta. 1e-2 is close to
# Gauss-Newton; from 1e12 on a step is lost in rounding; below 1e-12 it adds nothing to a positive
# definite A.
FIRST_DAMPING, MOST_DAMPING, LEAST_DAMPING = 1e-2, 1e12, 1e-12

# The first damping where alpha and beta are re-estimated: with less, first steps at a poor alpha
# and beta end in minima with larger test errors (benchmarks/variants.md).
CAREFUL_DAMPING = 1.0

# Maximum number of multiply-adds of a curvature for a single step, 10 ms on one core; see
# `held_curvature`.
MOST_WORK_PER_STEP = 250_000_000


class Step(NamedTuple):
    """A step that lowers S."""

    theta: np.ndarray
    evaluated: Evaluation
    fall: float
    gain_ratio: float  # actual over predicted fall


class Found(NamedTuple):
    """Parameters and their evidence."""

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
        """Divide by up to 3, or multiply by up to 2."""
        factor = max(1.0 / 3.0, 1.0 - (2.0 * gain_ratio - 1.0) ** 3)
        self.value, self.growth = max(self.value * factor, LEAST_DAMPING), 2.0

    def reject(self) -> None:
        """Multiply by 2, then 4, 8 and so on."""
        self.value *= self.growth
        self.growth *= 2.0


def solve(objective: Objective, theta, monitor, *, estimate, **options) -> Solution:
    """Minimise S(theta); with `estimate` re-estimate alpha and beta, to maximise the evidence.

    With `estimate` it ends by the rule of `NATS`, and the state is the `State` of the greatest
    evidence; else it ends when a step lowers S by at most 1e-4 tol S. `options` are fields of
    `Search`.
    """
    search = Search(
        objective,
        between=monitor.raise_if_interrupted,
        theta=np.array(theta, dtype=np.float64),
        damping=Damping(CAREFUL_DAMPING if estimate else FIRST_DAMPING),
        estimate=estimate,
        **options,
    )
    with np.errstate(all="ignore"):
        try:
            reason = None
            while reason is None:
                monitor.begin(search.theta)
                reason = _iterate(search, monitor)
        except KeyboardInterrupt:
            reason = StopReason.INTERRUPTED
        return _solution(search, monitor, reason)


@dataclass
class Search:
    """The state of an optimisation."""

    objective: Objective
    curvature: Curvature
    groups: np.ndarray  # (n_parameters,) the group of each parameter
    between: Callable  # called before each block of rows
    theta: np.ndarray
    hyper: Hyperparameters
    damping: Damping
    tol: float = 0.0
    estimate: bool = True  # whether alpha and beta are re-estimated, after `warm_up` iterations
    warm_up: int = 0
    rest: int = REST
    variance: float = 1.0  # of the targets, for the bounds of beta
    least_ratio: np.ndarray | float = 0.0  # (n_groups,) of alpha to beta
    model: GaussNewton | None = None  # at theta
    loss: float = np.inf
    scratch: Scratch = field(default_factory=Scratch)
    best: Found | None = None  # the greatest evidence so far
    peaks: list[float] = field(default_factory=list)  # the greatest evidence after each iteration

    def linearise(self, evaluated: Evaluation | None = None) -> None:
        """Compute the second-order model at theta."""
        self.model = self.curvature.gauss_newton(
            self.objective, self.theta, self.hyper.beta, evaluated, self.between, self.scratch
        )
        self.loss = self.objective.mean_loss(self.theta, self.model.errors)

    def value(self, theta, errors) -> float:
        """Compute S."""
        alpha = self.hyper.alpha[self.groups]
        return float(self.hyper.beta @ errors + 0.5 * (alpha * theta) @ theta)

    def gradient(self) -> np.ndarray:
        """Compute the gradient of S at theta."""
        return self.hyper.beta @ self.model.gradients + self.hyper.alpha[self.groups] * self.theta

    @property
    def recent_rise(self) -> float:
        """Rise of the evidence in `rest` iterations, in nats; infinite before that."""
        peaks, rest = self.peaks, self.rest
        return peaks[-1] - peaks[-rest - 1] if len(peaks) > rest else np.inf

    def step(self, gradient) -> Step | None:
        """Return a step that lowers S, with as much damping as needed; None if there is none."""
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


def _iterate(search: Search, monitor: Monitor) -> StopReason | None:
    """Take a step and re-estimate alpha and beta; return the reason to stop, or None."""
    if search.model is None:
        search.linearise()
    gradient = search.gradient()
    value, alpha = search.value(search.theta, search.model.errors), search.hyper.alpha[0]
    step = search.step(gradient)
    if step is not None:
        loss = search.objective.mean_loss(step.theta, step.evaluated.errors)
        search.theta, search.loss = step.theta, loss  # set both: Ctrl-C may end `linearise`
        search.damping.accept(step.gain_ratio)
        search.linearise(step.evaluated)
    row = {"gradient_norm": float(np.abs(gradient).max()), "damping": search.damping.value}
    ended = None
    if not search.estimate:
        if step is None or step.fall <= 1e-4 * search.tol * abs(value):
            ended = StopReason.TOL
    else:
        row |= {"alpha": float(alpha), "log_evidence": np.nan, "n_effective_parameters": np.nan}
        if monitor.n_iter + 1 >= search.warm_up or step is None:
            ended = _re_estimate(search, row, step is None, monitor.loss_tol)
    kept = search.theta if search.best is None else search.best.theta
    reason = monitor.update(theta=search.theta, kept=kept, loss=search.loss, **row)
    return ended or reason if reason in (None, StopReason.MAX_ITER) else reason


def _re_estimate(search: Search, row, is_stuck, loss_tol) -> StopReason | None:
    """Evaluate the evidence at theta and re-estimate alpha and beta."""
    hyper, model, groups, scratch = search.hyper, search.model, search.groups, search.scratch
    precision = model.product.factorised(hyper.alpha[groups], hyper.beta, scratch=scratch)
    given = hyper, groups, search.objective.training.weight_sum, search.variance, scratch
    found = evidence(search.theta, model.errors, precision, *given, search.least_ratio)
    if np.isnan(found.log_evidence):  # A is singular to rounding
        return StopReason.TOL if is_stuck else None
    row["log_evidence"] = found.log_evidence
    row["n_effective_parameters"] = float(found.gamma.sum())
    # The last iteration, at which `loss_tol` is met, counts as the best.
    is_last, best = search.loss <= loss_tol, search.best
    if best is None or found.log_evidence > best.log_evidence or is_last:
        search.best = Found(search.theta, hyper, found.gamma, found.log_evidence, search.loss)
    search.peaks.append(search.best.log_evidence)
    search.hyper = found.next
    return StopReason.EVIDENCE if search.recent_rise <= NATS * search.tol else None


def _solution(search: Search, monitor: Monitor, reason: StopReason) -> Solution:
    """Return the weights of the greatest evidence where there is one, else the last ones."""
    theta, loss, state, best = search.theta, search.loss, None, search.best
    # If A is singular at the weights that meet `loss_tol`, these are not the best ones.
    missed = reason is StopReason.LOSS_TOL and best is not None and best.loss > monitor.loss_tol
    if best is not None and not missed:
        if reason is StopReason.MAX_ITER:
            reason = _reason_at_max_iter(search)
        n_samples = search.objective.training.weight_sum
        theta, loss = best.theta, best.loss
        state = State(best.hyper, best.gamma, search.groups, n_samples)
    warning = None
    if reason is StopReason.MAX_ITER:
        warning = (
            f"Levenberg-Marquardt: max_iter={monitor.max_iter} iterations were done before the "
            "fit converged. Increase max_iter."
        )
    log_evidence = -np.inf if best is None else best.log_evidence
    return monitor.solution(
        theta, loss, reason, warning=warning, log_evidence=log_evidence, state=state
    )


def _reason_at_max_iter(search: Search) -> StopReason:
    """Return why a fit that has reached max_iter counts as converged, or MAX_ITER."""
    if (search.model.errors <= ZERO_RESIDUAL * search.objective.spread()).all():
        return StopReason.ZERO_RESIDUAL
    n_samples = search.objective.training.weight_sum
    if search.recent_rise <= search.tol * max(NATS, NATS_PER_SAMPLE * n_samples):
        return StopReason.PLATEAU
    return StopReason.MAX_ITER


def solve_penalised(objective: Objective, theta, monitor, **options) -> Solution:
    """Minimise the loss with the fixed penalty of the objective, defined as in MLPRegressor.

    Multiplied by n_samples n_outputs it is 1/2 sum r^2 + 1/2 n_outputs alpha sum(coefs^2).
    """
    n_outputs, n_coefs = objective.n_outputs, objective.network.architecture.n_coefs
    hyper = Hyperparameters(np.array([n_outputs * objective.alpha, 0.0]), np.ones(n_outputs))
    groups = (np.arange(theta.size) >= n_coefs).astype(np.intp)
    return solve(objective, theta, monitor, groups=groups, hyper=hyper, estimate=False, **options)


def search_by_evidence(
    objective, theta, monitor, *, groups, curvature=None, hyper=None, least_ratio=0.0, **options
) -> Solution:
    """Maximise the evidence from one start, with the default first alpha and beta unless given."""
    hyper = hyper or first_hyperparameters(objective, groups, least_ratio)
    given = {"groups": groups, "hyper": hyper, "curvature": curvature or _cheapest(objective)}
    given |= {"variance": objective.variance(), "least_ratio": least_ratio}
    return solve(objective, theta, monitor, estimate=True, **given, **options)


def _cheapest(objective: Objective) -> Curvature:
    return Curvature.cheapest(objective.network.architecture, objective.training.n_samples)


def run(objective, theta, monitor, options: Options) -> Solution:
    """Train with the penalty of the greatest evidence, or with that of the objective."""
    curvature = _cheapest(objective)
    if options.groups is None:
        return solve_penalised(objective, theta, monitor, tol=options.tol, curvature=curvature)
    search = partial(search_by_evidence, rest=options.rest or REST)
    if curvature.work > MOST_WORK_PER_STEP or not objective.loss.least_squares:
        search = partial(held_curvature.search, random_state=options.random_state)
    given = {"groups": options.groups, "least_ratio": options.least_ratio}
    search = partial(search, tol=options.tol, curvature=curvature, **given)
    further = {"restart": options.restart, "draw_restart": options.draw_restart}
    return solve_by_evidence(objective, theta, monitor, search=search, **further)


LM = Solver("lm", run, least_squares=True)
