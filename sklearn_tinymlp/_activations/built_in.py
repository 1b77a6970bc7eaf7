"""The built-in activations in compiled code: f(z) and f'(z) of a scalar.

The exponential functions have no branch and no call, so that the loops over them vectorise; those
of the C library take 15 to 20 ns per value. With x = k ln 2 + r, |r| <= ln 2 / 2, and
R = r coth(r / 2),

    exp(x) = 2^k (R + r) / (R - r),    tanh(x / 2) = ((2^k - 1) R + (2^k + 1) r)
                                                     / ((2^k + 1) R + (2^k - 1) r),

each with a single division. R - 2 is even in r and smooth: five terms approximate it to 1e-17
(minimax on |r| <= ln 2 / 2; fdlibm's `exp`, on which this is based, has five too). Compared with
50-digit arithmetic on 60,000 arguments for each function, the error is at most 2.6 units in the
last place, for exp 1.2.
"""

import math

import numpy as np

from .._machine.compilation import jit_ordered
from .table import LEAKY_SLOPE
from .vectorised import LEAST_EXPONENT, NORMAL_DENSITY_0

SQRT_HALF = math.sqrt(0.5)
LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has 21 zero bits at its end, so that its product with k is exact.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds to an integer, which is then in the last bits of the sum.
ROUNDING = 6755399441055744.0
EXPONENT_BIAS = 1023.0


@jit_ordered
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


@jit_ordered
def fast_exp(x):
    """exp(x) as 2^k (1 + 2 r / (R - r)); zero where it would be subnormal."""
    clipped = LEAST_EXPONENT if x < LEAST_EXPONENT else x
    half, excess, r = reduced(710.0 if clipped > 710.0 else clipped)
    value = 2.0 * (half * (1.0 + 2.0 * r / (2.0 + (excess - r))))
    return 0.0 if x < LEAST_EXPONENT else value


@jit_ordered
def fast_expm1(x):
    """exp(x) - 1 for x <= 0."""
    half, excess, r = reduced(-40.0 if x < -40.0 else x)  # -1 to rounding
    low, high = half - 0.5, half + 0.5
    return 2.0 * (2.0 * low + (high * r + low * excess)) / (2.0 + (excess - r))


@jit_ordered
def fast_tanh(x):
    """tanh(x), for larger x as 1 - 2 / (exp(2 x) + 1), with less rounding error."""
    size = 2.0 * abs(x)
    half, excess, r = reduced(40.0 if size > 40.0 else size)  # 1 to rounding
    low, high = half - 0.5, half + 0.5
    small = size < 1.5
    above = 2.0 * low + (high * r + low * excess)
    quotient = (above if small else 2.0 + (excess - r)) / (2.0 * high + (low * r + high * excess))
    return math.copysign(quotient if small else 1.0 - quotient, x)


@jit_ordered
def fast_logistic(x):
    """1 / (1 + exp(-x)); zero where it would be subnormal."""
    clipped = 710.0 if x < -710.0 else -x
    half, excess, r = reduced(LEAST_EXPONENT if clipped < LEAST_EXPONENT else clipped)
    one = 2.0 + (excess - r)
    return one / (one + 2.0 * (half * (2.0 + (excess + r))))


def identity(z):
    """Return z and 1."""
    return z, type(z)(1)


def logistic(z):
    """1 / (1 + exp(-z))."""
    a = type(z)(fast_logistic(float(z)))
    return a, a * (type(z)(1) - a)


def tanh(z):
    """tanh(z)."""
    a = type(z)(fast_tanh(float(z)))
    return a, type(z)(1) - a * a


def relu(z):
    """max(0, z); the slope at 0 is 0, as in MLPRegressor."""
    zero, one = type(z)(0), type(z)(1)
    return zero if z < zero else z, zero if z <= zero else one


def leaky_relu(z):
    """Return z above 0, else 0.01 z."""
    slope = type(z)(LEAKY_SLOPE) if z <= type(z)(0) else type(z)(1)
    return z * slope, slope


def elu(z):
    """Return z above 0, else exp(z) - 1."""
    zero = type(z)(0)
    below = type(z)(fast_expm1(float(zero if z > zero else z)))  # zero for z > 0
    return z if z > zero else below, below + type(z)(1)


def softplus(z):
    """log(1 + exp(z)), without overflow."""
    above = z if z > type(z)(0) else type(z)(0)
    return above + math.log1p(fast_exp(-abs(float(z)))), fast_logistic(float(z))


def silu(z):
    """Return z / (1 + exp(-z))."""
    one, s = type(z)(1), type(z)(fast_logistic(float(z)))
    return z * s, s * (one + z * (one - s))


def gelu(z):
    """Return z times the standard normal distribution function."""
    half, one = type(z)(0.5), type(z)(1)
    cdf = half * (one + math.erf(z * type(z)(SQRT_HALF)))
    density = type(z)(NORMAL_DENSITY_0) * type(z)(fast_exp(float(-half * z * z)))
    return z * cdf, cdf + z * density


def sin(z):
    """sin(z)."""
    return math.sin(z), math.cos(z)


def exp(z):
    """exp(z)."""
    a = fast_exp(float(z))
    return a, a
