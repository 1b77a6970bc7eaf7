"""Activations, built-in and the user's own: value and slope in one pass, and the values they take.

Each function replaces z by f(z) and writes f'(z) to slope, over n contiguous numbers.

The exponential functions have no branch and no call, so that the loops over them vectorise; those
of the C library take 15 to 20 ns a number.  With x = k ln 2 + r, |r| <= ln 2 / 2, and
R = r coth(r / 2),

    exp(x) = 2^k (R + r) / (R - r),    tanh(x / 2) = ((2^k - 1) R + (2^k + 1) r)
                                                     / ((2^k + 1) R + (2^k - 1) r),

each with a single division.  R - 2 is even in r and smooth: five terms give it to 1e-17 (minimax on
|r| <= ln 2 / 2; fdlibm's `exp`, of which this is a form, has five too).  Against 50 digits, over
60,000 arguments each, all stay within 2.6 units in the last place, exp within 1.2.
"""

import inspect
import math
import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from math import inf
from types import CellType, FunctionType, ModuleType

import numpy as np
from numba import config

from ._compilation import (
    c_function,
    call_from_python,
    callback,
    carray,
    exact,
    jitted,
    once,
    power_of_two,
)

LEAKY_SLOPE = 0.01  # of the question this package began with, and of most libraries
SQRT_HALF = math.sqrt(0.5)
NORMAL_DENSITY_0 = 1.0 / math.sqrt(2.0 * math.pi)

LOG2_E = 1.4426950408889634
# ln 2 in two parts: the first has 21 zero bits at its end, so that k times it is exact.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# Adding 1.5 * 2^52 rounds to an integer, which then stands in the last bits of the sum.
ROUNDING = 6755399441055744.0
EXPONENT_BIAS = 1023.0
LEAST_EXPONENT = -708.0  # of exp, below which 2^k would be subnormal


@exact
def reduced(x):
    """Give 2^(k - 1), R - 2 and r of x = k ln 2 + r, for x between -708 and 710; NaN stays NaN."""
    shifted = x * LOG2_E + (ROUNDING + EXPONENT_BIAS - 1.0)
    k = shifted - (ROUNDING + EXPONENT_BIAS - 1.0)
    r = (x - k * LN2_HIGH) - k * LN2_LOW
    s = r * r
    tail = -0.0000016534053527443321 + s * 4.1434583484664273e-8
    tail = 0.000066137564674142021 + s * tail
    tail = -0.0027777777777555931 + s * tail
    return power_of_two(shifted), s * (0.16666666666666661 + s * tail), r


@exact
def fast_exp(x):
    """exp(x) as 2^k (1 + 2 r / (R - r)); zero where it would be subnormal."""
    clipped = LEAST_EXPONENT if x < LEAST_EXPONENT else x
    half, excess, r = reduced(710.0 if clipped > 710.0 else clipped)
    value = 2.0 * (half * (1.0 + 2.0 * r / (2.0 + (excess - r))))
    return 0.0 if x < LEAST_EXPONENT else value


@exact
def fast_expm1(x):
    """exp(x) - 1 for x <= 0."""
    half, excess, r = reduced(-40.0 if x < -40.0 else x)  # -1 to rounding
    low, high = half - 0.5, half + 0.5
    return 2.0 * (2.0 * low + (high * r + low * excess)) / (2.0 + (excess - r))


@exact
def fast_tanh(x):
    """tanh(x), for larger x as 1 - 2 / (exp(2 x) + 1), which rounds less."""
    size = 2.0 * abs(x)
    half, excess, r = reduced(40.0 if size > 40.0 else size)  # 1 to rounding
    low, high = half - 0.5, half + 0.5
    small = size < 1.5
    above = 2.0 * low + (high * r + low * excess)
    quotient = (above if small else 2.0 + (excess - r)) / (2.0 * high + (low * r + high * excess))
    return math.copysign(quotient if small else 1.0 - quotient, x)


