"""`ImportanceDisplay`: how much each input matters."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .axes import COLOURS, needs_matplotlib, new_axes
from .diagram import input_names, last_step


class ImportanceDisplay:
    """How much predictions change with each feature: the bars of `feature_importances_`.

    That asks the network alone. What the error of new rows owes to a feature is said by
    `sklearn.inspection.permutation_importance`, which ranks features much the same.

    Parameters
    ----------
    importances : array-like of shape (n_features,)
        As `feature_importances_`.

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
    >>> from sklearn_tinymlp import ImportanceDisplay, TinyMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), random_state=0).fit(X, y)
    >>> display = ImportanceDisplay.from_estimator(net)
    >>> plt.show()
    """

    def __init__(self, *, importances, feature_names):
        self.importances = importances
        self.feature_names = feature_names

    @classmethod
    @needs_matplotlib
    def from_estimator(cls, estimator, *, feature_names=None, most_features=20, ax=None, **kwargs):
        """Draw the importances of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor` or :class:`TinyMLPEnsembleRegressor`, or a pipeline
            or search that ends in one.

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
        display : ImportanceDisplay
        """
        network = last_step(estimator)
        check_is_fitted(network)
        importances = network.feature_importances_
        names = input_names(estimator, len(importances), feature_names)
        display = cls(importances=importances, feature_names=names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    @classmethod
    @needs_matplotlib
    def from_importances(
        cls, importances, *, feature_names=None, most_features=20, ax=None, **kwargs
    ):
        """Draw importances that were kept.

        Parameters
        ----------
        importances : array-like of shape (n_features,)
            As `feature_importances_`.

        feature_names, most_features, ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : ImportanceDisplay
        """
        if feature_names is None:
            feature_names = [f"x{number}" for number in range(len(importances))]
        display = cls(importances=importances, feature_names=feature_names)
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
        display : ImportanceDisplay
            With the attributes that end in an underscore.
        """
        ax = new_axes(ax)
        importances = np.asarray(self.importances, dtype=float)
        order = np.argsort(-importances, kind="stable")[:most_features]
        style = {"color": COLOURS[0], "height": 0.7} | kwargs
        places = np.arange(len(order))
        self.bars_ = ax.barh(places, importances[order], **style)
        ax.set_yticks(places, [str(self.feature_names[k]) for k in order])
        ax.bar_label(self.bars_, fmt="{:.2f}", padding=3)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.spines[["top", "right"]].set_visible(False)
        left_out = len(importances) - len(order)
        note = f" ({left_out} smaller ones left out)" if left_out else ""
        ax.set_xlabel(f"importance{note}")
        self.ax_, self.figure_ = ax, ax.figure
        return self
