"""The losses in compiled code; each `Loss` names its own.

``kernel(f, slope, y, parameters)`` returns the loss of one output, in float64, and its derivative
with respect to z, the output before its activation: f is the prediction, slope the activation's
f'(z).
"""

import math

from .._losses.deviance import SMALLEST_PREDICTION
from .._machine.compilation import jit_ieee


def squared_error(f, slope, y, parameters):
    """Return 1/2 (f - y)^2, and (f - y) f'(z)."""
    error = float(f) - float(y)
    return 0.5 * error * error, (f - y) * slope


def huber(f, slope, y, parameters):
    """Return c (e - c / 2) with e = f - y, clipped to c, and c f'(z)."""
    threshold = parameters[0]
    error = float(f) - float(y)
    clipped = min(max(error, -threshold), threshold)
    return clipped * (error - 0.5 * clipped), clipped * slope


def student_t(f, slope, y, parameters):
    """s^2 (nu + 1) / 2 log(1 + r^2 / (nu s^2)), and (f - y) (nu + 1) / (nu + r^2 / s^2) f'(z)."""
    nu, scale = parameters[0], parameters[1]
    error = float(f) - float(y)
    square = (error / scale) ** 2
    loss = 0.5 * (nu + 1.0) * scale * scale * math.log1p(square / nu)
    return loss, error * (nu + 1.0) / (nu + square) * slope


def pinball(f, slope, y, parameters):
    """Return a |r| + b r, and -(a r / max(|r|, width) + b) f'(z)."""
    up, down, width = parameters[0], parameters[1], parameters[2]
    a, b = 0.5 * (up + down), 0.5 * (up - down)
    r = float(y) - float(f)
    size = abs(r)
    steepness = 0.0
    if size >= width:
        if size > 0.0:
            steepness = r / size
    else:
        steepness = r / width
        size = 0.5 * (r * steepness + width)
    return a * size + b * r, -(a * steepness + b) * slope


@jit_ieee
def poisson_loss(f, y):
    """Return f - y + y log(y / f), with 0 log 0 = 0."""
    value, target = float(f), float(y)
    loss = value - target
    if target > 0.0:
        loss += target * math.log(target / value)
    return loss


def poisson(f, slope, y, parameters):
    """Return the loss, and (1 - y / f) f'(z)."""
    return poisson_loss(f, y), (type(f)(1) - y / f) * slope


def poisson_of_exp(f, slope, y, parameters):
    """For f = exp(z), where (1 - y / f) f = f - y stays finite if exp(z) underflows."""
    return poisson_loss(f, y), f - y


def gamma(f, slope, y, parameters):
    """Return y / f - 1 - log(y / f), and (1 - y / f) / f f'(z)."""
    value = max(float(f), SMALLEST_PREDICTION)
    ratio = float(y) / value
    return ratio - 1.0 - math.log(ratio), (1.0 - ratio) / value * slope


def gamma_of_exp(f, slope, y, parameters):
    """For f = exp(z), where (1 - y / f) / f f = 1 - y / f."""
    ratio = float(y) / max(float(f), SMALLEST_PREDICTION)
    return ratio - 1.0 - math.log(ratio), 1.0 - ratio
