"""Alternating estimation of the weights and of the scale of a loss.

The threshold of Huber's loss and the scale of Student's t are estimated from the residuals. So each
round trains at the scale of the previous residuals, from the previous weights. A nonsmooth loss is
smoothed, ten times less in each round, until the smoothing is negligible.
"""

from collections.abc import Callable

from .._objective.objective import Objective
from .monitor import Monitor, Solution, StopReason

# Change of the scale, relative to the first scale, at which it has converged, and maximum number of
# rounds.
SETTLED, MOST_ROUNDS = 1e-6, 30

# Maximum number of iterations of each round before the last: this share of max_iter, but at least
# 20.
ROUND_SHARE, LEAST_ITERATIONS = 0.1, 20

# Factor by which the smoothing is multiplied from round to round.
NARROWER = 0.1

# Reasons after which no further round follows.
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
    """Solve in rounds, or in a single one for a loss without a scale.

    ``one_round(objective, theta, previous_solution)`` returns a Solution. With `keep_kinks` a
    nonsmooth loss is not smoothed. `monitor` counts the iterations of all rounds.
    """
    if objective.loss.with_scale is None or (keep_kinks and objective.loss.nonsmooth):
        return one_round(objective, theta, None)
    solution, narrowing = None, 1.0
    objective = objective.at_constant()
    first = max(objective.loss.parameters)
    share = max(LEAST_ITERATIONS, int(ROUND_SHARE * monitor.max_iter))
    for _ in range(MOST_ROUNDS):
        with monitor.at_most(share):
            solution = one_round(objective, theta, solution)
        theta = solution.theta
        narrowing *= NARROWER
        following = objective.with_scale(objective.predict(theta), narrowing)
        if solution.reason in ENDS or monitor.n_iter >= monitor.max_iter:
            return solution._replace(constants=objective.loss.parameters)
        scales = zip(objective.loss.parameters, following.loss.parameters, strict=True)
        change = max(abs(a - b) for a, b in scales)
        objective = following
        if change <= settled * first and solution.reason is not StopReason.MAX_ITER:
            break
    solution = one_round(objective, theta, solution)
    return solution._replace(constants=objective.loss.parameters)
