"""Checks of a saved state: the types, shapes and ranges that fitted estimators have.

Compiled code reads and writes arrays by their addresses: an array of another shape or dtype would
let it overwrite other memory. A check is a function of a value and of the sizes of the network; it
returns the value, of a dict the record with these fields, or raises `Invalid`. An array is copied
if only its byte order, or the order or alignment that compiled code needs, is another one.
"""

from functools import lru_cache
from itertools import pairwise
from math import inf
from numbers import Integral, Real

import numpy as np

from .._activations.table import BUILT_IN
from .._activations.users_own import Activation
from .._bayes.conformal import ConformalScores
from .._bayes.dense import DensePrecision
from .._bayes.extrapolation import Extrapolation
from .._bayes.groups import GROUPINGS
from .._bayes.laplace import Posterior
from .._bayes.low_rank import JacobianRows, LowRankPrecision
from .._bayes.several_outputs import OutputsPrecision, Places
from .._data.input_layer import InputLayer
from .._data.piecewise_linear import n_ramps
from .._data.scaling import Scaling
from .._engine.stochastic_state import PROGRESS_DTYPE, StochasticOptions, StochasticState
from .._losses.table import LOSSES
from .._network.architecture import Architecture
from .._solvers.monitor import History
from .._training.heteroscedastic_noise import VaryingNoise

LARGEST = float(np.finfo(np.float64).max)
FLOAT64, FLOATS, INDICES, NUMBERS = "d", "df", np.dtype(np.intp).char, "dflq?"


class Invalid(ValueError):
    """What is wrong with a value; the names that lead to the value are put before it."""


def checked(kind: str, state: dict) -> dict:
    """Return the attributes of a saved estimator; raise a ValueError if they are not valid."""
    sizes_of, fields = TABLES[kind]
    try:
        with np.errstate(all="ignore"):
            return _record(dict, **fields)(state, sizes_of(state))
    except Invalid as error:
        raise ValueError(f"This file is not a valid {kind}: {error}.") from None


# --------------------------------------------------------------------------- checks of a value


@lru_cache(maxsize=256)
def _array(*shape, dtypes=FLOAT64, least=-LARGEST, most=LARGEST, below=None, order=None):
    """Check an array of numbers from `least` to `most`, without NaN; of any if `least` is None.

    The shape consists of lengths and names of sizes. A name without a size gets the length of the
    array, for the fields that follow. `below` is the name of a size that indices are below.
    """

    def check(value, sizes):
        if type(value) not in (np.ndarray, np.memmap):
            raise Invalid(f" is of the type {type(value).__name__}, but must be an array")
        if value.shape != shape and not _fits(value.shape, shape, sizes):
            needed = ", ".join(str(sizes.get(n, n)) for n in shape)
            raise Invalid(f" has the shape {value.shape}, but must have ({needed})")
        if value.dtype.char not in dtypes or not value.dtype.isnative:
            value = _of_dtype(value, dtypes)
        if order is not None:
            value = np.require(value, requirements=[order, "ALIGNED"])
        greatest = most if below is None else sizes[below] - 1
        if not (least is None or _is_within(value, least, greatest)):
            wanted = "finite" if least == -LARGEST else f"from {least:g} to {greatest:g}"
            raise Invalid(f" has values that are not {wanted}")
        return value

    return check


def _fits(lengths, shape, sizes):
    """Return whether lengths are those of a shape with names, and set names without a size."""
    if len(lengths) != len(shape):
        return False
    for n, length in zip(shape, lengths, strict=True):
        if length != (n if type(n) is int else sizes.setdefault(n, length)):
            return False
    return True


def _is_within(value, least, most):
    """Return whether all values are from `least` to `most`, and not NaN."""
    if value.dtype.kind == "f" and least == -LARGEST and np.vdot(value, value) < inf:
        return True  # three times as fast as what follows
    if value.size == 0:
        return True
    at_least = float(np.minimum.reduce(value, None)) >= least  # the minimum is NaN if a value is
    return at_least and (most == inf or float(np.maximum.reduce(value, None)) <= most)


def _of_dtype(value, dtypes):
    """Return the array in native byte order, indices as those of this platform."""
    dtype = np.dtype(np.intp) if dtypes == INDICES and value.dtype.kind == "i" else value.dtype
    dtype = dtype.newbyteorder("=")
    if dtype.char not in dtypes:
        names = " or ".join(np.dtype(char).name for char in dtypes)
        raise Invalid(f" has the dtype {value.dtype}, but must have {names}")
    return value.astype(dtype)


