"""`TinyMLPEnsembleRegressor`: networks of several shapes, weighed by rows they have not seen."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
)

from ._base import BaseTinyMLP, unchanged_on_error
from ._data.validation import validate_inputs, validate_training_data
from ._diagnosis.finding import Diagnosis, renamed
from ._displays import html
from ._displays.diagram import diagram_of
from ._export import persistence
from ._losses.table import LOSSES
from ._machine.interruption import Interruption
from ._regressor import TinyMLPRegressor
from ._selection.ensemble_fit import EnsembleFit
from ._selection.folds import splits_of
from ._selection.members import checked_members, mean_and_variance
from ._selection.stacking import mixture
from ._selection.tasks import Task
from ._selection.workers import Workers
from ._training.callbacks import CallbackSupportMixin, managed
from ._training.posterior import has_interval, why_none


class TinyMLPEnsembleRegressor(BaseTinyMLP, CallbackSupportMixin, RegressorMixin, BaseEstimator):
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

    cv : int, cross-validation splitter, iterable or None, default=4
        The folds. With an int equal rows come into one fold, and those of one group. None is 5.

    n_refits : int, default=2
        Members trained on all rows for each candidate that has weight; one of those that take
        longer than a second or two. With 0 the members are those of the folds.

    max_samples : int, default=20000
        Rows that a member in the race is trained on at most. The others of its fold are left out,
        too. Members trained again see all rows.

    n_jobs : int, default=None
        Members trained at a time: in threads, which share X, unless `joblib.parallel_config` names
        another backend. The outcome depends on neither.

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

    feature_importances_ : ndarray of shape (`n_features_in_`,)
        How much each input matters: the weighted mean of the members' `feature_importances_`.

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
    TinyMLPRegressor : One network, in a tenth of the time.
    CandidatesDisplay : Draws `results_`.

    Notes
    -----
    With scikit-learn 1.9 or later `set_callbacks` takes its callbacks and the user's own. The tasks
    are fit > race > candidate > fold and fit > refits > member; after each a callback may leave
    out its later siblings, and what has been trained is weighed.

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
            different rows, or groups, or none of the candidates has finite weights. The estimator
            then stays as it was before the call.
        KeyboardInterrupt
            When Ctrl-C came before any member was trained. Later it ends training with a
            warning, and the members done are weighed.
        """
        with unchanged_on_error(self), managed(self):
            data = X, y, sample_weight
            X, y, weight, weighted = self._validated(*data)
            if groups is not None:
                check_consistent_length(X, groups)
            random_state = check_random_state(self.random_state)
            splits = splits_of(self.cv, X, y, groups, random_state, weighted)
            shape = y.shape
            if len(weighted) < len(y):
                X, y, weight = X[weighted], y[weighted], weight[weighted]
            fitting = EnsembleFit(self, X, y, weight, splits, random_state)
            del splits  # as large as y
            interruption = Interruption()
            task = Task.of_fit(self, interruption, *data).begin()
            with (
                interruption.catches_sigint(),
                warnings.catch_warnings(),
                Workers(self.n_jobs, interruption) as workers,
            ):
                warnings.simplefilter("ignore", ConvergenceWarning)
                warnings.filterwarnings("ignore", "Training interrupted by user", UserWarning)
                attributes = fitting.train(workers, task)
            if interruption.is_set():
                warnings.warn("Training interrupted by user.", stacklevel=3)
            self._set_fitted(attributes, weighted, shape)
            task.end(reconstruction_attributes={})
            return self

    @classmethod
    def from_members(cls, estimators, X, y, sample_weight=None):
        """Make an ensemble of networks that are fitted already, weighed by rows new to them.

        The members may come from anywhere: from parts of data that do not fit in memory together,
        say (docs: When one machine is too small). No network is trained. The weights, the scale of
        the band and all records come from the rows given here, as if they had been left out of a
        fold: they are only as honest as these rows are new to all members.

        Parameters
        ----------
        estimators : list of TinyMLPRegressor
            The fitted members. They are not changed.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs that no member was trained on.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Their targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        ensemble : TinyMLPEnsembleRegressor
            Fitted, with default parameters. `results_` has a row for each member given, in their
            order; `estimators_` are those that have weight.

        Raises
        ------
        ValueError
            When there are no members, or one is not a fitted network for such data.

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
        shape = y.shape
        if len(weighted) < len(y):
            X, y, weight = X[weighted], y[weighted], weight[weighted]
        splits = [(weighted[:0], np.arange(len(weighted)))]
        fitting = EnsembleFit(ensemble, X, y, weight, splits, np.random.RandomState(0))
        ensemble._set_fitted(fitting.weigh(members), weighted, shape)
        return ensemble

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
            Predictions: float32 when both X and the members are, else float64.

        y_std : ndarray of the shape of y
            Their standard deviations, noise included; only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when predictions are not the middle of y: quantiles, say.
        """
        net, X = self._checked(X)
        if not return_std:
            return sum(weight * member.predict(X) for weight, member in net._members())
        if not has_interval(LOSSES[net.estimators_[0]._loss]):
            why = why_none(net.estimators_[0])
            raise ValueError(f"A standard deviation needs the evidence: {why}")
        means, variances = zip(
            *(mean_and_variance(member, X, net.noise_std_) for member in net.estimators_),
            strict=True,
        )
        mean, variance = mixture(net.weights_, np.array(means), np.array(variances))
        both_single = X.dtype == net.estimators_[0].coefs_[0].dtype == np.float32
        mean = mean.astype(np.float32) if both_single else mean
        std = net.band_scale_ * np.sqrt(variance)
        return (mean.ravel(), std.ravel()) if mean.shape[1] == 1 else (mean, std)

    def predict_gradient(self, X):
        """Differentiate the predictions by the inputs: the weighted mean over the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_features) or (n_samples, n_features, n_outputs)
            In the units of y over those of X.
        """
        net, X = self._checked(X)
        return sum(weight * member.predict_gradient(X) for weight, member in net._members())

    @property
    def feature_importances_(self):
        """How much each input matters, see the class."""
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
            Number of draws. Within a draw the values at all X belong to one network.

        random_state : int, RandomState instance or None, default=0
            Draws members, weights and noise.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)

        Raises
        ------
        ValueError
            When the template was not fitted by the evidence, so that members have no distribution.
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
        """Say why the member of the greatest weight does not learn, or not well.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The data trained on; without y new ones, of which those outside it are told.

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
        """Give the ensemble's own parameters that change those of its members."""
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
        """Give weight and network of each member, for predictions and exports."""
        return list(zip(self.weights_.tolist(), self.estimators_, strict=True))

    def _half_width(self, coverage):
        return self._tails.half_width(coverage)

    def _sk_visual_block_(self):
        return html.single_block(self)

    def _trained_html(self) -> str:
        """Give the block of a notebook; nothing before a fit."""
        if not hasattr(self, "estimators_"):
            return ""
        names = getattr(self, "feature_names_in_", None)
        diagram = diagram_of(self._heaviest(), feature_names=names)
        return html.trained_ensemble(self, diagram)

    def _heaviest(self) -> TinyMLPRegressor:
        return self.estimators_[int(np.argmax(self.weights_))]

    def __getstate__(self):
        """Give the attributes, and the number of their layout, for pickle and skops."""
        return persistence.plain_ensemble(super().__getstate__())

    def __setstate__(self, state):
        """Take what `__getstate__` gave."""
        super().__setstate__(persistence.restored_ensemble(state))

    def _averages(self, X, size) -> tuple[np.ndarray, np.ndarray]:
        """Average predictions over `size` rows each; give the means' standard deviations, too.

        Both have the shape (n_samples / size, n_outputs); noise is not part of them.
        """
        net, X = self._checked(X)
        parts = [member._averages(X, size) for member in net.estimators_]
        means = np.array([mean for mean, _ in parts])
        variances = [0.0 * mean if std is None else std**2 for mean, std in parts]
        mean, variance = mixture(net.weights_, means, np.array(variances))
        return mean, net.band_scale_ * np.sqrt(variance)

    def _checked(self, X):
        """Give the ensemble as it is at this moment, and X validated for it."""
        net = self._snapshot()
        check_is_fitted(net)
        return net, validate_inputs(net, X)

    def _validated(self, X, y, sample_weight):
        """Return X, y, the weights or None, and the numbers of the rows with weight."""
        X, y = validate_training_data(self, X, y, reset=True)
        if sample_weight is None:
            return X, y, None, np.arange(len(y))
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight must not sum to zero, got zeros only.")
        return X, y, weight, np.flatnonzero(weight)

    def _set_fitted(self, attributes, weighted, shape):
        """Set the fitted attributes in one step: another thread may be predicting."""
        out_of_fold = np.full(shape, np.nan)
        of_weighted = attributes["out_of_fold_predictions_"]
        out_of_fold[weighted] = of_weighted.reshape(out_of_fold[weighted].shape)
        self.__dict__ = vars(self) | attributes | {"out_of_fold_predictions_": out_of_fold}
