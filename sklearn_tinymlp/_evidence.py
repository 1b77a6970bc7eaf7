"""MacKay's evidence: how strong the penalty and how large the noise is, from the data alone.

The objective of a Bayesian network (MacKay 1992, eq. 2.3; several outputs k, groups g of weights)

    S(theta) = sum_k beta_k E_k + sum_g alpha_g W_g,
    E_k = 1/2 sum (residuals of output k)^2,    W_g = 1/2 sum (weights of group g)^2

has at its minimum the Gauss-Newton Hessian A = sum_k beta_k J_k^T J_k + diag(alpha). Maximising
the evidence p(y | alpha, beta), the integral over theta by Laplace's method, gives

    gamma_g = n_g - alpha_g tr_g(A^-1)                 weights that the data determine
    alpha_g = gamma_g / (2 W_g)                        MacKay 1992, eq. 2.22
    beta_k  = (N_k - gamma_k) / (2 E_k)                with gamma_k = beta_k tr(J_k^T J_k A^-1)

Pure functions; nothing here knows networks. `assemble` and `evaluate` are compiled by themselves,
and called by their addresses from the loop of `_kernels`.

References: D. MacKay, "A practical Bayesian framework for backpropagation networks", Neural
Computation 4 (1992) 448-472; F. Foresee and M. Hagan, "Gauss-Newton approximation to Bayesian
learning", ICNN 1997; R. Neal, "Bayesian learning for neural networks" (1996) for the groups.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from ._compilation import c_function, call, carray, unsigned
from ._linear_algebra import cholesky, cholesky_inverse, routines

# Bounds that keep the arithmetic sound where the evidence has no finite maximum: a group whose
# weights vanish (alpha to infinity), data without noise (beta to infinity). On standardised
# targets beta = 1e8 is a noise of 1e-4 standard deviations; beyond it A is so ill conditioned that
# rounding shows in the sixth digit of the predictions.
LEAST_ALPHA, MOST_ALPHA = 1e-8, 1e10
LEAST_BETA, MOST_BETA = 1e-6, 1e8


# Degrees of freedom that are left for the noise at least, where the weights take all.
LEAST_FREEDOM = 1e-3


class Hyperparameters(NamedTuple):
    """The precision of each group of weights and of each output's noise."""

    alpha: np.ndarray  # (n_groups,)
    beta: np.ndarray  # (n_outputs,)


class GaussNewton(NamedTuple):
    """Second-order picture of the data term at some theta."""

    errors: np.ndarray  # (n_outputs,) E_k
    gradients: np.ndarray  # (n_outputs, n_parameters) J_k^T r_k
    hessians: np.ndarray  # (n_outputs, n_parameters, n_parameters) J_k^T J_k, upper triangle


class Evidence(NamedTuple):
    """What the evidence says at a minimum."""

    log_evidence: float  # NaN where A is not positive definite to rounding
    gamma: np.ndarray  # (n_groups,) effective parameters of each group
    next: Hyperparameters  # re-estimated


def assemble(
    theta,
    groups,
    errors,
    gradients,
    hessians,
    hyper,
    gradient,
    matrix,
    n_parameters,
    n_groups,
    n_outputs,
):
    """Write A to `matrix`, upper triangle, and the gradient of S, S and the largest entry of it.

    `hyper` holds alpha, beta and the number of samples. All numbers are of one kind, those of the
    groups too, because the arrays come as bare pointers.
    """
    size = n_parameters * n_parameters
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    errors, gradients = carray(errors, n_outputs), carray(gradients, n_outputs * n_parameters)
    hessians, matrix = carray(hessians, n_outputs * size), carray(matrix, size)
    hyper = carray(hyper, n_groups + n_outputs)
    gradient = carray(gradient, n_parameters + unsigned(2))
    value = 0.0
    for i in range(n_parameters):
        alpha = hyper[unsigned(groups[i])]
        gradient[i] = alpha * theta[i]
        value += 0.5 * alpha * theta[i] * theta[i]
    for ij in range(size):
        matrix[ij] = 0.0
    for k in range(n_outputs):
        beta, row, part = hyper[n_groups + k], k * n_parameters, k * size
        value += beta * errors[k]
        for i in range(n_parameters):
            gradient[i] += beta * gradients[row + i]
        for ij in range(size):
            matrix[ij] += beta * hessians[part + ij]
    largest = 0.0
    for i in range(n_parameters):
        matrix[i * n_parameters + i] += hyper[unsigned(groups[i])]
        largest = max(largest, abs(gradient[i]))
    gradient[n_parameters], gradient[n_parameters + unsigned(1)] = value, largest


