"""The evidence where a curvature costs much: one of them for many cheap steps, growing samples.

An iteration of Levenberg-Marquardt computes the curvature of all rows for a single step. Where
that takes long, an iteration here is

    1.  A = sum_k beta_k J_k^T J_k + diag(alpha)    from all rows or a fresh sample, by its cost,
    2.  alpha and beta re-estimated with it, as in `_bayes.evidence`, errors from all rows,
    3.  some steps of L-BFGS down S(theta) of all rows whose first Hessian is A (`preconditioned`).

(Curvature from a sample: Byrd, Chin, Neveitt & Nocedal, SIAM J. Optimization 21, 2011, section 2.)
The first iterations work on a sample of the rows only, the next on four times as many, and the last
on all. A loss other than squared errors is judged by its surrogate (`_bayes.irls`).
"""

from typing import NamedTuple

import numpy as np

from .._bayes import irls
from .._bayes.curvature import LEAST_ROWS, MOST_ROWS, ROWS_A_PARAMETER, Curvature, Precision
from .._bayes.evidence import Evidence, Hyperparameters, evidence
from .._losses.loss import Loss
from .._objective.objective import Objective
from .evidence_restarts import ENDED_BY_OTHERS, State, first_hyperparameters
from .monitor import Monitor, Solution, StopReason
from .preconditioned_lbfgs import Descent, descend

# Each stage works on so many times the rows of the one before.
GROWTH = 4

# Steps of L-BFGS in an iteration: few while alpha and beta are far off, for weights that follow
# wrong ones fit the noise (skillcraft 0.75 with 30 from the beginning, 0.63 so), more later, but
# not too many (pol 0.080 with 30 instead of 20, 0.087 with 60; elevators and kin40k level).
FIRST_STEPS, STEPS_GROWTH, MOST_STEPS = 5, 1.5, 20

# So many steps that find nothing say that nothing is left.
ENOUGH_STEPS = 15

# The scale of a loss may follow the weights beyond the greatest evidence, to zero. A fit ends where
# so many iterations in a row have not raised it.
PATIENCE = 5

# Done when an iteration lowers S by less than 30 tol nats a row and output: predictions are told
# apart by hundredths of a nat at best. With 100 fits took half the time; the test error of kin40k
# was 2 to 10% larger, that of pol 5 to 10% smaller, those of three other sets within 1%.
NATS_A_ROW = 30.0

# ... or by less than this times tol of the variance of y, from where on predictions hardly change:
# data without noise have no greatest evidence (R² 0.99999 of two products of sines).
VARIANCE = 0.01

# alpha and beta are re-estimated at most so often from one curvature: while a ln alpha moves by
# more than its own standard deviation, sqrt(2 / gamma).
RE_ESTIMATIONS = 3


class Estimate(NamedTuple):
    """The evidence at some theta, and A at the alpha and beta that follow from it."""

    log_evidence: float
    gamma: np.ndarray  # (n_groups,)
    next: Hyperparameters  # re-estimated
    precision: Precision
    mean_curvature: float = 1.0  # of the loss, see `irls`


class Point(NamedTuple):
    """Where a search stands, and what the evidence says of it."""

    theta: np.ndarray
    estimate: Estimate
    loss: Loss
    free: np.ndarray | None = None  # of a loss with a scale, see `irls.one_minus_leverages`


def search(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    curvature: Curvature,
    groups: np.ndarray,
    tol: float,
    random_state: np.random.RandomState,
    warm_up: int = 0,
    hyper: Hyperparameters | None = None,
) -> Solution:
    """Go from one start to a maximum of the evidence.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
        The start; not changed.
    monitor : Monitor
        Is told of each iteration.
    curvature : Curvature
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter.
    tol : float
        See `NATS_A_ROW`.
    random_state : RandomState
        Draws the samples.
    warm_up : int, default=0
        Steps at the first alpha and beta before they are re-estimated, where there are more than
        `FIRST_STEPS`.
    hyper : Hyperparameters, default=None
        The first alpha and beta; None for the usual ones.
    """
    if hyper is None:
        hyper = first_hyperparameters(groups, objective.n_outputs, objective.variance())
    objective = objective.at_constant()
    n_rows = objective.training.n_samples
    order = random_state.permutation(n_rows)
    common = {"curvature": curvature, "groups": groups, "random_state": random_state}
    reason, best = None, None
    for size in stage_sizes(n_rows, curvature, theta.size):
        stage = objective if size == n_rows else objective.on_rows(np.sort(order[:size]))
        steps = ENOUGH_STEPS
        if best is None:
            steps = FIRST_STEPS
            try:
                theta = steps_down(
                    stage,
                    theta,
                    hyper,
                    groups,
                    None,
                    n_steps=max(FIRST_STEPS, warm_up),
                    monitor=monitor,
                    mean_curvature=irls.surrogate(stage, theta).mean_curvature,
                ).theta
            except KeyboardInterrupt:
                best = Point(theta, estimate(stage, theta, hyper, **common), stage.loss)
                reason = StopReason.INTERRUPTED
                break
        best, reason = _climb(stage, theta, hyper, monitor, tol=tol, steps=steps, **common)
        theta, hyper = best.theta, best.estimate.next
        if reason in (*ENDED_BY_OTHERS, StopReason.VALIDATION, StopReason.MAX_ITER):
            break
    return _solution(objective, monitor, groups, _recentred(objective, best), reason)


