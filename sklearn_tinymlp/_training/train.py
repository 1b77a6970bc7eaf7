"""`train`: run a solver from each start, in threads, monitored and interruptible."""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from .._activations.users_own import raise_caught
from .._data.data import Data
from .._data.hold_out import split_validation_off
from .._machine.interruption import Interruption
from .._relevance.random_features import random_features
from .._solvers.monitor import History, Monitor, Solution, StopReason
from .._solvers.solver import Options
from .callbacks import FitTasks
from .plan import Plan
from .starts import Start


class Trained(NamedTuple):
    """The solution from each start."""

    solutions: list[Solution]
    interrupted_by_user: bool


def train(
    plan: Plan,
    data: Data,
    starts: list[Start],
    tasks: FitTasks | None,
    interruption: Interruption,
    count: Callable[[int, int], None] | None = None,
) -> Trained:
    """Train from each start on data in the units of training; after Ctrl-C, return what is done.

    `count` is called with the number of each iteration, unless verbose.
    """
    train_one = partial(
        _train_from, plan, data, tasks=tasks, interruption=interruption, count=count
    )
    with interruption.catches_sigint(), plan.blas_threads():
        # Printed lines and callbacks must come from one thread.
        in_threads = not plan.settings.verbose and tasks is None
        solutions = train_all(train_one, starts, interruption, in_threads)
    ended_by_user = any(solution.reason is StopReason.INTERRUPTED for solution in solutions)
    return Trained(solutions, interruption.by_ctrl_c or ended_by_user)


def train_all(
    train: Callable[..., Solution],
    starts: Sequence[tuple],
    interruption: Interruption,
    in_threads: bool,
) -> list[Solution]:
    """Call `train(*start)` for each start; fewer solutions than starts after an interruption.

    The solutions do not depend on the number of threads, which is the same as in scikit-learn's own
    parallel code: the number of cores, or fewer with OMP_NUM_THREADS or in joblib's workers.
    """
    n_threads = 1
    if in_threads and len(starts) > 1:
        n_threads = min(len(starts), _openmp_effective_n_threads())

    def train_unless_interrupted(number) -> Solution | None:
        if number > 0 and interruption.is_set():
            return None
        solution = train(*starts[number])
        if solution.reason is StopReason.INTERRUPTED:
            interruption.set()
        return solution

    if n_threads == 1:
        solutions = [train_unless_interrupted(number) for number in range(len(starts))]
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            trainings = []
            try:
                for number in range(len(starts)):
                    trainings.append(pool.submit(train_unless_interrupted, number))
                done, _ = wait(trainings, return_when=FIRST_EXCEPTION)
                if any(training.exception() for training in done):
                    interruption.set()
            except KeyboardInterrupt:
                interruption.set()
        solutions = [training.result() for training in trainings]
    return [solution for solution in solutions if solution is not None]


def _train_from(
    plan: Plan, data: Data, theta, random_state, *, tasks, interruption, count
) -> Solution:
    settings, warm_start = plan.settings, plan.warm_start
    watcher = None if tasks is None else tasks.begin_start()
    if settings.early_stopping and plan.solver.holds_out and data.validation is None:
        fraction = settings.params["validation_fraction"]
        data = split_validation_off(data, fraction, random_state)
    objective = plan.objective(data)
    theta = theta.astype(plan.dtype).astype(plan.working_dtype)
    has_validation = objective.validation is not None
    early_stopping = settings.early_stopping and has_validation
    monitor = Monitor(
        settings.max_iter,
        History(),
        loss_tol=settings.loss_tol,
        verbose=settings.verbose,
        validate=objective.validation_scores if has_validation else None,
        early_stopping=early_stopping,
        tol=settings.tol,
        n_iter_no_change=settings.n_iter_no_change,
        interrupted=interruption,
        watcher=watcher,
        count=count,
    )
    if early_stopping and warm_start is None:
        monitor.best_theta = theta
    elif early_stopping and warm_start.stochastic_state:
        if warm_start.best_validation_score is not None:
            monitor.best_score = warm_start.best_validation_score
            progress = warm_start.stochastic_state.progress
            monitor.no_improvement = int(progress["no_improvement"][0])
    options = plan.options(random_state)
    # The explained variance of a fit is defined for squared errors only.
    if plan.by_evidence and settings.loss.least_squares and not sparse.issparse(data.X):
        draw = np.random.RandomState(random_state.randint(np.iinfo(np.int32).max))
        options = with_restarts(plan, data, options, draw)
    solution = plan.solver.solve(objective, theta, monitor, options)
    raise_caught()
    if watcher is not None and watcher.end_start(solution.theta):
        interruption.set()  # the remaining starts are skipped
    return solution


def with_restarts(plan: Plan, data: Data, options: Options, draw) -> Options:
    """Restart from random features where the network explains less than these."""
    activations = plan.settings.activations
    draw_restart = partial(random_features, plan.architecture, activations, data, draw)
    return options._replace(draw_restart=draw_restart)


def refit(plan: Plan, data: Data, theta, interruption: Interruption) -> Solution:
    """Train from one start on other rows or weights, to compare or to evaluate the results."""
    monitor = Monitor(plan.settings.max_iter, History(), interrupted=interruption)
    options = plan.options(np.random.RandomState(0))
    return plan.solver.solve(plan.objective(data), theta.astype(np.float64), monitor, options)


def rank(solution: Solution, loss_tol: float) -> tuple:
    """Return a key, larger is better: finite weights, target met, score, evidence, loss."""
    values = solution.score, solution.log_evidence, -solution.loss
    return (
        bool(np.isfinite(solution.theta).all()),
        bool(solution.loss <= loss_tol),
        *(value if np.isfinite(value) else -np.inf for value in values),
    )
