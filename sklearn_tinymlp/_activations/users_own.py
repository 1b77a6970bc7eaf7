"""`Activation`: one of the user's own, compiled with numba or called through NumPy."""

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

from .._machine.compilation import (
    c_function,
    call_from_python,
    callback,
    carray,
    jitted,
)
from .built_in import fast_exp, fast_tanh

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

    # Files of trained networks, and what trusts them, know the class by this name.
    __module__ = "sklearn_tinymlp._activations"

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
