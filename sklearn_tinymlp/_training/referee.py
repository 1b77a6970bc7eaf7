"""The referee: compare a fit with kernel ridge regressions, and mend it where they predict better.

The evidence judges a fit by the rows that it was trained on, under normal noise of one size. It is
wrong where rows have long tails (the network follows single rows) and where it has found nothing
(signal is taken for noise). Errors on rows that were not trained on distinguish both from a good
fit. Those of leave-one-out cost little: of the network by linearisation,

    e_i = r_i / (1 - h_i)    with the leverage h_i,

and of the regressions exactly (`kernel_ridge`). A fit fails if the mean of its e_i^2

- is clearly above that of the best regression, or
- exceeds generalised cross-validation, the mean of r_i^2 / (1 - gamma / n)^2, by half, and errors
  after training without a fifth of the rows are above those of the regression: a few rows then have
  parameters of their own, of which linearisation says too little or too much.

The network is then trained on the predictions of the regression (`distillation`), and from these
weights the evidence is maximised once more. If that fit fails too, the weights that were trained on
the predictions are kept: their errors are about those of the regression.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse

from .._bayes.irls import NORMAL_MEDIAN
from .._data.data import Data
from .._data.hold_out import hold_out_splits
from .._machine.interruption import Interruption
from .._solvers.monitor import StopReason
from .calibration import BeforeSelection
from .candidate import NEGLIGIBLE, Candidate, Errors
from .distillation import Comparison, distilled, mean_squares, restarted
from .kernel_ridge import KERNELS, kernel_ridge
from .posterior import laplace_posterior
from .repeated_inputs import equal_rows
from .train import refit

# With fewer rows leave-one-out errors are too uncertain to choose by.
MIN_ROWS = 20

# Number of rows, and of landmarks of the regressions, with which each fit is compared: 0.04 s of a
# core for 1,000 rows of 20 inputs. There are more for a fit that fails.
N_ROWS, N_LANDMARKS = 1000, 150
MANY_ROWS, MANY_LANDMARKS = 3000, 500

# With fewer iterations, the default of `max_iter`, a fit that ended there is not mended.
MIN_ITER = 200

# Ratio of leave-one-out error to generalised cross-validation above which single rows may have
# parameters of their own: below 1.3 in 26 of 31 healthy fits, above 2 with log-normal noise.
MOST_RATIO = 1.5

# Squared error, in units of the variance of y, above which leave-one-out errors count even so: on
# the yacht data it is 0.06 instead of 0.0004, with log-normal noise 0.5 and more is right.
MOST_OF_VARIANCE = 0.5

# Logarithm of the ratio of two squared errors that a fifth of the rows settles.
CLEAR = np.log(1.25)

# A squared error, in units of the variance of y, below which a fit at max_iter has converged.
EXACT = 1e-4

# Distance from the median in robust standard deviations: with normal noise one value in two million
# is further. Fewer such values, or a smaller share of them, hardly change a fit.
TAIL_DISTANCE, LEAST_TAIL_NUMBER, LEAST_TAIL_SHARE = 5.0, 3, 0.005


def refereed(fit: Candidate, before: BeforeSelection | None, interrupted: bool) -> Candidate:
    """Return the fit, or a better one, with its errors and those of the regressions.

    `before` has the data with all inputs. After Ctrl-C in training the fit is returned as it is;
    another one raises KeyboardInterrupt.
    """
    if before is None or interrupted or not _is_judged(fit):
        return fit
    groups = equal_rows(before.data)
    if groups is None and fit.data.groups is not None:
        return fit  # groups with different X, which were held out when their noise was estimated
    data, interruption, judged = before.data, Interruption(), fit
    if len(data.y) <= MANY_ROWS:  # else the data would be copied, and few rows are compared
        before = before._replace(data=_distinct_rows(data))
        judged = replace(fit, data=before.data.on_inputs(fit.plan.inputs))
    if (len(before.data.y) if groups is None else groups.max() + 1) < MIN_ROWS:
        return fit
    # Squares of y or of weights near the largest float overflow; such a fit has not failed.
    overflows = np.errstate(all="ignore")
    with interruption.catches_sigint(), fit.plan.blas_threads(), overflows:
        result = _refereed(judged, before, interruption)
    interruption.raise_if_set()  # Ctrl-C may come after the last block
    if result.held_out is None:
        result = replace(result, data=data.on_inputs(result.plan.inputs))
    return result


def _distinct_rows(data: Data) -> Data:
    """Return the rows without their copies, in an order that is theirs, and their weights.

    A copy is no row that was not trained on, and a row of weight 2 is left out like two rows.
    """
    groups = equal_rows(replace(data, X=np.column_stack([data.X, data.y])), 0.0)
    rows = np.unique(groups, return_index=True)[1]
    weight = np.bincount(groups, data.weights()).astype(data.y.dtype)
    return replace(data.on_rows(rows), sample_weight=weight)


def _is_judged(fit: Candidate) -> bool:
    """Whether all choices were left open, in a fit of squared errors by the evidence."""
    plan, solution, settings = fit.plan, fit.solution, fit.plan.settings
    left_open = plan.by_evidence and settings.grouping is None and plan.warm_start is None
    usual = settings.bias and not settings.early_stopping and plan.scaling is not None
    squares = settings.loss.least_squares and settings.params["noise"] == "constant"
    is_network = len(plan.architecture.units) > 2 and settings.activations[-1] == "identity"
    enough = not sparse.issparse(fit.data.X) and len(fit.data.y) >= MIN_ROWS
    by_user = solution.reason in (StopReason.LOSS_TOL, StopReason.CALLBACK)
    succeeded = solution.state is not None and np.isfinite(solution.theta).all()
    return left_open and usual and squares and is_network and enough and succeeded and not by_user


def _refereed(fit: Candidate, before: BeforeSelection, interruption: Interruption) -> Candidate:
    fit, look, failed = _examined(fit, before, N_ROWS, N_LANDMARKS, interruption)
    # A user who allows few iterations is told that the fit needs more.
    is_short = fit.solution.reason is StopReason.MAX_ITER and fit.plan.settings.max_iter < MIN_ITER
    if is_short or not failed.any():
        return fit
    kernels = tuple(dict.fromkeys(regression.kernel for regression in look.regressions))
    many = MANY_ROWS, MANY_LANDMARKS, interruption, kernels
    comparison = _compared(fit, before, *many)[1]
    predicted = any(comparison.regressions[k].coefs.any() for k in np.flatnonzero(failed))
    fit = replace(fit, nothing_found=not predicted and _has_long_tails(fit.data.y[:, failed]))
    taught = distilled(fit, before, comparison, failed, interruption)
    again = restarted(taught, interruption) if predicted else taught
    if predicted and again.solution.state is not None:
        again, _, failed = _examined(again, before, *many)
        converged = again.solution.reason.converged or taught.errors.is_beaten.any()
        if converged and not failed.any():
            return replace(again, nothing_found=fit.nothing_found)
    return min(taught, fit, key=lambda candidate: candidate.errors.network.mean())


def _has_long_tails(y) -> bool:
    """Whether squared errors of an output are mostly those of a few rows.

    Otherwise squared errors can be trusted, and an output that is not predicted is noise: of 100
    fits to normal and uniform noise 33 follow some of it until the referee mends them.
    """
    distances = np.abs(y - np.median(y, axis=0))
    far = distances > TAIL_DISTANCE / NORMAL_MEDIAN * np.median(distances, axis=0)
    return bool((far.sum(axis=0) >= max(LEAST_TAIL_NUMBER, LEAST_TAIL_SHARE * len(y))).any())


def _examined(
    fit: Candidate,
    before: BeforeSelection,
    n_rows,
    n_landmarks,
    interruption: Interruption,
    kernels=KERNELS,
) -> tuple[Candidate, Comparison, np.ndarray]:
    """Return a fit with its errors, their comparison, and a mask of the outputs where it fails."""
    fit, comparison = _compared(fit, before, n_rows, n_landmarks, interruption, kernels)
    errors, failed = fit.errors, fit.errors.is_beaten
    expected = np.maximum(MOST_RATIO * comparison.cross_validation, NEGLIGIBLE)
    # Of a network that explains most of y, linearised errors of single rows may be far too large.
    suspected = (errors.network > expected) & ~(failed & (errors.network > MOST_OF_VARIANCE))
    if suspected.any():
        if n_rows < min(MANY_ROWS, len(fit.data.y)):  # a fifth of 1,000 rows has few in the tails
            many = MANY_ROWS, MANY_LANDMARKS, interruption, kernels
            fit, comparison = _compared(fit, before, *many)
            errors = fit.errors
        anew = _errors_without_rows(fit, before, comparison, interruption)
        excess = anew.network - anew.regression
        unexplained = errors.network > MOST_OF_VARIANCE
        excess[unexplained] = np.maximum(excess, errors.network - errors.regression)[unexplained]
        failed = np.where(suspected, (excess > NEGLIGIBLE) | anew.is_beaten, failed)
        network = np.where(unexplained, np.maximum(errors.network, anew.network), anew.network)
        errors = errors._replace(network=np.where(suspected, network, errors.network))
    solution = fit.solution
    if solution.reason is StopReason.MAX_ITER and (errors.network <= EXACT).all():
        solution = solution._replace(reason=StopReason.ZERO_RESIDUAL, warning=None)
    return replace(fit, errors=errors, solution=solution), comparison, failed


def _compared(
    fit: Candidate,
    before: BeforeSelection,
    n_rows,
    n_landmarks,
    interruption: Interruption,
    kernels=KERNELS,
) -> tuple[Candidate, Comparison]:
    """Compare leave-one-out errors of a fit and of regressions on at most `n_rows` rows."""
    plan, state, between = fit.plan, fit.solution.state, interruption.raise_if_set
    groups = equal_rows(before.data)
    rows, y, weight = _by_inputs(fit.data, groups)
    some = np.sort(np.random.RandomState(0).permutation(len(rows))[:n_rows])
    n_observations = state.n_samples if groups is None else len(rows)
    rows, y, weight = rows[some], y[some], weight[some]
    posterior = fit.posterior or laplace_posterior(plan, fit.data, fit.solution, between)
    X = fit.data.X[rows].astype(np.float64)
    loo = posterior.leave_one_out(plan.network, X, y, weight, between)
    regressions = kernel_ridge(
        before.data.X[rows].astype(np.float64), y, weight, n_landmarks, kernels
    )
    between()
    of_regressions = np.column_stack([regression.errors for regression in regressions])
    freedom = max(1.0 - state.gamma.sum() / (n_observations * y.shape[1]), 1e-3)
    cross_validation = mean_squares(loo.residuals / freedom, y, weight)
    errors = Errors(mean_squares(loo.errors, y, weight), mean_squares(of_regressions, y, weight))
    groups = np.arange(len(fit.data.y)) if groups is None else groups
    comparison = Comparison(
        rows, y, weight, loo.errors, regressions, of_regressions, cross_validation, groups
    )
    return replace(fit, posterior=posterior, errors=errors), comparison


def _by_inputs(data: Data, groups: np.ndarray | None) -> tuple[np.ndarray, ...]:
    """Return rows with different X, and the mean y and the weight of those that share it.

    They are left out together: each predicts the others.
    """
    y, weight = data.y.astype(np.float64), data.weights()
    if groups is None:
        return np.arange(len(y)), y, weight
    total = np.bincount(groups, weight)
    sums = [np.bincount(groups, weight * column) for column in y.T]
    first = np.unique(groups, return_index=True)[1]
    return first, np.column_stack(sums) / total[:, np.newaxis], total


def _errors_without_rows(
    fit: Candidate, before: BeforeSelection, comparison: Comparison, interruption: Interruption
) -> Errors:
    """Compute the errors on a fifth of the rows after training without these.

    As long as network and regression err alike, another fifth is added.
    """
    rows, y, weight = comparison.rows, comparison.y, comparison.weight
    groups = comparison.groups
    of_network, tested = np.zeros(y.shape), np.zeros(len(rows), dtype=bool)
    for _, held_out in hold_out_splits(len(rows), np.random.RandomState(0)):
        others = np.flatnonzero(~np.isin(groups, groups[rows[held_out]]))
        plan, data, start = fit.plan, fit.data, fit.start
        if plan.inputs is not None:
            plan, data, start = before.selected_on(others, interruption)
        solution = refit(plan, data.on_rows(others), start.theta, interruption)
        interruption.raise_if_set()
        predicted = Candidate(plan, data, start, solution).predict(before.data.X[rows[held_out]])
        of_network[held_out], tested[held_out] = y[held_out] - predicted, True
        errors = Errors(
            *(
                mean_squares(deviations[tested], y[tested], weight[tested])
                for deviations in (of_network, comparison.of_regressions)
            )
        )
        if (np.abs(np.log(errors.network / errors.regression)) > CLEAR).all():
            break
    return errors
