"""Linear algebra of the kernels: products of a layer over a block of rows, and sums.

A block has the shape (units, rows): samples are contiguous. Arrays are bare pointers with unsigned
sizes: views would cost reference counts and signed indices wrap-around tests, both of which prevent
the inner loops from vectorising and triple the time that numba needs to compile them.
"""

from functools import cache

import numpy as np
from scipy.linalg import cython_blas

from .._machine.compilation import (
    c_function,
    call_fortran,
    carray,
    jit_fast,
    jit_ieee,
    once_per_process,
    unsigned,
)
from .._machine.lapack import routine_address
from .._machine.threads import blas_cores

# `backpropagate` handles layers of at most this many outputs.
FEW_OUTPUTS = 4

# Layers of at least this many coefs are multiplied by BLAS. `python -m benchmarks.blas_threshold`
# compares both methods. Where OpenBLAS has kernels for small matrices, as for Intel's AVX-512, it
# is up to 3 times as fast from 100 coefs on, on blocks of 32 rows and of 128; below 100 there is no
# noticeable difference. Its kernels for Haswell, which AMD's processors use too, first copy all
# operands: with them loops are mostly 1.1 to 2 times as fast up to 1,000 coefs, and BLAS is faster
# from 2,500 on.
BLAS_SIZE = 64
BLAS_SIZE_OF_CORE = {"Haswell": 2000, "Zen": 2000}

PLAIN, TRANSPOSED = (np.uint8(ord(letter)) for letter in "NT")


@cache
def blas_size() -> int:
    """Return the number of coefs from which on a layer is multiplied by BLAS on this machine."""
    return max(BLAS_SIZE_OF_CORE.get(core, BLAS_SIZE) for core in blas_cores() or [""])


def affine(coefs, source, result, n_in, n_out, n_rows, step_in, step_out, keep, gemm):
    """result[j, r] = keep result[j, r] + sum_i w[i, j] source[i, r].

    w[i, j] = coefs[i step_in + j step_out]; one of the steps is 1, the other the row length of the
    coefs, which are applied forward (or some of their columns) or transposed. `keep` is 0 or 1; the
    intercepts are in `result` before the call. `gemm` is for BLAS.
    """
    four, one = unsigned(4), unsigned(1)
    coefs = carray(coefs, (n_in - one) * step_in + (n_out - one) * step_out + one)
    source, result = carray(source, n_in * n_rows), carray(result, n_out * n_rows)
    zero = result.dtype.type(0)
    for j in range(n_out):
        z = j * n_rows
        w = j * step_out
        a = n_rows - n_rows
        left = n_in
        if keep == 0:
            for r in range(n_rows):
                result[z + r] = zero
        while left >= four:  # four at a time: a quarter of the loads and stores of the result
            w0, w1 = coefs[w], coefs[w + step_in]
            w += step_in + step_in
            w2, w3 = coefs[w], coefs[w + step_in]
            w += step_in + step_in
            b = a + n_rows
            c = b + n_rows
            d = c + n_rows
            for r in range(n_rows):
                result[z + r] += (
                    w0 * source[a + r]
                    + w1 * source[b + r]
                    + w2 * source[c + r]
                    + w3 * source[d + r]
                )
            a = d + n_rows
            left -= four
        while left > 0:
            w0 = coefs[w]
            for r in range(n_rows):
                result[z + r] += w0 * source[a + r]
            w += step_in
            a += n_rows
            left -= one


def accumulate_gradient(p, q, gradient, n_p, n_q, n_rows, step_p, step_q, gemm):
    """gradient[i step_p + j step_q] += sum_r p[i, r] q[j, r], p and q blocks of rows."""
    p, q = carray(p, n_p * n_rows), carray(q, n_q * n_rows)
    gradient = carray(gradient, n_p * n_q)
    zero = gradient.dtype.type(0)
    four, one = unsigned(4), unsigned(1)
    for j in range(n_q):
        v = j * n_rows
        g = j * step_q
        a = n_rows - n_rows
        left = n_p
        while left >= four:
            b = a + n_rows
            c = b + n_rows
            d = c + n_rows
            s0, s1, s2, s3 = zero, zero, zero, zero
            for r in range(n_rows):
                t = q[v + r]
                s0 += p[a + r] * t
                s1 += p[b + r] * t
                s2 += p[c + r] * t
                s3 += p[d + r] * t
            gradient[g] += s0
            gradient[g + step_p] += s1
            g += step_p + step_p
            gradient[g] += s2
            gradient[g + step_p] += s3
            g += step_p + step_p
            a = d + n_rows
            left -= four
        while left > 0:
            s0 = zero
            for r in range(n_rows):
                s0 += p[a + r] * q[v + r]
            gradient[g] += s0
            g += step_p
            a += n_rows
            left -= one


