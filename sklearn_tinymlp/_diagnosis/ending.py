"""Causes: training ended too early, or in a poor minimum."""

import numpy as np

from .finding import INFO, WARNING, format_r2, make_finding
from .remedies import how_starts_ended, larger, starts_to_try
from .trial import LEAST_ROWS, STEPS_ON


def stopped_by_tol(exam):
    """Find that `tol` took a slow stretch for the end."""
    network = exam.network
    if network.stop_reason != "tol" or not exam.unfinished:
        return
    n_last, fall = exam.fall_before_tol
    change = f"fallen by {fall:.1%}"
    if fall < 0.0:
        change = f"risen by {-fall:.0%}" if -fall < 10.0 else f"grown {1.0 - fall:.3g} times"
    tol = float(f"{min(network.params['tol'] / 100.0, 1e-4 * exam.constant_loss):.0e}")
    remedy = {"tol": tol, "max_iter": 10 * int(network.params["max_iter"])}
    patience = network.params["n_iter_no_change"]
    if network.stochastic and would_end(network.losses[-network.n_iter :], tol, patience):
        remedy = {"n_iter_no_change": max(100, 10 * int(patience))}
    what = f"the loss had {change} {last_iterations(n_last, network.n_iter)}"
    what += f", and {what_more_would_gain(exam)}"
    yield make_finding(
        network,
        "stopped_by_tol",
        WARNING,
        f"tol={network.params['tol']:g} ended training too early, at {network.score_name} "
        f"{format_r2(exam.explained)}: {what}.",
        **remedy,
    )


def would_end(losses, tol, patience) -> bool:
    """Whether the stopping rule of sgd and adam would end training at these losses at the latest.

    A loss that swings ends training by the patience, whatever `tol`.
    """
    best, without = np.inf, 0
    for loss in losses:
        without = without + 1 if loss > best - tol else 0
        best = min(best, loss)
        if without > patience:
            return True
    return False


def what_more_would_gain(exam) -> str:
    """Say what a copy gains that goes on from where training ended."""
    gain, left_out = exam.further
    if not left_out > 0.0:  # NaN of few rows
        return f"{STEPS_ON} more steps, tried on a copy, lower it by {gain:.1%}"
    return f"{STEPS_ON} more steps, tried on a copy, lower it by {left_out:.1%} in rows left out"


def last_iterations(n_last, n_iter) -> str:
    """Say over which iterations something was seen."""
    if n_last >= n_iter:
        return f"in all {n_iter} iterations" if n_iter > 1 else "in the only iteration"
    return f"in the last {n_last} of {n_iter} iterations" if n_last > 1 else "in the last iteration"


def max_iter(exam):
    """Find that training was ended while it still improved."""
    network = exam.network
    if network.stop_reason not in ("max_iter", "max_fun"):
        return
    evidence = np.asarray(network.history.get("log_evidence", ()), dtype=float)
    evidence = evidence[np.isfinite(evidence)]
    n_late, fall = exam.late_fall
    name = network.stop_reason
    if len(evidence) > 1 and exam.explained <= 0.9999:
        n_late = min(10, len(evidence) - 1)
        rise = evidence[-1] - evidence[-1 - n_late]
        what = f"the log evidence rose by {rise:.3g} nats {last_iterations(n_late, network.n_iter)}"
    elif exam.unfinished:
        what = what_more_would_gain(exam)
        if fall > 0.01:
            late = last_iterations(n_late, network.n_iter)
            what = f"the loss fell by {fall:.0%} {late}, and {what}"
        what = what.replace("lower it", "lower the loss") if fall <= 0.01 else what
    else:
        return
    what += "."
    few = network.y.shape[0] < LEAST_ROWS and not network.by_evidence
    if few and 4 * network.theta.size > network.y.size:
        what += (
            f" But with {network.theta.size} weights for {network.y.size} targets more iterations "
            "may learn the noise by heart: watch a validation set too."
        )
    yield make_finding(
        network,
        "max_iter",
        WARNING,
        f"Training was still improving when {name}={network.params[name]} ended it: {what}",
        **{name: 10 * int(network.params[name])},
    )


def restarts_disagree(exam):
    """Find that the best of the starts was lucky."""
    network = exam.network
    losses = np.asarray(network.restart_losses, dtype=float)
    losses = losses[np.isfinite(losses)]
    if len(losses) < 2:
        return
    best, worst, wanted = losses.min(), losses.max(), starts_to_try(exam)
    # Half of the starts may fail; where one alone is best, a better one may still be missing.
    if worst <= 2.0 * best or not wanted or exam.explained > 0.98:
        return
    near = int(np.sum(losses <= 1.1 * best))
    yield make_finding(
        network,
        "restarts_disagree",
        WARNING if near == 1 else INFO,
        f"The {len(losses)} starts ended at losses between {best:.3g} and {worst:.3g}, {near} of "
        "them within 10% of the best: more starts may find a better one.",
        n_init=wanted,
    )


def local_minimum(exam):
    """Conclude, where nothing else is found, that this is a minimum: another start has another."""
    network = exam.network
    short = exam.missed_loss_tol or network.stop_reason == "line_search"
    if network.by_evidence and exam.missed_loss_tol and np.all(exam.pattern.shares == 0.0):
        yield make_finding(
            network,
            "local_minimum",
            WARNING,
            f"Training ended at a loss of {network.reached:.4g}, and in what is left no pattern is "
            "seen in rows left out: to the evidence it is noise, which loss_tol="
            f"{network.params['loss_tol']:g} is below.",
            loss_tol=float(f"{1.05 * network.reached:.2g}"),
        )
    elif short and exam.gain < 0.01:
        wanted = starts_to_try(exam)
        remedy = {"n_init": wanted} if wanted else {}
        remedy = remedy or {"hidden_layer_sizes": larger(network.architecture.units[1:-1])}
        sentence = (
            f"Training ended in a minimum of the loss, at {network.reached:.4g}: five "
            f"more steps, tried on a copy, lower it by only {exam.gain:.1%}."
        )
        sentences = filter(None, (sentence, how_starts_ended(exam)))
        yield make_finding(network, "local_minimum", WARNING, " ".join(sentences), **remedy)
