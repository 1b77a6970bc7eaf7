"""`BaseTinyMLP`: tags, notebook block, intervals and snapshots of both estimators."""

from contextlib import contextmanager
from functools import cache
from numbers import Real

import numpy as np
from sklearn.utils import check_scalar
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

        coverage : float, default=0.95
            The share of new targets that the intervals should contain, between 0 and 1.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            Lower and upper ends, in the units of y.

        Raises
        ------
        TypeError
            When `coverage` is not a number.
        ValueError
            When `coverage` is not between 0 and 1, or the network was not fitted by the evidence.
        """
        check_scalar(coverage, "coverage", Real, min_val=0, max_val=1, include_boundaries="neither")
        net = self._snapshot()
        mean, std = net.predict(X, return_std=True)
        half = np.asarray(net._half_width(coverage)) * std
        return np.stack([mean - half, mean + half], axis=1)

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
