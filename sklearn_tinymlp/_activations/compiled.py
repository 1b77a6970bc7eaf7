"""Activations as C functions: built-in ones, and the user's own, compiled where possible."""

import inspect
import math
import warnings
from functools import cache, partial
from types import CellType, FunctionType, ModuleType

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


def activation_of_units(z, slope, n):
    """Replace n numbers z by f(z), and write f'(z) to `slope`."""
    z, slope = carray(z, n), carray(slope, n)
    for k in range(n):
        z[k], slope[k] = kernel(z[k])


kernel = built_in.identity  # replaced in copies of the loop


def _loop_over(function):
    """Return `activation_of_units` of an activation."""
    values = {"kernel": jit_fast(function)}
    return copy_function(activation_of_units, name=function.__name__, values=values)


@once_per_process
def compiled_activation(activation, dtype: str):
    """Compile an activation for 'float32' or 'float64'."""
    if isinstance(activation, Activation):
        return _compiled_user(activation, dtype)
    kernel = BUILT_IN[activation].kernel
    if isinstance(kernel, str):
        return c_function(_loop_over(getattr(built_in, kernel)), 2, 1, dtype)
    return c_function(_loop_over(kernel), 2, 1, dtype, on_disk=False)


def _compiled_user(activation, dtype):
    """Compile scalar functions, or else call Python; the results are always equal to Python's.

    Value and slope are computed before either is written, so that the compiler can merge equal
    calls, such as a tanh in both.
    """
    value, derivative = by_numpy(activation.value), by_numpy(activation.derivative)
    if not config.DISABLE_JIT:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numba's advice on the user's code
                f, slope = _jitted(activation.value), _jitted(activation.derivative)
                loop = _loop_over(lambda z: (f(z), slope(z)))
                function = c_function(loop, 2, 1, dtype, on_disk=False)
            reason = "its compiled values differ"
        except Exception as error:  # numba raises exceptions of many types
            lines = [line for line in str(error).splitlines() if "nopython" not in line]
            function, reason = None, next(filter(None, lines), type(error).__name__)
        if function is not None and _agree(function, value, derivative, dtype):
            return function
        _warn_of_slowness(activation, reason)
    return callback(_for_python(value, derivative), 2, 1, dtype)


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
        bound = inspect.signature(function.func).bind(0.0, **function.keywords)
        bound.apply_defaults()
        constants = tuple(float(value) for value in bound.args[1:])
        inner = _jitted(function.func)
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


def _agree(function, value, derivative, dtype) -> bool:
    z = np.array([-3.0, -1.5, -0.25, 0.0, 0.25, 1.5, 3.0], dtype)
    values, slopes = z.copy(), np.empty_like(z)
    call_from_python(function, (values, slopes), (z.size,))
    close = {"rtol": 1e-4 if dtype == "float32" else 1e-9, "atol": 1e-6, "equal_nan": True}
    return np.allclose(values, value(z), **close) and np.allclose(slopes, derivative(z), **close)
