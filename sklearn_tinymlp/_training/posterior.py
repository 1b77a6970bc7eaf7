"""The distribution of the weights after a fit: where there is one, and why there is none."""

from contextlib import nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._activations.users_own import raise_caught
from .._bayes.conformal import LEAST_ROWS, ConformalScores
from .._bayes.curvature import Curvature
from .._bayes.extrapolation import Extrapolation
from .._bayes.laplace import Posterior
from .._data.data import Data
from .._data.scaling import Scaling
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers.monitor import History, Monitor, Solution
from .._solvers.table import SOLVERS
from .input_selection import relevance_report, revised
from .plan import Plan
from .starts import NO_START, Start, draw

# After Ctrl-C the posterior is left out where it takes longer than a tenth of a second: rows times
# parameters squared.
WORK_AFTER_CTRL_C = 5e8

# Where the data determine more than this share of as many parameters as there are rows, the linear
# picture does not know what a row less would change (pendulum: the band held 73%), and the network
# is trained again without some.
MOST_DETERMINED = 1 / 3
LEFT_OUT = 0.2

# Where inputs were chosen among many, some of which follow the noise: with as many inputs as rows,
# 100 to 200, the band of 90% held 60 to 72%.
MOST_OF_CHOSEN = 0.15


class Trial(NamedTuple):
    """What a network is trained by."""

    plan: Plan
    data: Data  # in the units of training, on the inputs that the network has
    start: Start


class BeforeSelection(NamedTuple):
    """A plan and its data in the units of training, before pilots revise them."""

    plan: Plan
    data: Data

    def revised_on(self, rows, interruption) -> Trial:
        """Train pilots on some of the rows; return the revised plan and its data, of all rows."""
        random_state, some = np.random.RandomState(0), self.data.on_rows(rows)
        report = relevance_report(self.plan, some, random_state, interruption, least_rows=0)
        plan = revised(self.plan, some, report, random_state)
        start = draw(plan, NO_START, random_state)[0]
        return Trial(plan, self.data.on_inputs(plan.inputs), start)


def scaling_or_identity(plan: Plan) -> Scaling:
    """Give the scaling of the data, or the one that leaves them as they are."""
    units = plan.architecture.units
    return plan.scaling or Scaling.identity(units[0], units[-1])


