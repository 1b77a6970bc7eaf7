"""The built-in and ready-made activations in NumPy, value and slope in one pass.

Each function replaces z, an array of float32 or float64, by f(z), and writes f'(z) to `slope`
unless `slope` is None. Where possible the slope is computed from the value or a common factor.
"""

import math

import numpy as np
from scipy.special import ndtr

NORMAL_DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)
LEAST_EXPONENT = -708.0  # below it exp is set to zero; it would be subnormal in float64


def identity(z, slope):
    """Return z."""
    if slope is not None:
        slope.fill(1.0)


def logistic(z, slope):
    """1 / (1 + exp(-z)), zero where exp overflows."""
    with np.errstate(all="ignore"):
        np.negative(z, out=z)
        np.exp(z, out=z)
        np.add(z, 1.0, out=z)
        np.reciprocal(z, out=z)
    if slope is not None:
        np.subtract(1.0, z, out=slope)
        np.multiply(slope, z, out=slope)


def scaled_tanh(z, slope, scale=1.0, rate=1.0):
    """Return scale tanh(rate z)."""
    if rate != 1.0:
        with np.errstate(all="ignore"):
            np.multiply(z, rate, out=z)
    np.tanh(z, out=z)
    if slope is not None:
        np.multiply(z, z, out=slope)
        np.subtract(1.0, slope, out=slope)
        if scale * rate != 1.0:
            np.multiply(slope, scale * rate, out=slope)
    if scale != 1.0:
        np.multiply(z, scale, out=z)


def relu(z, slope):
    """max(0, z); the slope at 0 is 0."""
    np.maximum(z, 0.0, out=z)
    if slope is not None:
        np.sign(z, out=slope)


def leaky_relu(z, slope, negative_slope):
    """Return z above 0, else negative_slope z."""
    steepness = np.where(z > 0.0, z.dtype.type(1.0), z.dtype.type(negative_slope))
    with np.errstate(all="ignore"):
        np.multiply(z, steepness, out=z)
    if slope is not None:
        slope[...] = steepness


def elu(z, slope, alpha=1.0):
    """Return z above 0, else alpha (exp(z) - 1)."""
    below = np.minimum(z, 0.0)
    np.expm1(below, out=below)
    np.multiply(below, alpha, out=below)
    if slope is not None:
        np.add(below, alpha, out=slope)
        np.copyto(slope, 1.0, where=z > 0.0)
    np.maximum(z, 0.0, out=z)
    np.add(z, below, out=z)


def softplus(z, slope, beta=1.0):
    """log(1 + exp(beta z)) / beta, without overflow."""
    with np.errstate(all="ignore"):
        small = np.abs(beta * z)
        np.negative(small, out=small)
        np.exp(small, out=small)
        if slope is not None:
            np.add(small, 1.0, out=slope)
            np.divide(np.where(z > 0.0, z.dtype.type(1.0), small), slope, out=slope)
        np.log1p(small, out=small)
        np.divide(small, beta, out=small)
        np.maximum(z, 0.0, out=z)
        np.add(z, small, out=z)


def swish(z, slope, beta=1.0):
    """Return z times the logistic function of beta z."""
    with np.errstate(all="ignore"):
        share = beta * z
        logistic(share, None)
        if slope is not None:  # s + beta z s (1 - s)
            np.subtract(1.0, share, out=slope)
            np.multiply(slope, z, out=slope)
            np.multiply(slope, beta, out=slope)
            np.add(slope, 1.0, out=slope)
            np.multiply(slope, share, out=slope)
        np.multiply(z, share, out=z)


def gelu(z, slope):
    """Return z times the standard normal distribution function."""
    with np.errstate(all="ignore"):
        share = ndtr(z)
        if slope is not None:
            np.multiply(z, z, out=slope)
            np.multiply(slope, -0.5, out=slope)
            np.exp(slope, out=slope)
            np.multiply(slope, NORMAL_DENSITY_0, out=slope)
            np.multiply(slope, z, out=slope)
            np.add(slope, share, out=slope)
        np.multiply(z, share, out=z)


def sin(z, slope):
    """sin(z)."""
    with np.errstate(all="ignore"):
        if slope is not None:
            np.cos(z, out=slope)
        np.sin(z, out=z)


def exp(z, slope):
    """exp(z), zero where it would be subnormal."""
    with np.errstate(all="ignore"):
        tiny = z < LEAST_EXPONENT
        np.exp(z, out=z)
        z[tiny] = 0.0
    if slope is not None:
        slope[...] = z
