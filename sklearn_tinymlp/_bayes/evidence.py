"""MacKay's evidence: how strong the penalty and how large the noise is, from the data alone.

The objective of a Bayesian network (MacKay 1992, eq. 2.3; several outputs k, groups g of weights)

    S(theta) = sum_k beta_k E_k + sum_g alpha_g W_g,
    E_k = 1/2 sum (residuals of output k)^2,    W_g = 1/2 sum (weights of group g)^2

has at its minimum the Gauss-Newton Hessian A = sum_k beta_k J_k^T J_k + diag(alpha). Maximising
the evidence p(y | alpha, beta), the integral over theta by Laplace's method, gives

    gamma_g = n_g - alpha_g tr_g(A^-1)                 weights that the data determine
    alpha_g = gamma_g / (2 W_g)                        MacKay 1992, eq. 2.22
    beta_k  = (N_k - gamma_k) / (2 E_k)                with gamma_k = beta_k tr(J_k^T J_k A^-1)

Pure functions; nothing here knows networks.

References: D. MacKay, "A practical Bayesian framework for backpropagation networks", Neural
Computation 4 (1992) 448-472; F. Foresee and M. Hagan, "Gauss-Newton approximation to Bayesian
learning", ICNN 1997; R. Neal, "Bayesian learning for neural networks" (1996) for the groups.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from .._engine.linear_algebra import cholesky, cholesky_inverse, cholesky_solve, routines
from .._engine.second_order import GaussNewton
from .._machine.compilation import c_function, call_from_python, carray, once, part, unsigned

# Bounds that keep the arithmetic sound where the evidence has no finite maximum: a group whose
# weights vanish (alpha to infinity), data without noise (beta to infinity). On targets of variance
# 1 beta = 1e8 is a noise of 1e-4 standard deviations; beyond it A is so ill conditioned that
# rounding shows in the sixth digit of the predictions.
LEAST_ALPHA, MOST_ALPHA = 1e-8, 1e10
LEAST_BETA, MOST_BETA = 1e-6, 1e8


# Degrees of freedom that are left for the noise at least, where the weights take all.
LEAST_FREEDOM = 1e-3

one, two, three = unsigned(1), unsigned(2), unsigned(3)


class Hyperparameters(NamedTuple):
    """The precision of each group of weights and of each output's noise."""

    alpha: np.ndarray  # (n_groups,)
    beta: np.ndarray  # (n_outputs,)


class Evidence(NamedTuple):
    """What the evidence says at a minimum."""

    log_evidence: float  # NaN where A is not positive definite to rounding
    gamma: np.ndarray  # (n_groups,) effective parameters of each group
    next: Hyperparameters  # re-estimated


# The functions below are compiled by themselves and called by address, with the same arguments as
# their counterparts in `dual`: bare pointers to numbers of one kind, then sizes and addresses.
# `hyper` holds alpha, beta, the number of samples and the variance of y; `picture` J_k^T J_k of
# each output, of the shape (n_outputs, n_parameters, n_parameters). Of matrices the upper triangle
# counts.


def assemble(
    theta,
    groups,
    errors,
    gradients,
    picture,
    hyper,
    gradient,
    matrix,
    n_parameters,
    n_groups,
    n_outputs,
    n_residuals,
):
    """Write A to `matrix`; to `gradient` that of S, S, the largest entry and the trace of A."""
    size = n_parameters * n_parameters
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    errors, gradients = carray(errors, n_outputs), carray(gradients, n_outputs * n_parameters)
    picture, matrix = carray(picture, n_outputs * size), carray(matrix, size)
    hyper, gradient = carray(hyper, n_groups + n_outputs), carray(gradient, n_parameters + three)
    value, largest, trace = 0.0, 0.0, 0.0
    for ij in range(size):
        matrix[ij] = 0.0
    for i in range(n_parameters):
        alpha = hyper[unsigned(groups[i])]
        gradient[i] = alpha * theta[i]
        value += 0.5 * alpha * theta[i] * theta[i]
        matrix[i * n_parameters + i] = alpha
    for k in range(n_outputs):
        beta, row, part = hyper[n_groups + k], k * n_parameters, k * size
        value += beta * errors[k]
        for i in range(n_parameters):
            gradient[i] += beta * gradients[row + i]
        for ij in range(size):
            matrix[ij] += beta * picture[part + ij]
    for i in range(n_parameters):
        largest = max(largest, abs(gradient[i]))
        trace += matrix[i * n_parameters + i]
    gradient[n_parameters], gradient[n_parameters + one] = value, largest
    gradient[n_parameters + two] = trace


