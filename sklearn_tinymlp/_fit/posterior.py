"""The distribution of the weights after a fit: where there is one, and why there is none."""

from contextlib import nullcontext
from functools import partial

import numpy as np
from scipy import sparse

from .._activations.users_own import raise_caught
from .._bayes.extrapolation import Extrapolation
from .._bayes.posterior import Posterior
from .._bayes.sampled import precision_at, sample_size
from .._bayes.tails import LEAST_ROWS, Tails
from .._engine import kernels
from .._engine.objective import Objective, Samples, kernel_network
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._solvers.monitor import Monitor, Record, Solution
from .._solvers.solver import PenaltyFrom
from .._solvers.table import SOLVERS
from .data import Data
from .plan import Plan
from .scaling import Scaling
from .starts import Start

# After Ctrl-C the posterior is left out where it takes longer than a tenth of a second: rows times
# parameters squared.
WORK_AFTER_CTRL_C = 5e8

# Where the data determine more than this share of as many parameters as there are rows, the linear
# picture does not know what a row less would change (pendulum: the band held 73%), and the network
# is trained again without some.
MOST_DETERMINED = 1 / 3
LEFT_OUT = 0.2

# Rows over which standard deviations are matched to the error of rows left out.
MATCHED_ROWS = 1000


def scaling_or_identity(plan: Plan) -> Scaling:
    """Give the scaling of the data, or the one that leaves them as they are."""
    units = plan.architecture.units
    return plan.scaling or Scaling.identity(units[0], units[-1])


def posterior_of(
    plan: Plan, data: Data, start: Start, solution: Solution, interrupted, alone
) -> Posterior | None:
    """Give the calibrated distribution of the weights; None where there is none.

    Parameters
    ----------
    plan : Plan
    data : Data
        In the units of training.
    start : Start
        Where the solution began.
    solution : Solution
    interrupted : bool
        Whether the user ended the training, and should not wait for long.
    alone : bool
        Whether the network may be trained again, to calibrate its band.

    Raises
    ------
    KeyboardInterrupt
        On another Ctrl-C; of large data it takes as long as some iterations.
    """
    n_parameters = plan.architecture.n_parameters
    quick = len(data.y) * n_parameters**2 <= WORK_AFTER_CTRL_C
    # With early stopping the weights are not those of the greatest evidence.
    if plan.settings.early_stopping or (interrupted and not quick):
        return None
    if not plan.by_evidence or solution.log_evidence == -np.inf or solution.state is None:
        return None
    if not has_band(plan.settings.loss):
        return None
    interruption = Interruption()  # not by a Ctrl-C that has ended the training
    one_thread = single_threaded_blas if plan.on_one_thread else nullcontext
    with interruption.hears_ctrl_c(), one_thread():
        posterior = _calibrated(plan, data, solution, interruption.heed)
        if alone and not interrupted and _follows_single_rows(solution, data):
            posterior = _widened_by_other_fits(plan, data, start, posterior, interruption)
    interruption.heed()  # a Ctrl-C after the last block is heard too
    raise_caught()
    return posterior


def has_band(loss: Loss) -> bool:
    """Whether predictions are the middle of targets with noise of one width."""
    return loss.least_squares or loss.location


def _follows_single_rows(solution: Solution, data: Data) -> bool:
    """Whether the network has hardly more rows than parameters that they determine."""
    n_residuals = solution.state.n_samples * data.y.shape[1]
    # Which widens for the error of each row, outliers too.
    if solution.state.noise is not None:
        return False
    enough = len(data.y) >= LEAST_ROWS
    return enough and float(solution.state.gamma.sum()) > MOST_DETERMINED * n_residuals


def _widened_by_other_fits(
    plan: Plan, data: Data, start: Start, posterior: Posterior, interruption
) -> Posterior:
    """Train again without a share of the rows, and widen the band as these ask for.

    Of few rows one share after the other is left out, until there are enough to tell a quantile.
    """
    n_rows = len(data.y)
    size = max(1, int(LEFT_OUT * n_rows))
    order = np.random.RandomState(0).permutation(n_rows)
    distances, counts = [], []
    for first in range(0, n_rows, size):
        kept, rest = np.delete(order, slice(first, first + size)), order[first : first + size]
        kept, rest = data.on_rows(np.sort(kept)), data.on_rows(np.sort(rest))
        z = _distances_of(plan, kept, rest, start, interruption)
        if z is None:
            return posterior
        distances.append(z)
        counts.append(np.ones(len(z)) if rest.sample_weight is None else rest.sample_weight)
        if sum(map(len, counts)) >= LEAST_ROWS:
            break
    tails = Tails.of(np.concatenate(distances), np.concatenate(counts))
    return posterior.at_least_as_wide(tails.scale())


