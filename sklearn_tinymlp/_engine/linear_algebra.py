"""The matrix product of BLAS for compiled code: scipy's own routine, called by its address.

Matrices are flat, in C order; the routine expects Fortran's order and so sees the transpose.
"""

from functools import cache

import numpy as np
from numba.extending import get_cython_function_address

from .._machine.compilation import call_fortran, part, unsigned

PLAIN, TRANSPOSED = (np.uint8(ord(letter)) for letter in "NT")


@cache
def gemm(dtype: str) -> int:
    """Look up the address of the matrix product in 'float32' or 'float64'."""
    return _address("blas", "sgemm" if dtype == "float32" else "dgemm")


def _address(library, name):
    return unsigned(get_cython_function_address(f"scipy.linalg.cython_{library}", name))


@part
def matrix_product(gemm, transposed_a, a, row_a, transposed_b, b, row_b, c, m, n, k, keep):
    """C = A B + keep C for C of shape (m, n) and A B a product over k; each is (array, start).

    `row_a` and `row_b` are the lengths of the rows in which A and B are stored.
    """
    one = c[0].dtype.type(1)
    call_fortran(  # C^T = B^T A^T: the routine sees transposes, and takes them in reverse
        gemm,
        (
            TRANSPOSED if transposed_b else PLAIN,
            TRANSPOSED if transposed_a else PLAIN,
            np.int32(n),
            np.int32(m),
            np.int32(k),
            one,
            b,
            np.int32(row_b),
            a,
            np.int32(row_a),
            one * keep,
            c,
            np.int32(n),
        ),
    )
