"""The learning rate: causes, and what to try after weights that are not finite."""

import math

import numpy as np

from .finding import ERROR, WARNING, format_r2, make_finding
from .remedies import random_start

# Values of standardised data beyond this are rare; their products make the steps explode.
MOST_STANDARD = 100.0

# Root mean square of inputs or targets beyond which the steps are large.
MOST_RMS = 3.0

# If the loss is so flat that sgd is stable at this rate, a larger rate does not help.
MOST_STABLE_RATE = 1e3


def learning_rate_too_large(exam):
    """Find a loss that rose or oscillates, and the largest rate at which it would not."""
    network = exam.network
    losses = np.nan_to_num(exam.run_losses, nan=math.inf, posinf=math.inf)
    if not network.solver.stochastic:
        return
    if exam.diverged and exam.explained < 0.9:
        yield _diverged(exam, losses)
        return
    if len(losses) < 3:
        return
    recent = losses[-51:]
    rises = float(np.mean(recent[1:] > recent[:-1]))
    jump = losses[-1] / max(losses.min(), 1e-300)
    rose = losses[1:].max() > 2.0 * losses[0]
    if not (rose or jump > 1.1 or exam.explained < 0.5) or exam.explained > 0.99:
        return
    rate, how = min(0.1 * network.rate, 0.01), ""
    if network.solver.has_schedule:
        if network.rate > exam.stable_rate:
            rate = 0.5 * exam.stable_rate
            how = (
                f" It exceeds {exam.stable_rate:.3g}, the limit of stability of sgd here, given "
                "the curvature of the loss, the momentum and the batch size."
            )
        elif not rose:
            return
    else:  # momentum alone makes a loss rise, but not for so many epochs
        restless = len(recent) > 50 and rises >= 0.25
        if not (rose or restless and (jump > 1.5 or exam.explained < 0.01)):
            return
    what = f"the loss rose in {rises:.0%} of the last {len(recent) - 1} epochs"
    if rose:
        what = f"the loss rose from {losses[0]:.3g} to {losses.max():.3g}"
    elif rises == 0.0:
        r2 = f"{network.score_name} is {format_r2(exam.explained)}"
        what = f"{r2}, the loss was once as low as {losses.min():.3g},"
    sentence = (
        f"The learning rate of {network.rate:.3g} is too large: {what} and ended at "
        f"{losses[-1]:.3g}.{how}"
    )
    remedy = network.rate_remedy(rate)
    yield make_finding(network, "learning_rate_too_large", ERROR, sentence, **remedy)


def _diverged(exam, losses):
    """Describe a loss that exploded, even if it fell again."""
    network, at = exam.network, int(np.argmax(losses))
    peak = f"rose to {losses[at]:.3g}" if math.isfinite(losses[at]) else "was not finite"
    remedy, advice, limit = network.rate_remedy(min(0.1 * network.rate, 0.01)), "", math.nan
    if network.solver.has_schedule:
        theta = random_start(network.architecture, np.random.RandomState(0))
        limit = exam.replaced(theta=theta).stable_rate
    if limit < network.rate:
        remedy = network.rate_remedy(0.5 * limit)
        advice = f" It exceeds {limit:.3g}, the limit of stability of sgd at start weights."
    elif not network.standardized and max(exam.rms_of_X, math.sqrt(np.mean(exam.y**2))) > MOST_RMS:
        remedy = {"standardize": True}
        advice = " Inputs or targets far from zero make the steps large."
    sentence = (
        f"Training diverged: the loss {peak} in epoch {at + 1} of {len(losses)}, and ended at "
        f"{losses[-1]:.3g}. The learning rate of {network.rate:.3g} is too large.{advice}"
    )
    return make_finding(network, "learning_rate_too_large", ERROR, sentence, **remedy)


def learning_rate_too_small(exam):
    """Find a rate far below the stable limit, or steps of adam that add up to little."""
    network, rate = exam.network, exam.network.rate
    if not network.solver.stochastic or exam.diverged or not exam.unfinished:
        return
    updates = network.n_iter * math.ceil(network.y.shape[0] / network.batch_size)
    if network.solver.has_schedule:
        limit = exam.stable_rate
        if not (rate < 0.05 * limit and limit < MOST_STABLE_RATE):
            return
        remedy = network.rate_remedy(0.25 * limit)
        why = (
            f"sgd is stable up to {limit:.3g} here, given the curvature of the loss, the momentum "
            "and the batch size"
        )
    elif updates >= 100 and rate * updates < 0.3:
        remedy = network.rate_remedy(min(10.0 * rate, 0.1))
        why = f"in {updates} updates of adam no weight moves by much more than {rate * updates:.2g}"
    else:
        return
    sentence = (
        f"The learning rate of {rate:.3g} is too small: {why}, and the loss was still falling."
    )
    yield make_finding(network, "learning_rate_too_small", WARNING, sentence, **remedy)


def rate_advice(plan, data, theta) -> str:
    """Return what to try after weights that are not finite, from the plan and the start weights."""
    settings, params = plan.settings, plan.settings.params
    largest_X, largest_y = float(abs(data.X).max()), float(np.abs(data.y).max())
    if plan.scaling is None and max(largest_X, largest_y) > MOST_STANDARD:
        return (
            f" X has values up to {largest_X:.3g}, y up to {largest_y:.3g}. Try standardize=True."
        )
    if plan.solver.least_squares:
        return " Try other start weights: another init, random_state or coefs_init."
    if not plan.solver.stochastic:
        return " Try solver='lm'." if settings.loss.least_squares else " Try a larger alpha."
    rate, limit = settings.learning_rate_init, math.nan
    if plan.solver.has_schedule:
        from .derivatives import MOST_VALUES_IN_WARNING, LossDerivatives
        from .trained_network import TrainedNetwork

        network = TrainedNetwork(
            plan.architecture,
            theta,
            settings.activations,
            settings.loss,
            data.X,
            data.y,
            data.sample_weight,
            params=params,
            solver=plan.solver,
            penalty=plan.alpha,
        )
        try:
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                limit = LossDerivatives(network, MOST_VALUES_IN_WARNING).stable_rate
        except (ValueError, np.linalg.LinAlgError):  # data that overflow
            pass
    if not rate > limit:
        return f" Try a lower learning rate than {rate:g}, or solver='lm'."
    name = "learning_rate" if params["learning_rate_init"] is None else "learning_rate_init"
    return (
        f" The learning rate of {rate:.3g} is above {limit:.3g}, where sgd becomes unstable at "
        f"the start weights. Try {name}={float(f'{0.5 * limit:.0e}')!r}."
    )
