"""How numba compiles this package: the options, the disk cache, calls through addresses.

Numba compiles and optimises a function's callees again with each of its callers. Code that several
kernels share is therefore compiled once, by itself, as a C function (`c_function`), which kernels
call by its address (`call`): a kernel accepts any activation, and loops or BLAS, without being
compiled again.
"""

import ctypes
import logging
import os
import threading
from contextlib import contextmanager
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from types import FunctionType

import numpy as np
from llvmlite import ir
from numba import carray as carray
from numba import cfunc, config, njit, types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.extending import intrinsic

# reassoc lets sums vectorise, contract allows fused multiply-add. NaN and infinity keep their
# meaning, so that a diverging fit is detected.
_OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}

# The integer type of sizes and positions in flat arrays: unsigned when compiled, because a signed
# index needs a test for wrap-around; Python's own when interpreted, because NumPy 1 turns the sum
# of an unsigned and a signed integer into a float.
unsigned = int if config.DISABLE_JIT else np.uint64

# A fork waits for the end of a compilation in another thread: in the child nobody would release
# numba's lock, and LLVM would be as if interrupted. The lock is reentrant.
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )

# Seconds of the compilation of one function without a message; smaller functions before it take
# about as long.
SILENT_SECONDS = 1.0

# The folders that contain compiled code.
_FOLDERS = ("_machine", "_activations", "_losses", "_engine")


