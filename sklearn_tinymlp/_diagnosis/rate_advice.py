"""What to try after training ended in weights that are not finite."""

import numpy as np

from .._data.data import Data
from .._training.plan import Plan

# Standardised values beyond this are rare.
LARGE = 100.0


def rate_advice(plan: Plan, data: Data, theta) -> str:
    """Say what to try after training ended in numbers that are not finite.

    After sgd it is half the rate up to which that is stable at the start weights.
    """
    settings, params = plan.settings, plan.settings.params
    if plan.scaling is None and _far_from_standard(data):
        return (
            f" X has values up to {abs(data.X).max():.3g}, y up to {np.abs(data.y).max():.3g}. "
            "Try standardize=True."
        )
    if plan.solver.stochastic and not plan.solver.has_schedule:
        return f" Try a lower learning rate than {settings.learning_rate_init:g}, or solver='lm'."
    if not plan.solver.has_schedule:
        return " Try solver='lm'." if settings.loss.least_squares else " Try a larger alpha."
    rate = settings.learning_rate_init
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            from .examination import stable_rate_of

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
        limit = np.nan
    if not rate > limit:
        return f" Try a lower learning rate than {rate:g}, or solver='lm'."
    by_name = params["learning_rate_init"] is not None
    name = "learning_rate_init" if by_name else "learning_rate"
    return (
        f" The learning rate of {rate:.3g} is above {limit:.3g}, where sgd becomes unstable at "
        f"the start weights. Try {name}={float(f'{0.5 * limit:.0e}')!r}."
    )


def _far_from_standard(data: Data) -> bool:
    """Whether values are so large that their squares or products may overflow, or steps explode."""
    largest = max(float(abs(data.X).max()), float(np.abs(data.y).max()))
    return largest > LARGE
