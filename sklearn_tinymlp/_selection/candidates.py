"""`Candidate`: parameters set on the template of an ensemble, and the members trained with them."""

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from .._activations.users_own import Activation
from .._data.input_layer import N_BINS
from .._network.architecture import Architecture
from .._regressor import TinyMLPRegressor
from .._solvers.table import SOLVERS
from .._training.settings import layer_sizes

# Networks that differ in kind have less correlated errors than starts of one kind. Of eleven kinds
# these have the least error for their time (benchmarks/variants.md): the default, which can drop
# inputs; one layer, at a quarter of its time; and ramps.
KINDS = (
    {"inputs": "raw", "alpha": "auto", "hidden_layer_sizes": (16, 16)},
    {"inputs": "raw", "alpha": "layer", "hidden_layer_sizes": (20,)},
    {"inputs": "ramps", "alpha": "one", "hidden_layer_sizes": (16, 16)},
)

# Maximum number of multiply-adds per iteration of a candidate, some six seconds a member. Without
# a limit ramps of 19 inputs in 3,000 rows took five times the time of earlier ensembles, and did
# not lower the error (skillcraft: 0.605 against 0.606).
MAX_MULTIPLY_ADDS = 10_000_000_000

# Share of parameters that the data determine above which a network has too few units, and the
# layers that are tried then. One network's error falls from 0.144 to 0.067 on kin40k (share 0.99)
# and from 0.084 to 0.067 on pol (0.92), but not on sml (0.84) and elevators (0.56).
MOST_DETERMINED, LARGER_LAYERS = 0.9, (32, 32)

# Maximum number of multiply-adds per iteration of larger layers, some twenty seconds a member.
MAX_MULTIPLY_ADDS_OF_LARGER = 4 * MAX_MULTIPLY_ADDS

# Minimum number of rows for each of their weights: with 2,500 rows and half as many weights the
# larger layers have half of the weight in the ensemble; with 1,250 rows they cost more than all
# others and have none of the gain.
ROWS_PER_WEIGHT = 2


@dataclass(eq=False)
class Candidate:
    """Parameters of members, one member for each fold, and members trained on all rows."""

    params: dict
    network: TinyMLPRegressor  # with these parameters, or a fitted one
    members: list = field(default_factory=list)
    errors: list = field(default_factory=list)  # mean squared error of each fold, in variances
    predictions: list = field(default_factory=list)  # (mean, variance) of each fold's rows
    failure: ValueError | None = None  # weights that are not finite
    seconds: float = 0.0
    weight: float = 0.0
    refits: list = field(default_factory=list)  # members trained on all rows

    @property
    def error(self) -> float:
        """Root mean squared error, in standard deviations, of the folds so far."""
        return float(np.sqrt(np.mean(self.errors))) if self.errors else np.inf

    @property
    def hidden_layer_sizes(self) -> tuple[int, ...]:
        """Units of each hidden layer; of a fitted network those of its weights."""
        fitted = vars(self.network)
        if "coefs_" not in fitted:
            return layer_sizes(self.network.hidden_layer_sizes)
        first = int(fitted.get("_input_layer") is not None)
        return tuple(coef.shape[1] for coef in fitted["coefs_"][first:-1])

    def __str__(self):
        others = [str(v) for name, v in self.params.items() if name != "hidden_layer_sizes"]
        return " ".join([str(self.hidden_layer_sizes), str(self.network.activation), *others])


def parameters_to_try(template: TinyMLPRegressor, shapes, X, n_outputs=1) -> list[dict]:
    """Return the parameters of the candidates; `shapes` is a list of shapes or 'auto'.

    A parameter that differs from its default in the template is kept, and so is one whose other
    values a fit would refuse. The first candidate is tried at any cost.
    """
    if not isinstance(shapes, str):
        if not len(shapes):
            raise ValueError("hidden_layer_sizes must contain at least one shape, got none.")
        return [{"hidden_layer_sizes": layer_sizes(shape)} for shape in shapes]
    default, kept = TinyMLPRegressor(), set()
    for name in set().union(*KINDS):
        if getattr(template, name) != getattr(default, name):
            kept.add(name)
    if not isinstance(template.activation, (str, Activation)):  # one for each layer
        kept.add("hidden_layer_sizes")
    solver = SOLVERS.get(template.solver)
    if solver is not None and not solver.least_squares:  # without evidence
        kept.add("alpha")
    if sparse.issparse(X) or not template.bias:
        kept.add("inputs")
    found = []
    for kind in KINDS:
        params = {name: value for name, value in kind.items() if name not in kept}
        affordable = _costs(template, params, X, n_outputs)[1] <= MAX_MULTIPLY_ADDS
        if params not in found and (affordable or not found):
            found.append(params)
    return found


def larger_layers(candidates: list[Candidate], template, X, n_outputs=1) -> list[dict]:
    """Return the best candidate's parameters with more units, if it has too few."""
    trained = [candidate for candidate in candidates if candidate.members]
    best = min(trained, key=lambda candidate: candidate.error, default=None)
    if best is None or best.params.get("hidden_layer_sizes") != KINDS[0]["hidden_layer_sizes"]:
        return []
    determined, n_parameters = (
        getattr(best.members[0], name) for name in ("n_effective_parameters_", "n_parameters_")
    )
    if determined is None or determined <= MOST_DETERMINED * n_parameters:
        return []
    params = best.params | {"hidden_layer_sizes": LARGER_LAYERS}
    n_larger, cost = _costs(template, params, X, n_outputs)
    affordable = cost <= MAX_MULTIPLY_ADDS_OF_LARGER
    return [params] if affordable and X.shape[0] >= ROWS_PER_WEIGHT * n_larger else []


def _costs(template, params, X, n_outputs) -> tuple[int, int]:
    """Return the number of weights, and the multiply-adds of their matrix and three inverses."""
    inputs, sizes = (
        params.get(name, getattr(template, name)) for name in ("inputs", "hidden_layer_sizes")
    )
    n_features = X.shape[1] * (N_BINS if inputs == "ramps" else 1)
    n = Architecture((n_features, *layer_sizes(sizes), n_outputs)).n_parameters
    return n, n**2 * (X.shape[0] + 6 * n)
