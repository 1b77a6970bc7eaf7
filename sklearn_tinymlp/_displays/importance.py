"""`RelevanceDisplay`: how much each input counts."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .axes import COLOURS, needs_matplotlib, new_axes
from .diagram import input_names, last_step


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
    @needs_matplotlib
    def from_estimator(cls, estimator, *, feature_names=None, most_features=20, ax=None, **kwargs):
        """Draw the relevance that a fitted estimator found.

        Parameters
        ----------
        estimator : estimator
            A :class:`TinyMLPRegressor` or :class:`TinyMLPEnsembleRegressor` fitted by the evidence,
            or a pipeline or search that ends in one.

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
        network = last_step(estimator)
        check_is_fitted(network)
        relevance = network.feature_relevance_
        if relevance is None:
            network = getattr(network, "estimators_", [network])[0]
            raise ValueError(
                "The relevance of features needs the evidence: fit with solver='lm' (or 'auto', on "
                "data that lm can take) and alpha='auto'. This network was fitted with solver_="
                f"{network.solver_!r} and alpha={network.alpha!r}."
            )
        names = input_names(estimator, len(relevance), feature_names)
        display = cls(relevance=relevance, feature_names=names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    @classmethod
    @needs_matplotlib
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
        if feature_names is None:
            feature_names = [f"x{number}" for number in range(len(relevance))]
        display = cls(relevance=relevance, feature_names=feature_names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    @needs_matplotlib
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
        ax = new_axes(ax)
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
