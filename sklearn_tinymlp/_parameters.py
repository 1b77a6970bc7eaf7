"""Layer shapes, the one flat vector of all coefs and intercepts, and how it is initialised."""

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np

CACHE_LINE = 64  # bytes, and the longest vector that a processor loads


def aligned(size: int, dtype=np.float64) -> np.ndarray:
    """Allocate a vector that begins with a cache line, uninitialised.

    Some routines of BLAS begin with the numbers before the first cache line: their sums are then
    rounded in another order wherever memory happens to lie otherwise, in another process, say.
    """
    dtype = np.dtype(dtype)
    memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


def aligned_vectors(sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Allocate float64 vectors that each begin with a cache line, in one piece, by name."""
    line = CACHE_LINE // 8
    memory = aligned(sum(-(-size // line) * line for size in sizes.values()))
    vectors, start = {}, 0
    for name, size in sizes.items():
        vectors[name] = memory[start : start + size]
        start += -(-size // line) * line
    return vectors


def aligned_copy(vector: np.ndarray) -> np.ndarray:
    """Copy a vector to where a cache line begins."""
    copy = aligned(vector.size, vector.dtype)
    copy[:] = vector
    return copy


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
        """Number of coefs of all layers."""
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
        """Where each layer's intercepts begin in `theta`, or would."""
        return list(accumulate(self.units[1:-1], initial=self.n_coefs))

    def pack(self, coefs, intercepts, dtype) -> np.ndarray:
        """Join coefs and intercepts into a new flat vector that begins with a cache line."""
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


def weight_groups(architecture) -> np.ndarray:
    """Give each parameter the number of the group it shares a penalty with.

    0: all weights; 1: the output layer's intercepts, which stand for the mean of y. Groups for
    each layer's coefs and intercepts let the intercepts vanish on symmetric data, and with them
    the width of the band in a gap; groups for each input cost accuracy (docs/evidence.md).
    """
    groups = np.zeros(architecture.n_parameters, dtype=np.intp)
    architecture.unpack(groups)[1][-1][:] = 1
    return groups


def glorot_uniform(fan_in, fan_out, activation, random_state):
    """Glorot & Bengio (2010) with scikit-learn's factor 2 for logistic; intercepts likewise."""
    bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
    coefs = random_state.uniform(-bound, bound, (fan_in, fan_out))
    return coefs, random_state.uniform(-bound, bound, fan_out)


def he_uniform(fan_in, fan_out, activation, random_state):
    """He et al. (2015): variance 2 / fan_in; intercepts zero."""
    bound = np.sqrt(6.0 / fan_in)
    return random_state.uniform(-bound, bound, (fan_in, fan_out)), np.zeros(fan_out)


def lecun_uniform(fan_in, fan_out, activation, random_state):
    """LeCun et al. (1998), "Efficient BackProp": variance 1 / fan_in; intercepts zero."""
    bound = np.sqrt(3.0 / fan_in)
    return random_state.uniform(-bound, bound, (fan_in, fan_out)), np.zeros(fan_out)


def nguyen_widrow(fan_in, fan_out, activation, random_state):
    """Nguyen & Widrow (1990): the units' active regions cover the cube [-1, 1]^fan_in evenly.

    Each unit's coefs have the length 0.7 fan_out^(1 / fan_in); intercepts are uniform within it.
    """
    length = 0.7 * fan_out ** (1.0 / fan_in)
    coefs = random_state.uniform(-1.0, 1.0, (fan_in, fan_out))
    coefs *= length / np.linalg.norm(coefs, axis=0)
    return coefs, random_state.uniform(-length, length, fan_out)


def uniform(fan_in, fan_out, activation, random_state):
    """Coefs and intercepts from [0, 1), as `numpy.random.rand`."""
    return random_state.uniform(size=(fan_in, fan_out)), random_state.uniform(size=fan_out)


INITIALIZERS = {
    "glorot_uniform": glorot_uniform,
    "he_uniform": he_uniform,
    "lecun_uniform": lecun_uniform,
    "nguyen_widrow": nguyen_widrow,
    "uniform": uniform,
}


def initial_parameters(architecture, init, activations, random_state):
    """Draw coefs and intercepts layer by layer, a layer's coefs first: MLPRegressor's draws.

    Parameters
    ----------
    architecture : Architecture
    init : str
        A key of `INITIALIZERS`.
    activations : sequence of str
        One name a hidden layer, at least one. The output layer is drawn by the last of them, as in
        MLPRegressor, save with "nguyen_widrow", which is meant for hidden layers: there the
        output layer is drawn by "glorot_uniform".
    random_state : RandomState

    Returns
    -------
    coefs, intercepts : lists of float64 arrays
    """
    shapes = architecture.coef_shapes
    last = len(shapes) - 1
    coefs, intercepts = [], []
    for layer, (fan_in, fan_out) in enumerate(shapes):
        draw = INITIALIZERS[init]
        if init == "nguyen_widrow" and layer == last:
            draw = glorot_uniform
        activation = activations[min(layer, len(activations) - 1)]
        coef, intercept = draw(fan_in, fan_out, activation, random_state)
        coefs.append(coef)
        intercepts.append(intercept)
    return coefs, intercepts