def solve(
    theta,
    groups,
    picture,
    residuals,
    hyper,
    gradient,
    matrix,
    factor,
    step,
    numbers,
    n_parameters,
    n_groups,
    n_outputs,
    n_residuals,
    syrk,
    potrf,
    potrs,
    potri,
):
    """Solve (A + mu I) step = -gradient for mu = numbers[0]; write there the fall predicted.

    The fall that A predicts is -g step - 1/2 step A step, where A step = -g - mu step. It is -1
    where A + mu I is not positive definite to rounding.
    """
    size = n_parameters * n_parameters
    matrix, factor = carray(matrix, size), carray(factor, size)
    gradient, step = carray(gradient, n_parameters), carray(step, n_parameters)
    numbers = carray(numbers, one)
    mu = numbers[0]
    for ij in range(size):
        factor[ij] = matrix[ij]
    for i in range(n_parameters):
        factor[i * n_parameters + i] += mu
        step[i] = -gradient[i]
    numbers[0] = -1.0
    if cholesky(potrf, factor, n_parameters):
        cholesky_solve(potrs, factor, n_parameters, step)
        predicted = 0.0
        for i in range(n_parameters):
            predicted += 0.5 * step[i] * (mu * step[i] - gradient[i])
        numbers[0] = predicted


def evaluate(
    theta,
    groups,
    errors,
    picture,
    hyper,
    matrix,
    factor,
    result,
    n_parameters,
    n_groups,
    n_outputs,
    n_residuals,
    syrk,
    potrf,
    potrs,
    potri,
):
    """Write to `result` the log evidence, gamma, and alpha and beta re-estimated; see `evidence`.

    `matrix` is A of `assemble`.
    """
    size = n_parameters * n_parameters
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    errors, picture = carray(errors, n_outputs), carray(picture, n_outputs * size)
    matrix, factor = carray(matrix, size), carray(factor, size)
    hyper = carray(hyper, n_groups + n_outputs + two)
    result = carray(result, one + n_groups + n_groups + n_outputs)
    gamma, next_alpha = one, one + n_groups  # where they begin in the result
    next_beta = next_alpha + n_groups
    for i in range(one + n_groups + n_groups + n_outputs):
        result[i] = 0.0
    for ij in range(size):
        factor[ij] = matrix[ij]
    if not cholesky(potrf, factor, n_parameters):
        result[0] = math.nan
        return

    total = 0.0
    for i in range(n_parameters):
        total += 0.5 * math.log(hyper[unsigned(groups[i])])
        total -= math.log(factor[i * n_parameters + i])
    result[0] = total
    cholesky_inverse(potri, factor, n_parameters)
    for i in range(n_parameters):
        g = unsigned(groups[i])
        determined = 1.0 - hyper[g] * factor[i * n_parameters + i]
        result[gamma + g] += min(max(determined, 0.0), 1.0)
    for k in range(n_outputs):
        determined = 0.0
        if n_outputs == one:
            for g in range(n_groups):
                determined += result[gamma + g]
        else:
            for i in range(n_parameters):
                row = i * n_parameters
                here = k * size + row
                determined += picture[here + i] * factor[row + i]
                for j in range(i + one, n_parameters):
                    determined += 2.0 * picture[here + j] * factor[row + j]
            determined *= hyper[n_groups + k]
        result[next_beta + k] = determined
    re_estimate(theta, groups, errors, hyper, result, n_parameters, n_groups, n_outputs)


