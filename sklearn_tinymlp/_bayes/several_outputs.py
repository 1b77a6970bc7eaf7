"""The curvature of several outputs: a matrix of the hidden weights, and a small one per output.

The output weights o_k of output k interact with those of other outputs only through the hidden
weights h. So A = sum_k beta_k J_k^T J_k + diag(alpha) has the blocks

    A_hh = sum_k beta_k H_k H_k^T + diag(alpha_h)
    A_hk = beta_k H_k F_k^T,    A_kk = beta_k F_k F_k^T + diag(alpha_o),    A_kl = 0

where H_k contains the derivatives of output k with respect to the hidden weights, a column for each
row of the data, and F_k those with respect to its own weights: the last hidden layer's values,
and 1. With T_k = A_kk^-1 A_kh and the Schur complement S = A_hh - sum_k A_hk T_k (Golub and Van
Loan, "Matrix computations", 2013, section 3.2.11)

    log det A = sum_k log det A_kk + log det S
    j A^-1 j^T = (j_h - T_k^T j_k)^T S^-1 (j_h - T_k^T j_k) + j_k^T A_kk^-1 j_k

for a row j of J_k. The cost per output depends on the number of hidden weights, instead of the
number of all parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from .._machine import lapack
from .._machine.caching import cached_property
from .._machine.memory import FRESH
from .._network.architecture import Architecture
from .._network.network import Network
from .._objective.objective import LinearBlock, Objective
from .precision import JacobianProduct, Precision

# Maximum number of residuals whose leverages are computed to divide the effective parameters among
# outputs. An error of a tenth in this division hardly changes the noise of an output with many
# rows.
MOST_LEVERAGES = 3000

TINY = np.finfo(float).tiny


class Places(NamedTuple):
    """Indices in theta of the hidden weights, and of each output's own weights."""

    hidden: np.ndarray  # (n_hidden,)
    outputs: np.ndarray  # (n_outputs, n_own)


def places_of(architecture: Architecture) -> Places:
    """Return the indices in theta of the hidden weights and of each output's own weights."""
    coefs, intercepts = architecture.unpack(np.arange(architecture.n_parameters))
    hidden = [*coefs[:-1], *(intercepts[:-1] if architecture.bias else [])]
    own = [coefs[-1], *([intercepts[-1][None]] if architecture.bias else [])]
    none = np.empty(0, np.intp)
    return Places(np.concatenate([none, *map(np.ravel, hidden)]), np.concatenate(own).T.copy())


def hidden_part(network: Network) -> Network:
    """Return the network up to the last hidden layer, whose parameters are the hidden weights."""
    units, bias = network.architecture.units, network.architecture.bias
    return Network(Architecture(units[:-1], bias), network.activations[:-1])


