"""Calibrated posterior of a fit: by leave-one-out residuals, and by refits without some rows.

Linearised leave-one-out residuals are too optimistic where the network has few residuals for each
parameter that they determine, where inputs were selected with the help of all rows, and where rows
form groups. In these cases the network is refitted on part of the rows, or of the groups, and its
predictions are compared with the other rows.
"""

from typing import NamedTuple

import numpy as np

from .._activations.users_own import raise_caught
from .._bayes.conformal import LEAST_ROWS, ConformalScores
from .._bayes.laplace import Posterior
from .._data.data import Data
from .._data.hold_out import hold_out_splits
from .._machine.interruption import Interruption
from .._solvers.monitor import Solution
from .input_selection import relevance_report, revised
from .plan import Plan
from .posterior import curvature_sample, has_interval, laplace_posterior
from .starts import NO_USER_START, Start, draw
from .train import refit

# Rows times parameters squared above which the posterior is omitted after Ctrl-C, because it would
# take longer than a tenth of a second.
WORK_AFTER_CTRL_C = 5e8

# Number of effective parameters per residual above which a network is refitted: above it, intervals
# from linearised leave-one-out residuals are too narrow (pendulum: they contained 73%). With inputs
# selected among as many inputs as rows, 100 to 200, intervals of 90% contained 60 to 72%.
MOST_DETERMINED, MOST_DETERMINED_SELECTED = 1 / 3, 0.15


class BeforeSelection(NamedTuple):
    """A plan, and its data in the units of training, before pilot networks revise it."""

    plan: Plan
    data: Data

    def selected_on(self, rows, interruption) -> tuple[Plan, Data, Start]:
        """Select inputs on some rows; return the revised plan, data with these, and a start."""
        random_state, some = np.random.RandomState(0), self.data.on_rows(rows)
        report = relevance_report(self.plan, some, random_state, interruption, least_rows=0)
        plan = revised(self.plan, some, report, random_state)
        start = draw(plan, NO_USER_START, random_state)[0]
        return plan, self.data.on_inputs(plan.inputs), start


def posterior_of(
    plan: Plan,
    data: Data,
    start: Start,
    solution: Solution,
    interrupted: bool,
    before: BeforeSelection | None,
) -> Posterior | None:
    """Return the calibrated posterior of a solution, or None if it has no posterior.

    `interrupted` is whether the user ended the training; long computations are then omitted.
    Without `before` there are no refits. Another Ctrl-C raises KeyboardInterrupt.
    """
    n_parameters, loss = plan.architecture.n_parameters, plan.settings.loss
    quick = len(data.y) * n_parameters**2 <= WORK_AFTER_CTRL_C
    # With early stopping the weights do not have the greatest evidence.
    if plan.settings.early_stopping or (interrupted and not quick) or not has_interval(loss):
        return None
    if not plan.by_evidence or solution.log_evidence == -np.inf or solution.state is None:
        return None
    interruption = Interruption()  # independent of a Ctrl-C that has ended the training
    with interruption.catches_sigint(), plan.blas_threads():
        posterior = _calibrated(plan, data, solution, interruption.raise_if_set)
        if before is not None and not interrupted and _needs_refits(plan, solution, data):
            noise_std = np.mean(solution.state.noise_std)
            scale = _scale_by_refits(plan, data, start, before, noise_std, interruption)
            posterior = posterior.at_least_as_wide(scale)
    interruption.raise_if_set()  # Ctrl-C may come after the last block
    raise_caught()
    return posterior


def _calibrated(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """Calibrate by leave-one-out residuals; `between` is called for each block of rows."""
    posterior = laplace_posterior(plan, data, solution, between)
    if solution.state.noise is not None:
        return posterior  # this noise already has the width of the residuals
    sample = curvature_sample(plan, data)
    X, weight = sample.X.astype(np.float64, copy=False), sample.sample_weight
    return posterior.calibrated(plan.network, X, sample.y, weight, between, sample.noise)


def _needs_refits(plan: Plan, solution: Solution, data: Data) -> bool:
    """Whether there are few residuals for each effective parameter, but enough for a quantile."""
    if solution.state.noise is not None or len(data.y) < LEAST_ROWS:
        return False
    if data.groups is not None:  # a leave-one-out residual has other rows of its group
        return True
    most = MOST_DETERMINED if plan.inputs is None else MOST_DETERMINED_SELECTED
    n_residuals = solution.state.n_samples * data.y.shape[1]
    return float(solution.state.gamma.sum()) > most * n_residuals


def _scale_by_refits(
    plan: Plan, data: Data, start: Start, before: BeforeSelection, noise_std, interruption
) -> np.ndarray | float:
    """Return the factor by which held-out rows scale the standard deviations; 1 if a refit fails.

    Splits are added until there are enough rows for a quantile. Selected inputs are selected again
    in each split, because among many inputs some fit any rows by chance. A refit may then, also by
    chance, estimate almost no noise, so that distances are in units of `noise_std`, the noise of
    the network.
    """
    selected = plan.inputs is not None
    enough = LEAST_ROWS * (2 if selected else 1) if data.groups is None else np.inf
    scores, weights, n_held_out = [], [], 0
    for rows, held_out in hold_out_splits(len(data.y), np.random.RandomState(0), data.groups):
        if selected:
            plan, data, start = before.selected_on(rows, interruption)
        training, rest = data.on_rows(rows), data.on_rows(held_out)
        refitted = refit(plan, training, start.theta, interruption)
        interruption.raise_if_set()
        if refitted.state is None:
            return 1.0
        posterior = laplace_posterior(plan, training, refitted, interruption.raise_if_set)
        X = rest.X.astype(np.float64, copy=False)
        z = posterior.distances(plan.network, X, rest.y, rest.noise)
        if selected:
            z = z * (float(np.mean(refitted.state.noise_std)) / noise_std)
        weight = rest.sample_weight
        scores.append(z)
        weights.append(np.ones(len(held_out)) if weight is None else weight)
        n_held_out += len(held_out)
        if n_held_out >= enough:
            break
    return ConformalScores.of(np.concatenate(scores), np.concatenate(weights)).scale()
