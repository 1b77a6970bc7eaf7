"""The evidence from a sample of rows: how many, and what they say of alpha, beta and A.

Of m rows out of n the Gauss-Newton matrix is taken n / m times. Up to `MOST_PARAMETERS` it is a
matrix of the parameters, of 10 rows a parameter. Beyond there is no evidence, and A is kept as the
m columns of

    K = D^-1/2 [sqrt(beta_k n / m) J_k^T]_k,    D = diag(alpha),    A = D^1/2 (1 + K K^T) D^1/2,

whose eigenvectors U and eigenvalues s^2 follow from K^T K = V diag(s^2) V^T as U = K V / s.
m rows determine m parameters at most, so they cannot say how many the data determine: where alpha
was re-estimated from them it came out too small, and the noise went to zero.
"""

from typing import NamedTuple

import numpy as np

from .._engine.objective import Objective
from .._engine.second_order import gauss_newton, residual_jacobian
from . import pseudo_values
from .evidence import Evidence, Hyperparameters, cholesky_factor, evidence
from .precision import CholeskyPrecision, LowRankPrecision, Precision

# Rows of a sample for each parameter. The eigenvalues of a matrix from m rows are off by factors of
# about 1 +- 2 sqrt(P / m); with 5 P L-BFGS took half as many steps again.
ROWS_A_PARAMETER, LEAST_ROWS = 10, 2000

# Up to here A is a matrix of the parameters: of 32 MB, whose Cholesky factor takes 0.2 s.
MOST_PARAMETERS = 2000

# ... for one output; all matrices of the parameters together have at most so many numbers, 64 MB.
MOST_NUMBERS = 8_000_000

# Columns of K: their matrix takes a tenth of a second.
MOST_COLUMNS = 500

# alpha and beta are re-estimated at most so often from one matrix of the parameters: while a
# ln alpha moves by more than its own standard deviation, sqrt(2 / gamma).
RE_ESTIMATIONS = 3

# Directions that the data determine less than this are left out of a precision.
LEAST_STRENGTH = 1e-3


class Judgement(NamedTuple):
    """What a sample of rows, and the errors of all, say at some theta."""

    log_evidence: float
    gamma: np.ndarray  # (n_groups,)
    next: Hyperparameters  # re-estimated
    precision: Precision
    stiffness: float = 1.0  # of the loss, see `pseudo_values`


def is_dense(n_parameters: int, n_outputs: int) -> bool:
    """Whether A is kept as a matrix of the parameters."""
    numbers = (n_outputs + 3) * n_parameters**2
    return n_parameters <= MOST_PARAMETERS and numbers <= MOST_NUMBERS


def sample_size(n_parameters: int, n_outputs: int) -> int:
    """Give the number of rows that the curvature is taken from, where there are as many."""
    if is_dense(n_parameters, n_outputs):
        return max(LEAST_ROWS, ROWS_A_PARAMETER * n_parameters)
    return max(1, min(MOST_COLUMNS, MOST_NUMBERS // n_parameters) // n_outputs)


def sample_of(objective: Objective, n_parameters: int, random_state) -> tuple[Objective, float]:
    """Draw rows; give the objective on them, and how often each stands for a row of all."""
    n_rows, n_outputs = objective.training.y.shape
    size = sample_size(n_parameters, n_outputs)
    if size >= n_rows:
        return objective, 1.0
    sample = objective.on_rows(np.sort(random_state.permutation(n_rows)[:size]))
    if sample.training.weight_sum == 0.0:  # of weights most of which are zero
        return objective, 1.0
    return sample, objective.training.weight_sum / sample.training.weight_sum


def judge(
    objective: Objective,
    theta: np.ndarray,
    hyper: Hyperparameters,
    groups,
    random_state,
    residuals=None,
) -> Judgement:
    """Re-estimate alpha and beta at theta from the curvature of a sample of rows.

    Parameters
    ----------
    objective : Objective
    theta : ndarray of shape (n_parameters,)
    hyper : Hyperparameters
    groups : ndarray of shape (n_parameters,) of int
        The group of each parameter.
    random_state : RandomState
        Draws the rows.
    residuals : ndarray of shape (n_samples, 1), default=None
        Of another loss than the squared error, see `pseudo_values.least_squares_like`.
    """
    n_samples, variance = objective.training.weight_sum, objective.variance()
    objective, errors, stiffness = pseudo_values.least_squares_like(objective, theta, residuals)
    sample, times = sample_of(objective, theta.size, random_state)
    picture = gauss_newton(sample, theta)
    picture = picture._replace(errors=errors, hessians=times * picture.hessians)
    most_beta = pseudo_values.most_beta(objective)
    for _ in range(RE_ESTIMATIONS):
        judged = evidence(theta, picture, hyper, groups, n_samples, variance)
        if not np.isfinite(judged.log_evidence):
            break
        settled = _is_settled(hyper, judged)
        hyper = judged.next._replace(beta=np.minimum(judged.next.beta, most_beta))
        if settled:
            break
    precision = CholeskyPrecision(cholesky_factor(picture, hyper, groups))
    return Judgement(judged.log_evidence, judged.gamma, hyper, precision, stiffness)


def _is_settled(hyper: Hyperparameters, judged: Evidence) -> bool:
    """Whether each ln alpha moved by less than the width of its evidence (`_bayes.groups`)."""
    moved = np.abs(np.log(judged.next.alpha / hyper.alpha))
    return bool((moved * np.sqrt(0.5 * judged.gamma) < 1.0).all())


def precision_at(
    objective: Objective, theta: np.ndarray, hyper: Hyperparameters, groups, between=None
) -> Precision:
    """Give A at theta; `objective` is that of a sample with the weights of all rows."""
    if is_dense(theta.size, objective.training.y.shape[1]):
        picture = gauss_newton(objective, theta, between)
        return CholeskyPrecision(cholesky_factor(picture, hyper, groups))
    return low_rank_precision(residual_jacobian(objective, theta)[1], hyper, groups)


def low_rank_precision(jacobian, hyper: Hyperparameters, groups) -> LowRankPrecision:
    """Give A from a Jacobian of the shape (n_outputs, n_parameters, n_rows)."""
    diagonal = hyper.alpha[groups]
    columns = np.concatenate(list(np.sqrt(hyper.beta)[:, None, None] * jacobian), axis=1)
    columns /= np.sqrt(diagonal)[:, None]
    strengths, vectors = np.linalg.eigh(columns.T @ columns)
    kept = strengths > LEAST_STRENGTH
    directions = columns @ (vectors[:, kept] / np.sqrt(strengths[kept]))
    return LowRankPrecision(diagonal, directions, strengths[kept])
