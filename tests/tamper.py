"""Saved states with a leaf replaced: whatever a file contains, loading and use end with an answer.

    python -m tests.tamper --cases 2000 --seed 12345

Each case replaces one or two leaves of the state of a fitted estimator, by an array of another
shape, dtype, order or of other values, or by something else; loads the state, and uses whatever
was loaded. Exceptions are fine. A death by a signal, also that of the limit on time, is not: it is
printed with the command that does it again. `--unchecked` leaves out the check of arrays.
"""

import argparse
import contextlib
import copy
import os
import pickle
import signal
import sys
import time
import warnings

import numpy as np

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor, to_c, to_python
from sklearn_tinymlp._export import state_check

FAULT = "not refused by a sentence, but by"

LIMIT = 10.0  # seconds of processor time of a case
BATCH = 50  # cases in a process: damage of the heap may show later

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.sin(X[:, 0]) + 0.1 * RNG.normal(size=60)


def network(**parameters):
    return TinyMLPRegressor(**({"hidden_layer_sizes": (5,), "random_state": 0} | parameters))


def fitted() -> dict:
    """The estimators whose states are tampered with: each kind of record is in one of them."""
    several = np.column_stack([Y, Y**2])
    ensemble = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(2,)], cv=2, random_state=0)
    return {
        "dense": network().fit(X, Y),
        "low_rank": network(hidden_layer_sizes=(60, 60)).fit(X, Y),
        "outputs": network(inputs="ramps").fit(X, several),
        "huber": network(loss="huber", inputs="clipped").fit(X, Y),
        "varying": network(noise="varying").fit(X, Y),
        "adam": network(solver="adam", hidden_layer_sizes=(50, 50)).partial_fit(X, Y),
        "sgd": network(solver="sgd", batch_size=1).partial_fit(X, Y),
        "ensemble": ensemble.fit(X, Y),
    }


def leaves(state, path=()):
    """The paths to everything in nested dicts, lists and tuples, these included."""
    if path:
        yield path
    if isinstance(state, dict):
        for name, value in state.items():
            yield from leaves(value, (*path, name))
    elif isinstance(state, (list, tuple)):
        for k, value in enumerate(state):
            yield from leaves(value, (*path, k))


def saved_leaves(net) -> list:
    """The paths to what training has set; parameters are checked when they are used."""
    state, parameters = net.__getstate__(), net.get_params(deep=False)
    return [path for path in leaves(state) if path[0] not in parameters]


def get(state, path):
    for key in path:
        state = state[key]
    return state


def replaced(state, path, value):
    """A copy of a state with another value at a path."""
    if not path:
        return value
    copied = list(state) if isinstance(state, tuple) else copy.copy(state)
    copied[path[0]] = replaced(state[path[0]], path[1:], value)
    return tuple(copied) if isinstance(state, tuple) else copied


ANYTHING = (
    *(None, True, "", "evil", "tanh*/ int evil;/*", b"\0", 0, -1, 7, 10**12, -(10**12), 2**63 - 1),
    *(10**30, 0.5, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, [], (), {}, [None], {"a": 1}),
    *(np.zeros(()), np.zeros(0), np.zeros(1), np.ones((3, 5)), np.zeros((2, 2, 2)), np.eye(200)),
)
RESHAPED = (
    lambda a: a[:0],
    lambda a: a[:1],
    lambda a: a[:-1],
    lambda a: a.T,
    lambda a: a.ravel(),
    lambda a: a[None],
    lambda a: a[..., None],
    lambda a: np.repeat(a, 2, axis=0),
    lambda a: np.repeat(a, 100, axis=-1),
    lambda a: np.zeros((1,) * a.ndim, a.dtype),
    lambda a: np.zeros((0,) * a.ndim, a.dtype),
)
RETYPED = [
    lambda a, dtype=dtype: a.astype(dtype)
    for dtype in (
        "f2",
        "f4",
        "f8",
        ">f8",
        "<f8",
        "g",
        "c16",
        "i4",
        "i8",
        ">i8",
        "u1",
        "?",
        "O",
        "U",
    )
]
REORDERED = (
    np.asfortranarray,
    np.ascontiguousarray,
    lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    lambda a: a[::-1],
    lambda a: np.broadcast_to(a[:1], a.shape),
    lambda a: np.frombuffer(b"\0" + a.tobytes(), a.dtype, a.size, 1).reshape(a.shape),
    lambda a: a.view(np.ma.MaskedArray),
)
REVALUED = [
    lambda a, value=value: np.full_like(a, value)
    for value in (0, 1, -1, 10**6, np.nan, np.inf, -np.inf, 1e300, -1e300, 1e-320, 2**62)
]