def _number(least=None, most=inf, kind=Real):
    """Check a number from `least` to `most`, without NaN; any number if `least` is None."""

    def check(value, sizes):
        if not isinstance(value, kind) or not (least is None or least <= value <= most):
            bounds = "" if least is None else f" from {least:g} to {most:g}"
            name = "a number" if kind is Real else "an integer"
            raise Invalid(f" is {value!r:.50}, but must be {name}{bounds}")
        return value

    return check


def _among(choices):
    """Check that a value is one of these, or of ``sizes[choices]``, and of the same type."""

    def check(value, sizes):
        known = sizes[choices] if isinstance(choices, str) else choices
        if not any(type(value) is type(one) and value == one for one in known):
            choice = " or ".join(map(repr, known))
            raise Invalid(f" is {value!r:.50}, but must be {choice}")
        return value

    return check


def _activation(value, sizes):
    if not isinstance(value, Activation) and not (isinstance(value, str) and value in BUILT_IN):
        raise Invalid(f" is {value!r:.50}, which is not an activation")
    return value


def _each(name, check_of):
    """Check a list or tuple, whose elements are as many as ``sizes[name]``, by check_of(size)."""

    def check(value, sizes):
        if type(value) not in (list, tuple) or len(value) != len(sizes[name]):
            raise Invalid(f" must be a list of {len(sizes[name])} elements")
        checks = map(check_of, sizes[name])
        return type(value)(
            _named(f"[{k}]", one, part, sizes)
            for k, (one, part) in enumerate(zip(checks, value, strict=True))
        )

    return check


def _arrays(name, **options):
    """Check a list of arrays of the shapes in ``sizes[name]``."""
    return _each(name, lambda shape: _array(*shape, **options))


def _optional(check):
    """Check a value unless it is None."""
    return lambda value, sizes: None if value is None else check(value, sizes)


def _of_outputs(of_array, of_number):
    """Check an array or a number."""
    return lambda value, sizes: (of_number if isinstance(value, Real) else of_array)(value, sizes)


def _record(kind, /, **fields):
    """Check the entries of a dict by the checks in `fields`, and return ``kind(**entries)``."""

    def check(value, sizes):
        if type(value) is not dict:
            raise Invalid(f" is of the type {type(value).__name__}, but must be a dict")
        parts = value | {
            name: _named(name, one, value[name], sizes)
            for name, one in fields.items()
            if name in value
        }
        try:
            return kind(**parts)
        except (TypeError, ValueError) as error:  # a field is missing, or not known
            raise Invalid(f": {error}") from None

    return check


def _precision(value, sizes):
    """Check a dict whose only entry is named by the kind of the `Precision`."""
    if type(value) is not dict or len(value) != 1 or not value.keys() <= PRECISIONS.keys():
        raise Invalid(f" must be a dict with one entry, {' or '.join(PRECISIONS)}")
    ((kind, part),) = value.items()
    return _named(kind, PRECISIONS[kind], part, sizes)


def _history(value, sizes):
    """Check a dict of columns of one length."""
    column = _array("n_iterations", dtypes=NUMBERS, least=None)
    fields = dict.fromkeys(value if type(value) is dict else (), column)
    columns = _record(dict, **fields)(value, sizes)
    return History({name: values.tolist() for name, values in columns.items()})


def _progress(**columns):
    """Return the state of a stochastic fit as the structured array that kernels change."""
    progress = np.zeros(1, PROGRESS_DTYPE)
    for name, value in columns.items():
        progress[name] = value
    return progress


def _networks(value, sizes):
    """Check a list of fitted networks with as many inputs."""
    if type(value) is not list or not value:
        raise Invalid(" must be a list of fitted networks")
    if any(len(getattr(one, "coefs_", ((),))[0]) != sizes["n_features"] for one in value):
        raise Invalid(f" must be fitted networks with {sizes['n_features']} inputs")
    return value


def _noise(value, sizes):
    """Check the standard deviation of the noise: a number, one for each output, or networks."""
    if isinstance(value, Real):
        return _number(0.0)(value, sizes)
    if type(value) is not dict:
        return _array("n_outputs", **NOT_NEGATIVE)(value, sizes)
    of_outputs = _each("outputs", lambda _: _networks)
    networks = _named("networks", of_outputs, value.get("networks"), sizes)
    own = sizes | {"networks": [(len(some),) for some in networks]}
    return _record(VaryingNoise, weights=_arrays("networks", **NOT_NEGATIVE))(value, own)


def _named(name, check, value, sizes):
    try:
        return check(value, sizes)
    except Invalid as error:
        text = str(error)
        raise Invalid(f"{name}{text}" if text[0] in " [:" else f"{name}.{text}") from None


# ---------------------------------------------------------------------------------- networks


