"""`CandidatesDisplay`: the errors and weights of the candidates of an ensemble."""

import numpy as np

from .base import COLOURS, MARKERS, DisplayMixin, display_class, draws, fitted_network

# The error axis is logarithmic if the largest error is at least this many times the smallest: a
# linear axis would crowd the best candidates.
LOGARITHMIC_RATIO = 3.0

# Possible positions of a label: shift in points, horizontal and vertical alignment.
LABEL_PLACES = (
    ((7, 0), "left", "center"),
    ((-7, 0), "right", "center"),
    ((0, 6), "center", "bottom"),
    ((0, -6), "center", "top"),
    ((5, 5), "left", "bottom"),
)


@display_class
class CandidatesDisplay(DisplayMixin):
    """Out-of-fold error, and weight, of each candidate of an ensemble.

    Filled points have a weight, hollow ones do not improve on the others. Colour and marker show
    the inputs or, if these are the same, the activation.

    Parameters
    ----------
    results : dict of array-like, or DataFrame
        As `results_`.

    Attributes
    ----------
    {axes}

    points_ : dict of matplotlib PathCollection
        The points of each kind of inputs, or of each activation.

    texts_ : list of matplotlib Text
        The sizes of the hidden layers.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn_tinymlp import CandidatesDisplay, TinyMLPEnsembleRegressor
    >>> X, y = make_friedman1(60, n_features=5, random_state=0)
    >>> shapes = [(2,), (4,), (3, 3)]
    >>> net = TinyMLPEnsembleRegressor(hidden_layer_sizes=shapes, cv=2, random_state=0).fit(X, y)
    >>> display = CandidatesDisplay.from_estimator(net)
    >>> plt.show()
    """

    results: dict

    @classmethod
    @draws("scatter")
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the candidates of a fitted ensemble.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPEnsembleRegressor`, or a pipeline or search that ends in one.

        {ax}
        """
        ensemble = fitted_network(estimator)
        if not hasattr(ensemble, "results_"):
            raise TypeError(
                "CandidatesDisplay takes a TinyMLPEnsembleRegressor, or a pipeline or search that "
                f"ends in one, got {type(ensemble).__name__}."
            )
        return cls.from_results(ensemble.results_, ax=ax, **kwargs)

    @classmethod
    @draws("scatter")
    def from_results(cls, results, *, ax=None, **kwargs):
        """Draw the candidates of the `results_` of an ensemble.

        Parameters
        ----------
        results : dict of array-like, or DataFrame
            As `results_`.

        {ax}
        """
        return cls(results=results).plot(ax=ax, **kwargs)

    def _draw(self, ax, **kwargs):
        from matplotlib.lines import Line2D

        ax = self._use_axes(ax)
        error, weight = (np.asarray(self.results[name], float) for name in ("error", "weight"))
        by = "inputs" if len(set(self.results.get("inputs", ()))) > 1 else "activation"
        kind = np.asarray(self.results[by])
        known = np.isfinite(error)  # infinite if training was interrupted before the first fold
        self.points_, handles = {}, []
        for number, name in enumerate(dict.fromkeys(kind[known].tolist())):
            colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            chosen = known & (kind == name)
            style = {
                "s": 50,
                "marker": marker,
                "facecolors": [colour if share > 0.0 else "white" for share in weight[chosen]],
                "edgecolors": colour,
                "linewidths": 1.5,
                "zorder": 3,
            } | kwargs
            self.points_[name] = ax.scatter(error[chosen], weight[chosen], **style)
            look = {"color": colour, "marker": marker, "linestyle": "none"}
            handles.append(Line2D([], [], label=name, **look))
        least, largest = min(error[known], default=1.0), max(error[known], default=1.0)
        if 0.0 < LOGARITHMIC_RATIO * least < largest:
            ax.set_xscale("log")
        ax.margins(0.12)
        ax.set(xlabel="out-of-fold error, over the standard deviation of y", ylabel="weight")
        sizes = [self.results["hidden_layer_sizes"][k] for k in np.flatnonzero(known)]
        names = [", ".join(map(str, np.ravel(hidden))) or "none" for hidden in sizes]
        self.texts_ = _label(ax, error[known], weight[known], names)
        ax.spines[["top", "right"]].set_visible(False)
        if (weight[known] == 0.0).any():
            look = {"color": "0.3", "marker": "o", "markerfacecolor": "white", "linestyle": "none"}
            handles.append(Line2D([], [], label="no weight", **look))
        ax.legend(handles=handles, frameon=False)


def _label(ax, xs, ys, names) -> list:
    """Label each point, at the first position where it covers no point and no other label."""
    ax.autoscale_view()
    points = ax.transData.transform(np.column_stack([xs, ys]))
    texts, taken = [], []
    for x, y, name in zip(xs, ys, names, strict=True):
        text = ax.annotate(name, (x, y), (0, 0), textcoords="offset points")
        for shift, horizontal, vertical in LABEL_PLACES:
            text.set(position=shift, ha=horizontal, va=vertical)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and not box.count_contains(points):
                break
        texts.append(text)
        taken.append(box)
    return texts
