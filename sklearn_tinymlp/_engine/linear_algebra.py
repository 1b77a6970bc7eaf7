"""BLAS and LAPACK for compiled code: scipy's own routines, called by address.

Matrices are flat, in C order. The routines expect Fortran's order and so see the transpose: their
lower triangle "L" is the upper one here, the entries [i, j] with j >= i, and the Cholesky factor is
U = L^T with U^T U = A.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba.extending import get_cython_function_address

from .._machine.compilation import call_fortran, part, unsigned

LOWER, PLAIN, TRANSPOSED = (np.uint8(ord(letter)) for letter in "LNT")


class Routines(NamedTuple):
    """Addresses of the routines in float64; they differ from process to process."""

    syrk: int
    potrf: int
    potrs: int
    potri: int


@cache
def routines() -> Routines:
    """Look the addresses up."""
    names = (("blas", "dsyrk"), ("lapack", "dpotrf"), ("lapack", "dpotrs"), ("lapack", "dpotri"))
    return Routines(*(_address(library, name) for library, name in names))


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


@part
def add_self_product(syrk, block, start, n, n_rows, result, result_start):
    """Upper triangle of result += B B^T for B = block[start:] of shape (n, n_rows)."""
    n, n_rows, one = np.int32(n), np.int32(n_rows), 1.0
    b, c = (block, start), (result, result_start)
    call_fortran(syrk, (LOWER, TRANSPOSED, n, n_rows, one, b, n_rows, one, c, n))


@part
def add_gram_matrix(syrk, block, n_rows, n, result):
    """Upper triangle of result += B^T B for a block B of shape (n_rows, n)."""
    n, n_rows, one, o = np.int32(n), np.int32(n_rows), 1.0, unsigned(0)
    call_fortran(syrk, (LOWER, PLAIN, n, n_rows, one, (block, o), n, one, (result, o), n))


@part
def cholesky(potrf, matrix, n):
    """Replace the upper triangle of A by U; return whether A was positive definite."""
    n, o = np.int32(n), unsigned(0)
    return call_fortran(potrf, (LOWER, n, (matrix, o), n, np.int32(0))) == 0


@part
def cholesky_solve(potrs, factor, n, vector):
    """Replace a vector b by A^-1 b."""
    n, one, o = np.int32(n), np.int32(1), unsigned(0)
    call_fortran(potrs, (LOWER, n, one, (factor, o), n, (vector, o), n, np.int32(0)))


@part
def cholesky_inverse(potri, factor, n):
    """Replace U by the upper triangle of A^-1."""
    n, o = np.int32(n), unsigned(0)
    call_fortran(potri, (LOWER, n, (factor, o), n, np.int32(0)))
