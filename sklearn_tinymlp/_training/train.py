"""`train`: a solver runs from each start, in threads, watched and interruptible."""

from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._activations.users_own import raise_caught
from .._data.data import Data
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._objective.objective import Objective
from .._relevance.random_features import random_features
from .._solvers.monitor import History, Monitor, Solution, StopReason
from .callbacks import FitTasks
from .long_fits import LongFit
from .plan import Plan
from .restarts import train_all
from .starts import Start


class Trained(NamedTuple):
    """How each start ended."""

    solutions: list[Solution]
    interrupted_by_user: bool


def train(
    plan: Plan,
    data: Data,
    starts: list[Start],
    tasks: FitTasks | None,
    interruption: Interruption,
) -> Trained:
    """Train from each start; after Ctrl-C the solutions are those so far.

    Parameters
    ----------
    plan : Plan
    data : Data
        In the units of training.
    starts : list of Start
    tasks : FitTasks or None
        The user's callbacks, if there are any.
    interruption : Interruption
        Ctrl-C sets it, or has set it before.
    """
    look = None if tasks is not None else LongFit().look
    train_one = partial(_train_from, plan, data, tasks, interruption, look=look)
    one_thread = single_threaded_blas if plan.on_one_thread else nullcontext
    with interruption.catches_sigint(), one_thread():
        # Neither lines of text nor callbacks are to come from several threads.
        in_threads = not plan.settings.verbose and tasks is None
        solutions = train_all(train_one, starts, interruption, in_threads)
    ended_by_user = any(solution.reason is StopReason.INTERRUPTED for solution in solutions)
    return Trained(solutions, interruption.by_ctrl_c or ended_by_user)


def _train_from(
    plan: Plan, data: Data, tasks, interruption, theta, random_state, *, look
) -> Solution:
    watcher = None if tasks is None else tasks.begin_start()
    if plan.holds_out and data.validation is None:
        fraction = plan.settings.params["validation_fraction"]
        data = data.holding_out(fraction, random_state)
    objective = plan.objective(data)
    theta = theta.astype(plan.dtype).astype(plan.working_dtype)
    monitor = _monitor(plan, objective, theta, interruption, watcher)
    monitor.look = look
    options = plan.options(random_state)
    # What a start explains, and whether a fit is doubted, is said of squared errors.
    if plan.by_evidence and plan.settings.loss.least_squares and not sparse.issparse(data.X):
        draw = np.random.RandomState(random_state.randint(np.iinfo(np.int32).max))
        second = partial(
            random_features,
            plan.architecture,
            plan.settings.activations,
            data.X,
            data.y,
            data.sample_weight,
            draw,
        )
        options = options._replace(draw_restart=second)
    solution = plan.solver.solve(objective, theta, monitor, options)
    raise_caught()
    if watcher is not None and watcher.end_start(solution.theta):
        interruption.set()  # the starts to come are left out
    return solution


def _monitor(plan: Plan, objective: Objective, theta, interruption, watcher) -> Monitor:
    settings, earlier = plan.settings, plan.earlier
    early_stopping = settings.early_stopping and objective.validation is not None
    monitor = Monitor(
        settings.max_iter,
        History(),
        loss_tol=settings.loss_tol,
        verbose=settings.verbose,
        validate=objective.validation_scores if objective.validation is not None else None,
        early_stopping=early_stopping,
        tol=settings.tol,
        n_iter_no_change=settings.n_iter_no_change,
        interrupted=interruption,
        watcher=watcher,
    )
    if early_stopping and earlier is None:
        monitor.best_theta = theta
    elif early_stopping and earlier.stochastic_state and earlier.best_validation_score is not None:
        monitor.best_score = earlier.best_validation_score
        progress = earlier.stochastic_state.progress
        monitor.no_improvement = int(progress["no_improvement"][0])
    return monitor


def rank(solution: Solution, loss_tol: float) -> tuple:
    """Larger is better: finite weights, the target met, then score, evidence and loss."""
    values = solution.score, solution.log_evidence, -solution.loss
    return (
        bool(np.isfinite(solution.theta).all()),
        bool(solution.loss <= loss_tol),
        *(value if np.isfinite(value) else -np.inf for value in values),
    )
