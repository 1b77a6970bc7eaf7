"""The C floor: `floor.c`, compiled if there is a compiler, as a contender in the works."""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

FLAGS = ["-O3", "-march=native", "-mprefer-vector-width=512", "-ffast-math", "-shared", "-fPIC"]


@cache
def library(real="double"):
    """Compile the floor for a dtype; None without a compiler that accepts the flags."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return None
    source = Path(__file__).with_name("floor.c")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "floor.so"
        for flags in (FLAGS, [flag for flag in FLAGS if not flag.startswith("-m")]):
            command = [compiler, *flags, f"-DREAL={real}", source, "-o", target, "-lm"]
            if subprocess.run(command, capture_output=True).returncode == 0:
                return ctypes.CDLL(str(target))
    return None


def pointer(array):
    """Return a pointer to the data of an array."""
    return array.ctypes.data_as(ctypes.c_void_p)


def three_points(X, y, theta, activation, n_epochs, rate):
    """Return the contender of work A."""
    function = getattr(library(), f"three_points_{activation}")
    x = X.ravel().copy()

    def run(_):
        w = theta.copy()
        function(
            pointer(w), pointer(x), pointer(y), ctypes.c_int64(n_epochs), ctypes.c_double(rate)
        )
        return w

    return run


def time_to_error(X, y, starts, errors):
    """Return the contender of work B: Levenberg-Marquardt from each start to its target error."""
    function, x = library().levenberg_marquardt, X.ravel().copy()
    function.restype = ctypes.c_int64

    def run(index):
        w = starts[index].copy()
        size, most = ctypes.c_int64(len(y)), ctypes.c_int64(10_000)
        n_steps = function(
            pointer(w), pointer(x), pointer(y), size, ctypes.c_double(errors[index]), most
        )
        return w if n_steps >= 0 else None

    return run


def adam(X, y, theta, orders, batch, alpha):
    """Return the contender of work C; `orders` holds the order of rows in each epoch.

    The batch size must be a multiple of four and divide the number of rows.
    """
    function = library("float" if X.dtype == np.float32 else "double").adam
    orders = np.ascontiguousarray(orders, np.int64)

    def run(_):
        w = theta.copy()
        arrays = [pointer(array) for array in (w, X, y, orders)]
        sizes = [ctypes.c_int64(size) for size in (len(y), batch, len(orders))]
        function(*arrays, *sizes, ctypes.c_double(alpha))
        return w

    return run
