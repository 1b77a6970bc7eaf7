"""Causes: training ended too early, in a poor minimum, or no better than the mean."""

import numpy as np

from .finding import ERROR, INFO, WARNING, _finding, _plain


def _stopped_by_tol(look):
    fit = look.fit
    if fit.stop_reason != "tol" or not look.unfinished:
        return
    # A loss that swings with the momentum ends training by the patience, not by tol.
    remedy = {"n_iter_no_change": 100}
    rise = -look.last_fall
    moved = f"risen by {rise:.0%}" if rise < 10.0 else f"grown {1.0 + rise:.3g} times"
    if look.last_fall > 0.0 or not fit.stochastic:
        tol = float(f"{min(fit.params['tol'] / 100.0, 1e-4 * look.null):.0e}")
        remedy = {"tol": tol, "max_iter": 10 * int(fit.params["max_iter"])}
        moved = f"fallen by {look.last_fall:.1%}"
    yield _finding(
        fit,
        "stopped_by_tol",
        WARNING,
        f"tol={fit.params['tol']:g} ended training too early, after {fit.n_iter} iterations and at "
        f"R² {_plain(look.explained)}: the loss had {moved} in the last ten, and five "
        f"conjugate-gradient steps lower it by another {look.gain:.1%}.",
        **remedy,
    )


_BY_HEART = (
    " But with {} weights for {} targets more iterations may learn the noise by heart: look at a "
    "validation set, too."
)


def _max_iter(look):
    fit = look.fit
    if fit.stop_reason not in ("max_iter", "max_fun"):
        return
    evidence = np.asarray(fit.history.get("log_evidence", ()), dtype=float)
    evidence = evidence[np.isfinite(evidence)]
    n_late, fall = look.late
    if len(evidence) > 1 and look.explained <= 0.9999:
        n_late = min(10, len(evidence) - 1)
        what = f"the log evidence rose by {evidence[-1] - evidence[-1 - n_late]:.3g} nats"
    elif look.unfinished and fall > 0.01:
        what = f"the loss fell by {fall:.0%}"
    elif look.unfinished:
        what = f"five conjugate-gradient steps lower the loss by {look.gain:.0%}, and it fell"
    else:
        return
    what += f" in the last {n_late} of {fit.n_iter} iterations."
    if not fit.by_evidence and 4 * fit.theta.size > fit.y.size:
        what += _BY_HEART.format(fit.theta.size, fit.y.size)
    name = fit.stop_reason
    yield _finding(
        fit,
        "max_iter",
        WARNING,
        f"Training was still improving when {name}={fit.params[name]} ended it: {what}",
        **{name: 10 * int(fit.params[name])},
    )


def _no_better_than_mean(look):
    fit = look.fit
    if look.explained > 0.01:
        return
    remedy, hidden = {"n_init": 10}, fit.activations[:-1]
    if not hidden:
        remedy = {"hidden_layer_sizes": (20,)}
    elif all(activation == "identity" for activation in hidden):
        remedy = {"activation": "tanh"}
    elif fit.solver != "lm" and fit.loss == "squared_error":
        remedy = {"solver": "lm"}
    elif fit.solver != "lm":
        remedy = {"solver": "lbfgs", "standardize": True}
    yield _finding(
        fit,
        "no_better_than_mean",
        WARNING if fit.by_evidence else ERROR,
        f"The network predicts no better than the mean of y: R² is {_plain(look.explained)}.",
        **remedy,
    )


def _restarts_disagree(look):
    fit = look.fit
    losses = np.asarray(fit.restart_losses, dtype=float)
    if len(losses) < 2 or np.isnan(losses).all():
        return
    best, worst = np.nanmin(losses), np.nanmax(losses)
    near = int(np.sum(losses <= 1.1 * best))
    # Half of the starts may fail; where one alone is best, a better one may still be missing.
    if worst <= 2.0 * best or near > len(losses) // 4 + 1 or look.explained > 0.98:
        return
    yield _finding(
        fit,
        "restarts_disagree",
        WARNING if near == 1 else INFO,
        f"The {len(losses)} starts ended at losses between {best:.3g} and {worst:.3g}, {near} of "
        "them within 10% of the best: more starts may find a better one.",
        n_init=4 * len(losses),
    )


def _local_minimum(look):
    """Where nothing else is found, the loss has a minimum here: another start has another."""
    fit = look.fit
    short = look.missed or look.fit.stop_reason == "line_search"
    if short and look.gain < 0.01:
        more = (
            {"n_init": 10}
            if fit.params.get("n_init", 1) == 1
            else {"hidden_layer_sizes": tuple(2 * n for n in fit.architecture.units[1:-1])}
        )
        yield _finding(
            fit,
            "local_minimum",
            WARNING,
            f"Training ended in a minimum of the loss, at {fit.reached:.4g}: five "
            f"conjugate-gradient steps lower it by {look.gain:.1%} only.",
            **more,
        )
