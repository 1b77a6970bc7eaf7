"""`TinyMLPEnsembleRegressor`: networks of several kinds, weighted by out-of-fold error."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._repr_html.estimator import _VisualBlock
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted

from ._base import BaseTinyMLP, unchanged_on_error
from ._bayes.conformal import NORMAL, ConformalScores
from ._data.validation import validate_inputs, validate_training_data
from ._diagnosis.finding import Diagnosis, renamed
from ._displays import html
from ._export import persistence
from ._losses.table import LOSSES
from ._regressor import TinyMLPRegressor
from ._selection.ensemble_fit import EnsembleFit
from ._selection.folds import splits_of
from ._selection.members import checked_members, mean_and_variance
from ._selection.stacking import mixture
from ._selection.tasks import Task
from ._selection.workers import Workers
from ._training.callbacks import CallbackSupportMixin, managed
from ._training.posterior import has_interval, why_none
from ._training.progress import LongFit


class TinyMLPEnsembleRegressor(BaseTinyMLP, CallbackSupportMixin, RegressorMixin, BaseEstimator):
    """Ensemble of small networks, weighted by their out-of-fold predictions.

    Networks that differ in their inputs, penalties and layers are trained on folds. They are
    weighted so that the out-of-fold loss is least (stacking), with weights shrunk towards equal
    ones, and networks of each kind with nonzero weight are trained on all rows. The predictive
    distribution is a mixture, scaled so that 95% intervals contain 95% of the out-of-fold targets.

    Parameters
    ----------
    estimator : TinyMLPRegressor, default=None
        Template of the members: all parameters but the random state. None for
        ``TinyMLPRegressor()``. Candidates differ in `inputs`, `alpha` and `hidden_layer_sizes`, as
        far as these have their defaults in the template.

    hidden_layer_sizes : 'auto' or list of shapes, default='auto'
        'auto' tries three candidates: raw inputs with ``alpha="auto"`` and shape (16, 16), and with
        ``alpha="layer"`` and (20,), and ramps with ``alpha="one"`` and (16, 16). Where the data
        determine nearly all weights of the best, it is tried with (32, 32), too. With a list the
        candidates differ in nothing but the shape.

    cv : int, cross-validation splitter, iterable or None, default=4
        The folds. With an int, equal rows and rows of one group are in one fold. None means 5.

    n_refits : int, default=2
        Number of members trained on all rows for each shape, or for each of the three candidates of
        'auto', on average: none for a candidate of weight 0, one at least for each other, and more
        the greater its weight. With 0 the ensemble consists of the members of the folds.

    max_samples : int, default=20000
        Maximum number of training rows of a member of a fold; the other rows of its training set
        are not used. Refits use all rows.

    max_time : float, default=None
        Seconds after which no further member is started; those in training are finished. A
        candidate with no time left for members on all rows keeps its members of folds. None for no
        limit.

    n_jobs : int, default=None
        Number of members trained at the same time, in threads that share X, or with the backend of
        `joblib.parallel_config`. The result depends on neither, unless `max_time` is reached.

    random_state : int, RandomState instance or None, default=None
        Draws the folds and the random states of members. Pass an int for reproducible results.

    verbose : bool, default=False
        Whether to print a line for each candidate.

    Attributes
    ----------
    estimators_ : list of TinyMLPRegressor
        The members.

    weights_ : ndarray of shape (n_members,)
        Weights of the members, which sum to 1: `predict` is the weighted mean.

    results_ : dict of ndarray
        One row for each candidate: hidden_layer_sizes, activation, inputs, alpha, n_folds (trained
        on), error (out-of-fold root mean squared error over the standard deviation of y), weight,
        n_refits and seconds (of the folds). ``pandas.DataFrame(net.results_)`` is a table.

    out_of_fold_predictions_ : ndarray of the shape of y
        Prediction for each row by members not trained on it. NaN for rows in no test set.

    out_of_fold_r2_ : float
        R² of the out-of-fold predictions.

    noise_std_ : float, ndarray of shape (n_outputs,) or callable
        Root mean square of the out-of-fold residuals, in the units of y. If the template has
        ``noise='varying'``, a function of X, as in `TinyMLPRegressor`.

    band_scale_ : ndarray of shape (n_outputs,)
        Factor of the standard deviations at which 95% intervals contain 95% of out-of-fold targets.

    feature_importances_ : ndarray of shape (`n_features_in_`,)
        Importance of each input: the weighted mean of the members' `feature_importances_`.

    n_parameters_ : int
        Number of weights of all members.

    n_outputs_ : int
        Number of outputs.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` has string column names.

    See Also
    --------
    TinyMLPRegressor : One network, in about a tenth of the time.
    CandidatesDisplay : Plot of `results_`.

    Notes
    -----
    With scikit-learn 1.9 or later `set_callbacks` accepts its callbacks and the user's own. The
    tasks are fit > folds > fold of a candidate, and fit > refits > member; after each a callback
    may skip its later siblings, and the members trained so far are weighted.

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

    __metadata_request__fit = {"groups": True}  # as TinyMLPRegressor

    _parameter_constraints: dict = {
        "estimator": [TinyMLPRegressor, None],
        "hidden_layer_sizes": [StrOptions({"auto"}), list, tuple],
        "cv": ["cv_object"],
        "n_refits": [Interval(Integral, 0, None, closed="left")],
        "max_samples": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [Integral, None],
        "max_time": [None, Interval(Real, 0, None, closed="neither")],
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
        max_time=None,
        n_jobs=None,
        random_state=None,
        verbose=False,
    ):
        self.estimator = estimator
        self.hidden_layer_sizes = hidden_layer_sizes
        self.cv = cv
        self.n_refits = n_refits
        self.max_samples = max_samples
        self.max_time = max_time
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, *, groups=None):
        """Select, train and weight the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample: see `TinyMLPRegressor.fit`. Rows of zero weight are not used.

        groups : array-like of shape (n_samples,), default=None
            Groups whose rows are kept in one fold: all rows of one patient, for example. See
            `TinyMLPRegressor.fit`.

        Returns
        -------
        self : TinyMLPEnsembleRegressor

        Raises
        ------
        ValueError
            When data or parameters are invalid, when there are fewer than two different rows, or
            groups, or when no candidate has finite weights. The estimator is then unchanged.
        KeyboardInterrupt
            On Ctrl-C before any member is trained. Later it ends training with a warning, and the
            members trained so far are weighted.
        """
        with unchanged_on_error(self), managed(self):
            data = X, y, sample_weight
            X, y, weight, weighted = self._validated(*data)
            if groups is not None:
                check_consistent_length(X, groups)
            random_state = check_random_state(self.random_state)
            progress = LongFit(self, silent=bool(self.verbose))
            progress.stage = "training networks of several kinds"
            interruption = progress.watched()
            template = TinyMLPRegressor() if self.estimator is None else self.estimator
            used = X, y, weight, None if groups is None else column_or_1d(groups)
            if len(weighted) < len(y):
                used = (None if part is None else part[weighted] for part in used)
            repeats = template._repeats(*used)
            if groups is None and repeats is not None:
                groups = np.zeros(len(y), dtype=int)
                groups[weighted] = repeats.groups
            splits = splits_of(self.cv, X, y, groups, random_state, weighted)
            fitting = EnsembleFit(
                self,
                X,
                y,
                weight,
                weighted,
                splits=splits,
                random_state=random_state,
                repeats=repeats,
            )
            del X, y, weight, splits  # `fitting` has the rows of nonzero weight
            task = Task.of_fit(self, interruption, *data).begin()
            with interruption.catches_sigint(), Workers(self.n_jobs, interruption) as workers:
                attributes = fitting.train(workers, task)
            if interruption.is_set():
                warnings.warn("Training interrupted by user.", stacklevel=3)
            self.__dict__ = vars(self) | attributes  # in one step: another thread may be predicting
            task.end(reconstruction_attributes={})
            return self

    @classmethod
    def from_members(cls, estimators, X, y, sample_weight=None):
        """Make an ensemble of fitted networks, weighted on rows that are new to them.

        The members may be trained on parts of data that do not fit in memory together, for example
        (docs: When one machine is too small). No network is trained. The weights, the scale of the
        intervals and all errors are computed on the given rows, and are unbiased only if no member
        was trained on these rows.

        Parameters
        ----------
        estimators : list of TinyMLPRegressor
            The fitted members. They are not changed.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs on which no member was trained.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets of these inputs.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        ensemble : TinyMLPEnsembleRegressor
            Fitted, with default parameters. `results_` has a row for each given member, in order;
            `estimators_` are those with nonzero weight.

        Raises
        ------
        ValueError
            When there are no members, or one is not fitted or was fitted to other data.

        Examples
        --------
        >>> from sklearn.datasets import make_friedman1
        >>> from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
        >>> X, y = make_friedman1(300, n_features=5, noise=1.0, random_state=0)
        >>> parts = [slice(0, 100), slice(100, 200)]
        >>> members = [TinyMLPRegressor(random_state=0).fit(X[part], y[part]) for part in parts]
        >>> net = TinyMLPEnsembleRegressor.from_members(members, X[200:], y[200:])
        >>> bool(net.score(X[200:], y[200:]) > 0.8)
        True
        """
        ensemble = cls()
        members = checked_members(estimators, X)
        X, y, weight, weighted = ensemble._validated(X, y, sample_weight)
        splits = [(weighted[:0], np.arange(len(weighted)))]
        random_state = np.random.RandomState(0)
        fitting = EnsembleFit(
            ensemble, X, y, weight, weighted, splits=splits, random_state=random_state
        )
        vars(ensemble).update(fitting.weigh(members))
        return ensemble

    def predict(self, X, return_std=False):
        """Predict the targets of X: the weighted mean of the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        return_std : bool, default=False
            Whether to return the standard deviation of each prediction, too.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions: float32 when both X and the members are, else float64.

        y_std : ndarray of the shape of y
            Their standard deviations, noise included; only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when predictions do not estimate the centre of y, as for quantiles.
        """
        net, X = self._checked(X)
        if not return_std:
            return sum(weight * member.predict(X) for weight, member in net._members())
        if not has_interval(LOSSES[net.estimators_[0]._loss]):
            why = why_none(net.estimators_[0])
            raise ValueError(f"A standard deviation needs the evidence: {why}")
        pairs = [mean_and_variance(member, X, net.noise_std_) for member in net.estimators_]
        mean, variance = mixture(net.weights_, *map(np.array, zip(*pairs, strict=True)))
        both_single = X.dtype == net.estimators_[0].coefs_[0].dtype == np.float32
        mean = mean.astype(np.float32) if both_single else mean
        std = net.band_scale_ * np.sqrt(variance)
        return (mean.ravel(), std.ravel()) if mean.shape[1] == 1 else (mean, std)

    def predict_gradient(self, X):
        """Differentiate predictions with respect to inputs: the weighted mean over the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_features) or (n_samples, n_features, n_outputs)
            In units of y per unit of X.
        """
        net, X = self._checked(X)
        return sum(weight * member.predict_gradient(X) for weight, member in net._members())

    @property
    def feature_importances_(self):
        """Importance of each input, see the class."""
        check_is_fitted(self)
        of_members = [member.feature_importances_ for member in self.estimators_]
        return np.average(of_members, axis=0, weights=self.weights_)

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from the mixture of the members' distributions, noise included.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.

        n_samples : int, default=1
            Number of draws. Each is the function of one network at all X, plus noise.

        random_state : int, RandomState instance or None, default=0
            Draws members, weights and noise.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)

        Raises
        ------
        ValueError
            When the members were not fitted by maximising the evidence.
        """
        net, X = self._checked(X)
        random_state = check_random_state(random_state)
        counts = random_state.multinomial(n_samples, net.weights_)
        draws = [
            member.sample_y(X, int(count), random_state)
            for member, count in zip(net.estimators_, counts, strict=True)
            if count
        ]
        mean = net.predict(X).astype(np.float64)[..., None]
        scale = net.band_scale_[:, None] if mean.ndim == 3 else net.band_scale_
        draws = mean + scale * (np.concatenate(draws, axis=-1) - mean)
        return draws[..., random_state.permutation(n_samples)]

    def diagnose(self, X, y=None, sample_weight=None) -> Diagnosis:
        """Find why the member with the greatest weight learns poorly or not at all.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data or, without y, new rows, to find those outside the range of the training
            data.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        diagnosis : Diagnosis
        """
        net, X = self._checked(X)
        found = net._heaviest().diagnose(X, y, sample_weight)
        return renamed(found, self._parameters_of_all)

    def _parameters_of_all(self, parameters) -> dict:
        """Return the parameters of the ensemble that set these parameters of its members."""
        of_template = {k: v for k, v in parameters.items() if k != "hidden_layer_sizes"}
        own = {}
        if len(of_template) < len(parameters):
            own["hidden_layer_sizes"] = [parameters["hidden_layer_sizes"]]
        if self.estimator is not None:
            return own | {f"estimator__{name}": value for name, value in of_template.items()}
        return own | ({"estimator": TinyMLPRegressor(**of_template)} if of_template else {})

    @property
    def n_parameters_(self):
        """Number of weights of all members."""
        return sum(member.n_parameters_ for member in self.estimators_)

    @property
    def n_outputs_(self):
        """Number of outputs."""
        return self.estimators_[0].n_outputs_

    def _members(self):
        """Return weight and network of each member, for predictions and exports."""
        return list(zip(self.weights_.tolist(), self.estimators_, strict=True))

    def _conformal_scores(self) -> ConformalScores:
        return vars(self).get("_tails", NORMAL)

    def _sk_visual_block_(self):
        # Like an estimator without sub-estimators: within a fitted search scikit-learn shows only
        # the template of an estimator that contains one.
        name = type(self).__name__
        return _VisualBlock("single", self, names=name, name_details=str(self))

    def _trained_html(self) -> str:
        """Return the HTML block of a notebook; empty before a fit."""
        return html.trained_ensemble(self) if hasattr(self, "estimators_") else ""

    def _heaviest(self) -> TinyMLPRegressor:
        return self.estimators_[int(np.argmax(self.weights_))]

    def __getstate__(self):
        """Return the attributes and the version of their layout, for pickle and skops."""
        return persistence.plain_ensemble(super().__getstate__())

    def __setstate__(self, state):
        """Set the attributes from `__getstate__`."""
        super().__setstate__(persistence.restored_ensemble(state))

    def _averages(self, X, size) -> tuple[np.ndarray, np.ndarray]:
        """Return means of predictions over `size` rows each, (n_samples / size, n_outputs).

        Also return their standard deviations, without noise.
        """
        net, X = self._checked(X)
        parts = [member._averages(X, size) for member in net.estimators_]
        means = np.array([mean for mean, _ in parts])
        variances = [0.0 * mean if std is None else std**2 for mean, std in parts]
        mean, variance = mixture(net.weights_, means, np.array(variances))
        return mean, net.band_scale_ * np.sqrt(variance)

    def _checked(self, X):
        """Return a snapshot of the ensemble, and X validated for it."""
        net = self._snapshot()
        check_is_fitted(net)
        return net, validate_inputs(net, X)

    def _validated(self, X, y, sample_weight):
        """Return X, y, the weights or None, and the indices of rows with nonzero weight."""
        X, y = validate_training_data(self, X, y, reset=True)
        if sample_weight is None:
            return X, y, None, np.arange(len(y))
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight must not sum to zero, got zeros only.")
        return X, y, weight, np.flatnonzero(weight)
