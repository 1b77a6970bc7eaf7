"""Calibrated posterior of a fit: by leave-one-out residuals, and by refits without some rows.

Linearised leave-one-out residuals are too optimistic where the network has few residuals for each
parameter that they determine, where inputs were selected with the help of all rows, and where rows
form groups. In these cases the network is refitted on part of the rows, or of the groups, and its
predictions are compared with the other rows.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from .._activations.users_own import raise_caught
from .._bayes.conformal import LEAST_ROWS
from .._bayes.laplace import Posterior, RowNoise
from .._data.data import Data
from .._data.hold_out import HELD_OUT_SHARE, forward_splits, hold_out_splits, in_sequence
from .._machine.interruption import Interruption
from .candidate import Candidate, Refit
from .input_selection import relevance_report, revised
from .plan import Plan
from .posterior import curvature_sample, has_interval, laplace_posterior
from .starts import NO_USER_START, draw
from .train import refit

# Rows times parameters squared above which the posterior is omitted after Ctrl-C, because it would
# take longer than a tenth of a second.
WORK_AFTER_CTRL_C = 5e8

# Number of effective parameters per residual above which a network is refitted: above it, intervals
# from linearised leave-one-out residuals are too narrow (pendulum: they contained 73%). With inputs
# selected among as many inputs as rows, 100 to 200, intervals of 90% contained 60 to 72%.
MOST_DETERMINED, MOST_DETERMINED_SELECTED = 1 / 3, 0.15


# The 95% quantile of more residuals is as certain, and takes a tenth of the memory of large data.
MOST_ROWS = 20_000


class BeforeSelection(NamedTuple):
    """A plan, and its data in the units of training, before pilot networks revise it."""

    plan: Plan
    data: Data

    def refit(self, fit: Candidate, rows, held_out, interruption: Interruption) -> Refit:
        """Fit to some rows again; inputs that were selected are selected on these rows."""
        plan, start, random_state = fit.plan, fit.start, np.random.RandomState(0)
        if plan.inputs is not None:
            some = self.data.on_rows(rows)
            report = relevance_report(self.plan, some, random_state, interruption, least_rows=0)
            plan = revised(self.plan, report, random_state)
            start = draw(plan, NO_USER_START, random_state)[0]
        training, rest = (
            self.data.on_rows(part).on_inputs(plan.inputs) for part in (rows, held_out)
        )
        if training.groups is None:
            training, rest = training.with_counts(), rest.with_counts()
        solution = refit(plan, training, start.theta, interruption)
        interruption.raise_if_set()
        return Refit(Candidate(plan, training, start, solution), rest)


def posterior_of(
    fit: Candidate,
    interrupted: bool,
    before: BeforeSelection | None,
    interruption: Interruption,
) -> Posterior | None:
    """Return the calibrated posterior of a solution, or None if it has no posterior.

    `interrupted` is whether the user ended the training; long computations are then omitted.
    Without `before` there are no refits. `interruption` raises KeyboardInterrupt.
    """
    plan, data, solution = fit.plan, fit.data, fit.solution
    n_parameters, loss = plan.architecture.n_parameters, plan.settings.loss
    quick = len(data.y) * n_parameters**2 <= WORK_AFTER_CTRL_C
    # With early stopping the weights do not have the greatest evidence.
    if plan.settings.early_stopping or (interrupted and not quick) or not has_interval(loss):
        return None
    if not plan.by_evidence or solution.log_evidence == -np.inf or solution.state is None:
        return None
    if len(data.y) < 2:  # one row contains nothing about the noise
        return None
    with interruption.catches_sigint(), plan.blas_threads():
        posterior = _calibrated(fit, interruption.raise_if_set)
        refits = before is not None and fit.held_out is None and solution.state.noise is None
        if refits and not interrupted:
            before = before._replace(data=replace(before.data, noise=data.noise))
            refits, pooled = _refits(fit, before, interruption)
            for of_split in _factors_by_refits(posterior, refits, pooled, interruption):
                posterior = posterior.at_least_as_wide(of_split)
    interruption.raise_if_set()  # Ctrl-C may come after the last block
    raise_caught()
    return posterior


def _calibrated(fit: Candidate, between) -> Posterior:
    """Calibrate by leave-one-out residuals; `between` is called for each block of rows."""
    plan, data, held_out = fit.plan, fit.data, fit.held_out
    posterior = fit.posterior or laplace_posterior(plan, data, fit.solution, between)
    if fit.solution.state.noise is not None:
        return posterior  # this noise already has the width of the residuals
    if held_out is None:
        sample = curvature_sample(plan, data).sampled(MOST_ROWS, np.random.RandomState(0))
    else:
        sample = data.on_rows(held_out.rows)
    X, weight = sample.X.astype(np.float64, copy=False), sample.weights()
    arguments = plan.network, X, sample.y, weight, sample.left_out(), between, sample.noise
    return posterior.calibrated(*arguments, None if held_out is None else held_out.errors)


def _refits(
    fit: Candidate, before: BeforeSelection, interruption: Interruption
) -> tuple[Iterable[Refit], bool]:
    """Return fits to parts of the rows, and whether to pool the held-out rows.

    There are none if leave-one-out residuals suffice.
    """
    plan, data, solution = fit.plan, fit.data, fit.solution
    residuals = data.y - plan.network.predict(*plan.architecture.unpack(solution.theta), data.X)
    n_rows, pooled = round(solution.state.n_samples), True
    most = MOST_DETERMINED if plan.inputs is None else MOST_DETERMINED_SELECTED
    enough = LEAST_ROWS * (1 if plan.inputs is None and data.groups is None else 2)

    def until_enough(splits, n_units):
        """Take splits until there are enough rows, or groups, for a quantile."""
        return islice(splits, -(-enough // max(1, int(HELD_OUT_SHARE * n_units))))

    ordered = data.groups is None and len(data.y) >= 2 * LEAST_ROWS
    if ordered and in_sequence(data.X, data.y, residuals):
        splits, pooled = forward_splits(len(data.y), LEAST_ROWS), False
    elif data.groups is not None:  # a leave-one-out residual has other rows of its group
        splits = hold_out_splits(len(data.y), np.random.RandomState(0), data.groups)
        splits = until_enough(splits, len(np.unique(data.groups)))
    elif n_rows < LEAST_ROWS or solution.state.gamma.sum() <= most * n_rows * data.y.shape[1]:
        return (), True
    elif sum(len(refit.rest.y) for refit in fit.refits) >= enough:
        return fit.refits, True
    else:
        splits = until_enough(hold_out_splits(n_rows, np.random.RandomState(0)), n_rows)
    if pooled:
        before = before._replace(data=before.data.repeated())
    return (before.refit(fit, *split, interruption) for split in splits), pooled


def _factors_by_refits(
    posterior: Posterior, refits: Iterable[Refit], pooled: bool, interruption: Interruption
) -> list:
    """Return the factors of standard deviations by held-out rows; none if a refit fails.

    Not pooled, each split has its own factor: rows that follow each other err alike, and as a pool
    the periods of small errors would hide the others. In 20 series with a trend 95% intervals
    covered 0.91 of the next two years, instead of 0.85.

    A refit may, by chance, estimate almost no noise: errors are in units of the noise of
    `posterior`.
    """
    parts = []
    for fit, rest in refits:
        plan, training, solution = fit.plan, fit.data, fit.solution
        if solution.state is None:
            return []
        of_refit = laplace_posterior(plan, training, solution, interruption.raise_if_set)
        X = rest.X.astype(np.float64, copy=False)
        errors, variances = of_refit.errors_and_variances(plan.network, X, rest.y)
        of_constant = rest.y - np.average(training.y, axis=0, weights=training.weights())
        parts.append((errors, variances, of_constant, rest.weights(), *(rest.noise or ())))
    if pooled and parts:
        parts = [tuple(map(np.concatenate, zip(*parts, strict=True)))]
    return [
        posterior.factors(*errors, RowNoise(*noise) if noise else None)
        for *errors, noise in ((*part[:4], part[4:]) for part in parts)
    ]
