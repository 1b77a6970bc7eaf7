"""The warnings of a fit: before training and after it, always before the estimator is changed."""

import re
import warnings
from collections.abc import Mapping

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .._activations.derivative_check import check_derivative
from .._activations.users_own import Activation
from .._data.data import Data
from .._network.derivatives import layer_values
from .._solvers.monitor import Solution, StopReason
from .._training.fit_result import FitResult
from .._training.plan import Plan
from .._training.starts import Start

# Share of the best constant's loss above which a fit counts as having learned nothing.
MOST_SHARE_OF_CONSTANT = 0.99

# Number of rows that determine the range of z in which a user's derivative is checked.
CHECKED_ROWS = 1000

# Number of frames from `warnings.warn` up to the caller of `fit`: this function, `_fit`,
# `_fit_all`, `fit` or `partial_fit`, and scikit-learn's wrapper around it.
STACK_LEVEL = 6

# Solvers with a parameter that they do not use, which a warning of this process has named.
NAMED: set[tuple] = set()


def check_before_training(
    plan: Plan, data: Data, scaled: Data, starts: list[Start], defaults: Mapping, warns=True
) -> list[str]:
    """Raise an error if an `Activation`'s derivative is wrong; warn of losses no weights can reach.

    `scaled` is the data in the units of training, and `defaults` are those of the parameters. The
    sentences of the warnings are returned.
    """
    settings = plan.settings
    if any(isinstance(activation, Activation) for activation in settings.activations):
        _check_derivatives(plan, starts[0].theta, scaled.X)
    seen = data if plan.solver.least_squares else scaled  # in the units of `loss_`
    # A tenth of the import time of the package.
    from .feasibility import infeasible
    from .parameters import unused_parameters

    goal = {"loss": settings.loss, "loss_tol": settings.params["loss_tol"]}
    warned = infeasible(seen, settings.activations, bias=settings.bias, **goal)
    for sentence in warned if warns else ():
        warnings.warn(sentence, ConvergenceWarning, stacklevel=STACK_LEVEL)
    batch_size = settings.batch_size
    if plan.solver.stochastic and batch_size is not None and batch_size > plan.n_training:
        warnings.warn(
            "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
            stacklevel=STACK_LEVEL,
        )
    if settings.solver is None:
        validated = plan.solver.holds_out or data.validation is not None
        unused = unused_parameters(settings.params, defaults, plan.solver, validated)
        unused = [name for name in unused if (plan.solver, name) not in NAMED]
        NAMED.update((plan.solver, name) for name in unused)
        if unused:
            have, them = ("has", "it") if len(unused) == 1 else ("have", "them")
            warnings.warn(
                f"{', '.join(unused)} {have} no effect: solver='auto' chose {plan.solver.name!r}. "
                f"Set a solver that uses {them}, or remove {them}. Later fits do not repeat this.",
                stacklevel=STACK_LEVEL,
            )
    return warned


def learned_nothing(plan: Plan, data: Data, solution: Solution) -> bool:
    """Whether a fit that converged has the loss of a constant.

    Levenberg-Marquardt is exempt: the data may be noise, which the evidence detects.
    """
    loss = plan.settings.loss
    if solution.constants is not None:
        loss = loss.remade(solution.constants)
    if plan.solver.least_squares or not (loss.least_squares or loss.uses_d2):
        return False
    if solution.reason is StopReason.LOSS_TOL:
        return False
    y = data.y.astype(np.float64, copy=False)
    constant = loss.constant_predictions(y, data.sample_weight)
    of_constant = float(loss.mean(y, constant, data.sample_weight))
    rounding = 1e-12 * np.abs(y).max() ** loss.degree
    return bool(solution.loss > MOST_SHARE_OF_CONSTANT * of_constant > rounding)


