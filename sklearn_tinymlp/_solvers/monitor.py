"""What all solvers share: the reasons for stopping, the history, the monitor, the solution."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from .._machine.interruption import Interruption

# Target duration of a kernel call: far above its overhead of some 10 microseconds, and short enough
# for Ctrl-C and progress to take effect within 50 ms if the machine slows down.
SECONDS_PER_CALL = 0.02


def next_budget(budget, seconds) -> int:
    """Scale the work so that the next kernel call takes SECONDS_PER_CALL; at most fourfold."""
    return min(2**40, max(1, int(budget * min(4.0, SECONDS_PER_CALL / max(seconds, 1e-9)))))


# What `verbose` prints of an iteration of Levenberg-Marquardt: title, column of the record, format.
TABLE = (
    ("Loss", "loss", "12.6g"),
    ("Log evidence", "log_evidence", "14.2f"),
    ("Effective parameters", "n_effective_parameters", "22.1f"),
    ("Gradient", "gradient_norm", "12.2e"),
    ("Damping", "damping", "11.1e"),
    ("Validation score", "validation_score", "18.4f"),
)


class StopReason(Enum):
    """Why training ended: the code kept in `stop_reason_` and the sentence that explains it."""

    LOSS_TOL = "loss_tol", "The loss reached loss_tol."
    TOL = "tol", "The training loss no longer improved by tol."
    VALIDATION = "validation", "The validation score no longer improved by tol."
    EVIDENCE = "evidence", "The evidence no longer changes."
    DISTILLED = (
        "distilled",
        "Kernel ridge regression predicts rows not trained on better than a network with the "
        "greatest evidence; the network was trained on its predictions.",
    )
    ZERO_RESIDUAL = "exact", "The residuals are less than a hundredth of the target's spread."
    GRADIENT = "gradient", "The gradient is zero within tol."
    LINE_SEARCH = "line_search", "The line search found no lower loss along its direction."
    PLATEAU = "at_rest", "max_iter was reached with the evidence on a plateau."
    MAX_ITER = "max_iter", "max_iter iterations were done before the fit converged."
    MAX_FUN = "max_fun", "The loss was computed max_fun times before the fit converged."
    CALLBACK = "callback", "A callback ended training."
    INTERRUPTED = "interrupted", "Training was interrupted."

    def __init__(self, code: str, sentence: str):
        self.code = code
        self.sentence = sentence

    @property
    def converged(self) -> bool:
        """Whether the fit met its target or its stopping criterion."""
        return self not in (
            StopReason.LINE_SEARCH,
            StopReason.MAX_ITER,
            StopReason.MAX_FUN,
            StopReason.CALLBACK,
            StopReason.INTERRUPTED,
        )


@dataclass
class History:
    """A row per iteration: a list per column, in the order in which columns first appeared."""

    columns: dict[str, list[float]] = field(default_factory=dict)

    def append(self, **row) -> None:
        """Add one iteration, or several where the values are arrays; missing values are NaN."""
        columns = self.columns
        if columns.keys() == row.keys() and all(type(value) is float for value in row.values()):
            for name, value in row.items():  # the most frequent case, five times as fast
                columns[name].append(value)
            return
        n_before = max(map(len, columns.values()), default=0)
        added = {name: np.atleast_1d(value).tolist() for name, value in row.items()}
        n_added = max(map(len, added.values()), default=0)
        for name in added:
            columns.setdefault(name, [np.nan] * n_before)
        for name, column in columns.items():
            column.extend(added.get(name, [np.nan] * n_added))

    def joined(self, later: "History") -> "History":
        """Return a new history, of these rows and the rows of a later history."""
        record = History({name: list(column) for name, column in self.columns.items()})
        record.append(**later.columns)
        return record

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the columns as arrays, all of one length."""
        return {name: np.array(values) for name, values in self.columns.items()}


class Solution(NamedTuple):
    """What a solver returns."""

    theta: np.ndarray
    loss: float
    n_iter: int
    reason: StopReason | None  # None after the single epoch of a partial_fit
    record: History
    warning: str | None = None  # text of a ConvergenceWarning
    score: float = -np.inf  # best validation score, with early stopping
    log_evidence: float = -np.inf  # on the training data
    state: Any = None  # the StochasticState of sgd and adam, the `evidence_restarts.State` of lm
    constants: tuple | None = None  # of a loss with a scale, as estimated


