"""Vectors aligned to cache lines, and arrays that are reused."""

import numpy as np

CACHE_LINE = 64  # bytes, and the longest vector that a processor loads


def aligned(size: int, dtype=np.float64) -> np.ndarray:
    """Allocate a vector aligned to a cache line, uninitialised.

    Some routines of BLAS process the numbers before the first cache line separately: the order of
    their sums, and so the rounding, depends on where the memory is, which differs by process.
    """
    dtype = np.dtype(dtype)
    memory = np.empty(size * dtype.itemsize + CACHE_LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % CACHE_LINE
    return memory[start : start + size * dtype.itemsize].view(dtype)


def aligned_copy(vector: np.ndarray) -> np.ndarray:
    """Copy a vector to memory aligned to a cache line."""
    copy = aligned(vector.size, vector.dtype)
    copy[:] = vector
    return copy


class Scratch:
    """Arrays of a loop by name, each overwritten in the next iteration.

    The system has to clear the memory of a new array of some megabytes: with new arrays an
    iteration of Levenberg-Marquardt took a third longer at 450 parameters, and twice as long at 450
    rows of a Jacobian.
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
    """New arrays at each request, for results that are kept."""

    def array(self, name: str, shape: tuple) -> np.ndarray:
        """Return a new array."""
        return np.empty(shape)


FRESH = Fresh()
