"""The evidence on many rows: curvature from a sample, gradients from all, growing samples first.

Of n rows an iteration of Levenberg-Marquardt takes n P^2 multiply-adds for the Gauss-Newton matrix,
and some 3 n P for a gradient. But the matrix is a sum over rows, of which 10 P tell enough to step
by and to count the parameters that the data determine. So an iteration here is

    1.  A = n / m sum_k beta_k J_k^T J_k + diag(alpha) = L L^T    from m fresh rows,
    2.  alpha and beta re-estimated with it, as in `_bayes.evidence`, errors from all rows,
    3.  some steps of L-BFGS (scipy's) down S(theta) of all rows in the coordinates u = L^T theta,
        in which S is as good as round: its Hessian there is L^-1 A L^-T = 1.

(Curvature from a sample: Byrd, Chin, Neveitt & Nocedal, SIAM J. Optimization 21, 2011, section 2.
Coordinates: Nocedal & Wright, "Numerical optimization", 2006, section 5.1, preconditioning.) The
first iterations work on 10 P rows only, the next on four times as many, and the last on all.
"""

from typing import NamedTuple

import numpy as np
import scipy.optimize

from .._bayes import pseudo_values
from .._bayes.evidence import Hyperparameters
from .._bayes.precision import LowRankPrecision, Precision
from .._bayes.sampled import LEAST_ROWS, ROWS_A_PARAMETER, Judgement, judge
from .._engine.objective import Objective
from .._losses.loss import Loss
from .by_evidence import ENDED_BY_OTHERS, State, first_hyperparameters
from .monitor import Monitor, Solution, StopReason

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

# Done when an iteration lowers S by less than 30 tol nats a row: predictions are told apart by
# hundredths of a nat at best. With 100 fits took half the time; the test error of kin40k was 2 to
# 10% larger, that of pol 5 to 10% smaller, those of three other sets within 1%.
NATS_A_ROW = 30.0


class Point(NamedTuple):
    """Where a search stands, and what the evidence says of it."""

    theta: np.ndarray
    judged: Judgement
    loss: Loss
    free: np.ndarray | None = None  # of a loss with a scale, see `pseudo_values.free_shares`


def search(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    groups: np.ndarray,
    tol: float,
    random_state: np.random.RandomState,
    warm_up: int = 0,
) -> Solution:
    """Go from one start to a maximum of the evidence.

    Parameters
    ----------
    objective : Objective
        Of one output, or with the identity as output activation; X is dense.
    theta : ndarray of shape (n_parameters,)
        The start; not changed.
    monitor : Monitor
        Is told of each iteration.
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter.
    tol : float
        See `NATS_A_ROW`.
    random_state : RandomState
        Draws the samples.
    warm_up : int, default=0
        Steps at the first alpha and beta before they are re-estimated, where there are more than
        `FIRST_STEPS`.
    """
    n_outputs = objective.training.y.shape[1]
    hyper = first_hyperparameters(groups, n_outputs, objective.variance())
    objective = objective.at_constant()
    n_rows = objective.training.n_samples
    order = random_state.permutation(n_rows)
    reason, best, first = None, None, True
    for size in stage_sizes(n_rows, theta.size):
        rows = None if size == n_rows else np.sort(order[:size])
        stage = objective if rows is None else objective.on_rows(rows)
        try:
            if first:
                plain = LowRankPrecision.of_diagonal(np.ones(theta.size))
                n_steps = max(FIRST_STEPS, warm_up)
                stiffness = pseudo_values.stiffness_of(stage, theta)
                theta, _ = descend(
                    stage,
                    theta,
                    hyper,
                    groups,
                    plain,
                    n_steps=n_steps,
                    monitor=monitor,
                    stiffness=stiffness,
                )
        except KeyboardInterrupt:
            reason = StopReason.INTERRUPTED
            best = Point(theta, judge(stage, theta, hyper, groups, random_state), stage.loss)
            break
        steps = FIRST_STEPS if first else ENOUGH_STEPS
        best, reason = _climb(
            stage,
            theta,
            hyper,
            monitor,
            groups=groups,
            tol=tol,
            random_state=random_state,
            steps=steps,
        )
        first = False
        theta, hyper = best.theta, best.judged.next
        if reason in (*ENDED_BY_OTHERS, StopReason.VALIDATION, StopReason.MAX_ITER):
            break
    return _solution(objective, monitor, groups, _recentred(objective, best), reason)


def stage_sizes(n_rows: int, n_parameters: int) -> list[int]:
    """Give the number of rows of each stage, the last one's all."""
    sizes, size = [], max(LEAST_ROWS, ROWS_A_PARAMETER * n_parameters)
    while 2 * size < n_rows:
        sizes.append(size)
        size *= GROWTH
    return [*sizes, n_rows]


