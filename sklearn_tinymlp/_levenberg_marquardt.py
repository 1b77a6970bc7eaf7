"""Levenberg-Marquardt with the evidence: damped Gauss-Newton steps, accepted or rejected.

A step solves

    (A + mu I) step = -g,    A = sum_k beta_k J_k^T J_k + diag(alpha),
                             g = sum_k beta_k J_k^T r_k + alpha theta

for S(theta) of `_evidence`. It is accepted when S falls, and mu follows the ratio of the actual to
the predicted fall by Nielsen's rule ("Damping parameter in Marquardt's method", 1999, eq. 2.5),
which needs fewer factorisations than factors of ten. Between accepted steps the evidence
re-estimates alpha and beta.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from ._evidence import Evidence, GaussNewton, Hyperparameters, evidence, hessian
from ._objective import Objective
from ._training import Monitor, Record, Solution, StopReason

# mu is counted in units of the mean diagonal of A, so that it means the same after beta has grown
# by orders of magnitude. 1e-2 begins close to Gauss-Newton; where mu reaches 1e12 a step is lost in
# rounding; below 1e-12 it adds nothing to a positive definite A.
FIRST_DAMPING, MOST_DAMPING, LEAST_DAMPING = 1e-2, 1e12, 1e-12

# The evidence has converged when its best value rose by less than 10,000 tol nats, at the default
# odds of 2.7 to 1, in the last REST iterations. A bound on nats means the same for any number of
# samples: the rule before, 3e-4 nats a sample in each of three steps, ended 9,000 rows tens of
# nats too early. And a bound on the change of each step is not met where the evidence swings about
# its maximum or falls beyond it, as it often does. Resting for 10 iterations made the test errors
# of two UCI sets 3 to 11% larger; 30 made none 3% smaller and took a quarter longer.
REST, NATS = 20, 1e4

# At max_iter a rise of less than 100 tol nats a sample in as many iterations is called converged
# too: predictions are told apart by hundredths of a nat at best.
NATS_A_SAMPLE = 100.0

# Data without noise have no finite best beta, and the evidence rises for ever. A fit whose squared
# residuals are this small against the targets has nothing left to find at max_iter.
EXACT = 1e-8

# On standardised data: weights of size 10, noise of a tenth of the target's spread. Of the pairs
# tried (1 and 1, 0.1 and 10, 0.01 and 100) this one left the fewest starts in a poor minimum.
FIRST_ALPHA, FIRST_BETA = 0.01, 100.0

# Below this a second beginning costs little, and the first one's trap is common.
WARM_UP, FEW_SAMPLES = 20, 200


class State(NamedTuple):
    """What the evidence says of a solution."""

    hyper: Hyperparameters
    evidence: Evidence
    n_samples: float


class Step(NamedTuple):
    """An accepted step, or where no step lowers S, the place it stands at and no fall."""

    theta: np.ndarray
    fall: float  # of S
    value: float  # S before the step
    gradient_norm: float  # largest entry of g before the step


@dataclass
class Damping:
    """Nielsen's rule for mu, in units of the mean diagonal of A."""

    mu: float = FIRST_DAMPING
    growth: float = 2.0

    def accept(self, ratio: float) -> None:
        """Shrink by up to a third, or grow up to twofold, by the ratio of actual to predicted."""
        self.mu *= max(1.0 / 3.0, 1.0 - (2.0 * ratio - 1.0) ** 3)
        self.mu, self.growth = max(self.mu, LEAST_DAMPING), 2.0

    def reject(self) -> None:
        """Grow, faster each time."""
        self.mu *= self.growth
        self.growth *= 2.0


