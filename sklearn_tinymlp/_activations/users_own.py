"""`Activation`: one of the user's own, from two functions of theirs."""

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

    It goes where a name goes: as `activation`, in a list of activations, as
    `output_activation`. The derivative is compared with finite differences when a network is
    fitted. By default, with the solver 'lm', both are called as they are: with arrays where they
    take arrays, else number by number, which is slower. For 'sgd', 'adam' and 'lbfgs' they are
    compiled with numba and run at the speed of the built-ins; what numba cannot compile runs
    through NumPy, more slowly, and a warning says so.

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
        """Return the four parts; code does not pickle."""
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
    """Return what can be compared of a function: its code and the constants that it uses."""
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
    """Return a function of one-dimensional arrays, from one of arrays or of numbers."""
    function = getattr(function, "py_func", function)

    def evaluate(z):
        with np.errstate(all="ignore"):  # as compiled: what overflows is infinite
            try:
                result = function(z.copy())  # it may write to its argument
            except (TypeError, ValueError):  # e.g. "if z > 0", or a function of `math`
                result = [function(number) for number in z.tolist()]
            return np.broadcast_to(np.asarray(result, dtype=z.dtype), z.shape)

    return evaluate


_caught = threading.local()  # .error: what a Python function raised where C could not


def raise_caught():
    """Raise what a Python function raised within a kernel, now that the kernel has returned."""
    error, _caught.error = getattr(_caught, "error", None), None
    if error is not None:
        raise error