def _distances_of(plan: Plan, kept: Data, rest: Data, start: Start, interruption):
    """Train on some rows; give |z| of the rest, or None where there is no band."""
    monitor = Monitor(plan.settings.max_iter, Record(), interrupted=interruption)
    options = plan.options(np.random.RandomState(0))
    objective = plan.objective(kept)
    again = plan.solver.solve(objective, start.theta.astype(np.float64), monitor, options)
    interruption.heed()
    if again.state is None:
        return None
    of_fewer = _posterior(plan, kept, again, interruption.heed)
    network = kernel_network(plan.architecture, plan.settings.activations, "float64")
    return of_fewer.distances(network, rest.X.astype(np.float64, copy=False), rest.y, rest.noise)


def _calibrated(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """`between` is called with each block of rows."""
    network = kernel_network(plan.architecture, plan.settings.activations, "float64")
    posterior = _posterior(plan, data, solution, between)
    if solution.state.noise is not None:
        return posterior  # the noise is as wide as the residuals are already
    sample, others = _divided(plan, data, solution)
    if plan.penalty_from is PenaltyFrom.ROWS_LEFT_OUT:
        some = others.on_rows(slice(MATCHED_ROWS))
        return posterior.matched(network, some.X.astype(np.float64, copy=False), some.noise)
    X, weight = sample.X.astype(np.float64, copy=False), sample.sample_weight
    return posterior.calibrated(network, X, sample.y, weight, between, sample.noise)


def _divided(plan: Plan, data: Data, solution: Solution) -> tuple[Data, Data]:
    """Give the rows that the curvature is taken from, and others."""
    if plan.penalty_from is PenaltyFrom.ALL_ROWS:
        return data, data
    # Which rows does not depend on random_state: a fit draws nothing more after training.
    size = sample_size(solution.theta.size, data.y.shape[1])
    return data.divided(size, MATCHED_ROWS, np.random.RandomState(0))


def _posterior(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """Give the distribution of the weights, not calibrated."""
    theta, state, scaling = solution.theta, solution.state, scaling_or_identity(plan)
    network = kernel_network(plan.architecture, plan.settings.activations, "float64")
    samples = _divided(plan, data, solution)[0].samples(np.dtype(np.float64))
    objective = Objective(network, samples, 0.0)
    precision = precision_at(objective, theta, state.hyper, state.groups, between)
    extrapolation = None
    if not sparse.issparse(data.X):
        extrapolation = Extrapolation.of(partial(_outputs, network, theta), data.seen_inputs())
    return Posterior(
        theta,
        precision,
        scaling.y_scale * state.noise_std,
        scaling.y_scale,
        inputs=plan.inputs,
        extrapolation=extrapolation,
    )


def _outputs(network, theta, X) -> np.ndarray:
    zeros = np.zeros((len(X), int(network.layers[-1, kernels.N_OUT])))
    return Objective(network, Samples.of(X, zeros), 0.0).predict(theta)


def why_none(fitted) -> str:
    """Say of a fitted estimator why it has no distribution of the weights, and what to do."""
    if not has_band(LOSSES[fitted._loss]):
        return (
            "it is that of losses whose predictions are the middle of y: squared_error, huber, "
            f"student_t, absolute_error. This network was fitted with loss={fitted._loss!r}."
        )
    if not SOLVERS[fitted.solver_].least_squares:
        return (
            "fit with solver='lm' and alpha='auto'. This network was fitted with solver_="
            f"{fitted.solver_!r}; solver='auto' takes lm for up to 100 million values of X."
        )
    if fitted.early_stopping:
        return "set early_stopping=False: with it the validation set chooses the weights."
    if isinstance(fitted.alpha_, float) and not isinstance(fitted.alpha, str):
        return f"set alpha='auto'. This network was fitted with alpha={fitted.alpha!r}."
    return (
        "Ctrl-C ended the fit before it was computed, or y or sample_weight are so large or so "
        "unlike that the evidence is no number. Fit again, or rescale them."
    )