def _climb(objective, theta, hyper, monitor, *, groups, tol, random_state, steps) -> tuple:
    """Iterate on the rows of one stage until S no longer falls; give the best point and why."""
    n_samples = objective.training.weight_sum
    best, reason, done = None, None, False
    # Pseudo-values are those of a minimum: before it, their evidence may be anything. Only where a
    # scale follows the weights may the last be worse than an earlier one.
    last_is_best = not objective.loss.least_squares and objective.loss.adapted is None
    free, stiffness, without_gain = None, 1.0, 0
    while True:
        residuals = pseudo_values.left_out_residuals(objective, theta, free, stiffness)
        objective = pseudo_values.adapted(objective, theta, residuals)
        judged = judge(objective, theta, hyper, groups, random_state, residuals)
        n_determined, stiffness = float(judged.gamma.sum()), judged.stiffness
        free = pseudo_values.free_shares(
            objective, theta, judged.precision, judged.next.beta[0], n_determined
        )
        without_gain += 1
        if best is None or last_is_best or not judged.log_evidence < best.judged.log_evidence:
            best, without_gain = Point(theta, judged, objective.loss, free), 0
        if objective.loss.adapted is not None and without_gain > PATIENCE:
            return best, StopReason.EVIDENCE
        if judged.next.beta.max() >= pseudo_values.most_beta(objective):
            return best, StopReason.EVIDENCE
        if reason is not None or done:
            return best, reason or StopReason.EVIDENCE
        hyper = judged.next
        monitor.begin(theta)
        try:
            theta, fall = descend(
                objective,
                theta,
                hyper,
                groups,
                judged.precision,
                n_steps=int(steps),
                monitor=monitor,
                stiffness=judged.stiffness,
            )
        except KeyboardInterrupt:
            return best, StopReason.INTERRUPTED
        done = fall <= NATS_A_ROW * tol * n_samples and steps >= ENOUGH_STEPS
        steps = min(MOST_STEPS, STEPS_GROWTH * steps)
        reason = monitor.update(
            theta=theta,
            loss=mean_loss_in_units_of_y(objective, theta),
            alpha=float(hyper.alpha[0]),
            log_evidence=judged.log_evidence,
            n_effective_parameters=float(judged.gamma.sum()),
        )


def _recentred(objective, best: Point) -> Point:
    """Move the output of a quantile so that it holds its share of rows left out, too."""
    objective = objective.with_loss(best.loss)
    if best.free is None or len(best.free) != objective.training.n_samples:
        return best
    residuals = pseudo_values.left_out_residuals(
        objective, best.theta, best.free, best.judged.stiffness
    )
    return best._replace(theta=pseudo_values.recentred(objective, best.theta, residuals))


def loss_in_units_of_y(objective: Objective, errors) -> float:
    """Give half the mean squared error, over rows and outputs."""
    return float(np.mean(objective.output_scale**2 * errors) / objective.training.weight_sum)


def mean_loss_in_units_of_y(objective: Objective, theta) -> float:
    """Give the mean loss, over rows and outputs."""
    loss, samples = objective.loss, objective.training
    if loss.least_squares:
        return loss_in_units_of_y(objective, objective.errors(theta))
    unit = float(np.mean(objective.output_scale**loss.degree))
    return unit * float(loss.mean(samples.y, objective.predict(theta), samples.weight_or_none))


def descend(
    objective: Objective,
    theta: np.ndarray,
    hyper: Hyperparameters,
    groups: np.ndarray,
    precision: Precision,
    *,
    n_steps: int,
    monitor: Monitor,
    stiffness: float = 1.0,
) -> tuple[np.ndarray, float]:
    """Do some steps of L-BFGS down S at fixed alpha and beta; give theta and the fall of S.

    Another loss than the squared error counts beta / `stiffness` times, see `_bayes.pseudo_values`.

    With several outputs S = sum_k beta_k E_k + ... is that of one noise for all, whose k-th target
    and output weights are sqrt(beta_k / beta) times as large.

    Raises
    ------
    KeyboardInterrupt
        When the monitor's interruption is set.
    """
    beta = hyper.beta.mean()
    scaled, scale = objective.with_outputs_scaled(np.sqrt(hyper.beta / beta))
    # What the mean loss is multiplied by in S.
    weight = beta * objective.training.weight_sum * len(hyper.beta) / stiffness
    alpha = hyper.alpha[groups]

    def value_gradient(theta):
        loss, gradient = scaled.loss_gradient(scale * theta, monitor.heed_interruption)
        value = weight * loss + 0.5 * np.sum(alpha * theta * theta)
        return value, weight * scale * gradient + alpha * theta

    first, gradient = value_gradient(theta)
    # scipy's first step has length 1. In units of the gradient's length it is Newton's own.
    unit = np.linalg.norm(precision.whiten(gradient))
    if unit == 0.0 or not np.isfinite(unit):
        return theta, 0.0

    def in_units(v):
        value, gradient = value_gradient(precision.unwhiten(unit * v))
        return value / unit**2, precision.whiten(gradient) / unit

    result = scipy.optimize.minimize(
        in_units,
        precision.color(theta) / unit,
        method="L-BFGS-B",
        jac=True,
        # scipy compares the fall with 1 where the value is less.
        options={
            "maxiter": n_steps,
            "maxfun": 2 * n_steps,
            "ftol": 1e-6 * min(1.0, first / unit**2),
            "gtol": 0.0,
        },
    )
    return precision.unwhiten(unit * result.x), first - result.fun * unit**2


def _solution(objective, monitor, groups, best: Point, reason) -> Solution:
    theta, judged = best.theta, best.judged
    objective = objective.with_loss(best.loss)
    state = None
    if np.isfinite(judged.log_evidence):
        noise = pseudo_values.noise_std(objective, theta, float(judged.gamma.sum()))
        state = State(judged.next, judged.gamma, groups, objective.training.weight_sum, noise=noise)
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
        judged.log_evidence,
        state,
        best.loss.parameters,
    )