@cache
def _sources() -> str:
    """Return a hash of the sources of all compiled code."""
    digest = sha256()
    for folder in _FOLDERS:
        for path in sorted((Path(__file__).parents[1] / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def copy_function(function, *, name=None, values=None, closure=None):
    """Copy a function under another name, with other values of some globals or another closure."""
    scope = {**function.__globals__, **values} if values else function.__globals__
    closure = closure or function.__closure__
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__, closure)
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = name or function.__qualname__
    return copy


def _cached_if_possible(decorate, function):
    """Keep the machine code on disk wherever a cache can be written.

    The name changes with any source of compiled code: numba names its files after the function, and
    detects edits in the function's own source file, but not in those of its callees.
    """
    named = copy_function(function, name=f"{function.__qualname__}_{_sources()}")
    try:
        return decorate(cache=True)(named)
    except (RuntimeError, OSError):  # numba found no writable folder, or the disk is full
        return decorate(cache=False)(named)


@contextmanager
def _announced():
    """Log that code is being compiled, if that takes SILENT_SECONDS."""
    text = "Compiling for this machine, which takes some seconds once and is kept on disk."
    timer = threading.Timer(SILENT_SECONDS, logging.getLogger("sklearn_tinymlp").warning, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def jit_entry(function):
    """Compile, at its first call, a function that Python calls; it releases the GIL."""
    if config.DISABLE_JIT:
        return function
    options = {**_OPTIONS, "nogil": True, "no_cfunc_wrapper": True}
    compiled = _cached_if_possible(lambda cache: njit(cache=cache, **options), function)

    def call_compiled(*arguments):
        try:
            return compiled(*arguments)
        except OSError:  # compiled, but the machine code could not be saved, as if the disk is full
            return compiled(*arguments)

    @wraps(function)
    def run(*arguments):
        if compiled.signatures:
            return call_compiled(*arguments)
        with _announced():
            return call_compiled(*arguments)

    run.compiled = compiled
    return run


def _jit_internal(fastmath):
    """Return a decorator for functions that only compiled code calls."""
    options = {**_OPTIONS, "nogil": True, "fastmath": fastmath}
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


jit_fast = _jit_internal(_OPTIONS["fastmath"])

# Sums are computed in the order in which they are written.
jit_ordered = _jit_internal({"contract"})

# Rounding is the same as NumPy's: no multiplication is fused with an addition. In a b + c d either
# product may be fused, and sums may be reordered, which changes the last bits; the compiler's
# choice has differed between a process that compiles and one that loads the machine code from disk.
jit_ieee = _jit_internal(False)

# Inlined before compilation, which is cheaper than another level of calls.
jit_inline = njit(inline="always", nogil=True, **_OPTIONS)


def once_per_process(function):
    """Cache a function that compiles, and keep its results alive, because addresses are used.

    Two threads must not compile the same code: the cache would keep one of the results, and the
    address of the other would be invalid.
    """
    cached = cache(function)

    @wraps(function)
    def locked(*arguments):
        with global_compiler_lock:
            return cached(*arguments)

    return locked


def c_function(function, n_arrays, n_sizes, dtype, *, on_disk=True, ieee=False):
    """Compile `function(*pointers, *sizes)` now; the result has an `address` for `call`.

    It takes `n_arrays` pointers to numbers of `dtype` ('float32', 'float64', or a tuple with one
    for each pointer), then `n_sizes` unsigned integers. The address is valid as long as the result
    exists. `on_disk` is False for closures, whose callees are new to numba in every process: saved
    code would only fill the folder, and never be found again. With `ieee` it rounds as NumPy does,
    see `jit_ieee`.
    """
    if config.DISABLE_JIT:
        return callback(function, n_arrays, n_sizes, dtype)
    dtypes = (dtype,) * n_arrays if isinstance(dtype, str) else dtype
    pointers = [types.CPointer(getattr(types, name)) for name in dtypes]
    signature = types.void(*pointers, *[types.uint64] * n_sizes)
    options = {**_OPTIONS, "fastmath": False} if ieee else _OPTIONS
    if not on_disk:
        return cfunc(signature, **options)(function)
    return _cached_if_possible(lambda cache: cfunc(signature, cache=cache, **options), function)


def callback(function, n_arrays, n_sizes, dtype):
    """Wrap `function(*pointers, *sizes)` uncompiled; the result has an `address` for `call`.

    Kernels run without the GIL; ctypes acquires it for the call. `function` must not raise: C code
    does not propagate exceptions.
    """
    dtypes = (dtype,) * n_arrays if isinstance(dtype, str) else dtype
    pointers = [ctypes.POINTER(np.ctypeslib.as_ctypes_type(name)) for name in dtypes]
    called = ctypes.CFUNCTYPE(None, *pointers, *[ctypes.c_uint64] * n_sizes)(function)
    called.address = ctypes.cast(called, ctypes.c_void_p).value
    return called


# Calls by address are written in LLVM's language. Functions as arguments, numba's first-class
# functions and those of ctypes, would make a network's layers a tuple, whose length is part of its
# type: each depth would be compiled separately, for 2 to 5 s a solver. BLAS expects scalars by
# reference; numba's own `np.dot` can neither multiply parts of rows nor add to a matrix.


def _emitted_by(emit):
    """Compile calls to the code of `emit`; the decorated function is for the interpreter.

    numba's `overload` would compile a function in between for each set of types.
    """
    return lambda function: function if config.DISABLE_JIT else emit


def _emit_pointer(context, builder, kind, array):
    """Emit `&array[0]`, the pointer read from the array's record.

    numba's own accessor copies the whole record, which takes longer to compile.
    """
    field = context.data_model_manager[kind].get_field_position("data")
    return builder.extract_value(array, field)


def _emit_call_of(builder, address, arguments):
    function_type = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
    builder.call(builder.inttoptr(address, function_type.as_pointer()), arguments)


def _unpacked(builder, packed, kinds):
    return [builder.extract_value(packed, i) for i in range(len(kinds))]


@intrinsic
def _emit_call(typing_context, address, arrays, starts, sizes):
    """Emit `(*address)(&arrays[0][starts[0]], ..., sizes[0], ...)`."""

    def codegen(context, builder, signature, arguments):
        address, *tuples = arguments
        kinds = signature.args[1]
        values, offsets, integers = map(_unpacked, [builder] * 3, tuples, signature.args[1:])
        pointers = [
            builder.gep(_emit_pointer(context, builder, kind, array), [start])
            for kind, array, start in zip(kinds, values, offsets, strict=True)
        ]
        _emit_call_of(builder, address, pointers + integers)
        return context.get_dummy_value()

    return types.void(types.uint64, arrays, starts, sizes), codegen


def call_from_python(function, arrays, sizes):
    """Call the result of `c_function` or `callback` with C-contiguous arrays."""
    _call_address(function.address, [array.ctypes.data for array in arrays], sizes)


def _call_address(address, pointers, sizes=()):
    kinds = [ctypes.c_void_p] * len(pointers) + [ctypes.c_uint64] * len(sizes)
    ctypes.CFUNCTYPE(None, *kinds)(int(address))(*pointers, *map(int, sizes))


@_emitted_by(_emit_call)
def call(address, arrays, starts, sizes):
    """Call a C function by address with pointers to arrays[i][starts[i]] and with sizes."""
    pairs = zip(arrays, starts, strict=True)
    pointers = [array.ctypes.data + int(start) * array.itemsize for array, start in pairs]
    _call_address(address, pointers, sizes)


@intrinsic
def _emit_call_fortran(typing_context, address, arguments):
    """Emit `(*address)(&scalar, ..., &array[0], ...)`."""

    def codegen(context, builder, signature, values):
        address, packed = values
        kinds = signature.args[1]
        pointers = [
            _emit_pointer(context, builder, kind, value)
            if isinstance(kind, types.Array)
            else cgutils.alloca_once_value(builder, value)
            for kind, value in zip(kinds, _unpacked(builder, packed, kinds), strict=True)
        ]
        _emit_call_of(builder, address, pointers)
        return context.get_dummy_value()

    return types.void(types.uint64, arguments), codegen


@_emitted_by(_emit_call_fortran)
def call_fortran(address, arguments):
    """Call a Fortran routine by address with arrays and scalars of its types, all by reference."""
    held = [np.atleast_1d(argument) for argument in arguments]
    _call_address(address, [array.ctypes.data for array in held])
