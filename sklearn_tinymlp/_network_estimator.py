"""`NetworkEstimator`: `fit` and `partial_fit` in named steps, for any kind of target.

A subclass adds `__init__` with the parameters, and scikit-learn's mixin for its kind. The
assumptions of the steps about the targets are listed in docs/extending.md.
"""

from functools import cache

from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.metaestimators import available_if

from ._base import ExplainsUnavailable, unchanged_on_error
from ._data.data import Data
from ._data.input_layer import InputLayer
from ._diagnosis.convergence_warning import check_before_training, warn
from ._fitted_network import FittedNetwork
from ._solvers.table import SOLVERS
from ._training.calibration import BeforeSelection
from ._training.callbacks import CallbackSupportMixin, FitTasks, managed
from ._training.ensemble_context import SINGLE_FIT
from ._training.fit_result import FitResult
from ._training.importances import SeenRows
from ._training.input_selection import relevance_report, revised
from ._training.plan import Plan, input_layer
from ._training.progress import LongFit, print_end
from ._training.repeated_inputs import Repeats, find_repeats
from ._training.settings import Settings, validate
from ._training.starts import NO_USER_START, UserStart, WarmStart, draw, random_state_of
from ._training.train import train

COLUMN_ATTRIBUTES = "n_features_in_", "feature_names_in_"


def rate_advice(*arguments) -> str:
    """Return what to try after weights that are not finite; its import takes 8 ms."""
    from ._diagnosis import rates

    return rates.rate_advice(*arguments)


def _columns_of(learner, data: Data, warm_start: WarmStart | None) -> dict:
    """Return the attributes that describe the columns of X."""
    known = vars(learner)
    columns = {name: known[name] for name in COLUMN_ATTRIBUTES if name in known}
    return {**columns, "_input_range": data.input_range(warm_start)}


