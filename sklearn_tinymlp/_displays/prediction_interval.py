"""`PredictionBandDisplay`: predictions with their standard deviation."""

import numpy as np
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from .axes import BLUE, needs_matplotlib, new_axes
from .frames import (
    categories_of,
    column_names,
    column_of,
    entries_of,
    missing,
    numbers_of,
    place_of,
    rows_of,
    tabular,
    with_column,
)

MOST_TICKS = 200


class PredictionBandDisplay:
    """The prediction over one feature, the others fixed, with bands that hold most of y.

    Parameters
    ----------
    x : array-like of shape (n_points,)
        Values of the feature.

    y_mean : array-like of shape (n_points,)
        Predictions.

    y_std : array-like of shape (n_points,), default=None
        Their standard deviations; no bands without.

    levels : tuple of float, default=(0.68, 0.95)
        Probability that each band has of holding y.

    x_data : array-like of shape (n_samples,), default=None
        Where data lie: ticks along the horizontal axis.

    y_data : array-like of shape (n_samples,), default=None
        Points to show over `x_data`.

    feature_name, target_name : str, default=None
        Names of the axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curve.

    figure_ : matplotlib Figure
        Figure containing the curve.

    line_ : matplotlib Line2D
        The prediction.

    bands_ : list of matplotlib PolyCollection
        The bands, the widest first.

    points_ : matplotlib Line2D or None
        The points.

    ticks_ : matplotlib LineCollection or None
        Where data lie; of more than 200 values some.

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

    def __init__(
        self,
        *,
        x,
        y_mean,
        y_std=None,
        levels=(0.68, 0.95),
        x_data=None,
        y_data=None,
        feature_name=None,
        target_name=None,
    ):
        self.x = x
        self.y_mean = y_mean
        self.y_std = y_std
        self.levels = levels
        self.x_data = x_data
        self.y_data = y_data
        self.feature_name = feature_name
        self.target_name = target_name

    @classmethod
    @needs_matplotlib
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
            A fitted regressor whose `predict` knows `return_std`: :class:`TinyMLPRegressor`,
            :class:`TinyMLPEnsembleRegressor`, a pipeline that ends in one or a search that has
            found one, a Gaussian process.

        X : {array-like, data frame} of shape (n_samples, n_features)
            The data trained on: the range of the feature, ticks where they lie, and where the
            other features are fixed.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets, shown as points. With several features a point is the curve plus what the
            estimator leaves of y, so that the other features do not scatter it.

        feature : int or str, default=0
            Which column of X is drawn, one of numbers. :class:`EffectDisplay` draws categories.

        output : int, default=0
            Which output is drawn.

        fixed : 'median', 'mean' or array-like of shape (n_features,), default='median'
            Where the other features are fixed. Of strings, categories and booleans 'median' and
            'mean' are both the most frequent one.

        levels : tuple of float, default=(0.68, 0.95)
            Probability that each band has of holding y. Empty: the prediction alone, which any
            regressor has.

        grid_resolution : int, default=200
            Points of the curve.

        margin : float, default=0.1
            How far the curve goes beyond the data, as a share of their range.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot` of the prediction.

        Returns
        -------
        display : PredictionBandDisplay
        """
        check_is_fitted(estimator)
        estimator = getattr(estimator, "best_estimator_", estimator)  # whose predict takes options
        X = tabular(X)
        feature = place_of(feature, X)
        name, values = column_names(X)[feature], numbers_of(column_of(X, feature))
        if values is None:
            raise ValueError(
                f"feature={name!r} is no column of numbers. EffectDisplay draws categories."
            )
        row = _fixed_row(X, fixed)
        least, greatest = np.nanmin(values), np.nanmax(values)
        beyond = margin * (greatest - least)
        x = np.linspace(least - beyond, greatest + beyond, grid_resolution)

        def predict(column, **options):
            rows = rows_of(row, np.zeros(len(column), dtype=int))
            return estimator.predict(with_column(rows, feature, column), **options)

        def of_output(predicted):
            predicted = np.asarray(predicted)
            return predicted.reshape(len(predicted), -1)[:, output]

        y_std = None
        if len(levels):
            try:
                y_mean, y_std = map(of_output, predict(x, return_std=True))
            except (TypeError, AttributeError) as error:
                raise TypeError(
                    "A band needs an estimator whose predict knows return_std, got "
                    f"{type(estimator).__name__}. levels=() draws its prediction alone."
                ) from error
        else:
            y_mean = of_output(predict(x))
        known, y_data = np.isfinite(values), None
        if y is not None:
            left = of_output(y) - of_output(estimator.predict(X))
            y_data = of_output(predict(values[known])) + left[known]
        return cls(
            x=x,
            y_mean=y_mean,
            y_std=y_std,
            levels=levels,
            x_data=values[known],
            y_data=y_data,
            feature_name=name,
            target_name=getattr(y, "name", None) or "y",
        ).plot(ax=ax, **kwargs)

    @classmethod
    @needs_matplotlib
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
        ax=None,
        **kwargs,
    ):
        """Draw predictions.

        Parameters
        ----------
        x, y_mean, y_std, levels, x_data, y_data, feature_name, target_name : as for the class
            See the class.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot` of the prediction.

        Returns
        -------
        display : PredictionBandDisplay
        """
        display = cls(
            x=x,
            y_mean=y_mean,
            y_std=y_std,
            levels=levels,
            x_data=x_data,
            y_data=y_data,
            feature_name=feature_name,
            target_name=target_name,
        )
        return display.plot(ax=ax, **kwargs)

    @needs_matplotlib
    def plot(self, ax=None, **kwargs):
        """Draw prediction, bands and points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot` of the prediction.

        Returns
        -------
        display : PredictionBandDisplay
            With the attributes that end in an underscore.
        """
        ax = new_axes(ax)
        order = np.argsort(self.x, kind="stable")
        x, y_mean = np.asarray(self.x)[order], np.asarray(self.y_mean)[order]
        self.bands_ = []
        if self.y_std is not None:
            y_std = np.asarray(self.y_std)[order]
            levels = sorted(self.levels, reverse=True)
            # Shades of one hue, the narrower the darker: they survive a copying machine.
            for level, shade in zip(levels, np.linspace(0.2, 0.5, len(levels)), strict=True):
                half = norm.ppf(0.5 + 0.5 * level) * y_std
                label = f"{100 * level:g}% band"
                self.bands_.append(
                    ax.fill_between(
                        x,
                        y_mean - half,
                        y_mean + half,
                        facecolor=tuple(1.0 - shade * (1.0 - BLUE)),  # opaque, as in the legend
                        linewidth=0,
                        label=label,
                    )
                )
        style = {"color": "#003F63", "linewidth": 1.8, "label": "prediction"} | kwargs
        (self.line_,) = ax.plot(x, y_mean, **style)
        self.points_ = self.ticks_ = None
        if self.x_data is not None:
            ticks = np.sort(self.x_data)
            places = np.linspace(0, len(ticks) - 1, min(len(ticks), MOST_TICKS)).astype(int)
            along, style = ax.get_xaxis_transform(), {"color": "0.3", "linewidth": 0.6}
            self.ticks_ = ax.vlines(ticks[places], 0, 0.03, transform=along, **style)
        if self.x_data is not None and self.y_data is not None:
            (self.points_,) = ax.plot(
                self.x_data, self.y_data, ".", color="black", markersize=4, label="data"
            )
        ax.set(xlabel=self.feature_name or "x", ylabel=self.target_name or "y")
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _fixed_row(X, fixed):
    """Give a table of one row, in which each column is fixed."""
    row = rows_of(X, np.zeros(1, dtype=int))
    if not isinstance(fixed, str):
        for place, value in enumerate(fixed):
            row = with_column(row, place, np.array([value]))
        return row
    if fixed not in ("median", "mean"):
        raise ValueError(f"fixed must be 'median', 'mean' or an array, got {fixed!r}.")
    for place in range(X.shape[1]):
        column = column_of(X, place)
        if missing(column).all():
            continue
        numbers = numbers_of(column)
        if numbers is None:
            entry = entries_of(column, categories_of(column)[1][:1])
        else:
            entry = np.array([np.nanmedian(numbers) if fixed == "median" else np.nanmean(numbers)])
        row = with_column(row, place, entry)
    return row
