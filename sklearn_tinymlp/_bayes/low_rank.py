"""The curvature by residuals: for more parameters than residuals, or a sample of residuals.

With m residuals r, the rows of J scaled by the square roots of their weights and noise precisions,
and D = diag(alpha) + mu, the matrix inversion lemma expresses A = J^T J + D by

    M = 1 + J D^-1 J^T,    A^-1 = D^-1 - D^-1 J^T M^-1 J D^-1,    det A = det D det M

J itself is never formed. Its row is, for each layer l, the product a_l d_l^T of the values before
the layer and the deltas after it (`_network.network`), so that

    J D^-1 J^T = sum_l (a_l^T D_l^-1 a_l) * (d_l^T d_l)

elementwise, where all weights from one unit share their D, as in the groups of `_bayes.groups`:
the cost is m^2 times the number of units, instead of the number of weights. This is the neural
tangent kernel (Jacot, Gabriel and Hongler, NeurIPS 2018) of the layers, each with the prior's
variance.

With gamma_g = sum over the group of j_p^T M^-1 j_p / D_p only `solve` subtracts large numbers; a
step from the residuals of all rows avoids the subtraction:

    step = -t - D^-1 J^T M^-1 (r - J t),    t = D^-1 diag(alpha) theta
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from .._machine import lapack
from .._machine.caching import cached_property
from .._machine.memory import FRESH
from .._network.architecture import Architecture, Layers
from .._network.network import Network
from .._objective.objective import LinearBlock, Objective
from .groups import one_penalty
from .precision import JacobianProduct, Precision


@dataclass(frozen=True)
class JacobianRows:
    """Some rows of a Jacobian, as factors with one column per row."""

    architecture: Architecture
    values: list[np.ndarray]  # a of each layer, the inputs first, (n_units, n_rows)
    deltas: list[np.ndarray]  # d of each layer, (n_units, n_rows)
    outputs: np.ndarray  # (n_rows,) the output that each row belongs to

    @classmethod
    def of(cls, network: Network, block: LinearBlock, factors=None) -> "JacobianRows":
        """Return a row for each output and each row of the data, output by output.

        With `factors` of shape (n_outputs, n_rows), return one row for each row of the data: the
        combination of its outputs with these factors, assigned to the first output.
        """
        n_outputs, n_rows = block.at_outputs.shape
        values, slopes, at = block.values[:-1], block.slopes, block.at_outputs
        outputs = np.zeros(n_rows, np.intp)
        if factors is not None:
            at = at * factors
        elif n_outputs > 1:
            of_each = np.zeros((n_outputs, n_outputs, n_rows))  # the second axis: the Jacobians
            of_each[range(n_outputs), range(n_outputs)] = at
            at = of_each.reshape(n_outputs, -1)
            slopes = [np.tile(slope, n_outputs) for slope in slopes]
            values = [np.tile(value, n_outputs) for value in values]
            outputs = np.repeat(np.arange(n_outputs), n_rows)
        return cls(network.architecture, values, network.deltas(block.layers, slopes, at), outputs)

    @classmethod
    def joined(cls, parts: list["JacobianRows"]) -> "JacobianRows":
        """Concatenate several blocks."""
        if len(parts) == 1:
            return parts[0]
        values, deltas = (
            [np.concatenate(layer, axis=1) for layer in zip(*blocks, strict=True)]
            for blocks in ([part.values for part in parts], [part.deltas for part in parts])
        )
        outputs = np.concatenate([part.outputs for part in parts])
        return cls(parts[0].architecture, values, deltas, outputs)

    def kernel(
        self, prior: Layers, others: "JacobianRows | None" = None, scratch=FRESH
    ) -> np.ndarray:
        """Compute J D^-1 J'^T of these rows with others, or with themselves."""
        others = others or self
        shape = len(self.outputs), len(others.outputs)
        total = scratch.array("kernel", shape)
        for layer, (b, e) in enumerate(zip(others.values, others.deltas, strict=True)):
            inner = total if layer == 0 else scratch.array("inner", shape)
            a, d = self.values[layer] / prior.coefs[layer][:, :1], self.deltas[layer]
            if self.architecture.bias:
                ones = np.full((1, a.shape[1]), 1.0 / prior.intercepts[layer][0, 0])
                a = np.concatenate([a, ones])
                b = np.concatenate([b, np.ones_like(b[:1])])
            if len(d) == 1:  # one delta per row, which is multiplied into the values
                np.matmul((a * d).T, b * e, out=inner)
            else:
                np.matmul(a.T, b, out=inner)
                inner *= np.matmul(d.T, e, out=scratch.array("products", shape))
            if layer > 0:
                total += inner
        return total

    def squares(self, prior: Layers) -> np.ndarray:
        """Compute j D^-1 j^T of each row."""
        total = np.zeros(len(self.outputs))
        for layer, (a, d) in enumerate(zip(self.values, self.deltas, strict=True)):
            inner = np.einsum("ir,ir->r", a, a / prior.coefs[layer][:, :1])
            if self.architecture.bias:
                inner += 1.0 / prior.intercepts[layer][0, 0]
            total += inner * np.einsum("jr,jr->r", d, d)
        return total

    def times(self, vector) -> np.ndarray:
        """Compute J v, shape (n_rows,)."""
        layers, total = self.architecture.layers(vector), np.zeros(len(self.outputs))
        for a, d, coef, intercept in zip(self.values, self.deltas, *layers, strict=True):
            inner = coef.T @ a
            inner += intercept
            total += np.einsum("jr,jr->r", inner, d)
        return total

    def transposed_times(self, factors) -> np.ndarray:
        """Compute J^T u, shape (n_parameters,)."""
        result = np.zeros(self.architecture.n_parameters)
        layers = self.architecture.layers(result)
        for a, d, coef, intercept in zip(self.values, self.deltas, *layers, strict=True):
            weighted = d * factors
            coef[:] = a @ weighted.T
            if self.architecture.bias:
                intercept[:] = weighted.sum(axis=1, keepdims=True)
        return result

    def form_by_parameter(self, matrix, prior: Layers, scratch=FRESH) -> np.ndarray:
        """Compute j_p^T Q j_p / D_p, summed over the weights from each unit, in the shape of theta.

        The sum is the entry of the first of these weights; the entries of the others are 0.
        """
        result = np.zeros(self.architecture.n_parameters)
        layers = self.architecture.layers(result)
        for layer, (a, d) in enumerate(zip(self.values, self.deltas, strict=True)):
            inner = np.matmul(d.T, d, out=scratch.array("products", matrix.shape))
            inner *= matrix
            of_units = np.einsum("ir,ir->i", a @ inner, a)
            layers.coefs[layer][:, 0] = of_units / prior.coefs[layer][:, 0]
            if self.architecture.bias:
                total = inner.sum() / prior.intercepts[layer][0, 0]
                layers.intercepts[layer][0, 0] = total
        return result


