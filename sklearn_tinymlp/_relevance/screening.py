"""Screening: selects the inputs of the pilot networks from very many inputs.

A small network is trained by L-BFGS with a penalty alpha_i for the weights w_i of each input, and
after each round

    alpha_i = n_units / |w_i|^2,

so that the penalty majorises n_units ln |w_i|, which shrinks small weights and releases large ones
(Wipf & Nagarajan, "A new view of automatic relevance determination", NIPS 20, 2007; Candes, Wakin &
Boyd, J. Fourier Analysis 14, 2008). Held-out rows determine after which round the network predicts
best, and the noise level. Only gradients are needed.

Inputs that act only through a product of two inputs have no slope at first, and are usually missed.
They can be detected in the residuals r of the network, by

    t_ij = sum r x_i x_j / sqrt(sum r^2 x_i^2 x_j^2),

standard normal where there is no such effect (the sums are those of the principal Hessian
directions: Li, JASA 87, 1992, section 2). All pairs of 400 inputs take two matrix products. Waves
are detected in the same way, with x_i^3 - 3 x_i in the place of x_i x_j.
"""

import numpy as np

from .._bayes.evidence import Hyperparameters
from .._bayes.groups import GROUPINGS
from .._data.data import Data
from .._data.hold_out import hold_out_splits
from .._network.architecture import Architecture
from .._network.initialization import initial_parameters
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers.held_curvature import steps_down
from .._solvers.monitor import History, Monitor

N_ROUNDS, STEPS_PER_ROUND = 8, 12

# Values for the first round: weights of size 1, and noise of half the target's spread.
FIRST_ALPHA, FIRST_BETA = 1.0, 4.0
MIN_ALPHA, MAX_ALPHA = 1e-2, 1e6

# The second derivative of the loss in a weight is about this times beta n; it determines the length
# of the first steps.
CURVATURE = 0.02

# Maximum share of dropped inputs in all squared weights. If 40 of 400 inputs are kept, the share of
# the dropped ones is 0.7 where all inputs matter, and 0.01 where few do.
MAX_DROPPED_SHARE = 0.1


def screened(
    data: Data, architecture: Architecture, activations, n_kept: int, random_state, interruption
) -> np.ndarray | None:
    """Return the inputs that matter most, sorted; None where more than `n_kept` matter.

    `data` are standardised, and the network has one hidden layer. Ctrl-C raises KeyboardInterrupt.
    """
    network = network_of(architecture, activations)
    training, held_out = (
        Objective(network, data.on_rows(rows).samples(), 0.0)
        for rows in next(hold_out_splits(len(data.y), random_state))
    )
    drawn = initial_parameters(architecture, "glorot_uniform", activations[:1], random_state)
    theta = architecture.pack(*drawn, np.float64)
    shares, theta = _reweighted(training, held_out, architecture, theta, interruption)
    every_row = Objective(network, data.samples(), 0.0)
    missed = residual_inputs(data, data.y - every_row.predict(theta))
    ranked = np.concatenate([missed[: n_kept // 2], np.argsort(-shares, kind="stable")])
    kept = np.sort(ranked[np.sort(np.unique(ranked, return_index=True)[1])][:n_kept])
    return None if 1.0 - shares[kept].sum() > MAX_DROPPED_SHARE else kept


def residual_inputs(data: Data, residuals: np.ndarray, least_share=0.0) -> np.ndarray:
    """Return the inputs whose products, squares or cubes affect the residuals, strongest first.

    The effects exceed chance, and account for at least `least_share` of the residuals.
    """
    X, n_inputs = data.X.astype(np.float64, copy=False), data.X.shape[1]
    if data.sample_weight is not None:
        weight = data.sample_weight / data.sample_weight.max()  # t has no unit
        residuals = residuals * weight[:, None]
    tiny, strongest = np.finfo(float).tiny, np.zeros(n_inputs)
    squares, cubes = X**2, X**3 - 3.0 * X  # uncorrelated with X if X is normal
    sizes_of_pairs, sizes_of_cubes = squares.T @ squares, (cubes**2).sum(axis=0)

    def t_of_large(products, variances, sizes) -> np.ndarray:
        """Return |t| of effects that account for the least share of r, else 0."""
        t = np.abs(products) / np.sqrt(np.maximum(variances, tiny))
        return np.where(products**2 >= least_share * (r @ r) * sizes, t, 0.0)

    for r in (residuals - residuals.mean(axis=0)).T:
        pairs = X.T @ (r[:, None] * X), squares.T @ (r[:, None] ** 2 * squares)
        t_pairs = t_of_large(*pairs, sizes_of_pairs)
        t_cubes = t_of_large(r @ cubes, r**2 @ cubes**2, sizes_of_cubes)
        strongest = np.max([strongest, t_pairs.max(axis=1), t_cubes], axis=0)
    # The largest of k normal numbers is about sqrt(2 ln k); one more exceeds chance.
    by_chance = np.sqrt(2.0 * np.log(n_inputs * (n_inputs + 3) / 2)) + 1.0
    return np.argsort(-strongest, kind="stable")[: np.sum(strongest > by_chance)]


def _reweighted(
    training: Objective, held_out: Objective, architecture, theta, interruption
) -> tuple[np.ndarray, np.ndarray]:
    """Train in rounds; return each input's share of the squared weights, and the weights.

    Both are those of the round with the lowest error on the held-out rows.
    """
    n_inputs, n_units, n_outputs = architecture.units
    groups = GROUPINGS["input"](architecture)
    monitor = Monitor(N_ROUNDS, History(), interrupted=interruption)
    alpha = np.full(groups.max() + 1, MIN_ALPHA)
    alpha[:n_inputs] = FIRST_ALPHA
    beta = np.full(n_outputs, FIRST_BETA)
    least_error, best = np.inf, (np.zeros(n_inputs), theta)
    for _ in range(N_ROUNDS):
        hyper = Hyperparameters(alpha, beta)
        hessian = alpha[groups] + CURVATURE * beta.mean() * training.training.weight_sum
        given = hyper, groups, lambda vector, hessian=hessian: vector / hessian
        theta, _ = steps_down(training, theta, *given, n_steps=STEPS_PER_ROUND, monitor=monitor)
        errors = 2.0 * held_out.errors(theta) / held_out.training.weight_sum
        squares = np.sum(architecture.unpack(theta)[0][0] ** 2, axis=1)
        if errors.mean() < least_error:
            shares = squares / max(squares.sum(), np.finfo(float).tiny)
            least_error, best = float(errors.mean()), (shares, theta)
        with np.errstate(divide="ignore"):
            alpha = alpha.copy()
            alpha[:n_inputs] = np.clip(n_units / squares, MIN_ALPHA, MAX_ALPHA)
        beta = 1.0 / np.maximum(errors, 1e-3)
    return best