def stage_sizes(n_rows: int, curvature: Curvature, n_parameters: int) -> list[int]:
    """Return the number of rows of each stage, the last one's all."""
    size = MOST_ROWS if curvature.by_residuals else ROWS_A_PARAMETER * n_parameters
    sizes, size = [], max(LEAST_ROWS, size)
    while 2 * size < n_rows:
        sizes.append(size)
        size *= GROWTH
    return [*sizes, n_rows]


def estimate(
    objective: Objective,
    theta: np.ndarray,
    hyper: Hyperparameters,
    *,
    curvature: Curvature,
    groups: np.ndarray,
    random_state: np.random.RandomState,
    residuals=None,
    between=None,
) -> Estimate:
    """Re-estimate alpha and beta at theta.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
    hyper : Hyperparameters
    curvature : Curvature
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter.
    random_state : RandomState
        Draws the rows.
    residuals : ndarray of shape (n_samples, n_outputs), default=None
        Of another loss than the squared error, see `irls.surrogate`.
    between : callable, default=None
        Called before each block of rows.
    """
    n_samples, variance = objective.training.weight_sum, objective.variance()
    of_loss = objective
    objective, errors, mean_curvature = irls.surrogate(objective, theta, residuals)
    most_beta = irls.most_beta(of_loss, mean_curvature)
    with np.errstate(all="ignore"):
        product = curvature.product(objective, theta, hyper.beta, random_state, between)
        for _ in range(RE_ESTIMATIONS):
            precision = product.factorised(hyper.alpha[groups], hyper.beta)
            found = evidence(theta, errors, precision, hyper, groups, n_samples, variance)
            log_evidence = found.log_evidence
            if not np.isfinite(log_evidence):
                break
            log_evidence += irls.log_likelihood_change(
                of_loss, theta, errors, hyper.beta, mean_curvature
            )
            settled = _is_settled(hyper, found)
            hyper = found.next._replace(beta=np.minimum(found.next.beta, most_beta))
            if settled:
                break
        precision = product.certainly_factorised(hyper.alpha[groups], hyper.beta)
    return Estimate(log_evidence, found.gamma, hyper, precision, mean_curvature)


def _is_settled(hyper: Hyperparameters, found: Evidence) -> bool:
    """Whether each ln alpha moved by less than the width of its evidence (`_bayes.groups`)."""
    moved = np.abs(np.log(found.next.alpha / hyper.alpha))
    return bool((moved * np.sqrt(0.5 * found.gamma) < 1.0).all())


def _climb(
    objective, theta, hyper, monitor: Monitor, *, curvature, groups, tol, random_state, steps
) -> tuple[Point, StopReason]:
    """Iterate on the rows of one stage until S no longer falls; return the best point and why."""
    best, reason, done = None, None, False
    # A working response is that of a minimum: before it, its evidence may be anything. Only where a
    # scale follows the weights may the last be worse than an earlier one.
    last_is_best = not objective.loss.least_squares and objective.loss.with_scale is None
    free, mean_curvature, without_gain = None, 1.0, 0
    while True:
        residuals = irls.leave_one_out_residuals(objective, theta, free, mean_curvature)
        objective = irls.with_scale(objective, theta, residuals)
        try:
            now = estimate(
                objective,
                theta,
                hyper,
                curvature=curvature,
                groups=groups,
                random_state=random_state,
                residuals=residuals,
                between=monitor.raise_if_interrupted if best is not None else None,
            )
        except KeyboardInterrupt:
            return best, StopReason.INTERRUPTED
        mean_curvature = now.mean_curvature
        free = irls.one_minus_leverages(objective, theta, now.precision, now.next.beta, now.gamma)
        without_gain += 1
        if best is None or last_is_best or not now.log_evidence < best.estimate.log_evidence:
            best, without_gain = Point(theta, now, objective.loss, free), 0
        if objective.loss.with_scale is not None:
            if without_gain > PATIENCE or _has_no_noise(objective, now):
                return best, StopReason.EVIDENCE
        if reason is not None or done:
            return best, reason or StopReason.EVIDENCE
        hyper = now.next
        monitor.begin(theta)
        try:
            descent = steps_down(
                objective,
                theta,
                hyper,
                groups,
                now.precision,
                n_steps=int(steps),
                monitor=monitor,
                mean_curvature=mean_curvature,
            )
        except KeyboardInterrupt:
            return best, StopReason.INTERRUPTED
        theta = descent.theta
        done = descent.fall <= tol * _least_fall(objective, hyper) and steps >= ENOUGH_STEPS
        steps = min(MOST_STEPS, STEPS_GROWTH * steps)
        reason = monitor.update(
            theta=theta,
            loss=mean_loss_in_units_of_y(objective, theta),
            alpha=float(hyper.alpha[0]),
            log_evidence=now.log_evidence,
            n_effective_parameters=float(now.gamma.sum()),
        )


