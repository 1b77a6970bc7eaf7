"""Causes: the learning rate is too large or too small."""

import math

import numpy as np

from .finding import ERROR, WARNING, _finding, _plain


def _rate_too_large(look):
    fit = look.fit
    losses = np.nan_to_num(fit.losses[-fit.n_iter :], nan=math.inf)
    if not fit.stochastic or len(losses) < 3:
        return
    recent = losses[-51:]
    rises = float(np.mean(recent[1:] > recent[:-1]))
    jump = losses[-1] / max(losses.min(), 1e-300)
    rose = losses[1:].max() > 2.0 * losses[0]
    if not (rose or jump > 1.1 or look.explained < 0.5) or look.explained > 0.99:
        return
    limit, how, trouble = math.inf, "", rose
    if fit.solver == "adam":  # momentum alone makes a loss rise, but not for so many epochs
        restless = len(recent) > 50 and rises >= 0.25
        trouble = rose or (restless and (jump > 1.5 or look.explained < 0.01))
    else:
        limit = look.stable_rate
        if fit.rate > limit:
            how = (
                f" It is above {limit:.3g}, where sgd becomes unstable here (2 / lambda of the "
                "Gauss-Newton matrix, with the momentum and batch size set)."
            )
    if how or trouble:
        what = f"the loss rose in {rises:.0%} of the last {len(recent) - 1} epochs"
        if rose:
            what = f"the loss rose from {losses[0]:.3g} to {losses.max():.3g}"
        elif rises == 0.0:
            what = (
                f"R² is {_plain(look.explained)}, the loss was once as low as {losses.min():.3g},"
            )
        rate = 0.5 * limit if how else min(0.1 * fit.rate, 0.01)
        yield _finding(
            fit,
            "learning_rate_too_large",
            ERROR,
            f"The learning rate of {fit.rate:.3g} is too large: {what} and ends at "
            f"{losses[-1]:.3g}.{how}",
            **fit.at_rate(rate),
        )


# Where sgd would be stable at this rate the loss is flat, and a larger rate is no remedy.
FLAT = 1e3


def _rate_too_small(look):
    fit = look.fit
    if not fit.stochastic or not look.unfinished:
        return
    if fit.solver == "sgd":
        limit = look.stable_rate
        if fit.rate < 0.05 * limit and limit < FLAT:
            yield _finding(
                fit,
                "learning_rate_too_small",
                WARNING,
                f"The learning rate of {fit.rate:.3g} is far below {limit:.3g}, up to which sgd "
                "is stable here (2 / lambda of the Gauss-Newton matrix, with the momentum and "
                "batch size set), and the loss was still falling.",
                **fit.at_rate(0.25 * limit),
            )
        return
    n_rows, asked = fit.y.shape[0], fit.params["batch_size"]
    updates = fit.n_iter * math.ceil(n_rows / min(200 if asked == "auto" else asked, n_rows))
    if updates >= 100 and fit.rate * updates < 0.3:
        yield _finding(
            fit,
            "learning_rate_too_small",
            WARNING,
            f"The learning rate of {fit.rate:.3g} is too small: in {updates} updates of adam no "
            f"weight moves by much more than {fit.rate * updates:.2g}, and the loss was still "
            "falling.",
            **fit.at_rate(min(10.0 * fit.rate, 0.1)),
        )
