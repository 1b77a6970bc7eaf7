"""Groups of weights that share a penalty, and the Occam factor of each penalty.

With one precision alpha for all weights an irrelevant input cannot be switched off without the
others. With one precision for the weights of each input it can (automatic relevance determination;
Neal, "Bayesian learning for neural networks", 1996), but each alpha is a parameter fitted to the
data, and the maximum of the evidence alone selects the finest grouping too often. The evidence
integrated over ln alpha does not. Around its maximum it is a normal density in ln alpha_g of the
variance 2 / gamma_g (MacKay, "Bayesian interpolation", 1992, eq. 3.14); with a uniform prior of ln
alpha_g on a range R the integral is the maximum times

    sqrt(2 pi) sqrt(2 / gamma_g) / R,    an Occam factor of  ln R - 1/2 ln(4 pi / gamma_g)  nats.

For R = ln 1e6, weights between 0.01 and 10 on standardised data, that is 1.4 nats with gamma_g = 1
and 2.9 with gamma_g = 20. If gamma_g tends to 0, because the group is switched off, the density is
wider than R, and the Occam factor is zero.
"""

import numpy as np

from .._network.architecture import Architecture

# R, the width of the prior of ln alpha.
PRIOR_RANGE = np.log(1e6)


def one_penalty(architecture: Architecture, owners=None) -> np.ndarray:
    """Put all weights in one group, and the output layer's intercepts, the mean of y, in another.

    With a group of their own the hidden intercepts can vanish on symmetric data, and with them the
    width of the prediction interval in a gap (benchmarks/variants.md).
    """
    groups = np.zeros(architecture.n_parameters, dtype=np.intp)
    architecture.unpack(groups)[1][-1][:] = 1
    return groups


def penalty_per_layer(architecture: Architecture, owners=None) -> np.ndarray:
    """Make one group of each layer's coefs, one of the hidden and one of the output intercepts."""
    groups = np.zeros(architecture.n_parameters, dtype=np.intp)
    coefs, intercepts = architecture.unpack(groups)
    for layer, coef in enumerate(coefs):
        coef[:] = layer
    for intercept in intercepts[:-1]:
        intercept[:] = len(coefs)
    intercepts[-1][:] = len(coefs) + (len(coefs) > 1)
    return groups


def penalty_per_input(architecture: Architecture, owners=None) -> np.ndarray:
    """Make one group of each input's first-layer coefs; group the others by `penalty_per_layer`.

    `owners` is the input of each feature that the first layer has weights for, by default its own.
    """
    owners = np.arange(architecture.units[0]) if owners is None else owners
    groups = penalty_per_layer(architecture) + owners.max()
    architecture.unpack(groups)[0][0][:] = owners[:, np.newaxis]
    return groups


GROUPINGS = {"one": one_penalty, "layer": penalty_per_layer, "input": penalty_per_input}


def group_names(architecture: Architecture, grouping: str, input_names) -> list[str]:
    """Return the name of each group, in the order of alpha."""
    if grouping == "one":
        return ["weights", "output intercepts"]
    n_layers = len(architecture.units) - 1
    layers = [f"coefs of layer {layer + 1}" for layer in range(n_layers)]
    if grouping == "input":
        layers = [*(f"coefs of {name}" for name in input_names), *layers[1:]]
    hidden = ["hidden intercepts"] if n_layers > 1 else []
    return [*layers, *hidden, "output intercepts"]


def occam_factor(gamma) -> float:
    """Compute the Occam factor of groups with these effective parameters, in nats."""
    gamma = np.maximum(gamma, 1e-12)
    return float(np.maximum(0.0, np.log(PRIOR_RANGE) - 0.5 * np.log(4.0 * np.pi / gamma)).sum())
