"""The built-in activations: value and slope in one pass, and the values they take.

Each function replaces z by f(z) and writes f'(z) to slope, over n contiguous numbers.

The exponential functions have no branch and no call, so that the loops over them vectorise; those
of the C library take 15 to 20 ns a number.  With x = k ln 2 + r, |r| <= ln 2 / 2, and
R = r coth(r / 2),

    exp(x) = 2^k (R + r) / (R - r),    tanh(x / 2) = ((2^k - 1) R + (2^k + 1) r)
                                                     / ((2^k + 1) R + (2^k - 1) r),

each with a single division.  R - 2 is even in r and smooth: five terms give it to 1e-17 (minimax on
|r| <= ln 2 / 2; fdlibm's `exp`, of which this is a form, has five too).  Against 50 digits, over
60,000 arguments each, all stay within 2.6 units in the last place, exp within 1.2.
"""

import math

import numpy as np

from .._machine.compilation import carray, exact
from .table import LEAKY_SLOPE

SQRT_HALF = math.sqrt(0.5)
NORMAL_DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)

LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has 21 zero bits at its end, so that k times it is exact.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds to an integer, which then stands in the last bits of the sum.
ROUNDING = 6755399441055744.0
EXPONENT_BIAS = 1023.0
LEAST_EXPONENT = -708.0  # of exp, below which 2^k would be subnormal


@exact
def reduced(x):
    """Return 2^(k - 1), R - 2 and r of x = k ln 2 + r, -708 <= x <= 710; NaN stays NaN."""
    shifted = x * LOG2_E + (ROUNDING + EXPONENT_BIAS - 1.0)
    k = shifted - (ROUNDING + EXPONENT_BIAS - 1.0)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    s = r * r
    tail = -0.0000016534053527443321 + s * 4.1434583484664273e-8
    tail = 0.000066137564674142021 + s * tail
    tail = -0.0027777777777555931 + s * tail
    # The last bits of the sum are k - 1 + 1023: shifted left they are the exponent of a double.
    half = np.uint64(np.float64(shifted).view(np.uint64) << np.uint64(52)).view(np.float64)
    return half, s * (0.16666666666666661 + s * tail), r


@exact
def fast_exp(x):
    """exp(x) as 2^k (1 + 2 r / (R - r)); zero where it would be subnormal."""
    clipped = LEAST_EXPONENT if x < LEAST_EXPONENT else x
    half, excess, r = reduced(710.0 if clipped > 710.0 else clipped)
    value = 2.0 * (half * (1.0 + 2.0 * r / (2.0 + (excess - r))))
    return 0.0 if x < LEAST_EXPONENT else value


@exact
def fast_expm1(x):
    """exp(x) - 1 for x <= 0."""
    half, excess, r = reduced(-40.0 if x < -40.0 else x)  # -1 to rounding
    low, high = half - 0.5, half + 0.5
    return 2.0 * (2.0 * low + (high * r + low * excess)) / (2.0 + (excess - r))


@exact
def fast_tanh(x):
    """tanh(x), for larger x as 1 - 2 / (exp(2 x) + 1), which rounds less."""
    size = 2.0 * abs(x)
    half, excess, r = reduced(40.0 if size > 40.0 else size)  # 1 to rounding
    low, high = half - 0.5, half + 0.5
    small = size < 1.5
    above = 2.0 * low + (high * r + low * excess)
    quotient = (above if small else 2.0 + (excess - r)) / (2.0 * high + (low * r + high * excess))
    return math.copysign(quotient if small else 1.0 - quotient, x)


@exact
def fast_logistic(x):
    """1 / (1 + exp(-x)); zero where it would be subnormal."""
    clipped = 710.0 if x < -710.0 else -x
    half, excess, r = reduced(LEAST_EXPONENT if clipped < LEAST_EXPONENT else clipped)
    one = 2.0 + (excess - r)
    return one / (one + 2.0 * (half * (2.0 + (excess + r))))


def identity(z, slope, n):
    """Leave z as it is."""
    slope = carray(slope, n)
    one = slope.dtype.type(1)
    for k in range(n):
        slope[k] = one


def logistic(z, slope, n):
    """1 / (1 + exp(-z))."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z.dtype.type(fast_logistic(float(z[k])))
        z[k] = a
        slope[k] = a * (one - a)


def tanh(z, slope, n):
    """tanh(z)."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z.dtype.type(fast_tanh(float(z[k])))
        z[k] = a
        slope[k] = one - a * a


def relu(z, slope, n):
    """max(0, z); the slope at 0 is 0, as in MLPRegressor."""
    z, slope = carray(z, n), carray(slope, n)
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        a = z[k]
        slope[k] = zero if a <= zero else one
        z[k] = zero if a < zero else a


def leaky_relu(z, slope, n):
    """Leave z > 0, shrink the rest to 0.01 z."""
    z, slope = carray(z, n), carray(slope, n)
    leak, zero, one = z.dtype.type(LEAKY_SLOPE), z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        s = leak if z[k] <= zero else one
        slope[k] = s
        z[k] *= s


def elu(z, slope, n):
    """Leave z > 0, bend the rest to exp(z) - 1."""
    z, slope = carray(z, n), carray(slope, n)
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        a = z[k]
        bent = z.dtype.type(fast_expm1(float(zero if a > zero else a)))
        z[k] = a if a > zero else bent
        slope[k] = bent + one  # bent is zero for z > 0


def softplus(z, slope, n):
    """log(1 + exp(z)), written so that it does not overflow."""
    z, slope = carray(z, n), carray(slope, n)
    zero = z.dtype.type(0)
    for k in range(n):
        a = z[k]
        slope[k] = fast_logistic(float(a))
        z[k] = (a if a > zero else zero) + math.log1p(fast_exp(-abs(float(a))))


def silu(z, slope, n):
    """Multiply z by its logistic function."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z[k]
        s = z.dtype.type(fast_logistic(float(a)))
        z[k] = a * s
        slope[k] = s * (one + a * (one - s))


def gelu(z, slope, n):
    """Multiply z by the standard normal distribution function."""
    z, slope = carray(z, n), carray(slope, n)
    half, one = z.dtype.type(0.5), z.dtype.type(1)
    scale, density_0 = z.dtype.type(SQRT_HALF), z.dtype.type(NORMAL_DENSITY_0)
    for k in range(n):
        a = z[k]
        cdf = half * (one + math.erf(a * scale))
        z[k] = a * cdf
        slope[k] = cdf + a * density_0 * z.dtype.type(fast_exp(float(-half * a * a)))


def sin(z, slope, n):
    """sin(z)."""
    z, slope = carray(z, n), carray(slope, n)
    for k in range(n):
        a = z[k]
        z[k] = math.sin(a)
        slope[k] = math.cos(a)


def exp(z, slope, n):
    """exp(z)."""
    z, slope = carray(z, n), carray(slope, n)
    for k in range(n):
        a = fast_exp(float(z[k]))
        z[k] = a
        slope[k] = a
