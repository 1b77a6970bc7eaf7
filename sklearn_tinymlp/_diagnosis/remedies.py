"""Remedies tried on a copy: quasi-Newton steps on some rows, evaluated on held-out ones.

The steps are those of scipy's L-BFGS on the loss and gradient of an `Examination`, so that nothing
is compiled and the network is not changed.
"""

import numpy as np
import scipy.optimize

from .._data.data import Data
from .._network.architecture import Architecture
from .._network.initialization import initial_parameters
from .._training.repeated_inputs import equal_rows

# Maximum number of rows that a copy is trained and evaluated on; more, up to five per weight, if
# the units have at most MOST_VALUES values on them: 5 ms a step. Two thirds are for training.
MOST_ROWS, LEAST_ROWS, ROWS_PER_WEIGHT, MOST_VALUES = 450, 12, 5, 500_000

# Number of steps of a copy that continues training, of a copy that tests for a minimum, and of a
# copy that is trained from new starts.
CONTINUED_STEPS, NEARBY_STEPS, NEW_STEPS = 20, 5, 80

# Number of starts of a new copy, of which the best is kept.
N_STARTS = 3

# The default layers, which suit most data of a few thousand rows.
DEFAULT_LAYERS = (16, 16)

# Share of the loss left by the network that a copy must explain for a remedy to be advised.
LEAST_SHARE_OF_REST = 0.3

MOST_STARTS = 100


def relative_fall(before, after) -> float:
    """Compute the fall of a loss relative to its value before; 0 if that is not positive."""
    return float(1.0 - after / before) if before > 0 else 0.0


def continue_training(exam) -> tuple[float, float]:
    """Continue training on a copy, and return the relative fall of the loss.

    The first is with penalty, on the rows trained on, and the second without penalty, on held-out
    rows; NaN where these are too few.
    """
    training, held_out = split(exam)
    theta = minimise(training, CONTINUED_STEPS)
    gain = relative_fall(training.objective, training.replaced(theta=theta).objective)
    if training is held_out:
        return gain, np.nan
    held_out_gain = relative_fall(held_out.loss, held_out.replaced(theta=theta).loss)
    n_rows = training.n_rows + held_out.n_rows
    if held_out_gain < 0.01 and n_rows < exam.network.y.shape[0]:
        held_out_gain = np.nan  # a subset may be overfitted when the whole is not
    return gain, held_out_gain


def explained_anew(exam, *, layers=None, bias=None, penalty=None, n_starts=N_STARTS) -> float:
    """Train a copy from new starts, and compute the share of the held-out loss that it explains.

    With fewer than LEAST_ROWS rows it is the share of the training loss. `layers`, `bias` and
    `penalty` replace the network's own.
    """
    network = exam.network
    architecture, activations = network.architecture, network.activations
    units, bias = architecture.units, architecture.bias if bias is None else bias
    if layers is not None:
        units = (units[0], *layers, units[-1])
        hidden = activations[:-1] or ("tanh",)
        hidden = [hidden[min(layer, len(hidden) - 1)] for layer in range(len(layers))]
        activations = (*hidden, activations[-1])
    architecture = Architecture(units, bias)
    if penalty is None:  # instead of the evidence, a penalty that keeps the weights finite
        penalty = 1e-3 * exam.weight_sum if network.uses_evidence else network.penalty
    parts = split(exam.replaced(penalty=penalty))
    rng, best = np.random.RandomState(0), (np.inf, -np.inf)
    for _ in range(n_starts):
        changes = {"architecture": architecture, "activations": activations}
        changes["theta"] = random_start(architecture, rng)
        training, held_out = (part.replaced(**changes) for part in parts)
        theta = minimise(training, NEW_STEPS)
        with np.errstate(all="ignore"):
            loss = training.replaced(theta=theta).objective
            best = min(best, (loss, -held_out.replaced(theta=theta).explained))
    return float(-best[1])


def random_start(architecture, rng) -> np.ndarray:
    """Draw parameters by Glorot's rule."""
    start = initial_parameters(architecture, "glorot_uniform", ("tanh",), rng)
    return architecture.pack(*start, np.float64)


