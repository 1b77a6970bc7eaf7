"""Initialisation of the weights, by MLPRegressor's rule and others."""

import numpy as np


def glorot_uniform(fan_in, fan_out, activation, random_state):
    """Glorot & Bengio (2010) with scikit-learn's factor 2 for logistic; intercepts likewise."""
    bound = np.sqrt((2.0 if activation == "logistic" else 6.0) / (fan_in + fan_out))
    coefs = random_state.uniform(-bound, bound, (fan_in, fan_out))
    return coefs, random_state.uniform(-bound, bound, fan_out)


def he_uniform(fan_in, fan_out, activation, random_state):
    """He et al. (2015): variance 2 / fan_in; intercepts zero."""
    bound = np.sqrt(6.0 / fan_in)
    return random_state.uniform(-bound, bound, (fan_in, fan_out)), np.zeros(fan_out)


def lecun_uniform(fan_in, fan_out, activation, random_state):
    """LeCun et al. (1998), "Efficient BackProp": variance 1 / fan_in; intercepts zero."""
    bound = np.sqrt(3.0 / fan_in)
    return random_state.uniform(-bound, bound, (fan_in, fan_out)), np.zeros(fan_out)


def nguyen_widrow(fan_in, fan_out, activation, random_state):
    """Nguyen & Widrow (1990): the units' active regions cover the cube [-1, 1]^fan_in evenly.

    Each unit's coefs have the length 0.7 fan_out^(1 / fan_in); intercepts are uniform within it.
    """
    length = 0.7 * fan_out ** (1.0 / fan_in)
    coefs = random_state.uniform(-1.0, 1.0, (fan_in, fan_out))
    coefs *= length / np.linalg.norm(coefs, axis=0)
    return coefs, random_state.uniform(-length, length, fan_out)


def uniform(fan_in, fan_out, activation, random_state):
    """Draw coefs and intercepts from [0, 1), as `numpy.random.rand` does."""
    return random_state.uniform(size=(fan_in, fan_out)), random_state.uniform(size=fan_out)


INITIALIZERS = {
    "glorot_uniform": glorot_uniform,
    "he_uniform": he_uniform,
    "lecun_uniform": lecun_uniform,
    "nguyen_widrow": nguyen_widrow,
    "uniform": uniform,
}


def initial_parameters(architecture, init, activations, random_state):
    """Draw coefs and intercepts layer by layer, a layer's coefs first, as MLPRegressor does.

    `init` is a key of `INITIALIZERS`, `activations` are those of the hidden layers; the last one
    stands for all further layers, as in MLPRegressor for the output layer. That layer uses
    "glorot_uniform" instead of "nguyen_widrow", which is meant for hidden layers.
    """
    shapes = architecture.coef_shapes
    last = len(shapes) - 1
    coefs, intercepts = [], []
    for layer, (fan_in, fan_out) in enumerate(shapes):
        draw = INITIALIZERS[init]
        if init == "nguyen_widrow" and layer == last:
            draw = glorot_uniform
        activation = activations[min(layer, len(activations) - 1)]
        coef, intercept = draw(fan_in, fan_out, activation, random_state)
        coefs.append(coef)
        intercepts.append(intercept)
    return coefs, intercepts
