"""`NetworkDisplay`: units and weights as a diagram."""

import numpy as np

from .axes import needs_matplotlib, new_axes
from .diagram import NEGATIVE, POSITIVE, diagram_of


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
    @needs_matplotlib
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
        diagram = diagram_of(
            estimator,
            X,
            feature_names=feature_names,
            output_names=output_names,
            most_units=most_units,
        )
        return cls(diagram=diagram).plot(ax=ax)

    @needs_matplotlib
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
        ax = new_axes(ax)
        diagram = self.diagram
        height = ax.get_window_extent().height * 72 / ax.figure.dpi
        between = height / (diagram.most + 1)  # nodes, in points
        size = float(np.clip(0.62 * between, 4.0, 20.0))  # points across
        self.texts_ = []
        self.lines_ = self._draw_links(ax, size)
        self.nodes_ = self._draw_nodes(ax, size)
        self._label_nodes(ax, size, between)
        left, right = self._margins(ax)
        self._write_captions(ax, size)
        heights = [node.y for node in diagram.nodes]
        ax.set_xlim(-left, len(diagram.captions) - 1 + right)
        ax.set_ylim(min(heights) - 1.0 / (diagram.most + 1), max(heights) + 0.5 / diagram.most)
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        self._legend(ax)
        return self

    def _draw_links(self, ax, size):
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba

        widest = min(3.2, 0.2 * size)  # thinner where they are many
        drawn = []
        for colour, dashes, sign in ((POSITIVE, "solid", 1), (NEGATIVE, (0, (3, 1.2)), -1)):
            chosen = [link for link in self.diagram.links if sign * link.weight > 0]
            strength = np.array([abs(link.weight) for link in chosen])
            lines = LineCollection(
                [(link.start, link.end) for link in chosen],
                colors=[to_rgba(colour, 0.25 + 0.65 * share**1.5) for share in strength],
                linewidths=0.3 + widest * strength,
                linestyles=[dashes],
                capstyle="butt",
                zorder=1,
            )
            drawn.append(ax.add_collection(lines))
        return drawn

    def _draw_nodes(self, ax, size):
        drawn = []
        for kind, marker in (("unit", "o"), ("bias", "s")):
            chosen = [node for node in self.diagram.nodes if node.kind == kind]
            greys = [1.0 if np.isnan(node.shade) else 1.0 - 0.85 * node.shade for node in chosen]
            points = ax.scatter(
                [node.x for node in chosen],
                [node.y for node in chosen],
                s=(size if kind == "unit" else 0.75 * size) ** 2,
                c=[(grey, grey, grey) for grey in greys],
                edgecolors="black",
                linewidths=1.0,
                marker=marker,
                zorder=2,
            )
            drawn.append(points)
        return drawn

    def _label_nodes(self, ax, size, between):
        from matplotlib.font_manager import FontProperties

        last = len(self.diagram.captions) - 1
        beside = 0.5 * size + 4
        # A line is some 1.2 times as high as its letters.
        letters = min(FontProperties().get_size_in_points(), between / 1.2)
        for node in self.diagram.nodes:
            if node.kind == "bias" and size > 10:
                self._say(ax, node, node.label, (0, 0), "center", size=0.5 * size)
            elif node.kind == "rest":
                shift = {0: (-beside, "right"), last: (beside, "left")}
                dx, side = shift.get(int(node.x), (0, "center"))
                self._say(ax, node, node.label, (dx, 0), side, style="italic", size=letters)
            elif node.kind == "unit" and node.label:
                dx, side = (-beside, "right") if node.x == 0 else (beside, "left")
                self._say(ax, node, node.label, (dx, 0), side, size=letters)

    def _margins(self, ax):
        """Leave the names of inputs and outputs room within the axes, in layers, to both sides."""
        width = ax.get_window_extent().width
        shares = []
        for side in ("right", "left"):  # as texts are aligned: inputs, then outputs
            names = [text for text in self.texts_ if text.get_ha() == side]
            widths = [text.get_window_extent().width for text in names]
            beside = [abs(text.xyann[0]) * ax.figure.dpi / 72 for text in names]
            share = max(map(sum, zip(widths, beside, strict=True)), default=0.0) / width
            shares.append(min(share, 0.4))  # longer names stand out of the axes
        layers = len(self.diagram.captions) - 1
        return [max(0.12, share * layers / (1.0 - sum(shares))) for share in shares]

    def _write_captions(self, ax, size):
        bottom = min(node.y for node in self.diagram.nodes)
        for layer, caption in enumerate(self.diagram.captions):
            text = ax.annotate(
                caption,
                (layer, bottom),
                (0, -size - 4),
                textcoords="offset points",
                ha="center",
                va="top",
                color="0.3",
                annotation_clip=False,
            )
            self.texts_.append(text)

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