def split(exam) -> tuple:
    """Draw rows for training and held-out rows; if there are few rows, both are all of them."""
    n, network = exam.n_rows, exam.network
    if n < LEAST_ROWS:
        return exam, exam
    most = min(ROWS_PER_WEIGHT * network.theta.size, MOST_VALUES // sum(network.architecture.units))
    draw = np.random.RandomState(0)
    order, groups = draw.permutation(n), equal_rows(Data(exam.X, exam.y, None))
    if groups is not None:  # rows that share X are held out together
        order = order[np.argsort(draw.permutation(n)[groups[order]], kind="stable")]
    order = order[: max(MOST_ROWS, most)]
    cut = 2 * len(order) // 3
    return exam.on_rows(order[:cut]), exam.on_rows(order[cut:])


def minimise(exam, n_steps) -> np.ndarray:
    """Minimise the loss with penalty by quasi-Newton steps, and return the parameters."""

    def loss_and_gradient(theta):
        here = exam.replaced(theta=theta)
        loss, gradient = here.objective, here.gradient
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            return 1e300, np.zeros_like(theta)
        return loss, gradient

    start, options = exam.network.theta, {"maxiter": n_steps}
    with np.errstate(all="ignore"):
        return scipy.optimize.minimize(
            loss_and_gradient, start, method="L-BFGS-B", jac=True, options=options
        ).x


def next_remedy(exam) -> tuple[dict, str]:
    """Return parameters to change and a sentence on how they were tried; both may be empty.

    The order is: hidden layers, nonlinear units, more starts or another solver, more units. Copies
    with the last two must be better on held-out rows than the network on its own rows.
    """
    network = exam.network
    layers = network.architecture.units[1:-1]
    if not layers:
        return {"hidden_layer_sizes": (20,)}, "Without hidden layers the network is linear."
    if all(activation == "identity" for activation in network.activations[:-1]):
        return {"activation": "tanh"}, (
            "All units are linear, and so is the network, however many it has."
        )
    if exam.n_rows < LEAST_ROWS:  # they are only memorised
        return {}, ""
    now = max(exam.explained, 0.0)
    enough = now + LEAST_SHARE_OF_REST * (1.0 - now)
    again = {"n_init": starts_to_try(exam)} if starts_to_try(exam) else {}
    if network.solver.stochastic:  # copies are trained by quasi-Newton steps
        squares = network.loss.least_squares
        again = {"solver": "lm"} if squares else {"solver": "lbfgs", "standardize": True}
    share = explained_anew(exam) if again else -np.inf
    if share > enough:
        return again, f"The best of three other starts explains {share:.0%} of y on held-out rows."
    wider = larger(layers)
    share = explained_anew(exam, layers=wider, n_starts=1)
    if share > enough:
        units = " and ".join(map(str, wider))
        why = f"A copy with {units} units explains {share:.0%} of y on held-out rows."
        return {"hidden_layer_sizes": wider}, why
    return {}, ""


def starts_to_try(exam) -> int:
    """Return how many starts are likely to find a better minimum; 0 if more would not help.

    Where a share p of the starts ended near the best, 3 / p starts find another such minimum with a
    probability of 95%. Where a quarter or more did, the best loss is considered the best that this
    network can reach.
    """
    losses, near = exam.network.ends_of_starts
    n_starts = int(exam.network.params.get("n_init", 1))
    if len(losses) < 2:
        return 10 if n_starts < 10 else 0
    wanted = 4 * n_starts if near == 1 else -(-3 * n_starts // near)
    wanted = min(wanted, MOST_STARTS)
    return wanted if near <= n_starts // 4 + 1 and wanted > n_starts else 0


def how_starts_ended(exam) -> str:
    """Describe at which losses the starts ended; empty for a single start."""
    losses, near = exam.network.ends_of_starts
    if len(losses) < 2:
        return ""
    return f"{near} of {len(losses)} starts ended within 10% of the best loss, {losses.min():.3g}."


def larger(layers) -> tuple[int, ...]:
    """Return more units: the default layers, or twice as many if the default has no more."""
    if not layers or sum(layers) < sum(DEFAULT_LAYERS) and max(layers) < max(DEFAULT_LAYERS):
        return DEFAULT_LAYERS
    return tuple(max(2 * n, DEFAULT_LAYERS[0]) for n in layers)
