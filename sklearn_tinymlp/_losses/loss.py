"""`Loss`: what the package asks of a loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

# Reweighting ends long before; residuals that are all but zero may keep it from its tolerance.
MOST_STEPS = 200


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss, from its formula in NumPy and in C.

    In the functions y are targets and f predictions, arrays of shape (n_samples, n_outputs), and
    each number is treated by itself.

    Parameters
    ----------
    name : str
        What the parameter `loss` calls it.

    value, slope, curvature : callable
        ``function(y, f)`` gives the loss, its derivative by f, and its second derivative or, where
        that may be negative, the expected one.

    kernel : str or callable
        The same for the compiled engine: a function, or the name of one in
        `_engine/loss_kernels.py`, whose docstring has the arguments.

    mean : callable
        ``mean(y, f, sample_weight)`` gives the mean over the rows: a float.

    best_constant : callable
        ``best_constant(y, sample_weight)`` gives the constant predictions of the least mean loss,
        of shape (n_outputs,).

    check_y : callable
        ``check_y(y, name)`` raises a ValueError for targets that the loss does not take; `name` is
        what the sentence calls them.

    output_activation : str, default='identity'
        The output activation that it wants.

    positive : bool, default=False
        Whether predictions must be above zero.

    averages_outputs : bool, default=True
        Whether the mean is one over the outputs too, or else their sum.

    least_squares : bool, default=False
        Whether it is half the squared residual, which Levenberg-Marquardt and the evidence need.

    simpler_kernels : mapping, default={}
        A kernel, likewise, for some output activations, whose slope cancels against that of the
        loss.

    parameters : tuple of float, default=()
        Constants of the formula, which the kernel reads.

    degree : int, default=2
        The power of a factor on y, f and scales in `parameters` by which the loss grows with it.

    own_score : bool, default=False
        Whether early stopping scores by the share of this loss that is explained, D², and not by
        R² as MLPRegressor does; and whether the first output is the best constant.

    kinked : bool, default=False
        Whether the slope jumps. `with_scale` then smooths it, for solvers that need a smooth loss.

    location : bool, default=False
        Whether predictions are the middle of y, so that residuals tell the width of the noise.

    deviance : bool, default=False
        Whether it is half of a unit deviance, of which the evidence takes the likelihood.

    least_dispersion : float, default=0.0
        Of a loss that is a negative log likelihood its dispersion, 1, below which the noise of the
        data is not: the evidence then does not take the residuals of an overfit for less.

    expected_curvature : callable, default=None
        ``expected_curvature(y, f, sample_weight)`` gives the second derivative that is to be
        expected of a row, with which the evidence counts parameters. None where it cannot.

    with_scale : callable, default=None
        ``with_scale(y, f, sample_weight, narrowing)`` returns this loss with the scales in
        `parameters` found from the residuals; widths of smoothing are multiplied by `narrowing`,
        from 1 to 0. None where there is nothing to find.

    with_parameters : callable, default=None
        ``with_parameters(*parameters)`` gives this loss with other constants.

    configured : callable, default=None
        ``configured(params)`` gives this loss as the parameters of an estimator ask for.

    Raises
    ------
    TypeError
        When a function is missing or cannot be called.
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
        """Refuse a loss that lacks a function."""
        functions = "value slope curvature kernel mean best_constant check_y".split()
        missing = [name for name in functions if not callable(getattr(self, name))]
        if "kernel" in missing and isinstance(self.kernel, str):
            missing.remove("kernel")
        if missing:
            raise TypeError(f"The loss {self.name!r} needs a function as {', '.join(missing)}.")

    def factor(self, n_outputs) -> float:
        """Return what turns the sum over rows and outputs, divided by the rows, into the mean."""
        return 1.0 / n_outputs if self.averages_outputs else 1.0

    def remade(self, parameters) -> "Loss":
        """Return this loss with other constants; itself where they are its own."""
        if tuple(parameters) == self.parameters:
            return self
        return self.with_parameters(*parameters)

    def score(self, y, f, sample_weight) -> float:
        """Return the share of the loss of the best constant that predictions explain, D²."""
        constant = np.broadcast_to(self.best_constant(y, sample_weight), y.shape)
        of_constant = float(self.mean(y, constant, sample_weight))
        left = float(self.mean(y, f, sample_weight))
        if of_constant <= 0.0:  # as `r2_score` has it
            return 1.0 if left <= 0.0 else 0.0
        return 1.0 - left / of_constant


def average(y, sample_weight) -> np.ndarray:
    """Weighted mean of each output."""
    return np.average(y, axis=0, weights=sample_weight)


def mean_of(value) -> Callable:
    """Return the function `mean` of a loss that averages rows and outputs."""

    def mean(y, f, sample_weight):
        return float(np.average(value(y, f), axis=0, weights=sample_weight).mean())

    return mean


def quantiles(y, share, sample_weight) -> np.ndarray:
    """Return the least value of each column up to which this share of the weight lies.

    Where a value ends exactly there, it is the middle between it and the next one: of all that
    minimise a pinball loss the one that `numpy.median` takes.
    """
    weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
    order = np.argsort(y, axis=0, kind="stable")
    found = np.empty(y.shape[1])
    for k in range(y.shape[1]):
        rows = order[:, k][weight[order[:, k]] > 0.0]
        held = np.cumsum(weight[rows])
        target = share * held[-1]
        rounding = 1e-12 * held[-1]
        least = min(int(np.searchsorted(held, target - rounding)), len(rows) - 1)
        next_one = min(int(np.searchsorted(held, target + rounding)), len(rows) - 1)
        found[k] = 0.5 * (float(y[rows[least], k]) + float(y[rows[next_one], k]))
    return found


def total_weight(y, sample_weight) -> float:
    """Return how many observations there are."""
    return float(len(y)) if sample_weight is None else float(sample_weight.sum(dtype=np.float64))


def least_scale(y) -> float:
    """Return the least scale that residuals of y may tell: where all are met there is none."""
    return max(1e-8 * float(np.abs(y).max()), np.finfo(np.float32).tiny)


def by_reweighting(y, loss, sample_weight, start) -> np.ndarray:
    """Compute the constants of the least mean loss by reweighting, from a start (n_outputs,).

    Each step is the mean of y with the weights `loss.curvature`, of which a robust loss is never
    above the square (Huber, "Robust statistics", 1981, section 7.8).
    """
    weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(np.float64)
    constant = np.asarray(start, dtype=np.float64)
    for _ in range(MOST_STEPS):
        of_rows = weight[:, None] * loss.curvature(y, np.broadcast_to(constant, y.shape))
        moved = (of_rows * y).sum(axis=0) / of_rows.sum(axis=0)
        done = np.abs(moved - constant) <= 1e-12 * np.abs(y).max()
        constant = moved
        if done.all():
            break
    return constant
