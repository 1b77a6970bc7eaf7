"""Stochastic gradient descent and Adam, in a compiled loop called for 20 ms at a time."""

import time

import numpy as np

from .._engine import kernels
from .._engine.compiled import rows_per_call, work_arrays
from .._engine.stochastic_state import ADAPTIVE, LOSS, RATE, STALLED, StochasticState
from .._machine.memory import aligned_copy
from .alternating_scale import alternating
from .monitor import Solution, StopReason, next_budget
from .solver import Options

# Maximum number of epochs per call; an array for their losses is allocated in advance.
EPOCHS_PER_CALL = 8192

# Relative change of the scale of a loss at which it has converged: batches alone cause as much.
SETTLED = 0.01

LEAST_RATE = 1e-6  # end of scikit-learn's adaptive schedule


class Twister:
    """The state of a RandomState, lent to a kernel; only a state of MT19937 can be `lent`."""

    def __init__(self, random_state):
        self.random_state = random_state
        self.state = random_state.get_state(legacy=False)
        self.lent = self.state["bit_generator"] == "MT19937"
        self.words = np.empty(625, np.uint32)
        if self.lent:
            self.words[:624] = self.state["state"]["key"]
            self.words[624] = self.state["state"]["pos"]

    def put_back(self):
        """Set the RandomState to its state after the draws of the kernel."""
        if self.lent:
            self.state["state"] = {"key": self.words[:624], "pos": int(self.words[624])}
            self.random_state.set_state(self.state)


def solve(
    objective, theta, monitor, *, state, random_state, batch_size, shuffle, single_epoch=False
) -> Solution:
    """Train by sgd or adam until the loss or the validation score stalls, or for `max_iter` epochs.

    `state` is changed, theta is not. `random_state` draws the order of each epoch, and is left in
    the same state as by scikit-learn. `single_epoch` does one epoch without a stopping rule
    (`partial_fit`).
    """
    theta = aligned_copy(theta)
    twister = Twister(random_state) if shuffle else None
    try:
        options = {"batch_size": batch_size, "single": single_epoch}
        reason = _train_until_it_ends(objective, theta, monitor, state, twister, **options)
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
    return monitor.solution(theta, losses[-1], reason, warning=warning, state=state)


def _train_until_it_ends(
    objective, theta, monitor, state, twister, *, batch_size, single
) -> StopReason | None:
    """Call the kernel for 20 ms at a time, and the monitor after one or more epochs."""
    compiled, options, progress = objective.compiled, state.options, state.progress
    order = np.arange(len(compiled.y))
    shuffle_in_python = twister is not None and not twister.lent
    by_single_rows = batch_size == 1 and compiled.rows.indptr is None
    if monitor.early_stopping:  # by the validation score instead of the loss
        options = options._replace(n_iter_no_change=np.inf)
    epoch_by_epoch = monitor.one_by_one or shuffle_in_python
    words = twister.words if twister is not None and twister.lent else None
    updated = theta, state.moment, state.second_moment, progress
    data = compiled.rows, compiled.y, compiled.weight, order
    batches = words, None if by_single_rows else batch_size, True if by_single_rows else None
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
            *updated, curves, compiled.network, options, *data, *batches, work, budget
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
    """Stop after a stall, or with the adaptive schedule divide the learning rate by 5."""
    options, progress = state.options, state.progress
    what = "Validation score" if reason is StopReason.VALIDATION else "Training loss"
    message = (
        f"{what} did not improve more than tol={options.tol:f} for "
        f"{options.n_iter_no_change:g} consecutive epochs."
    )
    if options.schedule != ADAPTIVE or progress["learning_rate"] <= LEAST_RATE:
        too_small = " Learning rate too small." if options.schedule == ADAPTIVE else ""
        monitor.say(f"{message}{too_small} Stopping.")
        return reason
    progress["learning_rate"] /= 5.0
    progress["no_improvement"] = monitor.no_improvement = 0
    monitor.say(f"{message} Setting learning rate to {progress['learning_rate'][0]:f}")
    return StopReason.MAX_ITER if monitor.n_iter >= monitor.max_iter else None


def run(n_moments, objective, theta, monitor, options: Options) -> Solution:
    """Train by sgd, with one moment vector, or Adam, with two, from a new or an earlier state."""
    earlier, rates = options.earlier, options.stochastic
    if earlier is None:
        state = StochasticState.initial(n_moments, rates, theta)
    elif options.single_epoch:
        state = earlier.resumed(rates)
    else:
        state = earlier.restarted(n_moments, rates, theta)
    names = "random_state", "batch_size", "shuffle", "single_epoch"
    given = {name: getattr(options, name) for name in names}

    def one_round(objective, theta, previous):
        if previous is not None:  # the losses so far had another scale
            state.progress["no_improvement"] = monitor.no_improvement = 0
            state.progress["best_loss"] = np.inf
        return solve(objective, theta, monitor, state=state, **given)

    if options.single_epoch and not objective.loss.nonsmooth:
        objective = objective.with_scale(objective.predict(theta))
        return one_round(objective, theta, None)._replace(constants=objective.loss.parameters)
    return alternating(one_round, objective, theta, monitor, keep_kinks=True, settled=SETTLED)
