"""MacKay's evidence: the strength of the penalty and the size of the noise, from the data alone.

The objective of a Bayesian network (MacKay 1992, eq. 2.3; several outputs k, groups g of weights)

    S(theta) = sum_k beta_k E_k + sum_g alpha_g W_g,
    E_k = 1/2 sum (residuals of output k)^2,    W_g = 1/2 sum (weights of group g)^2

has at its minimum the Gauss-Newton Hessian A = sum_k beta_k J_k^T J_k + diag(alpha). Maximising
the evidence p(y | alpha, beta), the integral over theta by Laplace's method, gives

    gamma_g = n_g - alpha_g tr_g(A^-1)                 effective parameters
    alpha_g = gamma_g / (2 W_g)                        MacKay 1992, eq. 2.22
    beta_k  = (N_k - gamma_k) / (2 E_k)                with gamma_k = beta_k tr(J_k^T J_k A^-1)

A penalty given by the user is a bound, alpha_g >= r_g beta for the smallest beta. Where it is
active, for groups b with alpha_b = r_b beta, the derivative by beta is zero at

    beta = (N - gamma + sum_b gamma_b) / (2 (E + sum_b r_b W_b))     N, gamma, E of its output

A is any of the kinds of `_bayes.curvature`.

References: D. MacKay, "A practical Bayesian framework for backpropagation networks", Neural
Computation 4 (1992) 448-472; F. Foresee and M. Hagan, "Gauss-Newton approximation to Bayesian
learning", ICNN 1997; R. Neal, "Bayesian learning for neural networks" (1996) for the groups.
"""

import math
from typing import NamedTuple

import numpy as np

from .._machine.memory import FRESH

# Bounds where the evidence has no finite maximum: a group whose weights vanish (alpha to infinity),
# data without noise (beta to infinity). For targets of variance 1, beta = 1e8 is noise of 1e-4
# standard deviations; above it A is so ill conditioned that rounding shows in the sixth digit of
# the predictions.
LEAST_ALPHA, MOST_ALPHA = 1e-8, 1e10
LEAST_BETA, MOST_BETA = 1e-6, 1e8

# Effective parameters of a group of which the data determine nothing, but for rounding, and its
# least alpha. Of a constant input gamma / 2 W would be zero, and its start weights stay: a level
# without rows was predicted 2 standard deviations off.
LEAST_GAMMA, UNKNOWN_ALPHA = 1e-10, 1.0

# Minimum number of degrees of freedom of the noise.
LEAST_FREEDOM = 1e-3


class Hyperparameters(NamedTuple):
    """Precisions of each group of weights and of the noise of each output."""

    alpha: np.ndarray  # (n_groups,)
    beta: np.ndarray  # (n_outputs,)

    def with_ratio(self, least_ratio) -> "Hyperparameters":
        """Raise each alpha to at least `least_ratio` times the smallest beta."""
        return self._replace(alpha=np.maximum(self.alpha, least_ratio * self.beta.min()))


class Evidence(NamedTuple):
    """The evidence at a minimum, and the re-estimated alpha and beta."""

    log_evidence: float  # NaN where A is not positive definite to rounding
    gamma: np.ndarray  # (n_groups,) effective parameters of each group
    next: Hyperparameters


def evidence(
    theta, errors, precision, hyper, groups, n_samples, variance=1.0, scratch=FRESH, least_ratio=0.0
) -> Evidence:
    """Evaluate the log evidence at theta and re-estimate the hyperparameters.

    `errors` are the E_k, `groups` the group of each parameter, `n_samples` the total weight of the
    samples, and `variance` the variance of the targets, for the bounds of beta. `precision` is A
    factorised at `hyper`, or None where that failed. `least_ratio` (n_groups,) bounds alpha / beta.
    """
    alpha, beta = hyper
    n_groups = len(alpha)
    if precision is None:
        return Evidence(math.nan, np.zeros(n_groups), hyper)
    gamma, of_outputs = precision.determined(groups, n_groups, scratch)
    squares = 0.5 * np.bincount(groups, theta * theta, n_groups)
    counts = np.bincount(groups, minlength=n_groups)
    prior = 0.5 * counts @ np.log(alpha) - alpha @ squares
    likelihood = 0.5 * n_samples * np.log(beta / (2.0 * math.pi)).sum() - beta @ errors
    log_evidence = float(prior + likelihood - 0.5 * precision.log_determinant())
    following = re_estimated(gamma, of_outputs, squares, errors, n_samples, variance, least_ratio)
    unknown = np.maximum(alpha, UNKNOWN_ALPHA)
    following = following._replace(alpha=np.where(gamma > LEAST_GAMMA, following.alpha, unknown))
    return Evidence(log_evidence, gamma, following.with_ratio(least_ratio))


def re_estimated(
    gamma, of_outputs, squares, errors, n_samples, variance, least_ratio=0.0
) -> Hyperparameters:
    """Compute alpha and beta from the effective parameters, W of each group and E of each output.

    The caller suppresses warnings of division by zero.
    """
    at_zero_weights = np.where(gamma > 0.0, np.inf, 1.0)
    alpha = np.where(squares > 0.0, gamma / (2.0 * squares), at_zero_weights)
    alpha = np.minimum(np.maximum(alpha, LEAST_ALPHA), MOST_ALPHA)
    freedom = np.maximum(n_samples - of_outputs, LEAST_FREEDOM)
    beta = freedom / (2.0 * errors)
    noisiest = beta.argmin()
    bound = alpha < least_ratio * beta[noisiest]
    if bound.any():
        freedom = freedom[noisiest] + gamma[bound].sum()
        beta[noisiest] = freedom / (2.0 * (errors[noisiest] + (least_ratio * squares)[bound].sum()))
    beta = np.minimum(np.maximum(beta, LEAST_BETA / variance), MOST_BETA / variance)
    return Hyperparameters(alpha, beta).with_ratio(least_ratio)
