"""`EnsembleFit`: a fit of an ensemble, from candidates on folds to weighted members."""

import zlib

import numpy as np
from sklearn.base import clone

from .._bayes.conformal import ConformalScores
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._network.architecture import Architecture
from .._regressor import TinyMLPRegressor
from .._training.heteroscedastic_noise import VaryingNoise
from .._training.settings import Settings, layer_sizes
from .members import (
    Fold,
    TrainedMember,
    agrees,
    between_neighbours,
    predict_held_out,
    train,
    train_pilots,
)
from .stacking import (
    best_constant,
    excess_loss,
    least_loss_weights,
    least_squares_weights,
    mixture,
    rescaled,
)
from .successive_halving import N_VARIED_SHAPES, Candidate, SuccessiveHalving

# Shapes from few parameters to many. Those up to (16, 16) are tried on any data, the larger ones as
# long as each is better than the one before: on 7,200 rows without noise (32, 32) has half the
# error of (16, 16), on some hundred noisy rows the same error in three times the time.
SHAPES = ((5,), (10,), (20,), (10, 10), (16, 16))
LARGER_SHAPES = ((24, 24), (32, 32))

# Activations tried with the best shapes, since the errors of their networks are less correlated.
OTHER_ACTIVATIONS = ("silu", "sin")

# Maximum number of held-out rows of each fold whose standard deviations are computed, which costs
# O(P^2) per row.
MAX_CALIBRATION_ROWS = 1000

# Weight of a member of a fold relative to a member that was trained on all rows.
FOLD_MEMBER_WEIGHT = 0.5

# Maximum number of multiply-adds per iteration up to which larger shapes are tried, some six
# seconds per member, and maximum number of parameters per row.
MAX_MULTIPLY_ADDS, MAX_PARAMETERS_PER_ROW = 10_000_000_000, 2

# From this many multiply-adds per iteration on (a second or two), one member is trained on all
# rows.
SINGLE_REFIT_MULTIPLY_ADDS = 2_000_000_000

# Members of folds stop at this many times the template's tol, because their average has a smaller
# error than each of them. On 7,200 rows this halves their time.
FOLD_TOL_FACTOR = 3.0


