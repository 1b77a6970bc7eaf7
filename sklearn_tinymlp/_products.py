"""The matrix products of a layer over a block of rows, by loops and by BLAS.

A block has the shape (units, rows): samples are contiguous. Arrays come as bare pointers with
unsigned sizes: views would cost reference counts and signed indices wrap-around tests, both of
which keep the inner loops from vectorising and triple the time that numba needs to compile them.
"""

from functools import cache

import numpy as np

from ._compilation import c_function, carray, unsigned

# A layer of this many coefs or more is multiplied by BLAS. `python -m benchmarks.blas_threshold`
# measures both: loops win by up to 1.5 below 1,000 coefs, BLAS by 1.2 at 2,500 and by 2 at 10,000.
BLAS_SIZE = 2048


def add_combinations(coefs, source, result, n_in, n_out, n_rows, step_in, step_out):
    """result[j, r] += sum_i w[i, j] source[i, r], where w[i, j] = coefs[i step_in + j step_out].

    One of the steps is 1, the other the row length of the coefs: so the coefs are applied
    forward, or transposed.
    """
    coefs = carray(coefs, n_in * n_out)
    source, result = carray(source, n_in * n_rows), carray(result, n_out * n_rows)
    four, one = unsigned(4), unsigned(1)
    for j in range(n_out):
        z = j * n_rows
        w = j * step_out
        a = n_rows - n_rows
        left = n_in
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


def add_products(p, q, gradient, n_p, n_q, n_rows, step_p, step_q):
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


def outer_products(p, q, result, n_p, n_q, n_rows):
    """result[i n_q + j, r] = p[i, r] q[j, r], p and q blocks of rows."""
    p, q = carray(p, n_p * n_rows), carray(q, n_q * n_rows)
    result = carray(result, n_p * n_q * n_rows)
    for i in range(n_p):
        a = i * n_rows
        for j in range(n_q):
            b, place = j * n_rows, (i * n_q + j) * n_rows
            for r in range(n_rows):
                result[place + r] = p[a + r] * q[b + r]


def add_combinations_blas(coefs, source, result, n_in, n_out, n_rows, step_in, step_out):
    """`add_combinations` as a matrix product."""
    source = carray(source, (n_in, n_rows))
    if step_in == 1:
        product = np.dot(carray(coefs, (n_out, n_in)), source)
    else:
        product = np.dot(carray(coefs, (n_in, n_out)).T, source)
    result = carray(result, (n_out, n_rows))
    for j in range(n_out):
        for r in range(n_rows):
            result[j, r] += product[j, r]


def add_products_blas(p, q, gradient, n_p, n_q, n_rows, step_p, step_q):
    """`add_products` as a matrix product."""
    product = np.dot(carray(p, (n_p, n_rows)), carray(q, (n_q, n_rows)).T)
    gradient = carray(gradient, n_p * n_q)
    for i in range(n_p):
        for j in range(n_q):
            gradient[i * step_p + j * step_q] += product[i, j]


@cache
def compiled(dtype: str, blas: bool):
    """Compile both products for 'float32' or 'float64', once a process; keep them alive."""
    if blas:
        functions = add_combinations_blas, add_products_blas
    else:
        functions = add_combinations, add_products
    return [c_function(function, 3, 5, dtype) for function in functions]


@cache
def compiled_outer_products():
    """Compile `outer_products` in float64, once a process; keep it alive."""
    return c_function(outer_products, 3, 3, "float64")
