"""Which of very many inputs are worth a scout: a small network whose penalties are reweighted.

A network of a few units is trained by L-BFGS with a penalty alpha_i for the weights w_i of each
input, and after each round

    alpha_i = n_units / |w_i|^2,

so that the penalty majorises n_units ln |w_i|: what is small is pressed on, what matters is let go
(Wipf & Nagarajan, "A new view of automatic relevance determination", NIPS 20, 2007; Candes, Wakin &
Boyd, J. Fourier Analysis 14, 2008). Rows left out say after which round the network predicts best,
and how large the noise is. That takes gradients only.

What acts through a product of two inputs alone has no slope to begin with, and is mostly missed.
It shows in the residuals r of the network,

    t_ij = sum r x_i x_j / sqrt(sum r^2 x_i^2 x_j^2),

standard normal where there is no such effect (the sums are those of the principal Hessian
directions: Li, JASA 87, 1992, section 2). All pairs of 400 inputs take two matrix products. Waves
show likewise with x_i^3 - 3 x_i in the place of x_i x_j.
"""

from typing import NamedTuple

import numpy as np

from .._bayes.curvature import Diagonal
from .._bayes.evidence import Hyperparameters
from .._bayes.groups import GROUPINGS
from .._data.data import Data
from .._machine.interruption import Interruption
from .._network.architecture import Architecture
from .._network.initialization import initial_parameters
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers.held_curvature import steps_down
from .._solvers.monitor import History, Monitor

N_ROUNDS, STEPS = 8, 12

# The share of rows left out.
LEFT_OUT = 0.2

# At first: weights of size 1, and a noise of half the target's spread.
FIRST_ALPHA, FIRST_BETA = 1.0, 4.0
LEAST_ALPHA, MOST_ALPHA = 1e-2, 1e6

# The curvature of the loss by a weight, beta n times about this, sets the length of first steps.
CURVATURE = 0.02

# Inputs that are not kept may have this share of all squared weights at most. Of 400 inputs that
# all matter 40 leave 0.7, of few that matter 0.01.
MOST_LEFT = 0.1


class Trial(NamedTuple):
    """A network after the round after which it predicts best."""

    error: float  # mean square of the rows left out
    shares: np.ndarray  # (n_inputs,) of each input in the squared weights
    theta: np.ndarray


def screened(
    data: Data, architecture: Architecture, activations, n_kept: int, random_state, interruption
) -> np.ndarray | None:
    """Give the inputs that matter most, sorted; None where more of them matter than are kept.

    Parameters
    ----------
    data : Data
        Standardised.
    architecture : Architecture
        Of the network, with one hidden layer.
    activations : sequence
        Its own.
    n_kept : int
    random_state : RandomState
    interruption : Interruption
        Ctrl-C ends the screening with KeyboardInterrupt.
    """
    left_out = np.zeros(len(data.y), dtype=bool)
    left_out[random_state.permutation(len(data.y))[: int(LEFT_OUT * len(data.y))]] = True
    network = network_of(architecture, activations)
    of_training, of_rest = (
        Objective(network, data.on_rows(np.flatnonzero(rows)).samples(np.dtype(np.float64)), 0.0)
        for rows in (~left_out, left_out)
    )
    drawn = initial_parameters(architecture, "glorot_uniform", activations[:1], random_state)
    theta = architecture.pack(*drawn, np.float64)
    best = _train(of_training, of_rest, architecture, theta, interruption)
    of_all = Objective(network, data.samples(np.dtype(np.float64)), 0.0)
    missed = residual_inputs(data, data.y - of_all.predict(best.theta))
    ranked = np.concatenate([missed[: n_kept // 2], np.argsort(-best.shares, kind="stable")])
    kept = np.sort(ranked[np.sort(np.unique(ranked, return_index=True)[1])][:n_kept])
    return None if 1.0 - best.shares[kept].sum() > MOST_LEFT else kept


def residual_inputs(data: Data, residuals: np.ndarray, least_share=0.0) -> np.ndarray:
    """Give the inputs whose products, squares or cubes are in the residuals, strongest first.

    They are there beyond chance, and make up `least_share` of the residuals at least.
    """
    X, n_inputs = data.X.astype(np.float64, copy=False), data.X.shape[1]
    if data.sample_weight is not None:
        weight = data.sample_weight / data.sample_weight.max()  # t has no unit
        residuals = residuals * weight[:, None]
    tiny, strongest = np.finfo(float).tiny, np.zeros(n_inputs)
    cubes = X**3 - 3.0 * X  # of normal numbers, uncorrelated with X
    for r in (residuals - residuals.mean(axis=0)).T:
        spread = np.sqrt((X**2).T @ (r[:, None] ** 2 * X**2))
        of_pairs = np.abs(X.T @ (r[:, None] * X)) / np.maximum(spread, tiny)
        of_cubes = np.abs(r @ cubes) / np.maximum(np.sqrt(r**2 @ cubes**2), tiny)
        strongest = np.max([strongest, of_pairs.max(axis=1), of_cubes], axis=0)
    # Of k normal numbers the largest is about sqrt(2 ln k); one more is not by chance.
    by_chance = np.sqrt(2.0 * np.log(n_inputs * (n_inputs + 3) / 2)) + 1.0
    least = max(by_chance, np.sqrt(least_share * len(data.y)))
    return np.argsort(-strongest, kind="stable")[: np.sum(strongest > least)]


def _train(of_training, of_rest, architecture, theta, interruption: Interruption) -> Trial:
    """Train; give the round of the least error of the rows left out."""
    n_inputs, n_units, n_outputs = architecture.units
    groups = GROUPINGS["input"](architecture)
    monitor = Monitor(N_ROUNDS, History(), interrupted=interruption)
    alpha = np.full(groups.max() + 1, LEAST_ALPHA)
    alpha[:n_inputs] = FIRST_ALPHA
    beta = np.full(n_outputs, FIRST_BETA)
    best = Trial(np.inf, np.zeros(n_inputs), theta)
    for _ in range(N_ROUNDS):
        hyper = Hyperparameters(alpha, beta)
        curvature = CURVATURE * beta.mean() * of_training.training.weight_sum
        diagonal = Diagonal(alpha[groups] + curvature)
        theta = steps_down(
            of_training, theta, hyper, groups, diagonal, n_steps=STEPS, monitor=monitor
        ).theta
        errors = 2.0 * of_rest.errors(theta) / of_rest.training.weight_sum
        squares = np.sum(architecture.unpack(theta)[0][0] ** 2, axis=1)
        if errors.mean() < best.error:
            shares = squares / max(squares.sum(), np.finfo(float).tiny)
            best = Trial(float(errors.mean()), shares, theta)
        with np.errstate(divide="ignore"):
            alpha = alpha.copy()
            alpha[:n_inputs] = np.clip(n_units / squares, LEAST_ALPHA, MOST_ALPHA)
        beta = 1.0 / np.maximum(errors, 1e-3)
    return best
