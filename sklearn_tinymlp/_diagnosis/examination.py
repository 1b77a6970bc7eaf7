"""`Examination`: losses, derivatives, training history and trials on copies, for the causes."""

import math

import numpy as np
from scipy import sparse

from .._machine.caching import cached_property
from .._training.divergence import has_diverged
from .._training.kernel_ridge import ridge_by_kernel
from .derivatives import MOST_VALUES, LossDerivatives
from .remedies import LEAST_ROWS, NEARBY_STEPS, continue_training, minimise, relative_fall

# Maximum number of rows whose residuals are regressed on the inputs: some 50 ms for 300 rows.
MOST_PATTERN_ROWS = 300

# With more columns all rows are about equally far apart.
MOST_COLUMNS = 500

# Minimum number of outputs in random order. The share predicted for the residuals must exceed the
# largest share predicted for random orders by twice the standard deviation of these shares.
N_SHUFFLED = 20


class Examination(LossDerivatives):
    """What is known about a fitted network; see `LossDerivatives` for parameters and attributes."""

    found = ()  # findings of the preceding causes

    @property
    def missed_loss_tol(self) -> bool:
        """Whether `loss_tol` was set and not reached."""
        loss_tol = self.network.params.get("loss_tol")
        return loss_tol is not None and not self.network.final_loss <= loss_tol

    @property
    def failed(self) -> bool:
        """Whether training ended at a limit, above `loss_tol`, or with a poor fit."""
        at_limit = self.network.stop_reason in ("max_iter", "max_fun", "line_search")
        return at_limit or self.missed_loss_tol or self.explained < 0.3

    @property
    def run_losses(self) -> np.ndarray:
        """Losses of the last call of `fit` or `partial_fit`."""
        return self.network.losses[-self.network.n_iter :]

    @property
    def diverged(self) -> bool:
        """Whether the loss was once larger than start weights can explain."""
        losses = self.network.losses[-max(self.network.n_iter, 1) :] / self.network.loss_unit
        return has_diverged(losses, self.network.loss, self.X, self.y, self.row_weight)

    @property
    def late_fall(self) -> tuple[int, float]:
        """Number of iterations in the last tenth, and the relative fall of the loss in them."""
        return fall_in_last(self.run_losses, len(self.run_losses) // 10)

    @property
    def fall_before_tol(self) -> tuple[int, float]:
        """Number of iterations that `tol` refers to, and the relative fall of the loss in these."""
        return fall_in_last(self.network.losses, 10)

    @cached_property
    def gain(self) -> float:
        """Relative fall of the loss in a few more steps, with penalty and on all rows."""
        after = self.replaced(theta=minimise(self, NEARBY_STEPS)).objective
        return relative_fall(self.objective, after)

    @cached_property
    def continued(self) -> tuple[float, float]:
        """Relative fall of the loss in continued training of a copy; see `continue_training`."""
        return continue_training(self)

    @property
    def would_improve(self) -> bool:
        """Whether continued training lowers the loss, on held-out rows too if there are enough.

        If a network overfits, only its training loss falls. A gain of a hundredth of the loss, or
        of a two-hundredth of the variance of y, does not count.
        """
        validation = self.network.column("validation_loss")
        if len(validation) > 1 and validation[-1] > 1.05 * np.nanmin(validation):
            return False
        gain, held_out = self.continued
        if math.isnan(held_out) and self.network.y.shape[0] >= LEAST_ROWS:
            return max(self.late_fall[1], self.fall_before_tol[1]) > 0.01
        of_variance = held_out * (1.0 - self.explained)
        return gain > 0.01 and not (held_out < 0.01 or of_variance < 0.005)

    @cached_property
    def unfinished(self) -> bool:
        """Whether training was still improving when it ended, confirmed on a copy."""
        if self.diverged and self.explained < 0.9:
            return False
        return self._seems_unfinished() and (self.missed_loss_tol or self.would_improve)

    def _seems_unfinished(self) -> bool:
        network, explained, missed = self.network, self.explained, self.missed_loss_tol
        by_tol = network.stop_reason == "tol"
        if not (by_tol or network.stop_reason in ("max_iter", "max_fun")):
            return False
        if explained > 0.9999 and not missed:
            return False
        if not by_tol and self.late_fall[1] > 0.01:
            return True
        if explained > 0.95 and not missed:
            return False
        # Fitting noise lowers the loss by a few percent, and without limit if there are more
        # weights than targets; the worse the fit, the less of the remaining loss is noise.
        if explained > 0.5 and network.theta.size > network.y.size and not missed:
            return False
        enough = 0.3 if explained > 0.5 else 0.1 if explained > 0.01 else 0.02
        return self.gain > enough

    @cached_property
    def pattern(self) -> np.ndarray:
        """Share of each output's residual variance that a regression predicts from the inputs.

        It is what the network explains less than the regression on rows not trained on, even on its
        own rows. Where a fit was not compared with one, the residuals are regressed on the inputs.
        """
        errors, left = self.network.errors, 1.0 - self.explained_by_output
        if errors is not None:
            share = np.divide(errors.regression, left, out=np.ones_like(left), where=left > 0.0)
            return np.maximum(1.0 - share, 0.0)
        rows = self.weight[:, 0] > 0
        most = MOST_PATTERN_ROWS if self.most_values >= MOST_VALUES else MOST_PATTERN_ROWS // 3
        return residual_pattern(self.X[rows], (self.y - self.predictions)[rows], most)


def fall_in_last(losses, n_last) -> tuple[int, float]:
    """Return the number of last iterations, at most `n_last`, and the relative fall of the loss."""
    n_last = max(1, min(n_last, len(losses) - 1))
    return n_last, relative_fall(*losses[[-1 - n_last, -1]]) if len(losses) > 1 else 0.0


def residual_pattern(X, residuals, most_rows=MOST_PATTERN_ROWS) -> np.ndarray:
    """Compute the share of the variance of residuals that a regression predicts, leave-one-out.

    Kernel ridge regression of the residuals on the inputs is compared with regressions of the
    residuals in random orders. The share is 0 where it may be due to chance, and NaN where it
    cannot be computed; shape (n_outputs,).
    """
    unknown = np.full(residuals.shape[1], np.nan)
    if X.shape[1] > MOST_COLUMNS or not np.isfinite(residuals).all():
        return unknown
    rng = np.random.RandomState(0)
    rows = rng.permutation(len(residuals))[: 4 * most_rows]
    X = X[rows].toarray() if sparse.issparse(X) else X[rows]
    scale = X.std(axis=0)
    X = (X - X.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    if not X.shape[1] or not np.isfinite(X).all():
        return unknown
    # One row of each X, at random: others would leak the residual, and where inputs are held for
    # some time the first row is not like the others.
    _, first = np.unique(np.round(X, 9), axis=0, return_index=True)
    first = rng.permutation(first)[:most_rows]
    if len(first) < LEAST_ROWS:
        return unknown
    X, residuals = X[first], residuals[rows[first]]
    n_orders = -(-N_SHUFFLED // residuals.shape[1])
    orders = [np.arange(len(X)), *(rng.permutation(len(X)) for _ in range(n_orders))]
    columns = np.hstack([residuals[order] for order in orders])
    by_kernel = ridge_by_kernel(X, columns, np.ones(len(X)), len(X))
    squares = [min(np.mean(r.errors**2) for r in of_column) for of_column in by_kernel]
    variance = np.var(columns, axis=0)
    shares = 1.0 - squares / np.where(variance > 0.0, variance, np.inf)
    shares = np.where(variance > 0.0, shares, 0.0).reshape(len(orders), -1)
    found, chance = shares[0], shares[1:]
    beyond = found > chance.max() + 2.0 * chance.std()
    return np.where(beyond, np.maximum(found, 0.0), 0.0)
