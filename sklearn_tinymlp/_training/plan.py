"""`Plan`: every decision of a fit, made from settings and data before training begins."""

import math
from dataclasses import dataclass

import numpy as np

from .._activations.lookup import inverted
from .._bayes.curvature import Curvature
from .._bayes.groups import GROUPINGS
from .._data.data import Data
from .._data.scaling import Scaling
from .._engine.stochastic_state import SCHEDULE_CODES, StochasticOptions
from .._network.architecture import Architecture
from .._network.network import network_of
from .._objective.objective import Objective
from .._solvers.evidence_restarts import Restart
from .._solvers.solver import Options, Solver
from .._solvers.table import SOLVERS
from .settings import Settings
from .warm_start import WarmStart

# solver="auto" takes lm up to so many values of X, which it copies to float64 for 0.8 GB; with a
# fixed alpha up to this many multiply-adds an iteration: a seventh of a second on one core.
LM_VALUES = 100_000_000
LM_WORK = 1_500_000_000

# Else it takes lbfgs, up to this many samples x parameters; beyond, a pass over the data takes so
# long that many steps of adam in each are worth more.
LBFGS_LIMIT = 3_000_000

# Networks of at most this many parameters train on one BLAS thread, see `_machine.threads`. The
# products of a batch of 200 rows with a layer of 300 x 300 take a millisecond; below that a second
# thread costs as much as it does.
ONE_THREAD = 100_000

# Where alpha is "auto" and the solver cannot find it: MLPRegressor's default.
DEFAULT_ALPHA = 1e-4


