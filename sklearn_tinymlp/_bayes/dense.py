"""The curvature of one output as a matrix of the parameters.

A = beta J^T J + diag(alpha) is represented by J^T J and, for given alpha and beta, by its Cholesky
factor. Matrices are in Fortran order, and zero above the diagonal.
"""

from dataclasses import dataclass

import numpy as np

from .._machine import lapack
from .._machine.memory import FRESH
from .._objective.objective import LinearBlock, Objective
from .precision import JacobianProduct, Precision


@dataclass(frozen=True)
class DenseJacobianProduct(JacobianProduct):
    """J^T J over all rows, of shape (n_parameters, n_parameters)."""

    jtj: np.ndarray

    def factorised(self, alpha, beta, damping=0.0, scratch=FRESH) -> "DensePrecision | None":
        matrix = scratch.array("factor", self.jtj.shape).T
        np.multiply(self.jtj, beta[0], out=matrix)
        _diagonal(matrix)[:] += alpha + damping
        return DensePrecision(alpha, beta, matrix) if lapack.cholesky(matrix) else None

    def mean_diagonal(self, alpha, beta) -> float:
        return float(beta[0] * _diagonal(self.jtj).sum() + alpha.sum()) / len(alpha)


@dataclass(frozen=True)
class DensePrecision(Precision):
    """A = L L^T, the precision of the weights' normal distribution."""

    alpha: np.ndarray  # (n_parameters,)
    beta: np.ndarray  # (1,)
    lower: np.ndarray  # L

    def solve(self, vector) -> np.ndarray:
        return lapack.cholesky_solve(self.lower, vector.copy())

    def log_determinant(self) -> float:
        return 2.0 * float(np.log(_diagonal(self.lower)).sum())

    def determined(self, groups, n_groups, scratch=FRESH) -> tuple[np.ndarray, np.ndarray]:
        root = scratch.array("root", self.lower.shape).T
        root[:] = self.lower
        lapack.invert_lower(root)  # A^-1 = L^-T L^-1
        diagonal = np.einsum("ij,ij->j", root, root)
        of_parameters = np.minimum(np.maximum(1.0 - self.alpha * diagonal, 0.0), 1.0)
        gamma = np.bincount(groups, of_parameters, n_groups)
        return gamma, gamma.sum(keepdims=True)

    def variances(self, network, block: LinearBlock) -> np.ndarray:
        columns = np.asfortranarray(jacobian_of(network, block))
        lapack.solve_triangular(self.lower, columns)
        return np.einsum("pr,pr->r", columns, columns)[None]

    def draw(self, random_state, n_draws) -> np.ndarray:
        normal = random_state.standard_normal((len(self.alpha), n_draws))
        return lapack.solve_triangular(self.lower, np.asfortranarray(normal), transposed=True)


def jacobian_of(network, block: LinearBlock, scratch=FRESH) -> np.ndarray:
    """Differentiate the output with respect to the weights, shape (n_parameters, n_rows)."""
    shape = network.architecture.n_parameters, block.at_outputs.shape[1]
    jacobian = scratch.array("jacobian", shape)
    network.fill_jacobian(jacobian, block.layers, block.values, block.slopes, block.at_outputs)
    return jacobian


def dense_product(objective: Objective, theta, passed=None, between=None, scratch=FRESH):
    """Compute J^T r of shape (1, n_parameters), and J^T J."""
    n_parameters = objective.network.architecture.n_parameters
    gradient = np.zeros(n_parameters)
    jtj = scratch.array("jtj", (n_parameters, n_parameters)).T
    jtj[:] = 0.0
    for block in objective.linearise(theta, passed, between):
        jacobian = jacobian_of(objective.network, block, scratch)
        gradient += jacobian @ block.residuals[0]
        lapack.add_gram_matrix(jacobian, jtj)
    return gradient[None], DenseJacobianProduct(jtj)


def _diagonal(matrix) -> np.ndarray:
    """Return a view of the diagonal, which can be written to."""
    return matrix.reshape(-1, order="F")[:: len(matrix) + 1]
