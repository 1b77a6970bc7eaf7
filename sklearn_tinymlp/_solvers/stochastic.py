"""Stochastic gradient descent and Adam: gives the compiled loop a slice of time a call."""

import time

import numpy as np

from .._engine import kernels
from .._engine.compiled import rows_per_call, work_arrays
from .._engine.stochastic_state import ADAPTIVE, LOSS, RATE, STALLED, StochasticState
from .._machine.memory import aligned_copy
from .._objective.objective import Objective
from .alternating_scale import alternating
from .monitor import Monitor, Solution, StopReason, next_budget
from .solver import Options

# Rows of the table that a call writes its epochs to; a call that fills it is followed by another.
EPOCHS_PER_CALL = 8192

SETTLED = 0.01  # the scale of a loss: the batches alone change it by as much

LEAST_RATE = 1e-6  # where scikit-learn's adaptive schedule ends


class Twister:
    """The state of a RandomState lent to a kernel, put back when the block ends.

    A RandomState over another bit generator than MT19937 cannot be lent: `lent` is then False.
    """

    def __init__(self, random_state):
        self.random_state = random_state
        self.state = random_state.get_state(legacy=False)
        self.lent = self.state["bit_generator"] == "MT19937"
        self.words = np.empty(625, np.uint32)
        if self.lent:
            self.words[:624] = self.state["state"]["key"]
            self.words[624] = self.state["state"]["pos"]

    def put_back(self):
        """Let the RandomState go on from where the kernel's draws ended."""
        if self.lent:
            self.state["state"] = {"key": self.words[:624], "pos": int(self.words[624])}
            self.random_state.set_state(self.state)


def solve(
    objective: Objective,
    theta: np.ndarray,
    monitor: Monitor,
    *,
    state: StochasticState,
    random_state: np.random.RandomState,
    batch_size: int,
    shuffle: bool,
    single_epoch: bool = False,
) -> Solution:
    """Train by sgd or adam until the loss or the validation score stalls, or `max_iter` epochs.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
        The start; not changed.
    monitor : Monitor
    state : StochasticState
        Where the optimizer stands; changed.
    random_state : RandomState
        Draws the order of each epoch; afterwards it stands where scikit-learn's would.
    batch_size : int
        Rows of a minibatch.
    shuffle : bool
        Whether each epoch draws a new order of the samples.
    single_epoch : bool, default=False
        Do one epoch whatever the stopping rule says (`partial_fit`).

    Returns
    -------
    Solution
        With early stopping `theta` is that of the best validation score.
    """
    theta = aligned_copy(theta)
    twister = Twister(random_state) if shuffle else None
    try:
        reason = _train_until_it_ends(
            objective, theta, monitor, state, twister, batch_size=batch_size, single=single_epoch
        )
        if single_epoch and reason is not StopReason.INTERRUPTED:
            reason = None
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    finally:
        if shuffle:
            twister.put_back()
    progress, losses = state.progress, monitor.record.columns.get("loss", [np.nan])
    if reason is StopReason.INTERRUPTED:
        progress["row"] = 0
    warning = None
    if reason is StopReason.MAX_ITER:
        warning = (
            f"Stochastic Optimizer: Maximum iterations ({monitor.max_iter}) reached and the "
            "optimization hasn't converged yet."
        )
    if monitor.early_stopping:
        progress["no_improvement"] = monitor.no_improvement
        if monitor.best_theta is not None and reason is not StopReason.LOSS_TOL:
            theta = monitor.best_theta
    return Solution(
        theta,
        losses[-1],
        monitor.n_iter,
        reason,
        monitor.record,
        warning,
        monitor.best_score,
        state=state,
    )


