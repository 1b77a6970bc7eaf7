"""Repeated measurements: rows of one specimen, or of one group, count as fewer observations.

Row i of group g is y_gi = f(x_gi) + b_g + e_gi: the deviation b_g is common to the group. With the
variances s_b^2 and s_w^2 of b and e, and the intraclass correlation

    rho = s_b^2 / (s_b^2 + s_w^2),

the mean of m rows has the variance (s_b^2 + s_w^2) (1 + (m - 1) rho) / m, so that each of them
counts as w = 1 / (1 + (m - 1) rho) observations (the design effect of Kish, "Survey sampling",
1965). With these weights the evidence estimates s_b^2 + s_w^2, the variance of a new measurement of
a new specimen, and where the rows of a group share x the fit maximises the likelihood. Independent
noise has rho = 0 and w = 1.

The variance of b is what the means of the groups deviate from f, beyond s_w^2 / m (one-way analysis
of variance). A network that follows every mean leaves no deviation, and one that misses f leaves
too much. Hence rho is estimated from fits that begin with w = 1 / m, and is accepted if the means
of groups that are held out have a larger predictive density than with w = 1.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._activations.users_own import raise_caught
from .._bayes.conformal import LEAST_ROWS
from .._bayes.evidence import MOST_BETA
from .._data.data import Data
from .._data.hold_out import hold_out_splits
from .._machine.interruption import Interruption
from .._relevance.pilots import MAX_PILOT_ROWS
from .._solvers.monitor import Solution
from .plan import Plan
from .posterior import laplace_posterior
from .starts import NO_USER_START, draw
from .train import refit

# A tenth of the observations less, and standard deviations are larger by a twentieth.
LEAST_SHARE = 0.1

# With fewer groups a fifth of them cannot be held out.
LEAST_GROUPS = 5

# rho is estimated until it changes by less than the tolerance; two fits usually suffice.
MAX_FITS, TOLERANCE = 4, 0.05

# Further groups are held out until the difference is 5 nats, odds of 150 to 1. With 19 groups only,
# one of ten sets of 60 specimens was decided wrongly.
DECISIVE = 5.0


class Repeats(NamedTuple):
    """The group of each row, and the correlation of the noise within groups."""

    groups: np.ndarray  # (n_samples,) numbers from 0
    correlation: float

    def weigh(self, data: Data) -> Data:
        """Count each row as 1 / (1 + (m - 1) rho) observations, times its weight."""
        weight = _counts(data) / self.design_effect(data)[self.groups]
        return replace(data, sample_weight=weight.astype(data.y.dtype), groups=self.groups)

    def design_effect(self, data: Data) -> np.ndarray:
        """Return 1 + (m - 1) rho of each group; m is the sum of its weights."""
        return 1.0 + np.maximum(self.sizes(data) - 1.0, 0.0) * self.correlation

    def sizes(self, data: Data) -> np.ndarray:
        """Return the sum of the weights of each group."""
        return np.bincount(self.groups, _counts(data))

    def on_rows(self, rows) -> "Repeats":
        """Return the groups of a subset of the rows."""
        groups = np.unique(self.groups[rows], return_inverse=True)[1].ravel()
        return Repeats(groups, self.correlation)

    def means(self, data: Data, values) -> np.ndarray:
        """Average over the rows of each group, (n_groups, n_outputs)."""
        sums = [np.bincount(self.groups, _counts(data) * column) for column in values.T]
        return np.column_stack(sums) / self.sizes(data)[:, np.newaxis]


def find_repeats(plan: Plan, data: Data, interruption: Interruption) -> Repeats | None:
    """Find groups of correlated rows: the groups given by the user, or rows that share X.

    `data` is in the units of training. None where there are none, where their noise is independent,
    and where the evidence of squared errors is not used.
    """
    settings = plan.settings
    if not plan.by_evidence or settings.early_stopping or not settings.loss.least_squares:
        return None
    groups = equal_rows(data) if data.groups is None else data.groups
    if groups is None:
        return None
    rows = _rows_of_some_groups(groups)
    rows = rows[_counts(data)[rows] > 0.0]
    repeats = Repeats(groups, 1.0).on_rows(rows)
    if repeats.groups.max() + 1 < LEAST_GROUPS:
        return None
    with interruption.catches_sigint(), plan.blas_threads():
        correlation = _correlation(plan, data.on_rows(rows), repeats, interruption)
    raise_caught()
    return None if interruption.is_set() or not correlation else Repeats(groups, correlation)


def equal_rows(data: Data, least_share=LEAST_SHARE) -> np.ndarray | None:
    """Return a number for each distinct row of X; None where few are repeated or X is sparse.

    The numbers do not depend on the order of the rows.
    """
    if sparse.issparse(data.X) or len(data.y) < 2:
        return None
    # A random projection takes a sixth to a third of the time of np.unique over rows: 5 ms of 8,000
    # rows of 18 inputs. A matrix product may round equal rows differently, sums of columns do not.
    projection = np.zeros(len(data.y))
    factors = np.random.RandomState(0).rand(data.X.shape[1])
    for column, factor in zip(data.X.T, factors, strict=True):
        spread = np.ptp(column)
        projection += factor / (spread if spread > np.finfo(float).tiny else 1.0) * column
    order = np.argsort(projection, kind="stable")
    differs = np.diff(projection[order]) != 0.0
    counted = _counts(data)[order] > 0.0
    if np.count_nonzero(~differs & counted[1:]) < least_share * np.count_nonzero(counted):
        return None
    same = np.flatnonzero(~differs)
    differs[same] = (data.X[order[same + 1]] != data.X[order[same]]).any(axis=1)
    groups = np.empty(len(order), dtype=np.intp)
    groups[order] = np.concatenate([[0], np.cumsum(differs)])
    return groups


def _counts(data: Data) -> np.ndarray:
    return np.ones(len(data.y)) if data.sample_weight is None else data.sample_weight


def _rows_of_some_groups(groups) -> np.ndarray:
    """Return the rows of all groups, or of as many as pilot networks have rows."""
    order = np.random.RandomState(0).permutation(groups.max() + 1)
    n_rows = np.cumsum(np.bincount(groups)[order])
    n_groups = max(LEAST_GROUPS, np.searchsorted(n_rows, MAX_PILOT_ROWS, "right"))
    return np.flatnonzero(np.isin(groups, order[:n_groups]))


def _correlation(plan: Plan, data: Data, repeats: Repeats, interruption) -> float:
    """Estimate rho; 0 where held-out groups prefer independent noise."""
    theta = draw(plan, NO_USER_START, np.random.RandomState(0))[0].theta
    counts = _counts(data)
    for _ in range(MAX_FITS):
        before = repeats.correlation
        solution = refit(plan, repeats.weigh(data), theta, interruption)
        if solution.state is None or interruption.is_set():
            return 0.0
        repeats = repeats._replace(correlation=_analysis_of_variance(plan, data, repeats, solution))
        if repeats.weigh(data).sample_weight.sum() > (1.0 - LEAST_SHARE) * counts.sum():
            return 0.0
        if abs(repeats.correlation - before) < TOLERANCE:
            break
    gain, n_held_out = 0.0, 0
    for rows, held_out in hold_out_splits(len(data.y), np.random.RandomState(0), repeats.groups):
        for assumed, sign in ((repeats, 1.0), (repeats._replace(correlation=0.0), -1.0)):
            training = assumed.on_rows(rows).weigh(data.on_rows(rows))
            solution = refit(plan, training, theta, interruption)
            if solution.state is None or interruption.is_set():
                return 0.0
            rest, of_rest = data.on_rows(held_out), assumed.on_rows(held_out)
            gain += sign * _log_density(plan, training, solution, rest, of_rest)
        n_held_out += of_rest.groups.max() + 1
        if n_held_out >= LEAST_ROWS and abs(gain) > DECISIVE:
            break
    return repeats.correlation if gain > 0.0 else 0.0


def _analysis_of_variance(plan: Plan, data: Data, repeats: Repeats, solution: Solution) -> float:
    """Return rho at a solution fitted with the weights of `repeats`, 0 if rows agree exactly.

    Among outputs it is the largest: their weights are common, and with too large a rho an output
    has fewer observations than it could have, with too small a rho the network follows its noise.
    """
    size, effect = repeats.sizes(data), repeats.design_effect(data)
    residuals = data.y - _predict(plan, solution, data.X)
    means = repeats.means(data, residuals)
    squares = _counts(data) @ (residuals - means[repeats.groups]) ** 2
    freedom = size.sum() - len(size)
    if freedom <= 0.0 or not (squares > freedom / MOST_BETA).any():
        return 0.0  # rows that agree exactly are copies, which count as weights do
    within = squares / freedom
    weight = size / effect / (size / effect).sum()
    unfitted = max(len(size) - solution.state.gamma.sum() / data.y.shape[1], 1.0) / len(size)
    between = np.maximum(weight @ means**2 / unfitted - within * (weight / size).sum(), 0.0)
    return float(np.max(between / np.maximum(between + within, np.finfo(float).tiny)))


def _log_density(plan, training: Data, solution, rest: Data, repeats: Repeats) -> float:
    """Compute the log density of the means of held-out groups, but for a constant."""
    posterior = laplace_posterior(plan, training, solution, lambda: None)
    noise = solution.state.noise_std**2
    X = rest.X.astype(np.float64, copy=False)
    of_rows = (posterior.std(plan.network, X) / posterior.y_scale) ** 2 - noise
    share = (repeats.design_effect(rest) / repeats.sizes(rest))[:, np.newaxis]
    variance = repeats.means(rest, of_rows) + noise * share
    deviations = repeats.means(rest, rest.y - _predict(plan, solution, X))
    return float(-0.5 * np.sum(np.log(variance) + deviations**2 / variance))


def _predict(plan: Plan, solution: Solution, X) -> np.ndarray:
    return plan.network.predict(*plan.architecture.unpack(solution.theta), X)
