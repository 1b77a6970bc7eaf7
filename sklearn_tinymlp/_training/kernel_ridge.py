"""Kernel ridge regressions with leave-one-out residuals in closed form: the reference of a fit.

With the features F = K(X, L) C^-T of some rows L, the landmarks, where C C^T = K(L, L) (Nystroem's
method: Williams & Seeger, NIPS 13, 2001; with all rows as landmarks it is exact), ridge regression
of centred targets has

    f = F (F^T F + ridge I)^-1 F^T y = H y,    e_i = (y_i - f_i) / (1 - H_ii),

and e_i is the error of the prediction for row i without that row (Golub, Heath & Wahba,
Technometrics 21, 1979). The eigenvectors of F^T F give e for each ridge at the cost of two products
of matrices; that with the smallest sum of e_i^2 is used. The regressions of several kernels are
averaged with the weights, non-negative and of sum 1, of which that sum is smallest (stacking:
Breiman, Machine Learning 24, 1996): of 560 drawn problems the best kernel was short of the one
that was best in hindsight by 0.1 in R² in 9.8%, the average in 8.0%.

The kernels differ in kind, and are as wide as the inputs: polynomials of degree one and two;
functions with bends in all inputs at once; and sums of functions of one input that bend at any
point (the covariance of Brownian motion, whose regressions are linear splines). With them an
additive function of short waves or steps, a bowl in ten dimensions and one-hot columns are learned
from 200 to 1,000 rows, where networks from random starts mistake them for noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize
from scipy.spatial.distance import cdist

from .._bayes.laplace import LEAST_ONE_MINUS_LEVERAGE

# From hardly any penalty to the mean of y alone.
RIDGES = np.array([*np.logspace(-5, 4, 19), np.inf])

# Relative jitter with which K(L, L) is positive definite to rounding.
JITTER = 1e-10


def linear(X, Z) -> np.ndarray:
    """Compute the kernel of linear functions."""
    return X @ Z.T / X.shape[1]


def quadratic(X, Z) -> np.ndarray:
    """Compute the kernel of polynomials of degree two."""
    return (1.0 + X @ Z.T / X.shape[1]) ** 2


def gaussian(X, Z) -> np.ndarray:
    """Compute the Gaussian kernel, as wide as the cloud of standardised inputs."""
    return np.exp(-cdist(X, Z, "sqeuclidean") / (2.0 * X.shape[1]))


def additive(X, Z) -> np.ndarray:
    """Compute the mean over the inputs of the covariance (|x| + |z| - |x - z|) / 2."""
    sizes = np.abs(X).sum(axis=1)[:, np.newaxis] + np.abs(Z).sum(axis=1)
    return (sizes - cdist(X, Z, "cityblock")) / (2.0 * X.shape[1])


KERNELS = linear, quadratic, gaussian, additive


class Regression(NamedTuple):
    """The regression of one output with one kernel."""

    kernel: Callable
    landmarks: np.ndarray
    coefs: np.ndarray  # (n_landmarks,)
    intercept: float
    errors: np.ndarray  # (n_samples,) leave-one-out

    def predict(self, X) -> np.ndarray:
        """Predict at standardised inputs, shape (n_samples,)."""
        return self.kernel(X, self.landmarks) @ self.coefs + self.intercept


class Average(NamedTuple):
    """The weighted mean of the regressions of one output, or the mean of y."""

    regressions: tuple[Regression, ...]
    weights: np.ndarray  # (n_regressions,)
    intercept: float  # the mean of y if there are no regressions, else 0
    errors: np.ndarray  # (n_samples,) leave-one-out

    def predict(self, X) -> np.ndarray:
        """Predict at standardised inputs, shape (n_samples,)."""
        predicted = np.full(len(X), self.intercept)
        for weight, regression in zip(self.weights, self.regressions, strict=True):
            predicted += weight * regression.predict(X)
        return predicted

    @property
    def kernels(self) -> tuple:
        """Return the kernels of the regressions."""
        return tuple(regression.kernel for regression in self.regressions)


def leave_one_out_of_mean(y, weight) -> np.ndarray:
    """Return the errors of the mean of the other rows, (n_samples, n_outputs)."""
    share = (weight / weight.sum())[:, np.newaxis]
    return (y - np.sum(share * y, axis=0)) / (1.0 - share)


def is_clearly_smaller(losses, others, weight, n_errors=1.0) -> bool:
    """Whether losses of rows are smaller on average, by more than some standard errors."""
    share, gain = weight / weight.sum(), others - losses
    mean = share @ gain
    return bool(mean > n_errors * np.sqrt(share**2 @ (gain - mean) ** 2))


def kernel_ridge(X, y, weight, n_landmarks, kernels=KERNELS) -> list[Average]:
    """Return the average of regressions with the smallest leave-one-out error for each output.

    It is the mean of y unless its squared error is smaller by more than a standard error (Breiman,
    Friedman, Olshen & Stone, "Classification and regression trees", 1984, section 3.4.3): of 90
    problems with long tails, those that passed were right in 9 of 10 and the others in 3 of 10.

    `X` are standardised inputs, `y` of shape (n_samples, n_outputs), `weight` of the rows.
    """
    of_mean, means = leave_one_out_of_mean(y, weight), np.average(y, 0, weight)
    averages = []
    for k, found in enumerate(ridge_by_kernel(X, y, weight, n_landmarks, kernels)):
        average = stacked(found, weight)
        if not is_clearly_smaller(average.errors**2, of_mean[:, k] ** 2, weight):
            average = Average((), np.empty(0), float(means[k]), of_mean[:, k])
        averages.append(average)
    return averages


def stacked(regressions, weight) -> Average:
    """Average regressions with the weights that minimise the sum of squared errors.

    Without the condition on their sum, |E w|^2 + (sum w - 1)^2 is smallest at a multiple of them.
    """
    errors = np.column_stack([regression.errors for regression in regressions])
    scaled = np.sqrt(weight)[:, np.newaxis] * errors
    scaled /= np.linalg.norm(scaled) or 1.0
    sums = np.vstack([scaled, np.ones(len(regressions))])
    weights, _ = optimize.nnls(sums, np.append(np.zeros(len(errors)), 1.0))
    weights /= weights.sum()
    used = np.flatnonzero(weights)
    chosen = tuple(regressions[k] for k in used)
    return Average(chosen, weights[used], 0.0, errors @ weights)


def ridge_by_kernel(
    X,
    y,
    weight,
    n_landmarks,
    kernels=KERNELS,
    *,
    contrasts=None,
    constant=1.0,
    most_leverage=1.0,
) -> list[tuple[Regression, ...]]:
    """Return the regression with each kernel for each output.

    With `contrasts`, a linear function of columns over the rows of X, y has these values instead,
    and `constant` those of a column of ones. The mean leverage of rows with a constant is at most
    `most_leverage`.
    """
    landmarks = X[np.random.RandomState(0).permutation(len(X))[:n_landmarks]]
    landmarks = np.unique(landmarks, axis=0)
    constant = np.broadcast_to(constant, len(y))[:, np.newaxis]
    by_kernel = []
    for kernel in kernels:
        gram = kernel(landmarks, landmarks)
        gram[np.diag_indices_from(gram)] += JITTER * max(np.trace(gram), 1.0)
        factor = linalg.cholesky(gram, lower=True)
        features = linalg.solve_triangular(factor, kernel(landmarks, X), lower=True).T
        features = features if contrasts is None else contrasts(features)
        of_features = _ridge(features, y, weight, constant, most_leverage)
        by_kernel.append(
            [
                Regression(
                    kernel,
                    landmarks,
                    linalg.solve_triangular(factor, coefs, lower=True, trans=1),
                    intercept,
                    errors,
                )
                for coefs, intercept, errors in of_features
            ]
        )
    return list(zip(*by_kernel, strict=True))


def _ridge(features, y, weight, constant, most_leverage) -> list[tuple]:
    """Return coefs, intercept and leave-one-out errors with the best ridge for each output."""
    root, share = np.sqrt(weight)[:, np.newaxis], (weight / (weight @ constant**2))[:, np.newaxis]
    mean, y_mean = (np.sum(share * constant * values, axis=0) for values in (features, y))
    targets = root * (y - constant * y_mean)
    features = root * (features - constant * mean)
    squares, rotation = linalg.eigh(features.T @ features)
    features = features @ rotation
    shrinkage = 1.0 / (np.maximum(squares, 0.0)[:, np.newaxis] + RIDGES)
    leverage = share * constant**2 + features**2 @ shrinkage
    allowed = leverage[constant[:, 0] != 0.0].mean(axis=0) <= most_leverage
    freedom = np.maximum(1.0 - leverage, LEAST_ONE_MINUS_LEVERAGE)
    found = []
    for target, centre in zip(targets.T, y_mean, strict=True):
        coefs = shrinkage * (features.T @ target)[:, np.newaxis]
        errors = (target[:, np.newaxis] - features @ coefs) / freedom
        best = np.argmin(np.where(allowed, (errors**2).sum(axis=0), np.inf))
        coefs = rotation @ coefs[:, best]
        found.append((coefs, float(centre - mean @ coefs), errors[:, best] / root[:, 0]))
    return found