@exact
def fast_logistic(x):
    """1 / (1 + exp(-x)); zero where it would be subnormal."""
    clipped = 710.0 if x < -710.0 else -x
    half, excess, r = reduced(LEAST_EXPONENT if clipped < LEAST_EXPONENT else clipped)
    one = 2.0 + (excess - r)
    return one / (one + 2.0 * (half * (2.0 + (excess + r))))


def identity(z, slope, n):
    """Leave z as it is."""
    slope = carray(slope, n)
    one = slope.dtype.type(1)
    for k in range(n):
        slope[k] = one


def logistic(z, slope, n):
    """1 / (1 + exp(-z))."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z.dtype.type(fast_logistic(float(z[k])))
        z[k] = a
        slope[k] = a * (one - a)


def tanh(z, slope, n):
    """tanh(z)."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z.dtype.type(fast_tanh(float(z[k])))
        z[k] = a
        slope[k] = one - a * a


def relu(z, slope, n):
    """max(0, z); the slope at 0 is 0, as in MLPRegressor."""
    z, slope = carray(z, n), carray(slope, n)
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        a = z[k]
        slope[k] = zero if a <= zero else one
        z[k] = zero if a < zero else a


def leaky_relu(z, slope, n):
    """Leave z > 0, shrink the rest to 0.01 z."""
    z, slope = carray(z, n), carray(slope, n)
    leak, zero, one = z.dtype.type(LEAKY_SLOPE), z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        s = leak if z[k] <= zero else one
        slope[k] = s
        z[k] *= s


def elu(z, slope, n):
    """Leave z > 0, bend the rest to exp(z) - 1."""
    z, slope = carray(z, n), carray(slope, n)
    zero, one = z.dtype.type(0), z.dtype.type(1)
    for k in range(n):
        a = z[k]
        bent = z.dtype.type(fast_expm1(float(zero if a > zero else a)))
        z[k] = a if a > zero else bent
        slope[k] = bent + one  # bent is zero for z > 0


def softplus(z, slope, n):
    """log(1 + exp(z)), written so that it does not overflow."""
    z, slope = carray(z, n), carray(slope, n)
    zero = z.dtype.type(0)
    for k in range(n):
        a = z[k]
        slope[k] = fast_logistic(float(a))
        z[k] = (a if a > zero else zero) + math.log1p(fast_exp(-abs(float(a))))


def silu(z, slope, n):
    """Multiply z by its logistic function."""
    z, slope = carray(z, n), carray(slope, n)
    one = z.dtype.type(1)
    for k in range(n):
        a = z[k]
        s = z.dtype.type(fast_logistic(float(a)))
        z[k] = a * s
        slope[k] = s * (one + a * (one - s))


def gelu(z, slope, n):
    """Multiply z by the standard normal distribution function."""
    z, slope = carray(z, n), carray(slope, n)
    half, one = z.dtype.type(0.5), z.dtype.type(1)
    scale, density_0 = z.dtype.type(SQRT_HALF), z.dtype.type(NORMAL_DENSITY_0)
    for k in range(n):
        a = z[k]
        cdf = half * (one + math.erf(a * scale))
        z[k] = a * cdf
        slope[k] = cdf + a * density_0 * z.dtype.type(fast_exp(float(-half * a * a)))


def sin(z, slope, n):
    """sin(z)."""
    z, slope = carray(z, n), carray(slope, n)
    for k in range(n):
        a = z[k]
        z[k] = math.sin(a)
        slope[k] = math.cos(a)


def exp(z, slope, n):
    """exp(z)."""
    z, slope = carray(z, n), carray(slope, n)
    for k in range(n):
        a = fast_exp(float(z[k]))
        z[k] = a
        slope[k] = a


