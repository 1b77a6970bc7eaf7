"""What all kinds of curvature have in common: `JacobianProduct` and, factorised, `Precision`."""

from abc import ABC, abstractmethod

import numpy as np

from .._machine import lapack
from .._machine.memory import FRESH, Scratch
from .._objective.objective import LinearBlock


class Precision(ABC):
    """A at some alpha and beta, factorised."""

    @abstractmethod
    def solve(self, vector: np.ndarray) -> np.ndarray:
        """Compute A^-1 v."""

    def newton_step(self, gradient: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Compute -A^-1 g for the gradient g at theta."""
        return self.solve(-gradient)

    @abstractmethod
    def log_determinant(self) -> float:
        """Compute log det A."""

    @abstractmethod
    def determined(
        self, groups: np.ndarray, n_groups: int, scratch: Scratch = FRESH
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compute the effective parameters of each group, gamma, and of each output.

        gamma_g = n_g - alpha_g tr_g(A^-1), and of output k the sum of beta_k j A^-1 j^T over its
        rows.
        """

    @abstractmethod
    def variances(self, network, block: LinearBlock) -> np.ndarray:
        """Compute j A^-1 j^T of each output and row, shape (n_outputs, n_rows)."""

    def of_posterior(self) -> "Precision":
        """Return the precision without the fields that only training needs."""
        return self

    @abstractmethod
    def draw(self, random_state, n_draws: int) -> np.ndarray:
        """Draw weights from N(0, A^-1), shape (n_parameters, n_draws)."""


class JacobianProduct(ABC):
    """The part of A that depends on the data, for any alpha and beta."""

    @abstractmethod
    def factorised(self, alpha, beta, damping=0.0, scratch: Scratch = FRESH) -> Precision | None:
        """Factorise A + damping I; None where it is not positive definite to rounding.

        With `scratch` the previous precision is overwritten.
        """

    @abstractmethod
    def mean_diagonal(self, alpha, beta) -> float:
        """Compute the mean diagonal entry of A, the unit of the damping."""

    def certainly_factorised(self, alpha, beta) -> Precision:
        """Factorise A, if necessary with the least damping above rounding that suffices."""
        found = self.factorised(alpha, beta)
        rounding = np.finfo(float).eps * len(alpha) * self.mean_diagonal(alpha, beta)
        while found is None:
            lapack.require_finite(rounding)
            found = self.factorised(alpha, beta, rounding)
            rounding *= 10.0
        return found
