"""`Plan`: every decision of a fit, made from settings and data before training begins."""

import math
from dataclasses import dataclass

import numpy as np

from .._activations.lookup import inverted
from .._bayes.curvature import Curvature
from .._bayes.groups import GROUPINGS
from .._data.data import Data
from .._data.input_layer import InputLayer
from .._data.scaling import Scaling
from .._engine.stochastic_state import SCHEDULE_CODES, StochasticOptions
from .._machine.threads import blas_threads
from .._network.architecture import Architecture
from .._network.network import Network, network_of
from .._objective.objective import Objective
from .._solvers.evidence_restarts import Restart
from .._solvers.levenberg_marquardt import MOST_WORK_PER_STEP
from .._solvers.solver import Options, Solver
from .._solvers.table import SOLVERS
from .settings import Settings
from .starts import WarmStart

# solver="auto" chooses lm with the evidence up to this many values of X, whose copy in float64
# takes 0.8 GB.
LM_VALUES = 100_000_000

# Otherwise it chooses lbfgs up to this many samples x parameters; above that a pass over the data
# takes so long that adam, which makes many steps in each pass, is faster.
LBFGS_LIMIT = 3_000_000

# Parameters that are passed to sgd and adam unchanged.
RATES_AND_MOMENTS = "power_t", "momentum", "beta_1", "beta_2", "epsilon"

# Memory for start weights that no machine has, and beyond which NumPy names no parameter.
MOST_BYTES = 2**44

# MLPRegressor's default, used for alpha="auto" with a solver that cannot estimate alpha.
DEFAULT_ALPHA = 1e-4


