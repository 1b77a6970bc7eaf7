"""What the displays share: documentation, axes and panels, colours, the estimator drawn."""

import inspect
from dataclasses import dataclass
from functools import wraps
from typing import dataclass_transform

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

# The palette of Okabe and Ito, without its yellow, which is too light on paper. Its colours remain
# distinct for colour-blind readers; markers, and dashes for negative weights, remain distinct in
# greyscale.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
POSITIVE, NEGATIVE = COLOURS[:2]
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def tint(strength) -> tuple:
    """Return an opaque blue between white (0) and the first of the colours (1)."""
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    return tuple(1.0 - strength * (1.0 - blue))


AXES = """\
ax : matplotlib Axes, default=None
    Axes to draw on; if None, those of a new figure."""

PANELS = """\
ax : matplotlib Axes or array-like of Axes, default=None
    Axes to divide into panels, or one per panel; if None, a new figure is made."""

STYLE = """

**kwargs : dict
    Passed to matplotlib's `{}`."""

RETURNS = """

Returns
-------
display : {}
    The display, drawn: the attributes that end in an underscore are set."""

ATTRIBUTES = """\
ax_ : matplotlib Axes
    Axes with the drawing.

figure_ : matplotlib Figure
    Figure that contains it."""

PANELS_ATTRIBUTES = """\
axes_ : ndarray of matplotlib Axes
    One per panel.

figure_ : matplotlib Figure
    Figure that contains the panels.

bounding_ax_ : matplotlib Axes or None
    The axes given, which contain the panels."""


def draws(function=None, *, panels=False):
    """Decorate a method of a display that draws: it raises scikit-learn's error without matplotlib.

    `{ax}` in its docstring is replaced by the description of `ax`, of `**kwargs`, which are passed
    to a function of matplotlib, and of the display that is returned.
    """

    def decorate(method):
        @wraps(method)
        def checked(owner, *args, **kwargs):
            display = owner if isinstance(owner, type) else type(owner)
            check_matplotlib_support(f"{display.__name__}.{method.__name__}")
            return method(owner, *args, **kwargs)

        style = STYLE.format(function) if function else ""
        returns = RETURNS.format(method.__qualname__.partition(".")[0])
        text = (PANELS if panels else AXES) + style + returns
        checked.__doc__ = inspect.cleandoc(method.__doc__ or "").replace("{ax}", text) + "\n"
        return checked

    return decorate


@dataclass_transform(kw_only_default=True, eq_default=False)
def display_class(cls):
    """Decorate a display: a dataclass, in whose docstring `{axes}` and `{panels}` are replaced."""
    text = inspect.cleandoc(cls.__doc__ or "")
    cls.__doc__ = text.replace("{axes}", ATTRIBUTES).replace("{panels}", PANELS_ATTRIBUTES)
    cls.__doc__ += "\n"  # numpydoc: the closing quotes have a line of their own
    cls = dataclass(kw_only=True, eq=False, repr=False)(cls)
    cls.__init__.__annotations__ = {}  # types are in the docstring, and `help` stays readable
    return cls


class DisplayMixin:
    """The method `plot` of a display, which draws by `_draw`, and the axes to draw on."""

    @draws()
    def plot(self, ax=None, **kwargs):
        """Draw the display.

        Parameters
        ----------
        ax, **kwargs : as for `from_estimator`
            See :meth:`from_estimator`.

        Returns
        -------
        display : object
            The display, drawn: the attributes that end in an underscore are set.
        """
        self._draw(ax, **kwargs)
        return self

    def _use_axes(self, ax):
        """Set and return the axes given, or those of a new figure."""
        import matplotlib.pyplot as plt

        self.ax_ = plt.subplots(layout="constrained")[1] if ax is None else ax
        self.figure_ = self.ax_.figure
        return self.ax_

    def _use_panels(self, ax, n_panels, *, shape, figsize, **shared):
        """Set and return panels: in a new figure, within the given axes, or the given axes."""
        import matplotlib.pyplot as plt

        shared["squeeze"] = False
        self.bounding_ax_ = None
        if ax is None:
            _, axes = plt.subplots(*shape, layout="constrained", figsize=figsize, **shared)
        elif np.ndim(ax) == 0:
            ax.set_axis_off()
            self.bounding_ax_ = ax
            axes = ax.get_subplotspec().subgridspec(*shape).subplots(**shared)
        else:
            axes = np.asarray(ax, dtype=object)
            if axes.size != n_panels:
                raise ValueError(f"ax has {axes.size} axes, but there are {n_panels} panels.")
        axes = np.ravel(axes)
        for unused in axes[n_panels:]:
            unused.set_visible(False)
        self.axes_ = axes[:n_panels]
        self.figure_ = axes[0].figure
        return self.axes_


def unwrap(estimator):
    """Return the transformers before the network within pipelines and searches, and the network.

    A pipeline may end in a search, and the best estimator of a search may be a pipeline.
    """
    transformers = []
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif hasattr(estimator, "steps"):
            if len(estimator.steps) > 1:
                transformers.append(estimator[:-1])
            estimator = estimator.steps[-1][1]
        else:
            return transformers, estimator


def fitted_network(estimator, *, single=False):
    """Return the fitted network, or an ensemble unless `single`, within pipelines and searches."""
    network = unwrap(estimator)[1]
    check_is_fitted(network)
    if single and hasattr(network, "_members"):
        raise TypeError(
            f"A {type(network).__name__} contains {len(network.estimators_)} networks, and "
            "this display draws one. Pass, for example, estimators_[weights_.argmax()]."
        )
    return network


def input_names(estimator, n_features, feature_names=None) -> list[str]:
    """Return the given names, or those seen in `fit`, or x0, x1, ..."""
    if feature_names is not None:
        if len(feature_names) != n_features:
            raise ValueError(
                f"feature_names has {len(feature_names)} entries, but the network has "
                f"{n_features} inputs."
            )
        return [str(name) for name in feature_names]
    transformers, network = unwrap(estimator)
    names = getattr(network, "feature_names_in_", None)
    if names is None:
        try:
            for transformer in transformers:
                names = transformer.get_feature_names_out(names)
        except (AttributeError, ValueError):  # a transformer whose outputs have no names
            names = None
    if names is None or len(names) != n_features:
        return [f"x{number}" for number in range(n_features)]
    return [str(name) for name in names]
