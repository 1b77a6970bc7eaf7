"""Time loops against BLAS for the products of one layer, to choose `BLAS_SIZE`.

Usage: OPENBLAS_NUM_THREADS=1 python -m benchmarks.blas_threshold [--rows 128]

For each layer shape it prints the times of forward product, backward product and gradient over a
block of rows, by loops and by BLAS, and their ratio. Each time is the minimum of many runs.
"""

import argparse

import numpy as np
from threadpoolctl import threadpool_limits

from sklearn_tinymlp._engine import linear_algebra
from sklearn_tinymlp._engine.linear_algebra import gemm_address

from .timing import least_seconds

SHAPES = [(1, 10), (10, 1), (10, 10), (10, 100), (100, 1), (20, 20), (30, 30), (50, 50)]
SHAPES += [(64, 64), (80, 80), (100, 100), (30, 200), (200, 30), (200, 200), (500, 500)]


def layer_seconds(n_in, n_out, n_rows, blas):
    """Time the three products of a layer."""
    affine = linear_algebra.compiled(linear_algebra.AFFINE[blas], "float64")
    multiply = linear_algebra.compiled(linear_algebra.ACCUMULATE[blas], "float64")
    rng = np.random.default_rng(0)
    coefs, gradient = rng.standard_normal((2, n_in * n_out))
    before, after = rng.standard_normal(n_in * n_rows), rng.standard_normal(n_out * n_rows)

    def pointers(*arrays):
        return [array.ctypes.data_as(affine.ctypes.argtypes[0]) for array in arrays]

    sizes = (n_in, n_out, n_rows)
    address = gemm_address("float64")
    forward = (*pointers(coefs, before, after), *sizes, n_out, 1, 1, address)
    backward = (*pointers(coefs, after, before), n_out, n_in, n_rows, 1, n_out, 0, address)
    operands = (*pointers(before, after, gradient), *sizes, n_out, 1, address)
    if n_in <= n_out:
        operands = (*pointers(after, before, gradient), n_out, n_in, n_rows, 1, n_out, address)
    return (
        least_seconds(affine.ctypes, *forward, n_rounds=200)
        + least_seconds(affine.ctypes, *backward, n_rounds=200)
        + least_seconds(multiply.ctypes, *operands, n_rounds=200)
    )


def main():
    """Print a line for each layer shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=128)
    arguments = parser.parse_args()
    print("layer         coefs    loops      BLAS      loops / BLAS")
    with threadpool_limits(1):
        for n_in, n_out in sorted(SHAPES, key=lambda shape: shape[0] * shape[1]):
            loops = layer_seconds(n_in, n_out, arguments.rows, blas=False)
            blas = layer_seconds(n_in, n_out, arguments.rows, blas=True)
            print(
                f"{n_in:4d} x {n_out:<5d}{n_in * n_out:8d} {loops * 1e6:8.1f} us"
                f" {blas * 1e6:8.1f} us  {loops / blas:8.2f}"
            )


if __name__ == "__main__":
    main()
