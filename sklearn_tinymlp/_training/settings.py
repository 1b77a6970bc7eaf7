"""`Settings`: the hyperparameters, checked, in one frozen object."""

from dataclasses import dataclass
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
)

from .._activations.lookup import is_positive
from .._activations.table import HIDDEN_ACTIVATIONS, OUTPUT_ACTIVATIONS, POSITIVE_ACTIVATIONS
from .._activations.users_own import Activation
from .._bayes.groups import GROUPINGS
from .._data.input_layer import INPUTS
from .._losses.loss import Loss
from .._losses.table import LOSSES
from .._network.initialization import INITIALIZERS
from .._solvers.solver import Solver
from .._solvers.table import SOLVERS

AT_LEAST_ONE = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
ABOVE_ZERO = Interval(Real, 0, None, closed="neither")

# Parameters with the constraints that MLPRegressor has.
SHARED = (
    "batch_size power_t max_iter shuffle random_state tol verbose warm_start momentum "
    "nesterovs_momentum early_stopping validation_fraction beta_1 beta_2 epsilon n_iter_no_change "
    "max_fun"
).split()

# Constraints on the parameters of `TinyMLPRegressor`, in the form that scikit-learn uses.
CONSTRAINTS = {
    **{name: MLPRegressor._parameter_constraints[name] for name in SHARED},
    "loss": [StrOptions(LOSSES.keys())],
    "quantile": [Interval(Real, 0, 1, closed="neither")],
    "hidden_layer_sizes": ["array-like", AT_LEAST_ONE],
    "activation": [StrOptions(HIDDEN_ACTIVATIONS.keys()), Activation, list, tuple],
    "bias": ["boolean"],
    "output_activation": [StrOptions({"auto"}), StrOptions(OUTPUT_ACTIVATIONS.keys()), Activation],
    "solver": [StrOptions({"auto"}), StrOptions(SOLVERS.keys())],
    "alpha": [StrOptions({"auto", *GROUPINGS}), NOT_NEGATIVE],
    "noise": [StrOptions({"constant", "varying"})],
    "standardize": [StrOptions({"auto"}), "boolean"],
    "inputs": [StrOptions(set(INPUTS))],
    "init": [StrOptions(set(INITIALIZERS))],
    "n_init": [AT_LEAST_ONE],
    "loss_tol": [None, NOT_NEGATIVE],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), ABOVE_ZERO],
    "learning_rate_init": [None, ABOVE_ZERO],
}

# Values of the parameters that `MLPRegressor` does not have.
OF_MLPREGRESSOR = {
    "bias": True,
    "output_activation": "auto",
    "noise": "constant",
    "standardize": False,
    "inputs": "raw",
    "init": "glorot_uniform",
    "n_init": 1,
    "loss_tol": None,
    "quantile": 0.5,
}


def validate(kind: type, params: dict[str, Any]) -> None:
    """Check the parameters of a class against its constraints, once for equal parameters.

    A check takes a quarter of the time that a small fit takes without its training.
    """
    check = _validate
    if isinstance(params["random_state"], np.random.RandomState):  # the cache would keep it alive
        check = _validate.__wrapped__
    try:
        check(kind, **params)
    except InvalidParameterError:
        raise
    except TypeError:  # a list has no hash
        _validate.__wrapped__(kind, **params)


@lru_cache(maxsize=1000, typed=True)
def _validate(kind: type, **params) -> None:
    validate_parameter_constraints(kind._parameter_constraints, params, caller_name=kind.__name__)