@dataclass(frozen=True)
class Plan:
    """What is to be trained, on what, and how."""

    settings: Settings
    architecture: Architecture
    solver: Solver
    scaling: Scaling | None  # from raw data to what is trained on
    dtype: np.dtype  # of the data, and of the fitted weights
    n_inputs: int
    n_training: int  # rows
    earlier: WarmStart | None  # the fit that this one continues
    grouping: str  # by the evidence: which weights share a penalty, see `_bayes.groups`
    inputs: np.ndarray | None = None  # those in use; None for all
    restart: Restart | None = None  # where pilots have found one
    first_intercepts: np.ndarray | None = None  # of the output layer; None: as they are drawn

    @classmethod
    def of(cls, settings: Settings, data: Data, earlier: WarmStart | None) -> "Plan":
        """Decide.

        Raises
        ------
        ValueError
            When the solver cannot take the loss or the weights, when the spread of the data is not
            finite, or when the scaling of the earlier fit cannot be undone any more.
        """
        units = (data.X.shape[1], *settings.hidden_layer_sizes, data.y.shape[1])
        architecture = Architecture(units, settings.bias)
        solver = choose_solver(settings, data, architecture)
        scaling = choose_scaling(settings, data, earlier)
        plan = cls(
            settings,
            architecture,
            solver,
            scaling,
            data.X.dtype,
            data.X.shape[1],
            _rows_to_train_on(settings, solver, data),
            earlier,
            earlier.grouping if earlier is not None else settings.grouping or "one",
            first_intercepts=first_intercepts(settings, solver, data, scaling),
        )
        plan.refuse_noise_that_cannot_vary()
        return plan

    def refuse_noise_that_cannot_vary(self) -> None:
        """Raise a ValueError where the noise is to vary, and there are no bands."""
        settings = self.settings
        has_intervals = (
            self.by_evidence and settings.loss.least_squares and not settings.early_stopping
        )
        if settings.params["noise"] == "varying" and not has_intervals:
            raise ValueError(
                "noise='varying' needs the evidence of squared errors: solver='lm' (or 'auto'), "
                "alpha='auto', loss='squared_error' and early_stopping=False. Got the solver "
                f"{self.solver.name!r}, alpha={settings.params['alpha']!r}, "
                f"loss={settings.loss.name!r} and early_stopping={settings.early_stopping!r}."
            )

    @property
    def by_evidence(self) -> bool:
        """Whether the evidence finds alpha."""
        return self.solver.least_squares and self.settings.alpha is None

    @property
    def alpha(self) -> float:
        """Strength of the penalty in the objective; by the evidence it has none of its own."""
        if self.settings.alpha is not None:
            return self.settings.alpha
        return 0.0 if self.by_evidence else DEFAULT_ALPHA

    @property
    def full_architecture(self) -> Architecture:
        """The network with all inputs, those out of use included."""
        if self.inputs is None:
            return self.architecture
        hidden_and_output = self.architecture.units[1:]
        return Architecture((self.n_inputs, *hidden_and_output), self.settings.bias)

    def with_all_inputs(self, theta) -> np.ndarray:
        """Give inputs that are out of use weights of zero."""
        if self.inputs is None:
            return theta
        coefs, intercepts = self.architecture.unpack(theta)
        first = np.zeros((self.n_inputs, coefs[0].shape[1]), theta.dtype)
        first[self.inputs] = coefs[0]
        return self.full_architecture.pack([first, *coefs[1:]], intercepts, theta.dtype)

    @property
    def weights_are_relative(self) -> bool:
        """Whether only the ratios of weights count; a named solver takes them as MLPRegressor."""
        return self.by_evidence or self.settings.solver is None

    @property
    def working_dtype(self) -> np.dtype:
        """Second-order steps need float64; scikit-learn's lbfgs too computes in it."""
        return self.dtype if self.solver.float32 else np.dtype(np.float64)

    @property
    def holds_out(self) -> bool:
        """Whether early stopping takes its validation set from the data, if none is given."""
        return self.settings.early_stopping and self.solver.holds_out

    @property
    def on_one_thread(self) -> bool:
        """Whether BLAS is to use one thread."""
        return self.architecture.n_parameters <= ONE_THREAD

    @property
    def batch_size(self) -> int:
        """Rows of a minibatch."""
        asked = self.settings.batch_size
        return min(200 if asked is None else int(asked), self.n_training)

    def objective(self, data: Data) -> Objective:
        """Describe what is minimised on data in the units of training."""
        settings, dtype = self.settings, self.working_dtype
        return Objective(
            network_of(self.architecture, settings.activations),
            data.samples(dtype),
            self.alpha,
            None if data.validation is None else data.validation.samples(dtype),
            np.ones(1) if self.scaling is None else self.scaling.y_scale,
            settings.loss,
        )

    def options(self, random_state) -> Options:
        """Gather what the solver is told."""
        settings = self.settings
        return Options(
            tol=settings.tol,
            max_fun=settings.params["max_fun"],
            alpha_by_evidence=self.by_evidence,
            groups=GROUPINGS[self.grouping](self.architecture) if self.by_evidence else None,
            stochastic=self._rates(),
            batch_size=self.batch_size,
            shuffle=bool(settings.params["shuffle"]),
            random_state=random_state,
            earlier=None if self.earlier is None else self.earlier.stochastic_state,
            single_epoch=settings.incremental,
            restart=self.restart,
        )

    def _rates(self) -> StochasticOptions:
        settings, params = self.settings, self.settings.params
        schedule = settings.schedule if self.solver.has_schedule else "constant"
        return StochasticOptions(
            schedule=SCHEDULE_CODES[schedule],
            learning_rate_init=settings.learning_rate_init,
            power_t=float(params["power_t"]),
            momentum=float(params["momentum"]),
            nesterovs_momentum=bool(params["nesterovs_momentum"]),
            beta_1=float(params["beta_1"]),
            beta_2=float(params["beta_2"]),
            epsilon=float(params["epsilon"]),
            alpha=self.alpha,
            tol=settings.tol,
            n_iter_no_change=settings.n_iter_no_change,
            loss_tol=settings.loss_tol,
        )


