"""`CandidatesDisplay`: the candidates of an ensemble, how they err and what they count."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .axes import COLOURS, MARKERS, needs_matplotlib, new_axes
from .diagram import last_step

# From this ratio of the largest to the least error a linear axis would crowd the good ones.
FAR_APART = 3.0

# Where a name may stand: shift in points, and the side of the name that is at its point.
SIDES = (
    ((7, 0), "left", "center"),
    ((-7, 0), "right", "center"),
    ((0, 6), "center", "bottom"),
    ((0, -6), "center", "top"),
    ((5, 5), "left", "bottom"),
)


class CandidatesDisplay:
    """Error on rows left out, and weight, of each shape that an ensemble has tried.

    Full points have weight, hollow ones do not: these gave up on the way, or add nothing to the
    others. A colour and a marker are an activation.

    Parameters
    ----------
    results : dict of array-like, or DataFrame
        As `results_`.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the points.

    figure_ : matplotlib Figure
        Figure containing the points.

    points_ : dict of matplotlib PathCollection
        The points of each activation.

    texts_ : list of matplotlib Text
        The shapes.

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

    def __init__(self, *, results):
        self.results = results

    @classmethod
    @needs_matplotlib
    def from_estimator(cls, estimator, *, ax=None, **kwargs):
        """Draw the candidates of a fitted ensemble.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPEnsembleRegressor`, or a pipeline or search that ends in one.

        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `scatter`.

        Returns
        -------
        display : CandidatesDisplay
        """
        ensemble = last_step(estimator)
        check_is_fitted(ensemble)
        if not hasattr(ensemble, "results_"):
            raise TypeError(
                "CandidatesDisplay takes a TinyMLPEnsembleRegressor, or a pipeline or search that "
                f"ends in one, got {type(ensemble).__name__}."
            )
        return cls(results=ensemble.results_).plot(ax=ax, **kwargs)

    @classmethod
    @needs_matplotlib
    def from_results(cls, results, *, ax=None, **kwargs):
        """Draw candidates whose `results_` were kept.

        Parameters
        ----------
        results : dict of array-like, or DataFrame
            As `results_`.

        ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : CandidatesDisplay
        """
        return cls(results=results).plot(ax=ax, **kwargs)

    @needs_matplotlib
    def plot(self, ax=None, **kwargs):
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; new ones unless given.

        **kwargs : dict
            Passed on to matplotlib's `scatter`.

        Returns
        -------
        display : CandidatesDisplay
            With the attributes that end in an underscore.
        """
        ax = new_axes(ax)
        error, weight = (np.asarray(self.results[name], float) for name in ("error", "weight"))
        activation = np.asarray(self.results["activation"])
        known = np.isfinite(error)  # infinite where Ctrl-C came before the first fold
        self.points_ = {}
        for number, name in enumerate(dict.fromkeys(activation[known].tolist())):
            colour = COLOURS[number % len(COLOURS)]
            of_it = known & (activation == name)
            style = {
                "s": 50,
                "marker": MARKERS[number % len(MARKERS)],
                "facecolors": [colour if share > 0.0 else "white" for share in weight[of_it]],
                "edgecolors": colour,
                "linewidths": 1.5,
                "zorder": 3,
            } | kwargs
            self.points_[name] = ax.scatter(error[of_it], weight[of_it], **style)
        least, largest = min(error[known], default=1.0), max(error[known], default=1.0)
        if 0.0 < FAR_APART * least < largest:
            ax.set_xscale("log")
        ax.margins(0.12)
        ax.set(xlabel="error of rows left out, over the standard deviation of y", ylabel="weight")
        shapes = [self.results["hidden_layer_sizes"][k] for k in np.flatnonzero(known)]
        names = [", ".join(map(str, np.ravel(shape))) or "none" for shape in shapes]
        self.texts_ = _write_beside(ax, error[known], weight[known], names)
        ax.spines[["top", "right"]].set_visible(False)
        self._legend(ax, bool((weight[known] == 0.0).any()))
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _legend(self, ax, any_without_weight):
        from matplotlib.lines import Line2D

        handles = [
            Line2D([], [], color=COLOURS[k % len(COLOURS)], marker=MARKERS[k % len(MARKERS)])
            for k in range(len(self.points_))
        ]
        labels = list(self.points_)
        if any_without_weight:
            handles.append(Line2D([], [], color="0.3", marker="o", markerfacecolor="white"))
            labels.append("no weight")
        for handle in handles:
            handle.set_linestyle("none")
        ax.legend(handles, labels, frameon=False)


def _write_beside(ax, xs, ys, names) -> list:
    """Write a name beside each point, on the first side where it hides no point and no name."""
    ax.autoscale_view()
    points = ax.transData.transform(np.column_stack([xs, ys]))
    texts, taken = [], []
    for x, y, name in zip(xs, ys, names, strict=True):
        text = ax.annotate(name, (x, y), (0, 0), textcoords="offset points")
        for shift, across, along in SIDES:
            text.set(position=shift, ha=across, va=along)
            box = text.get_window_extent()
            if not any(box.overlaps(other) for other in taken) and not box.count_contains(points):
                break
        texts.append(text)
        taken.append(box)
    return texts