@dataclass(frozen=True)
class Settings:
    """The hyperparameters of a fit, named as the parameters are."""

    params: dict[str, Any]  # as given, by name
    incremental: bool  # `partial_fit`
    loss: Loss
    hidden_layer_sizes: tuple[int, ...]
    activations: tuple[str | Activation, ...]  # one per layer, the output layer last
    solver: Solver | None  # None: by cost
    alpha: float | None  # None: from the data, if the solver can
    grouping: str | None  # which weights share a penalty; None: from the data, too
    bias: bool
    n_init: int
    loss_tol: float  # -inf where there is no target
    batch_size: int | None
    learning_rate_init: float
    max_iter: int
    tol: float
    verbose: bool
    early_stopping: bool
    n_iter_no_change: float

    @property
    def has_ramps(self) -> bool:
        """Whether several features of the network are ramps of one input."""
        return self.params["inputs"] == "ramps"

    @property
    def weights_are_relative(self) -> bool:
        """Whether only ratios of sample weights count; other solvers follow MLPRegressor."""
        return self.solver is None or (self.solver.least_squares and self.alpha is None)

    @property
    def by_evidence(self) -> bool:
        """Whether a solver that can estimate alpha does: not at a number, unless it is a bound.

        With solver="auto" a number above 0 is the least penalty. The minimum of a loss with a small
        fixed penalty predicts new rows far worse than MLPRegressor's 200 epochs (docs/solvers.md).
        """
        return self.alpha is None or (self.solver is None and self.alpha > 0.0)

    @classmethod
    def read(cls, params: dict[str, Any], incremental: bool = False) -> "Settings":
        """Read parameters that meet `CONSTRAINTS`; raise a ValueError if they contradict."""
        params = OF_MLPREGRESSOR | params
        loss = LOSSES[params["loss"]]
        loss = loss if loss.configured is None else loss.configured(params)
        hidden = layer_sizes(params["hidden_layer_sizes"])
        activations = activations_of(params, len(hidden), loss)
        rate, first_rate_given, n_init = (
            params[name] for name in ("learning_rate", "learning_rate_init", "n_init")
        )
        if not isinstance(rate, str) and first_rate_given is not None:
            raise ValueError(
                f"learning_rate={rate!r} is a constant rate and learning_rate_init="
                f"{first_rate_given!r} is another. Set one of them: learning_rate to a number, or "
                "learning_rate_init with the name of a schedule as learning_rate."
            )
        if n_init > 1 and incremental:
            raise ValueError(
                f"partial_fit continues from one start, but n_init={n_init}. Set n_init=1."
            )
        if n_init > 1 and params["warm_start"]:
            raise ValueError(
                f"n_init={n_init} means several random starts, but warm_start=True starts from "
                "the weights of the last fit. Set n_init=1 or warm_start=False."
            )
        if params["inputs"] != "raw" and not params["bias"]:
            raise ValueError(
                f"inputs={params['inputs']!r} needs intercepts, but bias=False. Set bias=True or "
                "inputs='raw'."
            )
        alpha, batch_size = (
            None if isinstance(params[name], str) else params[name]
            for name in ("alpha", "batch_size")
        )
        return cls(
            params=params,
            incremental=incremental,
            loss=loss,
            hidden_layer_sizes=hidden,
            activations=activations,
            solver=SOLVERS.get(params["solver"]),
            alpha=None if alpha is None else float(alpha),
            grouping=params["alpha"] if alpha is None and params["alpha"] != "auto" else None,
            bias=bool(params["bias"]),
            n_init=n_init,
            loss_tol=-np.inf if params["loss_tol"] is None else float(params["loss_tol"]),
            batch_size=batch_size,
            learning_rate_init=first_rate(params),
            max_iter=int(params["max_iter"]),
            tol=float(params["tol"]),
            verbose=bool(params["verbose"]),
            early_stopping=bool(params["early_stopping"]),
            n_iter_no_change=float(params["n_iter_no_change"]),
        )


def layer_sizes(sizes) -> tuple[int, ...]:
    """Return the units of each hidden layer; raise a ValueError unless all are ints above 0."""
    if isinstance(sizes, np.ndarray):  # one of dimension zero cannot be iterated over
        sizes = sizes.tolist()
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    if any(not isinstance(size, Integral) for size in sizes):
        raise InvalidParameterError(
            f"The 'hidden_layer_sizes' parameter must contain ints, got {sizes!r}."
        )
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return tuple(int(size) for size in sizes)


def activations_of(params, n_hidden, loss) -> tuple[str | Activation, ...]:
    """Return the activation of each layer, output last; raise a ValueError if one is invalid."""
    given = params["activation"]
    names = [given] * n_hidden if isinstance(given, (str, Activation)) else list(given)
    for name in names:
        if not isinstance(name, Activation) and name not in HIDDEN_ACTIVATIONS:
            raise InvalidParameterError(
                f"The 'activation' parameter must be one of {sorted(HIDDEN_ACTIVATIONS)}, an "
                f"Activation, or a list of them with one for each hidden layer. Got {given!r}."
            )
    if len(names) != n_hidden:
        raise ValueError(
            f"activation has {len(names)} entries, {names}, but hidden_layer_sizes="
            f"{params['hidden_layer_sizes']!r} needs {n_hidden}, one for each hidden layer."
        )
    output = params["output_activation"]
    if output == "auto":
        output = loss.output_activation
    if loss.positive and not is_positive(output):
        raise ValueError(
            f"loss={loss.name!r} needs predictions above zero, which output_activation={output!r} "
            f"does not ensure. Use 'auto' or one of {list(POSITIVE_ACTIVATIONS)}."
        )
    return (*names, output)


def first_rate(params) -> float:
    """Return the initial learning rate."""
    by_name = isinstance(params["learning_rate"], str)
    rate = params["learning_rate_init"] if by_name else params["learning_rate"]
    return 0.001 if rate is None else float(rate)
