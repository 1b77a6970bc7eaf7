"""`NetworkDisplay`: units and weights as a diagram."""

import numpy as np

from .base import NEGATIVE, POSITIVE, DisplayMixin, display_class, draws
from .diagram import Diagram, diagram_of

DASHES = (0, (3, 1.2))  # of negative weights


@display_class
class NetworkDisplay(DisplayMixin):
    """The network as nodes and lines.

    The width of a line is the size of the weight relative to the largest weight of its layer.
    Positive weights are blue and solid, negative ones orange and dashed. If the network was trained
    on standardised data, the weights are those of the standardised inputs, which are comparable.
    Squares are intercepts. With `X`, the shade of a unit increases with its activation.

    Parameters
    ----------
    diagram : Diagram
        Nodes and lines.

    Attributes
    ----------
    {axes}

    lines_ : list of matplotlib LineCollection
        The positive weights, and the negative ones.

    nodes_ : list of matplotlib PathCollection
        The units, and the intercepts.

    texts_ : list of matplotlib Text
        Names of inputs and outputs, and the captions below the layers.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_tinymlp import NetworkDisplay, TinyMLPRegressor
    >>> X, y = [[1], [2], [3]], [5, 4, 3]
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    >>> display = NetworkDisplay.from_estimator(net, X)
    >>> plt.show()
    """

    diagram: Diagram

    @classmethod
    @draws()
    def from_estimator(
        cls, estimator, X=None, *, feature_names=None, output_names=None, most_units=20, ax=None
    ):
        """Draw the network of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor` or scikit-learn's :class:`MLPRegressor`, or a
            pipeline or search that ends in one.

        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Rows over which the activations are averaged; with a single row the diagram shows its
            prediction.

        feature_names : list of str, default=None
            Names of the inputs; if None, those seen in `fit`, or x0, x1, ... With
            ``inputs="ramps"`` the diagram begins with the ramps, x0_0, x0_1, ...

        output_names : list of str, default=None
            Names of the outputs; if None, y, or y0, y1, ...

        most_units : int, default=20
            Maximum number of units per layer; those with the largest weights are shown.

        {ax}
        """
        diagram = diagram_of(
            estimator,
            X,
            feature_names=feature_names,
            output_names=output_names,
            most_units=most_units,
        )
        return cls(diagram=diagram).plot(ax=ax)

    @draws()
    def plot(self, ax=None):
        """Draw the diagram.

        Parameters
        ----------
        {ax}
        """
        ax = self._use_axes(ax)
        diagram = self.diagram
        height = ax.get_window_extent().height * 72 / ax.figure.dpi
        spacing = height / (diagram.most + 1)  # of nodes, in points
        size = float(np.clip(0.62 * spacing, 4.0, 20.0))  # diameter of a node, in points
        self.texts_ = []
        self.lines_ = self._draw_links(ax, size)
        self.nodes_ = self._draw_nodes(ax, size)
        self._label_nodes(ax, size, spacing)
        left, right = self._margins(ax)
        heights = [node.y for node in diagram.nodes]
        for layer, caption in enumerate(diagram.captions):
            self._write(ax, caption, (layer, min(heights)), (0, -size - 4), va="top", color="0.3")
        ax.set_xlim(-left, len(diagram.captions) - 1 + right)
        ax.set_ylim(min(heights) - 1.0 / (diagram.most + 1), max(heights) + 0.5 / diagram.most)
        ax.set_axis_off()
        self._legend(ax)
        return self

    def _draw_links(self, ax, size):
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgba

        widest = min(3.2, 0.2 * size)  # thinner if there are many
        drawn = []
        for colour, dashes, sign in ((POSITIVE, "solid", 1), (NEGATIVE, DASHES, -1)):
            chosen = [link for link in self.diagram.links if sign * link.weight > 0]
            strength = np.array([abs(link.weight) for link in chosen])
            style = {"linestyles": [dashes], "capstyle": "butt", "zorder": 1}
            style["colors"] = [to_rgba(colour, 0.25 + 0.65 * share**1.5) for share in strength]
            segments = [(link.start, link.end) for link in chosen]
            lines = LineCollection(segments, linewidths=0.3 + widest * strength, **style)
            drawn.append(ax.add_collection(lines))
        return drawn

    def _draw_nodes(self, ax, size):
        drawn = []
        for kind, marker, diameter in (("unit", "o", size), ("bias", "s", 0.75 * size)):
            chosen = [node for node in self.diagram.nodes if node.kind == kind]
            greys = [1.0 if np.isnan(node.shade) else 1.0 - 0.85 * node.shade for node in chosen]
            x, y = [node.x for node in chosen], [node.y for node in chosen]
            style = {"marker": marker, "edgecolors": "black", "linewidths": 1.0, "zorder": 2}
            drawn.append(ax.scatter(x, y, diameter**2, c=[(grey,) * 3 for grey in greys], **style))
        return drawn

    def _label_nodes(self, ax, size, spacing):
        from matplotlib.font_manager import FontProperties

        last = len(self.diagram.captions) - 1
        distance = 0.5 * size + 4
        sides = {0: (-distance, "right"), last: (distance, "left")}
        # A line is some 1.2 times as high as its letters.
        letters = min(FontProperties().get_size_in_points(), spacing / 1.2)
        for node in self.diagram.nodes:
            place = (node.x, node.y)
            if node.kind == "bias":
                if size > 10:
                    self._write(ax, node.label, place, size=0.5 * size)
            elif node.label:
                shift, alignment = sides.get(int(node.x), (0, "center"))
                style = "italic" if node.kind == "rest" else "normal"
                font = {"style": style, "size": letters}
                self._write(ax, node.label, place, (shift, 0), ha=alignment, **font)

    def _margins(self, ax):
        """Return the margins that names of inputs and outputs need, in distances between layers."""
        width = ax.get_window_extent().width
        shares = []
        for side in ("right", "left"):  # the alignment of inputs, then outputs
            names = [text for text in self.texts_ if text.get_ha() == side]
            widths = [text.get_window_extent().width for text in names]
            shifts = [abs(text.xyann[0]) * ax.figure.dpi / 72 for text in names]
            share = max(map(sum, zip(widths, shifts, strict=True)), default=0.0) / width
            shares.append(min(share, 0.4))  # longer names extend beyond the axes
        layers = len(self.diagram.captions) - 1
        return [max(0.12, share * layers / (1.0 - sum(shares))) for share in shares]

    def _write(self, ax, text, place, shift=(0, 0), **style):
        style = {"ha": "center", "va": "center", "annotation_clip": False} | style
        text = ax.annotate(text, place, shift, textcoords="offset points", **style)
        self.texts_.append(text)

    def _legend(self, ax):
        from matplotlib.lines import Line2D

        nodes, point = self.diagram.nodes, {"color": "black", "linestyle": "none"}
        styles = {
            "positive weight": {"color": POSITIVE, "linewidth": 2.5},
            "negative": {"color": NEGATIVE, "linewidth": 2.5, "linestyle": DASHES},
        }
        if any(node.kind == "bias" for node in nodes):
            styles["intercept"] = point | {"marker": "s", "markerfacecolor": "white"}
        if not all(np.isnan(node.shade) for node in nodes):
            styles["high activation"] = point | {"marker": "o", "markerfacecolor": "0.15"}
        handles = [Line2D([], [], label=label, **style) for label, style in styles.items()]
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": len(handles)}
        size = {"fontsize": "small", "columnspacing": 1.2, "handlelength": 1.8}
        ax.legend(handles=handles, frameon=False, **place, **size)
