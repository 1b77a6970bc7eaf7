"""`TinyMLPEnsembleRegressor`: networks of several shapes, weighed by rows they have not seen."""

import warnings
import zlib
from numbers import Integral

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ._diagnosis.finding import Diagnosis
from ._engine.architecture import Architecture
from ._fit.settings import layer_sizes
from ._machine.interruption import Interruption
from ._race import band
from ._race.candidates import SHAPES, Candidate
from ._race.folds import splits_of
from ._race.race import Race, Runner
from ._race.refits import agrees
from ._race.stacking import stacked
from ._regressor import TinyMLPRegressor, unchanged_on_error

# Rows left out of each fold whose standard deviations are computed: they cost O(P^2) a row.
CALIBRATED_ROWS = 1000

# A member that missed a fold counts half as much as one that was trained on all rows.
WEIGHT_OF_FOLD_MEMBER = 0.5


# Larger shapes are tried up to this many rows times parameters squared: some five seconds a member.
MOST_WORK = 5_000_000_000


class TinyMLPEnsembleRegressor(RegressorMixin, BaseEstimator):
    """Ensemble of small networks, weighed by rows that they have not seen.

    Networks of several shapes and activations are trained on folds. Those that predict the rows
    left out much worse than others give up on the way; the others are weighed by non-negative
    least squares on the rows left out (stacking), shrunk towards equal weights, and what has weight
    is trained again on all rows. The band is that of the mixture, scaled to hold 95% of the rows
    left out.

    Parameters
    ----------
    estimator : TinyMLPRegressor, default=None
        The template: each member has its parameters, save shape, activation and random state. None
        for ``TinyMLPRegressor()``.

    hidden_layer_sizes : 'auto' or list of shapes, default='auto'
        The shapes that are tried. 'auto' tries (5,), (10,), (20,), (10, 10) and (16, 16), larger
        ones while the largest is the best, and other activations for the two best. A list is
        tried as it is, with the activation of the template.

    cv : int, cross-validation splitter or iterable, default=4
        The folds. With an int equal rows come into one fold, and those of one group.

    n_refits : int, default=2
        Members trained on all rows for each candidate that has weight. With 0 the members are
        those of the folds.

    max_samples : int, default=20000
        Rows that a member in the race is trained on at most. The others of its fold are left out,
        too. Members trained again see all rows.

    n_jobs : int, default=None
        Members trained at a time, in threads. The outcome does not depend on it.

    random_state : int, RandomState instance or None, default=None
        Draws the folds and the random states of members. Pass an int for reproducible results.

    verbose : bool, default=False
        Whether to print a line for each candidate.

    Attributes
    ----------
    estimators_ : list of TinyMLPRegressor
        The members.

    weights_ : ndarray of shape (n_members,)
        Their weights, which sum to 1: `predict` is the weighted mean.

    results_ : dict of ndarray
        One row a candidate: hidden_layer_sizes, activation, n_folds that it came through, error
        (root mean squared error of rows left out, over the standard deviation of y), weight,
        n_refits that were kept, and seconds. ``pandas.DataFrame(net.results_)`` is a table.

    out_of_fold_predictions_ : ndarray of the shape of y
        Of each row by members that have not seen it. NaN for a row that no fold has left out.

    out_of_fold_r2_ : float
        R² of these.

    noise_std_ : float or ndarray of shape (n_outputs,)
        Root mean square of the residuals of rows left out, in the units of y.

    band_scale_ : ndarray of shape (n_outputs,)
        The factor of the standard deviations at which 95% bands hold 95% of the rows left out.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` has string column names.

    See Also
    --------
    TinyMLPRegressor : One network: a tenth of the time, and all exports.

    References
    ----------
    Breiman, L. "Stacked regressions." Machine Learning 24 (1996), 49-64.

    Lakshminarayanan, B., Pritzel, A. and Blundell, C. "Simple and scalable predictive uncertainty
    estimation using deep ensembles." NIPS 30 (2017).

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn_tinymlp import TinyMLPEnsembleRegressor
    >>> X, y = make_friedman1(200, n_features=5, noise=1.0, random_state=0)
    >>> net = TinyMLPEnsembleRegressor(random_state=0).fit(X, y)
    >>> bool(net.out_of_fold_r2_ > 0.9)
    True
    >>> mean, std = net.predict(X[:3], return_std=True)
    >>> std.shape
    (3,)
    """

    _parameter_constraints: dict = {
        "estimator": [TinyMLPRegressor, None],
        "hidden_layer_sizes": [StrOptions({"auto"}), list, tuple],
        "cv": ["cv_object"],
        "n_refits": [Interval(Integral, 0, None, closed="left")],
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        hidden_layer_sizes="auto",
        cv=4,
        n_refits=2,
        max_samples=20_000,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.estimator = estimator
        self.hidden_layer_sizes = hidden_layer_sizes
        self.cv = cv
        self.n_refits = n_refits
        self.max_samples = max_samples
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Find, weigh and train the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample: see `TinyMLPRegressor.fit`. Rows without weight are left out.

        groups : array-like of shape (n_samples,), default=None
            Rows of one group come into one fold: those of one patient, say.

        Returns
        -------
        self : TinyMLPEnsembleRegressor

        Raises
        ------
        ValueError
            When data or parameters are not of the kind asked for, or there are fewer than two
            different rows, or groups. The estimator then stays as it was before the call.
        KeyboardInterrupt
            When Ctrl-C came before any member was trained. Later it ends the race, and what was
            trained is weighed.
        """
        with unchanged_on_error(self):
            return self._fit(X, y, sample_weight, groups)

    def _fit(self, X, y, sample_weight, groups):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            multi_output=True,
            y_numeric=True,
        )
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        n_rows, shape = X.shape[0], y.shape
        targets, seen = y.reshape(n_rows, -1).astype(np.float64), np.flatnonzero(weight)
        random_state = check_random_state(self.random_state)
        splits = splits_of(self.cv, X, targets, groups, random_state, seen)
        if len(seen) < n_rows:
            X, y, targets, weight = X[seen], y[seen], targets[seen], weight[seen]
        weight = None if sample_weight is None else weight
        fitting = _Fitting(self, X, y, targets, weight, splits, random_state)
        interruption = Interruption()
        with interruption.hears_ctrl_c(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "Training interrupted by user", UserWarning)
            runners, all_runners = fitting.race(interruption)
            weights, predictions = fitting.weigh(runners)
            members, member_weights, n_refits = fitting.refit(runners, weights, interruption)
        if interruption.is_set():
            warnings.warn("Training interrupted by user.", stacklevel=4)
        mean, spread = fitting.honest(weights, predictions)
        self.estimators_, self.weights_ = members, member_weights
        self.band_scale_ = fitting.band_scale(runners, weights)
        self.results_ = _table(
            all_runners, dict(zip(map(id, runners), weights, strict=True)), n_refits
        )
        out_of_fold = np.full((n_rows, targets.shape[1]), np.nan)
        out_of_fold[seen] = mean
        self.out_of_fold_predictions_ = out_of_fold.reshape(shape if len(shape) == 2 else n_rows)
        self.noise_std_ = float(spread[0]) if len(spread) == 1 else spread
        self.out_of_fold_r2_ = fitting.r2(mean)
        return self

    def predict(self, X, return_std=False):
        """Predict the targets of X: the weighted mean of the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        return_std : bool, default=False
            Whether to give the standard deviation of each prediction too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.

        y_std : ndarray of the shape of y
            Their standard deviations, noise included; only with `return_std`.
        """
        X = self._checked(X)
        if not return_std:
            parts = zip(self.weights_, self.estimators_, strict=True)
            return sum(weight * member.predict(X) for weight, member in parts)
        means, variances = zip(
            *(_mean_and_variance(member, X, self.noise_std_) for member in self.estimators_),
            strict=True,
        )
        mean, variance = band.mixture(self.weights_, np.array(means), np.array(variances))
        std = self.band_scale_ * np.sqrt(variance)
        return (mean.ravel(), std.ravel()) if mean.shape[1] == 1 else (mean, std)

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from the mixture of the members' distributions, noise included.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.

        n_samples : int, default=1
            Number of draws. Within a draw the values at all X belong to one network.

        random_state : int, RandomState instance or None, default=0
            Draws members, weights and noise.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)
        """
        X = self._checked(X)
        random_state = check_random_state(random_state)
        counts = random_state.multinomial(n_samples, self.weights_)
        draws = [
            member.sample_y(X, int(count), random_state)
            for member, count in zip(self.estimators_, counts, strict=True)
            if count
        ]
        mean = self.predict(X)[..., None]
        scale = self.band_scale_[:, None] if mean.ndim == 3 else self.band_scale_
        draws = mean + scale * (np.concatenate(draws, axis=-1) - mean)
        return draws[..., random_state.permutation(n_samples)]

    def diagnose(self, X, y, sample_weight=None) -> Diagnosis:
        """Say why the member of the greatest weight does not learn, or not well.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data trained on.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        diagnosis : Diagnosis
        """
        X = self._checked(X)
        return self.estimators_[int(np.argmax(self.weights_))].diagnose(X, y, sample_weight)

    def __sklearn_tags__(self):
        """Accept sparse inputs and several outputs."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    def _checked(self, X):
        check_is_fitted(self)
        return validate_data(
            self, X, accept_sparse="csr", dtype=(np.float64, np.float32), reset=False
        )


class _Fitting:
    """The data of a fit of an ensemble, and the steps of it."""

    def __init__(self, ensemble, X, y, targets, weight, splits, random_state):
        self.splits = splits
        self.X, self.y, self.targets, self.weight = X, y, targets, weight
        self.ensemble = ensemble
        self.template = ensemble.estimator
        if self.template is None:
            self.template = TinyMLPRegressor()
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
            for number in range(self.ensemble.n_refits)
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
        _, variance = _mean_and_variance(member, self.X[chosen], error)
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
        """Whether the curvature of a larger network costs seconds at most."""
        units = (self.X.shape[1], *candidate.hidden_layer_sizes, self.targets.shape[1])
        n_rows = max(len(rows) for rows in self.rows)
        return n_rows * Architecture(units).n_parameters ** 2 <= MOST_WORK

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


def _mean_and_variance(member, X, error) -> tuple[np.ndarray, np.ndarray]:
    """Give both of shape (n_samples, n_outputs); without a band the variance is that of errors."""
    if member._posterior is None:
        mean = member.predict(X).reshape(X.shape[0], -1)
        return mean, np.broadcast_to(np.square(error), mean.shape)
    mean, std = member.predict(X, return_std=True)
    n_rows = X.shape[0]
    return mean.reshape(n_rows, -1).astype(np.float64), std.reshape(n_rows, -1) ** 2


def _table(runners, weights, n_refits) -> dict[str, np.ndarray]:
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