def posterior_of(
    plan: Plan, data: Data, start: Start, solution: Solution, interrupted, before
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
    before : Unrevised, default=None
        With it the network may be trained again, to calibrate its band.

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
    if not has_interval(plan.settings.loss):
        return None
    interruption = Interruption()  # not by a Ctrl-C that has ended the training
    one_thread = single_threaded_blas if plan.on_one_thread else nullcontext
    with interruption.catches_sigint(), one_thread():
        posterior = _calibrated(plan, data, solution, interruption.raise_if_set)
        if before is not None and not interrupted and _has_few_residuals(plan, solution, data):
            trial = Trial(plan, data, start)
            noise_std = np.mean(solution.state.noise_std)
            posterior = _calibrated_by_refits(trial, before, posterior, noise_std, interruption)
    interruption.raise_if_set()  # a Ctrl-C after the last block is heard too
    raise_caught()
    return posterior


def has_interval(loss: Loss) -> bool:
    """Whether predictions are the middle of targets with noise of one width."""
    return loss.least_squares or loss.location_family


def _has_few_residuals(plan: Plan, solution: Solution, data: Data) -> bool:
    """Whether the network has hardly more rows than parameters that they determine."""
    n_residuals = solution.state.n_samples * data.y.shape[1]
    # Which widens for the error of each row, outliers too.
    if solution.state.noise is not None:
        return False
    enough = len(data.y) >= LEAST_ROWS
    most = MOST_DETERMINED if plan.inputs is None else MOST_OF_CHOSEN
    return enough and float(solution.state.gamma.sum()) > most * n_residuals


def _calibrated_by_refits(
    trial: Trial, before: BeforeSelection, posterior, noise_std, interruption
) -> Posterior:
    """Train again without a share of the rows, and widen the band as these ask for.

    Of few rows one share after the other is left out, until there are enough to tell a quantile.
    Where inputs were chosen, they are chosen anew: among many, some inputs follow any rows by
    chance, which rows that had a say in the choice do not tell. By chance the noise may be next
    to nothing, too, so that distances are then in units of `noise_std`, that of the network.
    """
    n_rows, chosen = len(trial.data.y), trial.plan.inputs is not None
    enough = LEAST_ROWS * (2 if chosen else 1)
    size = max(1, int(LEFT_OUT * n_rows))
    order = np.random.RandomState(0).permutation(n_rows)
    distances, counts = [], []
    for first in range(0, n_rows, size):
        rows, rest = np.delete(order, slice(first, first + size)), order[first : first + size]
        rows, rest = np.sort(rows), np.sort(rest)
        again = before.revised_on(rows, interruption) if chosen else trial
        left_out = again.data.on_rows(rest)
        found = _distances_of(again, again.data.on_rows(rows), left_out, interruption)
        if found is None:
            return posterior
        distances.append(found.z * (found.noise_std / noise_std if chosen else 1.0))
        weight = left_out.sample_weight
        counts.append(np.ones(len(rest)) if weight is None else weight)
        if sum(map(len, counts)) >= enough:
            break
    tails = ConformalScores.of(np.concatenate(distances), np.concatenate(counts))
    return posterior.at_least_as_wide(tails.scale())


class Distances(NamedTuple):
    """How far rows left out are from their predictions."""

    z: np.ndarray  # |z|, in standard deviations
    noise_std: float  # of the network that predicted them


def _distances_of(trial: Trial, kept: Data, rest: Data, interruption) -> Distances | None:
    """Train on some rows, and look at the rest; None where there is no band."""
    plan = trial.plan
    monitor = Monitor(plan.settings.max_iter, History(), interrupted=interruption)
    options = plan.options(np.random.RandomState(0))
    objective = plan.objective(kept)
    theta = trial.start.theta.astype(np.float64)
    again = plan.solver.solve(objective, theta, monitor, options)
    interruption.raise_if_set()
    if again.state is None:
        return None
    of_fewer = _posterior(plan, kept, again, interruption.raise_if_set)
    network = network_of(plan.architecture, plan.settings.activations)
    X = rest.X.astype(np.float64, copy=False)
    z = of_fewer.distances(network, X, rest.y, rest.noise)
    return Distances(z, float(np.mean(again.state.noise_std)))


def _calibrated(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """`between` is called with each block of rows."""
    network = network_of(plan.architecture, plan.settings.activations)
    posterior = _posterior(plan, data, solution, between)
    if solution.state.noise is not None:
        return posterior  # the noise is as wide as the residuals are already
    sample = _sample(plan, data)
    X, weight = sample.X.astype(np.float64, copy=False), sample.sample_weight
    return posterior.calibrated(network, X, sample.y, weight, between, sample.noise)


def _sample(plan: Plan, data: Data) -> Data:
    """Return the rows that the curvature is taken from, each for as many as it stands for."""
    size = Curvature.cheapest(plan.architecture, len(data.y)).n_rows
    # Which rows does not depend on random_state: a fit draws nothing more after training.
    return data.sampled(len(data.y) if size is None else size, np.random.RandomState(0))


def _posterior(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """Return the distribution of the weights, not calibrated."""
    theta, state, scaling = solution.theta, solution.state, scaling_or_identity(plan)
    network = network_of(plan.architecture, plan.settings.activations)
    sample = _sample(plan, data)
    objective = Objective(network, sample.samples(np.dtype(np.float64)), 0.0)
    curvature = Curvature.cheapest(plan.architecture, len(sample.y))
    with np.errstate(all="ignore"):
        product = curvature.product(
            objective, theta, state.hyper.beta, np.random.RandomState(0), between
        )
        precision = product.certainly_factorised(state.hyper.alpha[state.groups], state.hyper.beta)
    extrapolation = None
    if not sparse.issparse(data.X):
        extrapolation = Extrapolation.of(partial(_outputs, network, theta), data.seen_inputs())
    return Posterior(
        theta,
        precision.of_posterior(),
        scaling.y_scale * state.noise_std,
        scaling.y_scale,
        inputs=plan.inputs,
        extrapolation=extrapolation,
    )


def _outputs(network, theta, X) -> np.ndarray:
    return network.predict(*network.architecture.unpack(theta), X)


def why_none(fitted) -> str:
    """Say of a fitted estimator why it has no distribution of the weights, and what to do."""
    if not has_interval(LOSSES[fitted._loss]):
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
