"""The matrix products of a layer over a block of rows, by loops and by BLAS.

A block has the shape (units, rows): samples are contiguous. Arrays come as bare pointers with
unsigned sizes: views would cost reference counts and signed indices wrap-around tests, both of
which keep the inner loops from vectorising and triple the time that numba needs to compile them.
"""

from functools import cache

from .._machine.compilation import c_function, carray, once, unsigned
from .._machine.threads import blas_cores
from .linear_algebra import matrix_product

# A layer of at most this many outputs is passed back through by `backpropagate`.
FEW_OUTPUTS = 4

# A layer of this many coefs or more is multiplied by BLAS. `python -m benchmarks.blas_threshold`
# measures both. Where OpenBLAS has kernels for small matrices, as for Intel's AVX-512, it is up to
# 3 times as fast from 100 coefs on, on blocks of 32 rows and of 128; below there is no difference
# to speak of. Its kernels for Haswell, which AMD's processors run too, first copy all they read:
# there loops are mostly 1.1 to 2 times as fast up to 1,000 coefs, and BLAS from 2,500 on.
BLAS_SIZE = 64
BLAS_SIZE_OF_CORE = {"Haswell": 2000, "Zen": 2000}


@cache
def blas_size() -> int:
    """Give the size from which on a layer is multiplied by BLAS on this machine."""
    return max(BLAS_SIZE_OF_CORE.get(core, BLAS_SIZE) for core in blas_cores() or [""])


def combine(coefs, source, result, n_in, n_out, n_rows, step_in, step_out, keep, gemm):
    """result[j, r] = keep result[j, r] + sum_i w[i, j] source[i, r].

    w[i, j] = coefs[i step_in + j step_out]; one of the steps is 1, the other the row length of the
    coefs: so the coefs are applied forward, also some columns of them, or transposed. `keep` is 0
    or 1, `gemm` for BLAS.
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


def add_products(p, q, gradient, n_p, n_q, n_rows, step_p, step_q, gemm):
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
    """Take the deltas `after` a layer of few outputs back to those before it, in one pass.

    For each unit i before the layer

        gradient[i, j] += sum_r values[i, r] after[j, r]
        deltas[i, r] = slopes[i, r] sum_j coefs[i, j] after[j, r]
        bias_gradient[i] += sum_r deltas[i, r]            where `bias` is 1

    A row of each is in the first-level cache for all three; as products of matrices they would
    fetch the blocks from the second-level cache twice as often.
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
        for r in range(n_rows):  # the last output ends the sums, and is mostly the only one
            t = slopes[a + r] * ((deltas[a + r] if last > 0 else zero) + c * after[d + r])
            deltas[a + r] = t
            g += values[a + r] * after[d + r]
            s += t
        gradient[w + last] += g
        if bias == 1:
            bias_gradient[i] += s


def combine_blas(coefs, source, result, n_in, n_out, n_rows, step_in, step_out, keep, gemm):
    """`combine` as a matrix product."""
    one, o = unsigned(1), unsigned(0)
    coefs = carray(coefs, (n_in - one) * step_in + (n_out - one) * step_out + one)
    source, result = carray(source, n_in * n_rows), carray(result, n_out * n_rows)
    transposed = step_out == one  # coefs are stored with n_in rows
    row = max(step_in, n_out) if transposed else max(step_out, n_in)  # of one row any length does
    matrix_product(
        gemm,
        transposed,
        (coefs, o),
        row,
        False,
        (source, o),
        n_rows,
        (result, o),
        n_out,
        n_rows,
        n_in,
        result.dtype.type(keep),
    )


def add_products_blas(p, q, gradient, n_p, n_q, n_rows, step_p, step_q, gemm):
    """`add_products` as a matrix product."""
    p, q = carray(p, n_p * n_rows), carray(q, n_q * n_rows)
    gradient, o = carray(gradient, n_p * n_q), unsigned(0)
    if step_q == unsigned(1):
        first, second, n_first, n_second = p, q, n_p, n_q
    else:
        first, second, n_first, n_second = q, p, n_q, n_p
    matrix_product(
        gemm,
        False,
        (first, o),
        n_rows,
        True,
        (second, o),
        n_rows,
        (gradient, o),
        n_first,
        n_second,
        n_rows,
        gradient.dtype.type(1),
    )


@once
def compiled_combine(dtype: str, blas: bool):
    """Compile `combine` for 'float32' or 'float64'."""
    return c_function(combine_blas if blas else combine, 3, 7, dtype)


@once
def compiled_add_products(dtype: str, blas: bool):
    """Compile `add_products` for 'float32' or 'float64'."""
    return c_function(add_products_blas if blas else add_products, 3, 6, dtype)


@once
def compiled_pass_back(dtype: str):
    """Compile `backpropagate`."""
    return c_function(backpropagate, 7, 4, dtype)
