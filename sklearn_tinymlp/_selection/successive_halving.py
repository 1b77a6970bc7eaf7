"""The race: candidates are trained on one fold after the other, hopeless ones on no more."""

from dataclasses import dataclass, field

import numpy as np

from .._machine.interruption import Interruption
from .candidates import LARGER_SHAPES, OTHER_ACTIVATIONS, Candidate
from .tasks import Task

# A candidate goes on after the first fold with an error of at most this times the least, and
# after the second with at most that: errors of a fold of some hundred rows differ by a tenth.
AFTER_ONE, AFTER_TWO = 1.3, 1.15

# At most so many of a heat go on after the first fold.
MOST_AFTER_ONE = 6


@dataclass(eq=False)
class Runner:
    """A candidate with its members so far: one a fold, and what it predicts of the fold's rows."""

    candidate: Candidate
    members: list = field(default_factory=list)
    errors: list = field(default_factory=list)  # mean squared error of each fold, in variances
    predictions: list = field(default_factory=list)  # (mean, variance) of each fold's rows
    seconds: float = 0.0
    task: Task = field(default_factory=Task)
    stop: Interruption = field(default_factory=Interruption)  # also by a callback
    has_left: bool = False
    is_hopeless: bool = False  # it left before the end, and not because the user wanted to end

    def error_of(self, n_folds) -> float:
        """Give the root mean squared error of the first folds, in standard deviations of y."""
        return float(np.sqrt(np.mean(self.errors[:n_folds])))

    @property
    def error(self) -> float:
        """That of the folds so far; infinite before the first."""
        return self.error_of(len(self.errors)) if self.errors else np.inf


# So many of the best shapes are tried with other activations.
VARIED = 2

# A larger shape is tried where the last one had at most this times the error of the next best.
GROWTH_PAYS = 0.95


# Larger candidates, and those of other activations, that may enter.
MOST_FURTHER = len(LARGER_SHAPES) + VARIED * len(OTHER_ACTIVATIONS)


class Race:
    """Trains runners on folds.

    Parameters
    ----------
    train : callable
        ``train(runners, fold)`` gives what has come of each, a `Trained`.
    error_of : callable
        ``error_of(mean, fold)`` gives the mean squared error, in variances of y.
    n_folds : int
    stop : Interruption
        Set where the user wants to end, or a callback.
    may_enter : callable
        Whether a larger candidate costs little enough.
    task : Task, default=Task()
        That of the race.
    """

    def __init__(self, train, error_of, n_folds, stop: Interruption, may_enter, task=None):
        self.may_enter = may_enter
        self.train, self.error_of, self.n_folds = train, error_of, n_folds
        self.stop, self.task = stop, Task() if task is None else task
        self.runners: list[Runner] = []
        self.failure: ValueError | None = None  # of a candidate without finite weights

    def run(self, candidates, *, grow: bool, vary: bool) -> list[Runner]:
        """Give the runners that are to be weighed, the best first."""
        self._enter([Candidate(*candidate) for candidate in candidates])
        if grow:
            self._grow()
        self._go_on()
        if vary and self.finished():
            shapes = dict.fromkeys(r.candidate.hidden_layer_sizes for r in self.finished())
            best = list(shapes)[:VARIED]
            self._enter([Candidate(s, a) for s in best for a in OTHER_ACTIVATIONS])
            self._go_on()
        return self.standing()

    def finished(self) -> list[Runner]:
        """Give the runners that came through all folds with an error near the least, best first."""
        return self._within(self.runners, AFTER_TWO, self.n_folds)

    def standing(self) -> list[Runner]:
        """Give those to be weighed, the best first: the finished ones, unless it was stopped.

        Then others count that have been through half as many folds as the furthest, at least: they
        are weighed by the rows of the folds that all of them share.
        """
        able = [r for r in self.runners if r.members and not r.is_hopeless]
        most = max((len(r.errors) for r in able), default=0)
        able = [r for r in able if 2 * len(r.errors) >= most]
        shared = min((len(r.errors) for r in able), default=0)
        if not shared:
            return []
        return self._within(able, AFTER_TWO if shared == self.n_folds else AFTER_ONE, shared)

    def _grow(self) -> None:
        """Try larger shapes on the first fold while the last one tried is the best there."""
        for shape in LARGER_SHAPES:
            if self.stop.is_set():
                return
            largest = max(self.runners, key=lambda r: sum(r.candidate.hidden_layer_sizes))
            done = self._within(self.runners, np.inf, 1)
            if not done or done[0] is not largest:
                return
            if len(done) > 1 and done[0].error > GROWTH_PAYS * done[1].error:
                return
            if not self.may_enter(Candidate(shape, "tanh")):
                return
            self._enter([Candidate(shape, "tanh")])

    def _enter(self, candidates) -> None:
        """Train new candidates on the first fold."""
        if self.stop.is_set():
            return
        entrants = [
            Runner(c, task=self.task.subtask(str(c), self.n_folds), stop=Interruption(self.stop))
            for c in candidates
        ]
        self.runners += entrants
        for runner in entrants:
            runner.task.begin()
        self._run_fold(entrants, 0)

    def _go_on(self) -> None:
        """Train those that are near the best on the other folds, until all have left.

        One that was left behind by another's luck on the first folds goes on in the end: its error
        so far is less than that of any that came through.
        """
        for fold in range(1, self.n_folds):
            factor, n_folds = (AFTER_ONE, 1) if fold == 1 else (AFTER_TWO, 2)
            near = self._within(self.runners, factor, n_folds)
            self._run_fold(self._waiting(near, fold)[:MOST_AFTER_ONE], fold)
        for fold in range(1, self.n_folds):
            through = [r.error for r in self.runners if len(r.errors) == self.n_folds]
            least = min(through, default=-np.inf)
            better = [runner for runner in self.runners if runner.error < least]
            self._run_fold(self._waiting(better, fold), fold)
        for runner in self.runners:
            if not runner.has_left:
                self._leave(runner)

    def _waiting(self, runners, fold) -> list[Runner]:
        """Give those that have come as far as this fold and may go on."""
        return [r for r in runners if len(r.errors) == fold and not (r.has_left or r.stop.is_set())]

    def _leave(self, runner) -> None:
        runner.has_left = True
        runner.is_hopeless = len(runner.errors) < self.n_folds and not runner.stop.is_set()
        if runner.task.end():
            self.stop.set()

    def _within(self, runners, factor, n_folds) -> list[Runner]:
        """Give those whose error is near the least of all that have come as far, the best first."""
        as_far = [r.error_of(n_folds) for r in self.runners if len(r.errors) >= n_folds]
        if not as_far:
            return []
        bound = factor * min(as_far)
        near = [r for r in runners if len(r.errors) >= n_folds and r.error_of(n_folds) <= bound]
        return sorted(near, key=lambda runner: runner.error)

    def _run_fold(self, runners, fold) -> None:
        if self.stop.is_set():
            return
        for runner, trained in zip(runners, self.train(runners, fold), strict=True):
            runner.seconds += trained.seconds
            self.failure = trained.error or self.failure
            if trained.member is not None:
                runner.members.append(trained.member)
                runner.errors.append(self.error_of(trained.mean, fold))
                runner.predictions.append((trained.mean, trained.variance))