def _n_features(state) -> int:
    n_features = state.get("n_features_in_")
    if not isinstance(n_features, Integral) or n_features < 1:
        raise Invalid(f"n_features_in_ is {n_features!r:.50}, but must be a positive integer")
    return int(n_features)


def _sizes(state) -> dict:
    """Return the sizes that the layers of a saved network imply."""
    layer, n_features = state.get("_input_layer"), _n_features(state)
    try:
        units = n_features, *map(len, state["intercepts_"])
        trained, edges = units, [] if layer is None else layer["edges"]
        if layer is not None:
            trained = sum(n_ramps(edges)) if edges else n_features, *units[2:]
        inputs = (state.get("_posterior") or {}).get("inputs")
        used = trained if inputs is None else (len(inputs), *trained[1:])
        whole, n_parameters = Architecture(trained), state["n_parameters_"]
        bias = n_parameters != whole.n_coefs
        n_used, n_own = Architecture(used, bias).n_parameters, used[-2] + bias
        n_constants = len(LOSSES[state["_loss"]].parameters)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise Invalid("intercepts_, n_parameters_, _loss or inputs are of other types") from None
    if min(used + units) < 1:
        raise Invalid("it has a layer without units")
    return {
        "n_features": n_features,
        "n_outputs": units[-1],
        "n_outputs_": units[-1:],
        "n_parameters": n_parameters,
        "n_parameters_": [whole.n_parameters, whole.n_coefs][: 1 if layer else 2],
        "n_trained": trained[0],
        "n_used": used[0],
        "n_theta": n_used,
        "n_own": n_own,
        "n_hidden": n_used - units[-1] * n_own,
        "outputs": range(units[-1]),
        "units": used,
        "bias": [bias],
        "coefs": list(pairwise(units)),
        "intercepts": [(n,) for n in units[1:]],
        "constants": range(n_constants),
        "edges": [(f"n_edges_{k}",) for k in range(n_features if edges else 0)],
        "values": [(n, "n_rows") for n in used[:-1]],
        "deltas": [(n, "n_rows") for n in used[1:]],
        "range": [("n_features",)] * 2,
        "errors": [("n_errors",)] * 2,
    }


POSITIVE = {"least": float(np.finfo(np.float64).smallest_subnormal)}
NOT_NEGATIVE = {"least": 0.0, "most": inf}
INDEX = {"dtypes": INDICES, "least": 0}
COUNT = _number(0, 2**53, Integral)  # far from an overflow
FLAG = _number(0, 1, (bool, np.bool_))
WIDENING = _of_outputs(_array("n_outputs", **NOT_NEGATIVE), _number(0.0))

