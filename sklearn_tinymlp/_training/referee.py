"""The referee: compare a fit with kernel ridge regressions, and mend it where they predict better.

The evidence judges a fit by the rows that it was trained on, under normal noise of one size. It is
wrong where rows have long tails (the network follows single rows) and where it has found nothing
(signal is taken for noise). Errors on rows that were not trained on distinguish both from a good
fit. Those of leave-one-out cost little: of the network by linearisation,

    e_i = r_i / (1 - h_i)    with the leverage h_i,

and of the regressions exactly (`kernel_ridge`). A fit fails if the mean of its e_i^2 is clearly
above that of their average.

Linearisation says too little or too much where a few rows, or nearly all, have parameters of their
own: the mean of e_i^2 and generalised cross-validation, the mean of r_i^2 / (1 - gamma / n)^2, then
differ by half, or nearly all parameters are determined. Such a fit fails if it is worse than the
regression on a fifth of the rows after training without these, and unless it is clearly better if
it leaves more than half of the variance unexplained.

The network is then trained on the predictions of the regression (`distillation`): its errors are
about those of the regression. If the fit had missed signal, the evidence is maximised once more
from these weights; if it had followed single rows, it would do so again.
"""

from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .._data.data import Data
from .._data.hold_out import hold_out_splits
from .._machine.interruption import Interruption
from .._solvers.monitor import StopReason
from .calibration import BeforeSelection
from .candidate import NEGLIGIBLE, Candidate, Errors
from .distillation import Comparison, distilled, losses_of, mean_squares, restarted
from .kernel_ridge import KERNELS, is_clearly_smaller, kernel_ridge, leave_one_out_of_mean
from .plan import Plan
from .posterior import laplace_posterior
from .repeated_inputs import equal_rows, repeated_rows


class Look(NamedTuple):
    """On how many rows, and with which regressions, a fit is compared."""

    n_rows: int
    n_landmarks: int
    kernels: tuple = KERNELS


# With fewer rows leave-one-out errors are too uncertain to choose by.
MIN_ROWS = 20

# The mean of repeated rows is less uncertain.
MIN_GROUPS = 10

# Number of rows, and of landmarks of the regressions, with which each fit is compared: 0.04 s of a
# core for 1,000 rows of 20 inputs. There are more for a fit that fails, or is hardly better than
# the regression: of a product of sines in four inputs 150 landmarks leave 0.34 of the variance
# unexplained, 500 leave 0.14.
QUICK, THOROUGH = Look(1000, 150), Look(3000, 500)

# With fewer iterations, the default of `max_iter`, a fit that ended there is not mended.
MIN_ITER = 200

# Ratio of leave-one-out error to generalised cross-validation, or its reciprocal, above which rows
# may have parameters of their own: below 1.3 in 26 of 31 healthy fits, above 2 with log-normal
# noise; 0.2 for a network of 280 inputs that had taken 57 of 60 observations for parameters.
MOST_RATIO = 1.5

# Share of the parameters that the data determine above which the network may have spent them all on
# noise, with the same leverage for each row, so that both estimates agree: 0.97 with noise of long
# tails in 3,000 rows. Where the function needs them (kin40k: 0.99) the comparison costs a fit.
MOST_DETERMINED = 0.9

# Squared error, in units of the variance of y, above which a doubted fit must be clearly better
# than the regression: noise with long tails is so by chance otherwise (pendulum, 0.15 to 0.27, is
# as good without a fifth of the rows, and better with them). Above it linearised leave-one-out
# errors count even so, unless the error after training without rows is below it: on yacht they are
# 0.06 instead of 0.0004, on elevators 1.2 instead of 0.12; with log-normal noise 0.5 and more is
# right.
MOST_OF_VARIANCE = 0.5

# With fewer, some inputs fit by chance, which leverages do not show: of 61 rows with 52 inputs the
# leave-one-out error was 0.31 of the variance, and that of new rows 1.36.
OBSERVATIONS_PER_INPUT = 5

# Number of times that a fifth of the rows is held out: with log-normal noise two did not always
# settle which is better, and more than three cost more than the fit.
MOST_SPLITS = 3

# Number of standard errors by which one fit must be better than another, on rows that were not
# trained on, to take its place or, if doubted, to keep it: with long tails fits that were better by
# one of 14 to 70 rows were worse than the mean of y on new ones (R² -0.7 and -1).
CLEAR = 2.0

