"""`PiecewiseLinearEncoder`: each feature as ramps between its quantiles."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from ._data.piecewise_linear import bin_edges, ramp_names, ramps


class PiecewiseLinearEncoder(TransformerMixin, BaseEstimator):
    """Encode each feature by ramps between its quantiles.

    With the quantiles q_0 < ... < q_K of a feature x, ramp k is

        (x - q_{k-1}) / (q_k - q_{k-1}), limited to the range from 0 to 1,

    but the first has no lower and the last no upper limit. A linear function of the ramps is a
    piecewise linear function of x, continuous, with bends at the quantiles. Networks and linear
    models learn steps and thresholds of single features from few rows with it, as trees do.

    Parameters
    ----------
    n_bins : int, default=5
        Number of ramps of a feature, at least 1. A feature with fewer distinct quantiles has fewer.

    Attributes
    ----------
    bin_edges_ : list of ndarray of shape (n_ramps + 1,)
        The distinct quantiles of each feature.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where `X` has string column names.

    See Also
    --------
    TinyMLPRegressor : Has the parameter ``inputs="ramps"``, which does this within the network.

    References
    ----------
    Gorishniy, Y., Rubachev, I. and Babenko, A. "On embeddings for numerical features in tabular
    deep learning." NeurIPS 2022, section 3.2 (piecewise linear encoding).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_tinymlp import PiecewiseLinearEncoder
    >>> X = np.array([[0.0], [1.0], [2.0], [4.0]])
    >>> PiecewiseLinearEncoder(n_bins=2).fit(X).transform([[-1.5], [1.0], [5.5]])
    array([[-1.5,  0. ],
           [ 1. ,  0. ],
           [ 1. ,  1.5]])
    """

    _parameter_constraints: dict = {"n_bins": [Interval(Integral, 1, None, closed="left")]}

    def __init__(self, n_bins=5):
        self.n_bins = n_bins

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Compute the quantiles.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data to compute the quantiles from.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row. A row of weight 2 counts as two rows.

        Returns
        -------
        self : object
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        self.bin_edges_ = bin_edges(X, self.n_bins, sample_weight)
        return self

    def transform(self, X):
        """Return the ramps of all features, those of the first feature first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        ramps : ndarray of shape (n_samples, n_ramps)
            Float32 where X is, else float64.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        return ramps(X, [e.astype(X.dtype) for e in self.bin_edges_])

    def get_feature_names_out(self, input_features=None):
        """Return the name of each ramp: that of its feature and a number from 0.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names of the features; None for those seen during fit.

        Returns
        -------
        names : ndarray of str objects
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        return np.array(ramp_names(names, self.bin_edges_), dtype=object)
