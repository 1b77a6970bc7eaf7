"""What is said of a fit that learned nothing, or that diverged."""

import numpy as np

from .._diagnosis.examination import stable_rate_of
from .._solvers.monitor import Solution, StopReason
from .data import Data
from .plan import Plan

# A loss this close to that of the best constant is no better than it.
NO_BETTER = 0.99


def learned_nothing(plan: Plan, data: Data, solution: Solution) -> bool:
    """Whether a fit that ended well, by its own account, ended at the loss of a constant.

    Levenberg-Marquardt is believed: the evidence may find that the data are noise.
    """
    loss = plan.settings.loss
    if solution.constants is not None:
        loss = loss.remade(solution.constants)
    if plan.solver.least_squares or not (loss.least_squares or loss.own_score):
        return False
    if solution.reason is StopReason.LOSS_TOL:
        return False
    y = data.y.astype(np.float64, copy=False)
    constant = np.broadcast_to(loss.best_constant(y, data.sample_weight), y.shape)
    of_constant = float(loss.mean(y, constant, data.sample_weight))
    rounding = 1e-12 * np.abs(y).max() ** loss.degree
    return bool(solution.loss > NO_BETTER * of_constant > rounding)


def rate_advice(plan: Plan, data: Data, theta) -> str:
    """Name the stable learning rate at the start weights, after sgd has diverged."""
    settings, params = plan.settings, plan.settings.params
    if not plan.solver.has_schedule:
        return ""
    rate = settings.learning_rate_init
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            limit = stable_rate_of(
                plan.architecture,
                theta,
                settings.activations,
                settings.loss,
                (data.X, data.y, data.sample_weight),
                params=params,
                alpha=plan.alpha,
            )
    except (ValueError, np.linalg.LinAlgError):  # data so large that there is none
        return ""
    if not rate > limit:
        return ""
    by_name = params["learning_rate_init"] is not None
    name = "learning_rate_init" if by_name else "learning_rate"
    return (
        f" The learning rate of {rate:.3g} is above {limit:.3g}, where sgd becomes unstable at "
        f"the start weights. Try {name}={float(f'{0.5 * limit:.0e}')!r}."
    )
