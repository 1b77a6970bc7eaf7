"""`draw`: the weights that training starts from, drawn, given or taken over."""

from numbers import Integral
from typing import NamedTuple

import numpy as np
from numpy.random.bit_generator import ISeedSequence
from sklearn.utils import check_random_state

from .._network.initialization import initial_parameters
from .plan import Plan
from .warm_start import WarmStart


class UserStart(NamedTuple):
    """Start weights of the user's own, for raw data."""

    coefs_init: list | None = None
    intercepts_init: list | None = None

    @property
    def names(self) -> list[str]:
        """The parameters that were given."""
        return [name for name, part in self._asdict().items() if part is not None]


NO_START = UserStart()


class Start(NamedTuple):
    """Where a training starts, and what it draws from on its way."""

    theta: np.ndarray  # float64, in the units of training
    random_state: np.random.RandomState


def refuse_contradictions(given: UserStart, n_init: int, earlier: WarmStart | None) -> None:
    """Refuse start weights where there are several starts, or an earlier fit goes on."""
    if not given.names:
        return
    name = given.names[0]
    if n_init > 1:
        raise ValueError(
            f"n_init={n_init} asks for several random starts, but {name} fixes the start. "
            f"Set n_init=1 or leave out {name}."
        )
    if earlier is not None:
        raise ValueError(
            f"warm_start=True continues from the weights of the last fit, but {name} asks "
            f"for another start. Set warm_start=False or leave out {name}."
        )


def draw(plan: Plan, given: UserStart, random_state: np.random.RandomState) -> list[Start]:
    """Give the starts: the earlier fit's end, or `n_init` draws with the user's own put in.

    Raises
    ------
    ValueError
        When the shapes are not those of the network, or a given start has numbers that are not
        finite, or intercepts where there are to be none.
    """
    if plan.earlier is not None:
        return [Start(_earlier_theta(plan), random_state)]
    settings, shapes = plan.settings, plan.architecture.coef_shapes
    states = [random_state]
    if settings.n_init > 1:
        seeds = random_state.randint(np.iinfo(np.int32).max, size=settings.n_init)
        states = [np.random.RandomState(seed) for seed in seeds]
    sizes = settings.params["hidden_layer_sizes"]
    given = UserStart(
        _checked("coefs_init", given.coefs_init, shapes, sizes),
        _checked("intercepts_init", given.intercepts_init, [s[1:] for s in shapes], sizes),
    )
    if not settings.bias and given.intercepts_init and any(map(np.any, given.intercepts_init)):
        raise ValueError(
            "bias=False keeps intercepts at zero, but intercepts_init is not zero. "
            "Set bias=True or leave out intercepts_init."
        )
    return [Start(_with_given(plan, given, _drawn(plan, state)), state) for state in states]


def _drawn(plan: Plan, random_state) -> np.ndarray:
    settings, activation = plan.settings, plan.settings.params["activation"]
    # Without hidden layers MLPRegressor draws by the activation that it then does not use.
    unused = activation if isinstance(activation, str) else "identity"
    hidden = settings.activations[:-1] or (unused,)
    init = settings.params["init"]
    coefs, intercepts = initial_parameters(plan.architecture, init, hidden, random_state)
    if plan.first_intercepts is not None:
        intercepts[-1] = plan.first_intercepts
    return plan.architecture.pack(coefs, intercepts, np.float64)


def _with_given(plan: Plan, given: UserStart, theta) -> np.ndarray:
    """Put the user's weights, which are for raw data, in the place of those drawn."""
    if not given.names:
        return theta
    architecture, scaling = plan.architecture, plan.scaling
    if scaling is not None:
        theta = scaling.fold(architecture, theta)
    coefs, intercepts = architecture.unpack(theta)
    theta = architecture.pack(
        given.coefs_init or coefs, given.intercepts_init or intercepts, np.float64
    )
    return theta if scaling is None else scaling.unfold(architecture, theta)


def _earlier_theta(plan: Plan) -> np.ndarray:
    architecture, earlier = plan.architecture, plan.earlier
    shapes = [coef.shape for coef in earlier.coefs]
    if shapes != architecture.coef_shapes:
        raise ValueError(
            f"Training continues from coefs_ of the shapes {shapes}, but hidden_layer_sizes="
            f"{plan.settings.params['hidden_layer_sizes']!r} and the data need "
            f"{architecture.coef_shapes}. Set warm_start=False or fit a new estimator."
        )
    theta = architecture.pack(earlier.coefs, earlier.intercepts, np.float64)
    return theta if plan.scaling is None else plan.scaling.unfold(architecture, theta)


def _checked(name, arrays, shapes, hidden_layer_sizes):
    """Check start weights of the user's own; None stays None."""
    if arrays is None:
        return None
    arrays = [np.asarray(array, dtype=np.float64) for array in arrays]
    if [array.shape for array in arrays] != shapes:
        raise ValueError(
            f"{name} has the shapes {[array.shape for array in arrays]}, but hidden_layer_sizes="
            f"{hidden_layer_sizes!r} and the data need {shapes}."
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{name} holds values that are not finite.")
    return arrays


class _NoSeeds(ISeedSequence):
    """Stands for the operating system's random numbers where a seed overwrites them at once."""

    def generate_state(self, n_words, dtype=np.uint32):
        """Give as many zeros."""
        return np.zeros(n_words, dtype)


def random_state_of(random_state) -> np.random.RandomState:
    """Do as `check_random_state`, for an int in a third of the time: 0.05 ms."""
    if not isinstance(random_state, Integral):
        return check_random_state(random_state)
    state = np.random.RandomState(np.random.MT19937(_NoSeeds()))
    state.seed(random_state)
    return state
