"""`PredictionBandDisplay`: predictions with their intervals."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from .base import DisplayMixin, display_class, draws, tint
from .frames import (
    categories_of,
    column_index,
    column_names,
    indexable,
    is_missing,
    numbers_of,
    replace_column,
    take_column,
    take_rows,
)

MAX_TICKS = 200


@display_class
class PredictionBandDisplay(DisplayMixin):
    """The prediction as a function of one feature, the others fixed, with prediction intervals.

    Parameters
    ----------
    x : array-like of shape (n_points,)
        Values of the feature.

    y_mean : array-like of shape (n_points,)
        Predictions.

    y_std : array-like of shape (n_points,), default=None
        Standard deviations of the predictions; if None, there are no intervals.

    levels : tuple of float, default=(0.68, 0.95)
        Probabilities that the intervals contain y.

    x_data : array-like of shape (n_samples,), default=None
        Values of the feature in the data: ticks along the horizontal axis.

    y_data : array-like of shape (n_samples,), default=None
        Points drawn at `x_data`.

    feature_name, target_name : str, default=None
        Names of the axes.

    points_name : str, default="data"
        Name of the points in the legend.

    Attributes
    ----------
    {axes}

    line_ : matplotlib Line2D
        The prediction.

    bands_ : list of matplotlib PolyCollection
        The intervals, the widest first.

    points_ : matplotlib Line2D or None
        The points.

    ticks_ : matplotlib LineCollection or None
        Values of the feature in the data, at most 200 of them.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn_tinymlp import PredictionBandDisplay, TinyMLPRegressor
    >>> X = np.linspace(-2, 2, 50)[:, np.newaxis]
    >>> y = np.sin(2 * X.ravel()) + 0.1 * np.random.default_rng(0).standard_normal(50)
    >>> net = TinyMLPRegressor(random_state=0).fit(X, y)
    >>> display = PredictionBandDisplay.from_estimator(net, X, y)
    >>> plt.show()
    """

    x: ArrayLike
    y_mean: ArrayLike
    y_std: ArrayLike | None = None
    levels: Sequence[float] = (0.68, 0.95)
    x_data: ArrayLike | None = None
    y_data: ArrayLike | None = None
    feature_name: str | None = None
    target_name: str | None = None
    points_name: str = "data"

    @classmethod
    @draws("plot")
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        feature=0,
        output=0,
        fixed="median",
        levels=(0.68, 0.95),
        grid_resolution=200,
        margin=0.1,
        ax=None,
        **kwargs,
    ):
        """Draw the prediction of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted regressor whose `predict` has the option `return_std`: a
            :class:`TinyMLPRegressor` or :class:`TinyMLPEnsembleRegressor`, a pipeline or search
            that ends in one, a Gaussian process.

        X : {array-like, data frame} of shape (n_samples, n_features)
            The training data: they determine the range of the feature, the ticks, and the values
            of the other features.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets, shown as points. With several features the points are partial residuals: the
            curve plus the residual of the row, without the scatter caused by other features.

        feature : int or str, default=0
            Index or name of a numeric column of X. :class:`EffectDisplay` draws categories.

        output : int, default=0
            Index of the output that is drawn.

        fixed : 'median', 'mean' or array-like of shape (n_features,), default='median'
            Values of the other features. For strings, categories and booleans, 'median' and 'mean'
            both mean the most frequent value.

        levels : tuple of float, default=(0.68, 0.95)
            Probabilities that the intervals contain y. If empty, the prediction is drawn alone,
            which is possible with any regressor.

        grid_resolution : int, default=200
            Number of points of the curve.

        margin : float, default=0.1
            Length of the curve beyond the data on either side, relative to their range.

        {ax}
        """
        check_is_fitted(estimator)
        estimator = getattr(estimator, "best_estimator_", estimator)  # predict with options
        X = indexable(X)
        feature = column_index(feature, X)
        name, values = column_names(X)[feature], numbers_of(take_column(X, feature))
        if values is None:
            raise ValueError(
                f"feature={name!r} is not a numeric column. EffectDisplay draws categories."
            )
        predict = _conditional_prediction(estimator, X, feature, fixed)

        def select(predicted):
            return np.asarray(predicted).reshape(len(predicted), -1)[:, output]

        least, greatest = np.nanmin(values), np.nanmax(values)
        beyond = margin * (greatest - least)
        x = np.linspace(least - beyond, greatest + beyond, grid_resolution)
        if len(levels):
            try:
                y_mean, y_std = map(select, predict(x, return_std=True))
            except (TypeError, AttributeError) as error:
                raise TypeError(
                    "Intervals need an estimator whose predict has the option return_std, got "
                    f"{type(estimator).__name__}. levels=() draws its prediction alone."
                ) from error
        else:
            y_mean, y_std = select(predict(x)), None
        known, y_data = np.isfinite(values), None
        if y is not None:
            residuals = select(y) - select(estimator.predict(X))
            y_data = select(predict(values[known])) + residuals[known]
        return cls.from_predictions(
            x,
            y_mean,
            y_std,
            levels=levels,
            x_data=values[known],
            y_data=y_data,
            feature_name=name,
            target_name=getattr(y, "name", None) or "y",
            points_name="data" if X.shape[1] == 1 else "partial residuals",
            ax=ax,
            **kwargs,
        )

    @classmethod
    @draws("plot")
    def from_predictions(
        cls,
        x,
        y_mean,
        y_std=None,
        *,
        levels=(0.68, 0.95),
        x_data=None,
        y_data=None,
        feature_name=None,
        target_name=None,
        points_name="data",
        ax=None,
        **kwargs,
    ):
        """Draw predictions.

        Parameters
        ----------
        x, y_mean, y_std, levels, x_data, y_data, feature_name, target_name, points_name : \
                as for the class
            See the class.

        {ax}
        """
        return cls(
            x=x,
            y_mean=y_mean,
            y_std=y_std,
            levels=levels,
            x_data=x_data,
            y_data=y_data,
            feature_name=feature_name,
            target_name=target_name,
            points_name=points_name,
        ).plot(ax=ax, **kwargs)

    def _draw(self, ax, **kwargs):
        ax = self._use_axes(ax)
        order = np.argsort(self.x, kind="stable")
        x, y_mean = np.asarray(self.x)[order], np.asarray(self.y_mean)[order]
        self.bands_ = []
        if self.y_std is not None:
            y_std = np.asarray(self.y_std)[order]
            levels = sorted(self.levels, reverse=True)
            # Shades of one hue, darker for narrower intervals, remain distinct in greyscale.
            for level, strength in zip(levels, np.linspace(0.2, 0.5, len(levels)), strict=True):
                half = norm.ppf(0.5 + 0.5 * level) * y_std
                style = {"facecolor": tint(strength), "label": f"{100 * level:g}% interval"}
                interval = ax.fill_between(x, y_mean - half, y_mean + half, linewidth=0, **style)
                self.bands_.append(interval)
        style = {"color": "#003F63", "linewidth": 1.8, "label": "prediction"} | kwargs
        (self.line_,) = ax.plot(x, y_mean, **style)
        self.points_ = self.ticks_ = None
        if self.x_data is not None:
            ticks = np.sort(self.x_data)
            shown = np.linspace(0, len(ticks) - 1, min(len(ticks), MAX_TICKS)).astype(int)
            style = {"color": "0.3", "linewidth": 0.6, "transform": ax.get_xaxis_transform()}
            self.ticks_ = ax.vlines(ticks[shown], 0, 0.03, **style)
        if self.x_data is not None and self.y_data is not None:
            style = {"color": "black", "markersize": 4, "label": self.points_name}
            (self.points_,) = ax.plot(self.x_data, self.y_data, ".", **style)
        ax.set(xlabel=self.feature_name or "x", ylabel=self.target_name or "y")
        ax.legend(frameon=False)


def _conditional_prediction(estimator, X, feature, fixed):
    """Return the prediction as a function of the values of one feature, the others fixed."""
    row = _fixed_row(X, fixed)

    def predict(column, **options):
        rows = take_rows(row, np.zeros(len(column), dtype=int))
        return estimator.predict(replace_column(rows, feature, column), **options)

    return predict


def _fixed_row(X, fixed):
    """Return one row of X with each column fixed."""
    row = take_rows(X, np.zeros(1, dtype=int))
    if not isinstance(fixed, str):
        for index, value in enumerate(fixed):
            row = replace_column(row, index, np.array([value]))
        return row
    if fixed not in ("median", "mean"):
        raise ValueError(f"fixed must be 'median', 'mean' or an array, got {fixed!r}.")
    average = np.nanmedian if fixed == "median" else np.nanmean
    for index in range(X.shape[1]):
        column = take_column(X, index)
        if is_missing(column).all():
            continue
        numbers = numbers_of(column)
        if numbers is None:
            entry = take_rows(column, categories_of(column)[1][:1])
        else:
            entry = np.array([average(numbers)])
        row = replace_column(row, index, entry)
    return row
