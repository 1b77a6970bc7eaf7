"""`Candidate`: a fit, its errors on rows not trained on, and those of its reference."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._bayes.laplace import Posterior
from .._data.data import Data
from .._solvers.monitor import Solution
from .plan import Plan
from .starts import Start

# A network fails if it explains less than this share of what the regression explains of the
# variance. Of 28 splits of seven data sets and 90 drawn problems 48 failed; 41 of the regressions
# were better on new rows, by 0.5 in R² on average, and no other was worse by more than 0.12.
LEAST_SHARE = 0.9

# It also fails if the regression leaves less than this share of what it leaves unexplained:
# without noise, 0.87 of the variance is little where 0.93 is explained.
MOST_RATIO = 0.75

# Difference of squared errors, in units of the variance of y, that does not matter.
NEGLIGIBLE = 0.01

# Share of the variance that a regression must explain beyond a network for a warning.
COLLAPSED_SHARE = 0.1


class HeldOut(NamedTuple):
    """Errors of predictions for rows that were not trained on."""

    rows: np.ndarray
    errors: np.ndarray  # (len(rows), n_outputs) in the units of training


class Errors(NamedTuple):
    """Mean squared errors on rows not trained on, in units of the variance of each output."""

    network: np.ndarray  # (n_outputs,)
    regression: np.ndarray  # of the average of kernel ridge regressions

    @property
    def is_beaten(self) -> np.ndarray:
        """Mask of the outputs that the network explains clearly less well than the regression."""
        share = 1.0 - self.regression  # below 0 for the mean of y
        explained = np.minimum(LEAST_SHARE * share, share) - NEGLIGIBLE
        unexplained = self.regression / MOST_RATIO + NEGLIGIBLE
        return (1.0 - self.network < explained) | (self.network > unexplained)

    @property
    def are_close(self) -> np.ndarray:
        """Mask of the outputs of which the network leaves about as much as the regression."""
        return self.network > MOST_RATIO * self.regression + NEGLIGIBLE

    @property
    def are_far(self) -> np.ndarray:
        """Mask of the outputs of which the regression explains far more."""
        return self.is_beaten & (self.network > self.regression + COLLAPSED_SHARE)


@dataclass(frozen=True)
class Candidate:
    """A fit: the plan and the data of its network, and what is known of it."""

    plan: Plan
    data: Data
    start: Start
    solution: Solution
    posterior: Posterior | None = None
    errors: Errors | None = None  # None where it was not compared
    losses: np.ndarray | None = None  # of the rows compared, see `losses_of`; NaN: not tested
    collapsed: bool = False  # the regression is better by a standard error, and far
    held_out: HeldOut | None = None  # None where leave-one-out errors are the posterior's
    refits: "tuple[Refit, ...]" = ()  # of the same network

    def predict(self, X) -> np.ndarray:
        """Predict at standardised X with all inputs, shape (n_samples, n_outputs)."""
        inputs = self.plan.inputs
        return self._of_selected(X if inputs is None else X[:, inputs])

    def curvatures(self) -> np.ndarray:
        """Return the curvature of the loss at each row of the data, 1 on average, (n_samples,)."""
        y, weight, loss = self.data.y, self.data.weights(), self.plan.settings.loss
        if loss.least_squares:
            return np.ones(len(y))
        f = self._of_selected(self.data.X)
        curvature = loss.expected_curvature(y, f, weight).mean(axis=1)
        return curvature / np.average(curvature, weights=weight)

    def _of_selected(self, X) -> np.ndarray:
        """Predict at standardised X with the inputs in use."""
        coefs, intercepts = self.plan.architecture.unpack(self.solution.theta)
        return self.plan.network.predict(coefs, intercepts, X.astype(np.float64, copy=False))


class Refit(NamedTuple):
    """A fit to a part of the rows, and other rows with the same inputs."""

    fit: Candidate
    rest: Data