@dataclass(frozen=True)
class Plan:
    """What is trained, on what, and how."""

    settings: Settings
    architecture: Architecture
    solver: Solver
    scaling: Scaling | None  # from raw data to the units of training
    dtype: np.dtype  # of the data, and of the fitted weights
    n_inputs: int
    n_training: int  # rows
    warm_start: WarmStart | None  # the fit that this one continues
    grouping: str  # which weights share a penalty by the evidence, see `_bayes.groups`
    inputs: np.ndarray | None = None  # those in use; None for all
    restart: Restart | None = None  # found by pilot networks
    first_intercepts: np.ndarray | None = None  # of the output layer; None: as they are drawn
    input_layer: InputLayer | None = None  # not trained; None if the inputs are raw

    @classmethod
    def of(
        cls,
        settings: Settings,
        data: Data,
        warm_start: WarmStart | None,
        input_layer: InputLayer | None = None,
    ) -> "Plan":
        """Make all decisions; raise a ValueError where settings and data contradict each other.

        `data` has the features of the input layer, if there is one.
        """
        n_rows = n_training = data.X.shape[0]
        units = (data.X.shape[1], *settings.hidden_layer_sizes, data.y.shape[1])
        architecture = Architecture(units, settings.bias)
        _refuse_beyond_memory(settings, architecture)
        solver = choose_solver(settings, data, architecture)
        scaling = choose_scaling(settings, data, warm_start)
        if settings.early_stopping and solver.holds_out and data.validation is None:
            # Rounded as in scikit-learn's train_test_split.
            n_training -= math.ceil(settings.params["validation_fraction"] * n_rows)
        plan = cls(
            settings,
            architecture,
            solver,
            scaling,
            data.X.dtype,
            data.X.shape[1],
            n_training,
            warm_start,
            warm_start.grouping if warm_start else default_grouping(settings),
            first_intercepts=first_intercepts(settings, solver, data, scaling),
            input_layer=input_layer,
        )
        evidence_of_squares = plan.by_evidence and settings.loss.least_squares
        if settings.params["noise"] == "varying" and (
            settings.early_stopping or not evidence_of_squares
        ):
            raise ValueError(
                "noise='varying' needs the evidence of squared errors: solver='lm' (or 'auto'), "
                "alpha='auto', loss='squared_error' and early_stopping=False. Got the solver "
                f"{solver.name!r}, alpha={settings.params['alpha']!r}, "
                f"loss={settings.loss.name!r} and early_stopping={settings.early_stopping!r}."
            )
        return plan

    @property
    def by_evidence(self) -> bool:
        """Whether the evidence determines alpha."""
        return self.solver.least_squares and self.settings.by_evidence

    @property
    def alpha(self) -> float:
        """The fixed penalty of the objective; 0 if the evidence determines it."""
        if self.by_evidence:
            return 0.0
        return DEFAULT_ALPHA if self.settings.alpha is None else self.settings.alpha

    @property
    def groups(self) -> np.ndarray:
        """The group of each parameter; those of one group share a penalty."""
        owners = None if self.input_layer is None else self.input_layer.owners
        if owners is not None and self.inputs is not None:
            owners = owners[self.inputs]
        return GROUPINGS[self.grouping](self.architecture, owners)

    def least_ratio(self, groups) -> np.ndarray:
        """Return the least alpha / beta of each group: for groups of coefs a number as `alpha`.

        MLPRegressor's objective times n_samples n_outputs is 1/2 sum r^2 + 1/2 n_outputs alpha
        sum(coefs^2).
        """
        of_coefs = np.unique(groups[: self.architecture.n_coefs])
        ratio = np.zeros(groups.max() + 1)
        ratio[of_coefs] = self.architecture.units[-1] * (self.settings.alpha or 0.0)
        return ratio

    @property
    def full_architecture(self) -> Architecture:
        """The network with all inputs, unused ones included."""
        return Architecture((self.n_inputs, *self.architecture.units[1:]), self.settings.bias)

    def with_all_inputs(self, theta) -> np.ndarray:
        """Insert weights of zero for unused inputs."""
        if self.inputs is None:
            return theta
        coefs, intercepts = self.architecture.unpack(theta)
        first = np.zeros((self.n_inputs, coefs[0].shape[1]), theta.dtype)
        first[self.inputs] = coefs[0]
        return self.full_architecture.pack([first, *coefs[1:]], intercepts, theta.dtype)

    @property
    def working_dtype(self) -> np.dtype:
        """Float64 for second-order steps, and for lbfgs as in scikit-learn."""
        return self.dtype if self.solver.float32 else np.dtype(np.float64)

    def blas_threads(self):
        """Return the context in which to train."""
        return blas_threads(self.architecture.n_parameters)

    @property
    def network(self) -> Network:
        """The network that is trained."""
        return network_of(self.architecture, self.settings.activations)

    def objective(self, data: Data) -> Objective:
        """Return the objective on data in the units of training."""
        settings, dtype = self.settings, self.working_dtype
        return Objective(
            self.network,
            data.samples(dtype),
            self.alpha,
            None if data.validation is None else data.validation.samples(dtype),
            np.ones(1) if self.scaling is None else self.scaling.y_scale,
            settings.loss,
        )

    def options(self, random_state) -> Options:
        """Return the options of the solver."""
        settings, params = self.settings, self.settings.params
        has_schedule = self.solver.has_schedule and isinstance(params["learning_rate"], str)
        schedule = params["learning_rate"] if has_schedule else "constant"
        groups = self.groups if self.by_evidence else None
        stochastic = StochasticOptions(
            schedule=SCHEDULE_CODES[schedule],
            learning_rate_init=settings.learning_rate_init,
            nesterovs_momentum=bool(params["nesterovs_momentum"]),
            alpha=self.alpha,
            tol=settings.tol,
            n_iter_no_change=settings.n_iter_no_change,
            loss_tol=settings.loss_tol,
            **{name: float(params[name]) for name in RATES_AND_MOMENTS},
        )
        batch_size = 200 if settings.batch_size is None else int(settings.batch_size)
        return Options(
            tol=settings.tol,
            max_fun=params["max_fun"],
            groups=groups,
            least_ratio=None if groups is None else self.least_ratio(groups),
            stochastic=stochastic,
            batch_size=min(batch_size, self.n_training),
            shuffle=bool(params["shuffle"]),
            random_state=random_state,
            earlier=None if self.warm_start is None else self.warm_start.stochastic_state,
            single_epoch=settings.incremental,
            restart=self.restart,
        )


def _refuse_beyond_memory(settings: Settings, architecture: Architecture) -> None:
    """Raise a ValueError where the start weights alone exceed any memory."""
    n_bytes = 8 * architecture.n_parameters * int(settings.n_init)
    if n_bytes > MOST_BYTES:
        name = "n_init" if 8 * architecture.n_parameters < MOST_BYTES else "hidden_layer_sizes"
        raise ValueError(
            f"{name}={settings.params[name]!r} is too large: the start weights would take "
            f"{n_bytes / 2**40:.3g} TB of memory. Choose a smaller one."
        )


def input_layer(settings: Settings, data: Data, warm_start: WarmStart | None) -> InputLayer | None:
    """Return the layer of features that the network is trained on, None for raw inputs.

    Training that continues keeps its first layer.
    """
    kind = settings.params["inputs"]
    if warm_start is None:
        return InputLayer.of(kind, data.X, data.sample_weight)
    layer = warm_start.input_layer
    before = "raw" if layer is None else layer.kind
    if kind != before:
        raise ValueError(
            f"Training continues from a network with inputs={before!r}, but inputs={kind!r}. Set "
            f"warm_start=False or inputs={before!r}."
        )
    return layer


