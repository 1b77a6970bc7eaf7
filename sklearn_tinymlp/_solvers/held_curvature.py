"""The evidence where a curvature is costly: many L-BFGS steps per curvature, growing samples.

Levenberg-Marquardt computes the curvature of all rows for each step. Where this takes too long, the
iterations of this module are used instead:

    1.  A = sum_k beta_k J_k^T J_k + diag(alpha)    from all rows or a new sample, by its cost,
    2.  alpha and beta re-estimated with A as in `_bayes.evidence`, with the errors of all rows,
    3.  L-BFGS on S(theta) of all rows, with A as the first Hessian (`preconditioned_lbfgs`).

(Curvature from a sample: Byrd, Chin, Neveitt & Nocedal, SIAM J. Optimization 21, 2011, section 2.)
The first iterations work on a sample of the rows, the next on four times as many, and the last on
all rows. Losses other than the squared error have the evidence of their surrogate (`_bayes.irls`).
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from .._bayes import irls
from .._bayes.curvature import LEAST_SAMPLE_ROWS, MOST_JACOBIAN_ROWS, ROWS_PER_PARAMETER, Curvature
from .._bayes.evidence import Hyperparameters, evidence
from .._bayes.precision import Precision
from .._losses.loss import Loss
from .._objective.objective import Objective
from .evidence_restarts import ENDED_BY_OTHERS, State, first_hyperparameters
from .monitor import Solution, StopReason
from .preconditioned_lbfgs import Descent, descend

# Factor by which the number of rows grows from one stage to the next.
GROWTH = 4

# Number of L-BFGS steps in an iteration: few at first, because weights fitted at a poor alpha and
# beta fit the noise (error of skillcraft 0.63, with 30 steps from the beginning 0.75), then more,
# but not too many (error of pol 0.080 with 30 instead of 20 steps, 0.087 with 60; no difference for
# elevators and kin40k).
FIRST_STEPS, STEPS_GROWTH, MOST_STEPS = 5, 1.5, 20

# Minimum number of steps of an iteration after which a small fall of S ends a stage.
ENOUGH_STEPS = 15

# Maximum number of iterations in a row without a rise of the evidence, for losses with a scale: the
# scale may follow the weights beyond the greatest evidence, to zero.
PATIENCE = 5

# A stage ends when an iteration lowers S by less than 30 tol nats per row and output: predictions
# differ by hundredths of a nat at best. With 100 instead of 30, fits took half the time; the test
# error of kin40k was 2 to 10% larger, that of pol 5 to 10% smaller, those of three other sets
# within 1%.
NATS_PER_ROW = 30.0

# ... or by less than this times tol times the variance of y, below which predictions hardly change:
# for data without noise the evidence has no maximum (R² 0.99999 of two products of sines).
VARIANCE = 0.01

# Maximum number of re-estimations of alpha and beta with one curvature, which end when no ln alpha
# changes by more than its own standard deviation, sqrt(2 / gamma).
RE_ESTIMATIONS = 3


class Estimate(NamedTuple):
    """The evidence at some theta, and A at the re-estimated alpha and beta."""

    log_evidence: float
    gamma: np.ndarray  # (n_groups,)
    next: Hyperparameters
    precision: Precision
    mean_curvature: float = 1.0  # of the loss, see `irls`


class Point(NamedTuple):
    """Parameters and their evidence."""

    theta: np.ndarray
    estimate: Estimate
    loss: Loss
    free: np.ndarray | None = None  # of a loss with a scale, see `irls.one_minus_leverages`


def search(
    objective,
    theta,
    monitor,
    *,
    curvature,
    groups,
    tol,
    random_state,
    warm_up=0,
    hyper=None,
    least_ratio=0.0,
) -> Solution:
    """Maximise the evidence from one start.

    `hyper` contains the first alpha and beta, None for the defaults. At these values `warm_up`
    steps are done, at least `FIRST_STEPS`. `random_state` draws the samples.
    """
    hyper = hyper or first_hyperparameters(objective, groups, least_ratio)
    objective = objective.at_constant()
    n_rows = objective.training.n_samples
    order = random_state.permutation(n_rows)
    given = {"curvature": curvature, "groups": groups, "random_state": random_state}
    estimate_at = partial(estimate, least_ratio=least_ratio, **given)
    climb = partial(_climb, monitor=monitor, groups=groups, tol=tol, estimate_at=estimate_at)
    first_steps = max(FIRST_STEPS, warm_up)
    for size in stage_sizes(n_rows, curvature, theta.size):
        stage = objective if size == n_rows else objective.on_rows(np.sort(order[:size]))
        best, reason = climb(stage, theta, hyper, first_steps=first_steps)
        theta, hyper, first_steps = best.theta, best.estimate.next, 0
        if reason in (*ENDED_BY_OTHERS, StopReason.VALIDATION, StopReason.MAX_ITER):
            break
    return _solution(objective, monitor, groups, best, reason)


def stage_sizes(n_rows: int, curvature: Curvature, n_parameters: int) -> list[int]:
    """Return the number of rows of each stage, all rows in the last one."""
    size = MOST_JACOBIAN_ROWS if curvature.by_residuals else ROWS_PER_PARAMETER * n_parameters
    sizes, size = [], max(LEAST_SAMPLE_ROWS, size)
    while 2 * size < n_rows:
        sizes.append(size)
        size *= GROWTH
    return [*sizes, n_rows]


def estimate(
    objective,
    theta,
    hyper,
    *,
    curvature,
    groups,
    random_state,
    least_ratio=0.0,
    residuals=None,
    between=None,
) -> Estimate:
    """Re-estimate alpha and beta at theta; `residuals` are those of `irls.surrogate`."""
    n_samples, variance = objective.training.weight_sum, objective.variance()
    of_loss = objective
    objective, errors, mean_curvature = irls.surrogate(objective, theta, residuals)
    most_beta = irls.most_beta(of_loss, mean_curvature)
    with np.errstate(all="ignore"):
        product = curvature.product(objective, theta, hyper.beta, random_state, between)
        for _ in range(RE_ESTIMATIONS):
            precision = product.factorised(hyper.alpha[groups], hyper.beta)
            given = hyper, groups, n_samples, variance
            found = evidence(theta, errors, precision, *given, least_ratio=least_ratio)
            log_evidence = found.log_evidence
            if not np.isfinite(log_evidence):
                break
            log_evidence += irls.log_likelihood_change(
                of_loss, theta, errors, hyper.beta, mean_curvature
            )
            moved = np.abs(np.log(found.next.alpha / hyper.alpha))
            settled = (moved * np.sqrt(0.5 * found.gamma) < 1.0).all()
            hyper = found.next._replace(beta=np.minimum(found.next.beta, most_beta))
            if settled:
                break
        precision = product.certainly_factorised(hyper.alpha[groups], hyper.beta)
    return Estimate(log_evidence, found.gamma, hyper, precision, mean_curvature)


def _climb(
    objective, theta, hyper, *, monitor, groups, tol, estimate_at, first_steps
) -> tuple[Point, StopReason]:
    """Iterate on the rows of one stage until S no longer falls; return the best point and why.

    In the first stage `first_steps` steps precede the first estimate of the evidence.
    """
    minimise = partial(steps_down, groups=groups, monitor=monitor)
    best, reason, done = None, None, False
    steps = FIRST_STEPS if first_steps else ENOUGH_STEPS
    # The evidence of a working response is valid at a minimum, and arbitrary before it. Only where
    # a scale is estimated with the weights may the last iteration be worse than an earlier one.
    with_scale = objective.loss.with_scale is not None
    last_is_best = not objective.loss.least_squares and not with_scale
    free, mean_curvature, without_gain, between = None, 1.0, 0, None
    try:
        if first_steps:
            at = {"mean_curvature": irls.surrogate(objective, theta).mean_curvature}
            theta, _ = minimise(objective, theta, hyper, solve=None, n_steps=first_steps, **at)
        while True:
            residuals = irls.leave_one_out_residuals(objective, theta, free, mean_curvature)
            objective = irls.with_scale(objective, theta, residuals)
            now = estimate_at(objective, theta, hyper, residuals=residuals, between=between)
            between, mean_curvature = monitor.raise_if_interrupted, now.mean_curvature
            given = now.precision, now.next.beta, now.gamma
            free = irls.one_minus_leverages(objective, theta, *given)
            without_gain += 1
            if best is None or last_is_best or not now.log_evidence < best.estimate.log_evidence:
                best, without_gain = Point(theta, now, objective.loss, free), 0
            # Without noise a scale estimated from the residuals would follow them to zero.
            if with_scale and (
                without_gain > PATIENCE
                or now.next.beta.max() >= irls.most_beta(objective, mean_curvature)
            ):
                return best, StopReason.EVIDENCE
            if reason is not None or done:
                return best, reason or StopReason.EVIDENCE
            hyper = now.next
            monitor.begin(theta)
            at = {"n_steps": int(steps), "mean_curvature": mean_curvature}
            theta, fall = minimise(objective, theta, hyper, solve=now.precision.solve, **at)
            done = fall <= tol * _least_fall(objective, hyper) and steps >= ENOUGH_STEPS
            steps = min(MOST_STEPS, STEPS_GROWTH * steps)
            reason = monitor.update(
                theta=theta,
                loss=objective.mean_loss(theta),
                alpha=float(hyper.alpha[0]),
                log_evidence=now.log_evidence,
                n_effective_parameters=float(now.gamma.sum()),
            )
    except KeyboardInterrupt:
        best = best or Point(theta, estimate_at(objective, theta, hyper), objective.loss)
        return best, StopReason.INTERRUPTED


def _least_fall(objective: Objective, hyper: Hyperparameters) -> float:
    """Return the fall of S in an iteration, in units of tol, below which a stage ends."""
    # beta times half the variance of y, in nats; a few outliers hardly change this variance.
    by_squares = objective.loss.least_squares
    variance = objective.variance() if by_squares else irls.spread(objective) ** 2
    of_variance = 0.5 * VARIANCE * float(hyper.beta.mean()) * variance
    n_observations = objective.training.weight_sum * objective.n_outputs
    return n_observations * max(NATS_PER_ROW, of_variance)


def steps_down(
    objective, theta, hyper, groups, solve, *, n_steps, monitor, mean_curvature=1.0
) -> Descent:
    """Minimise S at fixed alpha and beta by a few steps of L-BFGS; `solve` is that of `descend`.

    Losses other than the squared error are multiplied by beta / `mean_curvature`, see
    `_bayes.irls`. An interruption of the monitor raises KeyboardInterrupt.
    """
    weights, alpha = hyper.beta / mean_curvature, hyper.alpha[groups]

    def value_and_gradient(theta):
        between = monitor.raise_if_interrupted
        value, gradient = objective.weighted_gradient(theta, weights, between)
        penalty = alpha * theta
        return value + 0.5 * float(penalty @ theta), gradient + penalty

    with np.errstate(all="ignore"):
        return descend(value_and_gradient, theta, solve, n_steps=n_steps)


def _solution(objective, monitor, groups, best: Point, reason) -> Solution:
    theta, found = best.theta, best.estimate
    objective = objective.with_loss(best.loss)
    if best.free is not None and len(best.free) == objective.training.n_samples:
        residuals = irls.leave_one_out_residuals(objective, theta, best.free, found.mean_curvature)
        theta = irls.recentred(objective, theta, residuals)
    state = None
    if np.isfinite(found.log_evidence):
        noise = irls.noise_std(objective, theta, found.gamma)
        state = State(found.next, found.gamma, groups, objective.training.weight_sum, noise=noise)
    return monitor.solution(
        theta,
        objective.mean_loss(theta),
        reason,
        log_evidence=found.log_evidence,
        state=state,
        constants=best.loss.parameters,
    )
