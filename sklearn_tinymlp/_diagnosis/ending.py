"""Causes: training ended too early, in a poor minimum, or no better than the mean."""

import numpy as np

from .finding import ERROR, INFO, WARNING, format_r2, make_finding


def stopped_by_tol(exam):
    """Find that `tol` took a slow stretch for the end."""
    network = exam.network
    if network.stop_reason != "tol" or not exam.unfinished:
        return
    # A loss that swings with the momentum ends training by the patience, not by tol.
    remedy = {"n_iter_no_change": 100}
    n_last, fall = exam.fall_before_tol
    change = f"risen by {-fall:.0%}" if -fall < 10.0 else f"grown {1.0 - fall:.3g} times"
    if fall > 0.0 or not network.stochastic:
        tol = float(f"{min(network.params['tol'] / 100.0, 1e-4 * exam.constant_loss):.0e}")
        remedy = {"tol": tol, "max_iter": 10 * int(network.params["max_iter"])}
        change = f"fallen by {fall:.1%}"
    what = f"the loss had {change} {last_iterations(n_last, network.n_iter)}"
    if exam.gain >= 0.0005:  # 0.1% when rounded
        what += f", and five conjugate-gradient steps lower it by another {exam.gain:.1%}"
    yield make_finding(
        network,
        "stopped_by_tol",
        WARNING,
        f"tol={network.params['tol']:g} ended training too early, at {network.score_name} "
        f"{format_r2(exam.explained)}: {what}.",
        **remedy,
    )


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
    elif exam.unfinished and fall > 0.01:
        what = f"the loss fell by {fall:.0%} {last_iterations(n_late, network.n_iter)}"
    elif exam.unfinished:
        what = f"five conjugate-gradient steps lower the loss by another {exam.gain:.0%}"
    else:
        return
    what += "."
    if not network.by_evidence and 4 * network.theta.size > network.y.size:
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


def constant_name(loss) -> str:
    """Name the prediction that learns nothing."""
    return "the mean of y" if loss.least_squares else "the best constant"


def no_better_than_mean(exam):
    """Find that a constant would predict as well."""
    network = exam.network
    if exam.explained > 0.01:
        return
    remedy, hidden = {"n_init": 10}, network.activations[:-1]
    if not hidden:
        remedy = {"hidden_layer_sizes": (20,)}
    elif all(activation == "identity" for activation in hidden):
        remedy = {"activation": "tanh"}
    elif not network.solver.least_squares and network.loss.least_squares:
        remedy = {"solver": "lm"}
    elif not network.solver.least_squares:
        remedy = {"solver": "lbfgs", "standardize": True}
    constant = constant_name(network.loss)
    yield make_finding(
        network,
        "no_better_than_mean",
        WARNING if network.by_evidence else ERROR,
        f"The network predicts no better than {constant}: {network.score_name} is "
        f"{format_r2(exam.explained)}.",
        **remedy,
    )


def restarts_disagree(exam):
    """Find that the best of the starts was lucky."""
    network = exam.network
    losses = np.asarray(network.restart_losses, dtype=float)
    if len(losses) < 2 or np.isnan(losses).all():
        return
    best, worst = np.nanmin(losses), np.nanmax(losses)
    near = int(np.sum(losses <= 1.1 * best))
    # Half of the starts may fail; where one alone is best, a better one may still be missing.
    if worst <= 2.0 * best or near > len(losses) // 4 + 1 or exam.explained > 0.98:
        return
    yield make_finding(
        network,
        "restarts_disagree",
        WARNING if near == 1 else INFO,
        f"The {len(losses)} starts ended at losses between {best:.3g} and {worst:.3g}, {near} of "
        "them within 10% of the best: more starts may find a better one.",
        n_init=4 * len(losses),
    )


def local_minimum(exam):
    """Conclude, where nothing else is found, that this is a minimum: another start has another."""
    network = exam.network
    short = exam.missed_loss_tol or network.stop_reason == "line_search"
    if short and exam.gain < 0.01:
        remedy = {"n_init": 10}
        if network.params.get("n_init", 1) > 1:
            remedy = {"hidden_layer_sizes": tuple(2 * n for n in network.architecture.units[1:-1])}
        yield make_finding(
            network,
            "local_minimum",
            WARNING,
            f"Training ended in a minimum of the loss, at {network.reached:.4g}: five "
            f"conjugate-gradient steps lower it by only {exam.gain:.1%}.",
            **remedy,
        )
