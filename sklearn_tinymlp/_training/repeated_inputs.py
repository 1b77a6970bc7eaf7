"""Repeated measurements: rows of one specimen, or of one group, count as fewer observations.

Row i of group g is y_gi = f(x_gi) + b_g + e_gi: the deviation b_g is common to the group. With the
variances s_b^2 and s_w^2 of b and e, and the intraclass correlation

    rho = s_b^2 / (s_b^2 + s_w^2),

the mean of m rows has the variance (s_b^2 + s_w^2) (1 + (m - 1) rho) / m, so that each of them
counts as w = 1 / (1 + (m - 1) rho) observations (the design effect of Kish, "Survey sampling",
1965). With these weights the evidence estimates s_b^2 + s_w^2, the variance of a new measurement of
a new specimen, and where the rows of a group share x the fit maximises the likelihood. Independent
noise has rho = 0 and w = 1.

Means y_g, f_g and e_g of a group, and deviations from them, have independent noise:

    y_i - y_g = f(x_i) - f_g + e_i - e_g,
    y_g = f_g + b_g + e_g,    var(b_g + e_g) = s_b^2 + s_w^2 / m.

f is estimated from both by kernel ridge regression, which has leave-one-out errors r / (1 - h) in
closed form. As r has the expected square var (1 - h), the mean of r^2 / (1 - h) estimates the
variance of the deviations and of the means, and their difference s_b^2 (one-way analysis of
variance). rho is accepted if leave-one-out errors of the means have a larger density than with the
one variance of rho = 0.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._bayes.evidence import MOST_BETA
from .._bayes.laplace import LEAST_ONE_MINUS_LEVERAGE
from .._data.data import Data
from .._relevance.pilots import MAX_PILOT_ROWS
from .kernel_ridge import KERNELS, ridge_by_kernel
from .plan import Plan

# A tenth of the observations less, and standard deviations are larger by a twentieth.
LEAST_SHARE = 0.1

# With fewer groups their variance is too uncertain.
LEAST_GROUPS = 5

# rho is estimated until it changes by less than the tolerance; two fits usually suffice.
MAX_FITS, FIRST, TOLERANCE = 4, 0.5, 0.05

# Of the means by the regression: one that passes through most of them leaves nothing from which
# their variance could be estimated, and with noise only between groups it may have the least error.
MOST_LEVERAGE = 0.8

# Number of landmarks of the regressions.
N_LANDMARKS = 150


class Repeats(NamedTuple):
    """The group of each row, and the correlation of the noise within groups."""

    groups: np.ndarray  # (n_samples,) numbers from 0
    correlation: float

    def weigh(self, data: Data) -> Data:
        """Count each row as 1 / (1 + (m - 1) rho) observations, times its weight."""
        weight = data.weights() / self.design_effect(data)[self.groups]
        return replace(data, sample_weight=weight.astype(data.y.dtype), groups=self.groups)

    def design_effect(self, data: Data) -> np.ndarray:
        """Return 1 + (m - 1) rho of each group; m is the sum of its weights."""
        return 1.0 + np.maximum(self.sizes(data) - 1.0, 0.0) * self.correlation

    def sizes(self, data: Data) -> np.ndarray:
        """Return the sum of the weights of each group."""
        return np.bincount(self.groups, data.weights())

    def on_rows(self, rows) -> "Repeats":
        """Return the groups of a subset of the rows."""
        groups = np.unique(self.groups[rows], return_inverse=True)[1].ravel()
        return Repeats(groups, self.correlation)

    def means(self, data: Data, values) -> np.ndarray:
        """Average over the rows of each group, (n_groups, n_outputs)."""
        sums = [np.bincount(self.groups, data.weights() * column) for column in values.T]
        return np.column_stack(sums) / self.sizes(data)[:, np.newaxis]


def find_repeats(plan: Plan, data: Data) -> Repeats | None:
    """Find groups of correlated rows: the groups given by the user, or rows that share X.

    `data` is in the units of training. None where there are none, where their noise is independent,
    and where the evidence of squared errors is not used.
    """
    settings = plan.settings
    if not plan.by_evidence or settings.early_stopping or not settings.loss.least_squares:
        return None
    groups = repeated_rows(data) if data.groups is None else data.groups
    if groups is None:
        return None
    rows = _rows_of_some_groups(groups)
    rows = rows[data.weights()[rows] > 0.0]
    repeats = Repeats(groups, FIRST).on_rows(rows)
    if repeats.groups.max() + 1 < LEAST_GROUPS:
        return None
    data = data.on_rows(rows)
    with plan.blas_threads():
        if sparse.issparse(data.X):  # its products with some rows stand for it
            products = (data.X @ data.X[:N_LANDMARKS].T).toarray()
            spread = products.std(axis=0)
            data = replace(data, X=products / np.where(spread > 0.0, spread, 1.0))
        correlation = _correlation(data, repeats)
    return Repeats(groups, correlation) if correlation else None


def repeated_rows(data: Data) -> np.ndarray | None:
    """Return the numbers of `equal_rows`; None if indicators distinguish as many rows.

    Rows of categories share X because there are few categories, which new rows share, too. Without
    the rows of one of them nothing is known of it: left out together, 30 one-hot columns explain
    nothing, left out one by one 0.99.
    """
    groups = equal_rows(data)
    if groups is None:
        return None
    X = data.X[np.unique(groups, return_index=True)[1]]
    of_indicators = _projection(X[:, np.flatnonzero(_indicators(X))])
    return None if len(np.unique(of_indicators)) == X.shape[0] else groups


def _indicators(X) -> np.ndarray:
    """Return a mask of the columns with at most two values, in a sparse X zero and another one."""
    highest, lowest = X.max(axis=0), X.min(axis=0)
    if not sparse.issparse(X):
        return ((X == highest) | (X == lowest)).all(axis=0)
    highest, lowest = (bound.toarray().ravel() for bound in (highest, lowest))
    X = X.tocoo()
    others = (X.data != highest[X.col]) & (X.data != lowest[X.col]) & (X.data != 0.0)
    others |= (highest[X.col] > 0.0) & (lowest[X.col] < 0.0)
    return np.bincount(X.col[others], minlength=X.shape[1]) == 0


def equal_rows(data: Data, least_share=LEAST_SHARE) -> np.ndarray | None:
    """Return a number for each distinct row of X; None where few are repeated.

    The numbers do not depend on the order of the rows.
    """
    if len(data.y) < 2:
        return None
    # It takes a sixth to a third of the time of np.unique over rows: 5 ms of 8,000 rows of 18
    # inputs.
    projection = _projection(data.X)
    order = np.argsort(projection, kind="stable")
    differs = np.diff(projection[order]) != 0.0
    counted = data.weights()[order] > 0.0
    if np.count_nonzero(~differs & counted[1:]) < least_share * np.count_nonzero(counted):
        return None
    same = np.flatnonzero(~differs)
    unequal = data.X[order[same + 1]] != data.X[order[same]]
    differs[same] = np.asarray(unequal.sum(axis=1)).ravel() > 0
    groups = np.empty(len(order), dtype=np.intp)
    groups[order] = np.concatenate([[0], np.cumsum(differs)])
    return groups


def _projection(X) -> np.ndarray:
    """Return a random linear function of each row, to the bit the same for equal rows."""
    factors = np.random.RandomState(0).rand(X.shape[1])
    if sparse.issparse(X):  # sums over the entries of a row, in the order of the columns
        largest = np.asarray(abs(X).max(axis=0).todense()).ravel()
        return X.tocsr().sorted_indices() @ (factors / np.where(largest > 0.0, largest, 1.0))
    projection = np.zeros(len(X))
    # A matrix product may round equal rows differently, sums of columns do not.
    for column, factor in zip(X.T, factors, strict=True):
        spread = np.ptp(column)
        projection += factor / (spread if spread > np.finfo(float).tiny else 1.0) * column
    return projection


def _rows_of_some_groups(groups) -> np.ndarray:
    """Return the rows of all groups, or of as many as pilot networks have rows."""
    order = np.random.RandomState(0).permutation(groups.max() + 1)
    n_rows = np.cumsum(np.bincount(groups)[order])
    n_groups = max(LEAST_GROUPS, np.searchsorted(n_rows, MAX_PILOT_ROWS, "right"))
    return np.flatnonzero(np.isin(groups, order[:n_groups]))


def _correlation(data: Data, repeats: Repeats) -> float:
    """Estimate rho; 0 where leave-one-out errors prefer independent noise, or rows agree exactly.

    Among outputs it is the largest: their weights are common, and with too large a rho an output
    has fewer observations than it could have, with too small a rho the network follows its noise.
    """
    size = repeats.sizes(data)
    freedom = size.sum() - len(size)
    deviations = data.y - repeats.means(data, data.y)[repeats.groups]
    if freedom <= 0.0 or not (data.weights() @ deviations**2 > freedom / MOST_BETA).any():
        return 0.0  # rows that agree exactly are copies, which count as weights do
    kernels = KERNELS
    for _ in range(MAX_FITS):
        before, left_out = repeats.correlation, LeftOut.of(data, repeats, kernels)
        weight, kernels = size / repeats.design_effect(data), left_out.kernels
        within = np.maximum(left_out.of_deviations / freedom, 1.0 / MOST_BETA)
        between = weight @ left_out.squares - within * (weight / size).sum()
        between = np.maximum(between / weight.sum(), 0.0)
        repeats = repeats._replace(correlation=float(np.max(between / (between + within))))
        if abs(repeats.correlation - before) < TOLERANCE:
            break
    if (size / repeats.design_effect(data)).sum() > (1.0 - LEAST_SHARE) * size.sum():
        return 0.0
    independent = LeftOut.of(data, repeats._replace(correlation=0.0), kernels)
    noise = (independent.of_deviations + size @ independent.squares) / size.sum()
    density = independent.log_density(noise / size[:, np.newaxis])
    noise = (between + within) / weight[:, np.newaxis]
    return repeats.correlation if left_out.log_density(noise) > density else 0.0


class LeftOut(NamedTuple):
    """Leave-one-out errors of the means of groups, (n_groups, n_outputs), and of deviations."""

    errors: np.ndarray
    free: np.ndarray  # 1 - h
    of_deviations: np.ndarray  # (n_outputs,) sum of r^2 / (1 - h)
    kernels: tuple  # of the best regressions

    @classmethod
    def of(cls, data: Data, repeats: Repeats, kernels) -> "LeftOut":
        """Fit regressions to the deviations and means, weighted for the correlation."""
        X, y, counts = data.X.astype(np.float64), data.y.astype(np.float64), data.weights()
        size, n_rows = repeats.sizes(data), len(y)

        def contrasts(values) -> np.ndarray:
            means = repeats.means(data, values)
            return np.vstack([values - means[repeats.groups], means])

        weight = counts / (1.0 - repeats.correlation), size / repeats.design_effect(data)
        y, weight = contrasts(y), np.concatenate(weight)
        constant = np.repeat([0.0, 1.0], [n_rows, len(size)])
        options = {"contrasts": contrasts, "constant": constant, "most_leverage": MOST_LEVERAGE}
        regressions = [
            min(of_output, key=lambda regression: weight @ regression.errors**2)
            for of_output in ridge_by_kernel(X, y, weight, N_LANDMARKS, kernels, **options)
        ]
        errors = np.column_stack([regression.errors for regression in regressions])
        predicted = np.column_stack([regression.predict(X) for regression in regressions])
        residuals, free = y - contrasts(predicted), np.ones_like(errors)
        np.divide(residuals, errors, out=free, where=errors != 0.0)
        free = np.clip(free, LEAST_ONE_MINUS_LEVERAGE, 1.0)
        of_deviations = counts @ (errors**2 * free)[:n_rows]
        kernels = tuple(dict.fromkeys(regression.kernel for regression in regressions))
        return cls(errors[n_rows:], free[n_rows:], of_deviations, kernels)

    @property
    def squares(self) -> np.ndarray:
        """Return r^2 / (1 - h), whose expectation is the variance of a mean."""
        return self.errors**2 * self.free

    def log_density(self, variance) -> float:
        """Compute the log density of the errors, of variance / (1 - h), but for a constant."""
        variance = np.maximum(variance, 1.0 / MOST_BETA) / self.free
        return float(-0.5 * np.sum(np.log(variance) + self.errors**2 / variance))
