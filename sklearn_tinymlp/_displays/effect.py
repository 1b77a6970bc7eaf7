"""`EffectDisplay`: the mean effect of the most important inputs on the prediction."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from .base import COLOURS, DisplayMixin, display_class, draws, tint, unwrap
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

# Number of permutations of each column by which the inputs are ranked.
N_PERMUTATIONS = 3

# Up to this many distinct whole numbers are each shown; at most this many categories are shown, the
# most frequent ones.
MAX_WHOLE_NUMBERS, MAX_CATEGORIES = 10, 12

PANELS_PER_ROW = 3


class Effect(NamedTuple):
    """The effect of one input, shown in one panel."""

    name: str
    values: np.ndarray  # (n_values,) numbers, or the names of categories
    mean: np.ndarray  # (n_values,) mean prediction
    std: np.ndarray | None  # (n_values,) of the mean; None if unknown
    deciles: np.ndarray | None = None  # of the data; None for categories
    n_left_out: int = 0  # number of categories not shown

    @property
    def is_categorical(self) -> bool:
        """Whether the values are names."""
        return self.deciles is None


@display_class
class EffectDisplay(DisplayMixin):
    """The mean prediction as a function of each input (partial dependence), with an interval.

    If entry j of all rows x_i is set to v, the effect is the mean of f(x_i) over the rows
    (Friedman, "Greedy function approximation", Annals of Statistics 29, 2001, section 8.2). The
    interval is for this mean, not for y: it shows the uncertainty of the function, without noise,
    from the posterior of the weights and, for an ensemble, the spread of its members. For a network
    without a posterior there is no interval. scikit-learn's `PartialDependenceDisplay` draws the
    same mean, also as a function of two inputs.

    Parameters
    ----------
    effects : list of Effect
        Named tuples (name, values, mean, std, deciles, n_left_out), as computed by
        `from_estimator`; `n_left_out` is the number of categories that are not shown.

    level : float, default=0.95
        Probability that an interval contains the effect.

    target_name : str, default=None
        Name of the vertical axis.

    Attributes
    ----------
    {panels}

    lines_ : list of matplotlib Line2D
        The effect in each panel: a line for a number, points for categories.

    bands_ : list of matplotlib artists or None
        The interval in each panel: an area for a number, bars for categories.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn_tinymlp import EffectDisplay, TinyMLPRegressor
    >>> X, y = make_friedman1(100, n_features=5, random_state=0)
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0).fit(X, y)
    >>> display = EffectDisplay.from_estimator(net, X)
    >>> plt.show()
    """

    effects: list
    level: float = 0.95
    target_name: str | None = None

    @classmethod
    @draws("plot", panels=True)
    def from_estimator(
        cls,
        estimator,
        X,
        features=None,
        *,
        most_features=6,
        output=0,
        level=0.95,
        grid_resolution=40,
        n_rows=100,
        target_name=None,
        ax=None,
        **kwargs,
    ):
        """Compute and draw the effects of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor` or :class:`TinyMLPEnsembleRegressor`, or a pipeline
            or search that ends in one; any other regressor is drawn without intervals.

        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Input data of the estimator. Columns of strings, categories and booleans are shown as
            points.

        features : list of int or str, default=None
            Columns of X, by index or name. If None, those whose permutation changes the
            predictions most.

        most_features : int, default=6
            Number of columns if `features` is None.

        output : int, default=0
            Index of the output that is drawn.

        level : float, default=0.95
            Probability that an interval contains the effect.

        grid_resolution : int, default=40
            Number of values of a numeric column at which its effect is computed.

        n_rows : int, default=100
            Number of rows of X, a fixed random sample, over which predictions are averaged.

        target_name : str, default=None
            Name of the vertical axis.

        {ax}

        Raises
        ------
        ValueError
            If X has no such column.
        """
        check_is_fitted(estimator)
        X = indexable(X)
        sample = np.random.RandomState(0).permutation(X.shape[0])[:n_rows]
        rows = take_rows(X, np.sort(sample))
        if features is None:
            changes = _changes(estimator, rows, output)
            order = np.argsort(-changes, kind="stable")
            known = [k for k in order.tolist() if not is_missing(take_column(X, k)).all()]
            indices = known[:most_features]
        else:
            indices = [column_index(feature, X) for feature in features]
        effects = [
            _effect(estimator, X, rows, index, output=output, resolution=grid_resolution)
            for index in indices
        ]
        display = cls(effects=effects, level=level, target_name=target_name)
        return display.plot(ax=ax, **kwargs)

    def _draw(self, ax, **kwargs):
        n_panels = len(self.effects)
        n_columns = min(n_panels, PANELS_PER_ROW)
        n_rows = -(-n_panels // n_columns)
        size = (0.6 + 3.0 * n_columns, 0.4 + 2.6 * n_rows)
        shape = (n_rows, n_columns)
        panels = self._use_panels(ax, n_panels, shape=shape, figsize=size, sharey=True)
        self.lines_, self.bands_ = [], []
        for panel, effect in zip(panels, self.effects, strict=True):
            draw = _draw_categories if effect.is_categorical else _draw_curve
            half = None if effect.std is None else norm.ppf(0.5 + 0.5 * self.level) * effect.std
            line, interval = draw(panel, effect, half, kwargs)
            self.lines_.append(line)
            self.bands_.append(interval)
            panel.grid(color="0.9", linewidth=0.8, axis="y")
            note = f" ({effect.n_left_out} rarer ones not shown)" if effect.n_left_out else ""
            panel.set_xlabel(f"{effect.name}{note}")
        for panel in panels[::PANELS_PER_ROW]:
            panel.set_ylabel(self.target_name or "mean prediction")


def _draw_curve(panel, effect, half, style):
    """Draw a line, the area of the interval, and the deciles of the data along the axis."""
    values, mean = effect.values, effect.mean
    (line,) = panel.plot(values, mean, **{"color": COLOURS[0]} | style)
    area = None
    if half is not None:
        area = panel.fill_between(
            values, mean - half, mean + half, facecolor=tint(0.3), linewidth=0
        )
    transform = panel.get_xaxis_transform()
    panel.vlines(effect.deciles, 0, 0.05, transform=transform, color="0.3", linewidth=0.8)
    return line, area


def _draw_categories(panel, effect, half, style):
    """Draw points, and bars of the intervals."""
    positions = np.arange(len(effect.values))
    style = {"color": COLOURS[0], "marker": "o", "linestyle": "none"} | style
    (line,) = panel.plot(positions, effect.mean, **style)
    bars = None
    if half is not None:
        look = {"fmt": "none", "capsize": 4, "ecolor": COLOURS[0]}
        bars = panel.errorbar(positions, effect.mean, half, **look)
    long = sum(map(len, effect.values)) > 24
    panel.set_xticks(positions, effect.values, **({"rotation": 30, "ha": "right"} if long else {}))
    panel.margins(x=0.15)
    return line, bars


def _effect(estimator, X, rows, index, *, output, resolution) -> Effect:
    """Compute the effect of one column."""
    name, column = column_names(X)[index], take_column(X, index)
    numbers, n_hidden, deciles = numbers_of(column), 0, None
    if numbers is None or np.isnan(numbers).all():
        values, examples = categories_of(column)
        n_hidden = max(0, len(values) - MAX_CATEGORIES)
        values = values[:MAX_CATEGORIES]
        entries = take_rows(column, examples[:MAX_CATEGORIES])
    else:
        values, examples = np.unique(numbers, return_index=True)
        known = np.isfinite(values)
        values, examples = values[known], examples[known]
        deciles = np.nanquantile(numbers, np.arange(1, 10) / 10)
        if len(values) <= MAX_WHOLE_NUMBERS and (values == np.floor(values)).all():
            entries = take_rows(column, examples)  # in the column's type, for encoders
        else:
            entries = values = np.linspace(values[0], values[-1], resolution)
    n_values, n_rows = len(values), rows.shape[0]
    repeated = take_rows(rows, np.tile(np.arange(n_rows), n_values))
    column = take_rows(entries, np.repeat(np.arange(n_values), n_rows))
    mean, std = _averages(estimator, replace_column(repeated, index, column), n_rows)
    std = None if std is None else std[:, output]
    return Effect(name, np.asarray(values), mean[:, output], std, deciles, n_hidden)


def _averages(estimator, X, size):
    """Return mean predictions of groups of `size` rows, and their standard deviations or None."""
    transformers, network = unwrap(estimator)
    if hasattr(network, "_averages"):
        for transformer in transformers:
            X = transformer.transform(X)
        return network._averages(X, size)
    predicted = np.asarray(estimator.predict(X), dtype=np.float64)
    return predicted.reshape(X.shape[0] // size, size, -1).mean(axis=1), None


def _changes(estimator, rows, output) -> np.ndarray:
    """Return, for each column, the mean squared change of predictions when it is permuted."""
    n_rows = rows.shape[0]

    def predict(X):
        return np.asarray(estimator.predict(X), dtype=np.float64).reshape(len(X), -1)[:, output]

    unchanged, changes = np.tile(predict(rows), N_PERMUTATIONS), []
    order = np.random.RandomState(0).permutation(n_rows)
    shifts = 1 + np.arange(N_PERMUTATIONS)[:, np.newaxis] * n_rows // N_PERMUTATIONS
    others = order[(np.argsort(order) + shifts) % n_rows].ravel()
    repeated = take_rows(rows, np.tile(np.arange(n_rows), N_PERMUTATIONS))
    for index in range(rows.shape[1]):
        permuted = replace_column(repeated, index, take_rows(take_column(rows, index), others))
        changes.append(np.mean((predict(permuted) - unchanged) ** 2))
    return np.array(changes)
