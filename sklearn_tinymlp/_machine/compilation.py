"""How numba compiles this package: the options, the disk cache, calls through addresses.

Numba compiles and optimises a kernel's callees over again with each of its callers. What several
kernels share is therefore compiled once, by itself, as a C function (`c_function`), which kernels
call by its address (`call`): a kernel takes any activation, and loops or BLAS, without being
compiled anew for it.
"""

import ctypes
import gc
import struct
import threading
from contextlib import contextmanager, nullcontext, suppress
from functools import cache, wraps
from types import FunctionType

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, config, njit, types
from numba.core import cgutils, event
from numba.extending import intrinsic

# reassoc lets sums vectorise, contract allows fused multiply-add.  NaN and infinity keep their
# meaning, so a diverging fit is seen as such.
_OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}

# Kernels allocate nothing, and their arrays belong to the caller: without numba's runtime no
# references are counted, which takes an eighth of an evaluation of a network of few units.
_UNCOUNTED = {**_OPTIONS, "nogil": True, "_nrt": False}

# The integers of sizes and places in flat arrays: unsigned when compiled, because a signed index
# costs a test for wrap-around; Python's own when interpreted, because NumPy 1 turns the sum of an
# unsigned and a signed integer into a float.
unsigned = int if config.DISABLE_JIT else np.uint64


