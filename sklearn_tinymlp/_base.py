"""`BaseTinyMLP`: tags, notebook block, intervals and snapshots of both estimators."""

from contextlib import contextmanager
from functools import cache
from numbers import Real

import numpy as np
from sklearn.utils import check_array, check_consistent_length, check_scalar
from sklearn.utils.validation import _check_feature_names


class BaseTinyMLP:
    """Base class of both estimators."""

    _doc_link_module = "sklearn_tinymlp"
    _doc_link_template = (
        "https://sklearn-tinymlp.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    def __sklearn_tags__(self):
        """Accept sparse inputs and several outputs."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags

    def predict_interval(self, X, coverage=0.95):
        """Compute a prediction interval for the target of each row of X.

        It is the prediction plus and minus a multiple of its standard deviation, which is
        calibrated on out-of-fold or leave-one-out residuals: 1.96 for 95%, and for 99% more than
        2.58 where the residuals have heavier tails than a normal distribution (split conformal
        prediction, Lei et al., JASA 113, 2018).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        coverage : float or sequence of float, default=0.95
            The share of new targets that the intervals should contain, between 0 and 1.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            Lower and upper ends, in the units of y. For a sequence of coverages the shape is
            (n_samples, n_coverages, 2) or (n_samples, n_coverages, 2, n_outputs).

        Raises
        ------
        TypeError
            When `coverage` is not a number.
        ValueError
            When `coverage` is not between 0 and 1, or the network was not fitted by the evidence.
        """
        several = np.ndim(coverage) > 0
        if not several:
            check_scalar(
                coverage, "coverage", Real, min_val=0, max_val=1, include_boundaries="neither"
            )
        coverages = _checked_probabilities("coverage", coverage if several else [coverage])
        net = self._snapshot()
        mean, std = net.predict(X, return_std=True)
        scores = net._conformal_scores()
        half = np.stack([scores.half_width(share) * std for share in coverages], axis=1)
        interval = np.stack([mean[:, None] - half, mean[:, None] + half], axis=2)
        return interval if several else interval[:, 0]

    def predict_quantiles(self, X, quantiles):
        """Compute quantiles of the target of each row of X.

        They are the ends of `predict_interval`: 0.025 and 0.975 are those of a coverage of 95%.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        quantiles : sequence of float
            Probabilities between 0 and 1.

        Returns
        -------
        y_quantiles : ndarray of shape (n_samples, n_quantiles) or \
                (n_samples, n_outputs, n_quantiles)
            In the units of y.

        Raises
        ------
        ValueError
            When a quantile is not between 0 and 1, or the network was not fitted by the evidence.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn_tinymlp import TinyMLPRegressor
        >>> X, y = load_diabetes(return_X_y=True)
        >>> net = TinyMLPRegressor(random_state=0).fit(X, y)
        >>> net.predict_quantiles(X[:3], [0.05, 0.5, 0.95]).shape
        (3, 3)
        """
        quantiles = _checked_probabilities("quantiles", quantiles)
        net = self._snapshot()
        mean, std = net.predict(X, return_std=True)
        scores, centred = net._conformal_scores(), 2.0 * quantiles - 1.0
        half = np.stack([np.sign(c) * scores.half_width(abs(c)) for c in centred], axis=-1)
        return mean[..., None] + half * std[..., None]

    def log_density(self, X, y):
        """Compute the logarithm of the predictive density at each target.

        The density is that of Student's t with the 95% interval of `predict_interval`. Its degrees
        of freedom maximise the likelihood of the leave-one-out or out-of-fold residuals that the
        interval is calibrated on.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats, of y in its own units: with y multiplied by c it is smaller by log(c). The sum
            over the outputs, which are independent given X.

        Raises
        ------
        ValueError
            When X and y do not match, or the network was not fitted by the evidence.

        Examples
        --------
        Compare parameters by the density of new targets:

        >>> from sklearn.datasets import load_diabetes
        >>> from sklearn.model_selection import GridSearchCV
        >>> from sklearn_tinymlp import TinyMLPRegressor
        >>> def mean_log_density(net, X, y):
        ...     return net.log_density(X, y).mean()
        >>> net, grid = TinyMLPRegressor(random_state=0), {"noise": ["constant", "varying"]}
        >>> search = GridSearchCV(net, grid, scoring=mean_log_density, cv=3)
        >>> search = search.fit(*load_diabetes(return_X_y=True))
        """
        net = self._snapshot()
        mean, std = net.predict(X, return_std=True)
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        check_consistent_length(mean, y)
        mean, std, y = (part.reshape(len(mean), -1) for part in (mean, std, y))
        if y.shape != mean.shape:
            raise ValueError(
                f"y has {y.shape[1]} outputs, but {type(net).__name__} was fitted to "
                f"{mean.shape[1]}."
            )
        std = np.maximum(std, np.finfo(np.float64).tiny)
        density = net._conformal_scores().log_density((y - mean) / std) - np.log(std)
        return density.sum(axis=1)

    def _get_params_html(self, *args, **kwargs):
        """Show the trained network below the parameters, also as a step of a pipeline or search.

        With scikit-learn 1.9 or later it is shown below the fitted attributes, which have a block
        of their own.
        """
        params = super()._get_params_html(*args, **kwargs)
        return params if hasattr(super(), "_get_fitted_attr_html") else self._with_trained(params)

    def _get_fitted_attr_html(self, *args, **kwargs):
        """Show the trained network below the fitted attributes, with scikit-learn 1.9."""
        return self._with_trained(super()._get_fitted_attr_html(*args, **kwargs))

    def _with_trained(self, block):
        trained = self._trained_html()
        if trained:
            text = block._html_repr() + trained
            block._html_repr = lambda: text
        return block

    def _adopt(self, network, X):
        """Copy the fitted attributes of another network, with the column names of X."""
        learner = self._snapshot()
        _check_feature_names(learner, X, reset=True)
        own = {*self.get_params(deep=False), "feature_names_in_", "_skl_callbacks"}
        learned = {name: value for name, value in vars(network).items() if name not in own}
        self.__dict__ = vars(learner) | learned
        return self

    def _snapshot(self):
        """Copy the attributes in one step: another thread's `fit` may be changing them."""
        copy = object.__new__(type(self))
        copy.__dict__ = vars(self).copy()
        for name in _slots_of(type(self)):
            if hasattr(self, name):
                setattr(copy, name, getattr(self, name))
        return copy


@contextmanager
def unchanged_on_error(estimator):
    """Restore the attributes of an estimator, and its RandomState, on an error."""
    before, random_state = vars(estimator).copy(), estimator.random_state
    own_state = isinstance(random_state, np.random.RandomState)
    state = random_state.get_state(legacy=False) if own_state else None
    try:
        yield
    except BaseException:
        estimator.__dict__ = before  # in one step: another thread may be predicting
        if own_state:
            random_state.set_state(state)
        raise


def _checked_probabilities(name, values) -> np.ndarray:
    """Return a sequence of numbers between 0 and 1 as an array."""
    array = np.asarray(values)
    if array.ndim == 1 and array.size and array.dtype.kind in "fiu":
        if ((array > 0.0) & (array < 1.0)).all():
            return array.astype(np.float64)
    raise ValueError(f"{name} must contain numbers between 0 and 1, both excluded, got {values!r}.")


@cache
def _slots_of(kind) -> list[str]:
    """Return the names of the slots of a subclass."""
    names = []
    for base in kind.__mro__:
        slots = vars(base).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    return [name for name in names if name not in ("__dict__", "__weakref__")]


class ExplainsUnavailable:
    """State the reason in the error of a method that is not available.

    scikit-learn's `available_if` states the reason only as the cause of its error.
    """

    def __init__(self, method):
        self.method = method
        self.__doc__ = method.__doc__

    def __get__(self, estimator, kind=None):
        """Return the method, or raise the AttributeError with the reason."""
        try:
            return self.method.__get__(estimator, kind)
        except AttributeError as error:
            text = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
            raise AttributeError(text, name=error.name, obj=estimator) from error