@part
def re_estimate(theta, groups, errors, hyper, result, n_parameters, n_groups, n_outputs):
    """Finish the result, which holds the determinants, gamma and in the place of beta gamma_k."""
    gamma, next_alpha = one, one + n_groups
    next_beta = next_alpha + n_groups
    n_samples, variance = hyper[n_groups + n_outputs], hyper[n_groups + n_outputs + one]
    for i in range(n_parameters):  # next_alpha holds W_g for now
        result[next_alpha + unsigned(groups[i])] += 0.5 * theta[i] * theta[i]
    for g in range(n_groups):
        weights = result[next_alpha + g]
        result[0] -= hyper[g] * weights
        alpha = MOST_ALPHA if result[gamma + g] > 0.0 else 1.0
        if weights > 0.0:
            alpha = result[gamma + g] / (2.0 * weights)
        result[next_alpha + g] = min(max(alpha, LEAST_ALPHA), MOST_ALPHA)
    for k in range(n_outputs):
        beta = hyper[n_groups + k]
        result[0] += 0.5 * n_samples * math.log(beta / (2.0 * math.pi)) - beta * errors[k]
        free = max(n_samples - result[next_beta + k], LEAST_FREEDOM)
        beta = free / (2.0 * errors[k]) if errors[k] > 0.0 else math.inf
        result[next_beta + k] = min(max(beta, LEAST_BETA / variance), MOST_BETA / variance)


@once
def compiled():
    """Compile `assemble`, `solve` and `evaluate`."""
    shapes = ((assemble, 8, 4), (solve, 10, 8), (evaluate, 8, 8))
    return [c_function(*shape, "float64") for shape in shapes]


def hessian(picture: GaussNewton, hyper: Hyperparameters, groups: np.ndarray) -> np.ndarray:
    """Give A = sum_k beta_k J_k^T J_k + diag(alpha); the upper triangle counts."""
    A = np.einsum("k,kij->ij", hyper.beta, picture.hessians)
    A[np.diag_indices_from(A)] += hyper.alpha[groups]
    return A


def cholesky_factor(picture, hyper, groups) -> np.ndarray:
    """Give the lower factor L of A = L L^T.

    Where rounding hides that A is positive definite, as much as rounding may have taken is added to
    its diagonal, and ten times as much until it shows.
    """
    A = hessian(picture, hyper, groups)
    diagonal = np.diag_indices_from(A)
    rounding = np.finfo(float).eps * A[diagonal].max()
    while True:
        factor, failed = lapack.dpotrf(A.T, lower=1, clean=1)
        if not failed:
            return factor
        A[diagonal] += rounding
        rounding *= 10.0


def evidence(
    theta: np.ndarray,
    gauss_newton: GaussNewton,
    hyper: Hyperparameters,
    groups: np.ndarray,
    n_samples: float,
    variance: float = 1.0,
) -> Evidence:
    """Evaluate the log evidence at theta and re-estimate the hyperparameters.

    Parameters
    ----------
    theta : ndarray of shape (n_parameters,)
    gauss_newton : GaussNewton
        At theta.
    hyper : Hyperparameters
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter.
    n_samples : float
        Number, or total weight, of the samples.
    variance : float, default=1.0
        Of the targets, for the bounds of beta.
    """
    n_parameters, n_groups, n_outputs = theta.size, hyper.alpha.size, hyper.beta.size
    result = np.empty(1 + 2 * n_groups + n_outputs)
    arrays = (
        theta,
        groups.astype(float),
        gauss_newton.errors,
        gauss_newton.hessians,
        np.concatenate([hyper.alpha, hyper.beta, [n_samples, variance]]),
        hessian(gauss_newton, hyper, groups),
        np.empty((n_parameters, n_parameters)),
        result,
    )
    sizes = (n_parameters, n_groups, n_outputs, 0, *routines())
    call_from_python(compiled()[2], arrays, sizes)
    gamma, alpha, beta = np.split(result[1:], [n_groups, 2 * n_groups])
    return Evidence(float(result[0]), gamma, Hyperparameters(alpha, beta))