@dataclass
class Monitor:
    """Record the iterations of a solver, inform its watcher, and decide when it stops.

    With `early_stopping` it stops when the validation score has not improved by `tol` for more than
    `n_iter_no_change` iterations in a row; the solution is the one with the best score.
    """

    max_iter: int
    record: History
    loss_tol: float = -np.inf  # training ends as soon as the loss is at most this
    verbose: bool = False  # print a line per iteration, of sgd, adam and lbfgs as MLPRegressor does
    validate: Callable | None = None  # validate(theta) returns loss and score on the validation set
    early_stopping: bool = False
    tol: float = 0.0
    n_iter_no_change: float = np.inf
    interrupted: Interruption | None = None  # training ends when it is set
    # `watcher.begin(theta, n_iter)` is called before each iteration, `watcher.end(theta)` after it
    # with the weights that training would return if it ended now. If `end` returns True, training
    # ends.
    watcher: Any = None
    count: Callable[[int, int], None] | None = None  # count(n_iter, max_iter), unless verbose
    n_iter: int = 0
    best_theta: np.ndarray | None = None
    best_score: float = -np.inf
    no_improvement: int = 0  # iterations in a row

    @property
    def one_by_one(self) -> bool:
        """Whether iterations must be reported one at a time, not many after a kernel call."""
        return self.verbose or self.validate is not None or self.watcher is not None

    @contextmanager
    def at_most(self, n_iterations: int) -> Iterator[None]:
        """Allow so many further iterations, within `max_iter`, in this context."""
        max_iter = self.max_iter
        self.max_iter = min(max_iter, self.n_iter + n_iterations)
        try:
            yield
        finally:
            self.max_iter = max_iter

    def begin(self, theta) -> None:
        """Announce that an iteration begins or continues, before `update` ends it."""
        if self.watcher is not None:
            self.watcher.begin(theta, self.n_iter)

    def update(self, *, theta, loss, kept=None, **row) -> StopReason | None:
        """Record an iteration; return the reason to stop, or None to continue.

        `loss` is the training loss at theta or, unless `one_by_one`, an array of the losses of
        several iterations, of which the last is at theta. `kept` are the weights that the solver
        would return if it ended now, None for theta, and `row` further columns of the record.
        """
        if self.validate is not None:
            row["validation_loss"], row["validation_score"] = self.validate(theta)
        n_iterations, last = (1, loss) if type(loss) is float else (len(loss), loss[-1])
        self.record.append(loss=loss, **row)
        self.n_iter += n_iterations
        if self.verbose:
            self._print(np.atleast_1d(loss), row)
        elif self.count is not None:
            self.count(self.n_iter, self.max_iter)
        stalled = False
        if self.early_stopping:
            stalled = self._stalled(theta, row["validation_score"])
            kept = theta if self.best_theta is None else self.best_theta
        asked = self.watcher is not None and self.watcher.end(theta if kept is None else kept)
        if last <= self.loss_tol:
            return StopReason.LOSS_TOL
        if self.is_interrupted():
            return StopReason.INTERRUPTED
        if asked:
            return StopReason.CALLBACK
        if stalled:
            return StopReason.VALIDATION
        return StopReason.MAX_ITER if self.n_iter >= self.max_iter else None

    def solution(self, theta, loss, reason, **more) -> Solution:
        """Return the solution; with early stopping that with the best score, or at `loss_tol`."""
        if self.best_theta is not None and reason is not StopReason.LOSS_TOL:
            theta = self.best_theta
        return Solution(
            theta, loss, self.n_iter, reason, self.record, score=self.best_score, **more
        )

    def is_interrupted(self) -> bool:
        """Whether Ctrl-C or another thread has interrupted the training."""
        return self.interrupted is not None and self.interrupted.is_set()

    def raise_if_interrupted(self) -> None:
        """Raise KeyboardInterrupt if the training was interrupted."""
        if self.is_interrupted():
            raise KeyboardInterrupt

    def _stalled(self, theta, score) -> bool:
        improved = not score < self.best_score + self.tol  # NaN counts as improved
        self.no_improvement = 0 if improved else self.no_improvement + 1
        if score > self.best_score:
            self.best_score, self.best_theta = score, theta.copy()
        return self.no_improvement > self.n_iter_no_change

    def _print(self, losses, row) -> None:
        if "damping" in row:
            self._print_row({"loss": losses[0], **row})
            return
        first = self.n_iter - len(losses) + 1
        for n_iter, loss in enumerate(losses, first):
            print(f"Iteration {n_iter}, loss = {loss:.8f}")
        if self.validate is not None:
            print(f"Validation score: {row['validation_score']:f}")

    def _print_row(self, row) -> None:
        """Print a row of a table, the first time with its titles; with the evidence 80 columns."""
        shown = [column for column in TABLE if column[1] in row]
        if "log_evidence" in row:
            shown = [column for column in shown if column[1] not in ("gradient_norm", "damping")]
        if len(self.record.columns["loss"]) == 1:
            titles = (f"{title:>{form.split('.')[0]}}" for title, _, form in shown)
            print("Iteration" + "".join(titles))
        cells = (
            "-".rjust(int(form.split(".")[0])) if np.isnan(row[name]) else f"{row[name]:{form}}"
            for _, name, form in shown
        )
        print(f"{self.n_iter:9}" + "".join(cells))

    def say(self, message: str) -> None:
        """Print a message if verbose."""
        if self.verbose:
            print(message)
