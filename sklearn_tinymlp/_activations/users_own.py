"""`Activation`: an activation defined by the user, from two functions."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf

import numpy as np

PARTS = ("value", "derivative", "name", "output_range")


@dataclass(frozen=True, eq=False)
class Activation:
    """An activation of your own, from its value and its derivative.

    It is used in place of a name: as `activation`, in a list of activations, as
    `output_activation`. The derivative is compared with finite differences when a network is
    fitted. The default solver 'lm' calls both functions with arrays if they accept arrays, else
    number by number, which is slower. For 'sgd', 'adam' and 'lbfgs' they are compiled with numba
    and as fast as the built-ins; functions that numba cannot compile are evaluated by NumPy, more
    slowly, with a warning.

    Parameters
    ----------
    value : callable
        f(z), for a number or elementwise for an array.

    derivative : callable
        f'(z), likewise. At a kink any slope between the left and the right one is accepted.

    name : str, default=None
        Name of the activation in messages; by default the name of `value`.

    output_range : tuple of two floats, default=(-inf, inf)
        Minimum and maximum of f(z). Targets outside the range of an output activation cause a
        warning before training starts.

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
    Two activations are equal when their names, ranges and functions are equal; two functions are
    equal when their code and the constants they use are equal. Functions that can be imported, and
    `functools.partial` of them with keywords, can be saved with pickle, joblib and skops; lambdas
    are sent to other processes by cloudpickle alone, which joblib uses in `GridSearchCV`. Global
    variables of a function are read once, when it is compiled: to vary a constant, use
    `functools.partial`.

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

    # The name of the class in files of trained networks and in lists of trusted types.
    __module__ = "sklearn_tinymlp._activations"

    value: Callable
    derivative: Callable
    name: str | None = field(default=None, kw_only=True)
    output_range: tuple[float, float] = field(default=(-inf, inf), kw_only=True)

    def __post_init__(self):
        """Check the arguments, and take the name from the function."""
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
        """Store a key of what the functions compute now: their globals may change later."""
        functions = _signature(self.value), _signature(self.derivative)
        object.__setattr__(self, "_key", (self.name, self.output_range, *functions))

    def __getstate__(self):
        """Return the four parts, without the code, which cannot be pickled."""
        return {part: getattr(self, part) for part in PARTS}

    def __setstate__(self, state):
        """Set the four parts."""
        for part in PARTS:
            object.__setattr__(self, part, state[part])
        self._read_functions()

    def __eq__(self, other):
        """Compare names, ranges and what the functions compute."""
        if not isinstance(other, Activation):
            return NotImplemented
        return self is other or self._key == other._key

    def __hash__(self):
        """Hash by name and range; equality depends on the functions too."""
        return hash((self.name, self.output_range))

    def __repr__(self):
        """Show the name, short enough for the parameters of an estimator."""
        return f"Activation({self.name!r})"


def _function_name(function) -> str:
    function = function.func if isinstance(function, partial) else function
    return getattr(function, "__name__", type(function).__name__)


def _signature(thing, around=()):
    """Return a comparable key of a function: its code and the constants that it uses."""
    thing = getattr(thing, "py_func", thing)  # the function that numba has compiled
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
    """Turn a function of arrays or of numbers into a function of one-dimensional arrays."""
    function = getattr(function, "py_func", function)

    def evaluate(z):
        with np.errstate(all="ignore"):  # overflow yields inf, as in compiled code
            try:
                result = function(z.copy())  # it may write to its argument
            except (TypeError, ValueError):  # e.g. "if z > 0", or a function of `math`
                result = [function(number) for number in z.tolist()]
            return np.broadcast_to(np.asarray(result, dtype=z.dtype), z.shape)

    return evaluate


_caught = threading.local()  # .error: the exception of a Python function that C code called


def raise_caught():
    """Raise the exception of a Python function within a kernel, once the kernel has returned."""
    error, _caught.error = getattr(_caught, "error", None), None
    if error is not None:
        raise error
