"""The built-in activations: value and slope in one pass, and the values they can take.

Each function replaces z by f(z) and writes f'(z) to slope, over n contiguous numbers.
"""

import math
from functools import cache
from math import inf

from ._compilation import c_function, carray

LEAKY_SLOPE = 0.01  # of the question this package began with, and of most libraries
SQRT_HALF = math.sqrt(0.5)
NORMAL_DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)


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
        a = one / (one + math.exp(-z[k]))
        z[k] = a
        slope[k] = a * (one - a)


def tanh(z, slope, n):
    """tanh(z)."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = math.tanh(z[k])
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
        if a <= zero:
            a = math.expm1(a)
            z[k] = a
            slope[k] = a + one
        else:
            slope[k] = one


def softplus(z, slope, n):
    """log(1 + exp(z)), written so that it does not overflow."""
    z, slope = carray(z, n), carray(slope, n)
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        a = z[k]
        slope[k] = one / (one + math.exp(-a))
        z[k] = (a if a > zero else zero) + math.log1p(math.exp(-abs(a)))


def silu(z, slope, n):
    """Multiply z by its logistic function."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z[k]
        s = one / (one + math.exp(-a))
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
        slope[k] = cdf + a * density_0 * math.exp(-half * a * a)


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
        a = math.exp(z[k])
        z[k] = a
        slope[k] = a


# name: the function, its least and its greatest value.
BUILT_IN = {
    "identity": (identity, -inf, inf),
    "logistic": (logistic, 0.0, 1.0),
    "tanh": (tanh, -1.0, 1.0),
    "relu": (relu, 0.0, inf),
    "leaky_relu": (leaky_relu, -inf, inf),
    "elu": (elu, -1.0, inf),
    "softplus": (softplus, 0.0, inf),
    "silu": (silu, -0.2784645427610738, inf),  # least at z = -1.2784645427610738
    "gelu": (gelu, -0.16997120747990369, inf),  # least at z = -0.7517915241106872
    "sin": (sin, -1.0, 1.0),
    "exp": (exp, 0.0, inf),
}

# exp is kept for outputs: as a hidden activation it overflows within a few units.
HIDDEN_ACTIVATIONS = tuple(name for name in BUILT_IN if name != "exp")
OUTPUT_ACTIVATIONS = tuple(BUILT_IN)

# Their values are above zero for every finite input, as the logarithm in the Poisson deviance
# needs.
POSITIVE_ACTIVATIONS = ("exp", "softplus", "logistic")


@cache
def compiled(name: str, dtype: str):
    """Compile a built-in for 'float32' or 'float64', once a process; keep it alive."""
    function, _, _ = BUILT_IN[name]
    return c_function(function, 2, 1, dtype)
