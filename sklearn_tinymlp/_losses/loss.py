"""`Loss`: what the package asks of a loss."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np


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

    kernel : callable
        The same for the compiled engine, see `kernel_of`.

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
        A kernel for some output activations, whose slope cancels against that of the loss.

    parameters : tuple of float, default=()
        Constants of the formula, which the kernel reads.

    Raises
    ------
    TypeError
        When a function is missing or cannot be called.
    """

    name: str
    value: Callable
    slope: Callable
    curvature: Callable
    kernel: Callable
    mean: Callable
    best_constant: Callable
    check_y: Callable
    output_activation: str = "identity"
    positive: bool = False
    averages_outputs: bool = True
    least_squares: bool = False
    simpler_kernels: Mapping[str, Callable] = field(default_factory=dict)
    parameters: tuple[float, ...] = ()

    def __post_init__(self):
        """Refuse a loss that lacks a function."""
        functions = "value slope curvature kernel mean best_constant check_y".split()
        missing = [name for name in functions if not callable(getattr(self, name))]
        if missing:
            raise TypeError(f"The loss {self.name!r} needs a function as {', '.join(missing)}.")

    def kernel_of(self, output_activation) -> Callable:
        """Give the function that the engine compiles and calls for each block of rows.

        It takes pointers to values f, slopes of the output activation, targets, deltas, losses
        (float64) and parameters, then the number of them. It writes the loss to `losses`, and its
        derivative by z, the output before its activation, to `deltas`.
        """
        if isinstance(output_activation, str) and output_activation in self.simpler_kernels:
            return self.simpler_kernels[output_activation]
        return self.kernel

    def factor(self, n_outputs) -> float:
        """Give what turns the sum over rows and outputs, divided by the rows, into the mean."""
        return 1.0 / n_outputs if self.averages_outputs else 1.0


def average(y, sample_weight) -> np.ndarray:
    """Weighted mean of each output."""
    return np.average(y, axis=0, weights=sample_weight)
