"""BLAS and LAPACK in float64 without the GIL: SciPy's routines, by their published addresses.

SciPy's own wrappers hold the GIL, so that threads would wait for each other's Cholesky factors.
`scipy.linalg.cython_blas` and `cython_lapack` publish the same routines for Cython; ctypes calls
them without the GIL. Matrices are in Fortran order, and only the lower triangle of symmetric ones
is read. Results overwrite arguments.
"""

import ctypes

import numpy as np
from scipy.linalg import cython_blas, cython_lapack


def routine_address(module, name) -> int:
    """Return the address of a routine that a Cython module of SciPy publishes."""
    api = ctypes.pythonapi
    name_of, pointer_of = api.PyCapsule_GetName, api.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule = module.__pyx_capi__[name]
    return pointer_of(capsule, name_of(capsule))


def _routine(module, name, n_arguments):
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)
    return kind(routine_address(module, name))


_potrf = _routine(cython_lapack, "dpotrf", 5)
_potrs = _routine(cython_lapack, "dpotrs", 8)
_trtri = _routine(cython_lapack, "dtrtri", 6)
_trtrs = _routine(cython_lapack, "dtrtrs", 10)
_syrk = _routine(cython_blas, "dsyrk", 10)
_trmm = _routine(cython_blas, "dtrmm", 11)

# Triangular matrices of at most this size are inverted by dtrtri.
MAX_TRTRI_SIZE = 64

# Arguments passed by reference: 'L' for lower or left, 'R' for right, 'N' for not transposed, 'T'
# for transposed, and numbers.
_L, _R, _N, _T = (ctypes.byref(ctypes.c_char(letter)) for letter in b"LRNT")
_ONE_COLUMN = ctypes.byref(ctypes.c_int(1))
_ONE, _MINUS_ONE = (ctypes.byref(ctypes.c_double(number)) for number in (1.0, -1.0))


def _int(value):
    return ctypes.byref(ctypes.c_int(value))


def _at(array):
    return array.ctypes.data


def cholesky(matrix: np.ndarray) -> bool:
    """Replace A by L with A = L L^T; return False if A is not positive definite to rounding."""
    n, info = _int(len(matrix)), ctypes.c_int(0)
    _potrf(_L, n, _at(matrix), n, ctypes.byref(info))
    return info.value == 0


def require_finite(added: float) -> None:
    """Raise a ValueError if a matrix cannot be made positive definite because it is not finite.

    `added` is the number that was added to its diagonal.
    """
    if not np.isfinite(added):
        raise ValueError(
            "Solver produced non-finite parameter weights. The input data may contain large values "
            "and need to be preprocessed."
        )


def cholesky_solve(factor: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Replace b, a vector or columns in Fortran order, by A^-1 b."""
    n, info = _int(len(factor)), ctypes.c_int(0)
    n_columns = _ONE_COLUMN if columns.ndim == 1 else _int(columns.shape[1])
    _potrs(_L, n, n_columns, _at(factor), n, _at(columns), n, ctypes.byref(info))
    return columns


def invert_lower(lower: np.ndarray) -> None:
    """Replace the lower triangle of L by the lower triangle of L^-1, by blocks.

        [[L11, 0], [L21, L22]]^-1 = [[L11^-1, 0], [-L22^-1 L21 L11^-1, L22^-1]]

    dtrmm is three times as fast as dtrtri and dpotri here: 0.6 ms instead of 1.8 and 2.3 at n = 385
    (OpenBLAS 0.3.30, one core of an AMD EPYC with AVX-512, 2026-11-30).
    """
    n = len(lower)
    row, begin, info = _int(n), _at(lower), ctypes.c_int(0)

    def address(i, j):
        return begin + 8 * (j * n + i)

    def invert(first, size):
        if size <= MAX_TRTRI_SIZE:
            _trtri(_L, _N, _int(size), address(first, first), row, ctypes.byref(info))
            return
        half = size // 2
        middle, rest = first + half, size - half
        invert(first, half)
        invert(middle, rest)
        below, sizes = address(middle, first), (_int(rest), _int(half))
        _trmm(_R, _L, _N, _N, *sizes, _ONE, address(first, first), row, below, row)
        _trmm(_L, _L, _N, _N, *sizes, _MINUS_ONE, address(middle, middle), row, below, row)

    invert(0, n)


def solve_triangular(lower: np.ndarray, columns: np.ndarray, *, transposed=False) -> np.ndarray:
    """Replace b, a vector or columns in Fortran order, by L^-1 b or L^-T b."""
    n, info = _int(len(lower)), ctypes.c_int(0)
    n_columns = _ONE_COLUMN if columns.ndim == 1 else _int(columns.shape[1])
    flag, at = (_T if transposed else _N), _at(columns)
    _trtrs(_L, flag, _N, n, n_columns, _at(lower), n, at, n, ctypes.byref(info))
    return columns


def add_gram_matrix(rows: np.ndarray, total: np.ndarray) -> None:
    """Add R R^T of an R of shape (n, m) in C order to the lower triangle of `total`."""
    n, m = _int(rows.shape[0]), _int(rows.shape[1])
    _syrk(_L, _T, n, m, _ONE, _at(rows), m, _ONE, _at(total), n)