SCALING = _record(
    Scaling,
    x_mean=_array("n_trained"),
    x_scale=_array("n_trained", **POSITIVE),
    y_mean=_array("n_outputs"),
    y_scale=_array("n_outputs", **POSITIVE),
)
INPUT_LAYER = _record(
    InputLayer,
    kind=_among(["clipped", "ramps"]),
    centre=_array("n_features"),
    scale=_array("n_features", **POSITIVE),
    edges=_arrays("edges"),
)
DENSE = _record(
    DensePrecision,
    alpha=_array("n_theta", **NOT_NEGATIVE),
    beta=_array(1, **NOT_NEGATIVE),
    lower=_array("n_theta", "n_theta", order="F"),
)
ROWS = _record(
    JacobianRows,
    architecture=_record(
        Architecture,
        units=_each("units", lambda n: _number(n, n, Integral)),
        bias=_among("bias"),
    ),
    values=_arrays("values"),
    deltas=_arrays("deltas"),
    outputs=_array("n_rows", below="n_outputs", **INDEX),
)
LOW_RANK = _record(
    LowRankPrecision,
    alpha=_array("n_theta", **NOT_NEGATIVE),
    damping=_number(0.0),
    beta=_array("n_outputs", **NOT_NEGATIVE),
    rows=ROWS,
    lower=_array("n_rows", "n_rows", order="F"),
    residuals=_among([None]),
)
OUTPUTS = _record(
    OutputsPrecision,
    places=_record(
        Places,
        hidden=_array("n_hidden", below="n_theta", **INDEX),
        outputs=_array("n_outputs", "n_own", below="n_theta", **INDEX),
    ),
    alpha=_array("n_theta", **NOT_NEGATIVE),
    beta=_array("n_outputs", **NOT_NEGATIVE),
    schur=_array("n_hidden", "n_hidden", order="F"),
    factors=_array("n_outputs", "n_own", "n_own"),
    transfer=_array("n_outputs", "n_own", "n_hidden"),
    product=_among([None]),
)
EXTRAPOLATION = _record(
    Extrapolation,
    lowest=_array("n_used"),
    highest=_array("n_used"),
    width=_array(2, "n_used", **NOT_NEGATIVE),
    curvature=_array(2, "n_used", "n_outputs", **NOT_NEGATIVE),
)
TAILS = _record(ConformalScores, scores=_array("n_scores", "n_outputs", **NOT_NEGATIVE))
PRECISIONS = {"dense": DENSE, "low_rank": LOW_RANK, "outputs": OUTPUTS}
POSTERIOR = _record(
    Posterior,
    theta=_array("n_theta"),
    precision=_precision,
    noise_std=_array("n_outputs", **NOT_NEGATIVE),
    y_scale=_array("n_outputs", **POSITIVE),
    widening=WIDENING,
    function_widening=WIDENING,
    most_noise=WIDENING,
    inputs=_optional(_array("n_used", below="n_trained", **INDEX)),
    extrapolation=_optional(EXTRAPOLATION),
    tails=_optional(TAILS),
)
OPTIONS = _record(
    StochasticOptions,
    schedule=_number(0, 2, Integral),
    **dict.fromkeys(("learning_rate_init", "epsilon", "alpha"), _number(0.0, LARGEST)),
    **dict.fromkeys(("momentum", "beta_1", "beta_2"), _number(0.0, 1.0)),
    nesterovs_momentum=FLAG,
    **dict.fromkeys(("power_t", "tol", "n_iter_no_change", "loss_tol"), _number(-inf)),
)
PROGRESS = _record(
    _progress,
    learning_rate=_number(0.0, LARGEST),
    **dict.fromkeys(("best_loss", "loss_sum"), _number()),
    row=_number(0, 0, Integral),  # a state is saved between epochs
    **dict.fromkeys(("epoch", "step", "samples", "no_improvement"), COUNT),
    event=_number(0, 2, Integral),
)
STOCHASTIC_STATE = _record(
    StochasticState,
    options=OPTIONS,
    progress=PROGRESS,
    # Squares of gradients overflow where y is large, and the weights stay finite.
    moment=_array("n_parameters", dtypes=FLOATS, least=None, order="C"),
    second_moment=_optional(_array("n_parameters", dtypes=FLOATS, least=None, order="C")),
)
NETWORK = {
    "coefs_": _arrays("coefs", dtypes=FLOATS),
    "intercepts_": _arrays("intercepts", dtypes=FLOATS),
    "n_outputs_": _among("n_outputs_"),
    "n_parameters_": _among("n_parameters_"),
    "_layer_activations": _each("coefs", lambda _: _activation),
    "_loss_constants": _each("constants", lambda _: _number(-LARGEST, LARGEST)),
    "_scaling": _optional(SCALING),
    "_input_layer": _optional(INPUT_LAYER),
    "_posterior": _optional(POSTERIOR),
    "_stochastic_state": _optional(STOCHASTIC_STATE),
    "_record": _history,
    "_seen_rows": _among([None]),
    "_importances": _optional(_array("n_features", least=None)),
    "_input_range": _optional(_arrays("range", dtypes=FLOATS)),
    "_grouping": _among(list(GROUPINGS)),
    "_correlation": _number(),
    "_errors": _optional(_arrays("errors", least=None)),
    "alpha_": _optional(_of_outputs(_array("n_groups", **NOT_NEGATIVE), _number(0.0))),
    "noise_std_": _optional(_noise),
    "best_validation_score_": _optional(_number()),
    "t_": COUNT,
}

# --------------------------------------------------------------------------------- ensembles


def _sizes_of_ensemble(state) -> dict:
    """Return the sizes that the members of a saved ensemble imply."""
    try:
        members = state["estimators_"]
        numbers = {member.n_outputs_ for member in members}
    except (AttributeError, KeyError, TypeError):
        raise Invalid("estimators_ must be a list of fitted networks") from None
    if len(numbers) != 1:
        raise Invalid(f"estimators_ have {sorted(numbers)} outputs, but must have as many each")
    (n_outputs,) = numbers
    return {
        "n_features": _n_features(state),
        "n_outputs": n_outputs,
        "outputs": range(n_outputs),
        "n_members": len(members),
    }


ENSEMBLE = {
    "estimators_": _networks,
    "weights_": _array("n_members", least=0.0, most=1.0 + 1e-9),
    "band_scale_": _array("n_outputs", **NOT_NEGATIVE),
    "_tails": TAILS,
    "noise_std_": _optional(_noise),
}

TABLES = {
    "TinyMLPRegressor": (_sizes, NETWORK),
    "TinyMLPEnsembleRegressor": (_sizes_of_ensemble, ENSEMBLE),
}
