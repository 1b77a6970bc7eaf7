"""`TrainingStateDisplay`: what else the record of a fit holds."""

import numpy as np

from .axes import COLOURS, needs_matplotlib
from .diagram import one_network

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
    @needs_matplotlib
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
        estimator = one_network(estimator)
        display = cls(history=estimator.history_, n_parameters=estimator.n_parameters_)
        return display.plot(columns=columns, ax=ax, **kwargs)

    @classmethod
    @needs_matplotlib
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
        display = cls(history=history, n_parameters=n_parameters)
        return display.plot(columns=columns, ax=ax, **kwargs)

    @needs_matplotlib
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
            if len(values) == 1:  # of a line there is nothing to see
                style = {"marker": "o"} | style
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
