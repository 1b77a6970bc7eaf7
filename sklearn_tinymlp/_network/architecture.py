"""Layer sizes, and where each layer's coefs and intercepts lie in one flat vector."""

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from .._machine.caching import cached_property
from .._machine.memory import aligned


@dataclass(frozen=True)
class Architecture:
    """Layer sizes, inputs and outputs included, and whether there are intercepts.

    The flat vector `theta` holds the coefs of every layer in C order, then the intercepts of
    every layer: scikit-learn's order. Without bias it holds the coefs alone.
    """

    units: tuple[int, ...]
    bias: bool = True

    @cached_property
    def coef_shapes(self) -> list[tuple[int, int]]:
        """Shape of each layer's coefs, (units before, units after)."""
        return list(pairwise(self.units))

    @cached_property
    def n_coefs(self) -> int:
        """Return the number of coefs of all layers."""
        return sum(n_in * n_out for n_in, n_out in self.coef_shapes)

    @cached_property
    def n_parameters(self) -> int:
        """Length of `theta`."""
        return self.n_coefs + (sum(self.units[1:]) if self.bias else 0)

    @cached_property
    def coef_starts(self) -> list[int]:
        """Where each layer's coefs begin in `theta`."""
        sizes = [n_in * n_out for n_in, n_out in self.coef_shapes]
        return list(accumulate(sizes[:-1], initial=0))

    @cached_property
    def intercept_starts(self) -> list[int]:
        """Where each layer's intercepts begin in `theta`, or would begin with bias."""
        return list(accumulate(self.units[1:-1], initial=self.n_coefs))

    def pack(self, coefs, intercepts, dtype) -> np.ndarray:
        """Join coefs and intercepts into a new flat vector, aligned to a cache line."""
        parts = [*coefs, *intercepts] if self.bias else coefs
        theta = aligned(self.n_parameters, dtype)
        return np.concatenate([np.ravel(part) for part in parts], out=theta, casting="same_kind")

    def unpack(self, theta) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Split a flat vector into views: coefs and intercepts, zeros where there is no bias."""
        coefs = [
            theta[start : start + n_in * n_out].reshape(n_in, n_out)
            for start, (n_in, n_out) in zip(self.coef_starts, self.coef_shapes, strict=True)
        ]
        if not self.bias:
            return coefs, [np.zeros(n_out, theta.dtype) for n_out in self.units[1:]]
        intercepts = [
            theta[start : start + n_out]
            for start, n_out in zip(self.intercept_starts, self.units[1:], strict=True)
        ]
        return coefs, intercepts

    def layers(self, theta) -> "Layers":
        """Return views of the coefs of each layer and, as columns, of its intercepts."""
        coefs, intercepts = self.unpack(theta)
        return Layers(coefs, [intercept[:, None] for intercept in intercepts])


class Layers(NamedTuple):
    """Views of the weights of each layer in a flat vector."""

    coefs: list[np.ndarray]  # (units before, units after)
    intercepts: list[np.ndarray]  # (units after, 1)
