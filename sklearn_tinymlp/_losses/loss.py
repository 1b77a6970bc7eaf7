"""`Loss`: the interface of a loss, and functions that several losses share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# Maximum number of reweighting steps; they converge much earlier unless residuals are nearly zero.
MAX_STEPS = 200


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss, by its formula in NumPy and in compiled code.

    In the functions y are targets and f predictions, arrays of shape (n_samples, n_outputs). A
    TypeError is raised when a function is missing.
    """

    name: str  # value of the estimator's parameter `loss`

    # function(y, f) returns the loss, its derivative with respect to f, and its second derivative
    # or, where that may be negative, the expected second derivative.
    value: Callable
    slope: Callable
    curvature: Callable

    # The same in compiled code: a function, or the name of a function in `_engine/loss_kernels.py`,
    # which documents the arguments.
    kernel: Callable | str

    # mean(y, f, sample_weight) returns the mean over the rows: a float.
    mean: Callable

    # best_constant(y, sample_weight) returns the constant predictions that minimise the mean loss,
    # of shape (n_outputs,).
    best_constant: Callable

    # check_y(y, name) raises a ValueError for targets outside the domain; the message contains the
    # name.
    check_y: Callable

    output_activation: str = "identity"  # by default
    positive: bool = False  # predictions must be above zero
    averages_outputs: bool = True  # mean over the outputs, too, else their sum
    least_squares: bool = False  # half the squared residual

    # Kernels by output activation, if the slopes of activation and loss cancel.
    simpler_kernels: Mapping[str, Callable | str] = field(default_factory=dict)

    parameters: tuple[float, ...] = ()  # constants of the formula, which the kernel reads
    degree: int = 2  # the loss grows by c^degree if y, f and scales in `parameters` grow by c

    # Early stopping scores by D², the explained share of this loss, instead of R² as MLPRegressor
    # does, and the initial output is the best constant.
    uses_d2: bool = False

    # The outputs of a row depend on each other, as with softmax: the entries of `value` sum to the
    # loss of the row, and gradients are computed in NumPy, since a kernel has one output at a time.
    couples_outputs: bool = False

    nonsmooth: bool = False  # the slope jumps; `with_scale` smooths it if a solver needs that
    location_family: bool = False  # f is the centre of y: residuals estimate the noise level
    # Squared errors of predicted means compare fits; of the gamma deviance a few large rows decide.
    compared_by_squares: bool = False

    deviance: bool = False  # half of a unit deviance, whose likelihood the evidence uses

    # Lower bound of the dispersion: 1 for a negative log likelihood of dispersion 1. The evidence
    # then does not mistake the small residuals of an overfit for a low noise level.
    least_dispersion: float = 0.0

    # expected_curvature(y, f, sample_weight) returns the expected second derivative of each row,
    # with which the evidence counts parameters. Without it there is no evidence.
    expected_curvature: Callable | None = None

    # with_scale(y, f, sample_weight, narrowing) returns this loss with the scales in `parameters`
    # estimated from the residuals; widths of smoothing are multiplied by `narrowing`, from 1 to 0.
    with_scale: Callable | None = None

    with_parameters: Callable | None = None  # with_parameters(*parameters) replaces them
    configured: Callable | None = None  # configured(params) reads an estimator's

    def __post_init__(self):
        """Check that all functions are given."""
        functions = "value slope curvature mean best_constant check_y".split()
        missing = [name for name in functions if not callable(getattr(self, name))]
        if not isinstance(self.kernel, str) and not callable(self.kernel):
            missing.append("kernel")
        if missing:
            raise TypeError(f"The loss {self.name!r} needs a function as {', '.join(missing)}.")

    def factor(self, n_outputs) -> float:
        """Return the factor on the sum over outputs of the mean over rows."""
        return 1.0 / n_outputs if self.averages_outputs else 1.0

    def remade(self, parameters) -> "Loss":
        """Return this loss with other constants, or itself if they are equal."""
        if tuple(parameters) == self.parameters:
            return self
        return self.with_parameters(*parameters)

    def constant_predictions(self, y, sample_weight) -> np.ndarray:
        """Return the best constant of each output as predictions, of the shape of y."""
        return np.broadcast_to(self.best_constant(y, sample_weight), y.shape)

    def score(self, y, f, sample_weight) -> float:
        """Return D², the share of the loss of the best constant that predictions explain."""
        constant = self.constant_predictions(y, sample_weight)
        constant_loss = float(self.mean(y, constant, sample_weight))
        loss = float(self.mean(y, f, sample_weight))
        if constant_loss <= 0.0:  # as in `r2_score`
            return 1.0 if loss <= 0.0 else 0.0
        return 1.0 - loss / constant_loss


def any_target(y, name) -> None:
    """Accept any finite target: the function `check_y` of most losses."""


def average(y, sample_weight) -> np.ndarray:
    """Return the weighted mean of each output."""
    return np.average(y, axis=0, weights=sample_weight)


def mean_of(value) -> Callable:
    """Return the function `mean` of a loss that averages over rows and outputs."""

    def mean(y, f, sample_weight):
        return float(np.average(value(y, f), axis=0, weights=sample_weight).mean())

    return mean


def quantiles(y, share, sample_weight) -> np.ndarray:
    """Return the weighted quantile of each column.

    If the share ends exactly at a value, the quantile is the midpoint between it and the next
    value: of all minimisers of a pinball loss, the one that `numpy.median` returns.
    """
    weight = weight_or_ones(y, sample_weight)
    order = np.argsort(y, axis=0, kind="stable")
    found = np.empty(y.shape[1])
    for k in range(y.shape[1]):
        rows = order[:, k][weight[order[:, k]] > 0.0]
        total = np.cumsum(weight[rows])
        target, rounding = share * total[-1], 1e-12 * total[-1]
        ends = np.searchsorted(total, [target - rounding, target + rounding])
        first, last = y[rows[np.minimum(ends, len(rows) - 1)], k]
        found[k] = 0.5 * (float(first) + float(last))
    return found


def weight_or_ones(y, sample_weight) -> np.ndarray:
    """Return the weight of each row in float64."""
    return np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)


def n_observations(y, sample_weight) -> float:
    """Return the sum of weights that are counts; of others the number that are not zero."""
    weight = weight_or_ones(y, sample_weight)
    counts = (weight == np.floor(weight)).all()
    return float(weight.sum() if counts else np.count_nonzero(weight))


def least_scale(y) -> float:
    """Return a lower bound of the scale of residuals of y, which may all be zero."""
    return max(1e-8 * float(np.abs(y).max()), float(np.finfo(np.float32).tiny))
