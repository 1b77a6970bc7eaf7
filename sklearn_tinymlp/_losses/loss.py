"""`Loss`: the contract of a loss, and the functions that several losses share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# Iterations of reweighting, which converge long before unless residuals are nearly zero.
MAX_STEPS = 200


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss, by its formula in NumPy and in compiled code.

    In the functions y are targets and f predictions, arrays of shape (n_samples, n_outputs), and
    every entry is computed independently.

    Parameters
    ----------
    name : str
        Value of the estimator's parameter `loss`.

    value, slope, curvature : callable
        ``function(y, f)`` returns the loss, its derivative by f, and its second derivative or,
        where that may be negative, the expected one.

    kernel : str or callable
        The same in compiled code: a function, or the name of one in `_engine/loss_kernels.py`,
        which documents the arguments.

    mean : callable
        ``mean(y, f, sample_weight)`` returns the mean over the rows: a float.

    best_constant : callable
        ``best_constant(y, sample_weight)`` returns the constant predictions of the least mean loss,
        of shape (n_outputs,).

    check_y : callable
        ``check_y(y, name)`` raises a ValueError for targets outside the domain; `name` is that of y
        in the message.

    output_activation : str, default='identity'
        The default output activation.

    positive : bool, default=False
        Whether predictions must be above zero.

    averages_outputs : bool, default=True
        Whether the mean is one over the outputs too, or else their sum.

    least_squares : bool, default=False
        Whether it is half the squared residual.

    simpler_kernels : mapping, default={}
        Kernels by output activation, where the activation's slope cancels against the loss's.

    parameters : tuple of float, default=()
        Constants of the formula, which the kernel reads.

    degree : int, default=2
        The loss is multiplied by c^degree when y, f and the scales in `parameters` are by c.

    uses_d2 : bool, default=False
        Whether early stopping scores by D², the explained share of this loss, instead of R² as
        MLPRegressor does; and whether the initial output is the best constant.

    nonsmooth : bool, default=False
        Whether the slope jumps. `with_scale` then smooths it, for solvers that need a smooth loss.

    location_family : bool, default=False
        Whether predictions are the centre of y, so that residuals estimate the noise level.

    deviance : bool, default=False
        Whether it is half of a unit deviance, whose likelihood the evidence uses.

    least_dispersion : float, default=0.0
        Lower bound of the dispersion: 1 for a negative log likelihood of dispersion 1. The evidence
        then does not mistake the small residuals of an overfit for low noise.

    expected_curvature : callable, default=None
        ``expected_curvature(y, f, sample_weight)`` returns the expected second derivative of each
        row, with which the evidence counts parameters. Without it there is no evidence.

    with_scale : callable, default=None
        ``with_scale(y, f, sample_weight, narrowing)`` returns this loss with the scales in
        `parameters` estimated from the residuals; widths of smoothing are multiplied by
        `narrowing`, from 1 to 0. None for a loss without scales.

    with_parameters : callable, default=None
        ``with_parameters(*parameters)`` returns this loss with other constants.

    configured : callable, default=None
        ``configured(params)`` returns this loss for the parameters of an estimator.

    Raises
    ------
    TypeError
        When a function is missing or not callable.
    """

    name: str
    value: Callable
    slope: Callable
    curvature: Callable
    kernel: Callable | str
    mean: Callable
    best_constant: Callable
    check_y: Callable
    output_activation: str = "identity"
    positive: bool = False
    averages_outputs: bool = True
    least_squares: bool = False
    simpler_kernels: Mapping[str, Callable | str] = field(default_factory=dict)
    parameters: tuple[float, ...] = ()
    degree: int = 2
    uses_d2: bool = False
    nonsmooth: bool = False
    location_family: bool = False
    deviance: bool = False
    least_dispersion: float = 0.0
    expected_curvature: Callable | None = None
    with_scale: Callable | None = None
    with_parameters: Callable | None = None
    configured: Callable | None = None

    def __post_init__(self):
        """Check that the functions are there."""
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

    def score(self, y, f, sample_weight) -> float:
        """Return D², the share of the loss of the best constant that predictions explain."""
        constant = np.broadcast_to(self.best_constant(y, sample_weight), y.shape)
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

    If the share ends exactly at a value, it is the midpoint to the next one: of all minimisers of a
    pinball loss that of `numpy.median`.
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


def total_weight(y, sample_weight) -> float:
    """Return the number of observations, the sum of the weights."""
    return float(len(y)) if sample_weight is None else float(sample_weight.sum(dtype=np.float64))


def least_scale(y) -> float:
    """Return a lower bound of the scale of residuals of y, which may all be zero."""
    return max(1e-8 * float(np.abs(y).max()), np.finfo(np.float32).tiny)
