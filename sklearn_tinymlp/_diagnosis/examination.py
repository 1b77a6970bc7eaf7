"""`Examination`: losses, derivatives, training history and trials on copies, for the causes."""

import math

import numpy as np

from .._machine.caching import cached_property
from .._training.divergence import has_diverged
from .derivatives import LossDerivatives
from .forward_pass import MOST_VALUES
from .pattern import MOST_ROWS, residual_pattern
from .remedies import LEAST_ROWS, NEARBY_STEPS, ContinuedTraining, continue_training, minimise


class Examination(LossDerivatives):
    """What is known about a fitted network; see `ForwardPass` for parameters and attributes."""

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
        return relative_fall(self.run_losses, len(self.run_losses) // 10)

    @property
    def fall_before_tol(self) -> tuple[int, float]:
        """Number of iterations that `tol` refers to, and the relative fall of the loss in these."""
        return relative_fall(self.network.losses, 10)

    @cached_property
    def gain(self) -> float:
        """Relative fall of the loss in a few more steps, with penalty and on all rows."""
        after = self.replaced(theta=minimise(self, NEARBY_STEPS)).objective
        return 1.0 - after / self.objective if self.objective > 0 else 0.0

    @cached_property
    def continued(self) -> ContinuedTraining:
        """Gain of continued training, measured on a copy."""
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
        return self._seems_unfinished and (self.missed_loss_tol or self.would_improve)

    @property
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
        most = MOST_ROWS if self.most_values >= MOST_VALUES else MOST_ROWS // 3
        return residual_pattern(self.X[rows], (self.y - self.predictions)[rows], most)


def relative_fall(losses, n_last) -> tuple[int, float]:
    """Return the number of last iterations, at most `n_last`, and the relative fall of the loss."""
    n_last = max(1, min(n_last, len(losses) - 1))
    before = losses[-1 - n_last] if len(losses) > 1 else 0.0
    return n_last, float(1.0 - losses[-1] / before) if before > 0 else 0.0