class EnsembleFit:
    """Fits an ensemble: from candidates that it trains, or from members that are already fitted."""

    def __init__(self, ensemble, X, y, weight, weighted, *, repeats=None, splits, random_state):
        self.shape, self.weighted = y.shape, weighted  # shape for all rows; rows in use
        if len(weighted) < len(y):
            X, y, weight = X[weighted], y[weighted], weight[weighted]
        self.ensemble, self.X, self.y, self.weight = ensemble, X, y, weight
        self.repeats = repeats  # of the rows in use
        self.targets = y.reshape(len(y), -1).astype(np.float64)
        self.template = TinyMLPRegressor() if ensemble.estimator is None else ensemble.estimator
        self.template._validate_params()  # once for all members
        self.counts = np.ones(len(y)) if weight is None else weight
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
        self.n_training_rows = max(len(fold.training) for fold in self.folds)

    def train(self, workers, task) -> dict:
        """Train, stack and refit candidates; return the ensemble's fitted attributes."""
        self.workers, self.task = workers, task
        self._measure_by(Settings.read(self.template.get_params(deep=False)).loss)
        finalists, candidates = self._halve()
        mean = self._stack(finalists)
        self._refit(finalists)
        return self._attributes(finalists, candidates, mean)

    def weigh(self, members) -> dict:
        """Stack fitted members on rows new to them; return the ensemble's fitted attributes."""
        n_outputs = self.targets.shape[1]
        self._measure_by(common_loss(members))
        candidates = []
        for member in members:
            if member.n_outputs_ != n_outputs:
                found = f"a member has {member.n_outputs_}"
                raise ValueError(f"y has {n_outputs} outputs, but {found}.")
            shape = tuple(coef.shape[1] for coef in member.coefs_[:-1])
            mean, variance = predict_held_out(member, self.X, self.y, self.folds[0])
            errors, predictions = [self._fold_error(mean, 0)], [(mean, variance)]
            candidate = Candidate(shape, member.activation, [member], errors, predictions, np.nan)
            candidates.append(candidate)
        return self._attributes(candidates, candidates, self._stack(candidates))

    def _halve(self) -> tuple[list[Candidate], list[Candidate]]:
        """Train candidates on folds; return the candidates to be stacked, and all candidates."""
        ensemble, activation = self.ensemble, self.template.activation
        auto = isinstance(ensemble.hidden_layer_sizes, str)
        shapes = [layer_sizes(s) for s in (SHAPES if auto else ensemble.hidden_layer_sizes)]
        if not shapes:
            raise ValueError("hidden_layer_sizes must contain at least one shape, got none.")
        contexts = self._contexts([fold.training for fold in self.folds])

        def train_on_fold(candidates, fold):
            jobs = [(self._network(c, fold), c.task.subtask(f"fold {fold}")) for c in candidates]
            return self._train(jobs, contexts[fold], self.folds[fold])

        larger, others = [], []
        if auto and activation == "tanh":
            larger = [shape for shape in LARGER_SHAPES if self._is_affordable(shape)]
            others = OTHER_ACTIVATIONS
        n_candidates = len(shapes) + len(larger) + N_VARIED_SHAPES * len(others)
        halving = SuccessiveHalving(
            train_on_fold,
            self._fold_error,
            len(self.folds),
            self.task.subtask("race", n_candidates).begin(),
        )
        finalists = halving.run(shapes, activation, larger, others)
        if not finalists:
            if self.workers.interruption.is_set():
                raise KeyboardInterrupt
            raise halving.failure or ValueError(
                "The out-of-fold errors of all candidates are not finite. Values of y may be too "
                "large."
            )
        self.folds = self.folds[: min(len(candidate.members) for candidate in finalists)]
        halving.task.end()
        if ensemble.verbose:
            for candidate in halving.candidates:
                print(
                    f"{candidate}: error {candidate.error():.4f} after {len(candidate.members)} "
                    f"folds, {candidate.seconds:.2f} s"
                )
        return finalists, halving.candidates

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
        known_rows = predictions[:, known], self.targets[known], self.counts[known]
        if self.loss.least_squares:
            weights = least_squares_weights(*known_rows)
        else:
            weights = least_loss_weights(self.loss, *known_rows)
        for candidate, weight in zip(candidates, weights, strict=True):
            candidate.weight = weight
        return np.tensordot(weights, predictions, axes=1)

    def _refit(self, candidates) -> None:
        """Train weighted candidates on all rows; keep members that agree with the others."""
        numbered = [
            (candidate, number)
            for candidate in candidates
            if candidate.weight > 0.0
            for number in range(self._n_refits(candidate.hidden_layer_sizes))
        ]
        if not numbered or self.task.stop_subtasks.is_set():
            return
        (context,) = self._contexts([None])
        task = self.task.subtask("refits", len(numbered)).begin()
        jobs = [
            (self._network(candidate, -1 - number), task.subtask(str(candidate)))
            for candidate, number in numbered
        ]
        results = self._train(jobs, context, Fold(None, np.arange(0), np.arange(0)))
        task.end()
        points = between_neighbours(self.X, np.random.RandomState(self.seed))
        for (candidate, _), (member, *_) in zip(numbered, results, strict=True):
            error = candidate.error() * np.sqrt(self.variance)
            if member is not None and agrees(member, candidate.members, points, error):
                candidate.refits.append(member)

    def _train(self, jobs, context, fold: Fold) -> list[TrainedMember]:
        """Train networks; a job is a network and its task."""
        arguments = context, (self.X, self.y, self.weight), fold
        results = self.workers.call(train, [(*job, *arguments) for job in jobs])
        results = [TrainedMember() if result is None else result for result in results]
        for (_, task), result in zip(jobs, results, strict=True):  # needed with other processes
            if result.interrupted:
                self.workers.interruption.set()
            if result.stopped:
                task.stop_siblings.set()
        return results

    def _contexts(self, parts) -> list:
        """Train the pilot networks shared by the members that are trained on each part of rows."""
        network, workers = clone(self.template).set_params(random_state=self.seed), self.workers
        data, repeats = (self.X, self.y, self.weight), self.repeats
        shared = workers.interruption, workers.share_memory
        return workers.call(
            train_pilots, [(network, data, repeats, rows, *shared) for rows in parts]
        )

    def _network(self, candidate: Candidate, number) -> TinyMLPRegressor:
        """Return an unfitted network, for a fold or, with a negative number, for all rows."""
        shape, activation = candidate.hidden_layer_sizes, candidate.activation
        seed = zlib.crc32(repr((self.seed, shape, activation, number)).encode())
        tol = self.template.tol * (FOLD_TOL_FACTOR if number >= 0 else 1.0)
        return clone(self.template).set_params(
            hidden_layer_sizes=shape, activation=activation, random_state=seed, tol=tol
        )

    def _n_refits(self, shape) -> int:
        _, multiply_adds = self._cost(shape)
        most = 1 if multiply_adds > SINGLE_REFIT_MULTIPLY_ADDS else np.inf
        return min(self.ensemble.n_refits, most)

    def _is_affordable(self, shape) -> bool:
        """Return whether a larger network takes seconds at most and has enough rows."""
        n_parameters, multiply_adds = self._cost(shape)
        enough = n_parameters <= MAX_PARAMETERS_PER_ROW * self.n_training_rows
        return enough and multiply_adds <= MAX_MULTIPLY_ADDS

    def _cost(self, shape) -> tuple[int, int]:
        """Return the number of parameters, and the multiply-adds of A and of three inverses."""
        n = Architecture((self.X.shape[1], *shape, self.targets.shape[1])).n_parameters
        return n, n**2 * (self.n_training_rows + 6 * n)

    def _measure_by(self, loss: Loss) -> None:
        """Set the loss that measures errors, at the scale of the best constant's residuals."""
        constant = best_constant(loss, self.targets, self.counts)
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
                members += candidate.members + candidate.refits
                n_folds, n_refits = len(candidate.members), len(candidate.refits)
                shares = np.array([FOLD_MEMBER_WEIGHT] * n_folds + [1.0] * n_refits)
                weights += list(candidate.weight * shares / shares.sum())
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
                "activation": np.array([str(c.activation) for c in candidates]),
                "n_folds": np.array([len(c.members) for c in candidates]),
                "error": np.array([c.error() for c in candidates]),
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
