"""Activations as C functions: built-in ones, and the user's own, compiled where possible."""

import inspect
import math
import warnings
from functools import cache, partial
from types import CellType, FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numba import config

from .._machine.compilation import (
    c_function,
    call_from_python,
    callback,
    carray,
    copy_function,
    jit_fast,
    once_per_process,
)
from . import built_in
from .table import BUILT_IN
from .users_own import Activation, _caught, by_numpy

# Constants of a user's activation that are passed to its compiled function, value and slope
# together; an activation with more is compiled for each set of constants.
MAX_CONSTANTS = 4

# Number of the user's functions that are compiled: numba never releases machine code, 1.5 MB for
# each. Later ones are evaluated by NumPy.
MAX_COMPILED = 64


class CompiledActivation(NamedTuple):
    """A C function of pointers to z, slopes and constants, and of the number of units."""

    function: Any
    constants: np.ndarray  # (MAX_CONSTANTS,), of float64


def activation_of_units(z, slope, constants, n):
    """Replace n numbers z by f(z), and write f'(z) to `slope`."""
    z, slope = carray(z, n), carray(slope, n)
    for k in range(n):
        z[k], slope[k] = kernel(z[k])


def activation_with_constants(z, slope, constants, n):
    """Do the same with a kernel that takes the constants too."""
    z, slope, given = carray(z, n), carray(slope, n), carray(constants, MAX_CONSTANTS)
    numbers = (given[0], given[1], given[2], given[3])  # read once: `slope` might overlap them
    for k in range(n):
        z[k], slope[k] = kernel(z[k], numbers)


kernel = built_in.identity  # replaced in copies of the loops


def _c_function(function, dtype, loop=activation_of_units, on_disk=True):
    """Compile a loop over units with this kernel."""
    values = {"kernel": jit_fast(function)}
    loop = copy_function(loop, name=function.__name__, values=values)
    return c_function(loop, 3, 1, (dtype, dtype, "float64"), on_disk=on_disk)


@once_per_process
def compiled_activation(activation, dtype: str) -> CompiledActivation:
    """Compile an activation for 'float32' or 'float64'."""
    if isinstance(activation, Activation):
        return _compiled_user(activation, dtype)
    kernel = BUILT_IN[activation].kernel
    if isinstance(kernel, str):
        function = _c_function(getattr(built_in, kernel), dtype)
    else:
        function = _c_function(kernel, dtype, on_disk=False)
    return CompiledActivation(function, np.zeros(MAX_CONSTANTS))


def _compiled_user(activation, dtype):
    """Compile scalar functions, or else call Python; the results are always equal to Python's."""
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    constants = np.zeros(MAX_CONSTANTS)
    if not config.DISABLE_JIT:
        try:
            functions, numbers = _without_constants(activation)
            counts = tuple(map(len, numbers))
            constants[: sum(counts)] = np.concatenate(numbers)
            compiled = CompiledActivation(_compiled_functions(functions, counts, dtype), constants)
            reason = "its compiled values differ"
        except Exception as error:  # numba raises exceptions of many types
            lines = [line for line in str(error).splitlines() if "nopython" not in line]
            compiled, reason = None, next(filter(None, lines), type(error).__name__)
        if compiled is not None and _agree(compiled, value, derivative, dtype):
            return compiled
        _warn_of_slowness(activation, reason)
    function = callback(_for_python(value, derivative), 3, 1, (dtype, dtype, "float64"))
    return CompiledActivation(function, constants)


def _without_constants(activation) -> tuple[Activation, list[list[float]]]:
    """Return the functions without the numeric keywords of a `partial`, and the keywords' values.

    So activations that differ in their constants only are compiled once.
    """
    functions, numbers = [], []
    for function in (activation.value, activation.derivative):
        function, constants = _unbound(function)
        functions.append(function)
        numbers.append(constants)
    if sum(map(len, numbers)) > MAX_CONSTANTS:
        return activation, [[], []]
    return Activation(*functions), numbers


