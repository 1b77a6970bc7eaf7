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

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

# Bounds that keep the arithmetic sound where the evidence has no finite maximum: a group whose
# weights vanish (alpha to infinity), data without noise (beta to infinity). On standardised
# targets beta = 1e8 is a noise of 1e-4 standard deviations; beyond it A is so ill conditioned that
# rounding shows in the sixth digit of the predictions.
ALPHA_BOUNDS = (1e-8, 1e10)
BETA_BOUNDS = (1e-6, 1e8)


class Hyperparameters(NamedTuple):
    """The precision of each group of weights and of each output's noise."""

    alpha: np.ndarray  # (n_groups,)
    beta: np.ndarray  # (n_outputs,)


class GaussNewton(NamedTuple):
    """Second-order picture of the data term at some theta."""

    errors: np.ndarray  # (n_outputs,) E_k
    gradients: np.ndarray  # (n_outputs, n_parameters) J_k^T r_k
    hessians: np.ndarray  # (n_outputs, n_parameters, n_parameters) J_k^T J_k, lower triangle


class Evidence(NamedTuple):
    """What the evidence says at a minimum."""

    log_evidence: float
    gamma: np.ndarray  # (n_groups,) effective parameters of each group
    next: Hyperparameters  # re-estimated
    cholesky: np.ndarray  # lower factor of A


def hessian(gauss_newton: GaussNewton, hyper: Hyperparameters, groups: np.ndarray) -> np.ndarray:
    """Give the lower triangle of A = sum_k beta_k J_k^T J_k + diag(alpha), in Fortran order."""
    A = np.zeros(gauss_newton.hessians.shape[1:], order="F")
    for beta, part in zip(hyper.beta, gauss_newton.hessians, strict=True):
        A += beta * part
    A[np.diag_indices_from(A)] += hyper.alpha[groups]
    return A


def evidence(
    theta: np.ndarray,
    gauss_newton: GaussNewton,
    hyper: Hyperparameters,
    groups: np.ndarray,
    n_samples: float,
) -> Evidence | None:
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

    Returns
    -------
    Evidence, or None when A is not positive definite to rounding.
    """
    alpha, beta = hyper
    factor, failed = lapack.dpotrf(hessian(gauss_newton, hyper, groups), lower=1, clean=1)
    if failed:
        return None
    inverse, _ = lapack.dpotri(factor, lower=1)
    n_groups = len(alpha)
    sizes = np.bincount(groups, minlength=n_groups)
    weights = 0.5 * np.bincount(groups, theta * theta, minlength=n_groups)
    gamma = sizes - alpha * np.bincount(groups, np.diag(inverse), minlength=n_groups)
    gamma = np.clip(gamma, 0.0, sizes)
    log_evidence = (
        -(beta @ gauss_newton.errors)
        - alpha @ weights
        - np.log(np.diag(factor)).sum()
        + 0.5 * sizes @ np.log(alpha)
        + 0.5 * n_samples * np.log(beta / (2.0 * np.pi)).sum()
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        next_alpha = np.clip(np.nan_to_num(gamma / (2.0 * weights), nan=1.0), *ALPHA_BOUNDS)
        free = np.maximum(n_samples - _determined(beta, gauss_newton, inverse, gamma), 1e-3)
        next_beta = np.clip(free / (2.0 * gauss_newton.errors), *BETA_BOUNDS)
    return Evidence(float(log_evidence), gamma, Hyperparameters(next_alpha, next_beta), factor)


def _determined(beta, gauss_newton, inverse, gamma):
    """gamma_k: how many parameters each output's data determine; they sum to that of the groups."""
    if len(beta) == 1:
        return gamma.sum(keepdims=True)
    doubled = 2.0 * np.tril(inverse, -1) + np.diag(np.diag(inverse))
    return beta * np.array([np.vdot(np.tril(part), doubled) for part in gauss_newton.hessians])
