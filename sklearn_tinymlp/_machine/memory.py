"""Vectors that begin with a cache line, and arrays that are used again."""

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


class Scratch:
    """Arrays of a loop that are used again in each iteration, by name.

    A new array of some megabytes is memory that the system has to clear: with them an iteration of
    Levenberg-Marquardt took a third longer at 450 parameters, and at 450 rows of a Jacobian twice
    as long. What was handed out before under the same name is overwritten.
    """

    def __init__(self):
        self._arrays = {}

    def array(self, name: str, shape: tuple) -> np.ndarray:
        """Return an uninitialised array of float64 in C order."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape:
            found = self._arrays[name] = np.empty(shape)
        return found


class Fresh(Scratch):
    """New arrays each time, where results are to be kept."""

    def array(self, name: str, shape: tuple) -> np.ndarray:
        """Return a new array."""
        return np.empty(shape)


FRESH = Fresh()
