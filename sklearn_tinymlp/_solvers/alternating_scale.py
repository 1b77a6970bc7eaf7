"""Training in rounds, where a loss has a scale that the residuals tell.

The threshold of Huber's loss and the scale of Student's t belong to the residuals, which are known
once there is a network. So each round trains at the scale that the round before has left, from its
weights: for fixed weights the scale is the best one, for a fixed scale the weights are. A loss with
a kink is smoothed, ten times less in each round, until what is left of it does not show.
"""

from collections.abc import Callable

from .._objective.objective import Objective
from .monitor import Monitor, Solution, StopReason

# Of the first scale: a change that no longer counts. The minimum moves by as much of it.
SETTLED, MOST_ROUNDS = 1e-6, 30

# A round before the last one may take this share of max_iter, and so many iterations at least.
SHARE_OF_A_ROUND, LEAST_OF_A_ROUND = 0.1, 20

# Each round smooths by so much less.
NARROWER = 0.1

# What ends all rounds: asked for from outside, or all iterations done.
ENDS = (
    StopReason.LOSS_TOL,
    StopReason.VALIDATION,
    StopReason.CALLBACK,
    StopReason.INTERRUPTED,
    StopReason.MAX_FUN,
)


def alternating(
    one_round: Callable,
    objective: Objective,
    theta,
    monitor: Monitor,
    *,
    keep_kinks: bool = False,
    settled: float = SETTLED,
) -> Solution:
    """Solve in rounds; in a single one where the loss has no scale of its own.

    Parameters
    ----------
    one_round : callable
        ``one_round(objective, theta, solution_before)`` gives a Solution.
    objective : Objective
    theta : ndarray of shape (n_parameters,)
    monitor : Monitor
        Counts the iterations of all rounds.
    keep_kinks : bool, default=False
        Whether a loss whose slope jumps is trained as it is.
    settled : float, default=SETTLED
        The change of the scale, as a share of the first, that no longer counts.
    """
    if objective.loss.with_scale is None or (keep_kinks and objective.loss.nonsmooth):
        return one_round(objective, theta, None)
    limit, solution, narrowing = monitor.max_iter, None, 1.0
    objective = objective.at_constant()
    first = max(objective.loss.parameters)
    share = max(LEAST_OF_A_ROUND, int(SHARE_OF_A_ROUND * limit))
    try:
        for _ in range(MOST_ROUNDS):
            monitor.max_iter = min(limit, monitor.n_iter + share)
            solution = one_round(objective, theta, solution)
            theta = solution.theta
            narrowing *= NARROWER
            following = objective.with_scale(objective.predict(theta), narrowing)
            if solution.reason in ENDS or monitor.n_iter >= limit:
                return solution._replace(constants=objective.loss.parameters)
            change = _distance(objective.loss, following.loss)
            objective = following
            if change <= settled * first and solution.reason is not StopReason.MAX_ITER:
                break
        monitor.max_iter = limit
        solution = one_round(objective, theta, solution)
        return solution._replace(constants=objective.loss.parameters)
    finally:
        monitor.max_iter = limit


def _distance(one, other) -> float:
    return max(abs(a - b) for a, b in zip(one.parameters, other.parameters, strict=True))