def warn(result: FitResult, data: Data, defaults: Mapping, warned=()) -> None:
    """Warn of a fit that was interrupted or did not converge.

    `data` is in the units of the user, and `defaults` are those of the parameters. Sentences of
    `warned` are not repeated.
    """
    if result.interrupted:
        warnings.warn("Training interrupted by user.", stacklevel=STACK_LEVEL)
    else:
        text = convergence_warning(result, data, defaults, warned)
        if text is not None:
            warnings.warn(text, ConvergenceWarning, stacklevel=STACK_LEVEL)
    if result.without_interval:
        warnings.warn(
            "Interrupted by user: standard deviations of predictions are not available.",
            stacklevel=STACK_LEVEL,
        )


def convergence_warning(result: FitResult, data: Data, defaults: Mapping, warned=()) -> str | None:
    """Return why training ended, at which loss, and what corrects it; None if it converged."""
    plan, solution = result.plan, result.solution
    message = _first_line(result)
    if message is None or _is_ignored(ConvergenceWarning, message):
        return message
    # Imported where it is needed: a tenth of the import time of the package.
    from .derivatives import MOST_VALUES_IN_WARNING
    from .diagnose import diagnose_network
    from .trained_network import describe, in_units_of_training

    fitted, params = result.attributes(), plan.settings.params
    if plan.input_layer is not None:
        theta, seen = in_units_of_training(fitted, data)
    else:
        theta = plan.with_all_inputs(solution.theta).astype(np.float64)
        seen = result.data if plan.inputs is None else data.scaled(plan.scaling)
    network = describe(fitted, params, theta, seen, defaults)
    found = diagnose_network(network, MOST_VALUES_IN_WARNING, first_only=True)
    target = params["loss_tol"]
    asked = "" if target is None else f", and loss_tol is {target:g}"
    lines = [
        message,
        f"stop_reason_={solution.reason.code!r}: loss_ is {solution.loss:.4g}{asked}.",
    ]
    for first in found[:1]:
        known = any(sentence.startswith(first.sentence) for sentence in warned)
        lines.append(f"Try {first.remedy}." if known else f"{first.sentence} Try {first.remedy}.")
    return "\n".join(lines)


def _first_line(result: FitResult) -> str | None:
    """Return why training ended; None if it converged."""
    plan, solution = result.plan, result.solution
    reason, message = solution.reason, solution.warning
    if message is None and reason not in (None, StopReason.CALLBACK):
        by_validation = reason is StopReason.VALIDATION
        if not (result.reached or by_validation):
            message = f"loss_tol={plan.settings.loss_tol:g} was not reached. {reason.sentence}"
        elif not reason.converged:
            message = reason.sentence
        elif result.diverged:
            message = f"Training diverged at some iteration. {reason.sentence}"
        elif result.collapsed:
            errors = result.errors
            worst = np.argmax(errors.network - errors.regression)
            message = (
                "Kernel ridge regression predicts rows that were not trained on better: in "
                f"leave-one-out validation its R² is {1.0 - errors.regression[worst]:.2f}, that of "
                f"the network {1.0 - errors.network[worst]:.2f}."
            )
        elif not by_validation and learned_nothing(plan, result.data, solution):
            from .shortfall import constant_name

            constant = constant_name(plan.settings.loss)
            message = f"{reason.sentence} But the predictions are no better than {constant}."
    if message is None:
        return None
    if plan.scaling is not None:  # scikit-learn's message for lbfgs advises scaling
        message = message.partition("You might also want to scale the data")[0]
    return " ".join(message.split())


def _is_ignored(category, text) -> bool:
    """Whether a filter for all modules ignores a warning, so that its diagnosis is not needed."""
    for action, message, kind, module, line in warnings.filters:
        if issubclass(category, kind) and (message is None or re.match(message, text)):
            return module is None and line == 0 and action == "ignore"
    return False


def _check_derivatives(plan: Plan, theta, X) -> None:
    """Check the user's activations over the range of z on the data at the start weights."""
    coefs, intercepts = plan.architecture.unpack(theta)
    activations = plan.settings.activations
    values, _ = layer_values(coefs, intercepts, activations, X[:CHECKED_ROWS])
    for value, coef, intercept, activation in zip(
        values[:-1], coefs, intercepts, activations, strict=True
    ):
        if isinstance(activation, Activation):
            z = value @ coef + intercept
            check_derivative(activation, float(z.min()), float(z.max()))