# name: the function, its least and its greatest value.
BUILT_IN = {
    "identity": (identity, -inf, inf),
    "logistic": (logistic, 0.0, 1.0),
    "tanh": (tanh, -1.0, 1.0),
    "relu": (relu, 0.0, inf),
    "leaky_relu": (leaky_relu, -inf, inf),
    "elu": (elu, -1.0, inf),
    "softplus": (softplus, 0.0, inf),
    "silu": (silu, -0.2784645427610738, inf),  # least at z = -1.2784645427610738
    "gelu": (gelu, -0.16997120747990369, inf),  # least at z = -0.7517915241106872
    "sin": (sin, -1.0, 1.0),
    "exp": (exp, 0.0, inf),
}

# exp is kept for outputs: as a hidden activation it overflows within a few units.
HIDDEN_ACTIVATIONS = tuple(name for name in BUILT_IN if name != "exp")
OUTPUT_ACTIVATIONS = tuple(BUILT_IN)

# Their values are above zero for every finite input, as the logarithm in the Poisson deviance
# needs.
POSITIVE_ACTIVATIONS = ("exp", "softplus", "logistic")


@once
def compiled(activation, dtype: str):
    """Compile an activation for 'float32' or 'float64'."""
    if isinstance(activation, Activation):
        return _compiled_user(activation, dtype)
    function, _, _ = BUILT_IN[activation]
    return c_function(function, 2, 1, dtype)


def value_range(activation) -> tuple[float, float]:
    """Give the least and the greatest value."""
    if isinstance(activation, Activation):
        return activation.output_range
    return BUILT_IN[activation][1:]


def name_of(activation) -> str:
    """Give the name of a built-in or of an `Activation`."""
    return getattr(activation, "name", activation)


def is_positive(activation) -> bool:
    """Whether all values are above zero, as the Poisson deviance needs; a user's on [-5, 5]."""
    if not isinstance(activation, Activation):
        return activation in POSITIVE_ACTIVATIONS
    z = np.linspace(-CHECK_FINE, CHECK_FINE, CHECK_POINTS)
    return activation.output_range[0] >= 0.0 and bool((by_numpy(activation.value)(z) > 0.0).all())


def value_and_slope(activation, z):
    """Compute f(z) and f'(z), arrays of the shape and dtype of z (float32 or float64)."""
    values = np.array(z, order="C")
    slopes = np.empty_like(values)
    function = compiled(activation, values.dtype.name)
    call_from_python(function, (values, slopes), (values.size,))
    raise_caught()
    return values, slopes


# ------------------------------------------------------------------------- the user's own


PARTS = ("value", "derivative", "name", "output_range")


