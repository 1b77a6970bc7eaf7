"""What to try next where the network itself falls short: tried on a copy, never what is set."""

import numpy as np

from .trial import LEAST_ROWS, explained_anew

# The default layers, which suit most data of a few thousand rows.
DEFAULT_LAYERS = (16, 16)

# A remedy is worth its name where a copy explains this share of what the network does not.
WORTH = 0.3

MOST_STARTS = 100


def next_remedy(exam) -> tuple[dict, str]:
    """Give the parameters to change, and a sentence on how they did in a trial; both may be empty.

    In this order: hidden layers, curved units, more starts, more units, another solver. The first
    that a copy shows to help is given, else the first that is not set.
    """
    network = exam.network
    layers = network.architecture.units[1:-1]
    if not layers:
        return {"hidden_layer_sizes": (20,)}, "It has no hidden layer and can give a plane only."
    if all(activation == "identity" for activation in network.activations[:-1]):
        return {"activation": "tanh"}, (
            "All units are linear, and so is the network, however many it has."
        )
    now = max(exam.explained, 0.0)
    more_starts, more_units = starts_to_try(exam), larger(layers)
    tells = exam.n_rows >= LEAST_ROWS  # else a copy would only show that it learns them by heart
    if more_starts and tells:
        again = explained_anew(exam)
        if again > now + WORTH * (1.0 - now):
            return {"n_init": more_starts}, (
                f"The best of three other starts explains {again:.0%} of rows left out."
            )
    wider = explained_anew(exam, units=more_units, n_starts=1) if tells else 0.0
    if wider > now + WORTH * (1.0 - now):
        return {"hidden_layer_sizes": more_units}, (
            f"A copy with {_in_words(more_units)} units explains {wider:.0%} of rows left out."
        )
    if more_units == DEFAULT_LAYERS:  # fewer than suit most data
        return {"hidden_layer_sizes": more_units}, ""
    if not network.solver.least_squares:
        if network.loss.least_squares:
            return {"solver": "lm"}, ""
        if network.solver.name != "lbfgs":
            return {"solver": "lbfgs", "standardize": True}, ""
    if more_starts:
        return {"n_init": more_starts}, ""
    return {"hidden_layer_sizes": more_units}, ""


def starts_to_try(exam) -> int:
    """Give how many starts are likely to find a better end; 0 where more would end alike.

    Where a share p of the starts ended near the best, 3 / p starts find one more like it with a
    chance of 95%. Where a quarter or more did, the best is what this network can do.
    """
    losses = np.asarray(exam.network.restart_losses, dtype=float)
    losses = losses[np.isfinite(losses)]
    n_starts = int(exam.network.params.get("n_init", 1))
    if len(losses) < 2:
        return 10 if n_starts < 10 else 0
    near = int(np.sum(losses <= 1.1 * losses.min()))
    wanted = 4 * n_starts if near == 1 else -(-3 * n_starts // near)
    wanted = min(wanted, MOST_STARTS)
    return wanted if near <= n_starts // 4 + 1 and wanted > n_starts else 0


def how_starts_ended(exam) -> str:
    """Say where the starts of a fit ended, in a sentence; empty of one start."""
    losses = np.asarray(exam.network.restart_losses, dtype=float)
    losses = losses[np.isfinite(losses)]
    if len(losses) < 2:
        return ""
    near = int(np.sum(losses <= 1.1 * losses.min()))
    return f"{near} of {len(losses)} starts ended within 10% of the best loss, {losses.min():.3g}."


def larger(layers) -> tuple[int, ...]:
    """Give layers with more units: the default ones, or twice as many where these are no more."""
    if not layers:
        return DEFAULT_LAYERS
    if sum(layers) < sum(DEFAULT_LAYERS) and max(layers) < max(DEFAULT_LAYERS):
        return DEFAULT_LAYERS
    return tuple(max(2 * n, DEFAULT_LAYERS[0]) for n in layers)


def _in_words(layers) -> str:
    return " and ".join(map(str, layers))
