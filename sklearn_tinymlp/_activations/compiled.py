"""Activations as C functions: the built-in kernels, and the user's own compiled if they can be."""

import inspect
import math
import warnings
from functools import cache, partial
from types import CellType, FunctionType, ModuleType

import numpy as np
from numba import config

from .._machine.compilation import c_function, call_from_python, callback, carray, jitted, once
from . import built_in
from .table import BUILT_IN
from .users_own import Activation, _caught, by_numpy


@once
def compiled_activation(activation, dtype: str):
    """Compile an activation for 'float32' or 'float64'."""
    if isinstance(activation, Activation):
        return _compiled_user(activation, dtype)
    kernel = BUILT_IN[activation].kernel
    kernel = getattr(built_in, kernel) if isinstance(kernel, str) else kernel
    return c_function(kernel, 2, 1, dtype)


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


FAST_FUNCTIONS = {"exp": built_in.fast_exp, "tanh": built_in.fast_tanh}


@cache
def _fast_module(module):
    """Copy `math` or `numpy` with the exponential functions of the built-ins in it."""
    copy = ModuleType(module.__name__)
    vars(copy).update({**vars(module), **FAST_FUNCTIONS})
    return copy


def _fast(thing):
    """Return what stands for a global of the user's: mostly the thing itself."""
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
    tolerance = {"rtol": 1e-4 if dtype == "float32" else 1e-9, "atol": 1e-6, "equal_nan": True}
    return np.allclose(values, value(z), **tolerance) and np.allclose(
        slopes, derivative(z), **tolerance
    )
