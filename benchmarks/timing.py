"""Timing: alternating runs within one process, or runs in a new process."""

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

# A shorter run is repeated within one timing, as `timeit` does. A fit of a millisecond that follows
# half a second of other code starts with cold processor caches, and takes nearly twice as long as
# in a loop of fits.
LEAST_SECONDS = 20e-3


class Runs(NamedTuple):
    """The timings of one contender, and the result of each run (None: failed)."""

    seconds: list[float]
    outcomes: list[Any]

    @property
    def median(self):
        """The median time; infinite if most runs failed."""
        return median(self.seconds)

    @property
    def n_reached(self):
        """Count the runs that succeeded."""
        return sum(outcome is not None for outcome in self.outcomes)


def in_turn(contenders, n_rounds, warm_up=True):
    """Time all contenders in each round, so that a varying load affects all of them.

    Parameters
    ----------
    contenders : dict of callable
        Called with the number of the round. Results are kept; None means that the run failed, and
        its time is infinite.
    n_rounds : int
    warm_up : bool, default=True
        Whether each runs once beforehand, untimed.

    Returns
    -------
    dict of Runs
    """
    runs = {name: Runs([], []) for name in contenders}
    calls = dict.fromkeys(contenders, 1)
    for index in range(-1 if warm_up else 0, n_rounds):
        for name, run in contenders.items():
            begun = time.perf_counter()
            for _ in range(calls[name]):
                outcome = run(max(index, 0))
            seconds = (time.perf_counter() - begun) / calls[name]
            if index >= 0:
                runs[name].seconds.append(np.inf if outcome is None else seconds)
                runs[name].outcomes.append(outcome)
            if index <= 0 and calls[name] == 1:  # the first call may have compiled
                calls[name] = 1 + int(LEAST_SECONDS / seconds)
    return runs


def median_ratio(theirs, ours):
    """Compute the median ratio over the rounds; infinite if the peer failed."""
    with np.errstate(invalid="ignore"):
        ratios = np.array(theirs.seconds) / np.array(ours.seconds)
    ratios = ratios[~np.isnan(ratios)]
    return median(ratios) if len(ratios) else np.nan


def least_seconds(function, *arguments, n_rounds=50):
    """Return the minimum time of some runs, to measure the limit of a routine."""
    least = np.inf
    for _ in range(n_rounds):
        begun = time.perf_counter()
        function(*arguments)
        least = min(least, time.perf_counter() - begun)
    return least


def in_new_process(code, **environment):
    """Run code in a new process and return the numbers that it prints."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    output = subprocess.check_output([sys.executable, "-c", code], env=environment)
    return [float(word) for word in output.split()]


def pin():
    """Restrict this process and its children to one core, so that no peer uses several threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def machine():
    """Describe processor, versions and settings."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(
            [part.strip() for part in line.split(":", 1)]
            for line in cpuinfo.read_text().split("\n\n")[0].splitlines()
            if ":" in line
        )
        processor = fields.get("model name", processor)
        widths = [w for w in ("avx2", "avx512f") if w in fields.get("flags", "").split()]
        processor = f"{processor}, {fields.get('cpu MHz', '?')} MHz, {' '.join(widths)}"
    packages = {}
    for name in ("numpy", "scipy", "scikit-learn", "numba", "jax", "torch", "fann2"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "processor": processor,
        "python": platform.python_version(),
        "packages": packages,
        "OPENBLAS_CORETYPE": os.environ.get("OPENBLAS_CORETYPE"),
        "date": time.strftime("%Y-%m-%d"),
    }