def backpropagate(
    coefs, values, slopes, after, deltas, gradient, bias_gradient, n_in, n_out, n_rows, bias
):
    """Propagate the deltas `after` a layer of few outputs to the deltas before it, in one pass.

    For each unit i before the layer

        gradient[i, j] += sum_r values[i, r] after[j, r]
        deltas[i, r] = slopes[i, r] sum_j coefs[i, j] after[j, r]
        bias_gradient[i] += sum_r deltas[i, r]            where `bias` is 1

    One row of each array is in the first-level cache for all three sums; matrix products would load
    the blocks from the second-level cache twice as often.
    """
    coefs, gradient = carray(coefs, n_in * n_out), carray(gradient, n_in * n_out)
    values, slopes = carray(values, n_in * n_rows), carray(slopes, n_in * n_rows)
    after, deltas = carray(after, n_out * n_rows), carray(deltas, n_in * n_rows)
    bias_gradient = carray(bias_gradient, n_in)
    zero = deltas.dtype.type(0)
    last = n_out - unsigned(1)
    for i in range(n_in):
        a, w = i * n_rows, i * n_out
        for j in range(last):
            d = j * n_rows
            g = zero
            for r in range(n_rows):
                deltas[a + r] = (deltas[a + r] if j > 0 else zero) + coefs[w + j] * after[d + r]
                g += values[a + r] * after[d + r]
            gradient[w + j] += g
        d, c = last * n_rows, coefs[w + last]
        g, s = zero, zero
        for r in range(n_rows):  # the last output completes the sums, and is usually the only one
            t = slopes[a + r] * ((deltas[a + r] if last > 0 else zero) + c * after[d + r])
            deltas[a + r] = t
            g += values[a + r] * after[d + r]
            s += t
        gradient[w + last] += g
        if bias == 1:
            bias_gradient[i] += s


# ------------------------------------------------------------------------------- the same by BLAS


@cache
def gemm_address(dtype: str) -> int:
    """Return the address of SciPy's matrix product for 'float32' or 'float64'."""
    return unsigned(routine_address(cython_blas, "sgemm" if dtype == "float32" else "dgemm"))


@jit_fast
def matrix_product(gemm, transposed_a, a, row_a, transposed_b, b, row_b, c, m, n, k, keep):
    """C = A B + keep C in C order; A and B are stored in rows of lengths `row_a` and `row_b`.

    The routine is Fortran's and reads the transposes: C^T = B^T A^T.
    """
    one = c.dtype.type(1)
    flag_a = TRANSPOSED if transposed_a else PLAIN
    flag_b = TRANSPOSED if transposed_b else PLAIN
    sizes = (flag_b, flag_a, np.int32(n), np.int32(m), np.int32(k))
    factors = (one, b, np.int32(row_b), a, np.int32(row_a))
    call_fortran(gemm, sizes + factors + (one * keep, c, np.int32(n)))


def affine_blas(coefs, source, result, n_in, n_out, n_rows, step_in, step_out, keep, gemm):
    """`affine` as a matrix product."""
    one = unsigned(1)
    coefs = carray(coefs, (n_in - one) * step_in + (n_out - one) * step_out + one)
    source, result = carray(source, n_in * n_rows), carray(result, n_out * n_rows)
    stored = step_out == one  # in n_in rows: transposed
    row = max(step_in, n_out) if stored else max(step_out, n_in)  # any for a single row
    keep = result.dtype.type(keep)
    matrix_product(
        gemm, stored, coefs, row, False, source, n_rows, result, n_out, n_rows, n_in, keep
    )


def accumulate_gradient_blas(p, q, gradient, n_p, n_q, n_rows, step_p, step_q, gemm):
    """`accumulate_gradient` as a matrix product."""
    p, q = carray(p, n_p * n_rows), carray(q, n_q * n_rows)
    gradient = carray(gradient, n_p * n_q)
    if step_q != unsigned(1):
        p, q, n_p, n_q = q, p, n_q, n_p
    one = gradient.dtype.type(1)
    matrix_product(gemm, False, p, n_rows, True, q, n_rows, gradient, n_p, n_q, n_rows, one)


# The functions that use loops, and those that use BLAS.
AFFINE = (affine, affine_blas)
ACCUMULATE = (accumulate_gradient, accumulate_gradient_blas)


@once_per_process
def compiled(function, dtype: str):
    """Compile one of the functions above for 'float32' or 'float64'."""
    n_arguments = function.__code__.co_argcount
    n_arrays = 7 if function is backpropagate else 3
    return c_function(function, n_arrays, n_arguments - n_arrays, dtype)


# -------------------------------------- sums in a fixed order, four at a time as registers hold


@jit_ieee
def sum_of(numbers, n):
    """Add up n numbers."""
    four, one, k = unsigned(4), unsigned(1), unsigned(0)
    a = b = c = d = 0.0
    while k + four <= n:
        a += numbers[k]
        b += numbers[k + one]
        c += numbers[k + unsigned(2)]
        d += numbers[k + unsigned(3)]
        k += four
    while k < n:
        a += numbers[k]
        k += one
    return (a + b) + (c + d)


@jit_ieee
def dot(rows, begin, vector, n):
    """Return the inner product of a vector and rows[begin:begin + n]."""
    four, one, k = unsigned(4), unsigned(1), unsigned(0)
    a = b = c = d = 0.0
    while k + four <= n:
        a += rows[begin + k] * vector[k]
        b += rows[begin + k + one] * vector[k + one]
        c += rows[begin + k + unsigned(2)] * vector[k + unsigned(2)]
        d += rows[begin + k + unsigned(3)] * vector[k + unsigned(3)]
        k += four
    while k < n:
        a += rows[begin + k] * vector[k]
        k += one
    return (a + b) + (c + d)