@contextmanager
def _no_collections():
    """Keep Python from looking for cycles to free, which takes an eighth of a compilation."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Compilations(event.Listener):
    """Begins and ends `_no_collections` with each compilation of a function of this package."""

    def __init__(self):
        self.under_way = []  # they nest; numba compiles in one thread at a time

    def on_start(self, started):
        """Take note of a compilation that begins."""
        # Code that was generated has no module.
        name = getattr(started.data["dispatcher"].py_func, "__module__", None) or ""
        self.under_way.append(_no_collections() if name.startswith(_PACKAGE) else nullcontext())
        self.under_way[-1].__enter__()

    def on_end(self, ended):
        """Take note of its end."""
        self.under_way.pop().__exit__(None, None, None)


_PACKAGE = __name__.partition(".")[0]
event.register("numba:compile", _Compilations())


def _cached_if_possible(decorate):
    """Keep the machine code on disk wherever a cache can be written."""
    try:
        return decorate(cache=True)
    except (RuntimeError, OSError):  # numba found no folder that it may write to, or a full disk
        return decorate(cache=False)


def kernel(function):
    """Compile at the first call a function that Python calls; without the GIL."""
    compiled = _cached_if_possible(
        lambda cache: njit(no_cfunc_wrapper=True, cache=cache, **_UNCOUNTED)(function)
    )
    if not config.DISABLE_JIT:
        _ignore_full_disk(compiled._cache)
    return compiled


def _ignore_full_disk(cache):
    """Let a kernel run that has been compiled and cannot be kept; numba would raise."""
    save = cache.save_overload

    def save_if_possible(*arguments):
        with suppress(OSError):
            save(*arguments)

    cache.save_overload = save_if_possible


def part(function):
    """Compile a function that only kernels call: without the wrappers that Python would need."""
    return _compile_part(function, _OPTIONS["fastmath"])


def exact(function):
    """Compile a `part` whose sums must stay in the order in which they are written."""
    return _compile_part(function, {"contract"})


def literal(function):
    """Compile a `part` that rounds as NumPy does: no multiplication is fused with an addition.

    Of a b + c d either product may be fused, and sums may be taken in another order, with other
    last bits; which way it is has been seen to differ between a process that compiles and one that
    finds the machine code on disk.
    """
    return _compile_part(function, False)


def _compile_part(function, fastmath):
    options = {**_UNCOUNTED, "fastmath": fastmath}
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)


def inlined(function):
    """Expand at every call, before compilation: cheaper than another level of calls."""
    return njit(inline="always", **_UNCOUNTED)(function)


def once(function):
    """Compile once a process and keep the result alive, because its address is used.

    Two threads must not compile the same thing: the cache would keep one of the two, and the
    address of the other would point to nothing.
    """
    cached, lock = cache(function), threading.Lock()

    @wraps(function)
    def locked(*arguments):
        with lock:
            return cached(*arguments)

    return locked


_interpreted = {}  # address: (function, dtype), with NUMBA_DISABLE_JIT=1


def c_function(function, n_arrays, n_sizes, dtype, *, on_disk=True, literal=False):
    """Compile `function(*pointers, *sizes)` now; the result has an `address` for `call`.

    Parameters
    ----------
    function : callable
        Takes `n_arrays` pointers to numbers of `dtype`, then `n_sizes` unsigned integers.
    n_arrays, n_sizes : int
    dtype : {'float32', 'float64'}, or a tuple of them with one for each pointer
    on_disk : bool, default=True
        Whether numba keeps the machine code. What a closure calls is new to numba in every
        process: there it would never find it again, only fill the folder.
    literal : bool, default=False
        Whether to round as NumPy does, see `literal`.

    Returns
    -------
    object with the attribute `address`; to be kept as long as the address is used.
    """
    if config.DISABLE_JIT:
        return _Interpreted(function, _one_each(dtype, n_arrays))
    pointers = [types.CPointer(getattr(types, name)) for name in _one_each(dtype, n_arrays)]
    signature = types.void(*pointers, *[types.uint64] * n_sizes)
    options = {**_OPTIONS, "fastmath": False} if literal else _OPTIONS
    with _no_collections():
        if not on_disk:
            return cfunc(signature, **options)(function)
        return _cached_if_possible(lambda cache: cfunc(signature, cache=cache, **options)(function))


def callback(function, n_arrays, n_sizes, dtype):
    """Give `function(*pointers, *sizes)` an `address` for `call` without compiling it.

    Kernels run without the GIL; ctypes takes it for the call. `function` must not raise: a C
    function has nowhere to raise to.
    """
    if config.DISABLE_JIT:
        return _Interpreted(function, _one_each(dtype, n_arrays))
    return _Callback(function, n_arrays, n_sizes, dtype)


class _Callback:
    """A Python function that C can call."""

    def __init__(self, function, n_arrays, n_sizes, dtype):
        pointer = ctypes.POINTER(ctypes.c_float if dtype == "float32" else ctypes.c_double)
        kind = ctypes.CFUNCTYPE(None, *[pointer] * n_arrays, *[ctypes.c_uint64] * n_sizes)
        self.function = kind(function)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value


def call_from_python(compiled, arrays, sizes):
    """Call what `c_function` or `callback` gave, with C-contiguous arrays."""
    addresses = [array.ctypes.data for array in arrays]
    if config.DISABLE_JIT:
        compiled(addresses, sizes)
        return
    kinds = [ctypes.c_void_p] * len(arrays) + [ctypes.c_uint64] * len(sizes)
    ctypes.CFUNCTYPE(None, *kinds)(compiled.address)(*addresses, *sizes)


def jitted(function):
    """Compile a function of the user's own for `c_function` to call; others stay as they are."""
    return njit(**_OPTIONS)(function) if isinstance(function, FunctionType) else function


def _one_each(dtype, n_arrays) -> tuple[str, ...]:
    return (dtype,) * n_arrays if isinstance(dtype, str) else dtype


class _Interpreted:
    """Stands for a C function where compilation is switched off, so that it can be debugged."""

    def __init__(self, function, dtypes):
        self.function = function
        kinds = {"float32": ctypes.c_float, "float64": ctypes.c_double}
        self.pointers = [ctypes.POINTER(kinds[dtype]) for dtype in dtypes]
        self.address = id(self)
        _interpreted[self.address] = self

    def __call__(self, addresses, sizes):
        pointers = map(ctypes.cast, addresses, self.pointers)
        self.function(*pointers, *map(int, sizes))


def emitted_by(emit):
    """Give compiled kernels the code of `emit`, and interpreted ones the function below.

    numba's `overload` would choose too, but compile a function in between for each set of types.
    """
    return lambda function: function if config.DISABLE_JIT else emit


def _emit_pointer(context, builder, kind, array, start):
    """Emit `&array[start]`, the pointer taken out of the array's record.

    numba's own accessor copies the whole record, which takes longer to compile.
    """
    field = context.data_model_manager[kind].get_field_position("data")
    return builder.gep(builder.extract_value(array, field), [start])


