"""The built-in activations, written out in NumPy, and as the compiled engine computes them."""

import math

import numpy as np

from sklearn_tinymlp._activations.lookup import compiled
from sklearn_tinymlp._activations.table import LEAKY_SLOPE
from sklearn_tinymlp._machine.compilation import call_from_python


def logistic(z):
    """Return 1 / (1 + exp(-z)), accurate also where it is small."""
    return np.exp(-np.logaddexp(0, -z))


def normal_cdf(z):
    """Return the standard normal distribution function."""
    return 0.5 * np.vectorize(math.erfc, otypes=[float])(-z * math.sqrt(0.5))


# Value and slope of each activation, written independently of the package.
VALUES_AND_SLOPES = {
    "identity": (lambda z: z, np.ones_like),
    "logistic": (logistic, lambda z: logistic(z) * logistic(-z)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (
        lambda z: np.where(z > 0, z, LEAKY_SLOPE * z),
        lambda z: np.where(z > 0, 1.0, LEAKY_SLOPE),
    ),
    "elu": (
        lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
    ),
    "softplus": (lambda z: np.logaddexp(0, z), logistic),
    "silu": (lambda z: z * logistic(z), lambda z: logistic(z) * (1 + z * logistic(-z))),
    "gelu": (
        lambda z: z * normal_cdf(z),
        lambda z: normal_cdf(z) + z * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi),
    ),
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
}
FORMULAS = {name: value for name, (value, _) in VALUES_AND_SLOPES.items()}


def compiled_value_and_slope(activation, z):
    """Compute f(z) and f'(z) by the C function that kernels call."""
    values = np.array(z, order="C")
    slopes = np.full_like(values, 7)
    function, constants = compiled(activation, values.dtype.name)
    call_from_python(function, (values, slopes, constants), (values.size,))
    return values, slopes
