"""L-BFGS whose first Hessian is a given one: many cheap steps with one curvature.

The two-loop recursion (Nocedal and Wright, "Numerical optimization", 2006, algorithm 7.4) needs the
inverse Hessian of the first step alone. In the place of a multiple of the identity that is A^-1
here, or A^-1 of a sample of rows: S(theta) is then as good as round, and some ten steps go as far
as L-BFGS goes in hundreds.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Pairs of steps and changes of the gradient that are kept, as in most implementations.
MEMORY = 10

# A step is taken where the value falls by this share of what the slope promises (Nocedal and
# Wright, section 3.1), after at most so many reductions.
SUFFICIENT, MOST_REDUCTIONS = 1e-4, 20

# Steps end where one lowers the value by less than this share of it.
RELATIVE_FALL = 1e-9


class Descent(NamedTuple):
    """Where the steps ended."""

    theta: np.ndarray
    fall: float  # of the value, from the start


def descend(
    value_and_gradient: Callable, theta: np.ndarray, solve: Callable | None, *, n_steps: int
) -> Descent:
    """Minimise by at most `n_steps` steps.

    Parameters
    ----------
    value_and_gradient : callable
        ``value_and_gradient(theta)`` returns a float and an array.
    theta : ndarray of shape (n_parameters,)
    solve : callable or None
        ``solve(v)`` computes A^-1 v. None for the identity, where the first step has length 1.
    n_steps : int
    """
    value, gradient = value_and_gradient(theta)
    first, pairs, scale = value, deque(maxlen=MEMORY), 1.0
    for _ in range(n_steps):
        step = -_inverse_hessian_times(gradient, pairs, solve, scale)
        slope = float(gradient @ step)
        if not slope < 0.0:
            break
        length = 1.0 / np.linalg.norm(step) if solve is None and not pairs else 1.0
        found = _search_line(value_and_gradient, theta, step, value, slope, length)
        if found is None:
            break
        moved, moved_value, moved_gradient = found
        change = moved_gradient - gradient
        pair = moved - theta, change
        fall = value - moved_value
        theta, value, gradient = found
        if pair[0] @ change > 1e-12 * np.linalg.norm(pair[0]) * np.linalg.norm(change):
            # Of a given Hessian one change tells the scale; of none each has to.
            if solve is None or not pairs:
                applied = change if solve is None else solve(change)
                scale = (pair[0] @ change) / (change @ applied)
            pairs.append(pair)
        if fall <= RELATIVE_FALL * abs(value):
            break
    return Descent(theta, float(first - value))


def _inverse_hessian_times(vector, pairs, solve, scale) -> np.ndarray:
    """Apply the two-loop recursion, with the inverse of the first Hessian times `scale`."""
    q, factors = vector.copy(), []
    for s, y in reversed(pairs):
        factor = (s @ q) / (s @ y)
        q -= factor * y
        factors.append(factor)
    q = scale * (q if solve is None else solve(q))
    for (s, y), factor in zip(pairs, reversed(factors), strict=True):
        q += (factor - (y @ q) / (s @ y)) * s
    return q


def _search_line(value_and_gradient, theta, step, value, slope, length):
    """Shorten the step until the value falls enough, each time to the minimum of a parabola."""
    for _ in range(MOST_REDUCTIONS):
        moved = theta + length * step
        moved_value, gradient = value_and_gradient(moved)
        rise = moved_value - value
        if rise <= SUFFICIENT * length * slope:
            return moved, moved_value, gradient
        # Through the value and the slope at 0, and the value at `length`.
        best = -0.5 * slope * length**2 / (rise - slope * length) if np.isfinite(rise) else 0.0
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None