def jacobian_of_output(network, hidden, block: LinearBlock, k) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of output k, a column per row: H (hidden weights), F (its own)."""
    slope = block.at_outputs[k]
    own = block.values[-2] * slope
    if network.architecture.bias:
        own = np.concatenate([own, slope[None]])
    by_hidden = np.empty((hidden.architecture.n_parameters, len(slope)))
    if block.slopes:
        last = block.slopes[-1] * (block.layers.coefs[-1][:, k : k + 1] * slope)
        layers = block.layers._replace(coefs=block.layers.coefs[:-1])
        hidden.fill_jacobian(by_hidden, layers, block.values, block.slopes[:-1], last)
    return by_hidden, own


@dataclass(frozen=True)
class OutputsJacobianProduct(JacobianProduct):
    """The products of the Jacobians of all outputs, at the noise precisions `beta`."""

    network: Network
    beta: np.ndarray  # (n_outputs,) beta_k in the sum `of_hidden`
    of_hidden: np.ndarray  # (n_hidden, n_hidden) sum_k beta_k H_k H_k^T, lower triangle
    mixed: np.ndarray  # (n_outputs, n_own, n_hidden) F_k H_k^T
    own: np.ndarray  # (n_outputs, n_own, n_own) F_k F_k^T
    some_blocks: Callable  # some_blocks() yields LinearBlocks of evenly spread rows

    @cached_property
    def places(self) -> Places:
        return places_of(self.network.architecture)

    def factorised(self, alpha, beta, damping=0.0, scratch=FRESH) -> "OutputsPrecision | None":
        # H_k H_k^T of each output is not kept: for another beta the sum is scaled by the ratio of
        # the means.
        places, n_own = self.places, self.own.shape[1]
        ratio = beta.mean() / self.beta.mean()
        weights = (ratio * self.beta)[:, None, None]
        own = weights * self.own
        own[:, range(n_own), range(n_own)] += alpha[places.outputs] + damping
        try:
            factors = np.linalg.cholesky(own)
        except np.linalg.LinAlgError:
            return None
        half = np.linalg.solve(factors, weights * self.mixed)  # L_k^-1 A_kh
        schur = np.asfortranarray(self.of_hidden * ratio)
        schur[np.diag_indices_from(schur)] += alpha[places.hidden] + damping
        stacked = half.reshape(len(half) * n_own, half.shape[2])
        schur -= (stacked.T @ stacked).T
        if schur.size and not lapack.cholesky(schur):
            return None
        transfer = np.linalg.solve(factors.transpose(0, 2, 1), half)  # T_k
        return OutputsPrecision(places, alpha, beta, schur, factors, transfer, self)

    def mean_diagonal(self, alpha, beta) -> float:
        of_data = np.trace(self.of_hidden) + self.beta @ np.einsum("kii->k", self.own)
        return float(of_data * (beta.mean() / self.beta.mean()) / len(alpha) + alpha.mean())


@dataclass(frozen=True)
class OutputsPrecision(Precision):
    """A by the Cholesky factors of its blocks."""

    places: Places
    alpha: np.ndarray  # (n_parameters,)
    beta: np.ndarray  # (n_outputs,)
    schur: np.ndarray  # (n_hidden, n_hidden) lower factor of S
    factors: np.ndarray  # (n_outputs, n_own, n_own) lower factors of A_kk
    transfer: np.ndarray  # (n_outputs, n_own, n_hidden) T_k
    product: OutputsJacobianProduct | None = None  # None in a posterior

    def solve(self, vector) -> np.ndarray:
        places, solution = self.places, np.empty_like(vector)
        of_outputs = vector[places.outputs]
        of_hidden = vector[places.hidden] - np.einsum("koh,ko->h", self.transfer, of_outputs)
        if of_hidden.size:
            of_hidden = lapack.cholesky_solve(self.schur, of_hidden)
        own = np.linalg.solve(self.factors, of_outputs[..., None])
        own = np.linalg.solve(self.factors.transpose(0, 2, 1), own)[..., 0]
        solution[places.hidden] = of_hidden
        solution[places.outputs] = own - self.transfer @ of_hidden
        return solution

    def log_determinant(self) -> float:
        diagonals = np.diagonal(self.factors, axis1=1, axis2=2)
        of_hidden = np.log(np.diagonal(self.schur)).sum()
        return 2.0 * float(np.log(diagonals).sum() + of_hidden)

    def determined(self, groups, n_groups, scratch=FRESH) -> tuple[np.ndarray, np.ndarray]:
        # Each output's share of the total gamma is its share of the leverages of some rows.
        places, inverse_diagonal = self.places, np.empty(len(self.alpha))
        inverse = np.linalg.inv(self.factors)
        own = np.einsum("kji,kji->ki", inverse, inverse)
        if self.schur.size:
            root = self.schur.copy(order="F")
            lapack.invert_lower(root)
            root = np.tril(root)
            inverse_diagonal[places.hidden] = np.einsum("ij,ij->j", root, root)
            n_outputs, n_own, n_hidden = self.transfer.shape
            columns = self.transfer.reshape(-1, n_hidden).T.copy(order="F")
            columns = lapack.solve_triangular(self.schur, columns)
            own += np.einsum("hj,hj->j", columns, columns).reshape(n_outputs, n_own)
        inverse_diagonal[places.outputs] = own
        of_parameters = np.clip(1.0 - self.alpha * inverse_diagonal, 0.0, 1.0)
        gamma = np.bincount(groups, of_parameters, n_groups)
        of_outputs = np.zeros(len(self.beta))
        for block in self.product.some_blocks():
            of_outputs += self.variances(self.product.network, block).sum(axis=1)
        of_outputs *= self.beta
        return gamma, of_outputs * (gamma.sum() / max(of_outputs.sum(), TINY))

    def variances(self, network, block: LinearBlock) -> np.ndarray:
        hidden, found = hidden_part(network), np.empty(block.at_outputs.shape)
        for k in range(len(found)):
            by_hidden, own = jacobian_of_output(network, hidden, block, k)
            whitened = np.linalg.solve(self.factors[k], own)
            found[k] = np.einsum("or,or->r", whitened, whitened)
            if by_hidden.size:
                rest = np.asfortranarray(by_hidden - self.transfer[k].T @ own)
                lapack.solve_triangular(self.schur, rest)
                found[k] += np.einsum("hr,hr->r", rest, rest)
        return found

    def of_posterior(self) -> "OutputsPrecision":
        return replace(self, product=None)

    def draw(self, random_state, n_draws) -> np.ndarray:
        # The hidden weights h have the covariance S^-1; given h, the weights of output k have the
        # mean -T_k h and the covariance A_kk^-1.
        n_outputs, n_own, n_hidden = self.transfer.shape
        hidden = random_state.standard_normal((n_hidden, n_draws))
        if hidden.size:
            columns = np.asfortranarray(hidden)
            hidden = lapack.solve_triangular(self.schur, columns, transposed=True)
        normal = random_state.standard_normal((n_outputs, n_own, n_draws))
        own = np.linalg.solve(self.factors.transpose(0, 2, 1), normal) - self.transfer @ hidden
        draws = np.empty((len(self.alpha), n_draws))
        draws[self.places.hidden] = hidden
        draws[self.places.outputs] = own
        return draws


def outputs_product(objective: Objective, theta, beta, passed, between):
    """Compute J_k^T r_k of shape (n_outputs, n_parameters), and the products of the Jacobians."""
    network, n_outputs = objective.network, objective.n_outputs
    places, hidden = places_of(network.architecture), hidden_part(network)
    n_hidden, n_own = places.hidden.size, places.outputs.shape[1]
    gradients = np.zeros((n_outputs, network.architecture.n_parameters))
    of_hidden = np.zeros((n_hidden, n_hidden), order="F")
    mixed, own = np.zeros((n_outputs, n_own, n_hidden)), np.zeros((n_outputs, n_own, n_own))
    for block in objective.linearise(theta, passed, between):
        for k in range(n_outputs):
            by_hidden, by_own = jacobian_of_output(network, hidden, block, k)
            gradients[k, places.hidden] += by_hidden @ block.residuals[k]
            gradients[k, places.outputs[k]] += by_own @ block.residuals[k]
            mixed[k] += by_own @ by_hidden.T
            own[k] += by_own @ by_own.T
            if n_hidden:
                by_hidden *= np.sqrt(beta[k])
                lapack.add_gram_matrix(by_hidden, of_hidden)
    step = -(-objective.training.n_samples * n_outputs // MOST_LEVERAGES)
    some = objective if step == 1 else objective.on_rows(slice(None, None, step))

    def some_blocks():
        return some.linearise(theta, passed if step == 1 else None)

    product = OutputsJacobianProduct(network, beta, of_hidden, mixed, own, some_blocks)
    return gradients, product