def other(value, rng):
    """A value in place of this one."""
    kinds = [ANYTHING]
    if isinstance(value, np.ndarray) and value.ndim:
        kinds += [RESHAPED, RESHAPED, RETYPED, REORDERED, REVALUED]
    elif isinstance(value, (list, tuple)):
        kinds += [(lambda v: v[:-1], lambda v: v[::-1], lambda v: v * 2, lambda v: v + v[:1])]
    elif isinstance(value, dict):
        kinds += [(lambda v: dict(list(v.items())[:-1]), lambda v: v | {"unknown": 1})]
    elif isinstance(value, (int, float)):
        kinds += [(lambda v: -v, lambda v: v + 1, lambda v: v * 1000, float, str, np.float64)]
    kind = kinds[rng.integers(len(kinds))]
    chosen = kind[rng.integers(len(kind))]
    with np.errstate(all="ignore"):
        try:
            return chosen(value) if callable(chosen) else chosen
        except (TypeError, ValueError, OverflowError):
            return None


def case(bases, seed, number):
    """The name of an estimator, and a tampered state of it."""
    rng = np.random.default_rng([seed, number])
    name = list(bases)[rng.integers(len(bases))]
    net, paths = bases[name]
    state = net.__getstate__()
    for _ in range(rng.integers(1, 3)):
        path = paths[rng.integers(len(paths))]
        try:
            state = replaced(state, path, other(get(state, path), rng))
        except (AttributeError, IndexError, KeyError, TypeError):
            pass  # the first replacement has removed the second path
    return type(net), state


def load(kind, state):
    net = kind.__new__(kind)
    net.__setstate__(state)
    return net


def targets(net):
    """Y in as many columns as the network has outputs."""
    return Y if net.n_outputs_ == 1 else np.column_stack([Y, Y**2])


# All that reads or goes on from a state.
USES = (
    lambda net: net.predict(X),
    lambda net: net.predict(X, return_std=True),
    lambda net: net.sample_y(X, 2),
    lambda net: net.predict_interval(X),
    lambda net: net.feature_importances_,
    lambda net: net.predict_gradient(X),
    lambda net: net.hidden_activations(X),
    lambda net: net.diagnose(X, targets(net)),
    lambda net: net.diagnose(X),
    lambda net: net._averages(X, 10),
    lambda net: to_c(net),
    lambda net: to_c(net, dtype="int8", X=X, header=True),
    lambda net: to_python(net),
    lambda net: net._repr_html_(),
    lambda net: pickle.loads(pickle.dumps(net)),
    *[lambda net: net.partial_fit(X, targets(net))] * 3,
    lambda net: net.set_params(warm_start=True, max_iter=3).fit(X, targets(net)),
)


def use(net):
    for function in USES:
        with contextlib.suppress(Exception):
            function(net)


def run(bases, seed, number) -> str:
    """Load and use a state; how it went."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT)  # its signal ends the process, also in a kernel
    try:
        net = load(*case(bases, seed, number))
    except Exception as error:
        sentence = type(error) is ValueError and str(error).startswith("This ")
        return "refused" if sentence else f"{FAULT} {type(error).__name__}: {error}"
    use(net)
    return "used"


def in_child(bases, seed, numbers) -> tuple[int, list]:
    """Run cases in a process of their own; the signal that ended it or 0, and how they went."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        with os.fdopen(write, "w") as out:
            for number in numbers:
                print(run(bases, seed, number), file=out, flush=True)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as lines:
        outcomes = lines.read().splitlines()
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, outcomes


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=12345)
    parser.add_argument("--first", type=int, default=0, help="the number of the first case")
    parser.add_argument("--within", default="", help="a name in the paths of the leaves")
    parser.add_argument("--unchecked", action="store_true")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    bases = {}
    for name, net in fitted().items():
        paths = [p for p in saved_leaves(net) if not options.within or options.within in p]
        if paths:
            bases[name] = net, paths
    for net, _ in bases.values():  # compile what they use
        use(copy.deepcopy(net))
    if options.unchecked:
        state_check._fits = state_check._is_within = lambda *_: True
        state_check._of_dtype = lambda value, dtypes: value
    begun, deaths, outcomes = time.monotonic(), [], []
    numbers = range(options.first, options.first + options.cases)
    for batch in (numbers[k : k + BATCH] for k in range(0, len(numbers), BATCH)):
        died, found = in_child(bases, options.seed, batch)
        if died:
            alone = [(n, *in_child(bases, options.seed, [n])) for n in batch]
            found = [outcome for _, _, one in alone for outcome in one]
            deaths += [(n, 1, s) for n, s, _ in alone if s] or [(batch[0], len(batch), died)]
        outcomes += found
    for number, count, died in deaths:
        print(
            f"DIED by signal {died}: python -m tests.tamper --seed {options.seed} --first {number} "
            f"--cases {count} --within '{options.within}'"
        )
    counts = {outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))}
    seconds = time.monotonic() - begun
    print(f"{len(numbers)} states in {seconds:.0f} s: {len(deaths)} deaths; {counts}")
    return bool(deaths) or any(outcome.startswith(FAULT) for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
