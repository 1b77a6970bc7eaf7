"""`LossCurveDisplay`: the loss over epochs or iterations."""

import numpy as np
from numpy.typing import ArrayLike

from .._losses.table import LOSSES
from .._solvers.table import SOLVERS
from .base import COLOURS, MARKERS, DisplayMixin, display_class, draws, fitted_network


@display_class
class LossCurveDisplay(DisplayMixin):
    """Loss by epoch or iteration, with the end of training and its reason.

    Use :meth:`from_estimator` or :meth:`from_history` to create it. To compare several estimators,
    pass the `ax_` of the first display to the next; each has its own colour and marker.

    Parameters
    ----------
    loss : array-like of shape (n_iter,)
        Training loss.

    validation_loss : array-like of shape (n_iter,), default=None
        Loss on the validation set.

    loss_tol : float, default=None
        The loss at which training stops.

    stop_reason : str, default=None
        As `stop_reason_`.

    converged : bool, default=None
        As `converged_`: the last point is filled if it is true, and hollow if not.

    name : str, default=None
        Name of the estimator in the legend.

    best_epoch : int, default=None
        As `best_epoch_`: a ring marks the epoch whose weights were kept, unless it is the last.

    Attributes
    ----------
    {axes}

    line_ : matplotlib Line2D
        Training loss, with a marker at its end.

    validation_line_ : matplotlib Line2D or None
        Validation loss.

    loss_tol_line_ : matplotlib Line2D or None
        The line at `loss_tol`.

    best_line_ : matplotlib Line2D or None
        The ring at `best_epoch`, on the validation loss if there is one.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn_tinymlp import LossCurveDisplay, TinyMLPRegressor
    >>> X, y = [[1], [2], [3]], [5, 4, 3]
    >>> net = TinyMLPRegressor(solver="lm", alpha=0.0, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(net)
    >>> plt.show()
    """

    loss: ArrayLike
    validation_loss: ArrayLike | None = None
    loss_tol: float | None = None
    stop_reason: str | None = None
    converged: bool | None = None
    name: str | None = None
    best_epoch: int | None = None

    @classmethod
    @draws("plot")
    def from_estimator(cls, estimator, *, name=None, ax=None, **kwargs):
        """Draw the loss of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            A fitted :class:`TinyMLPRegressor`, or a pipeline or search that ends in one. The loss
            of scikit-learn's :class:`MLPRegressor` is drawn too.

        name : str, default=None
            Name in the legend; if None, the solver.

        {ax}
        """
        estimator = fitted_network(estimator, single=True)
        history = getattr(estimator, "history_", None) or {"loss": estimator.loss_curve_}
        return cls.from_history(
            _in_units_of_y(history, estimator),
            loss_tol=getattr(estimator, "loss_tol", None),
            stop_reason=getattr(estimator, "stop_reason_", None),
            converged=getattr(estimator, "converged_", None),
            name=getattr(estimator, "solver_", estimator.solver) if name is None else name,
            best_epoch=getattr(estimator, "best_epoch_", None),
            ax=ax,
            **kwargs,
        )

    @classmethod
    @draws("plot")
    def from_history(
        cls,
        history,
        *,
        loss_tol=None,
        stop_reason=None,
        converged=None,
        name=None,
        best_epoch=None,
        ax=None,
        **kwargs,
    ):
        """Draw the loss of the `history_` of an estimator.

        Parameters
        ----------
        history : dict of array-like, or DataFrame
            As `history_`: 'loss', and 'validation_loss' if there is one.

        loss_tol, stop_reason, converged, name, best_epoch : as for the class
            See the class.

        {ax}
        """
        validation_loss = None
        if "validation_loss" in history:
            validation_loss = np.asarray(history["validation_loss"], dtype=float)
        return cls(
            loss=np.asarray(history["loss"], dtype=float),
            validation_loss=validation_loss,
            loss_tol=loss_tol,
            stop_reason=stop_reason,
            converged=converged,
            name=name,
            best_epoch=best_epoch,
        ).plot(ax=ax, **kwargs)

    def _draw(self, ax, **kwargs):
        ax = self._use_axes(ax)
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
            dashed = style | {"linestyle": (0, (4, 1.5)), "linewidth": 1.3, "label": label}
            (self.validation_line_,) = ax.plot(steps, self.validation_loss, **dashed)

        self.best_line_ = None
        if self.best_epoch is not None and 0 < self.best_epoch < n_iter:
            curve = self.loss if self.validation_loss is None else self.validation_loss
            label = f"kept: epoch {self.best_epoch}"
            ring = {"marker": "o", "markersize": 11, "markerfacecolor": "none", "linestyle": "none"}
            at, height = [self.best_epoch], [curve[self.best_epoch - 1]]
            (self.best_line_,) = ax.plot(at, height, color=style["color"], label=label, **ring)

        self.loss_tol_line_ = None
        if self.loss_tol is not None:
            dotted = {"color": "0.35", "linewidth": 1, "linestyle": ":"}
            label = f"loss_tol = {self.loss_tol:g}"
            self.loss_tol_line_ = ax.axhline(self.loss_tol, label=label, **dotted)
        curves = [line.get_ydata() for line in ax.lines if len(line.get_ydata())]
        if all(np.nanmin(curve, initial=np.inf) > 0 for curve in curves):
            ax.set_yscale("log")
        ax.set(xlabel="epoch or iteration", ylabel="loss")
        ax.legend(frameon=False)


def _in_units_of_y(history, estimator) -> dict:
    """Convert losses of a standardised y to the units of y, as 'lm' and raw fits record them.

    With several outputs of different scales there is no common factor: losses are not converted.
    """
    scaling = getattr(estimator, "_scaling", None)
    if scaling is None or np.ptp(scaling.y_scale) > 1e-9 * scaling.y_scale.max():
        return history
    unit = float(scaling.y_scale[0]) ** LOSSES[estimator._loss].degree
    converted = {"validation_loss"}
    if not SOLVERS[estimator.solver_].least_squares:
        converted.add("loss")
    return {
        name: values * unit if name in converted else values for name, values in history.items()
    }
