"""`Candidate`: a fit, its errors on rows not trained on, and those of its reference."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .._bayes.laplace import Posterior
from .._data.data import Data
from .._solvers.monitor import Solution
from .plan import Plan
from .starts import Start

# A regression is clearly better if its squared error is below this share of the network's. Between
# this share and 1, on twelve data sets, networks and regressions were each as often the better one
# on new rows.
CLEARLY_BELOW = 0.8

# Difference of squared errors, in units of the variance of y, that is not worth another fit.
NEGLIGIBLE = 0.01


class HeldOut(NamedTuple):
    """Errors of predictions for rows that were not trained on."""

    rows: np.ndarray
    errors: np.ndarray  # (len(rows), n_outputs) in the units of training


class Errors(NamedTuple):
    """Mean squared errors on rows not trained on, in units of the variance of each output."""

    network: np.ndarray  # (n_outputs,)
    regression: np.ndarray  # of the best kernel ridge regression

    @property
    def is_beaten(self) -> np.ndarray:
        """Mask of the outputs that the regression predicts clearly better."""
        below = self.regression < CLEARLY_BELOW * self.network
        return below & (self.regression < self.network - NEGLIGIBLE)


@dataclass(frozen=True)
class Candidate:
    """A fit: the plan and the data of its network, and what is known of it."""

    plan: Plan
    data: Data
    start: Start
    solution: Solution
    posterior: Posterior | None = None
    errors: Errors | None = None  # None where it was not compared
    held_out: HeldOut | None = None  # None where leave-one-out errors are the posterior's

    def predict(self, X) -> np.ndarray:
        """Predict at standardised X with all inputs, shape (n_samples, n_outputs)."""
        plan, theta = self.plan, self.solution.theta
        X = X if plan.inputs is None else X[:, plan.inputs]
        coefs, intercepts = plan.architecture.unpack(theta)
        return plan.network.predict(coefs, intercepts, X.astype(np.float64, copy=False))