@dataclass(frozen=True, eq=False)
class Activation:
    """An activation of your own, from its value and its derivative.

    It goes where a name goes: as `activation`, in a list of activations, as
    `output_activation`. The derivative is compared with finite differences when a network is
    fitted. Both functions are compiled with numba and run at the speed of the built-ins; what
    numba cannot compile runs through NumPy, more slowly, and a warning says so.

    Parameters
    ----------
    value : callable
        f(z), of a number or of an array of numbers, each number by itself.

    derivative : callable
        f'(z), likewise. At a kink any slope between the left and the right one will do.

    name : str, default=None
        What messages call it; by default the name of `value`.

    output_range : tuple of two floats, default=(-inf, inf)
        The least and the greatest value. Targets outside the range of an output activation cause
        a warning before training starts.

    Raises
    ------
    TypeError
        When `value` or `derivative` is not callable.

    ValueError
        When `output_range` is not a pair of increasing numbers.

    See Also
    --------
    sklearn_tinymlp.activations : Ready-made activations with parameters.

    Notes
    -----
    Two records are equal when name, range and functions are, and functions are equal when their
    code and the constants they use are. Functions that can be imported, and `functools.partial`
    of them with keywords, can be saved with pickle, joblib and skops; lambdas travel to other
    processes only by cloudpickle, which joblib uses in `GridSearchCV`. Global variables that a
    function uses are read once, when it is compiled: to vary a constant, use `functools.partial`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_tinymlp import Activation, TinyMLPRegressor
    >>> def bump(z):
    ...     return np.exp(-z * z)
    >>> def bump_slope(z):
    ...     return -2 * z * np.exp(-z * z)
    >>> bumps = Activation(bump, bump_slope, output_range=(0, 1))
    >>> X = np.linspace(-2, 2, 30)[:, np.newaxis]
    >>> y = np.exp(-4 * (X.ravel() - 1) ** 2)
    >>> net = TinyMLPRegressor(hidden_layer_sizes=(3,), activation=bumps, random_state=0)
    >>> round(net.fit(X, y).score(X, y), 3)
    1.0
    """

    value: Callable
    derivative: Callable
    name: str | None = field(default=None, kw_only=True)
    output_range: tuple[float, float] = field(default=(-inf, inf), kw_only=True)

    def __post_init__(self):
        """Check the four, and take the name from the function."""
        for part in ("value", "derivative"):
            if not callable(getattr(self, part)):
                raise TypeError(
                    f"Activation needs a function as {part}, got {getattr(self, part)!r}."
                )
        if self.name is None:
            object.__setattr__(self, "name", _function_name(self.value))
        limits = tuple(map(float, self.output_range))
        if len(limits) != 2 or not limits[0] < limits[1]:
            raise ValueError(
                "Activation needs output_range=(least, greatest) with least < greatest, got "
                f"{self.output_range!r}."
            )
        object.__setattr__(self, "output_range", limits)
        self._read_functions()

    def _read_functions(self):
        """Keep what the functions compute now: a global that they use may change later."""
        functions = _signature(self.value), _signature(self.derivative)
        object.__setattr__(self, "_key", (self.name, self.output_range, *functions))

    def __getstate__(self):
        """Give the four parts; code does not pickle."""
        return {part: getattr(self, part) for part in PARTS}

    def __setstate__(self, state):
        """Take the four parts."""
        for part in PARTS:
            object.__setattr__(self, part, state[part])
        self._read_functions()

    def __eq__(self, other):
        """Compare by what is computed."""
        if not isinstance(other, Activation):
            return NotImplemented
        return self is other or self._key == other._key

    def __hash__(self):
        """Hash by name and range; equality looks at the functions too."""
        return hash((self.name, self.output_range))

    def __repr__(self):
        """Show the name; that of a function is too long for an estimator's parameters."""
        return f"Activation({self.name!r})"


def _function_name(function) -> str:
    function = function.func if isinstance(function, partial) else function
    return getattr(function, "__name__", type(function).__name__)


def _signature(thing, around=()):
    """Give what can be compared of a function: its code and the constants that it uses."""
    thing = getattr(thing, "py_func", thing)  # what numba has compiled
    if isinstance(thing, partial):
        keywords = sorted(thing.keywords.items())
        parts = (thing.func, *thing.args, *(value for _, value in keywords))
        names = tuple(name for name, _ in keywords)
        return partial, names, tuple(_signature(part, around) for part in parts)
    if isinstance(thing, np.ndarray):
        return thing.shape, thing.dtype.str, thing.tobytes()
    code = getattr(thing, "__code__", None)
    if code is None or thing in around:
        try:
            hash(thing)
        except TypeError:
            return id(thing)
        return type(thing), thing
    constants = [cell.cell_contents for cell in thing.__closure__ or ()]
    constants += thing.__defaults__ or ()
    constants += [thing.__globals__[name] for name in code.co_names if name in thing.__globals__]
    around = (*around, thing)
    return thing.__module__, code, tuple(_signature(part, around) for part in constants)


def by_numpy(function) -> Callable:
    """Give a function of one-dimensional arrays, from one of arrays or of numbers."""
    function = getattr(function, "py_func", function)

    def evaluate(z):
        with np.errstate(all="ignore"):  # as compiled: what overflows is infinite
            try:
                result = function(z.copy())  # it may write to its argument
            except (TypeError, ValueError):  # e.g. "if z > 0", or a function of `math`
                result = [function(number) for number in z.tolist()]
            return np.broadcast_to(np.asarray(result, dtype=z.dtype), z.shape)

    return evaluate