# Number of standard errors by which a regression must be better than the mean for a warning: of 60
# rows of noise with 200 inputs the best of the regressions was better by two.
SIGNIFICANT = 3.0

# A squared error, in units of the variance of y, below which a fit at max_iter has converged.
EXACT = 1e-4


def refereed(
    fit: Candidate, before: BeforeSelection | None, interrupted: bool, interruption: Interruption
) -> Candidate:
    """Return the fit, or a better one, with its errors and those of the regressions.

    `before` has the data with all inputs. After Ctrl-C in training, `interrupted`, the fit is
    returned as it is; during the comparison `interruption` raises KeyboardInterrupt.
    """
    if before is None or interrupted or not _is_judged(fit):
        return fit
    data, judged = before.data, fit
    if len(data.y) <= THOROUGH.n_rows:  # else the data would be copied, and few rows are compared
        before = before._replace(data=_distinct_rows(data))
        judged = replace(fit, data=before.data.on_inputs(fit.plan.inputs))
    groups = repeated_rows(before.data)
    if groups is None and fit.data.groups is not None:
        return fit  # groups with different X, which were held out when their noise was estimated
    too_few = len(before.data.y) < MIN_ROWS if groups is None else groups.max() + 1 < MIN_GROUPS
    if too_few:
        return fit
    # Squares of y or of weights near the largest float overflow; such a fit has not failed.
    overflows = np.errstate(all="ignore")
    with interruption.catches_sigint(), fit.plan.blas_threads(), overflows:
        result = Referee(before, groups, interruption).judge(judged)
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
    """Whether all choices were left open, in a fit by the evidence that squares can compare."""
    plan, solution, settings = fit.plan, fit.solution, fit.plan.settings
    left_open = plan.by_evidence and settings.grouping is None and plan.warm_start is None
    usual = settings.bias and not settings.early_stopping and plan.scaling is not None
    usual = usual and not settings.has_ramps  # points between rows are no ramps
    loss, output = settings.loss, settings.activations[-1]
    squares = loss.compared_by_squares and settings.params["noise"] == "constant"
    is_network = len(plan.architecture.units) > 2 and output == loss.output_activation
    enough = not sparse.issparse(fit.data.X) and len(fit.data.y) >= MIN_ROWS
    by_user = solution.reason in (StopReason.LOSS_TOL, StopReason.CALLBACK)
    succeeded = solution.state is not None and np.isfinite(solution.theta).all()
    return left_open and usual and squares and is_network and enough and succeeded and not by_user


