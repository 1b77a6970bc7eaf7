"""Causes: the learning rate is too large or too small."""

import math

import numpy as np

from .finding import ERROR, WARNING, format_r2, make_finding


def learning_rate_too_large(exam):
    """Find a loss that rose or swings, and the rate up to which it would not."""
    network = exam.network
    losses = np.nan_to_num(network.losses[-network.n_iter :], nan=math.inf, posinf=math.inf)
    if not network.stochastic or len(losses) < 1:
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
    limit, how, trouble = math.inf, "", rose
    if not network.by_one_rate:  # momentum alone makes a loss rise, but not for so many epochs
        restless = len(recent) > 50 and rises >= 0.25
        trouble = rose or (restless and (jump > 1.5 or exam.explained < 0.01))
    else:
        limit = exam.stable_rate
        if network.rate > limit:
            how = (
                f" It is above {limit:.3g}, up to which sgd is stable here, by the curvature of "
                "the loss, the momentum and the batch size."
            )
    if how or trouble:
        what = f"the loss rose in {rises:.0%} of the last {len(recent) - 1} epochs"
        if rose:
            what = f"the loss rose from {losses[0]:.3g} to {losses.max():.3g}"
        elif rises == 0.0:
            what = (
                f"{network.score_name} is {format_r2(exam.explained)}, the loss was once as low as "
                f"{losses.min():.3g},"
            )
        rate = 0.5 * limit if how else min(0.1 * network.rate, 0.01)
        yield make_finding(
            network,
            "learning_rate_too_large",
            ERROR,
            f"The learning rate of {network.rate:.3g} is too large: {what} and ends at "
            f"{losses[-1]:.3g}.{how}",
            **network.at_rate(rate),
        )


def _diverged(exam, losses):
    """Say that the loss went through the roof, even if it came back."""
    network = exam.network
    at = int(np.argmax(losses))
    peak = "was not finite" if not math.isfinite(losses[at]) else f"rose to {losses[at]:.3g}"
    start = "" if at == 0 or not math.isfinite(losses[0]) else f" from {losses[0]:.3g}"
    end = f", and ended at {losses[-1]:.3g}" if math.isfinite(losses[-1]) else ""
    limit = exam.stable_rate_at_start if network.by_one_rate else math.nan
    if limit < network.rate:
        remedy = network.at_rate(0.5 * limit)
        advice = f"It is above {limit:.3g}, up to which sgd is stable at start weights."
    elif not network.standardized and exam.far_from_standard:
        remedy = {"standardize": True}
        advice = "Inputs or targets far from zero make the steps large."
    else:
        remedy, advice = network.at_rate(min(0.1 * network.rate, 0.01)), ""
    return make_finding(
        network,
        "learning_rate_too_large",
        ERROR,
        f"Training diverged: the loss {peak}{start} in epoch {at + 1} of {len(losses)}{end}. "
        f"The learning rate of {network.rate:.3g} is too large. {advice}".rstrip(),
        **remedy,
    )


# Where sgd would be stable at this rate the loss is flat, and a larger rate is no remedy.
FLAT = 1e3


def learning_rate_too_small(exam):
    """Find a rate far below the stable one, or with adam steps that add up to little."""
    network = exam.network
    if not network.stochastic or exam.diverged or not exam.unfinished:
        return
    if network.by_one_rate:
        limit = exam.stable_rate
        if network.rate < 0.05 * limit and limit < FLAT:
            yield make_finding(
                network,
                "learning_rate_too_small",
                WARNING,
                f"The learning rate of {network.rate:.3g} is too small: sgd is stable up to "
                f"{limit:.3g} here, by the curvature of the loss, the momentum and the batch size, "
                "and the loss was still falling.",
                **network.at_rate(0.25 * limit),
            )
        return
    updates = network.n_iter * math.ceil(network.y.shape[0] / network.batch_size)
    if updates >= 100 and network.rate * updates < 0.3:
        yield make_finding(
            network,
            "learning_rate_too_small",
            WARNING,
            f"The learning rate of {network.rate:.3g} is too small: in {updates} updates of adam "
            f"no weight moves by much more than {network.rate * updates:.2g}, and the loss was "
            "still falling.",
            **network.at_rate(min(10.0 * network.rate, 0.1)),
        )
