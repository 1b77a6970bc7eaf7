"""The losses as the compiled engine calls them; each `Loss` names its own.

Each takes pointers to n values f, slopes of the output activation, targets, deltas, losses
(float64) and parameters, then n. It writes the losses, and to the deltas their derivatives by z,
the output before its activation.
"""

import math

from numba import carray

LEAST = 1e-100  # of a prediction, as in `gamma`: an exp may have underflown


def squared_error(values, slopes, targets, deltas, losses, parameters, n):
    """1/2 (f - y)^2, and by z (f - y) f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        error = float(values[k]) - float(targets[k])
        losses[k] = 0.5 * error * error
        deltas[k] = (values[k] - targets[k]) * slopes[k]


def huber(values, slopes, targets, deltas, losses, parameters, n):
    """Write the loss, and by z the clipped f - y, times f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    threshold = parameters[0]
    for k in range(n):
        error = float(values[k]) - float(targets[k])
        clipped = min(max(error, -threshold), threshold)
        losses[k] = clipped * (error - 0.5 * clipped)
        deltas[k] = clipped * slopes[k]


def student_t(values, slopes, targets, deltas, losses, parameters, n):
    """Write the loss, and by z (f - y) (nu + 1) / (nu + r^2 / s^2) f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    nu, scale = parameters[0], parameters[1]
    for k in range(n):
        error = float(values[k]) - float(targets[k])
        square = (error / scale) ** 2
        losses[k] = 0.5 * (nu + 1.0) * scale * scale * math.log1p(square / nu)
        deltas[k] = error * (nu + 1.0) / (nu + square) * slopes[k]


def pinball(values, slopes, targets, deltas, losses, parameters, n):
    """Write a |r| + b r, and by z -(a r / max(|r|, width) + b) f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    up, down, width = parameters[0], parameters[1], parameters[2]
    a, b = 0.5 * (up + down), 0.5 * (up - down)
    for k in range(n):
        r = float(targets[k]) - float(values[k])
        size = abs(r)
        steepness = 0.0
        if size >= width:
            if size > 0.0:
                steepness = r / size
        else:
            steepness = r / width
            size = 0.5 * (r * steepness + width)
        losses[k] = a * size + b * r
        deltas[k] = -(a * steepness + b) * slopes[k]


def poisson(values, slopes, targets, deltas, losses, parameters, n):
    """F - y + y log(y / f), and by z (1 - y / f) f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    one = values.dtype.type(1)
    for k in range(n):
        value, target = float(values[k]), float(targets[k])
        loss = value - target
        if target > 0.0:
            loss += target * math.log(target / value)
        losses[k] = loss
        deltas[k] = (one - targets[k] / values[k]) * slopes[k]


def poisson_of_exp(values, slopes, targets, deltas, losses, parameters, n):
    """Do so for f = exp(z), where (1 - y / f) f = f - y stays finite if exp(z) underflows."""
    values, targets = carray(values, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        value, target = float(values[k]), float(targets[k])
        loss = value - target
        if target > 0.0:
            loss += target * math.log(target / value)
        losses[k] = loss
        deltas[k] = values[k] - targets[k]


def gamma(values, slopes, targets, deltas, losses, parameters, n):
    """Write log(f / y) + y / f - 1, and by z (1 - y / f) / f f'(z)."""
    values, slopes, targets = carray(values, n), carray(slopes, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        value = max(float(values[k]), LEAST)
        ratio = float(targets[k]) / value
        losses[k] = ratio - 1.0 - math.log(ratio)
        deltas[k] = (1.0 - ratio) / value * slopes[k]


def gamma_of_exp(values, slopes, targets, deltas, losses, parameters, n):
    """Do so for f = exp(z), where (1 - y / f) / f f = 1 - y / f."""
    values, targets = carray(values, n), carray(targets, n)
    deltas, losses = carray(deltas, n), carray(losses, n)
    for k in range(n):
        ratio = float(targets[k]) / max(float(values[k]), LEAST)
        losses[k] = ratio - 1.0 - math.log(ratio)
        deltas[k] = 1.0 - ratio
