"""How numba compiles this package: the options, the disk cache, calls through addresses.

Numba compiles and optimises a kernel's callees over again with each of its callers. What several
kernels share is therefore compiled once, by itself, as a C function (`c_function`), which kernels
call by its address (`call`): a kernel takes any activation, and loops or BLAS, without being
compiled anew for it.
"""

import ctypes
import threading
from functools import cache, wraps
from hashlib import sha256
from pathlib import Path
from types import FunctionType

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# reassoc lets sums vectorise, contract allows fused multiply-add.  NaN and infinity keep their
# meaning, so a diverging fit is seen as such.
_OPTIONS = {"error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}

# The integers of sizes and places in flat arrays: unsigned when compiled, because a signed index
# costs a test for wrap-around; Python's own when interpreted, because NumPy 1 turns the sum of an
# unsigned and a signed integer into a float.
unsigned = int if config.DISABLE_JIT else np.uint64

# Where all that is compiled lives: `_machine` and the folders above it that have kernels.
_FOLDERS = ("_machine", "_activations", "_losses", "_engine")


@cache
def _sources() -> str:
    """Hash the sources of all that is compiled."""
    digest = sha256()
    for folder in _FOLDERS:
        for path in sorted((Path(__file__).parents[1] / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _named_by_sources(function):
    """Copy a function under a name that changes with any source of what is compiled.

    numba names its files on disk after the function, and looks for edits in the function's own
    source file, not in those of the functions that it calls.
    """
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__qualname__ = f"{function.__qualname__}_{_sources()}"
    return copy


def _cached_if_possible(decorate, function):
    """Keep the machine code on disk wherever a cache can be written."""
    named = _named_by_sources(function)
    try:
        return decorate(cache=True)(named)
    except (RuntimeError, OSError):  # numba found no folder that it may write to, or a full disk
        return decorate(cache=False)(named)


def kernel(function):
    """Compile at the first call a function that Python calls; without the GIL."""
    if config.DISABLE_JIT:
        return function
    options = {**_OPTIONS, "nogil": True, "no_cfunc_wrapper": True}
    compiled = _cached_if_possible(lambda cache: njit(cache=cache, **options), function)

    @wraps(function)
    def run(*arguments):
        try:
            return compiled(*arguments)
        except OSError:  # it has been compiled, and the machine code cannot be kept: a full disk
            return compiled(*arguments)

    run.compiled = compiled
    return run


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
    options = {**_OPTIONS, "nogil": True, "fastmath": fastmath}
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)


def inlined(function):
    """Expand at every call, before compilation: cheaper than another level of calls."""
    return njit(inline="always", nogil=True, **_OPTIONS)(function)


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
    if not on_disk:
        return cfunc(signature, **options)(function)
    return _cached_if_possible(lambda cache: cfunc(signature, cache=cache, **options), function)


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


# Calls by address are written in LLVM's language. Functions as arguments, numba's first-class ones
# and those of ctypes, make a network's layers a tuple, whose length is part of its type: each depth
# would be compiled anew, which takes 2 to 5 s a solver, in place of one array of addresses. BLAS
# wants scalars by reference; numba's own `np.dot` neither takes parts of rows nor adds to a matrix.


def emitted_by(emit):
    """Compile kernels with the code of `emit`; interpret the function below.

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
    "unsigned",
]
