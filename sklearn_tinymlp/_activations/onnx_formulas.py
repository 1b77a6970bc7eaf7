"""Activations as nodes of an ONNX graph; `graph` is a `sklearn_tinymlp.onnx.Graph`.

onnxruntime has no LeakyRelu, Elu, Softplus and Erf in float64: they are composed of other nodes.
"""

import math

import numpy as np

# Degree and middle of the polynomial below: with them the error of |z| Phi(-|z|) is at most 3e-16
# for |z| <= 40. With degree 20 it is 3e-15, and above degree 26 rounding errors grow again.
TAIL_DEGREE, TAIL_MIDDLE = 26, 3.0


def _positive_part(graph, z):
    return graph.node("Max", z, graph.constant(0.0))


def _negative_part(graph, z):
    return graph.node("Min", z, graph.constant(0.0))


def scaled_tanh(graph, z, scale, rate):
    """Return scale tanh(rate z)."""
    return graph.times(scale, graph.node("Tanh", graph.times(rate, z)))


def leaky_relu(graph, z, negative_slope):
    """Return max(0, z) + negative_slope min(0, z)."""
    leak = graph.times(negative_slope, _negative_part(graph, z))
    return graph.node("Add", _positive_part(graph, z), leak)


def elu(graph, z, alpha):
    """Return Elu, composed of Exp in float64."""
    if graph.dtype == np.float32:
        return graph.node("Elu", z, alpha=alpha)
    bent = graph.node("Exp", _negative_part(graph, z))
    bent = graph.times(alpha, graph.node("Sub", bent, graph.constant(1.0)))
    return graph.node("Add", _positive_part(graph, z), bent)


def softplus(graph, z, beta):
    """Return Softplus(beta z) / beta, composed of Exp and Log in float64."""
    if graph.dtype == np.float32:
        return graph.times(1.0 / beta, graph.node("Softplus", graph.times(beta, z)))
    small = graph.node("Exp", graph.node("Neg", graph.node("Abs", graph.times(beta, z))))
    small = graph.node("Log", graph.node("Add", small, graph.constant(1.0)))
    return graph.node("Add", _positive_part(graph, z), graph.times(1.0 / beta, small))


def swish(graph, z, beta):
    """Return z Sigmoid(beta z)."""
    return graph.node("Mul", z, graph.node("Sigmoid", graph.times(beta, z)))


def gelu(graph, z):
    """Return z Phi(z), in float64 as max(0, z) - |z| Phi(-|z|)."""
    if graph.dtype == np.float32:
        erf = graph.node("Erf", graph.node("Mul", z, graph.constant(math.sqrt(0.5))))
        cdf = graph.node("Mul", graph.node("Add", erf, graph.constant(1.0)), graph.constant(0.5))
        return graph.node("Mul", z, cdf)
    size = graph.node("Abs", z)
    middle = graph.constant(TAIL_MIDDLE)
    t = graph.node("Div", graph.node("Sub", size, middle), graph.node("Add", size, middle))
    *lower, highest = normal_tail_coefficients()
    tail = graph.constant(highest)
    for coefficient in reversed(lower):
        tail = graph.node("Add", graph.node("Mul", tail, t), graph.constant(coefficient))
    square = graph.node("Mul", graph.node("Mul", z, z), graph.constant(-0.5))
    tail = graph.node("Mul", tail, graph.node("Exp", square))
    return graph.node("Sub", _positive_part(graph, z), graph.node("Mul", size, tail))


def normal_tail_coefficients():
    """Return coefficients of Phi(-a) exp(a^2 / 2), a >= 0, in powers of t = (a - 3) / (a + 3)."""
    from numpy.polynomial import chebyshev, polynomial
    from scipy.special import erfcx

    def function(t):
        a = TAIL_MIDDLE * (1.0 + t) / np.maximum(1.0 - t, 1e-300)
        return 0.5 * erfcx(a * math.sqrt(0.5))

    series = chebyshev.chebinterpolate(function, TAIL_DEGREE)
    return polynomial.polytrim(chebyshev.cheb2poly(series))
