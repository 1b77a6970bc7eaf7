"""Causes: training ended too early, or in a poor minimum."""

import numpy as np

from .finding import INFO, WARNING, format_r2, make_finding
from .remedies import (
    CONTINUED_STEPS,
    LEAST_ROWS,
    NEARBY_STEPS,
    how_starts_ended,
    larger,
    starts_to_try,
)


def stopped_by_tol(exam):
    """Find that `tol` ended training while the loss was falling slowly."""
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
    if network.solver.stochastic and would_stop(exam.run_losses, tol, patience):
        remedy = {"n_iter_no_change": max(100, 10 * int(patience))}
    sentence = (
        f"tol={network.params['tol']:g} ended training too early, at {network.score_name} "
        f"{format_r2(exam.explained)}: the loss had {change} "
        f"{last_iterations(n_last, network.n_iter)}, and {continued_gain(exam, 'it')}."
    )
    yield make_finding(network, "stopped_by_tol", WARNING, sentence, **remedy)


def would_stop(losses, tol, patience) -> bool:
    """Whether sgd or adam would stop within these losses; if they oscillate, at any `tol`."""
    best, n_no_change = np.inf, 0
    for loss in losses:
        n_no_change = n_no_change + 1 if loss > best - tol else 0
        best = min(best, loss)
        if n_no_change > patience:
            return True
    return False


def continued_gain(exam, loss) -> str:
    """Describe by how much continued training of a copy lowers `loss`."""
    gain, held_out = exam.continued
    # held_out is NaN where the rows are few
    gain = f"{held_out:.1%} on held-out rows" if held_out > 0.0 else f"{gain:.1%}"
    return f"{CONTINUED_STEPS} more steps, tried on a copy, lower {loss} by {gain}"


def last_iterations(n_last, n_iter) -> str:
    """Describe the last iterations, in words."""
    if n_last >= n_iter:
        return f"in all {n_iter} iterations" if n_iter > 1 else "in the only iteration"
    return f"in the last {n_last} of {n_iter} iterations" if n_last > 1 else "in the last iteration"


def max_iter(exam):
    """Find that training was stopped while the fit was still improving."""
    network, name = exam.network, exam.network.stop_reason
    if name not in ("max_iter", "max_fun"):
        return
    evidence = network.column("log_evidence")
    evidence = evidence[np.isfinite(evidence)]
    n_late, fall = exam.late_fall
    if len(evidence) > 1 and exam.explained <= 0.9999:
        n_late = min(10, len(evidence) - 1)
        rise = evidence[-1] - evidence[-1 - n_late]
        what = f"the log evidence rose by {rise:.3g} nats {last_iterations(n_late, network.n_iter)}"
    elif exam.unfinished and fall > 0.01:
        late = last_iterations(n_late, network.n_iter)
        what = f"the loss fell by {fall:.0%} {late}, and {continued_gain(exam, 'it')}"
    elif exam.unfinished:
        what = continued_gain(exam, "the loss")
    else:
        return
    sentence = f"Training was still improving when {name}={network.params[name]} ended it: {what}."
    few = network.y.shape[0] < LEAST_ROWS and not network.uses_evidence
    if few and 4 * network.theta.size > network.y.size:
        sentence += (
            f" But with {network.theta.size} weights for {network.y.size} targets more iterations "
            "may overfit: watch a validation set too."
        )
    remedy = {name: 10 * int(network.params[name])}
    yield make_finding(network, "max_iter", WARNING, sentence, **remedy)


def restarts_disagree(exam):
    """Find that few of the starts ended near the best."""
    losses, near = exam.network.ends_of_starts
    wanted = starts_to_try(exam)
    if len(losses) < 2 or not wanted or exam.explained > 0.98:
        return
    if np.ptp(losses) <= abs(losses.min()):  # all alike; rounding may make losses negative
        return
    sentence = (
        f"The {len(losses)} starts ended at losses between {losses.min():.3g} and "
        f"{losses.max():.3g}, {near} of them within 10% of the best: more starts may find a better "
        "one."
    )
    severity = WARNING if near == 1 else INFO
    yield make_finding(exam.network, "restarts_disagree", severity, sentence, n_init=wanted)


def local_minimum(exam):
    """Conclude, where nothing else is found, that training ended in a minimum: try other starts."""
    network, loss = exam.network, exam.network.final_loss
    if network.uses_evidence and exam.missed_loss_tol and np.all(exam.pattern == 0.0):
        sentence = (
            f"Training ended at a loss of {loss:.4g}, and the residuals show no pattern in "
            "leave-one-out validation: according to the evidence they are noise, and "
            f"loss_tol={network.params['loss_tol']:g} is below the noise level."
        )
        remedy = {"loss_tol": float(f"{1.05 * loss:.2g}")}
    elif (exam.missed_loss_tol or network.stop_reason == "line_search") and exam.gain < 0.01:
        remedy = {"n_init": starts_to_try(exam)}
        if not remedy["n_init"]:
            remedy = {"hidden_layer_sizes": larger(network.architecture.units[1:-1])}
        sentence = (
            f"Training ended in a minimum of the loss, at {loss:.4g}: {NEARBY_STEPS} more steps, "
            f"tried on a copy, lower it by only {exam.gain:.1%}. {how_starts_ended(exam)}"
        ).strip()
    else:
        return
    yield make_finding(network, "local_minimum", WARNING, sentence, **remedy)