@dataclass(frozen=True)
class Referee:
    """Compares fits to the same data."""

    before: BeforeSelection  # the data with all inputs
    groups: np.ndarray | None  # (n_samples,) numbers of the rows that share X; None: all differ
    interruption: Interruption

    def judge(self, fit: Candidate) -> Candidate:
        """Return the fit, or a better one, with its errors."""
        fit, comparison, failed = self.examine(fit, QUICK)
        # A user who allows few iterations is told that the fit needs more.
        few = fit.plan.settings.max_iter < MIN_ITER
        if few and fit.solution.reason is StopReason.MAX_ITER:
            return fit
        contested = (failed | fit.errors.are_close).any()
        if contested and comparison.look.n_rows < THOROUGH.n_rows:
            fit, comparison, failed = self.examine(fit, _more_thorough(comparison))
        if not failed.any():
            return fit
        best = distilled(fit, self.before, comparison, failed, self.interruption)
        # The network may have missed what the regression predicts, instead of following rows, if it
        # leaves more unexplained of the rows that it was trained on. There the evidence may find
        # more than the regression, unless that is exact.
        missed = comparison.unexplained > best.errors.regression
        missed = failed & missed & (best.errors.network > NEGLIGIBLE)
        others = [fit]
        if (missed | best.errors.is_beaten).any():
            again = restarted(best, self.interruption)
            if again.solution.state is not None:
                again, _, failed = self.examine(again, comparison.look)
                less = again.errors.network.mean() < best.errors.network.mean()
                better = best.errors.is_beaten.any() and less
                better = better or _is_clearly_better(again, best, comparison)
                best = again if better and not failed.any() else best
                others.append(again)
        if best.errors.is_beaten.any():  # none is good: the one with the least error
            best = min(best, *others, key=lambda candidate: candidate.errors.network.mean())
        elif _is_clearly_better(fit, best, comparison):
            best = fit
        y, weight = comparison.y, comparison.weight
        of_regressions = losses_of(comparison.of_regressions, y, weight)
        of_mean = losses_of(leave_one_out_of_mean(y, weight), y, weight)
        # With many inputs a regression may be better than the mean of noise, by chance.
        certain = is_clearly_smaller(of_regressions, of_mean, weight, SIGNIFICANT)
        worse = certain and _is_clearly_better(
            replace(fit, losses=of_regressions), best, comparison
        )
        return replace(best, collapsed=worse and best.errors.are_far.any())

    def examine(self, fit: Candidate, look: Look) -> tuple[Candidate, Comparison, np.ndarray]:
        """Return a fit with its errors, the comparison, and a mask of outputs where it fails."""
        fit, comparison = self.compare(fit, look)
        failed = fit.errors.is_beaten | ~_beats_mean(comparison)
        doubted = self.are_doubted(fit, comparison)
        if doubted.any():
            if look.n_rows < THOROUGH.n_rows:  # a fifth of 1,000 rows has few in the tails
                fit, comparison = self.compare(fit, _more_thorough(comparison))
            fit, worse = self.with_held_out_errors(fit, comparison, doubted)
            failed = np.where(doubted, worse, failed)
        solution = fit.solution
        if solution.reason is StopReason.MAX_ITER and (fit.errors.network <= EXACT).all():
            solution = solution._replace(reason=StopReason.ZERO_RESIDUAL, warning=None)
        return replace(fit, solution=solution), comparison, failed

    def are_doubted(self, fit: Candidate, comparison: Comparison) -> np.ndarray:
        """Return a mask of the outputs whose leave-one-out errors may be wrong."""
        estimates = comparison.linearised, comparison.unexplained / comparison.freedom**2
        less, more = np.minimum(*estimates), np.maximum(*estimates)
        doubted = more > np.maximum(MOST_RATIO * less, NEGLIGIBLE)
        determined = fit.solution.state.gamma.sum() > MOST_DETERMINED * fit.solution.theta.size
        doubted |= determined & (fit.errors.network > NEGLIGIBLE)
        return doubted | self.inputs_fit_by_chance(fit.plan)

    def with_held_out_errors(
        self, fit: Candidate, comparison: Comparison, doubted: np.ndarray
    ) -> tuple[Candidate, np.ndarray]:
        """Return a fit with errors of rows held out in training, and a mask of failures."""
        errors, (anew, losses, refits) = fit.errors, self.without_rows(fit, comparison)
        of_regressions = losses_of(comparison.of_regressions, comparison.y, comparison.weight)
        regression = replace(fit, losses=of_regressions)
        better = _is_clearly_better(replace(fit, losses=losses), regression, comparison)
        worse = (anew.network - anew.regression > NEGLIGIBLE) | anew.is_beaten
        linearised = np.zeros(len(doubted), dtype=bool)
        if fit.plan.settings.loss.least_squares:  # the long tails of counts are those of their mean
            # Linearised errors of a few rows may be far too large, where the network explains most
            # of y after training without them, clearly more than the regression.
            explains_most = anew.network <= MOST_OF_VARIANCE
            linearised = (errors.network > MOST_OF_VARIANCE) & ~(better & explains_most)
            linearised &= errors.network > anew.network
            worse |= linearised & (errors.network - errors.regression > NEGLIGIBLE)
            worse |= (not better) & ~explains_most
        network = np.where(linearised, errors.network, anew.network)
        errors = errors._replace(network=np.where(doubted, network, errors.network))
        losses = fit.losses if linearised.any() else losses
        return replace(fit, errors=errors, losses=losses, refits=refits), worse

    def compare(self, fit: Candidate, look: Look) -> tuple[Candidate, Comparison]:
        """Compare leave-one-out errors of a fit and of regressions on some rows."""
        plan, state, between = fit.plan, fit.solution.state, self.interruption.raise_if_set
        rows, y, weight = _by_inputs(fit.data, self.groups)
        some = np.sort(np.random.RandomState(0).permutation(len(rows))[: look.n_rows])
        n_observations = float(state.n_samples if self.groups is None else len(rows))
        rows, y, weight = rows[some], y[some], weight[some]
        posterior = fit.posterior or laplace_posterior(plan, fit.data, fit.solution, between)
        X = fit.data.X[rows].astype(np.float64)
        curvature = fit.curvatures()[rows]
        loo = posterior.leave_one_out(plan.network, X, y, weight * curvature, between)
        own = loo.errors
        if plan.settings.loss.positive:  # to first order a row changes the logarithm
            f = y - loo.residuals
            own = y - f * np.exp((loo.residuals - own) / f)
        X = self.before.data.X[rows].astype(np.float64)
        regressions = kernel_ridge(X, y, weight, look.n_landmarks, look.kernels)
        between()
        comparison = Comparison(
            rows=rows,
            y=y,
            weight=weight,
            of_network=own,
            regressions=regressions,
            unexplained=mean_squares(loo.residuals, y, weight),
            linearised=mean_squares(loo.errors, y, weight),
            freedom=max(1.0 - state.gamma.sum() / (n_observations * y.shape[1]), 1e-3),
            groups=np.arange(len(fit.data.y)) if self.groups is None else self.groups,
            look=look,
        )
        pair = own, comparison.of_regressions
        errors = Errors(*(mean_squares(deviations, y, weight) for deviations in pair))
        losses = losses_of(own, y, weight)
        return replace(fit, posterior=posterior, errors=errors, losses=losses), comparison

    def inputs_fit_by_chance(self, plan: Plan) -> bool:
        """Whether inputs were selected, or penalised each, among many for the number of rows."""
        data, groups = self.before.data, self.groups
        n_observations = data.weights().sum() if groups is None else groups.max() + 1
        few = n_observations < OBSERVATIONS_PER_INPUT * data.X.shape[1]
        return few and plan.grouping == "input"

    def without_rows(
        self, fit: Candidate, comparison: Comparison
    ) -> tuple[Errors, np.ndarray, tuple]:
        """Return errors, and losses of rows, on a fifth of them after training without these.

        If network and regression differ by less than a standard error, another fifth is added. The
        fits without these rows are returned, too, unless rows share X.
        """
        rows, y, weight = comparison.rows, comparison.y, comparison.weight
        own, others = np.zeros(y.shape), comparison.of_regressions
        tested, groups, refits = np.zeros(len(rows), dtype=bool), comparison.groups, []
        splits = hold_out_splits(len(rows), np.random.RandomState(0))
        for _, held_out in islice(splits, MOST_SPLITS):
            left = np.flatnonzero(~np.isin(groups, groups[rows[held_out]]))
            refit = self.before.refit(fit, left, rows[held_out], self.interruption)
            refits.append(refit)
            own[held_out] = y[held_out] - refit.fit.predict(self.before.data.X[rows[held_out]])
            tested[held_out] = True
            pairs = zip(own[tested].T ** 2, others[tested].T ** 2, strict=True)
            if all(_is_settled(*pair, weight[tested]) for pair in pairs):
                break
        errors = (mean_squares(e[tested], y[tested], weight[tested]) for e in (own, others))
        losses = np.where(tested, losses_of(own, y, weight), np.nan)
        return Errors(*errors), losses, tuple(refits) if self.groups is None else ()


