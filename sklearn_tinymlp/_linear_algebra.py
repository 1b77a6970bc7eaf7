"""BLAS and LAPACK for compiled code: scipy's own routines, called by address.

Matrices are flat, in C order. The routines are Fortran's, to whom such a matrix is its transpose:
their lower triangle "L" is the upper one here, entries [i, j] with j >= i, and the Cholesky factor
is U = L^T with U^T U = A.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from numba.extending import get_cython_function_address

from ._compilation import call, part, unsigned

LOWER, PLAIN, TRANSPOSED = (ord(letter) for letter in "LNT")


class Routines(NamedTuple):
    """Addresses of the routines; they differ from process to process."""

    syrk: int
    potrf: int
    potrs: int
    potri: int


@cache
def routines() -> Routines:
    """Look the addresses up."""
    blas, lapack = "scipy.linalg.cython_blas", "scipy.linalg.cython_lapack"
    names = ((blas, "dsyrk"), (lapack, "dpotrf"), (lapack, "dpotrs"), (lapack, "dpotri"))
    return Routines(*(unsigned(get_cython_function_address(*name)) for name in names))


@part
def add_self_product(syrk, block, start, n, n_rows, result, result_start):
    """Upper triangle of result += B B^T for B = block[start:] of shape (n, n_rows)."""
    letters, integers, reals = np.empty(2, np.uint8), np.empty(2, np.int32), np.empty(1)
    letters[0], letters[1] = LOWER, TRANSPOSED
    integers[0], integers[1] = n, n_rows
    reals[0] = 1.0
    o, i = unsigned(0), unsigned(1)
    call(
        syrk,
        (letters, letters, integers, integers, reals, block, integers, reals, result, integers),
        (o, i, o, i, o, start, i, o, result_start, o),
        (),
    )


@part
def add_gram_matrix(syrk, block, n_rows, n, result):
    """Upper triangle of result += B^T B for a block B of shape (n_rows, n)."""
    letters, integers, reals = np.empty(2, np.uint8), np.empty(2, np.int32), np.empty(1)
    letters[0], letters[1] = LOWER, PLAIN
    integers[0], integers[1] = n, n_rows
    reals[0] = 1.0
    o, i = unsigned(0), unsigned(1)
    call(
        syrk,
        (letters, letters, integers, integers, reals, block, integers, reals, result, integers),
        (o, i, o, i, o, o, o, o, o, o),
        (),
    )


@part
def cholesky(potrf, matrix, n):
    """Replace the upper triangle of A by U; return whether A was positive definite."""
    letters, integers = np.empty(1, np.uint8), np.empty(2, np.int32)
    letters[0], integers[0], integers[1] = LOWER, n, 0
    o, i = unsigned(0), unsigned(1)
    call(potrf, (letters, integers, matrix, integers, integers), (o, o, o, o, i), ())
    return integers[1] == 0


@part
def cholesky_solve(potrs, factor, n, vector):
    """Replace a vector b by A^-1 b."""
    letters, integers = np.empty(1, np.uint8), np.empty(3, np.int32)
    letters[0], integers[0], integers[1] = LOWER, n, 1
    o, i, ii = unsigned(0), unsigned(1), unsigned(2)
    call(
        potrs,
        (letters, integers, integers, factor, integers, vector, integers, integers),
        (o, o, i, o, o, o, o, ii),
        (),
    )


@part
def cholesky_inverse(potri, factor, n):
    """Replace U by the upper triangle of A^-1."""
    letters, integers = np.empty(1, np.uint8), np.empty(2, np.int32)
    letters[0], integers[0] = LOWER, n
    o, i = unsigned(0), unsigned(1)
    call(potri, (letters, integers, factor, integers, integers), (o, o, o, o, i), ())
