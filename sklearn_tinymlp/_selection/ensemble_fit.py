"""`EnsembleFit`: the steps of a fit of an ensemble, from folds to weighed members."""

import zlib

import numpy as np
from sklearn.base import clone

from .._bayes.conformal import ConformalScores
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._machine.interruption import Interruption
from .._network.architecture import Architecture
from .._regressor import TinyMLPRegressor
from .._training.heteroscedastic_noise import VaryingNoise
from .._training.settings import Settings, layer_sizes
from .candidates import SHAPES, Candidate
from .member import Rows, Trained, Work, predictions, scouted, train
from .mixture import conformal_scores, mixture
from .refits import agrees
from .stacking import at_scale, constant_of, loss_left, stacked, stacked_by
from .successive_halving import MOST_FURTHER, Race, Runner
from .tasks import Task

# Rows left out of each fold whose standard deviations are computed: they cost O(P^2) a row.
CALIBRATED_ROWS = 1000

# A member that missed a fold counts half as much as one that was trained on all rows.
WEIGHT_OF_FOLD_MEMBER = 0.5

# Larger shapes are tried up to this many multiply-adds an iteration, some six seconds a member, and
# up to twice as many parameters as rows.
MOST_WORK, PARAMETERS_A_ROW = 10_000_000_000, 2

# Members of folds may end earlier than a network that stands alone, by so many times its tol: what
# they lack is averaged out. On 7,200 rows that halves their time.
EARLIER = 3.0

# From here on, a second or two, one member is trained on all rows.
COSTLY = 2_000_000_000


