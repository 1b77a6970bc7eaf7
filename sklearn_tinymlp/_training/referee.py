"""The referee: compare a fit with kernel ridge regressions, and mend it where they predict better.

The evidence judges a fit by the rows that it was trained on, under normal noise of one size. It is
wrong where rows have long tails (the network follows single rows) and where it has found nothing
(signal is taken for noise). Errors on rows that were not trained on tell both apart from a good
fit. First those of leave-one-out, which cost next to nothing: of the network by linearisation,

    e_i = r_i / (1 - h_i)    with the leverage h_i,

and of the regressions exactly (`kernel_ridge`). A fit is doubted if the mean of e_i^2

- exceeds that of the best regression by a quarter, or
- exceeds generalised cross-validation, the mean of r_i^2 / (1 - gamma / n)^2, by half: then a few
  rows have parameters of their own, linearisation fails for them, and the network is trained again
  without a fifth of the rows, whose errors are compared with those of the regression.

In a fit that fails, the network is trained on what the regression predicts for the rows and for as
many points between them (distillation: Bucila, Caruana & Niculescu-Mizil, KDD 2006). From these
weights the evidence is maximised once more. If that fit fails too, the weights that were trained on
the predictions are kept, whose errors are about those of the regression.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._bayes.curvature import Curvature
from .._bayes.evidence import evidence
from .._bayes.groups import GROUPINGS
from .._data.data import Data
from .._data.hold_out import hold_out_splits
from .._machine.interruption import Interruption
from .._objective.objective import Objective
from .._solvers.evidence_restarts import State, first_hyperparameters
from .._solvers.levenberg_marquardt import mean_loss, search_by_evidence
from .._solvers.monitor import History, Monitor, Solution, StopReason
from .calibration import BeforeSelection, Candidate, HeldOut
from .kernel_ridge import Regression, kernel_ridge
from .posterior import laplace_posterior
from .starts import NO_USER_START, Start, draw

# With fewer rows leave-one-out errors are too uncertain to choose by.
MIN_ROWS = 20

# Rows of the first look and landmarks of its regressions: with 200 they take 0.05 s of a core for
# 1,000 rows and 20 inputs. A regression that a network is trained on may take longer.
LOOK_ROWS, LOOK_LANDMARKS = 1000, 150
MOST_ROWS, MOST_LANDMARKS = 3000, 500

# Share of the network's squared error that the regression's must fall below.
CLEARLY_BELOW = 0.8

# Difference in the explained variance that is not worth another fit.
NEGLIGIBLE = 0.01

# Ratio of leave-one-out error to generalised cross-validation above which single rows are suspected
# to have parameters of their own.
MOST_RATIO = 1.5

# Number of points between rows at which the network learns what a regression predicts.
POINTS_BETWEEN = 1000

# Mean squared error, in units of the variance of y, that is as good as none.
LEAST_ERROR = 1e-4

# Number of estimates of penalty and noise at fixed weights; they change by a thousandth then.
ESTIMATES = 10

# The network has learned it with this share of the regression's squared error.
LEARNED = 0.01


class Errors(NamedTuple):
    """Mean squared errors of each output on rows not trained on, in units of its variance."""

    network: np.ndarray
    cross_validation: np.ndarray  # generalised
    regression: np.ndarray

    @property
    def is_beaten(self) -> np.ndarray:
        """Mask of the outputs that the regression predicts clearly better."""
        below = self.regression < CLEARLY_BELOW * self.network
        return below & (self.regression < self.network - NEGLIGIBLE)

    @property
    def follows_single_rows(self) -> np.ndarray:
        """Mask of the outputs whose leave-one-out error exceeds generalised cross-validation."""
        excess = self.network > MOST_RATIO * self.cross_validation
        return excess & (self.network > NEGLIGIBLE)


class Look(NamedTuple):
    """A comparison on some rows; deviations are (len(rows), n_outputs) in the units of training."""

    rows: np.ndarray
    errors: Errors
    of_network: np.ndarray  # leave-one-out deviations
    regressions: list[Regression]
    of_regressions: np.ndarray


def refereed(fit: Candidate, before: BeforeSelection | None, interrupted: bool) -> Candidate:
    """Return the fit, or a better one; its state has the errors of network and regression.

    `before` has the data with all inputs. Ctrl-C returns the fit as it is.
    """
    if before is None or interrupted or not _is_judged(fit, before):
        return fit
    interruption = Interruption()
    try:
        with interruption.catches_sigint(), fit.plan.blas_threads():
            return _refereed(fit, before, interruption)
    except KeyboardInterrupt:
        return fit


def _is_judged(fit: Candidate, before: BeforeSelection) -> bool:
    """Whether all choices were left open, in a fit of squared errors by the evidence."""
    plan, state, settings = fit.plan, fit.solution.state, fit.plan.settings
    left_open = plan.by_evidence and settings.grouping is None and plan.warm_start is None
    usual = settings.bias and not settings.early_stopping and plan.scaling is not None
    return (
        left_open
        and usual
        and settings.loss.least_squares
        and len(plan.architecture.units) > 2
        and settings.activations[-1] == "identity"
        and settings.params["noise"] == "constant"
        and state is not None
        and np.isfinite(fit.solution.theta).all()
        and not sparse.issparse(fit.data.X)
        and len(fit.data.y) >= MIN_ROWS
        and fit.solution.reason not in (StopReason.LOSS_TOL, StopReason.CALLBACK)
    )


def _refereed(fit: Candidate, before: BeforeSelection, interruption: Interruption) -> Candidate:
    rows = _some_rows(len(fit.data.y), LOOK_ROWS)
    fit, look = _compared(fit, before, rows, LOOK_LANDMARKS, interruption)
    failed = look.errors.is_beaten
    if not failed.any() and look.errors.follows_single_rows.any():
        errors = _on_held_out_rows(fit, before, look, interruption)
        failed = errors.is_beaten
    if not failed.any():
        return fit
    rows = _some_rows(len(fit.data.y), MOST_ROWS)
    fit, look = _compared(fit, before, rows, MOST_LANDMARKS, interruption)
    distilled = _distilled(fit, before, look, failed, interruption)
    mended = _restarted(distilled, interruption)
    if mended.solution.state is not None:
        mended, again = _compared(mended, before, rows, MOST_LANDMARKS, interruption)
        if not (again.errors.is_beaten | again.errors.follows_single_rows).any():
            return mended
    return distilled


def _some_rows(n_rows, most) -> np.ndarray:
    return np.sort(np.random.RandomState(0).permutation(n_rows)[:most])


def _compared(
    fit: Candidate, before: BeforeSelection, rows, n_landmarks, interruption
) -> tuple[Candidate, Look]:
    """Compare leave-one-out errors of a fit and of regressions on some rows."""
    between = interruption.raise_if_set
    posterior = fit.posterior or laplace_posterior(fit.plan, fit.data, fit.solution, between)
    some, every_input = fit.data.on_rows(rows), before.data.on_rows(rows)
    X, weight = some.X.astype(np.float64, copy=False), some.weights()
    loo = posterior.leave_one_out(fit.plan.network, X, some.y, fit.data.left_out()[rows], between)
    regressions = kernel_ridge(
        every_input.X.astype(np.float64), every_input.y.astype(np.float64), weight, n_landmarks
    )
    interruption.raise_if_set()
    state, n_outputs = fit.solution.state, some.y.shape[1]
    freedom = max(1.0 - state.gamma.sum() / (state.n_samples * n_outputs), 1e-3)
    of_regressions = np.column_stack([regression.errors for regression in regressions])
    errors = Errors(
        *(
            _mean_squares(deviations, some.y, weight)
            for deviations in (loo.errors, loo.residuals / freedom, of_regressions)
        )
    )
    return replace(fit, posterior=posterior), Look(
        rows, errors, loo.errors, regressions, of_regressions
    )


def _mean_squares(deviations, y, weight) -> np.ndarray:
    """Compute weighted mean squares in units of the variance of each output; 0 if it is constant."""
    squares, spread = weight @ deviations**2, weight @ (y - np.average(y, 0, weight)) ** 2
    return np.divide(squares, spread, out=np.zeros(len(spread)), where=spread > 0.0)


def _on_held_out_rows(fit, before, look: Look, interruption) -> Errors:
    """Replace the network's errors by those of refits without a fifth of the rows.

    Where these errors are alike, another fifth decides.
    """
    parts, rows = [], look.rows
    for _, held_out in hold_out_splits(len(rows), np.random.RandomState(0)):
        others = np.setdiff1d(np.arange(len(fit.data.y)), rows[held_out])
        plan, data, start = fit.plan, fit.data, fit.start
        if plan.inputs is not None:
            plan, data, start = before.selected_on(others, interruption)
        monitor = Monitor(plan.settings.max_iter, History(), interrupted=interruption)
        options = plan.options(np.random.RandomState(0))
        theta, rest = start.theta.astype(np.float64), data.on_rows(rows[held_out])
        refit = plan.solver.solve(plan.objective(data.on_rows(others)), theta, monitor, options)
        interruption.raise_if_set()
        deviations = rest.y - Candidate(plan, data, start, refit).predict(rest.X)
        parts.append((deviations, look.of_regressions[held_out], rest.y, rest.weights()))
        network, regression, y, weight = map(np.concatenate, zip(*parts, strict=True))
        held = look.errors._replace(
            network=_mean_squares(network, y, weight),
            regression=_mean_squares(regression, y, weight),
        )
        better = held.network < CLEARLY_BELOW * held.regression
        if len(parts) == 2 or (held.is_beaten | better).all():
            break
    return held


def _distilled(fit, before, look: Look, failed, interruption) -> Candidate:
    """Train the network on predictions: of the regressions where the fit failed, else of the fit."""
    plan, rng = before.plan, np.random.RandomState(0)
    X = before.data.X[look.rows].astype(np.float64)
    one, other = (X[rng.randint(len(X), size=POINTS_BETWEEN)] for _ in range(2))
    points = np.vstack([X, np.where(rng.random_sample(one.shape) < 0.5, one, other)])
    earlier = fit.predict(points if fit.plan.inputs is None else points[:, fit.plan.inputs])
    predicted = np.column_stack([regression.predict(points) for regression in look.regressions])
    targets = np.where(failed, predicted, earlier)
    learned = LEARNED * np.mean(look.of_regressions**2, axis=0)[failed].min()
    objective = Objective(plan.network, Data(points, targets).samples(), 0.0)
    monitor = Monitor(
        plan.settings.max_iter,
        History(),
        loss_tol=0.5 * max(learned, LEAST_ERROR),
        interrupted=interruption,
    )
    start = draw(plan, NO_USER_START, np.random.RandomState(0))[0]
    groups = GROUPINGS[plan.grouping](plan.architecture)
    theta = search_by_evidence(
        objective, start.theta, monitor, groups=groups, tol=plan.settings.tol
    ).theta
    interruption.raise_if_set()
    solution = _evidence_at(theta, fit, before, groups, interruption)
    distilled = Candidate(plan, before.data, Start(theta, fit.start.random_state), solution)
    errors = (
        np.where(failed, look.of_regressions, look.of_network)
        + targets[: len(X)]
        - distilled.predict(X)
    )
    return replace(distilled, held_out=HeldOut(look.rows, errors))


def _evidence_at(theta, fit, before, groups, interruption) -> Solution:
    """Estimate the penalty and the noise at weights that do not maximise the evidence."""
    plan, objective = before.plan, before.plan.objective(before.data)
    curvature = Curvature.cheapest(plan.architecture, len(before.data.y))
    variance, n_samples = objective.variance(), objective.training.weight_sum
    hyper, found = first_hyperparameters(groups, objective.n_outputs, variance), None
    with np.errstate(all="ignore"):
        errors = objective.errors(theta)
        for _ in range(ESTIMATES):
            product = curvature.product(
                objective, theta, hyper.beta, np.random.RandomState(0), interruption.raise_if_set
            )
            precision = product.certainly_factorised(hyper.alpha[groups], hyper.beta)
            last = hyper
            found = evidence(theta, errors, precision, hyper, groups, n_samples, variance)
            hyper = found.next
    return fit.solution._replace(
        theta=theta,
        loss=mean_loss(objective, theta, errors),
        state=State(last, found.gamma, groups, n_samples),
        log_evidence=found.log_evidence,
        reason=StopReason.DISTILLED,
    )


def _restarted(distilled: Candidate, interruption) -> Candidate:
    """Maximise the evidence from the weights of a network that was trained on predictions."""
    plan = distilled.plan
    objective = plan.objective(distilled.data)
    monitor = Monitor(plan.settings.max_iter, History(), interrupted=interruption)
    groups = GROUPINGS[plan.grouping](plan.architecture)
    theta = distilled.start.theta
    solution = search_by_evidence(objective, theta, monitor, groups=groups, tol=plan.settings.tol)
    interruption.raise_if_set()
    return replace(distilled, solution=solution, held_out=None)