@dataclass(frozen=True)
class LowRankJacobianProduct(JacobianProduct):
    """J by its rows, for all residuals or for a sample of them."""

    rows: JacobianRows
    times: float = 1.0  # number of residuals that each row represents
    residuals: np.ndarray | None = None  # (n_rows,) if the rows are those of all residuals

    def _scales(self, beta) -> np.ndarray:
        return np.sqrt(self.times * beta[self.rows.outputs])

    def factorised(self, alpha, beta, damping=0.0, scratch=FRESH) -> "LowRankPrecision | None":
        scales = self._scales(beta)
        prior = self.rows.architecture.layers(alpha + damping)
        kernel = self.rows.kernel(prior, scratch=scratch)
        kernel *= scales
        kernel *= scales[:, None]
        kernel[np.diag_indices_from(kernel)] += 1.0
        lower = kernel.T  # symmetric: the same matrix in Fortran order
        if not lapack.cholesky(lower):
            return None
        scaled = replace(self.rows, deltas=[d * scales for d in self.rows.deltas])
        residuals = None if self.residuals is None else scales * self.residuals
        return LowRankPrecision(alpha, damping, beta, scaled, lower, residuals)

    def mean_diagonal(self, alpha, beta) -> float:
        ones = self.rows.architecture.layers(np.ones(len(alpha)))
        squares = self._scales(beta) ** 2 @ self.rows.squares(ones)
        return float(squares / len(alpha) + alpha.mean())