def _compiled_user(activation, dtype):
    """Compile for numbers, or else call Python; never another result than Python's.

    Value and slope of a number are computed before either is written, so that the compiler sees
    that a function like tanh, called in both, gives the same twice.
    """
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    if not config.DISABLE_JIT:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numba's advice on the user's code
                function = c_function(
                    _for_numbers(_jitted(activation.value), _jitted(activation.derivative)),
                    2,
                    1,
                    dtype,
                    on_disk=False,
                )
            reason = "compiled it gives other values"
        except Exception as error:  # numba raises all kinds
            lines = [line for line in str(error).splitlines() if "nopython" not in line]
            function, reason = None, next(filter(None, lines), type(error).__name__)
        if function is not None and _agree(function, value, derivative, dtype):
            return function
        _warn_of_slowness(activation, reason)
    return callback(_for_python(value, derivative), 2, 1, dtype)


@cache
def _warn_of_slowness(activation, reason):
    """Warn once a process."""
    warnings.warn(
        f"numba cannot compile the activation {activation.name!r} ({reason}). It works through "
        "NumPy instead, which is slower. Arithmetic, if, np.where, `math` and NumPy's functions of "
        "single numbers can be compiled.",
        stacklevel=4,
    )


def _jitted(function):
    """Compile a function; of a `partial` with numbers as keywords the function beneath."""
    if isinstance(function, partial) and not function.args:
        bound = inspect.signature(function.func).bind(0.0, **function.keywords)
        bound.apply_defaults()
        constants = tuple(float(value) for value in bound.args[1:])
        inner = _jitted(function.func)
        return jitted(lambda z: inner(z, *constants))
    function = getattr(function, "py_func", function)
    if isinstance(function, FunctionType):
        return jitted(_with_fast_functions(function))
    return _fast(function)


FAST_FUNCTIONS = {"exp": fast_exp, "tanh": fast_tanh}


@cache
def _fast_module(module):
    """Copy `math` or `numpy` with the exponential functions of the built-ins in it."""
    copy = ModuleType(module.__name__)
    vars(copy).update({**vars(module), **FAST_FUNCTIONS})
    return copy


def _fast(thing):
    """Give what stands for a global of the user's: mostly the thing itself."""
    if thing is math or thing is np:
        return _fast_module(thing)
    for name, function in FAST_FUNCTIONS.items():
        if thing is getattr(math, name) or thing is getattr(np, name):
            return function
    return thing


