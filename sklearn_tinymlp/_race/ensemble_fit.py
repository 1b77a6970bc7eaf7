"""`EnsembleFit`: the steps of a fit of an ensemble, from folds to weighed members."""

import zlib

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from .._engine.architecture import Architecture
from .._fit.settings import layer_sizes
from .._regressor import TinyMLPRegressor
from . import band
from .candidates import SHAPES, Candidate
from .race import Race, Runner
from .refits import agrees
from .stacking import stacked

# Rows left out of each fold whose standard deviations are computed: they cost O(P^2) a row.
CALIBRATED_ROWS = 1000

# A member that missed a fold counts half as much as one that was trained on all rows.
WEIGHT_OF_FOLD_MEMBER = 0.5

# Larger shapes are tried up to this many multiply-adds an iteration, some six seconds a member, and
# up to twice as many parameters as rows.
MOST_WORK, PARAMETERS_A_ROW = 10_000_000_000, 2

# From here on, a second or two, one member is trained on all rows.
COSTLY = 2_000_000_000


class EnsembleFit:
    """The data of a fit, and its steps: `race`, `weigh`, `refit`, then what is honest of it."""

    def __init__(self, ensemble, X, y, targets, *, weight, splits, random_state):
        self.splits = splits
        self.X, self.y, self.targets, self.weight = X, y, targets, weight
        self.ensemble = ensemble
        self.template = ensemble.estimator
        if self.template is None:
            self.template = TinyMLPRegressor()
        self.template._validate_params()  # once for all members
        self.counts = np.ones(len(y)) if weight is None else weight
        self.seed = int(random_state.randint(np.iinfo(np.int32).max))
        center = np.average(targets, axis=0, weights=self.counts)
        spread = np.average((targets - center) ** 2, axis=0, weights=self.counts)
        self.variance = np.where(spread > 0.0, spread, 1.0)

    def race(self, interruption) -> tuple[list[Runner], list[Runner]]:
        """Train candidates on folds; give those that came through, and all."""
        ensemble = self.ensemble
        self.calibrated = [self._calibrated_rows(fold) for fold in range(len(self.splits))]
        race = Race(
            self._train_on_fold,
            self._error_of_fold,
            len(self.splits),
            self._in_threads,
            interruption.is_set,
            self._may_enter,
        )
        self.interruption = interruption
        self.rows = [self._rows_of(fold) for fold in range(len(self.splits))]
        self.memberships = self._in_threads(
            [lambda rows=rows: self._membership(rows) for rows in self.rows]
        )
        by_itself = isinstance(ensemble.hidden_layer_sizes, str)
        activation = self.template.get_params()["activation"]
        shapes = SHAPES if by_itself else ensemble.hidden_layer_sizes
        candidates = [Candidate(layer_sizes(shape), activation) for shape in shapes]
        vary = by_itself and activation == "tanh"
        finished = race.run(candidates, grow=vary, vary=vary)
        if not finished:  # by Ctrl-C
            most = max((len(runner.members) for runner in race.runners), default=0)
            if not most:
                raise KeyboardInterrupt
            self.splits = self.splits[:most]
            finished = [runner for runner in race.runners if len(runner.members) == most]
        if ensemble.verbose:
            for runner in race.runners:
                print(
                    f"{runner.candidate.hidden_layer_sizes} {runner.candidate.activation}: "
                    f"error {runner.error:.4f} after {len(runner.members)} folds, "
                    f"{runner.seconds:.2f} s"
                )
        return finished, race.runners

    def weigh(self, runners) -> tuple[np.ndarray, np.ndarray]:
        """Stack the candidates; give their weights, and what they predict of rows left out."""
        predictions = np.full((len(runners), *self.targets.shape), np.nan)
        for row, runner in zip(predictions, runners, strict=True):
            for (_, rest), (mean, _) in zip(self.splits, runner.predictions, strict=True):
                row[rest] = mean
        known = np.isfinite(predictions).all(axis=(0, 2))
        weights = stacked(predictions[:, known], self.targets[known], self.counts[known])
        return weights, predictions

    def refit(self, runners, weights, interruption):
        """Train what has weight on all rows; give the members and their weights."""
        members, member_weights, kept = [], [], {}
        jobs = [
            (runner, number)
            for runner, weight in zip(runners, weights, strict=True)
            for number in range(self._n_refits(runner))
            if weight > 0.0
        ]
        everything = np.arange(len(self.y))
        membership = self._membership(everything) if jobs else None

        def train(runner, number):
            if interruption.is_set():
                return None
            return self._fitted(runner.candidate, everything, -1 - number, membership)

        again = self._in_threads([lambda j=job: train(*j) for job in jobs])
        for runner, weight in zip(runners, weights, strict=True):
            if weight == 0.0:
                continue
            refits = [
                member
                for (of, _), member in zip(jobs, again, strict=True)
                if of is runner and member is not None and self._agrees(member, runner)
            ]
            kept[id(runner)] = len(refits)
            shares = [WEIGHT_OF_FOLD_MEMBER] * len(runner.members) + [1.0] * len(refits)
            members += [*runner.members, *refits]
            member_weights += list(weight * np.array(shares) / np.sum(shares))
        return members, np.array(member_weights), kept

    def _n_refits(self, runner: Runner) -> int:
        asked = self.ensemble.n_refits
        return min(asked, 1) if self._work(runner.candidate) > COSTLY else asked

    def honest(self, weights, predictions) -> tuple[np.ndarray, np.ndarray]:
        """Give the predictions of rows left out, and the root mean square of their residuals."""
        mean = np.tensordot(weights, predictions, axes=1)
        known = np.isfinite(mean).all(axis=1)
        squares = (self.targets[known] - mean[known]) ** 2
        return mean, np.sqrt(np.average(squares, axis=0, weights=self.counts[known]))

    def r2(self, mean) -> float:
        """Give R² of predictions of rows left out, as mean over the outputs."""
        known = np.isfinite(mean).all(axis=1)
        squares = (self.targets[known] - mean[known]) ** 2
        left = np.average(squares, axis=0, weights=self.counts[known])
        return float(np.mean(1.0 - left / self.variance))

    def band_scale(self, runners, weights) -> np.ndarray:
        """Scale the band of the candidates' mixture on rows left out."""
        means, variances, rows = [], [], []
        for fold, (_, rest) in enumerate(self.splits):
            chosen = self.calibrated[fold]
            rows.append(rest[chosen])
            means.append([runner.predictions[fold][0][chosen] for runner in runners])
            variances.append([runner.predictions[fold][1] for runner in runners])
        rows = np.concatenate(rows)
        mean, variance = band.mixture(
            weights, np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        )
        return band.scale_of(self.targets[rows], mean, variance, self.counts[rows])

    def _train_on_fold(self, candidate: Candidate, fold: int):
        rest = self.splits[fold][1]
        member = self._fitted(candidate, self.rows[fold], fold, self.memberships[fold])
        if member is None:
            return None
        mean = member.predict(self.X[rest]).reshape(len(rest), -1)
        chosen = rest[self.calibrated[fold]]
        error = np.sqrt(np.mean((mean - self.targets[rest]) ** 2, axis=0))
        _, variance = mean_and_variance(member, self.X[chosen], error)
        return member, mean, variance

    def _fitted(self, candidate: Candidate, rows, number, membership):
        """Give a member; None where Ctrl-C has ended its training, or it has no finite weights."""
        member = clone(self.template).set_params(
            **candidate.params, random_state=self._seed_of(candidate, number)
        )
        weight = None if self.weight is None else self.weight[rows]
        try:
            member._fit(self.X[rows], self.y[rows], weight, member_of=membership)
        except ValueError as error:
            if "non-finite" not in str(error):
                raise
            return None
        if member.stop_reason_ == "interrupted":
            self.interruption.set()
            return None
        return member

    def _may_enter(self, candidate: Candidate) -> bool:
        """Whether a larger network costs seconds at most, and has rows enough."""
        n_rows = max(len(rows) for rows in self.rows)
        enough = self._n_parameters(candidate) <= PARAMETERS_A_ROW * n_rows
        return enough and self._work(candidate) <= MOST_WORK

    def _n_parameters(self, candidate: Candidate) -> int:
        units = (self.X.shape[1], *candidate.hidden_layer_sizes, self.targets.shape[1])
        return Architecture(units).n_parameters

    def _work(self, candidate: Candidate) -> int:
        """Give the multiply-adds of A from all rows, of three inverses, and of their factors."""
        n_rows, n_parameters = max(len(rows) for rows in self.rows), self._n_parameters(candidate)
        return n_parameters**2 * (n_rows + 6 * n_parameters)

    def _rows_of(self, fold) -> np.ndarray:
        """Give the rows that members of a fold are trained on."""
        kept, most = self.splits[fold][0], self.ensemble.max_samples
        if len(kept) <= most:
            return kept
        draw = np.random.RandomState((self.seed + fold) % 2**32)
        return np.sort(draw.permutation(kept)[:most])

    def _membership(self, rows):
        """Send scouts once for all members that are trained on these rows."""
        weight = None if self.weight is None else self.weight[rows]
        member = clone(self.template).set_params(random_state=self.seed)
        return member._scouted(self.X[rows], self.y[rows], weight)

    def _seed_of(self, candidate: Candidate, number) -> int:
        name = repr((self.seed, tuple(candidate.hidden_layer_sizes), candidate.activation, number))
        return zlib.crc32(name.encode())

    def _error_of_fold(self, mean, fold) -> float:
        rest = self.splits[fold][1]
        squares = (mean - self.targets[rest]) ** 2
        return float(
            np.mean(np.average(squares, axis=0, weights=self.counts[rest]) / self.variance)
        )

    def _calibrated_rows(self, fold):
        """Give the places, among the rows left out, of those whose variance is computed."""
        n_rest = len(self.splits[fold][1])
        if n_rest <= CALIBRATED_ROWS:
            return np.arange(n_rest)
        return np.linspace(0, n_rest - 1, CALIBRATED_ROWS).astype(int)

    def _agrees(self, member, runner) -> bool:
        error = runner.error * np.sqrt(self.variance)
        draw = np.random.RandomState(self.seed)
        return agrees(member, runner.members, self.X, error, draw)

    def _in_threads(self, functions) -> list:
        return Parallel(n_jobs=self.ensemble.n_jobs, prefer="threads")(
            delayed(function)() for function in functions
        )


def mean_and_variance(member, X, error) -> tuple[np.ndarray, np.ndarray]:
    """Give both of shape (n_samples, n_outputs); without a band the variance is that of errors."""
    if member._posterior is None:
        mean = member.predict(X).reshape(X.shape[0], -1)
        return mean, np.broadcast_to(np.square(error), mean.shape)
    mean, std = member.predict(X, return_std=True)
    n_rows = X.shape[0]
    return mean.reshape(n_rows, -1).astype(np.float64), std.reshape(n_rows, -1) ** 2


def table_of(runners, weights, n_refits) -> dict[str, np.ndarray]:
    """Give a row for each candidate."""
    shapes = np.empty(len(runners), dtype=object)
    shapes[:] = [runner.candidate.hidden_layer_sizes for runner in runners]
    return {
        "hidden_layer_sizes": shapes,
        "activation": np.array([str(runner.candidate.activation) for runner in runners]),
        "n_folds": np.array([len(runner.members) for runner in runners]),
        "error": np.array([runner.error for runner in runners]),
        "weight": np.array([weights.get(id(runner), 0.0) for runner in runners]),
        "n_refits": np.array([n_refits.get(id(runner), 0) for runner in runners]),
        "seconds": np.array([runner.seconds for runner in runners]),
    }
