"""The curvature of one output as a matrix of the parameters.

A = beta J^T J + diag(alpha), held by J^T J and, for given alpha and beta, by its Cholesky factor.
Matrices are in Fortran order, and zero above the diagonal.
"""

from dataclasses import dataclass

import numpy as np

from .._machine import lapack
from .._machine.memory import FRESH
from .._objective.objective import LinearBlock, Objective


@dataclass(frozen=True)
class DenseJacobianProduct:
    """J^T J over all rows, of shape (n_parameters, n_parameters)."""

    jtj: np.ndarray

    def factorised(self, alpha, beta, damping=0.0, scratch=FRESH) -> "DensePrecision | None":
        """Factorise A + damping I; None where it is not positive definite to rounding."""
        matrix = scratch.array("factor", self.jtj.shape).T
        np.multiply(self.jtj, beta[0], out=matrix)
        _diagonal(matrix)[:] += alpha + damping
        return DensePrecision(alpha, beta, matrix) if lapack.cholesky(matrix) else None

    def mean_diagonal(self, alpha, beta) -> float:
        """Compute the mean diagonal entry of A, the unit of the damping."""
        return float(beta[0] * _diagonal(self.jtj).sum() + alpha.sum()) / len(alpha)

    def certainly_factorised(self, alpha, beta) -> "DensePrecision":
        """Factorise A, with as much added to its diagonal as rounding may have taken from it."""
        found = self.factorised(alpha, beta)
        rounding = np.finfo(float).eps * float((beta[0] * _diagonal(self.jtj) + alpha).max())
        while found is None:
            lapack.require_finite(rounding)
            found = self.factorised(alpha, beta, rounding)
            rounding *= 10.0
        return found


@dataclass(frozen=True)
class DensePrecision:
    """A = L L^T, the precision of the weights' normal distribution."""

    alpha: np.ndarray  # (n_parameters,)
    beta: np.ndarray  # (1,)
    lower: np.ndarray  # L

    def solve(self, vector) -> np.ndarray:
        """Compute A^-1 v."""
        return lapack.cholesky_solve(self.lower, vector.copy())

    def newton_step(self, gradient, theta) -> np.ndarray:
        """Compute -A^-1 g for the gradient g at theta."""
        return lapack.cholesky_solve(self.lower, -gradient)

    def log_determinant(self) -> float:
        """Compute log det A."""
        return 2.0 * float(np.log(_diagonal(self.lower)).sum())

    def determined(self, groups, n_groups, scratch=FRESH) -> tuple[np.ndarray, np.ndarray]:
        """Compute how many parameters the data determine, of each group and of each output.

        gamma_g = n_g - alpha_g tr_g(A^-1), and with one output the sum of these.
        """
        root = scratch.array("root", self.lower.shape).T
        root[:] = self.lower
        lapack.invert_lower(root)  # A^-1 = L^-T L^-1
        diagonal = np.einsum("ij,ij->j", root, root)
        of_parameters = np.minimum(np.maximum(1.0 - self.alpha * diagonal, 0.0), 1.0)
        gamma = np.bincount(groups, of_parameters, n_groups)
        return gamma, gamma.sum(keepdims=True)

    def variances(self, network, block: LinearBlock) -> np.ndarray:
        """Compute j A^-1 j^T of each output and row, shape (1, n_rows)."""
        jacobian = jacobian_of(network, block)
        columns = np.asfortranarray(jacobian)
        lapack.solve_triangular(self.lower, columns)
        return np.einsum("pr,pr->r", columns, columns)[None]

    def of_posterior(self) -> "DensePrecision":
        """Return it without what only training needs."""
        return self

    def draw(self, random_state, n_draws) -> np.ndarray:
        """Draw weights from N(0, A^-1), shape (n_parameters, n_draws)."""
        normal = random_state.standard_normal((len(self.alpha), n_draws))
        return lapack.solve_triangular(self.lower, np.asfortranarray(normal), transposed=True)


def jacobian_of(network, block: LinearBlock, scratch=FRESH) -> np.ndarray:
    """Differentiate the one output by the weights, shape (n_parameters, n_rows)."""
    shape = network.architecture.n_parameters, block.at_outputs.shape[1]
    jacobian = scratch.array("jacobian", shape)
    deltas = network.deltas(block.layers, block.slopes, block.at_outputs)
    for layer, (values, delta) in enumerate(zip(block.values, deltas, strict=False)):
        network.jacobian_of_layer(jacobian, layer, values, delta)
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