@dataclass(frozen=True)
class LowRankPrecision(Precision):
    """A = J^T J + D by the Cholesky factor of M."""

    alpha: np.ndarray  # (n_parameters,)
    damping: float
    beta: np.ndarray  # (n_outputs,)
    rows: JacobianRows  # scaled by the roots of noise precisions
    lower: np.ndarray  # (n_rows, n_rows) factor of M
    residuals: np.ndarray | None = None

    @cached_property
    def _diagonal(self) -> np.ndarray:
        return self.alpha + self.damping

    @property
    def _prior(self) -> Layers:
        return self.rows.architecture.layers(self._diagonal)

    def solve(self, vector) -> np.ndarray:
        first = vector / self._diagonal
        inner = lapack.cholesky_solve(self.lower, self.rows.times(first))
        return first - self.rows.transposed_times(inner) / self._diagonal

    def newton_step(self, gradient, theta) -> np.ndarray:
        if self.residuals is None:
            return -self.solve(gradient)
        shrunk = self.alpha / self._diagonal * theta
        inner = lapack.cholesky_solve(self.lower, self.residuals - self.rows.times(shrunk))
        return -shrunk - self.rows.transposed_times(inner) / self._diagonal

    def log_determinant(self) -> float:
        of_rows = np.log(np.diagonal(self.lower)).sum()
        return float(np.log(self._diagonal).sum() + 2.0 * of_rows)

    def determined(self, groups, n_groups, scratch=FRESH) -> tuple[np.ndarray, np.ndarray]:
        # Residual r determines 1 - [M^-1]_rr parameters.
        root = scratch.array("root", self.lower.shape)
        root[:] = self.lower.T  # in C order the transpose, upper triangular
        lapack.invert_lower(root.T)
        root *= _upper_triangle(len(root))
        of_residuals = 1.0 - np.einsum("ij,ij->i", root, root)
        n_outputs = len(self.beta)
        if len(np.unique(self.rows.outputs)) < n_outputs:  # combinations of all outputs
            by_output = np.full(n_outputs, of_residuals.sum() / n_outputs)
        else:
            by_output = np.bincount(self.rows.outputs, of_residuals, n_outputs)
        if np.array_equal(groups, one_penalty(self.rows.architecture)):
            rest = 0.0
            if self.rows.architecture.bias:
                whitened = (self.rows.deltas[-1] / np.sqrt(self._prior.intercepts[-1])) @ root
                rest = float(np.vdot(whitened, whitened))
            return np.array([by_output.sum() - rest, rest][:n_groups]), by_output
        # M^-1 = root root^T has the same quadratic form as twice one of its triangles.
        inverse = scratch.array("inverse", root.shape)
        inverse[:] = 0.0
        lapack.add_gram_matrix(root, inverse.T)
        inverse *= 2.0
        inverse.reshape(-1)[:: len(inverse) + 1] *= 0.5
        by_parameter = self.rows.form_by_parameter(inverse, self._prior, scratch)
        gamma = np.bincount(groups, by_parameter, n_groups)
        return gamma, by_output if len(by_output) > 1 else gamma.sum(keepdims=True)

    def variances(self, network, block: LinearBlock) -> np.ndarray:
        rows = JacobianRows.of(network, block)
        prior = network.layers(self._diagonal)
        across = np.asfortranarray(self.rows.kernel(prior, rows))
        lapack.solve_triangular(self.lower, across)
        explained = np.einsum("mr,mr->r", across, across)
        return np.maximum(rows.squares(prior) - explained, 0.0).reshape(block.at_outputs.shape)

    def of_posterior(self) -> "LowRankPrecision":
        return replace(self, residuals=None)

    def draw(self, random_state, n_draws) -> np.ndarray:
        # Matheron's rule: w - D^-1 J^T M^-1 (J w + e) for w from the prior N(0, D^-1) and normal
        # noise e of the rows.
        draws = random_state.standard_normal((len(self.alpha), n_draws))
        draws /= np.sqrt(self._diagonal)[:, None]
        noise = random_state.standard_normal((len(self.lower), n_draws))
        for draw, of_rows in zip(draws.T, noise.T, strict=True):
            outputs = self.rows.times(np.ascontiguousarray(draw)) + of_rows
            inner = lapack.cholesky_solve(self.lower, outputs)
            draw -= self.rows.transposed_times(inner) / self._diagonal
        return draws


def low_rank_product(objective: Objective, theta, passed, between):
    """Compute J_k^T r_k of shape (n_outputs, n_parameters), and J as rows."""
    network, n_outputs = objective.network, objective.n_outputs
    parts, residuals = [], []
    for block in objective.linearise(theta, passed, between):
        parts.append(JacobianRows.of(network, block))
        residuals.append(block.residuals.reshape(-1))
    rows, residuals = JacobianRows.joined(parts), np.concatenate(residuals)
    gradients = np.empty((n_outputs, network.architecture.n_parameters))
    for k in range(n_outputs):
        own = np.where(rows.outputs == k, residuals, 0.0) if n_outputs > 1 else residuals
        gradients[k] = rows.transposed_times(own)
    return gradients, LowRankJacobianProduct(rows, residuals=residuals)


def sampled_product(objective: Objective, theta, n_draws, times, beta, random_state, between=None):
    """Return J by rows that each represent `times` rows of the data.

    With several outputs `n_draws` combinations of the outputs, with random signs, are drawn for
    each row. Their J^T J is on average that of all outputs, as if targets were drawn from the
    network's own noise (Martens, "New insights and perspectives on the natural gradient method",
    JMLR 21, 2020, section 5).
    """
    network, n_outputs = objective.network, objective.n_outputs
    relative, parts, factors = np.sqrt(beta / beta[0])[:, None], [], None
    n_draws = n_draws if n_outputs > 1 else 1
    for block in objective.linearise(theta, None, between):
        for _ in range(n_draws):
            if n_outputs > 1:
                factors = relative * random_state.choice([-1.0, 1.0], size=block.at_outputs.shape)
            parts.append(JacobianRows.of(network, block, factors))
    return LowRankJacobianProduct(JacobianRows.joined(parts), times / n_draws)


@lru_cache(maxsize=4)
def _upper_triangle(size: int) -> np.ndarray:
    """Return ones on and above the diagonal, and zeros below."""
    return np.triu(np.ones((size, size)))
