"""The Laplace posterior at a solution, and the reasons why a fit has none."""

from functools import partial

import numpy as np
from scipy import sparse

from .._bayes.curvature import Curvature
from .._bayes.extrapolation import Extrapolation
from .._bayes.irls import surrogate
from .._bayes.laplace import Posterior
from .._data.data import Data
from .._data.scaling import Scaling
from .._losses.loss import Loss
from .._losses.table import LOSSES, SQUARED_ERROR
from .._network.derivatives import predict_moved
from .._objective.objective import Objective
from .._solvers.monitor import Solution
from .._solvers.table import SOLVERS
from .plan import Plan


def scaling_or_identity(plan: Plan) -> Scaling:
    """Return the scaling of the data, or the identity."""
    units = plan.architecture.units
    return plan.scaling or Scaling.identity(units[0], units[-1])


def curvature_sample(plan: Plan, data: Data) -> Data:
    """Return the rows that the curvature is computed from, weighted to represent all rows."""
    size = Curvature.cheapest(plan.architecture, len(data.y)).n_rows
    # The rows do not depend on random_state: a fit draws no random numbers after training.
    return data.sampled(len(data.y) if size is None else size, np.random.RandomState(0))


def laplace_posterior(plan: Plan, data: Data, solution: Solution, between) -> Posterior:
    """Return the normal distribution of the weights; `between` is called for each block of rows."""
    theta, state, scaling = solution.theta, solution.state, scaling_or_identity(plan)
    sample = curvature_sample(plan, data)
    loss = plan.settings.loss if plan.settings.loss.deviance else SQUARED_ERROR
    objective = Objective(plan.network, sample.samples(), 0.0, loss=loss)
    curvature = Curvature.cheapest(plan.architecture, len(sample.y))
    with np.errstate(all="ignore"):
        objective = surrogate(objective, theta).objective
        product = curvature.product(
            objective, theta, state.hyper.beta, np.random.RandomState(0), between
        )
        precision = product.certainly_factorised(state.hyper.alpha[state.groups], state.hyper.beta)
    extrapolation = None
    if not sparse.issparse(data.X):
        weights, activations = plan.architecture.unpack(theta), plan.settings.activations
        predict = partial(predict_moved, *weights, activations)
        extrapolation = Extrapolation.of(predict, data.X, data.weights())
    return Posterior(
        theta,
        precision.of_posterior(),
        scaling.y_scale * state.noise_std,
        scaling.y_scale,
        inputs=plan.inputs,
        extrapolation=extrapolation,
    )


def has_interval(loss: Loss) -> bool:
    """Whether predictions are the centre of y, so that an interval around them makes sense."""
    return loss.least_squares or loss.location_family


def why_none(fitted) -> str:
    """Explain why a fitted estimator has no posterior, and what to set."""
    if not has_interval(LOSSES[fitted._loss]):
        return (
            "set loss to one whose predictions are the centre of y: squared_error, huber, "
            f"student_t or absolute_error. This network was fitted with loss={fitted._loss!r}."
        )
    if not hasattr(fitted, "noise"):  # an MLPRegressor
        return "fit a TinyMLPRegressor(), whose default solver maximises it."
    if not SOLVERS[fitted.solver_].least_squares:
        return (
            "fit with solver='lm' and alpha='auto'. This network was fitted with solver_="
            f"{fitted.solver_!r}; solver='auto' uses lm for up to 100 million values of X."
        )
    if fitted.early_stopping:
        return "set early_stopping=False: with it the validation set chooses the weights."
    if isinstance(fitted.alpha_, float) and not isinstance(fitted.alpha, str):
        return f"set alpha='auto'. This network was fitted with alpha={fitted.alpha!r}."
    return (
        "The fit had one row, Ctrl-C ended it before the posterior was computed, or the evidence "
        "is not finite because values of y or sample_weight are very large or very unequal. Fit "
        "again, or rescale them."
    )
