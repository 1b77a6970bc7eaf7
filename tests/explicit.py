"""What the second-order core computes, from explicit Jacobians by central differences."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from sklearn_tinymlp._bayes.curvature import Curvature
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._objective.samples import Samples

BY_PARAMETERS = Curvature(by_residuals=False, n_rows=None, work=0.0)
BY_RESIDUALS = Curvature(by_residuals=True, n_rows=None, work=0.0)

# Of the fourth order: an error of about STEP^4, and rounding of about 1e-16 / STEP.
STEP = 1e-3
OFFSETS, FACTORS = (-2, -1, 1, 2), (1 / 12, -2 / 3, 2 / 3, -1 / 12)


def make_objective(units, activations, *, bias=True, weighted=False, n_samples=37, alpha=0.0):
    rng = np.random.default_rng(0)
    architecture = Architecture(units, bias)
    X = rng.standard_normal((n_samples, units[0]))
    y = rng.standard_normal((n_samples, units[-1]))
    weight = rng.uniform(0.1, 3.0, n_samples) if weighted else None
    theta = rng.uniform(-1.0, 1.0, architecture.n_parameters)
    return Objective(Network(architecture, activations), Samples.of(X, y, weight), alpha), theta


def derivative(function, theta):
    """Differentiate a function by each number of theta, along a new last axis."""
    columns = [
        sum(
            factor * function(theta + offset * STEP * unit)
            for offset, factor in zip(OFFSETS, FACTORS, strict=True)
        )
        / STEP
        for unit in np.eye(theta.size)
    ]
    return np.stack(columns, axis=-1)


def outputs_at(network, theta, X):
    return network.predict(*network.architecture.unpack(theta), X)


def jacobian_at(network, theta, X):
    """Differentiate the outputs by the weights, shape (n_outputs, n_samples, n_parameters)."""
    return derivative(lambda t: outputs_at(network, t, X), theta).swapaxes(0, 1)


class Explicit(NamedTuple):
    """Residuals and their Jacobian at theta, times the roots of weights."""

    theta: np.ndarray
    residuals: np.ndarray  # (n_outputs, n_samples)
    jacobian: np.ndarray  # (n_outputs, n_samples, n_parameters)
    n_samples: float

    @classmethod
    def of(cls, objective: Objective, theta) -> "Explicit":
        samples = objective.training
        X = samples.X.toarray() if sparse.issparse(samples.X) else samples.X
        roots = np.ones(samples.y.shape)
        if samples.weight is not None:
            roots = roots * np.sqrt(samples.weight)[:, None]
        if samples.curvature is not None:
            roots = roots * np.sqrt(samples.curvature)
        residuals = roots * (outputs_at(objective.network, theta, X) - samples.y)
        jacobian = jacobian_at(objective.network, theta, X) * roots.T[..., None]
        return cls(theta, residuals.T, jacobian, samples.weight_sum)

    @property
    def errors(self):
        return 0.5 * np.sum(self.residuals**2, axis=1)

    @property
    def gradients(self):
        return np.einsum("kni,kn->ki", self.jacobian, self.residuals)

    @property
    def hessians(self):
        return np.einsum("kni,knj->kij", self.jacobian, self.jacobian)

    def A(self, alpha, beta):
        """Compute A for the alpha of each parameter."""
        return np.einsum("k,kij->ij", beta, self.hessians) + np.diag(alpha)

    def S(self, alpha, beta):
        return beta @ self.errors + 0.5 * alpha @ self.theta**2

    def gradient(self, alpha, beta):
        return beta @ self.gradients + alpha * self.theta

    def determined(self, hyper, groups):
        """Compute gamma of each group and of each output."""
        alpha = hyper.alpha[groups]
        inverse = np.linalg.inv(self.A(alpha, hyper.beta))
        gamma = np.bincount(groups, 1.0 - alpha * np.diag(inverse), len(hyper.alpha))
        return gamma, hyper.beta * np.einsum("kij,ji->k", self.hessians, inverse)

    def evidence(self, hyper, groups):
        """Compute log evidence, gamma of each group, alpha and beta re-estimated.

        NaN in the place of the first where A is not positive definite.
        """
        alpha, beta = hyper.alpha[groups], hyper.beta
        A = self.A(alpha, beta)
        if np.linalg.eigvalsh(A)[0] <= 0.0:
            return np.nan, np.zeros(len(hyper.alpha)), *hyper
        value = 0.5 * np.log(alpha).sum() - 0.5 * np.linalg.slogdet(A)[1] - self.S(alpha, beta)
        value += 0.5 * self.n_samples * np.log(beta / (2 * np.pi)).sum()
        gamma, of_outputs = self.determined(hyper, groups)
        squares = np.bincount(groups, 0.5 * self.theta**2, len(hyper.alpha))
        with np.errstate(divide="ignore"):
            found = gamma / (2 * squares), (self.n_samples - of_outputs) / (2 * self.errors)
        return value, gamma, *found