def _is_clearly_better(one: Candidate, other: Candidate, comparison: Comparison) -> bool:
    """Whether errors on the rows where both were tested are smaller by `CLEAR` standard errors."""
    tested = np.isfinite(one.losses) & np.isfinite(other.losses)
    losses = one.losses[tested], other.losses[tested]
    return is_clearly_smaller(*losses, comparison.weight[tested], CLEAR)


def _is_settled(losses, others, weight) -> bool:
    """Whether losses of rows differ by more than `CLEAR` standard errors, or not at all."""
    one_way = is_clearly_smaller(losses, others, weight, CLEAR)
    other_way = is_clearly_smaller(others, losses, weight, CLEAR)
    return one_way or other_way or not (losses - others).any()


def _more_thorough(comparison: Comparison) -> Look:
    """Return a look at more rows, with the kernels that have weight in the averages."""
    used = {kernel for average in comparison.regressions for kernel in average.kernels}
    kernels = tuple(kernel for kernel in KERNELS if kernel in used)
    return THOROUGH._replace(kernels=kernels or KERNELS)


def _beats_mean(comparison: Comparison) -> np.ndarray:
    """Return a mask of the outputs that are clearly predicted better than by their mean."""
    y, own = comparison.y, comparison.of_network
    of_mean = leave_one_out_of_mean(y, comparison.weight)
    losses = zip(own.T**2, of_mean.T**2, strict=True)
    clearly = [is_clearly_smaller(*pair, comparison.weight) for pair in losses]
    return np.array(clearly) | (np.ptp(y, axis=0) == 0.0)


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
