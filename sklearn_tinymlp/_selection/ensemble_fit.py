"""`EnsembleFit`: a fit of an ensemble, from candidates on folds to weighted members."""

import time
import zlib
from itertools import takewhile

import numpy as np
from sklearn.base import clone

from .._bayes.conformal import ConformalScores
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._regressor import TinyMLPRegressor
from .._training.heteroscedastic_noise import VaryingNoise
from .._training.settings import Settings
from .candidates import KINDS, Candidate, larger_layers, parameters_to_try
from .members import ALL_ROWS, Fold, predict_held_out, train
from .stacking import (
    excess_loss,
    mixture,
    order_of_members,
    rescaled,
    stacking_weights,
    weighted_mean,
)

# Maximum number of held-out rows of each fold whose standard deviations are computed, which costs
# O(P^2) per row.
MAX_CALIBRATION_ROWS = 1000


class EnsembleFit:
    """Fits an ensemble: from candidates that it trains, or from members that are already fitted."""

    def __init__(self, ensemble, X, y, weight, weighted, *, splits, random_state, repeats=None):
        self.shape, self.weighted = y.shape, weighted  # shape for all rows; rows in use
        if len(weighted) < len(y):
            X, y, weight = X[weighted], y[weighted], weight[weighted]
        self.ensemble, self.data, self.repeats = ensemble, (X, y, weight), repeats
        self.begun = time.monotonic()
        self.targets = y.reshape(len(y), -1).astype(np.float64, order="C")  # sums depend on it
        self.template = TinyMLPRegressor() if ensemble.estimator is None else ensemble.estimator
        self.template._validate_params()  # once for all members
        self.counts = np.ones(len(y)) if weight is None else weight
        if (self.counts != np.rint(self.counts)).any():  # else a whole number counts its row
            self.counts = self.counts / self.counts.mean()
        self.seed = int(random_state.randint(np.iinfo(np.int32).max))
        center = np.average(self.targets, axis=0, weights=self.counts)
        variance = np.average((self.targets - center) ** 2, axis=0, weights=self.counts)
        self.variance = np.where(variance > 0.0, variance, 1.0)
        self.folds = []
        for k, (training, held_out) in enumerate(splits):
            if len(training) > ensemble.max_samples:
                draw = np.random.RandomState((self.seed + k) % 2**32)
                training = np.sort(draw.permutation(training)[: ensemble.max_samples])
            n_calibration = min(len(held_out), MAX_CALIBRATION_ROWS)
            calibration = np.linspace(0, len(held_out) - 1, n_calibration).astype(int)
            self.folds.append(Fold(training, held_out, calibration))

    def train(self, workers, task) -> dict:
        """Train, weight and refit candidates; return the ensemble's fitted attributes."""
        self.workers, self.task = workers, task
        self._measure_by(Settings.read(self.template.get_params(deep=False)).loss)
        sizes, X, n_outputs = self.ensemble.hidden_layer_sizes, self.data[0], self.targets.shape[1]
        candidates = self._candidates(parameters_to_try(self.template, sizes, X, n_outputs))
        task = self.task.subtask("folds", len(self.folds) * len(candidates)).begin()
        self._train_on_folds(candidates, 1, task)
        if not self._is_over():
            if isinstance(sizes, str):
                larger = larger_layers(candidates, self.template, X, n_outputs)
                candidates += self._candidates(larger)
            self._train_on_folds(candidates, len(self.folds), task)
        task.end()
        finalists = self._finalists(candidates)
        mean = self._stack(finalists)
        self._refit(finalists)
        return self._attributes(finalists, candidates, mean)

    def weigh(self, members) -> dict:
        """Weight fitted members on rows new to them; return the ensemble's fitted attributes."""
        (X, y, _), n_outputs = self.data, self.targets.shape[1]
        self._measure_by(common_loss(members))
        candidates = []
        for member in members:
            if member.n_outputs_ != n_outputs:
                found = f"a member has {member.n_outputs_}"
                raise ValueError(f"y has {n_outputs} outputs, but {found}.")
            mean, variance = predict_held_out(member, X, y, self.folds[0])
            errors, predictions = [self._fold_error(mean, 0)], [(mean, variance)]
            candidates.append(Candidate({}, member, [member], errors, predictions, seconds=np.nan))
        return self._attributes(candidates, candidates, self._stack(candidates))

    def _candidates(self, found) -> list[Candidate]:
        return [Candidate(params, clone(self.template).set_params(**params)) for params in found]

    def _train_on_folds(self, candidates, n_folds, task) -> None:
        """Train a member of each candidate on each of the first folds, one fold after another."""
        pairs = [
            (k, candidate)
            for k in range(n_folds)
            for candidate in candidates
            if k >= len(candidate.members) and candidate.failure is None
        ]
        jobs = [
            (self._network(candidate, k), task.subtask(f"fold {k}, {candidate}"), self.folds[k])
            for k, candidate in pairs
        ]
        for (k, candidate), trained in zip(pairs, self._train(jobs), strict=False):
            candidate.seconds += trained.seconds
            candidate.failure = candidate.failure or trained.error
            if trained.member is not None and len(candidate.members) == k:
                candidate.members.append(trained.member)
                candidate.errors.append(self._fold_error(trained.mean, k))
                candidate.predictions.append((trained.mean, trained.variance))
                if self.ensemble.verbose:
                    print(
                        f"{candidate}, fold {k + 1} of {len(self.folds)}: error "
                        f"{candidate.error:.4f}, {trained.seconds:.2f} s"
                    )

    def _finalists(self, candidates) -> list[Candidate]:
        """Return the candidates to be weighted, and keep the folds that all of them share.

        After a stop these are candidates with at least half of the maximum number of folds.
        """
        trained = [c for c in candidates if c.members and c.failure is None]
        most = max((len(candidate.members) for candidate in trained), default=0)
        finalists = [c for c in trained if 2 * len(c.members) >= most and np.isfinite(c.error)]
        if not finalists:
            if self.workers.interruption.is_set():
                raise KeyboardInterrupt
            failures = [c.failure for c in candidates if c.failure is not None]
            raise next(iter(failures), None) or ValueError(
                "The out-of-fold errors of all candidates are not finite. Values of y may be too "
                "large."
            )
        self.folds = self.folds[: min(len(candidate.members) for candidate in finalists)]
        return finalists

    def _stack(self, candidates) -> np.ndarray:
        """Set the candidates' weights; return the weighted out-of-fold predictions."""
        predictions = np.full((len(candidates), *self.targets.shape), np.nan)
        for out_of_fold, candidate in zip(predictions, candidates, strict=True):
            parts = list(zip(self.folds, candidate.predictions, strict=False))
            for fold, (mean, _) in parts:
                out_of_fold[fold.held_out] = mean
            # The means of all other candidates would stay in memory during the refits.
            candidate.predictions = [(mean[fold.calibration], v) for fold, (mean, v) in parts]
        known = np.isfinite(predictions).all(axis=(0, 2))
        known = slice(None) if known.all() else known
        weights = stacking_weights(
            self.loss, predictions[:, known], self.targets[known], self.counts[known]
        )
        for candidate, weight in zip(candidates, weights, strict=True):
            candidate.weight = weight
        return weighted_mean(weights, predictions)

    def _refit(self, candidates) -> None:
        """Train members on all rows for the candidates with nonzero weight."""
        weights = np.array([candidate.weight for candidate in candidates])
        sizes = self.ensemble.hidden_layer_sizes
        n_members = self.ensemble.n_refits * len(KINDS if isinstance(sizes, str) else sizes)
        chosen = [candidates[k] for k in order_of_members(weights, n_members)]
        if not n_members or self.task.stop_subtasks.is_set() or self._is_over():
            return
        task = self.task.subtask("refits", len(chosen)).begin()
        jobs = [
            (self._network(candidate, -1 - number), task.subtask(str(candidate)), ALL_ROWS)
            for number, candidate in enumerate(chosen)
        ]
        for candidate, trained in zip(chosen, self._train(jobs), strict=False):
            if trained.member is not None:
                candidate.refits.append(trained.member)
        task.end()

    def _train(self, jobs):
        """Train networks, each with a task and a fold, until the time is over; yield results."""
        started = takewhile(lambda job: job is jobs[0] or not self._is_over(), jobs)
        shared = self.data, self.repeats, self.workers.interruption
        calls = ((*job, *shared) for job in started)
        for (_, task, _), result in zip(jobs, self.workers.call(train, calls), strict=False):
            if result.interrupted:  # needed with other processes
                self.workers.interruption.set()
            if result.stopped:
                task.stop_siblings.set()
            yield result

    def _is_over(self) -> bool:
        most = self.ensemble.max_time
        return most is not None and time.monotonic() - self.begun > most

    def _network(self, candidate: Candidate, number) -> TinyMLPRegressor:
        """Return an unfitted network, for a fold or, with a negative number, for all rows."""
        key = repr((self.seed, sorted(candidate.params.items()), number))
        return clone(candidate.network).set_params(random_state=zlib.crc32(key.encode()))

    def _measure_by(self, loss: Loss) -> None:
        """Set the loss that measures errors, at the scale of the best constant's residuals."""
        constant = loss.constant_predictions(self.targets, self.counts)
        self.loss = rescaled(loss, self.targets, constant, self.counts)
        excess = excess_loss(self.loss, self.targets, constant, self.counts)
        self.constant_loss = excess if excess > 0.0 else 1.0

    def _fold_error(self, mean, fold) -> float:
        """Return the squared error in variances; of another loss, relative to the constant's."""
        rows = self.folds[fold].held_out
        targets, counts = self.targets[rows], self.counts[rows]
        if not self.loss.least_squares:
            return excess_loss(self.loss, targets, mean, counts) / self.constant_loss
        squares = np.average((mean - targets) ** 2, axis=0, weights=counts)
        return float(np.mean(squares / self.variance))

    def _attributes(self, finalists, candidates, mean) -> dict:
        """Return the fitted attributes of the ensemble, by name."""
        members, weights = [], []
        for candidate in finalists:
            if candidate.weight > 0.0:
                of_one = candidate.refits or candidate.members
                members += of_one
                weights += [candidate.weight / len(of_one)] * len(of_one)
        known = np.isfinite(mean).all(axis=1)
        squares = (self.targets[known] - mean[known]) ** 2
        squares = np.average(squares, axis=0, weights=self.counts[known])
        noise = np.sqrt(squares) if len(squares) > 1 else float(np.sqrt(squares[0]))
        if all(isinstance(member.noise_std_, VaryingNoise) for member in members):
            noise = VaryingNoise.mixture([member.noise_std_ for member in members], weights)
        scores = self._conformal_scores(finalists)
        out_of_fold = np.full(self.shape, np.nan)
        out_of_fold[self.weighted] = mean.reshape(-1, *self.shape[1:])
        shapes = np.empty(len(candidates), dtype=object)
        shapes[:] = [candidate.hidden_layer_sizes for candidate in candidates]
        return {
            "estimators_": members,
            "weights_": np.array(weights),
            "results_": {
                "hidden_layer_sizes": shapes,
                "activation": np.array([str(c.network.activation) for c in candidates]),
                "inputs": np.array([str(c.network.inputs) for c in candidates]),
                "alpha": np.array([str(c.network.alpha) for c in candidates]),
                "n_folds": np.array([len(c.members) for c in candidates]),
                "error": np.array([c.error for c in candidates]),
                "weight": np.array([c.weight for c in candidates]),
                "n_refits": np.array([len(c.refits) for c in candidates]),
                "seconds": np.array([c.seconds for c in candidates]),
            },
            "band_scale_": scores.scale(),
            "_tails": scores,
            "noise_std_": noise,
            "out_of_fold_predictions_": out_of_fold,
            "out_of_fold_r2_": float(np.mean(1.0 - squares / self.variance)),
        }

    def _conformal_scores(self, finalists) -> ConformalScores:
        """Return the out-of-fold residuals of the finalists' mixture, in standard deviations.

        The calibration factor from these may be below 1: members that were not trained on a fold
        are less accurate than the whole ensemble.
        """
        folds = [zip(*candidate.predictions, strict=True) for candidate in finalists]
        parts = [[np.concatenate(part) for part in of_one] for of_one in folds]
        means, variances = map(np.array, zip(*parts, strict=True))
        mean, variance = mixture([c.weight for c in finalists], means, variances)
        rows = np.concatenate([fold.held_out[fold.calibration] for fold in self.folds])
        std = np.sqrt(np.maximum(variance, np.finfo(float).tiny))
        counts = self.counts[rows]
        # Each row counts as one on average, whatever the unit of the weights.
        return ConformalScores.of(np.abs(self.targets[rows] - mean) / std, counts / counts.mean())


def common_loss(networks) -> Loss:
    """Return the loss that all networks were trained with; raise a ValueError if they differ."""
    losses = [LOSSES[network._loss].remade(network._loss_constants) for network in networks]
    # Scales are estimated anew; a quantile loss is defined by its slopes.
    kinds = {(loss.name, loss.parameters[:2] if loss.nonsmooth else ()) for loss in losses}
    if len(kinds) > 1:
        names = ", ".join(sorted(map(str, kinds)))
        raise ValueError(f"The members must have the same loss, got {names}.")
    return losses[0]