class EnsembleFit:
    """The data of a fit, and its steps: `race`, `weigh`, `refit`, then what is honest of it."""

    def __init__(
        self, ensemble, X, y, targets, *, weight, splits, random_state, workers=None, task=None
    ):
        self.workers, self.task = workers, Task() if task is None else task
        self.stop = None if workers is None else Interruption(workers.interruption)
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
        self._measure_by(loss_of(self.template))
        self.rows = [
            Rows(self._trained_on(kept, fold), rest, calibrated_rows(len(rest)))
            for fold, (kept, rest) in enumerate(splits)
        ]

    def race(self) -> tuple[list[Runner], list[Runner]]:
        """Train candidates on folds; give those to be weighed, and all."""
        ensemble = self.ensemble
        self.memberships = self.workers.call(scouted, [self._scouting(r.kept) for r in self.rows])
        by_itself = isinstance(ensemble.hidden_layer_sizes, str)
        activation = self.template.get_params()["activation"]
        shapes = SHAPES if by_itself else ensemble.hidden_layer_sizes
        candidates = [Candidate(layer_sizes(shape), activation) for shape in shapes]
        if not candidates:
            raise ValueError("hidden_layer_sizes must hold at least one shape, got none.")
        vary = by_itself and activation == "tanh"
        stop = Interruption(self.stop)
        task = self.task.subtask("race", len(candidates) + vary * MOST_FURTHER).begin()
        race = Race(
            self._train_on_fold, self._error_of_fold, len(self.rows), stop, self._may_enter, task
        )
        runners = race.run(candidates, grow=vary, vary=vary)
        del self.memberships  # with their scaled rows
        if not runners:
            if self.workers.interruption.is_set():
                raise KeyboardInterrupt
            raise race.failure or ValueError(
                "No member could be judged: the errors of rows left out are not finite. y may hold "
                "values that are too large."
            )
        n_folds = min(len(runner.members) for runner in runners)
        self.rows = self.rows[:n_folds]
        for runner in runners:
            runner.predictions = runner.predictions[:n_folds]
        if task.end():
            self.stop.set()
        if ensemble.verbose:
            for runner in race.runners:
                print(
                    f"{runner.candidate}: error {runner.error:.4f} after {len(runner.members)} "
                    f"folds, {runner.seconds:.2f} s"
                )
        return runners, race.runners

    def of_members(self, members) -> list[Runner]:
        """Give runners that are trained already, and predict rows that none of them has seen."""
        runners = []
        self._measure_by(loss_of_all(members))
        for member in members:
            shape = tuple(coef.shape[1] for coef in member.coefs_[:-1])
            candidate = Candidate(shape, member.activation)
            mean, variance = predictions(member, self.X, self.y, self.rows[0])
            error = self._error_of_fold(mean, 0)
            runners.append(Runner(candidate, [member], [error], [(mean, variance)], np.nan))
        return runners

    def weigh(self, runners) -> tuple[np.ndarray, np.ndarray]:
        """Stack the candidates; give their weights, and the mean of each row left out."""
        of_each = np.full((len(runners), *self.targets.shape), np.nan)
        for of_one, runner in zip(of_each, runners, strict=True):
            for rows, (mean, _) in zip(self.rows, runner.predictions, strict=True):
                of_one[rows.rest] = mean
            runner.predictions = [  # all others would stay in memory while members are trained
                (mean[rows.calibrated], variance)
                for rows, (mean, variance) in zip(self.rows, runner.predictions, strict=True)
            ]
        known = np.isfinite(of_each).all(axis=(0, 2))
        known = slice(None) if known.all() else known
        honest = of_each[:, known], self.targets[known], self.counts[known]
        by_squares = self.loss.least_squares
        weights = stacked(*honest) if by_squares else stacked_by(self.loss, *honest)
        return weights, np.tensordot(weights, of_each, axes=1)

    def refit(self, runners, weights):
        """Train what has weight on all rows; give the members and their weights."""
        members, member_weights, kept = [], [], {}
        jobs = [
            (runner, number)
            for runner, weight in zip(runners, weights, strict=True)
            for number in range(self._n_refits(runner))
            if weight > 0.0
        ]
        again = self._trained_on_all_rows(jobs)
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

    def _trained_on_all_rows(self, jobs) -> list[TinyMLPRegressor | None]:
        if not jobs or self.stop.is_set():
            return [None] * len(jobs)
        (membership,) = self.workers.call(scouted, [self._scouting(None)])
        task, stop = self.task.subtask("refits", len(jobs)).begin(), Interruption(self.stop)
        rows = Rows(None, np.arange(0), np.arange(0))
        works = [
            Work(
                self._network(runner.candidate, -1 - number),
                membership,
                stop,
                task.subtask(str(runner.candidate)).on(),
            )
            for runner, number in jobs
        ]
        again = self._train(works, rows)
        task.end()
        return [trained.member for trained in again]

    def attributes(self, runners, weights, mean, *, members, member_weights, table) -> dict:
        """Give what a fit has learned, by the names of the ensemble's attributes."""
        noise, tails = self.noise(mean), self.tails(runners, weights)
        noise = float(noise[0]) if len(noise) == 1 else noise
        varying = [member.noise_std_ for member in members]
        if all(isinstance(of_member, VaryingNoise) for of_member in varying):
            noise = VaryingNoise.mixture(varying, member_weights)
        return {
            "estimators_": members,
            "weights_": member_weights,
            "results_": table,
            "band_scale_": tails.scale(),
            "_tails": tails,
            "noise_std_": noise,
            "out_of_fold_predictions_": mean,
            "out_of_fold_r2_": self.r2(mean),
        }

    def noise(self, mean) -> np.ndarray:
        """Give the root mean square of the residuals of rows left out, of each output."""
        known = np.isfinite(mean).all(axis=1)
        squares = (self.targets[known] - mean[known]) ** 2
        return np.sqrt(np.average(squares, axis=0, weights=self.counts[known]))

    def r2(self, mean) -> float:
        """Give R² of predictions of rows left out, as mean over the outputs."""
        known = np.isfinite(mean).all(axis=1)
        squares = (self.targets[known] - mean[known]) ** 2
        left = np.average(squares, axis=0, weights=self.counts[known])
        return float(np.mean(1.0 - left / self.variance))

    def tails(self, runners, weights) -> ConformalScores:
        """Hold the band of the candidates' mixture against rows left out."""
        means, variances, rows = [], [], []
        for fold, of_fold in enumerate(self.rows):
            rows.append(of_fold.rest[of_fold.calibrated])
            means.append([runner.predictions[fold][0] for runner in runners])
            variances.append([runner.predictions[fold][1] for runner in runners])
        rows = np.concatenate(rows)
        mean, variance = mixture(
            weights, np.concatenate(means, axis=1), np.concatenate(variances, axis=1)
        )
        return conformal_scores(self.targets[rows], mean, variance, self.counts[rows])

    def _train_on_fold(self, runners, fold):
        works = [
            Work(
                self._network(runner.candidate, fold),
                self.memberships[fold],
                runner.stop,
                runner.task.subtask(f"fold {fold}").on(),
            )
            for runner in runners
        ]
        return self._train(works, self.rows[fold])

    def _train(self, works, rows: Rows) -> list[Trained]:
        data = self.X, self.y, self.weight
        outcomes = self.workers.call(train, [(work, *data, rows) for work in works])
        outcomes = [Trained() if trained is None else trained for trained in outcomes]
        for work, trained in zip(works, outcomes, strict=True):  # for those of other processes
            if trained.interrupted:
                self.workers.interruption.set()
            if trained.stops:
                work.stop.set()
        return outcomes

    def _network(self, candidate: Candidate, number) -> TinyMLPRegressor:
        """Give a network to be trained: of a fold, or one of those on all rows, from -1 down."""
        seed, tol = self._seed_of(candidate, number), self.template.get_params()["tol"]
        network = clone(self.template).set_params(**candidate.params, random_state=seed)
        return network.set_params(tol=EARLIER * tol) if number >= 0 else network

    def _may_enter(self, candidate: Candidate) -> bool:
        """Whether a larger network costs seconds at most, and has rows enough."""
        n_rows = max(len(rows.kept) for rows in self.rows)
        enough = self._n_parameters(candidate) <= PARAMETERS_A_ROW * n_rows
        return enough and self._work(candidate) <= MOST_WORK

    def _n_parameters(self, candidate: Candidate) -> int:
        units = (self.X.shape[1], *candidate.hidden_layer_sizes, self.targets.shape[1])
        return Architecture(units).n_parameters

    def _work(self, candidate: Candidate) -> int:
        """Give the multiply-adds of A from all rows, of three inverses, and of their factors."""
        n_rows, n_parameters = (
            max(len(rows.kept) for rows in self.rows),
            self._n_parameters(candidate),
        )
        return n_parameters**2 * (n_rows + 6 * n_parameters)

    def _trained_on(self, kept, fold) -> np.ndarray:
        """Draw the rows that members of a fold are trained on."""
        most = self.ensemble.max_samples
        if len(kept) <= most:
            return kept
        draw = np.random.RandomState((self.seed + fold) % 2**32)
        return np.sort(draw.permutation(kept)[:most])

    def _scouting(self, kept) -> tuple:
        """Give the arguments of `scouted`."""
        network = clone(self.template).set_params(random_state=self.seed)
        data, workers = (self.X, self.y, self.weight), self.workers
        return network, data, kept, workers.interruption, workers.share_memory

    def _seed_of(self, candidate: Candidate, number) -> int:
        name = repr((self.seed, tuple(candidate.hidden_layer_sizes), candidate.activation, number))
        return zlib.crc32(name.encode())

    def _measure_by(self, loss: Loss) -> None:
        """Take a loss, with the scale of what the best constant leaves, for errors of members."""
        constant = constant_of(loss, self.targets, self.counts)
        loss = at_scale(loss, self.targets, constant, self.counts)
        left = loss_left(loss, self.targets, constant, self.counts)
        self.loss, self.left_by_constant = loss, left if left > 0.0 else 1.0

    def _error_of_fold(self, mean, fold) -> float:
        """Give the squared error in variances; of another loss the share of the constant's."""
        rest = self.rows[fold].rest
        targets, counts = self.targets[rest], self.counts[rest]
        if not self.loss.least_squares:
            return loss_left(self.loss, targets, mean, counts) / self.left_by_constant
        squares = (mean - targets) ** 2
        return float(np.mean(np.average(squares, axis=0, weights=counts) / self.variance))

    def _agrees(self, member, runner) -> bool:
        error = runner.error * np.sqrt(self.variance)
        draw = np.random.RandomState(self.seed)
        return agrees(member, runner.members, self.X, error, draw)


def loss_of_all(networks) -> Loss:
    """Give the loss that fitted networks were trained with.

    Raises
    ------
    ValueError
        When they differ.
    """
    losses = [LOSSES[network._loss].remade(network._loss_constants) for network in networks]
    # A scale is found again; the slopes of a quantile's loss are what it is.
    kinds = {(loss.name, loss.parameters[:2] if loss.nonsmooth else ()) for loss in losses}
    if len(kinds) > 1:
        names = ", ".join(sorted(map(str, kinds)))
        raise ValueError(f"The members must have one loss, got those of {names}.")
    return losses[0]


def loss_of(network: TinyMLPRegressor) -> Loss:
    """Give the loss that the parameters of a network ask for."""
    return Settings.read(network.get_params(deep=False)).loss


def calibrated_rows(n_rest) -> np.ndarray:
    """Give the places, among the rows left out, of those whose variance is computed."""
    if n_rest <= CALIBRATED_ROWS:
        return np.arange(n_rest)
    return np.linspace(0, n_rest - 1, CALIBRATED_ROWS).astype(int)


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
