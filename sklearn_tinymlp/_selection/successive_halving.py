"""Successive halving: candidates with large errors on the first folds train on no further fold."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from .tasks import Task

# A larger shape is tried if the last one had at most this times the error of the next best.
MAX_RATIO_TO_GROW = 0.95

# Number of the best shapes that are tried with other activations.
N_VARIED_SHAPES = 2

# Maximum ratio to the lowest error, after one fold and after two, for training on the next fold:
# errors on a fold of some hundred rows vary by a tenth.
MAX_RATIO_AFTER_ONE, MAX_RATIO_AFTER_TWO = 1.3, 1.15

# Maximum number of candidates of a round that are trained on the second fold.
MAX_AFTER_ONE = 6


@dataclass(eq=False)
class Candidate:
    """A shape and an activation, with the members trained so far, one for each fold."""

    hidden_layer_sizes: tuple[int, ...]
    activation: str
    members: list = field(default_factory=list)
    errors: list = field(default_factory=list)  # mean squared error of each fold, in variances
    predictions: list = field(default_factory=list)  # (mean, variance) of each fold's rows
    seconds: float = 0.0
    task: Task = field(default_factory=Task)
    ended: bool = False
    eliminated: bool = False
    weight: float = 0.0
    refits: list = field(default_factory=list)  # members trained on all rows

    def error(self, n_folds=None) -> float:
        """Return the root mean squared error, in standard deviations, of all or the first folds."""
        return float(np.sqrt(np.mean(self.errors[:n_folds]))) if self.errors else np.inf

    def __str__(self):
        return f"{self.hidden_layer_sizes} {self.activation}"


@dataclass
class SuccessiveHalving:
    """Trains candidates on one fold after another."""

    train: Callable  # train(candidates, fold) returns a `TrainedMember` for each
    fold_error: Callable  # fold_error(mean, fold) returns the mean squared error, in variances
    n_folds: int
    task: Task = field(default_factory=Task)
    candidates: list[Candidate] = field(default_factory=list)
    failure: ValueError | None = None  # of a candidate without finite weights

    def run(self, shapes, activation, larger_shapes=(), other_activations=()) -> list[Candidate]:
        """Train all candidates; return those to be stacked, the best first."""
        self._enter((shape, activation) for shape in shapes)
        self._enter_larger(larger_shapes, activation)
        self._advance()
        finished = self._near_best(self.candidates, MAX_RATIO_AFTER_TWO, self.n_folds)
        best = list(dict.fromkeys(c.hidden_layer_sizes for c in finished))[:N_VARIED_SHAPES]
        self._enter((shape, other) for shape in best for other in other_activations)
        self._advance()
        return self._finalists()

    def _finalists(self) -> list[Candidate]:
        """Return the candidates trained on all folds with an error near the lowest, best first.

        After a stop, candidates trained on at least half of the maximum number of folds are
        included; they are compared on the folds that all of them share.
        """
        remaining = [c for c in self.candidates if c.members and not c.eliminated]
        most = max((len(c.errors) for c in remaining), default=0)
        remaining = [c for c in remaining if 2 * len(c.errors) >= most]
        shared = min((len(c.errors) for c in remaining), default=1)
        ratio = MAX_RATIO_AFTER_TWO if shared == self.n_folds else MAX_RATIO_AFTER_ONE
        return self._near_best(remaining, ratio, shared)

    def _enter_larger(self, shapes, activation) -> None:
        """Train larger shapes on the first fold while the largest one is the best there."""
        for shape in shapes:
            largest = max(self.candidates, key=lambda c: sum(c.hidden_layer_sizes), default=None)
            best = self._near_best(self.candidates, np.inf, 1)
            if not best or best[0] is not largest:
                return
            if len(best) > 1 and best[0].error() > MAX_RATIO_TO_GROW * best[1].error():
                return
            self._enter([(shape, activation)])

    def _enter(self, shapes_and_activations) -> None:
        """Train new candidates on the first fold."""
        if self.task.stop_subtasks.is_set():
            return
        entrants = [Candidate(*pair) for pair in shapes_and_activations]
        for candidate in entrants:
            candidate.task = self.task.subtask(str(candidate), self.n_folds).begin()
        self.candidates += entrants
        self._train(entrants, 0)

    def _advance(self) -> None:
        """Train the candidates near the best on the other folds, until all have ended.

        Then train those whose error on the first folds is lower than that of any candidate trained
        on all folds: they were stopped because another candidate was lucky on those folds.
        """
        for fold in range(1, self.n_folds):
            ratio = MAX_RATIO_AFTER_ONE if fold == 1 else MAX_RATIO_AFTER_TWO
            near = self._near_best(self.candidates, ratio, min(fold, 2))
            self._train(near, fold, MAX_AFTER_ONE)
        for fold in range(1, self.n_folds):
            complete = [c.error() for c in self.candidates if len(c.errors) == self.n_folds]
            least = min(complete, default=-np.inf)
            self._train([c for c in self.candidates if c.error() < least], fold)
        for candidate in self.candidates:
            if not candidate.ended:
                candidate.ended = True
                incomplete = len(candidate.errors) < self.n_folds
                candidate.eliminated = incomplete and not candidate.task.stop_subtasks.is_set()
                candidate.task.end()

    def _near_best(self, candidates, ratio, n_folds) -> list[Candidate]:
        """Return candidates within a ratio to the lowest error on the first folds, best first."""
        errors = [c.error(n_folds) for c in self.candidates if len(c.errors) >= n_folds]
        bound = ratio * min(errors, default=0.0)
        near = [c for c in candidates if len(c.errors) >= n_folds and c.error(n_folds) <= bound]
        return sorted(near, key=Candidate.error)

    def _train(self, candidates, fold, limit=None) -> None:
        """Train the first of the candidates whose next fold is this one."""
        waiting = [c for c in candidates if len(c.errors) == fold]
        waiting = [c for c in waiting if not (c.ended or c.task.stop_subtasks.is_set())][:limit]
        if not waiting:
            return
        for candidate, trained in zip(waiting, self.train(waiting, fold), strict=True):
            candidate.seconds += trained.seconds
            self.failure = trained.error or self.failure
            if trained.member is not None:
                candidate.members.append(trained.member)
                candidate.errors.append(self.fold_error(trained.mean, fold))
                candidate.predictions.append((trained.mean, trained.variance))
