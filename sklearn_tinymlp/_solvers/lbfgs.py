"""L-BFGS: the iterations of scipy's L-BFGS-B in a compiled loop, called for 20 ms at a time."""

import time
from typing import NamedTuple

import numpy as np

from .._engine import kernels, limited_memory
from .._engine.compiled import NATURAL_ORDER, CompiledObjective, in_blocks, work_arrays
from .._machine.memory import aligned_copy
from .._objective.objective import Objective
from .alternating_scale import alternating
from .monitor import Monitor, Solution, StopReason, next_budget
from .solver import Options

# The fit ends when an iteration lowers the loss by less than this, relative to the loss or to 1:
# scipy's default, as in MLPRegressor. With a nonsmooth loss fits then ended up to 3e-3 away from
# the solution of the linear programme, because the loss hardly changes while the weights still do.
FTOL, NONSMOOTH_FTOL = 1e7 * 2.0**-52, 1e-14

# Maximum number of iterations per call; an array for their losses is allocated in advance.
ITERATIONS_PER_CALL = 256

# Multiply-adds of the first call, which take less than a millisecond.
FIRST_BUDGET = 2e6

_REASONS = {
    limited_memory.SMALL_GRADIENT: StopReason.GRADIENT,
    limited_memory.STANDSTILL: StopReason.TOL,
    limited_memory.MANY_EVALUATIONS: StopReason.MAX_FUN,
    limited_memory.NO_LOWER_LOSS: StopReason.LINE_SEARCH,
}


def solve(objective: Objective, theta, monitor: Monitor, *, tol, max_fun, ftol=FTOL) -> Solution:
    """Minimise by L-BFGS until the largest entry of the gradient is at most `tol`.

    `theta` is float64 and not changed; `max_fun` bounds the number of evaluations of the loss.
    """
    search = Loop.begin(objective.compiled, theta, tol=tol, ftol=ftol, max_fun=max_fun)
    try:
        reason = _iterate_until_it_ends(search, monitor)
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    theta, loss = search.latest()
    if np.isnan(loss) and monitor.n_iter == 0:  # interrupted in the first iteration
        loss = float(objective.loss_gradient(theta)[0])
    return monitor.solution(theta, loss, reason, warning=_warning(reason, monitor))


class Loop(NamedTuple):
    """Arguments of the compiled loop that stay the same from call to call."""

    objective: CompiledObjective
    rows: kernels.Rows
    theta: np.ndarray  # changed by the loop, like the next two fields
    arrays: limited_memory.LimitedMemory
    work: kernels.Work

    @classmethod
    def begin(cls, objective, theta, *, tol, ftol, max_fun) -> "Loop":
        """Allocate what the loop needs."""
        arrays = limited_memory.LimitedMemory.initial(theta.size, tol, ftol, max_fun)
        work = work_arrays(objective.network, theta.size, np.float64)
        return cls(objective, in_blocks(objective.rows), aligned_copy(theta), arrays, work)

    def go_on(self, losses, target, budget) -> int:
        """Call the loop; return the number of its iterations."""
        objective, network = self.objective, self.objective.network
        data = self.rows, objective.y, objective.weight, NATURAL_ORDER
        factors = network.loss_factor / objective.weight_sum, objective.alpha / objective.weight_sum
        updated = self.theta, self.arrays, losses, target
        return kernels.run_lbfgs(*updated, network, *data, self.work, *factors, int(budget))

    def latest(self) -> tuple[np.ndarray, float]:
        """Return the parameters after the last iteration, and their loss."""
        state = self.arrays.state
        if state[limited_memory.PHASE] == limited_memory.TRIAL:
            return self.arrays.x_before.copy(), float(state[limited_memory.LOSS_BEFORE])
        return self.theta, float(state[limited_memory.LOSS])


def _iterate_until_it_ends(search: Loop, monitor: Monitor) -> StopReason:
    state = search.arrays.state
    reason, budget = None, FIRST_BUDGET
    while reason is None:
        if monitor.watcher is not None:
            monitor.begin(search.latest()[0])
        n_left = min(monitor.max_iter - monitor.n_iter, ITERATIONS_PER_CALL)
        losses = np.empty(1 if monitor.one_by_one else n_left)
        begun = time.perf_counter()
        n_iterations = search.go_on(losses, float(monitor.loss_tol), budget)
        budget = next_budget(budget, time.perf_counter() - begun)
        if n_iterations:
            reason = monitor.update(theta=search.latest()[0], loss=losses[:n_iterations])
        elif monitor.is_interrupted():
            reason = StopReason.INTERRUPTED
        if reason is None:
            reason = _REASONS.get(state[limited_memory.EVENT])
    if reason is StopReason.LINE_SEARCH:
        if state[limited_memory.N_EVALUATIONS] > state[limited_memory.MAX_EVALUATIONS]:
            reason = StopReason.MAX_FUN
    return reason


# Status and message of scipy's L-BFGS-B.
_MESSAGES = {
    StopReason.MAX_ITER: (1, "STOP: TOTAL NO. OF ITERATIONS REACHED LIMIT"),
    StopReason.MAX_FUN: (1, "STOP: TOTAL NO. OF F,G EVALUATIONS EXCEEDS LIMIT"),
    StopReason.LINE_SEARCH: (2, "ABNORMAL: "),
}


def _warning(reason: StopReason, monitor: Monitor) -> str | None:
    """Return scikit-learn's warning for an L-BFGS that failed to converge."""
    if reason not in _MESSAGES:
        return None
    (status, message), n_iter, max_iter = _MESSAGES[reason], monitor.n_iter, monitor.max_iter
    advice = ""
    if n_iter == max_iter:
        advice = (
            f"\nIncrease the number of iterations to improve the convergence (max_iter={max_iter})."
        )
    return (
        f"lbfgs failed to converge after {n_iter} iteration(s) (status={status}):\n"
        f"{message}\n{advice}\n"
        "You might also want to scale the data as shown in:\n"
        "    https://scikit-learn.org/stable/modules/preprocessing.html"
    )


def run(objective, theta, monitor, options: Options) -> Solution:
    """Minimise the loss, alternating with the estimation of its scale."""

    def one_round(objective, theta, previous):
        ftol = NONSMOOTH_FTOL if objective.loss.nonsmooth else FTOL
        limits = {"tol": options.tol, "max_fun": options.max_fun, "ftol": ftol}
        return solve(objective, theta, monitor, **limits)

    return alternating(one_round, objective, theta, monitor)
