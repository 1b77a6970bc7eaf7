"""What a fit reports: one message if it takes long and, with `verbose`, how it ended."""

import logging
import time
from typing import TYPE_CHECKING

import numpy as np

from .._machine.interruption import Interruption

if TYPE_CHECKING:
    from .fit_result import FitResult

LOGGER = logging.getLogger("sklearn_tinymlp")

# A fit of more seconds without a word looks as if it had stopped.
LONG_SECONDS = 2.0

# Minimum number of seconds between messages about long fits: a search makes hundreds of fits.
SILENT_SECONDS = 300.0


class LongFit:
    """Logs once what a fit is doing, when it has taken LONG_SECONDS.

    `look` is called wherever training could be interrupted. Python prints the message by default.
    A silent one, of a verbose fit or of a member of an ensemble, logs nothing.
    """

    last_logged = -SILENT_SECONDS  # by any fit

    def __init__(self, estimator, silent=False, clock=time.monotonic):
        self.name, self.clock, self.begun = type(estimator).__name__, clock, clock()
        self.silent, self.logged, self.counts = silent, False, False
        self.stage = "training pilot networks, which select inputs and penalties"

    def watched(self, parent: Interruption | None = None) -> Interruption:
        """Return an interruption whose checks look at this fit."""
        return Interruption(parent, None if self.silent else self.look)

    def look(self) -> None:
        """Log the message, if it is time."""
        if self.logged:
            return
        now = self.clock()
        if now - self.begun < LONG_SECONDS:
            return
        self.logged = True
        if now - LongFit.last_logged < SILENT_SECONDS:
            return
        LongFit.last_logged = now
        LOGGER.warning(
            "%s has been fitting for %.0f s, now %s. verbose=True shows its progress; Ctrl-C ends "
            "training and keeps the network.",
            self.name,
            now - self.begun,
            self.stage,
        )

    def training(self):
        """Note that training begins; return the function that counts its iterations."""
        self.stage = "in the first iteration"
        return self.count

    def count(self, n_iter, max_iter) -> None:
        """Note how far training is.

        The time is counted anew from the first iteration, which may have waited for the compiler.
        """
        if self.silent:
            return
        if not self.counts:
            self.counts, self.begun = True, self.clock()
        self.stage = f"iteration {n_iter} of at most {max_iter}"
        self.look()


def print_end(result: "FitResult", solutions) -> None:
    """Print which iteration is kept, and why training ended, if verbose; other solvers have."""
    plan, solution = result.plan, result.solution
    if not (plan.settings.verbose and plan.solver.least_squares):
        return
    if result.errors is not None:
        network, regression = (1.0 - np.mean(error) for error in result.errors)
        print(
            f"R² on rows not trained on: network {network:.3f}, kernel ridge regression "
            f"{regression:.3f}."
        )
    if all(solution.theta is not other.theta for other in solutions):
        print("The network was trained again, on the predictions of kernel ridge regression.")
        print(f"Kept: the weights after that, loss {solution.loss:.6g}.")
        return
    from .fit_result import best_epoch

    kept = f"Kept: iteration {best_epoch(solution.record, solution, plan)} of {solution.n_iter}"
    kept += f", loss {solution.loss:.6g}"
    if solution.state is not None and np.isfinite(solution.log_evidence):
        kept += f", log evidence {solution.log_evidence:.2f}"
    print(f"{kept}.")
    if solution.reason is not None:
        print(f"Stopped: {solution.reason.sentence}")
