"""The race: candidates are trained on one fold after the other, hopeless ones on no more."""

import time
from dataclasses import dataclass, field

import numpy as np

from .candidates import LARGER_SHAPES, OTHER_ACTIVATIONS, Candidate

# A candidate goes on after the first fold with an error of at most this times the least, and
# after the second with at most that: errors of a fold of some hundred rows differ by a tenth.
AFTER_ONE, AFTER_TWO = 1.3, 1.15

# At most so many of a heat go on after the first fold.
MOST_AFTER_ONE = 6


@dataclass
class Runner:
    """A candidate with its members so far: one a fold, and what it predicts of the fold's rows."""

    candidate: Candidate
    members: list = field(default_factory=list)
    errors: list = field(default_factory=list)  # mean squared error of each fold, in variances
    predictions: list = field(default_factory=list)  # (mean, variance) of each fold's rows
    seconds: float = 0.0

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


class Race:
    """Trains runners on folds.

    Parameters
    ----------
    train : callable
        ``train(candidate, fold)`` gives a member fitted on the rows of a fold, and its mean and
        variance of those left out.
    error_of : callable
        ``error_of(mean, fold)`` gives the mean squared error, in variances of y.
    n_folds : int
    parallel : callable
        Calls a list of functions, and gives a list of what they give.
    is_stopped : callable
        Whether the user wants to end.
    may_enter : callable
        Whether a larger candidate costs little enough.
    """

    def __init__(self, train, error_of, n_folds, parallel, is_stopped, may_enter):
        self.may_enter = may_enter
        self.train, self.error_of, self.n_folds = train, error_of, n_folds
        self.parallel, self.is_stopped = parallel, is_stopped
        self.runners: list[Runner] = []

    def run(self, candidates, *, grow: bool, vary: bool) -> list[Runner]:
        """Give the runners that have come through all folds, the best first."""
        self._enter([Candidate(*candidate) for candidate in candidates])
        if grow:
            self._grow()
        self._go_on()
        if vary and self.finished():
            shapes = dict.fromkeys(r.candidate.hidden_layer_sizes for r in self.finished())
            best = list(shapes)[:VARIED]
            self._enter([Candidate(s, a) for s in best for a in OTHER_ACTIVATIONS])
            self._go_on()
        return self.finished()

    def finished(self) -> list[Runner]:
        """Give the runners that came through all folds with an error near the least, best first."""
        return self._within(self.runners, AFTER_TWO, self.n_folds)

    def _grow(self) -> None:
        """Try larger shapes on the first fold while the last one tried is the best there."""
        for shape in LARGER_SHAPES:
            largest = max(self.runners, key=lambda r: sum(r.candidate.hidden_layer_sizes))
            done = self._within(self.runners, np.inf, 1)
            if self.is_stopped() or not done or done[0] is not largest:
                return
            if len(done) > 1 and done[0].error > GROWTH_PAYS * done[1].error:
                return
            if not self.may_enter(Candidate(shape, "tanh")):
                return
            self._enter([Candidate(shape, "tanh")])

    def _enter(self, candidates) -> None:
        """Train new candidates on the first fold."""
        entrants = [Runner(candidate) for candidate in candidates]
        self.runners += entrants
        self._run_fold(entrants, 0)

    def _go_on(self) -> None:
        """Train those that are near the best on the other folds.

        One that was left behind by another's luck on the first folds goes on in the end: its error
        so far is less than that of any that came through.
        """
        for fold in range(1, self.n_folds):
            factor, n_folds = (AFTER_ONE, 1) if fold == 1 else (AFTER_TWO, 2)
            near = self._within(self.runners, factor, n_folds)
            waiting = [runner for runner in near if len(runner.members) == fold]
            self._run_fold(waiting[:MOST_AFTER_ONE], fold)
        for fold in range(1, self.n_folds):
            through = [r.error for r in self.runners if len(r.members) == self.n_folds]
            least = min(through, default=np.inf)
            self._run_fold(
                [r for r in self.runners if len(r.members) == fold and r.error < least], fold
            )

    def _within(self, runners, factor, n_folds) -> list[Runner]:
        """Give those whose error is near the least of all that have come as far, the best first."""
        as_far = [r.error_of(n_folds) for r in self.runners if len(r.errors) >= n_folds]
        if not as_far:
            return []
        bound = factor * min(as_far)
        near = [r for r in runners if len(r.errors) >= n_folds and r.error_of(n_folds) <= bound]
        return sorted(near, key=lambda runner: runner.error)

    def _run_fold(self, runners, fold) -> None:
        if self.is_stopped():
            return

        def timed(runner):
            begun = time.perf_counter()
            outcome = None if self.is_stopped() else self.train(runner.candidate, fold)
            return outcome, time.perf_counter() - begun

        outcomes = self.parallel([lambda r=runner: timed(r) for runner in runners])
        for runner, (outcome, seconds) in zip(runners, outcomes, strict=True):
            runner.seconds += seconds
            if outcome is not None:
                member, mean, variance = outcome
                runner.members.append(member)
                runner.errors.append(self.error_of(mean, fold))
                runner.predictions.append((mean, variance))
