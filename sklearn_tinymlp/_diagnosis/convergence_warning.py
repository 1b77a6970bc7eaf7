"""The warnings of a fit: before training and after it, always before the estimator is changed."""

import re
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._activations.derivative_check import check_derivative
from .._activations.lookup import value_and_slope
from .._activations.users_own import Activation
from .._data.data import Data
from .._solvers.monitor import Solution, StopReason
from .._training.fit_result import FitResult
from .._training.plan import Plan
from .._training.starts import Start

# A loss this close to that of the best constant is no better than it.
NO_BETTER = 0.99

# The range of z, over which a user's derivative is checked, is as good as known after these rows.
CHECKED_ROWS = 1000

# From `warnings.warn` below up to the caller of `fit`: this function, `_fit`, `_fit_all`, `fit` or
# `partial_fit`, and scikit-learn's wrapper around it.
STACK_LEVEL = 6


def check_before_training(plan: Plan, data: Data, scaled: Data, starts: list[Start]) -> list[str]:
    """Refuse a wrong derivative; warn of what no training can reach.

    Parameters
    ----------
    plan : Plan
    data, scaled : Data
        As given, and in the units of training.
    starts : list of Start

    Returns
    -------
    said : list of str
        The sentences of the warnings.

    Raises
    ------
    ValueError
        When the derivative of an `Activation` is not that of its value.

    Warns
    -----
    ConvergenceWarning
        When targets are out of reach whatever the weights.
    """
    settings = plan.settings
    if any(isinstance(activation, Activation) for activation in settings.activations):
        _check_derivatives(plan, starts[0].theta, scaled.X)
    seen = data if plan.solver.least_squares else scaled  # in the units of `loss_`
    target = settings.params["loss_tol"]
    from . import feasibility  # whose import is a tenth of the package's

    said = feasibility.impossible(
        seen.X,
        seen.y,
        seen.sample_weight,
        settings.activations,
        loss=settings.loss,
        bias=settings.bias,
        loss_tol=target,
    )
    for sentence in said:
        warnings.warn(sentence, ConvergenceWarning, stacklevel=STACK_LEVEL)
    asked = settings.batch_size
    if plan.solver.stochastic and asked is not None and asked > plan.n_training:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=STACK_LEVEL,
        )
    return said


def learned_nothing(plan: Plan, data: Data, solution: Solution) -> bool:
    """Whether a fit that ended well, by its own account, ended at the loss of a constant.

    Levenberg-Marquardt is believed: the evidence may find that the data are noise.
    """
    loss = plan.settings.loss
    if solution.constants is not None:
        loss = loss.remade(solution.constants)
    if plan.solver.least_squares or not (loss.least_squares or loss.uses_d2):
        return False
    if solution.reason is StopReason.LOSS_TOL:
        return False
    y = data.y.astype(np.float64, copy=False)
    constant = np.broadcast_to(loss.best_constant(y, data.sample_weight), y.shape)
    of_constant = float(loss.mean(y, constant, data.sample_weight))
    rounding = 1e-12 * np.abs(y).max() ** loss.degree
    return bool(solution.loss > NO_BETTER * of_constant > rounding)


def warn(result: FitResult, data: Data, trained_on: Data, said=()) -> None:
    """Warn of a fit that was interrupted or did not converge.

    `trained_on` is the data in the units of training, without inputs that were left out. What was
    `said` before training is not said again.
    """
    if result.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=STACK_LEVEL)
    else:
        text = convergence_warning(result, data, trained_on, said)
        if text is not None:
            warnings.warn(text, ConvergenceWarning, stacklevel=STACK_LEVEL)
    if result.without_interval:
        warnings.warn(
            "Interrupted by user: the standard deviations of predictions are left out.",
            stacklevel=STACK_LEVEL,
        )


def convergence_warning(result: FitResult, data: Data, trained_on: Data, said=()) -> str | None:
    """Say why training ended, how far it came, and what mends it; None of a fit that converged."""
    plan, solution = result.plan, result.solution
    reason, message = solution.reason, solution.warning
    if message is None and reason not in (None, StopReason.CALLBACK):
        by_validation = reason is StopReason.VALIDATION
        if not (result.reached or by_validation):
            message = f"loss_tol={plan.settings.loss_tol:g} was not reached. {reason.sentence}"
        elif not reason.converged:
            message = reason.sentence
        elif result.diverged:
            message = f"Training diverged on the way. {reason.sentence}"
        elif result.collapsed:
            from .remedies import larger

            state, n_init = solution.state, plan.settings.n_init
            message = (
                f"The network explains {state.explained:.0%} of the variance of y, and calls the "
                f"rest noise, but random features explain {state.reference:.0%} of it in new rows. "
                f"Try n_init={10 if n_init < 10 else 4 * n_init}, or hidden_layer_sizes="
                f"{larger(plan.settings.hidden_layer_sizes)!r}."
            )
        elif not by_validation and learned_nothing(plan, trained_on, solution):
            from .shortfall import constant_name

            constant = constant_name(plan.settings.loss)
            message = f"{reason.sentence} But the predictions are no better than {constant}."
    if message is None:
        return None
    if plan.scaling is not None:  # which is what scikit-learn's words for lbfgs advise
        message = message.partition("You might also want to scale the data")[0]
    lines = [" ".join(message.split())]
    if _is_ignored(ConvergenceWarning, lines[0]):  # its diagnosis can be spared
        return lines[0]
    # A fit that converges does without the diagnosis, whose import is a tenth of the package's.
    from .description import describe
    from .diagnose import diagnose
    from .examination import MOST_VALUES_IN_WARNING

    theta = plan.with_all_inputs(solution.theta).astype(np.float64)
    params = plan.settings.params
    seen = trained_on if plan.inputs is None else data.scaled(plan.scaling)
    fit = describe(result.attributes(), params, theta, seen)
    found = diagnose(fit, MOST_VALUES_IN_WARNING, first_only=True)
    target = params["loss_tol"]
    asked = "" if target is None else f", and loss_tol={target:g} was asked for"
    lines.append(f"stop_reason_={reason.code!r}: loss_ is {solution.loss:.4g}{asked}.")
    for first in found[:1]:
        known = any(sentence.startswith(first.sentence) for sentence in said)
        lines.append(f"Try {first.remedy}." if known else f"{first.sentence} Try {first.remedy}.")
    return "\n".join(lines)


def _is_ignored(category, text) -> bool:
    """Whether a filter for all modules ignores a warning."""
    for action, message, kind, module, line in warnings.filters:
        if issubclass(category, kind) and (message is None or re.match(message, text)):
            if module is None and line == 0:
                return action == "ignore"
            return False
    return False


def _check_derivatives(plan: Plan, theta, X) -> None:
    """Check the user's activations over the range of z that the data give at the start weights."""
    value = X[:CHECKED_ROWS]
    coefs, intercepts = plan.architecture.unpack(theta)
    for coef, intercept, activation in zip(
        coefs, intercepts, plan.settings.activations, strict=True
    ):
        z = value @ coef + intercept
        if isinstance(activation, Activation):
            check_derivative(activation, float(z.min()), float(z.max()))
        value, _ = value_and_slope(activation, z)