def _unbound(function) -> tuple[Any, list[float]]:
    """Return the function that a `partial` with numeric keywords calls, and their values."""
    if not isinstance(function, partial) or function.args:
        return function, []
    bound = inspect.signature(function.func).bind(0.0, **function.keywords)
    bound.apply_defaults()
    return function.func, [float(value) for value in bound.args[1:]]


@cache
def _compiled_functions(activation, counts, dtype):
    """Compile value and slope, which take these numbers of constants.

    Both are computed before either is written, so that the compiler can merge equal calls, such as
    a tanh in both.
    """
    if _compiled_functions.cache_info().currsize >= MAX_COMPILED:
        raise MemoryError(f"{MAX_COMPILED} functions are compiled, whose memory is not released")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numba's advice on the user's code
        f = _taking(_jitted(activation.value), 0, counts[0])
        slope = _taking(_jitted(activation.derivative), *counts)

        def both(z, constants):
            return f(z, constants), slope(z, constants)

        return _c_function(both, dtype, activation_with_constants, on_disk=False)


def _taking(function, first, count):
    """Return function(z, *constants[first : first + count]) as a function of z and constants."""
    second, third, fourth = first + 1, first + 2, first + 3
    forms = (
        lambda z, c: function(z),
        lambda z, c: function(z, c[first]),
        lambda z, c: function(z, c[first], c[second]),
        lambda z, c: function(z, c[first], c[second], c[third]),
        lambda z, c: function(z, c[first], c[second], c[third], c[fourth]),
    )
    return jit_fast(forms[count])


@cache
def _warn_of_slowness(activation, reason):
    """Warn once per process."""
    warnings.warn(
        f"numba cannot compile the activation {activation.name!r} ({reason}). It is evaluated by "
        "NumPy instead, which is slower. Arithmetic, if, np.where, `math` and NumPy's functions of "
        "scalars can be compiled.",
        stacklevel=4,
    )


def _jitted(function):
    """Compile a function, or the function that a `partial` with numeric keywords calls."""
    if isinstance(function, partial) and not function.args:
        called, numbers = _unbound(function)
        inner, constants = _jitted(called), tuple(numbers)
        return jit_fast(lambda z: inner(z, *constants))
    function = getattr(function, "py_func", function)
    if isinstance(function, FunctionType):
        return jit_fast(_with_fast_functions(function))
    return _fast(function)


FAST_FUNCTIONS = {"exp": built_in.fast_exp, "tanh": built_in.fast_tanh}


@cache
def _fast_module(module):
    """Copy `math` or `numpy` with the exponential functions of the built-in activations."""
    copy = ModuleType(module.__name__)
    vars(copy).update({**vars(module), **FAST_FUNCTIONS})
    return copy


def _fast(thing):
    """Return the replacement of a global of the user's function, usually the object itself."""
    if thing is math or thing is np:
        return _fast_module(thing)
    for name, function in FAST_FUNCTIONS.items():
        if thing is getattr(math, name) or thing is getattr(np, name):
            return function
    return thing


def _with_fast_functions(function):
    """Copy a user's function, with exp and tanh replaced by those of the built-in activations.

    With those of the C library it would be three to five times slower than a built-in activation.
    """
    scope = function.__globals__
    used = {name: _fast(scope[name]) for name in function.__code__.co_names if name in scope}
    cells = tuple(CellType(_fast(cell.cell_contents)) for cell in function.__closure__ or ())
    return copy_function(function, values=used, closure=cells)


def _for_python(value, derivative):
    def activation(z, slope, constants, n):
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


def _agree(compiled, value, derivative, dtype) -> bool:
    z = np.array([-3.0, -1.5, -0.25, 0.0, 0.25, 1.5, 3.0], dtype)
    values, slopes = z.copy(), np.empty_like(z)
    call_from_python(compiled.function, (values, slopes, compiled.constants), (z.size,))
    close = {"rtol": 1e-4 if dtype == "float32" else 1e-9, "atol": 1e-6, "equal_nan": True}
    return np.allclose(values, value(z), **close) and np.allclose(slopes, derivative(z), **close)