def default_grouping(settings: Settings) -> str:
    """Return which weights share a penalty, before pilot networks."""
    return settings.grouping or ("layer" if settings.has_ramps else "one")


def choose_solver(settings: Settings, data: Data, architecture: Architecture) -> Solver:
    """Return the solver set by the user, or choose one by cost."""
    loss, weight = settings.loss, data.sample_weight
    negative = weight is not None and weight.min() < 0
    asked = settings.solver
    if asked is not None and asked.least_squares:
        if negative:
            raise ValueError(
                f"solver={asked.name!r} minimises squared residuals and needs sample_weight >= 0, "
                f"got a minimum of {weight.min()}. Use solver='lbfgs' with it."
            )
        if not loss.least_squares and loss.expected_curvature is None:
            raise ValueError(
                f"solver={asked.name!r} minimises squared residuals and cannot take "
                f"loss={loss.name!r}. Use solver='lbfgs' with it."
            )
        if not loss.least_squares and settings.alpha is not None:
            raise ValueError(
                f"solver={asked.name!r} accepts loss={loss.name!r} only with alpha='auto', got "
                f"alpha={settings.params['alpha']!r}. Use solver='lbfgs' with it."
            )
    if asked is not None:
        return asked
    n_rows = data.X.shape[0]
    if settings.by_evidence:
        suits_lm = data.X.size <= LM_VALUES  # stored values of a sparse X
        suits_lm = suits_lm and (loss.least_squares or loss.expected_curvature is not None)
    else:  # plain least squares
        work = Curvature.cheapest(architecture, n_rows).work
        suits_lm = loss.least_squares and work <= MOST_WORK_PER_STEP
    if suits_lm and not negative:
        return SOLVERS["lm"]
    return SOLVERS["lbfgs" if n_rows * architecture.n_parameters <= LBFGS_LIMIT else "adam"]


def first_intercepts(settings: Settings, solver: Solver, data: Data, scaling) -> np.ndarray | None:
    """Return intercepts of the output layer that predict the best constant.

    None where the start is MLPRegressor's, which draws them; for squared errors, whose targets are
    centred; and where the output activation cannot reach the constant.
    """
    loss = settings.loss
    as_mlp_regressor = not loss.uses_d2 and not solver.least_squares
    if as_mlp_regressor or loss.least_squares or not settings.bias:
        return None
    y = data.y.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        # In the units of training: the scale of a robust loss is 1 in these.
        y = y if scaling is None else scaling.transform_y(y)
        constant = np.reshape(loss.best_constant(y, data.sample_weight), (1, -1))
    inverse = [inverted(settings.activations[-1], value) for value in constant.ravel()]
    return np.array(inverse) if np.isfinite(inverse).all() else None


def choose_scaling(settings: Settings, data: Data, warm_start: WarmStart | None) -> Scaling | None:
    """Decide on standardisation; training that continues keeps its first scaling."""
    scales_y = settings.activations[-1] == "identity"
    if warm_start is not None:
        if warm_start.scaling is not None:
            _refuse_what_cannot_be_undone(warm_start.scaling, settings, scales_y)
        return warm_start.scaling
    wanted = settings.params["standardize"]
    if isinstance(wanted, str):
        wanted = settings.solver is None or settings.solver.least_squares
    if not wanted:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scaling = Scaling.of(
            data.X, data.y, data.sample_weight, bias=settings.bias, scale_y=scales_y
        )
    if not all(np.isfinite(part).all() for part in scaling):
        raise ValueError(
            "X, y or sample_weight have values so large that their mean or spread is not "
            "finite. Rescale them, or set standardize=False."
        )
    return scaling


def _refuse_what_cannot_be_undone(scaling: Scaling, settings, scales_y) -> None:
    """Raise a ValueError where the scaling of the first fit can no longer be folded in."""
    if not settings.bias and (scaling.x_mean.any() or scaling.y_mean.any()):
        raise ValueError(
            "Training continues on data centred as in the first fit, which bias=False cannot "
            "undo. Set warm_start=False or bias=True."
        )
    if not scales_y and (scaling.y_mean.any() or (scaling.y_scale != 1).any()):
        params = settings.params
        raise ValueError(
            "Training continues on y scaled as in the first fit, which output_activation="
            f"{params['output_activation']!r} and loss={params['loss']!r} cannot undo. Set "
            "warm_start=False or output_activation='identity'."
        )