def _least_fall(objective: Objective, hyper: Hyperparameters) -> float:
    """Return the fall of S in an iteration, in units of tol, below which it has ended."""
    # In nats, beta times half the variance of a row; a few rows far off do not make it large.
    by_squares = objective.loss.least_squares
    variance = objective.variance() if by_squares else irls.spread(objective) ** 2
    of_variance = 0.5 * VARIANCE * float(hyper.beta.mean()) * variance
    n_observations = objective.training.weight_sum * objective.n_outputs
    return n_observations * max(NATS_A_ROW, of_variance)


def _has_no_noise(objective: Objective, now: Estimate) -> bool:
    """Whether residuals are next to nothing: a scale found from them would follow them to zero."""
    return bool(now.next.beta.max() >= irls.most_beta(objective, now.mean_curvature))


def steps_down(
    objective: Objective,
    theta: np.ndarray,
    hyper: Hyperparameters,
    groups: np.ndarray,
    precision: Precision | None,
    *,
    n_steps: int,
    monitor: Monitor,
    mean_curvature: float = 1.0,
) -> Descent:
    """Do some steps of L-BFGS down S at fixed alpha and beta.

    Another loss than the squared error counts beta / `mean_curvature` times, see `_bayes.irls`.

    Raises
    ------
    KeyboardInterrupt
        When the monitor's interruption is set.
    """
    weights, alpha = hyper.beta / mean_curvature, hyper.alpha[groups]

    def value_and_gradient(theta):
        between = monitor.raise_if_interrupted
        value, gradient = objective.weighted_gradient(theta, weights, between)
        penalty = alpha * theta
        return value + 0.5 * float(penalty @ theta), gradient + penalty

    solve = None if precision is None else precision.solve
    with np.errstate(all="ignore"):
        return descend(value_and_gradient, theta, solve, n_steps=n_steps)


def _recentred(objective, best: Point) -> Point:
    """Move the output of a quantile so that it holds its share of leave-one-out residuals, too."""
    objective = objective.with_loss(best.loss)
    if best.free is None or len(best.free) != objective.training.n_samples:
        return best
    residuals = irls.leave_one_out_residuals(
        objective, best.theta, best.free, best.estimate.mean_curvature
    )
    return best._replace(theta=irls.recentred(objective, best.theta, residuals))


def mean_loss_in_units_of_y(objective: Objective, theta) -> float:
    """Compute the mean loss, over rows and outputs."""
    loss, samples = objective.loss, objective.training
    if loss.least_squares:
        squares = objective.output_scale**2 * objective.errors(theta)
        return float(np.mean(squares) / samples.weight_sum)
    unit = float(np.mean(objective.output_scale**loss.degree))
    return unit * float(loss.mean(samples.y, objective.predict(theta), samples.weight))


def _solution(objective, monitor, groups, best: Point, reason) -> Solution:
    theta, found = best.theta, best.estimate
    objective = objective.with_loss(best.loss)
    state = None
    if np.isfinite(found.log_evidence):
        noise = irls.noise_std(objective, theta, found.gamma)
        state = State(found.next, found.gamma, groups, objective.training.weight_sum, noise=noise)
    loss = mean_loss_in_units_of_y(objective, theta)
    theta = monitor.kept(theta, reason)
    return Solution(
        theta,
        loss,
        monitor.n_iter,
        reason,
        monitor.record,
        None,
        monitor.best_score,
        found.log_evidence,
        state,
        best.loss.parameters,
    )
