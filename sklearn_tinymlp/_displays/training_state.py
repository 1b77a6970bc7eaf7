"""`TrainingStateDisplay`: the recorded quantities of a fit, one panel each."""

import numpy as np

from .base import COLOURS, DisplayMixin, display_class, draws, fitted_network

# Column of the history: title of its panel, and whether the axis is logarithmic.
STATES = {
    "loss": ("loss", True),
    "gradient_norm": ("gradient norm", True),
    "damping": ("damping", True),
    "alpha": ("alpha", True),
    "learning_rate": ("learning rate", True),
    "log_evidence": ("log evidence", False),
    "n_effective_parameters": ("effective parameters", False),
    "validation_loss": ("validation loss", True),
    "validation_score": ("validation score", False),
}


@display_class
class TrainingStateDisplay(DisplayMixin):
    """The quantities recorded during training, one panel each, as MATLAB's `plottrainstate`.

    With 'lm' these are the loss, the norm of the gradient and the damping, and with evidence
    maximisation alpha, the log evidence and the number of effective parameters; with 'sgd' and
    'adam' the loss and the learning rate; with a validation set also its loss and R².

    Parameters
    ----------
    history : dict of array-like
        As `history_`.

    n_parameters : int, default=None
        As `n_parameters_`, shown in the panel of the effective parameters.

    Attributes
    ----------
    {panels}

    lines_ : dict of matplotlib Line2D
        The curve of each column.

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

    history: dict
    n_parameters: int | None = None

    @classmethod
    @draws("plot", panels=True)
    def from_estimator(cls, estimator, *, columns=None, ax=None, **kwargs):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor`, or a pipeline or search that ends in one.

        columns : list of str, default=None
            Columns of `history_` to draw; if None, all columns with a title in this display.

        {ax}
        """
        estimator = fitted_network(estimator, single=True)
        display = cls(history=estimator.history_, n_parameters=estimator.n_parameters_)
        return display.plot(columns=columns, ax=ax, **kwargs)

    @classmethod
    @draws("plot", panels=True)
    def from_history(cls, history, *, n_parameters=None, columns=None, ax=None, **kwargs):
        """Draw the `history_` of an estimator.

        Parameters
        ----------
        history : dict of array-like, or DataFrame
            As `history_`.

        n_parameters : int, default=None
            See the class.

        columns : as for `from_estimator`
            See :meth:`from_estimator`.

        {ax}
        """
        display = cls(history=history, n_parameters=n_parameters)
        return display.plot(columns=columns, ax=ax, **kwargs)

    @draws("plot", panels=True)
    def plot(self, *, columns=None, ax=None, **kwargs):
        """Draw the panels.

        Parameters
        ----------
        columns : as for `from_estimator`
            See :meth:`from_estimator`.

        {ax}
        """
        if columns is None:
            columns = [name for name in STATES if name in self.history]
        missing = [name for name in columns if name not in self.history]
        if missing:
            raise ValueError(f"history has no column {missing[0]!r}, only {list(self.history)}.")
        n_panels = len(columns)
        size = (6.4, 0.6 + 1.2 * n_panels)
        panels = self._use_panels(ax, n_panels, shape=(n_panels, 1), figsize=size, sharex=True)
        self.lines_ = {}
        for panel, name in zip(panels, columns, strict=True):
            values = np.asarray(self.history[name], dtype=float)
            label, logarithmic = STATES.get(name, (name, False))
            style = {"color": COLOURS[0], "linewidth": 1.8} | kwargs
            if len(values) == 1:  # a line of one point is invisible
                style = {"marker": "o"} | style
            (self.lines_[name],) = panel.plot(np.arange(1, len(values) + 1), values, **style)
            if logarithmic and np.nanmin(values, initial=np.inf) > 0:
                panel.set_yscale("log")
            _hide_steep_beginning(panel, values)
            panel.grid(color="0.9", linewidth=0.8)
            panel.set_title(label, loc="left", fontsize="medium", pad=3)
            last = f"last: {values[-1]:.4g}" if len(values) else ""
            if name == "n_effective_parameters" and self.n_parameters is not None:
                last = f"{last} of {self.n_parameters}"
            panel.set_title(last, loc="right", fontsize="medium", pad=3)
        panels[-1].set_xlabel("epoch or iteration")
        return self


def _hide_steep_beginning(panel, values):
    """Limit the axis to later values if the first tenth is so far below that it flattens them."""
    logarithmic = panel.get_yscale() == "log"
    heights = np.log10(values) if logarithmic else values
    heights = heights[np.isfinite(heights)]
    later = heights[len(heights) // 10 :]
    if len(heights) < 20 or np.ptp(heights) < 4 * (heights.max() - later.min()):
        return
    low, high = later.min(), heights.max()
    margin = 0.15 * (high - low)
    limits = np.array([low - margin, high + margin])
    if margin > 0:
        panel.set_ylim(*(10.0**limits if logarithmic else limits))
