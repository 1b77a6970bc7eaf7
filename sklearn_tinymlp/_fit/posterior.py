"""The distribution of the weights after a fit: where there is one, and why there is none."""

from contextlib import nullcontext
from functools import partial

import numpy as np
from scipy import sparse

from .._activations.users_own import raise_caught
from .._bayes.extrapolation import Extrapolation
from .._bayes.posterior import Posterior
from .._bayes.sampled import precision_at, sample_size
from .._engine import kernels
from .._engine.objective import Objective, Samples, kernel_network
from .._losses.table import LOSSES
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._solvers.monitor import Solution
from .._solvers.solver import PenaltyFrom
from .._solvers.table import SOLVERS
from .data import Data
from .plan import Plan
from .scaling import Scaling

# After Ctrl-C the posterior is left out where it takes longer than a tenth of a second: rows times
# parameters squared.
WORK_AFTER_CTRL_C = 5e8

# Rows over which standard deviations are matched to the error of rows left out.
MATCHED_ROWS = 1000


def scaling_or_identity(plan: Plan) -> Scaling:
    """Give the scaling of the data, or the one that leaves them as they are."""
    units = plan.architecture.units
    return plan.scaling or Scaling.identity(units[0], units[-1])


def posterior_of(plan: Plan, data: Data, solution: Solution, interrupted) -> Posterior | None:
    """Give the calibrated distribution of the weights; None where there is none.

    Parameters
    ----------
    plan : Plan
    data : Data
        In the units of training.
    solution : Solution
    interrupted : bool
        Whether the user ended the training, and should not wait for long.

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
    interruption = Interruption()  # not by a Ctrl-C that has ended the training
    one_thread = single_threaded_blas if plan.on_one_thread else nullcontext
    with interruption.hears_ctrl_c(), one_thread():
        posterior = _calibrated(plan, data, solution, interruption.heed)
    interruption.heed()  # a Ctrl-C after the last block is heard too
    raise_caught()
    return posterior


def _calibrated(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """`between` is called with each block of rows."""
    theta, state, scaling = solution.theta, solution.state, scaling_or_identity(plan)
    network = kernel_network(plan.architecture, plan.settings.activations, "float64")
    sample, others = data, data
    if plan.penalty_from is not PenaltyFrom.ALL_ROWS:
        size = sample_size(theta.size, data.y.shape[1])
        # Which rows does not depend on random_state: a fit draws nothing more after training.
        sample, others = data.divided(size, MATCHED_ROWS, np.random.RandomState(0))
    objective = Objective(network, sample.samples(np.dtype(np.float64)), 0.0)
    precision = precision_at(objective, theta, state.hyper, state.groups, between)
    noise = scaling.y_scale / np.sqrt(state.hyper.beta)
    extrapolation = None
    if not sparse.issparse(data.X):
        outputs = partial(_outputs, network, theta)
        extrapolation = Extrapolation.of(outputs, data.X)
    posterior = Posterior(
        theta,
        precision,
        noise,
        scaling.y_scale,
        inputs=plan.inputs,
        extrapolation=extrapolation,
    )
    if plan.penalty_from is PenaltyFrom.ROWS_LEFT_OUT:
        return posterior.matched(network, others.X[:MATCHED_ROWS].astype(np.float64, copy=False))
    X = sample.X.astype(np.float64, copy=False)
    return posterior.calibrated(network, X, sample.y, sample.sample_weight, between)


def _outputs(network, theta, X) -> np.ndarray:
    zeros = np.zeros((len(X), int(network.layers[-1, kernels.N_OUT])))
    return Objective(network, Samples.of(X, zeros), 0.0).predict(theta)


def why_none(fitted) -> str:
    """Say of a fitted estimator why it has no distribution of the weights, and what to do."""
    if not LOSSES[fitted._loss].least_squares:
        return f"it is that of squared errors. This network was fitted with loss={fitted._loss!r}."
    if not SOLVERS[fitted.solver_].least_squares:
        return (
            "fit with solver='lm' and alpha='auto'. This network was fitted with solver_="
            f"{fitted.solver_!r}; solver='auto' takes lm where data and network are small enough."
        )
    if fitted.early_stopping:
        return "set early_stopping=False: with it the validation set chooses the weights."
    if isinstance(fitted.alpha_, float) and not isinstance(fitted.alpha, str):
        return f"set alpha='auto'. This network was fitted with alpha={fitted.alpha!r}."
    return (
        "Ctrl-C ended the fit before it was computed, or y or sample_weight are so large or so "
        "unlike that the evidence is no number. Fit again, or rescale them."
    )
