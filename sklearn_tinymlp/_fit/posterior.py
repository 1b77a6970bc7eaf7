"""The distribution of the weights after a fit: where there is one, and why there is none."""

from contextlib import nullcontext

import numpy as np

from .._activations.users_own import raise_caught
from .._bayes.evidence import cholesky_factor
from .._bayes.posterior import Posterior
from .._engine.objective import Objective, kernel_network
from .._engine.second_order import gauss_newton
from .._losses.table import LOSSES
from .._machine.interruption import Interruption
from .._machine.threads import single_threaded_blas
from .._solvers.monitor import Solution
from .._solvers.table import SOLVERS
from .data import Data
from .plan import Plan
from .scaling import Scaling

# The posterior of this many parameters takes 200 MB, and its Cholesky factor some seconds.
MOST_PARAMETERS = 5000

# After Ctrl-C the posterior is left out where it takes longer than a tenth of a second: rows times
# parameters squared.
WORK_AFTER_CTRL_C = 5e8


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
    if n_parameters > MOST_PARAMETERS:
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
    state, scaling = solution.state, scaling_or_identity(plan)
    network = kernel_network(plan.architecture, plan.settings.activations, "float64")
    samples = data.samples(np.dtype(np.float64))
    gauss_newton_picture = gauss_newton(Objective(network, samples, 0.0), solution.theta, between)
    factor = cholesky_factor(gauss_newton_picture, state.hyper, state.groups)
    noise = scaling.y_scale / np.sqrt(state.hyper.beta)
    posterior = Posterior(solution.theta, factor, noise, scaling.y_scale, inputs=plan.inputs)
    X = data.X.astype(np.float64, copy=False)
    return posterior.calibrated(network, X, data.y, data.sample_weight, between)


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
    if fitted.n_parameters_ > MOST_PARAMETERS:
        return (
            f"the network has {fitted.n_parameters_} parameters, and up to "
            f"{MOST_PARAMETERS} their distribution is kept. Take fewer units."
        )
    return (
        "Ctrl-C ended the fit before it was computed, or y or sample_weight are so large or so "
        "unlike that the evidence is no number. Fit again, or rescale them."
    )
