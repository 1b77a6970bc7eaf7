"""Pictures of a training and of what it found, after scikit-learn's Display conventions."""

import numpy as np
from scipy.stats import norm
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from ._diagram import NEGATIVE, POSITIVE, diagram_of, input_names, last_step

# Okabe and Ito's palette without its yellow, which is too light on paper: told apart by the
# colour-blind, and in print by the marker at each line's end.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
BLUE = np.array([0x00, 0x72, 0xB2]) / 255
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def _axes(ax):
    import matplotlib.pyplot as plt

    if ax is not None:
        return ax
    return plt.subplots(layout="constrained")[1]


class LossCurveDisplay:
    """Loss by epoch or iteration, and where and why it ended.

    Make it by :meth:`from_estimator` or :meth:`from_history`. Several estimators come on one axis
    by giving the first one's `ax_` to the next.

    Parameters
    ----------
    loss : array-like of shape (n_iter,)
        Training loss.

    validation_loss : array-like of shape (n_iter,), default=None
        Loss on the validation set.

    loss_tol : float, default=None
        The loss asked for.

    stop_reason : str, default=None
        As `stop_reason_`.

    converged : bool, default=None
        As `converged_`: the last point is full if it is true, and hollow if not.

    name : str, default=None
        What the legend calls the estimator.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.

    figure_ : matplotlib Figure
        Figure containing the curves.

    line_ : matplotlib Line2D
        Training loss, with a marker where it ended.

    validation_line_ : matplotlib Line2D or None
        Validation loss.

    loss_tol_line_ : matplotlib Line2D or None
        The loss asked for.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_tinymlp import LossCurveDisplay, TinyMLPRegressor
    >>> X, y = [[1], [2], [3]], [5, 4, 3]
    >>> net = TinyMLPRegressor(solver="lm", alpha=0.0, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(net)
    >>> plt.show()
    """

    def __init__(
        self,
        *,
        loss,
        validation_loss=None,
        loss_tol=None,
        stop_reason=None,
        converged=None,
        name=None,
    ):
        self.loss = loss
        self.validation_loss = validation_loss
        self.loss_tol = loss_tol
        self.stop_reason = stop_reason
        self.converged = converged
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw the loss of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor`, or a pipeline or search that ends in one. The loss
            of scikit-learn's :class:`MLPRegressor` is drawn too.

        name : str, default=None
            What the legend calls it; the solver unless given.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot` for both curves.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        estimator = last_step(estimator)
        check_is_fitted(estimator)
        history = getattr(estimator, "history_", None) or {"loss": estimator.loss_curve_}
        return cls.from_history(
            history,
            loss_tol=getattr(estimator, "loss_tol", None),
            stop_reason=getattr(estimator, "stop_reason_", None),
            converged=getattr(estimator, "converged_", None),
            name=getattr(estimator, "solver_", estimator.solver) if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_history(
        cls,
        history,
        *,
        loss_tol=None,
        stop_reason=None,
        converged=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw the loss of a training whose `history_` was kept.

        Parameters
        ----------
        history : dict of array-like, or DataFrame
            As `history_`: 'loss', and 'validation_loss' where there is one.

        loss_tol, stop_reason, converged, name : as for the class
            See the class.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot` for both curves.

        Returns
        -------
        display : LossCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_history")
        display = cls(
            loss=np.asarray(history["loss"], dtype=float),
            validation_loss=(
                np.asarray(history["validation_loss"], dtype=float)
                if "validation_loss" in history
                else None
            ),
            loss_tol=loss_tol,
            stop_reason=stop_reason,
            converged=converged,
            name=name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given. Displays already there keep their colours.

        **kwargs : dict
            Passed on to matplotlib's `plot` for both curves.

        Returns
        -------
        display : LossCurveDisplay
            With the attributes that end in an underscore.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        ax = _axes(ax)
        number = sum(line.get_gid() == "training loss" for line in ax.lines)
        style = {"color": COLOURS[number % len(COLOURS)], "linewidth": 1.8} | kwargs
        n_iter = len(self.loss)
        steps = np.arange(1, n_iter + 1)
        label = "training" if self.name is None else f"{self.name}, training"
        if self.stop_reason is not None:
            label += f" (ended by {self.stop_reason})"
        first = {
            "label": label,
            "marker": MARKERS[number % len(MARKERS)],
            "markevery": [n_iter - 1] if n_iter else None,
            "markersize": 7,
            "markeredgewidth": 1.5,
            "markerfacecolor": "white" if self.converged is False else style["color"],
        }
        (self.line_,) = ax.plot(steps, self.loss, **(first | style))
        self.line_.set_gid("training loss")
        style["color"] = self.line_.get_color()

        self.validation_line_ = None
        if self.validation_loss is not None:
            label = "validation" if self.name is None else f"{self.name}, validation"
            later = style | {"linestyle": (0, (4, 1.5)), "linewidth": 1.3, "label": label}
            (self.validation_line_,) = ax.plot(steps, self.validation_loss, **later)

        self.loss_tol_line_ = None
        if self.loss_tol is not None:
            self.loss_tol_line_ = ax.axhline(
                self.loss_tol,
                color="0.35",
                linewidth=1,
                linestyle=":",
                label=f"loss_tol = {self.loss_tol:g}",
            )
        curves = [line.get_ydata() for line in ax.lines if len(line.get_ydata())]
        if all(np.nanmin(curve, initial=np.inf) > 0 for curve in curves):
            ax.set_yscale("log")
        ax.set(xlabel="epoch or iteration", ylabel="loss")
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


# Column of the history: what the panel says, and whether its axis is logarithmic.
STATES = {
    "loss": ("loss", True),
    "gradient_norm": ("gradient norm", True),
    "damping": ("damping", True),
    "alpha": ("alpha", True),
    "learning_rate": ("learning rate", True),
    "log_evidence": ("log evidence", False),
    "n_effective_parameters": ("effective parameters", False),
    "validation_loss": ("validation loss", True),
    "validation_score": ("validation R²", False),
}


class TrainingStateDisplay:
    """What a training went through, a panel a quantity: MATLAB's `plottrainstate`.

    With 'lm' these are the loss, the norm of the gradient and the damping, and by the evidence
    alpha, the log evidence and the number of effective parameters; with 'sgd' and 'adam' the loss
    and the learning rate; and with a validation set its loss and R².

    Parameters
    ----------
    history : dict of array-like
        As `history_`.

    n_parameters : int, default=None
        As `n_parameters_`; the panel of the effective parameters names it.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        One a panel.

    figure_ : matplotlib Figure
        Figure containing the panels.

    lines_ : dict of matplotlib Line2D
        The curve of each column.

    bounding_ax_ : matplotlib Axes or None
        The axes given, which hold the panels.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from sklearn_tinymlp import TinyMLPRegressor, TrainingStateDisplay
    >>> X = np.linspace(-2, 2, 50)[:, np.newaxis]
    >>> net = TinyMLPRegressor(random_state=0).fit(X, np.sin(2 * X.ravel()))
    >>> display = TrainingStateDisplay.from_estimator(net)
    >>> plt.show()
    """

    def __init__(self, *, history, n_parameters=None):
        self.history = history
        self.n_parameters = n_parameters

    @classmethod
    def from_estimator(cls, estimator, *, columns=None, ax=None, **kwargs):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor`, or a pipeline or search that ends in one.

        columns : list of str, default=None
            Which columns of `history_` to draw; all that are known unless given.

        ax : matplotlib Axes or array-like of them, default=None
            Axes to divide into panels, or one for each; a new figure unless given.

        **kwargs : dict
            Passed on to matplotlib's `plot`.

        Returns
        -------
        display : TrainingStateDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        estimator = last_step(estimator)
        check_is_fitted(estimator)
        display = cls(history=estimator.history_, n_parameters=estimator.n_parameters_)
        return display.plot(columns=columns, ax=ax, **kwargs)

    @classmethod
    def from_history(cls, history, *, n_parameters=None, columns=None, ax=None, **kwargs):
        """Draw a training whose `history_` was kept.

        Parameters
        ----------
        history : dict of array-like, or DataFrame
            As `history_`.

        n_parameters : int, default=None
            See the class.

        columns, ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : TrainingStateDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_history")
        display = cls(history=history, n_parameters=n_parameters)
        return display.plot(columns=columns, ax=ax, **kwargs)

    def plot(self, *, columns=None, ax=None, **kwargs):
        """Draw the panels.

        Parameters
        ----------
        columns, ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : TrainingStateDisplay
            With the attributes that end in an underscore.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if columns is None:
            columns = [name for name in STATES if name in self.history]
        missing = [name for name in columns if name not in self.history]
        if missing:
            raise ValueError(f"history has no column {missing[0]!r}, only {list(self.history)}.")
        self.bounding_ax_ = None
        if ax is None:
            _, axes = plt.subplots(
                len(columns),
                sharex=True,
                squeeze=False,
                layout="constrained",
                figsize=(6.4, 0.6 + 1.2 * len(columns)),
            )
        elif np.ndim(ax) == 0:
            ax.set_axis_off()
            self.bounding_ax_ = ax
            grid = ax.get_subplotspec().subgridspec(len(columns), 1)
            axes = grid.subplots(sharex=True, squeeze=False)
        else:
            axes = np.asarray(ax, dtype=object)
            if axes.size != len(columns):
                raise ValueError(f"ax has {axes.size} axes, but there are {len(columns)} panels.")
        self.axes_ = np.ravel(axes)
        self.figure_ = self.axes_[0].figure
        self.lines_ = {}
        for panel, name in zip(self.axes_, columns, strict=True):
            values = np.asarray(self.history[name], dtype=float)
            label, logarithmic = STATES.get(name, (name, False))
            style = {"color": COLOURS[0], "linewidth": 1.8} | kwargs
            (self.lines_[name],) = panel.plot(np.arange(1, len(values) + 1), values, **style)
            if logarithmic and np.nanmin(values, initial=np.inf) > 0:
                panel.set_yscale("log")
            _leave_out_a_steep_beginning(panel, values)
            panel.grid(color="0.9", linewidth=0.8)
            panel.set_title(label, loc="left", fontsize="medium", pad=3)
            last = f"last: {values[-1]:.4g}" if len(values) else ""
            if name == "n_effective_parameters" and self.n_parameters is not None:
                last = f"{last} of {self.n_parameters}"
            panel.set_title(last, loc="right", fontsize="medium", pad=3)
        self.axes_[-1].set_xlabel("epoch or iteration")
        return self


def _leave_out_a_steep_beginning(panel, values):
    """Show most of a panel that its first few values would flatten; the curve enters from below."""
    logarithmic = panel.get_yscale() == "log"
    heights = np.log10(values) if logarithmic else values
    heights = heights[np.isfinite(heights)]
    later = heights[len(heights) // 10 :]
    if len(heights) < 20 or np.ptp(heights) < 4 * (heights.max() - later.min()):
        return
    low, high = later.min(), heights.max()
    room = 0.15 * (high - low)
    limits = np.array([low - room, high + room])
    if room > 0:
        panel.set_ylim(*(10.0**limits if logarithmic else limits))


class NetworkDisplay:
    """The network as nodes and lines.

    A line's width is the size of the weight, relative to the largest of its layer; positive weights
    are blue and solid, negative ones orange and dashed. Where the network was trained on
    standardised data the weights are those of the standardised inputs, which can be compared.
    Squares are intercepts. With `X` a unit is the darker, the higher its activation.

    Parameters
    ----------
    diagram : Diagram
        Nodes and lines.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the diagram.

    figure_ : matplotlib Figure
        Figure containing the diagram.

    lines_ : list of matplotlib LineCollection
        The positive weights, and the negative ones.

    nodes_ : list of matplotlib PathCollection
        The units, and the intercepts.

    texts_ : list of matplotlib Text
        Names of inputs and outputs, and what stands below each layer.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_tinymlp import NetworkDisplay, TinyMLPRegressor
    >>> X, y = [[1], [2], [3]], [5, 4, 3]
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    >>> display = NetworkDisplay.from_estimator(net, X)
    >>> plt.show()
    """

    def __init__(self, *, diagram):
        self.diagram = diagram

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X=None,
        *,
        feature_names=None,
        output_names=None,
        most_units=20,
        ax=None,
    ):
        """Draw the network of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor` or scikit-learn's :class:`MLPRegressor`, or a
            pipeline or search that ends in one.

        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Rows over which the activations are averaged; one row shows how it is predicted.

        feature_names : list of str, default=None
            Names of the inputs; those seen in `fit`, or x0, x1, ..., unless given.

        output_names : list of str, default=None
            Names of the outputs; y, or y0, y1, ..., unless given.

        most_units : int, default=20
            Of a larger layer the units with the largest weights are shown.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        Returns
        -------
        display : NetworkDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        diagram = diagram_of(
            estimator,
            X,
            feature_names=feature_names,
            output_names=output_names,
            most_units=most_units,
        )
        return cls(diagram=diagram).plot(ax=ax)

    def plot(self, ax=None):
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        Returns
        -------
        display : NetworkDisplay
            With the attributes that end in an underscore.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba

        ax = _axes(ax)
        nodes, links, captions, most = self.diagram
        height = ax.get_window_extent().height * 72 / ax.figure.dpi
        size = float(np.clip(0.62 * height / (most + 1), 4.0, 20.0))  # points across
        widest = min(3.2, 0.2 * size)  # thinner where they are many
        self.lines_ = []
        for colour, dashes, sign in ((POSITIVE, "solid", 1), (NEGATIVE, (0, (3, 1.2)), -1)):
            chosen = [link for link in links if sign * link.weight > 0]
            strength = np.array([abs(link.weight) for link in chosen])
            lines = LineCollection(
                [(link.start, link.end) for link in chosen],
                colors=[to_rgba(colour, 0.25 + 0.65 * share**1.5) for share in strength],
                linewidths=0.3 + widest * strength,
                linestyles=[dashes],
                capstyle="butt",
                zorder=1,
            )
            self.lines_.append(ax.add_collection(lines))
        self.nodes_, self.texts_ = [], []
        for kind, marker in (("unit", "o"), ("bias", "s")):
            chosen = [node for node in nodes if node.kind == kind]
            greys = [1.0 if np.isnan(node.shade) else 1.0 - 0.85 * node.shade for node in chosen]
            self.nodes_.append(
                ax.scatter(
                    [node.x for node in chosen],
                    [node.y for node in chosen],
                    s=(size if kind == "unit" else 0.75 * size) ** 2,
                    c=[(grey, grey, grey) for grey in greys],
                    edgecolors="black",
                    linewidths=1.0,
                    marker=marker,
                    zorder=2,
                )
            )
        last = len(captions) - 1
        for node in nodes:
            if node.kind == "bias" and size > 10:
                self._say(ax, node, node.label, (0, 0), "center", size=0.5 * size)
            elif node.kind == "rest":
                shift = {0: (-0.5 * size - 4, "right"), last: (0.5 * size + 4, "left")}
                dx, side = shift.get(int(node.x), (0, "center"))
                self._say(ax, node, node.label, (dx, 0), side, style="italic")
            elif node.kind == "unit" and node.label:
                before = node.x == 0
                dx = (-1 if before else 1) * (0.5 * size + 4)
                self._say(ax, node, node.label, (dx, 0), "right" if before else "left")
        bottom = min(node.y for node in nodes)
        for layer, caption in enumerate(captions):
            place = (layer, bottom)
            text = ax.annotate(
                caption,
                place,
                (0, -size - 4),
                textcoords="offset points",
                ha="center",
                va="top",
                color="0.3",
                annotation_clip=False,
            )
            self.texts_.append(text)
        ax.set_xlim(-0.12, last + 0.12)
        ax.set_ylim(bottom - 1.0 / (most + 1), max(node.y for node in nodes) + 0.5 / most)
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        self._legend(ax)
        return self

    def _say(self, ax, node, text, shift, side, **style):
        text = ax.annotate(
            text,
            (node.x, node.y),
            shift,
            textcoords="offset points",
            ha=side,
            va="center",
            annotation_clip=False,
            **style,
        )
        self.texts_.append(text)

    def _legend(self, ax):
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=POSITIVE, linewidth=2.5, label="positive weight"),
            Line2D(
                [], [], color=NEGATIVE, linewidth=2.5, linestyle=(0, (3, 1.2)), label="negative"
            ),
        ]
        if any(node.kind == "bias" for node in self.diagram.nodes):
            square = {"marker": "s", "markerfacecolor": "white", "linestyle": "none"}
            handles.append(Line2D([], [], color="black", label="intercept", **square))
        if not all(np.isnan(node.shade) for node in self.diagram.nodes):
            circle = {"marker": "o", "markerfacecolor": "0.15", "linestyle": "none"}
            handles.append(Line2D([], [], color="black", label="high activation", **circle))
        ax.legend(
            handles=handles,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=len(handles),
            frameon=False,
            fontsize="small",
            columnspacing=1.2,
            handlelength=1.8,
        )


class PredictionBandDisplay:
    """The prediction over one feature, the others fixed, with bands that hold y by chance.

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

    x_data, y_data : array-like of shape (n_samples,), default=None
        Points to show.

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
            A fitted regressor whose `predict` knows `return_std`: :class:`TinyMLPRegressor`, a
            pipeline that ends in one, a Gaussian process.

        X : array-like of shape (n_samples, n_features)
            Data: the range of the feature, and where the others are fixed.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets, shown as points. With several features a point is the curve plus what the
            estimator leaves of y, so that the other features do not scatter it.

        feature : int or str, default=0
            Which column of X is drawn.

        output : int, default=0
            Which output is drawn.

        fixed : 'median', 'mean' or array-like of shape (n_features,), default='median'
            Where the other features are fixed.

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
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        names = [str(name) for name in getattr(X, "columns", [])]
        if isinstance(feature, str):
            if feature not in names:
                raise ValueError(f"feature={feature!r} is not a column of X, which has {names}.")
            feature = names.index(feature)
        values = np.asarray(X, dtype=float)
        if isinstance(fixed, str):
            if fixed not in ("median", "mean"):
                raise ValueError(f"fixed must be 'median', 'mean' or an array, got {fixed!r}.")
            fixed = np.median(values, axis=0) if fixed == "median" else values.mean(axis=0)
        least, greatest = values[:, feature].min(), values[:, feature].max()
        beyond = margin * (greatest - least)
        x = np.linspace(least - beyond, greatest + beyond, grid_resolution)

        def predict(column, **options):
            rows = np.tile(np.asarray(fixed, dtype=float), (len(column), 1))
            rows[:, feature] = column
            return estimator.predict(_like(X, rows), **options)

        def of_output(predicted):
            predicted = np.asarray(predicted)
            return predicted.reshape(len(predicted), -1)[:, output]

        y_std = None
        if len(levels):
            y_mean, y_std = map(of_output, predict(x, return_std=True))
        else:
            y_mean = of_output(predict(x))
        x_data = y_data = None
        if y is not None:
            x_data = values[:, feature]
            left = of_output(y) - of_output(estimator.predict(X))
            y_data = of_output(predict(x_data)) + left
        return cls(
            x=x,
            y_mean=y_mean,
            y_std=y_std,
            levels=levels,
            x_data=x_data,
            y_data=y_data,
            feature_name=names[feature] if names else f"x{feature}",
            target_name=getattr(y, "name", None) or "y",
        ).plot(ax=ax, **kwargs)

    @classmethod
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
        check_matplotlib_support(f"{cls.__name__}.from_predictions")
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
        check_matplotlib_support(f"{type(self).__name__}.plot")
        ax = _axes(ax)
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
        self.points_ = None
        if self.x_data is not None and self.y_data is not None:
            (self.points_,) = ax.plot(
                self.x_data, self.y_data, ".", color="black", markersize=4, label="data"
            )
        ax.set(xlabel=self.feature_name or "x", ylabel=self.target_name or "y")
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def _like(X, rows):
    """Give rows the names that X has, so that the estimator does not miss them."""
    if hasattr(X, "iloc"):
        return type(X)(rows, columns=X.columns)
    if hasattr(X, "columns"):  # polars
        return type(X)(rows, schema=list(X.columns))
    return rows


class RelevanceDisplay:
    """How large the first layer's weights of each feature are: the bars of `feature_relevance_`.

    A feature whose weights are small hardly matters. One whose weights are large need not: what
    it matters for is said by `sklearn.inspection.permutation_importance`.

    Parameters
    ----------
    relevance : array-like of shape (n_features,)
        As `feature_relevance_`.

    feature_names : list of str
        Names of the features.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.

    figure_ : matplotlib Figure
        Figure containing the bars.

    bars_ : matplotlib BarContainer
        The bars, the largest first.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_tinymlp import RelevanceDisplay, TinyMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    >>> display = RelevanceDisplay.from_estimator(net)
    >>> plt.show()
    """

    def __init__(self, *, relevance, feature_names):
        self.relevance = relevance
        self.feature_names = feature_names

    @classmethod
    def from_estimator(cls, estimator, *, feature_names=None, most_features=20, ax=None, **kwargs):
        """Draw the relevance that a fitted estimator found.

        Parameters
        ----------
        estimator : estimator
            A :class:`TinyMLPRegressor` fitted by the evidence, or a pipeline or search that ends in
            one.

        feature_names : list of str, default=None
            Names of the inputs; those seen in `fit`, or x0, x1, ..., unless given.

        most_features : int, default=20
            How many are shown, the largest.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `barh`.

        Returns
        -------
        display : RelevanceDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        network = last_step(estimator)
        check_is_fitted(network)
        relevance = network.feature_relevance_
        if relevance is None:
            raise ValueError(
                "The relevance of features needs the evidence: fit with solver='lm' (or 'auto', on "
                "data that lm can take) and alpha='auto'. This network was fitted with solver_="
                f"{network.solver_!r} and alpha={network.alpha!r}."
            )
        names = input_names(estimator, len(relevance), feature_names)
        display = cls(relevance=relevance, feature_names=names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    @classmethod
    def from_relevance(cls, relevance, *, feature_names=None, most_features=20, ax=None, **kwargs):
        """Draw a relevance that was kept.

        Parameters
        ----------
        relevance : array-like of shape (n_features,)
            As `feature_relevance_`.

        feature_names, most_features, ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : RelevanceDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_relevance")
        if feature_names is None:
            feature_names = [f"x{number}" for number in range(len(relevance))]
        display = cls(relevance=relevance, feature_names=feature_names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    def plot(self, *, most_features=20, ax=None, **kwargs):
        """Draw the bars.

        Parameters
        ----------
        most_features, ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : RelevanceDisplay
            With the attributes that end in an underscore.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        ax = _axes(ax)
        relevance = np.asarray(self.relevance, dtype=float)
        order = np.argsort(-relevance, kind="stable")[:most_features]
        style = {"color": COLOURS[0], "height": 0.7} | kwargs
        places = np.arange(len(order))
        self.bars_ = ax.barh(places, relevance[order], **style)
        ax.set_yticks(places, [str(self.feature_names[k]) for k in order])
        ax.bar_label(self.bars_, fmt="{:.2f}", padding=3)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.spines[["top", "right"]].set_visible(False)
        left_out = len(relevance) - len(order)
        note = f" ({left_out} smaller ones left out)" if left_out else ""
        ax.set_xlabel(f"relevance{note}")
        self.ax_, self.figure_ = ax, ax.figure
        return self
