"""`EffectDisplay`: what the most important inputs do to the prediction, with a band."""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm
from sklearn.utils.validation import check_is_fitted

from .axes import BLUE, COLOURS, needs_matplotlib
from .diagram import unwrapped
from .frames import (
    categories_of,
    column_names,
    column_of,
    entries_of,
    numbers_of,
    place_of,
    rows_of,
    tabular,
    with_column,
)

# Each row meets so many others where columns are ranked.
PARTNERS = 3

# Few whole numbers are shown at these alone, and a category among the most frequent.
FEW_VALUES, MOST_CATEGORIES = 10, 12

PANELS_A_ROW = 3


class Effect(NamedTuple):
    """The effect of one input: what a panel shows."""

    name: str
    values: np.ndarray  # (n_values,) numbers, or the names of categories
    mean: np.ndarray  # (n_values,) of the prediction
    std: np.ndarray | None  # (n_values,) of this mean; None where it is not known
    deciles: np.ndarray | None = None  # of the data; None of categories
    n_left_out: int = 0  # categories

    @property
    def is_categorical(self) -> bool:
        """Whether the values are names."""
        return self.deciles is None


class EffectDisplay:
    """The mean prediction over each input, all others as in the data: partial dependence.

    With the rows x_i and all their entries j set to v, the effect is the mean of f(x_i) over the
    rows (Friedman, "Greedy function approximation", Annals of Statistics 29, 2001, section 8.2).
    The band is about this mean, not about y: it says what the data leave open about the function,
    without noise, from the posterior of the weights, and of an ensemble how far members differ,
    too. A network that has no posterior is drawn without. scikit-learn's `PartialDependenceDisplay`
    draws the same mean of two inputs, too.

    Parameters
    ----------
    effects : list of Effect
        As the attribute of the display that `from_estimator` gives: named tuples (name, values,
        mean, std, deciles, n_left_out).

    level : float, default=0.95
        Probability that a band has of holding the effect.

    target_name : str, default=None
        Name of the vertical axis.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One a panel.

    figure_ : matplotlib Figure
        Figure containing the panels.

    lines_ : list of matplotlib Line2D
        The effect in each panel: a line over a number, points over categories.

    bands_ : list of matplotlib artists or None
        The band of each panel: an area over a number, bars over categories.

    bounding_ax_ : matplotlib Axes or None
        The axes given, which hold the panels.

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

    def __init__(self, *, effects, level=0.95, target_name=None):
        self.effects = effects
        self.level = level
        self.target_name = target_name

    @classmethod
    @needs_matplotlib
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
            or search that ends in one; any other regressor is drawn without bands.

        X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
            Data that the estimator takes. Columns of strings, categories and booleans are shown as
            points.

        features : list of int or str, default=None
            Which columns of X, by number or name. None for those that change the prediction most
            where they take the values of other rows.

        most_features : int, default=6
            How many they are, if `features` is None.

        output : int, default=0
            Which output is drawn.

        level : float, default=0.95
            Probability that a band has of holding the effect.

        grid_resolution : int, default=40
            Values of a number at which its effect is computed.

        n_rows : int, default=100
            Rows of X, drawn at random, the same each time, that the mean is taken over.

        target_name : str, default=None
            Name of the vertical axis.

        ax : matplotlib Axes or array-like of them, default=None
            Axes to divide into panels, or one for each; a new figure unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot` of the effects.

        Returns
        -------
        display : EffectDisplay

        Raises
        ------
        ValueError
            When X has no such column.
        """
        check_is_fitted(estimator)
        X = tabular(X)
        chosen = np.random.RandomState(0).permutation(X.shape[0])[:n_rows]
        rows = rows_of(X, np.sort(chosen))
        if features is None:
            changes = _changes(estimator, rows, output)
            places = np.argsort(-changes, kind="stable")[:most_features].tolist()
        else:
            places = [place_of(feature, X) for feature in features]
        effects = [
            _effect(estimator, X, rows, place, output=output, resolution=grid_resolution)
            for place in places
        ]
        display = cls(effects=effects, level=level, target_name=target_name)
        return display.plot(ax=ax, **kwargs)

    @needs_matplotlib
    def plot(self, ax=None, **kwargs):
        """Draw the panels, which share their vertical axis.

        Parameters
        ----------
        ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : EffectDisplay
            With the attributes that end in an underscore.
        """
        self.axes_ = self._panels(ax)
        self.figure_ = self.axes_[0].figure
        self.lines_, self.bands_ = [], []
        for panel, effect in zip(self.axes_, self.effects, strict=True):
            draw = _draw_categories if effect.is_categorical else _draw_curve
            line, band = draw(panel, effect, norm.ppf(0.5 + 0.5 * self.level), kwargs)
            self.lines_.append(line)
            self.bands_.append(band)
            panel.grid(color="0.9", linewidth=0.8, axis="y")
            left_out = f" ({effect.n_left_out} rarer ones left out)" if effect.n_left_out else ""
            panel.set_xlabel(f"{effect.name}{left_out}")
        for panel in self.axes_[::PANELS_A_ROW]:
            panel.set_ylabel(self.target_name or "mean prediction")
        return self

    def _panels(self, ax) -> np.ndarray:
        import matplotlib.pyplot as plt

        n_panels = len(self.effects)
        n_columns = min(n_panels, PANELS_A_ROW)
        n_lines = -(-n_panels // n_columns)
        self.bounding_ax_ = None
        if ax is None:
            _, axes = plt.subplots(
                n_lines,
                n_columns,
                sharey=True,
                squeeze=False,
                layout="constrained",
                figsize=(0.6 + 3.0 * n_columns, 0.4 + 2.6 * n_lines),
            )
        elif np.ndim(ax) == 0:
            ax.set_axis_off()
            self.bounding_ax_ = ax
            grid = ax.get_subplotspec().subgridspec(n_lines, n_columns)
            axes = grid.subplots(sharey=True, squeeze=False)
        else:
            axes = np.ravel(np.asarray(ax, dtype=object))
            if axes.size != n_panels:
                raise ValueError(f"ax has {axes.size} axes, but there are {n_panels} panels.")
        axes = np.ravel(axes)
        for empty in axes[n_panels:]:
            empty.set_visible(False)
        return axes[:n_panels]


def _draw_curve(panel, effect, factor, style):
    """Draw line and area, and the deciles of the data along the horizontal axis."""
    (line,) = panel.plot(effect.values, effect.mean, **{"color": COLOURS[0]} | style)
    band = None
    if effect.std is not None:
        half = factor * effect.std
        shade = tuple(1.0 - 0.3 * (1.0 - BLUE))
        band = panel.fill_between(
            effect.values, effect.mean - half, effect.mean + half, facecolor=shade, linewidth=0
        )
    along = panel.get_xaxis_transform()
    panel.vlines(effect.deciles, 0, 0.05, transform=along, color="0.3", linewidth=0.8)
    return line, band


def _draw_categories(panel, effect, factor, style):
    """Draw points and bars."""
    places = np.arange(len(effect.values))
    style = {"color": COLOURS[0], "marker": "o", "linestyle": "none"} | style
    (line,) = panel.plot(places, effect.mean, **style)
    band = None
    if effect.std is not None:
        band = panel.errorbar(
            places, effect.mean, factor * effect.std, fmt="none", capsize=4, ecolor=COLOURS[0]
        )
    long = sum(map(len, effect.values)) > 24
    panel.set_xticks(places, effect.values, **({"rotation": 30, "ha": "right"} if long else {}))
    panel.margins(x=0.15)
    return line, band


def _effect(estimator, X, rows, place, *, output, resolution) -> Effect:
    """Compute the effect of one column."""
    name, column = column_names(X)[place], column_of(X, place)
    numbers, n_left_out, deciles = numbers_of(column), 0, None
    if numbers is None or np.isnan(numbers).all():
        values, examples = categories_of(column)
        n_left_out = max(0, len(values) - MOST_CATEGORIES)
        values, examples = values[:MOST_CATEGORIES], examples[:MOST_CATEGORIES]
        entries = entries_of(column, examples)
    else:
        values, examples = np.unique(numbers, return_index=True)
        known = np.isfinite(values)
        values, examples = values[known], examples[known]
        deciles = np.nanquantile(numbers, np.arange(1, 10) / 10)
        if len(values) <= FEW_VALUES and (values == np.floor(values)).all():
            entries = entries_of(column, examples)  # in their own type: an encoder may know these
        else:
            entries = values = np.linspace(values[0], values[-1], resolution)
    n_values, n_rows = len(values), rows.shape[0]
    repeated = rows_of(rows, np.tile(np.arange(n_rows), n_values))
    everywhere = entries_of(entries, np.repeat(np.arange(n_values), n_rows))
    moved = with_column(repeated, place, everywhere)
    mean, std = _averages(estimator, moved, n_rows)
    std = None if std is None else std[:, output]
    return Effect(name, np.asarray(values), mean[:, output], std, deciles, n_left_out)


def _averages(estimator, X, size):
    """Average predictions over `size` rows each; give their standard deviations, too."""
    before, network = unwrapped(estimator)
    if hasattr(network, "_averages"):
        for transformers in before:
            X = transformers.transform(X)
        return network._averages(X, size)
    predicted = np.asarray(estimator.predict(X), dtype=np.float64)
    return predicted.reshape(X.shape[0] // size, size, -1).mean(axis=1), None


def _changes(estimator, rows, output) -> np.ndarray:
    """Give the mean squared change of predictions where a column takes values of other rows."""
    n_rows = rows.shape[0]

    def predict(X):
        return np.asarray(estimator.predict(X), dtype=np.float64).reshape(len(X), -1)[:, output]

    here, changes = np.tile(predict(rows), PARTNERS), []
    order = np.random.RandomState(0).permutation(n_rows)
    others = np.concatenate(
        [order[(np.argsort(order) + 1 + k * n_rows // PARTNERS) % n_rows] for k in range(PARTNERS)]
    )
    repeated = rows_of(rows, np.tile(np.arange(n_rows), PARTNERS))
    for place in range(rows.shape[1]):
        moved = with_column(repeated, place, entries_of(column_of(rows, place), others))
        changes.append(np.mean((predict(moved) - here) ** 2))
    return np.array(changes)
