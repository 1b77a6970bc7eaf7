"""`Precision`: the matrix A of the evidence, whole or of low rank, by the factor that is used.

Both forms give A = L L^T and know L by what it does:

    whiten(x) = L^-1 x,    unwhiten(u) = L^-T u,    color(theta) = L^T theta,

so that j A^-1 j^T = |whiten(j)|^2, unwhiten of standard normal numbers has the covariance A^-1, and
S(theta) in the coordinates u = color(theta) is as good as round.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.linalg import solve_triangular


class Precision(Protocol):
    """A = L L^T; the methods take vectors or matrices of columns."""

    def whiten(self, columns: np.ndarray) -> np.ndarray:
        """Compute L^-1 x."""

    def unwhiten(self, columns: np.ndarray) -> np.ndarray:
        """Compute L^-T u."""

    def color(self, theta: np.ndarray) -> np.ndarray:
        """Compute L^T theta."""


@dataclass(frozen=True)
class CholeskyPrecision:
    """A by its lower Cholesky factor, of shape (n_parameters, n_parameters)."""

    lower: np.ndarray

    def whiten(self, columns):
        """Compute L^-1 x."""
        return solve_triangular(self.lower, columns, lower=True, check_finite=False)

    def unwhiten(self, columns):
        """Compute L^-T u."""
        return solve_triangular(self.lower, columns, lower=True, trans=1, check_finite=False)

    def color(self, theta):
        """Compute L^T theta."""
        return self.lower.T @ theta


@dataclass(frozen=True)
class LowRankPrecision:
    """A = D^1/2 (1 + U diag(s^2) U^T) D^1/2 for a diagonal D and few orthonormal columns U.

    The root of the middle is 1 + U diag(sqrt(1 + s^2) - 1) U^T, and L = D^1/2 times that.
    """

    diagonal: np.ndarray  # (n_parameters,) D
    directions: np.ndarray  # (n_parameters, n_directions) U
    strengths: np.ndarray  # (n_directions,) s^2

    @classmethod
    def of_diagonal(cls, diagonal) -> "LowRankPrecision":
        """Give a diagonal matrix."""
        return cls(diagonal, np.empty((len(diagonal), 0)), np.empty(0))

    def whiten(self, columns):
        """Compute L^-1 x."""
        return self._times_root((columns.T / np.sqrt(self.diagonal)).T, -0.5)

    def unwhiten(self, columns):
        """Compute L^-T u."""
        return (self._times_root(columns, -0.5).T / np.sqrt(self.diagonal)).T

    def color(self, theta):
        """Compute L^T theta."""
        return self._times_root(np.sqrt(self.diagonal) * theta, 0.5)

    def _times_root(self, columns, power):
        factors = (1.0 + self.strengths) ** power - 1.0
        return columns + self.directions @ (factors * (self.directions.T @ columns).T).T