def choose_solver(settings: Settings, data: Data, architecture: Architecture) -> Solver:
    """Take the solver that was asked for, or choose by cost."""
    n_parameters = architecture.n_parameters
    loss, weight = settings.loss, data.sample_weight
    negative = weight is not None and weight.min() < 0
    asked = settings.solver
    if asked is not None and asked.least_squares:
        if negative:
            raise ValueError(
                f"solver={asked.name!r} minimises squared residuals and needs sample_weight >= 0, "
                f"got a least value of {weight.min()}. Use solver='lbfgs' with it."
            )
        if not loss.least_squares and loss.expected_curvature is None:
            raise ValueError(
                f"solver={asked.name!r} minimises squared residuals and cannot take "
                f"loss={loss.name!r}. Use solver='lbfgs' with it."
            )
        if not loss.least_squares and settings.alpha is not None:
            raise ValueError(
                f"solver={asked.name!r} takes loss={loss.name!r} with alpha='auto' alone, got "
                f"alpha={settings.params['alpha']!r}. Use solver='lbfgs' with it."
            )
    if asked is not None:
        return asked
    by_evidence = settings.alpha is None and loss.expected_curvature is not None
    if (loss.least_squares or by_evidence) and not negative:
        if suits_lm(settings, architecture, data.X):
            return SOLVERS["lm"]
    return SOLVERS["lbfgs" if data.X.shape[0] * n_parameters <= LBFGS_LIMIT else "adam"]


def first_intercepts(settings: Settings, solver: Solver, data: Data, scaling) -> np.ndarray | None:
    """Return the output's intercepts, of which the best constant is the prediction.

    None where the start is that of MLPRegressor, which draws them, where squared errors see to it
    by the scaling, and where the output activation does not take the value.
    """
    loss = settings.loss
    as_mlp_regressor = not loss.uses_d2 and not solver.least_squares
    if as_mlp_regressor or loss.least_squares or not settings.bias:
        return None
    y = data.y.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        constant = np.reshape(loss.best_constant(y, data.sample_weight), (1, -1))
        if scaling is not None:
            constant = scaling.transform_y(constant)
    inverse = [inverted(settings.activations[-1], value) for value in constant.ravel()]
    return np.array(inverse) if np.isfinite(inverse).all() else None


def suits_lm(settings: Settings, architecture: Architecture, X) -> bool:
    """Whether lm is the solver of choice: with the evidence, or where a fixed alpha is cheap."""
    if settings.alpha is None:
        return X.size <= LM_VALUES  # of a sparse X those that are stored
    return Curvature.cheapest(architecture, X.shape[0]).work <= LM_WORK


def choose_scaling(settings: Settings, data: Data, earlier: WarmStart | None) -> Scaling | None:
    """Decide on standardisation; training that continues keeps its first scaling."""
    output = settings.activations[-1]
    if earlier is not None:
        _refuse_what_cannot_be_undone(earlier.scaling, settings)
        return earlier.scaling
    wanted = settings.standardize
    if wanted is None:
        wanted = settings.solver is None or settings.solver.least_squares
    if not wanted:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        scaling = Scaling.of(
            data.X,
            data.y,
            data.sample_weight,
            bias=settings.bias,
            scale_y=output == "identity",
        )
    if not all(np.isfinite(part).all() for part in scaling):
        raise ValueError(
            "X, y or sample_weight hold values so large that their mean or spread is not "
            "finite. Rescale them, or set standardize=False."
        )
    return scaling


def _refuse_what_cannot_be_undone(scaling, settings):
    """Refuse to go on where the scaling of the first fit cannot be folded in any more."""
    if scaling is None:
        return
    if not settings.bias and (scaling.x_mean.any() or scaling.y_mean.any()):
        raise ValueError(
            "Training continues on data centred as in the first fit, which bias=False cannot "
            "undo. Set warm_start=False or bias=True."
        )
    scales_y = scaling.y_mean.any() or (scaling.y_scale != 1).any()
    if settings.activations[-1] != "identity" and scales_y:
        params = settings.params
        raise ValueError(
            "Training continues on y scaled as in the first fit, which output_activation="
            f"{params['output_activation']!r} and loss={params['loss']!r} cannot undo. Set "
            "warm_start=False or output_activation='identity'."
        )


def _rows_to_train_on(settings, solver, data) -> int:
    n_samples = data.X.shape[0]
    if settings.early_stopping and solver.holds_out and data.validation is None:
        # As scikit-learn's train_test_split rounds.
        return n_samples - math.ceil(settings.params["validation_fraction"] * n_samples)
    return n_samples
