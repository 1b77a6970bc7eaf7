"""`ImportanceDisplay`: the importance of each feature."""

import numpy as np
from numpy.typing import ArrayLike

from .base import COLOURS, DisplayMixin, display_class, draws, fitted_network, input_names


@display_class
class ImportanceDisplay(DisplayMixin):
    """How much predictions change with each feature: the bars of `feature_importances_`.

    They are computed from the network alone. The contribution of a feature to the error on new
    data is the subject of `sklearn.inspection.permutation_importance`, whose ranking is similar.

    Parameters
    ----------
    importances : array-like of shape (n_features,)
        As `feature_importances_`.

    feature_names : list of str
        Names of the features.

    Attributes
    ----------
    {axes}

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

    importances: ArrayLike
    feature_names: list

    @classmethod
    @draws("barh")
    def from_estimator(cls, estimator, *, feature_names=None, most_features=20, ax=None, **kwargs):
        """Draw the importances of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor` or :class:`TinyMLPEnsembleRegressor`, or a pipeline
            or search that ends in one.

        feature_names : list of str, default=None
            Names of the inputs; if None, those seen in `fit`, or x0, x1, ...

        most_features : int, default=20
            Maximum number of features; the most important ones are shown.

        {ax}
        """
        importances = fitted_network(estimator).feature_importances_
        names = input_names(estimator, len(importances), feature_names)
        display = cls(importances=importances, feature_names=names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    @classmethod
    @draws("barh")
    def from_importances(
        cls, importances, *, feature_names=None, most_features=20, ax=None, **kwargs
    ):
        """Draw importances.

        Parameters
        ----------
        importances : array-like of shape (n_features,)
            As `feature_importances_`.

        feature_names, most_features : as for `from_estimator`
            See :meth:`from_estimator`.

        {ax}
        """
        if feature_names is None:
            feature_names = [f"x{number}" for number in range(len(importances))]
        display = cls(importances=importances, feature_names=feature_names)
        return display.plot(most_features=most_features, ax=ax, **kwargs)

    @draws("barh")
    def plot(self, *, most_features=20, ax=None, **kwargs):
        """Draw the bars.

        Parameters
        ----------
        most_features : as for `from_estimator`
            See :meth:`from_estimator`.

        {ax}
        """
        ax = self._use_axes(ax)
        importances = np.asarray(self.importances, dtype=float)
        order = np.argsort(-importances, kind="stable")[:most_features]
        style = {"color": COLOURS[0], "height": 0.7} | kwargs
        positions = np.arange(len(order))
        self.bars_ = ax.barh(positions, importances[order], **style)
        ax.set_yticks(positions, [str(self.feature_names[k]) for k in order])
        ax.bar_label(self.bars_, fmt="{:.2f}", padding=3)
        ax.invert_yaxis()
        ax.margins(x=0.12)
        ax.spines[["top", "right"]].set_visible(False)
        n_hidden = len(importances) - len(order)
        note = f" ({n_hidden} smaller ones not shown)" if n_hidden else ""
        ax.set_xlabel(f"importance{note}")
        return self
