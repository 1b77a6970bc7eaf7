"""Which weights share a penalty, and what the evidence charges for each penalty that it sets.

With one precision alpha for all weights an input that tells nothing cannot be switched off
without the others. With one for the weights of each input it can (automatic relevance
determination; Neal, "Bayesian learning for neural networks", 1996), but each alpha is a parameter
set by the data, and the evidence at its maximum alone prefers the finest grouping too often.
Integrated over ln alpha it does not. Around the maximum the evidence falls as a normal density in
ln alpha_g of the variance 2 / gamma_g (MacKay, "Bayesian interpolation", 1992, eq. 3.14), and
before the data ln alpha_g is taken as equally likely within a range R, so that the integral is
the maximum times

    sqrt(2 pi) sqrt(2 / gamma_g) / R,    a charge of  ln R - 1/2 ln(4 pi / gamma_g)  nats.

For R = ln 1e6, weights between 0.01 and 10 on standardised data, that is 1.4 nats with gamma_g =
1 and 2.9 with gamma_g = 20. Where gamma_g tends to 0, a group that is switched off, the density
is wider than R: the data say nothing about alpha_g, and nothing is charged.
"""

import numpy as np

from .._network.architecture import Architecture

# ln of the range of alpha that is thought possible beforehand, see above.
PRIOR_RANGE = np.log(1e6)


def one_penalty(architecture: Architecture) -> np.ndarray:
    """Put all weights in one group, and the output layer's intercepts in another.

    The latter stand for the mean of y. A group for the hidden intercepts lets them vanish on
    symmetric data, and with them the width of the band in a gap (docs/evidence.md).
    """
    groups = np.zeros(architecture.n_parameters, dtype=np.intp)
    architecture.unpack(groups)[1][-1][:] = 1
    return groups


def penalty_per_layer(architecture: Architecture) -> np.ndarray:
    """Put the coefs of each layer in a group, all hidden intercepts, and the output's."""
    groups = np.zeros(architecture.n_parameters, dtype=np.intp)
    coefs, intercepts = architecture.unpack(groups)
    for layer, coef in enumerate(coefs):
        coef[:] = layer
    for intercept in intercepts[:-1]:
        intercept[:] = len(coefs)
    intercepts[-1][:] = len(coefs) + (len(coefs) > 1)
    return groups


def penalty_per_input(architecture: Architecture) -> np.ndarray:
    """Put the first coefs of each input in a group, then as with one a layer."""
    n_inputs = architecture.units[0]
    groups = penalty_per_layer(architecture) + n_inputs - 1
    architecture.unpack(groups)[0][0][:] = np.arange(n_inputs)[:, np.newaxis]
    return groups


GROUPINGS = {"one": one_penalty, "layer": penalty_per_layer, "input": penalty_per_input}


def group_names(architecture: Architecture, grouping: str, input_names) -> list[str]:
    """Say what each group holds, in the order of alpha."""
    if grouping == "one":
        return ["weights", "output intercepts"]
    n_layers = len(architecture.units) - 1
    layers = [f"coefs of layer {layer + 1}" for layer in range(n_layers)]
    if grouping == "input":
        layers = [*(f"coefs of {name}" for name in input_names), *layers[1:]]
    hidden = ["hidden intercepts"] if n_layers > 1 else []
    return [*layers, *hidden, "output intercepts"]


def occam_factor(gamma) -> float:
    """Give the nats that the alphas of groups with these effective parameters cost."""
    gamma = np.maximum(gamma, 1e-12)
    return float(np.maximum(0.0, np.log(PRIOR_RANGE) - 0.5 * np.log(4.0 * np.pi / gamma)).sum())