def evaluate(
    theta,
    groups,
    errors,
    hessians,
    hyper,
    matrix,
    result,
    n_parameters,
    n_groups,
    n_outputs,
    potrf,
    potri,
):
    """Write to `result` the log evidence, gamma, and alpha and beta re-estimated; see `evidence`.

    `matrix` is A of `assemble`, and is lost.
    """
    one = unsigned(1)
    theta, groups = carray(theta, n_parameters), carray(groups, n_parameters)
    errors = carray(errors, n_outputs)
    size = n_parameters * n_parameters
    hessians, matrix = carray(hessians, n_outputs * size), carray(matrix, size)
    hyper = carray(hyper, n_groups + n_outputs + one)
    result = carray(result, one + n_groups + n_groups + n_outputs)
    n_samples = hyper[n_groups + n_outputs]
    gamma, next_alpha = one, one + n_groups  # where they begin in the result
    next_beta = next_alpha + n_groups
    for i in range(one + n_groups + n_groups + n_outputs):
        result[i] = 0.0
    if not cholesky(potrf, matrix, n_parameters):
        result[0] = math.nan
        return

    total = 0.0
    for i in range(n_parameters):  # next_alpha holds W_g for now
        g = unsigned(groups[i])
        total += 0.5 * math.log(hyper[g]) - math.log(matrix[i * n_parameters + i])
        result[next_alpha + g] += 0.5 * theta[i] * theta[i]
    for g in range(n_groups):
        total -= hyper[g] * result[next_alpha + g]
    for k in range(n_outputs):
        beta = hyper[n_groups + k]
        total += 0.5 * n_samples * math.log(beta / (2.0 * math.pi)) - beta * errors[k]
    result[0] = total

    cholesky_inverse(potri, matrix, n_parameters)
    for i in range(n_parameters):
        g = unsigned(groups[i])
        determined = 1.0 - hyper[g] * matrix[i * n_parameters + i]
        result[gamma + g] += min(max(determined, 0.0), 1.0)
    sum_of_gamma = 0.0
    for g in range(n_groups):
        sum_of_gamma += result[gamma + g]
        weights = result[next_alpha + g]
        alpha = MOST_ALPHA if result[gamma + g] > 0.0 else 1.0
        if weights > 0.0:
            alpha = result[gamma + g] / (2.0 * weights)
        result[next_alpha + g] = min(max(alpha, LEAST_ALPHA), MOST_ALPHA)
    for k in range(n_outputs):
        gamma_k = sum_of_gamma
        if n_outputs > one:
            gamma_k = 0.0
            for i in range(n_parameters):
                row = i * n_parameters
                here = k * size + row
                gamma_k += hessians[here + i] * matrix[row + i]
                for j in range(i + one, n_parameters):
                    gamma_k += 2.0 * hessians[here + j] * matrix[row + j]
            gamma_k *= hyper[n_groups + k]
        free = max(n_samples - gamma_k, LEAST_FREEDOM)
        beta = free / (2.0 * errors[k]) if errors[k] > 0.0 else MOST_BETA
        result[next_beta + k] = min(max(beta, LEAST_BETA), MOST_BETA)


@cache
def compiled():
    """Compile `assemble` and `evaluate`, once a process; keep them alive."""
    return c_function(assemble, 8, 3, "float64"), c_function(evaluate, 7, 5, "float64")


def hessian(picture: GaussNewton, hyper: Hyperparameters, groups: np.ndarray) -> np.ndarray:
    """Give A = sum_k beta_k J_k^T J_k + diag(alpha); the upper triangle counts."""
    A = np.einsum("k,kij->ij", hyper.beta, picture.hessians)
    A[np.diag_indices_from(A)] += hyper.alpha[groups]
    return A


def cholesky_factor(picture, hyper, groups) -> np.ndarray | None:
    """Give the lower factor L of A = L L^T, or None where A is not positive definite."""
    factor, failed = lapack.dpotrf(hessian(picture, hyper, groups).T, lower=1, clean=1)
    return None if failed else factor


def evidence(
    theta: np.ndarray,
    gauss_newton: GaussNewton,
    hyper: Hyperparameters,
    groups: np.ndarray,
    n_samples: float,
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
    """
    n_parameters, n_groups, n_outputs = theta.size, hyper.alpha.size, hyper.beta.size
    result = np.empty(1 + 2 * n_groups + n_outputs)
    arrays = (
        theta,
        groups.astype(float),
        gauss_newton.errors,
        gauss_newton.hessians,
        np.concatenate([hyper.alpha, hyper.beta, [n_samples]]),
        hessian(gauss_newton, hyper, groups),
        result,
    )
    la = routines()
    sizes = (n_parameters, n_groups, n_outputs, la.potrf, la.potri)
    call(compiled()[1].address, arrays, (0,) * len(arrays), sizes)
    gamma, alpha, beta = np.split(result[1:], [n_groups, 2 * n_groups])
    return Evidence(float(result[0]), gamma, Hyperparameters(alpha, beta))