def descend(
    objective: Objective,
    theta: np.ndarray,
    picture: GaussNewton,
    hyper: Hyperparameters,
    groups: np.ndarray,
    damping: Damping,
) -> Step:
    """Raise the damping until a step lowers S; `damping` is left for the next step."""
    alpha = hyper.alpha[groups]
    A = hessian(picture, hyper, groups)
    gradient = hyper.beta @ picture.gradients + alpha * theta
    value = hyper.beta @ picture.errors + 0.5 * alpha @ theta**2
    norm = float(np.abs(gradient).max())
    diagonal = np.diag_indices(theta.size)
    scale = np.trace(A) / theta.size
    while damping.mu <= MOST_DAMPING:
        mu = damping.mu * scale
        damped = A.copy(order="F")
        damped[diagonal] += mu
        factor, failed = lapack.dpotrf(damped, lower=1, overwrite_a=1)
        if not failed:
            step, _ = lapack.dpotrs(factor, -gradient, lower=1)
            trial = theta + step
            fall = value - (hyper.beta @ objective.errors(trial) + 0.5 * alpha @ trial**2)
            if fall > 0.0:
                # Predicted: -g step - 1/2 step A step, where A step = -g - mu step.
                damping.accept(fall / (0.5 * (mu * step @ step - gradient @ step)))
                return Step(trial, float(fall), value, norm)
        damping.reject()
    damping.mu, damping.growth = FIRST_DAMPING, 2.0
    return Step(theta, 0.0, value, norm)


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

    Returns
    -------
    Solution
        With `estimate` the state is the `State` of the best evidence.
    """
    n_samples = objective.training.weight_sum
    spread = objective.spread()
    picture = objective.gauss_newton(theta)
    loss = objective.loss(theta, picture.errors)
    damping = Damping()
    reason, best, peaks = None, None, deque(maxlen=REST + 1)
    try:
        while reason is None:
            step = descend(objective, theta, picture, hyper, groups, damping)
            stuck = step.fall == 0.0
            if not stuck:
                theta = step.theta
                picture = objective.gauss_newton(theta)
                loss = objective.loss(theta, picture.errors)
            row = {"gradient_norm": step.gradient_norm, "damping": damping.mu}
            if not estimate:
                reason = monitor.update(theta=theta, loss=loss, **row)
                settled = stuck or step.fall <= 1e-4 * tol * abs(step.value)
                if settled and reason in (None, StopReason.MAX_ITER):
                    reason = StopReason.TOL
                continue

            found = None
            if monitor.n_iter >= warm_up or stuck:
                found = evidence(theta, picture, hyper, groups, n_samples)
            row["log_evidence"] = found.log_evidence if found else np.nan
            row["n_effective_parameters"] = found.gamma.sum() if found else np.nan
            reason = monitor.update(theta=theta, loss=loss, **row)
            if found is None:
                if stuck:  # A is singular to rounding, and no step helps
                    reason = reason or StopReason.TOL
                continue
            if best is None or found.log_evidence > best[1].evidence.log_evidence:
                best = theta, State(hyper, found, n_samples), loss
            peaks.append(best[1].evidence.log_evidence)
            if len(peaks) > REST and reason in (None, StopReason.MAX_ITER):
                rest = NATS if reason is None else max(NATS, NATS_A_SAMPLE * n_samples)
                if peaks[-1] - peaks[0] <= tol * rest:
                    reason = StopReason.EVIDENCE
            hyper = found.next
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    posterior = None
    if best is not None:
        theta, posterior, loss = best
        if reason is StopReason.MAX_ITER and (picture.errors <= EXACT * spread).all():
            reason = StopReason.EXACT
    if monitor.early_stopping and monitor.best_theta is not None:
        theta = monitor.best_theta
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
        posterior,
    )


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


def solve_by_evidence(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    groups: np.ndarray,
    tol: float,
) -> Solution:
    """Find the network of the greatest evidence from one start.

    Re-estimating alpha and beta from the first step can end where all is noise (three points, one
    start in two); `WARM_UP` steps at the first alpha and beta never do, but overfit noisy data.
    The evidence tells such ends apart, so on few samples, or where the first fit has ended with
    next to no effective parameters, both are tried and the better evidence is kept.
    """
    n_outputs = objective.training.y.shape[1]
    hyper = Hyperparameters(np.full(groups.max() + 1, FIRST_ALPHA), np.full(n_outputs, FIRST_BETA))
    options = {"groups": groups, "hyper": hyper, "tol": tol, "estimate": True}
    second = replace(monitor, record=Record())
    solution = solve(objective, theta, monitor, **options)
    if solution.reason in (StopReason.INTERRUPTED, StopReason.LOSS_TOL):
        return solution
    few = objective.training.weight_sum <= FEW_SAMPLES
    if few or _log_evidence(solution) == -np.inf or solution.state.evidence.gamma.sum() < 2.0:
        other = solve(objective, theta, second, warm_up=WARM_UP, **options)
        if _log_evidence(other) > _log_evidence(solution):
            return other
    return solution


def _log_evidence(solution) -> float:
    return -np.inf if solution.state is None else solution.state.evidence.log_evidence