def _emit_call_of(builder, address, arguments):
    function_type = ir.FunctionType(ir.VoidType(), [value.type for value in arguments])
    builder.call(builder.inttoptr(address, function_type.as_pointer()), arguments)


def _address_of(array, start):
    return array.ctypes.data + int(start) * array.itemsize


@intrinsic
def _emit_power_of_two(typing_context, shifted):
    """Emit the shift of a double's bits."""

    def codegen(context, builder, signature, arguments):
        bits = builder.bitcast(arguments[0], ir.IntType(64))
        return builder.bitcast(builder.shl(bits, ir.Constant(ir.IntType(64), 52)), ir.DoubleType())

    return types.float64(types.float64), codegen


@emitted_by(_emit_power_of_two)
def power_of_two(shifted):
    """2^k for shifted = 1.5 * 2^52 + 1023 + k: the last bits of `shifted` become the exponent."""
    bits = struct.unpack("<Q", struct.pack("<d", shifted))[0]
    return struct.unpack("<d", struct.pack("<Q", (bits << 52) & (2**64 - 1)))[0]


@intrinsic
def _emit_call(typing_context, address, arrays, starts, sizes):
    """Emit `(*address)(&arrays[0][starts[0]], ..., sizes[0], ...)`."""

    def codegen(context, builder, signature, arguments):
        address, *tuples = arguments
        array_values, start_values, size_values = (
            [builder.extract_value(packed, i) for i in range(len(kind))]
            for packed, kind in zip(tuples, signature.args[1:], strict=True)
        )
        pointers = [
            _emit_pointer(context, builder, kind, array, start)
            for kind, array, start in zip(
                signature.args[1], array_values, start_values, strict=True
            )
        ]
        _emit_call_of(builder, address, pointers + size_values)
        return context.get_dummy_value()

    return types.void(types.uint64, arrays, starts, sizes), codegen


@emitted_by(_emit_call)
def call(address, arrays, starts, sizes):
    """Call a C function by address with pointers to arrays[i][starts[i]] and with sizes."""
    addresses = [_address_of(array, start) for array, start in zip(arrays, starts, strict=True)]
    _interpreted[int(address)](addresses, sizes)


@intrinsic
def _emit_call_fortran(typing_context, address, arguments):
    """Emit `(*address)(&scalar, ..., &array[start], ...)`."""

    def codegen(context, builder, signature, values):
        address, packed = values
        pointers = []
        for i, kind in enumerate(signature.args[1]):
            value = builder.extract_value(packed, i)
            if isinstance(kind, types.BaseTuple):
                array, start = (builder.extract_value(value, j) for j in range(2))
                pointers.append(_emit_pointer(context, builder, kind[0], array, start))
            else:
                pointers.append(cgutils.alloca_once_value(builder, value))
        _emit_call_of(builder, address, pointers)
        return builder.load(pointers[-1])

    return arguments[-1](types.uint64, arguments), codegen


@emitted_by(_emit_call_fortran)
def call_fortran(address, arguments):
    """Call a Fortran routine by address: everything by reference.

    Parameters
    ----------
    address : uint64
    arguments : tuple
        A pair (array, start) stands for a pointer to array[start], any other member is a scalar of
        the type that the routine wants. The last is a scalar.

    Returns
    -------
    last : scalar
        The last argument as the routine left it: of LAPACK the word on success, 0.
    """
    held = [x[0] if isinstance(x, tuple) else np.atleast_1d(np.asarray(x)) for x in arguments]
    starts = [x[1] if isinstance(x, tuple) else 0 for x in arguments]
    routine = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(held))(int(address))
    routine(*(_address_of(array, start) for array, start in zip(held, starts, strict=True)))
    return held[-1][0]


__all__ = [
    "c_function",
    "call",
    "call_fortran",
    "call_from_python",
    "callback",
    "carray",
    "exact",
    "inlined",
    "jitted",
    "kernel",
    "literal",
    "once",
    "part",
    "power_of_two",
    "unsigned",
]