class NetworkEstimator(FittedNetwork, CallbackSupportMixin, BaseEstimator):
    """An estimator that trains a network."""

    # As in scikit-learn's splitters: what `GroupKFold` requests is not refused here.
    __metadata_request__fit = {"groups": True}

    @classmethod
    @cache
    def _get_param_names(cls):
        """Read the signature once for each class, not in each `fit`, which takes 0.1 ms."""
        return super()._get_param_names()

    def _validate_params(self):
        """Check types and ranges of the parameters, unless the same values were valid before."""
        validate(type(self), self.get_params(deep=False))

    # ------------------------------------------------------------------ what the user calls

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        coefs_init=None,
        intercepts_init=None,
    ):
        """Train the network on X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs. float32 stays float32; a sparse matrix is converted to CSR, never densified.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample. Whole numbers are counts of a row. Of other weights only the
            ratios matter to the solver 'auto' and to 'lm' with ``alpha="auto"``, and the number of
            observations is the number of rows with nonzero weight. The other solvers use weights
            unscaled, as MLPRegressor does.

        groups : array-like of shape (n_samples,), default=None
            Group of each row, for example the patient or the specimen that it was measured on. Rows
            of one group are held out together, and with the evidence of squared errors count as
            fewer observations where their noise is correlated (docs: Repeated measurements). With
            None rows that share X are groups where their noise is found to be correlated.

        X_val, y_val, sample_weight_val : array-likes, default=None
            A validation set. Its loss and R² are kept in `history_`; with `early_stopping` it
            replaces the held-out fraction.

        coefs_init : list of array-like of shape (units before, units after), default=None
            Start weights of each layer, instead of drawn ones.

        intercepts_init : list of array-like of shape (units after,), default=None
            Start intercepts of each layer, instead of drawn ones.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            When data or parameters are invalid or contradict each other, when the derivative of an
            `Activation` is not the derivative of its value, and when training ended in weights that
            are not finite. The estimator is then unchanged.

        Warns
        -----
        ConvergenceWarning
            Before training, when no weights can reach the targets: they lie outside the range of
            the output activation, or need an intercept that ``bias=False`` forbids. After training,
            when it did not converge: the message contains the reason, the loss reached, and the
            first finding of `diagnose`.
        """
        with unchanged_on_error(self), managed(self):
            validation = (X_val, y_val, sample_weight_val)
            user_start = UserStart(coefs_init, intercepts_init)
            return self._fit_all(
                X, y, sample_weight, groups=groups, validation=validation, user_start=user_start
            )

    def _check_solver(self):
        if not getattr(SOLVERS.get(self.solver), "stochastic", False):
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"solver={self.solver!r} is not stochastic. Set solver='adam' or solver='sgd'."
            )
        return True

    @ExplainsUnavailable
    @available_if(lambda est: est._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None):
        """Do one epoch over the given data, with the solvers 'sgd' and 'adam'.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            As in `fit`, and with ``early_stopping=True``.
        """
        self._validate_params()  # scikit-learn's decorator skips it once fitted
        if self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        with unchanged_on_error(self), managed(self):
            return self._fit_all(X, y, sample_weight, incremental=True)

    def _repeats(self, X, y, sample_weight, groups) -> Repeats | None:
        """Return the groups of correlated rows, for several fits on parts of the rows."""
        settings = Settings.read(self.get_params(deep=False))
        data = Data.of(self._snapshot(), settings.loss, X, y, sample_weight, groups=groups)
        data = data.with_counts() if settings.weights_are_relative else data
        layer = InputLayer.of(settings.params["inputs"], data.X, data.sample_weight)
        data = data.encoded(layer)
        plan = Plan.of(settings, data, None, layer)
        return find_repeats(plan, data.scaled(plan.scaling))

    def _fit_all(self, X, y, sample_weight, **options):
        """Fit all networks of the estimator, here one; `_fit` describes the options."""
        return self._fit(X, y, sample_weight, **options)

    def _fit(
        self,
        X,
        y,
        sample_weight,
        *,
        groups=None,
        validation=(None, None, None),
        user_start=NO_USER_START,
        incremental=False,
        context=SINGLE_FIT,
        noise=None,
    ):
        """Fit one network, in named steps: each value is computed once and handed down.

        `validation` contains X, y and weights of the validation set, `incremental` is True for
        `partial_fit`, and `noise` is a VaryingNoise or None.
        """
        learner = self._snapshot()  # a copy, changed first; this estimator is changed last
        settings = Settings.read(self.get_params(deep=False), incremental)
        warm_start = WarmStart.of(self) if incremental or settings.params["warm_start"] else None
        user_start.refuse_contradictions(settings.n_init, warm_start)
        arrays, given = (X, y, sample_weight), {"groups": groups, "validation": validation}
        data = Data.of(learner, settings.loss, *arrays, **given, reset=warm_start is None)
        data = data.with_counts() if settings.weights_are_relative else data
        layer = input_layer(settings, data, warm_start)
        encoded = data.encoded(layer)
        plan = Plan.of(settings, encoded, warm_start, layer)
        columns = _columns_of(learner, data, warm_start)
        scaled = encoded.scaled(plan.scaling)
        random_state = random_state_of(self.random_state)
        progress = LongFit(self, silent=settings.verbose or context.is_ensemble)
        interruption = progress.watched(context.interruption)
        repeats = context.repeats_in(plan, scaled)
        scaled = scaled if repeats is None else repeats.weigh(scaled)
        before = BeforeSelection(plan, scaled)
        if not user_start.names:
            report = relevance_report(plan, scaled, random_state, interruption)
            plan = revised(plan, report, random_state)
        scaled = scaled.on_inputs(plan.inputs)
        scaled = scaled if noise is None else scaled.with_noise(noise.predict(data.X))
        starts = draw(plan, user_start, random_state)
        defaults, warns = self._defaults(), context.warns
        warned = check_before_training(plan, encoded, scaled, starts, defaults, warns)
        tasks = FitTasks.begin(self, arrays, plan, len(starts), columns)
        trained = train(plan, scaled, starts, tasks, interruption, progress.training())
        progress.stage = "comparing it with kernel ridge regression, and calibrating intervals"
        fitted = plan, scaled, starts, trained, columns
        result = FitResult.of(
            *fitted,
            seen=SeenRows.of(data, warm_start.seen if warm_start and incremental else None),
            interruption=interruption,
            before=before,
            calibrates=not context.is_ensemble,
            noise=noise,
            correlation=0.0 if repeats is None else repeats.correlation,
            advice=rate_advice,
        )
        print_end(result, trained.solutions)
        if context.warns or (result.interrupted and not context.is_ensemble):
            warn(result, data, defaults, warned)
        result.write_to(self)
        if tasks is not None:
            tasks.end()
        return self