def _train_until_it_ends(
    objective, theta, monitor, state, twister, *, batch_size, single
) -> StopReason | None:
    """Call the kernel for some 20 ms at a time, and the monitor after each epoch or many."""
    compiled, options, progress = objective.compiled, state.options, state.progress
    order = np.arange(len(compiled.y))
    shuffle_in_python = twister is not None and not twister.lent
    by_single_rows = batch_size == 1 and compiled.rows.indptr is None
    if monitor.early_stopping:  # the validation score decides, not the loss
        options = options._replace(n_iter_no_change=np.inf)
    epoch_by_epoch = monitor.one_by_one or shuffle_in_python
    work = work_arrays(compiled.network, theta.size, theta.dtype)
    max_iter = 1 if single else monitor.max_iter
    reason, budget = None, rows_per_call(theta.size)
    while monitor.n_iter < max_iter and reason is None:
        monitor.begin(theta)
        if shuffle_in_python and progress["row"][0] == 0:
            twister.random_state.shuffle(order)
        n_epochs = 1 if epoch_by_epoch else min(max_iter - monitor.n_iter, EPOCHS_PER_CALL)
        curves = np.empty((n_epochs, 2))
        progress["epoch"] = 0
        begun = time.perf_counter()
        kernels.run_epochs(
            theta,
            state.moment,
            state.second_moment,
            progress,
            curves,
            compiled.network,
            options,
            compiled.rows,
            compiled.y,
            compiled.weight,
            order,
            twister.words if twister is not None and twister.lent else None,
            None if by_single_rows else batch_size,
            True if by_single_rows else None,
            work,
            budget,
        )
        budget = next_budget(budget, time.perf_counter() - begun)
        done = curves[: progress["epoch"][0]]
        if len(done) == 0:  # still within an epoch
            reason = StopReason.INTERRUPTED if monitor.is_interrupted() else None
            continue
        reason = monitor.update(theta=theta, loss=done[:, LOSS], learning_rate=done[:, RATE])
        if reason in (None, StopReason.MAX_ITER) and progress["event"] == STALLED:
            reason = StopReason.TOL
        if reason in (StopReason.TOL, StopReason.VALIDATION):
            reason = _stop_or_cut_rate(reason, monitor, state)
    return reason


def _stop_or_cut_rate(reason, monitor, state) -> StopReason | None:
    """Stop after a stall, or with the adaptive schedule go on at a fifth of the learning rate."""
    options, progress = state.options, state.progress
    what = "Validation score" if reason is StopReason.VALIDATION else "Training loss"
    message = (
        f"{what} did not improve more than tol={options.tol:f} for "
        f"{options.n_iter_no_change:g} consecutive epochs."
    )
    if options.schedule != ADAPTIVE:
        monitor.say(f"{message} Stopping.")
        return reason
    if progress["learning_rate"] <= LEAST_RATE:
        monitor.say(f"{message} Learning rate too small. Stopping.")
        return reason
    progress["learning_rate"] /= 5.0
    progress["no_improvement"] = monitor.no_improvement = 0
    monitor.say(f"{message} Setting learning rate to {progress['learning_rate'][0]:f}")
    return StopReason.MAX_ITER if monitor.n_iter >= monitor.max_iter else None


def runner(n_moments):
    """Return the function `run` of sgd, with one moment vector, or of Adam, with two."""

    def run(objective, theta, monitor, options: Options) -> Solution:
        """Begin with a fresh state, or go on from an earlier one."""
        earlier, rates = options.earlier, options.stochastic
        if earlier is None:
            state = StochasticState.initial(n_moments, rates, theta)
        elif options.single_epoch:
            state = earlier.resumed(rates)
        else:
            state = earlier.restarted(n_moments, rates, theta)

        def one_round(objective, theta, before):
            if before is not None:  # what counted as no improvement had another scale
                state.progress["no_improvement"] = monitor.no_improvement = 0
                state.progress["best_loss"] = np.inf
            return solve(
                objective,
                theta,
                monitor,
                state=state,
                random_state=options.random_state,
                batch_size=options.batch_size,
                shuffle=options.shuffle,
                single_epoch=options.single_epoch,
            )

        if options.single_epoch and not objective.loss.nonsmooth:
            objective = objective.with_scale(objective.predict(theta))
            return one_round(objective, theta, None)._replace(constants=objective.loss.parameters)
        return alternating(one_round, objective, theta, monitor, keep_kinks=True, settled=SETTLED)

    return run
