"""The second-order picture of an objective: Jacobian, Gauss-Newton matrices, steps.

The loop of Levenberg-Marquardt is compiled (`kernels.run_levenberg_marquardt`); this file makes its
arrays and calls it. A picture alone is that loop, ended before its first step. What the evidence
computes between the steps is handed in by address.
"""

from typing import NamedTuple

import numpy as np

from .._machine.compilation import unsigned
from .._machine.memory import aligned_copy, aligned_vectors
from . import kernels, linear_algebra, products
from .objective import NATURAL_ORDER, OPERATIONS_PER_CALL, Objective, work_arrays

NO_ROUTINES = kernels.EvidenceRoutines(*[unsigned(0)] * 3)
NO_CURVES = np.empty((0, kernels.N_SECOND_ORDER_COLUMNS))


class GaussNewton(NamedTuple):
    """Second-order picture of the data term at some theta."""

    errors: np.ndarray  # (n_outputs,) E_k
    gradients: np.ndarray  # (n_outputs, n_parameters) J_k^T r_k
    hessians: np.ndarray  # (n_outputs, n_parameters, n_parameters) J_k^T J_k, upper triangle


def jacobian_routines() -> kernels.JacobianRoutines:
    """Look up the products that the Jacobian needs."""
    outer_products = products.compiled_outer_products()
    add_products = products.compiled_add_products("float64", False)
    return kernels.JacobianRoutines(
        unsigned(outer_products.address), unsigned(add_products.address)
    )


def second_order_arrays(
    groups, alpha, beta, weight_sum, n_peaks, n_residuals=0, variance=1.0, picture_only=False
) -> kernels.SecondOrder:
    """Arrays of Levenberg-Marquardt at its start; `groups` is the place in alpha of each weight.

    With `n_residuals` they are those of `dual`; with `picture_only` no step can be taken.
    """
    n_parameters, n_groups, n_outputs = len(groups), len(alpha), len(beta)
    progress = np.zeros(1, kernels.SECOND_ORDER_DTYPE)
    progress["damping"], progress["growth"] = kernels.FIRST_DAMPING, 2.0
    progress["best_evidence"], progress["loss"] = -np.inf, np.inf
    block_rows = kernels.BLOCK_ROWS
    if n_residuals:
        block_rows = min(block_rows, n_residuals // n_outputs)
        picture = matrix = n_parameters * n_residuals
        factor = n_residuals * (n_residuals + 1)
    else:
        matrix = factor = n_parameters * n_parameters
        picture = n_outputs * matrix
    if picture_only:
        matrix = factor = 0
    vectors = aligned_vectors(
        {
            "result": 1 + 2 * n_groups + n_outputs,
            "best": n_parameters + 2 * n_groups + n_outputs,
            "peaks": n_peaks,
            "errors": n_outputs,
            "gradients": n_outputs * n_parameters,
            "picture": picture,
            "residuals": n_residuals,
            "gradient": n_parameters + 3,
            "matrix": matrix,
            "factor": factor,
            "step": n_parameters,
            "numbers": 1,
            "trial": n_parameters,
            "trial_errors": n_outputs,
            "block_residuals": n_outputs * block_rows,
            "block_jacobian": n_outputs * n_parameters * block_rows,
        }
    )
    return kernels.SecondOrder(
        progress=progress,
        groups=np.asarray(groups, dtype=np.float64),
        hyper=np.concatenate([alpha, beta, [weight_sum, variance]]),
        **vectors,
    )


def gauss_newton(objective: Objective, theta, between=None) -> GaussNewton:
    """Errors, gradients and Gauss-Newton matrices of each output, block by block of rows.

    `between` is called before each range of rows.

    Memory is O(n_outputs n_parameters (n_parameters + block)), whatever the number of rows.
    """
    n_outputs = objective.training.y.shape[1]
    groups, zero, one = np.zeros(theta.size), np.zeros(1), np.ones(n_outputs)
    so = second_order_arrays(groups, zero, one, 1.0, 1, picture_only=True)
    while so.progress["phase"] == kernels.PICTURE:
        if between is not None:
            between()
        iterate(objective, aligned_copy(theta), so, budget=OPERATIONS_PER_CALL)
    return GaussNewton(
        so.errors,
        so.gradients.reshape(n_outputs, -1),
        so.picture.reshape(n_outputs, theta.size, theta.size),
    )


def residual_jacobian(objective: Objective, theta) -> tuple[np.ndarray, np.ndarray]:
    """Residuals of shape (n_outputs, n_samples) and their derivatives by theta.

    The latter have the shape (n_outputs, n_parameters, n_samples); weights of samples are in
    both by their square roots.
    """
    n_samples, n_outputs = objective.training.y.shape
    groups, zero, one = np.zeros(theta.size), np.zeros(1), np.ones(n_outputs)
    so = second_order_arrays(groups, zero, one, 1.0, 1, n_samples * n_outputs, 1.0, True)
    while so.progress["phase"] == kernels.PICTURE:
        iterate(objective, aligned_copy(theta), so, budget=OPERATIONS_PER_CALL)
    jacobian = so.picture.reshape(theta.size, n_outputs, n_samples).transpose(1, 0, 2)
    return so.residuals.reshape(n_outputs, n_samples), jacobian


def iterate(
    objective: Objective, theta, so, *, budget, curves=NO_CURVES, options=None, evidence=NO_ROUTINES
) -> None:
    """Call the compiled loop of Levenberg-Marquardt, see `kernels.run_levenberg_marquardt`."""
    samples = objective.training
    kernels.run_levenberg_marquardt(
        theta,
        so,
        curves,
        objective.network,
        options or second_order_options(objective, estimate=False),
        samples.rows,
        samples.y,
        samples.weight,
        NATURAL_ORDER,
        work_arrays(objective.network, 0, theta.dtype),
        jacobian_routines(),
        evidence,
        linear_algebra.routines(),
        int(budget),
    )


def second_order_options(objective: Objective, **options) -> kernels.SecondOrderOptions:
    """Complete the options of Levenberg-Marquardt by what the objective knows."""
    defaults = {"warm_up": 0, "reduction": 0.0, "rise": 0.0, "loss_tol": -np.inf}
    n_outputs, scale = objective.training.y.shape[1], objective.output_scale
    if scale.size != n_outputs:
        scale = np.full(n_outputs, scale[0])
    return kernels.SecondOrderOptions(
        **(defaults | options),
        penalty=float(objective.alpha),
        weight_sum=objective.training.weight_sum,
        output_scale=scale,
    )
