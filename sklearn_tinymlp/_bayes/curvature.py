"""The kind of curvature of an objective, chosen by its cost.

A = sum_k beta_k J_k^T J_k + diag(alpha) is represented by J^T J of one output (`dense`), by blocks
of several outputs (`several_outputs`), or by the rows of J (`low_rank`), from all rows of the data
or from a sample of them. All kinds have the methods of `precision`: a `JacobianProduct` is
factorised at some alpha and beta to a `Precision`.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._machine.memory import FRESH
from .._network.architecture import Architecture
from .._objective.objective import Objective
from .dense import dense_product
from .low_rank import low_rank_product, sampled_product
from .precision import JacobianProduct
from .several_outputs import outputs_product

# Maximum number of multiply-adds of a curvature from all rows, half a second on one core; above it
# the curvature is computed from a sample of rows.
MOST_WORK = 2e10

# Number of rows of a sample per parameter, and minimum number. The eigenvalues of a matrix from m
# rows are off by factors of about 1 +- 2 sqrt(P / m); with 5 P rows L-BFGS took 1.5 times as many
# steps.
ROWS_PER_PARAMETER, LEAST_SAMPLE_ROWS = 10, 2000

# Maximum number of rows of a Jacobian with many parameters and many residuals: their kernel matrix
# takes a quarter of a second.
MOST_JACOBIAN_ROWS = 1000


class GaussNewton(NamedTuple):
    """The second-order model of the data term at some theta."""

    errors: np.ndarray  # (n_outputs,) E_k
    gradients: np.ndarray  # (n_outputs, n_parameters) J_k^T r_k
    product: JacobianProduct


@dataclass(frozen=True)
class Curvature:
    """How the curvature is represented, and from how many rows."""

    by_residuals: bool  # by the rows of J, else by matrices of size P
    n_rows: int | None  # size of the sample of rows; None for all
    work: float  # multiply-adds

    @classmethod
    def cheapest(cls, architecture: Architecture, n_rows: int) -> "Curvature":
        """Choose the cheaper kind from all rows, or from a sample where both cost too much."""
        by_parameters, by_residuals = work_of(architecture, n_rows)
        work = min(by_parameters, by_residuals)
        if work <= MOST_WORK:
            return cls(by_residuals < by_parameters, None, work)
        size = max(LEAST_SAMPLE_ROWS, ROWS_PER_PARAMETER * architecture.n_parameters)
        if size < n_rows:
            work = work_of(architecture, size)[0]
            if work <= MOST_WORK:
                return cls(False, size, work)
        size = min(n_rows, MOST_JACOBIAN_ROWS)
        return cls(True, size, work_of(Architecture((*architecture.units[:-1], 1)), size)[1])

    def gauss_newton(
        self, objective: Objective, theta, beta, evaluated=None, between=None, scratch=FRESH
    ) -> GaussNewton:
        """Linearise all rows at theta; with `scratch` the previous model is overwritten."""
        if evaluated is None:
            evaluated = objective.evaluate(theta, between)
        errors, passed = evaluated
        if self.by_residuals:
            gradients, product = low_rank_product(objective, theta, passed, between)
        elif objective.n_outputs == 1:
            gradients, product = dense_product(objective, theta, passed, between, scratch)
        else:
            gradients, product = outputs_product(objective, theta, beta, passed, between)
        return GaussNewton(errors, gradients, product)

    def product(
        self, objective: Objective, theta, beta, random_state, between=None
    ) -> JacobianProduct:
        """Compute the curvature at theta, from a sample of the data if `n_rows` is smaller."""
        n_rows = objective.training.n_samples
        if self.n_rows is None or (not self.by_residuals and self.n_rows >= n_rows):
            return self.gauss_newton(objective, theta, beta, between=between).product
        sample, times = sample_of(objective, min(self.n_rows, n_rows), random_state)
        if self.by_residuals:
            n_draws = max(1, self.n_rows // sample.training.n_samples)
            return sampled_product(
                sample, theta, n_draws, times, beta, random_state, between=between
            )
        weight = sample.training.weight
        weight = np.full(sample.training.n_samples, 1.0) if weight is None else weight
        heavier = sample.with_weight(times * weight)
        return self.gauss_newton(heavier, theta, beta, between=between).product


def work_of(architecture: Architecture, n_rows) -> tuple[float, float]:
    """Estimate the multiply-adds of an iteration by parameters and by residuals.

    By parameters: a product of the Jacobian with itself, two Cholesky factors and an inverse; with
    several outputs a product, and the variances of its rows, for each output. By residuals: two
    kernel matrices, whose passes over m^2 numbers count as 120 multiply-adds each, factors, an
    inverse and its square. The estimates are within a third of times measured at 20 to 2,000 rows
    and 300 to 4,400 parameters (one core of an AMD EPYC, 2026-11-30).
    """
    units = architecture.units
    n_parameters, n_outputs = float(architecture.n_parameters), units[-1]
    n_own = (units[-2] + architecture.bias) * (n_outputs > 1)
    size = n_parameters - n_own * n_outputs
    by_parameters = 0.5 * n_rows * n_outputs * (size + n_own) ** 2 + 0.66 * size**3
    if n_outputs > 1:
        by_parameters += n_outputs * (0.5 * n_rows * size**2 + n_own * size**2 + n_own**3)
    n_residuals = float(n_rows * n_outputs)
    by_residuals = 1.6 * n_residuals**3 + n_residuals**2 * (2.0 * sum(units) + 120.0)
    return by_parameters, by_residuals


def sample_of(objective: Objective, size: int, random_state) -> tuple[Objective, float]:
    """Draw rows; return the objective on these, and the number of rows that each one represents."""
    n_rows = objective.training.n_samples
    if size >= n_rows:
        return objective, 1.0
    sample = objective.on_rows(np.sort(random_state.permutation(n_rows)[:size]))
    if sample.training.weight_sum == 0.0:  # possible if most weights are zero
        return objective, 1.0
    return sample, objective.training.weight_sum / sample.training.weight_sum
