"""L-BFGS: scipy's solver behind the interface of the others."""

import numpy as np
import scipy.optimize
from sklearn.utils.fixes import parse_version

from .._engine.objective import Objective
from .monitor import Monitor, Solution, StopReason
from .rounds import in_rounds
from .solver import Options, Solver

# scipy 1.15 deprecated the option `iprint`; before it, silence had to be asked for.
_SILENT = {} if parse_version(scipy.__version__) >= parse_version("1.15") else {"iprint": -1}

# Reasons of the monitor that end the solver; max_iter is left to scipy, which says why it stops.
ENDS = (
    StopReason.LOSS_TOL,
    StopReason.VALIDATION,
    StopReason.CALLBACK,
    StopReason.INTERRUPTED,
)

# Beside a kink the loss hardly changes where the weights still do: scipy's own ftol of 2e-9 ended
# up to 3e-3 away from the linear programme's solution.
KINKED_FTOL = 1e-14


def solve(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    tol: float,
    max_fun: int,
    ftol: float | None = None,
) -> Solution:
    """Minimise by L-BFGS-B until the largest entry of the gradient is at most `tol`.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
        The start, float64; not changed.
    monitor : Monitor
    tol : float
        Bound on the largest entry of the gradient.
    max_fun : int
        Bound on the number of times the loss is computed.
    ftol : float, default=None
        Relative fall of the loss at which it is done; None for scipy's own.

    Returns
    -------
    Solution
        With early stopping `theta` is that of the best validation score.
    """
    reason = None
    latest = theta, np.nan

    def after_iteration(intermediate_result):
        nonlocal reason, latest
        x, loss = intermediate_result.x, float(intermediate_result.fun)
        latest = x.copy(), loss
        reason = monitor.update(theta=x, loss=loss)
        if reason in ENDS:
            raise StopIteration

    def loss_gradient(x):
        if monitor.watcher is not None:
            monitor.begin(latest[0])  # scipy tells of an iteration's end only
        return objective.loss_gradient(x, monitor.heed_interruption)

    done = monitor.n_iter  # in earlier rounds
    n_left = monitor.max_iter - done
    options = {"maxfun": max_fun, "maxiter": n_left, "gtol": tol, **_SILENT}
    if ftol is not None:
        options["ftol"] = ftol
    try:
        result = scipy.optimize.minimize(
            loss_gradient,
            theta,
            method="L-BFGS-B",
            jac=True,
            callback=after_iteration,
            options=options,
        )
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    if reason in ENDS:
        theta, loss = latest
        if np.isnan(loss) and monitor.n_iter == 0:  # interrupted in the first iteration
            loss = float(objective.loss_gradient(theta)[0])
        n_iter, warning = monitor.n_iter, None
    else:
        theta, loss = result.x, float(result.fun)
        n_iter = done + min(result.nit, n_left)
        reason = _explain(result, n_left)
        if reason is StopReason.LINE_SEARCH:
            # scipy goes back to the last x, but not always to its loss: it may give NaN or zero.
            loss = float(objective.loss_gradient(theta)[0])
        warning = _warning(result, n_iter, monitor.max_iter)
    theta = monitor.kept(theta, reason)
    return Solution(theta, loss, n_iter, reason, monitor.record, warning, monitor.best_score)


def _explain(result, max_iter) -> StopReason:
    """Read scipy's status: 0 converged, 1 a limit was met, 2 the line search failed."""
    if result.status == 0:
        by_gradient = "GRADIENT" in str(result.message).upper()
        return StopReason.GRADIENT if by_gradient else StopReason.TOL
    if result.status == 1:
        return StopReason.MAX_ITER if result.nit >= max_iter else StopReason.MAX_FUN
    return StopReason.LINE_SEARCH


def _warning(result, n_iter, max_iter) -> str | None:
    """Word a failure as scikit-learn does for all its uses of L-BFGS."""
    if result.status == 0:
        return None
    advice = ""
    if n_iter == max_iter:
        advice = (
            f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
        )
    return (
        f"lbfgs failed to converge after {n_iter} iteration(s) (status={result.status}):\n"
        f"{result.message}\n{advice}\n"
        "You might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )


def run(objective, theta, monitor, options: Options) -> Solution:
    """Call `solve` with what concerns it."""

    def one_round(objective, theta, before):
        ftol = KINKED_FTOL if objective.loss.kinked else None
        limits = {"tol": options.tol, "max_fun": options.max_fun, "ftol": ftol}
        return solve(objective, theta, monitor, **limits)

    return in_rounds(one_round, objective, theta, monitor)


# Without a validation set of the user's own it does not stop early: as MLPRegressor's.
LBFGS = Solver("lbfgs", run, holds_out=False)