def _with_fast_functions(function):
    """Copy a function of the user's so that exp and tanh in it are those of the built-ins.

    Those of the C library would make it three to five times slower than a built-in.
    """
    used = {
        name: _fast(function.__globals__[name])
        for name in function.__code__.co_names
        if name in function.__globals__
    }
    cells = tuple(CellType(_fast(cell.cell_contents)) for cell in function.__closure__ or ())
    copy = FunctionType(
        function.__code__,
        {**function.__globals__, **used},
        function.__name__,
        function.__defaults__,
        cells or None,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def _for_numbers(value, derivative):
    def activation(z, slope, n):
        z, slope = carray(z, n), carray(slope, n)
        for k in range(n):
            a = z[k]
            v, s = value(a), derivative(a)
            z[k] = v
            slope[k] = s

    return activation


_caught = threading.local()  # .error: what a Python function raised where C could not


def _for_python(value, derivative):
    def activation(z, slope, n):
        z, slope = (np.ctypeslib.as_array(pointer, (n,)) for pointer in (z, slope))
        try:
            if getattr(_caught, "error", None) is None:
                slope[:] = derivative(z)
                z[:] = value(z)
                return
        except BaseException as error:  # Ctrl-C too
            _caught.error = error
        slope[:] = z[:] = np.nan

    return activation


def raise_caught():
    """Raise what a Python function raised within a kernel, now that the kernel has returned."""
    error, _caught.error = getattr(_caught, "error", None), None
    if error is not None:
        raise error


def _agree(function, value, derivative, dtype) -> bool:
    z = np.array([-3.0, -1.5, -0.25, 0.0, 0.25, 1.5, 3.0], dtype)
    values, slopes = z.copy(), np.empty_like(z)
    call_from_python(function, (values, slopes), (z.size,))
    tolerance = {"rtol": 1e-4 if dtype == "float32" else 1e-9, "atol": 1e-6, "equal_nan": True}
    return np.allclose(values, value(z), **tolerance) and np.allclose(
        slopes, derivative(z), **tolerance
    )


# ------------------------------------------------------------------ is it the derivative?

# Points of each of the two grids, a fine one around zero and one over the range of the data.
CHECK_POINTS, CHECK_FINE = 201, 5.0

# Central differences with this step are exact to some 1e-10 of the function's size; a slope that is
# off by less than CHECK_TOLERANCE of the steepest does no harm to training.
CHECK_STEP, CHECK_TOLERANCE = np.finfo(np.float64).eps ** (1 / 3), 1e-4


def check_derivative(activation, least: float, greatest: float) -> None:
    """Compare an activation's derivative with central differences, at least over [-5, 5].

    Between the differences to the left and to the right, which differ at a kink, any slope is
    accepted. What has passed is remembered.

    Parameters
    ----------
    activation : str or Activation
        A name passes unchecked.
    least, greatest : float
        The range of z that the data produce.

    Raises
    ------
    ValueError
        Naming the worst point, what the derivative gave and what it should be.
    """
    if isinstance(activation, Activation):
        # Powers of two, so that one check serves many fits; up to a million, since beyond it
        # differences tell little.
        ends = (
            2.0 ** math.ceil(math.log2(min(max(end, 8.0), 2.0**20))) for end in (-least, greatest)
        )
        _check_derivative(activation, *ends)


@cache
def _check_derivative(activation, left, right):
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    z = np.concatenate(
        [
            np.linspace(-CHECK_FINE, CHECK_FINE, CHECK_POINTS),
            np.linspace(-left, right, CHECK_POINTS),
        ]
    )
    f, given = value(z), derivative(z)
    for name, function, whole in (("value", value, f), ("derivative", derivative, given)):
        if not np.array_equal(function(z[:3]), whole[:3], equal_nan=True):
            raise ValueError(
                f"The {name} of activation {activation.name!r} does not treat each number by "
                f"itself: for z = {z[:3]} alone it gives {function(z[:3])}, among others "
                f"{whole[:3]}."
            )
    step = CHECK_STEP * np.sqrt(np.maximum(np.abs(z), 1.0))
    before, after = z - step, z + step
    f_before, f_after = value(before), value(after)
    with np.errstate(all="ignore"):
        sides = np.array(
            [
                (f - f_before) / (z - before),
                (f_after - f_before) / (after - before),
                (f_after - f) / (after - z),
            ]
        )
    known = np.isfinite(sides).all(axis=0)
    if not known[:CHECK_POINTS].any():
        raise ValueError(
            f"Activation {activation.name!r} gives no finite values between {-CHECK_FINE:g} and "
            f"{CHECK_FINE:g}, e.g. {f[CHECK_POINTS // 2]} at 0."
        )
    z, given, sides = z[known], given[known], sides[:, known]
    off = np.maximum(sides.min(axis=0) - given, given - sides.max(axis=0))
    off[np.isnan(given)] = np.inf
    scale = np.abs(sides[1, np.abs(z) <= CHECK_FINE]).max()
    wrong = off > CHECK_TOLERANCE * (scale + np.abs(sides[1]))
    if wrong.any():
        worst = np.argmax(np.where(wrong, off, -np.inf))
        raise ValueError(
            f"The derivative of activation {activation.name!r}, "
            f"{_function_name(activation.derivative)!r}, is not the derivative of its value "
            f"{_function_name(activation.value)!r}: at z = {z[worst]:.4g} it gave "
            f"{given[worst]:.6g}, and it should be {sides[1, worst]:.6g} (central difference). "
            f"It is wrong at {wrong.mean():.0%} of the {len(z)} points between {z.min():g} and "
            f"{z.max():g}."
        )
