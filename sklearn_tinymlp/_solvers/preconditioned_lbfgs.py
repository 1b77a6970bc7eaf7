"""L-BFGS with a given first Hessian: many cheap steps with one curvature.

The two-loop recursion (Nocedal and Wright, "Numerical optimization", 2006, algorithm 7.4) needs the
inverse of a first Hessian. Instead of a multiple of the identity it uses A^-1, with A from all rows
or a sample: S(theta) is then well conditioned, and ten steps replace hundreds.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# Maximum number of pairs of steps and changes of the gradient, as in most implementations.
MEMORY = 10

# Sufficient fall as a share of the fall that the slope predicts (Nocedal and Wright, section 3.1),
# and the maximum number of reductions of a step.
SUFFICIENT, MOST_REDUCTIONS = 1e-4, 20

# Descent ends when a step lowers the value by less than this share of the value.
RELATIVE_FALL = 1e-9


class Descent(NamedTuple):
    """The result of `descend`."""

    theta: np.ndarray
    fall: float  # of the value, from the start


def descend(
    value_and_gradient: Callable, theta: np.ndarray, solve: Callable | None, *, n_steps: int
) -> Descent:
    """Minimise by at most `n_steps` steps.

    ``solve(v)`` computes A^-1 v; None for the identity, where the first step has length 1.
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
        s, y, fall = found[0] - theta, found[2] - gradient, value - found[1]
        theta, value, gradient = found
        if s @ y > 1e-12 * np.linalg.norm(s) * np.linalg.norm(y):
            # The scale of a given Hessian is corrected once, the scale of the identity at each
            # step.
            if solve is None or not pairs:
                scale = (s @ y) / (y @ (y if solve is None else solve(y)))
            pairs.append((s, y))
        if fall <= RELATIVE_FALL * abs(value):
            break
    return Descent(theta, float(first - value))


def _inverse_hessian_times(vector, pairs, solve, scale) -> np.ndarray:
    """Apply the two-loop recursion with `scale` times the inverse of the first Hessian."""
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
    """Reduce the step to the minimum of a parabola until the value falls sufficiently."""
    for _ in range(MOST_REDUCTIONS):
        moved = theta + length * step
        moved_value, gradient = value_and_gradient(moved)
        rise = moved_value - value
        if rise <= SUFFICIENT * length * slope:
            return moved, moved_value, gradient
        # The parabola has the value and the slope at 0, and the value at `length`.
        best = -0.5 * slope * length**2 / (rise - slope * length) if np.isfinite(rise) else 0.0
        length = min(max(best, 0.1 * length), 0.5 * length)
    return None
