"""Speed regression test: time this revision against another one.

The two revisions run alternately, in separate processes on the same core, so that a varying load
affects both. The processor time of each run is compared, which excludes other processes. Several
pairs of processes are used, because memory layout varies between processes.
"""

import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from scipy.stats import binom
from threadpoolctl import threadpool_limits

from . import timing
from .works import WORKS

ROOT = Path(__file__).parents[1]

# Ratio of times above which a work is slower; smaller ratios cannot be distinguished from noise.
MOST = 1.05

# One minus the confidence level of the interval of the median.
MISSED = 0.05

N_PAIRS, N_TURNS = 3, 7

# The package is imported from the first folder, the works from the second.
WORKER = """
import sys
sys.path.insert(0, {package!r})
import sklearn_tinymlp
sys.path[0] = {works!r}
assert sklearn_tinymlp.__file__.startswith({package!r}), sklearn_tinymlp.__file__
from benchmarks import against
against.work()
"""


class Verdict(NamedTuple):
    """Time now over time then: the median ratio and its confidence interval."""

    ratio: float
    low: float
    high: float

    @property
    def is_slower(self) -> bool:
        """Whether the slowdown exceeds 5% and is significant."""
        return self.ratio > MOST and self.low > 1.0


def judge(now, then) -> Verdict:
    """Compare the times of alternating runs.

    The interval is that of the sign test: the k-th smallest and k-th largest ratio, whatever the
    distribution of the noise.

    Parameters
    ----------
    now, then : sequence of float
        Seconds, of equal length.
    """
    ratios = sorted(a / b for a, b in zip(now, then, strict=True))
    k = max(0, int(binom.ppf(MISSED / 2, len(ratios), 0.5)) - 1)
    return Verdict(median(ratios), ratios[k], ratios[-1 - k])


def chosen_works(names):
    """Return the works with these names or letters; all if none are given."""
    return [work for work in WORKS if not names or work.name in names or work.name[0] in names]


def work():
    """Read names of works from standard input; print the seconds of our run of each."""
    warnings.simplefilter("ignore")
    by_name, built = {work.name: work for work in WORKS}, {}
    print("ready", flush=True)
    with threadpool_limits(1):
        for line in sys.stdin:
            name = line.strip()
            if name not in built:
                run = by_name[name].build(True).contenders["ours"]
                run(0)  # compiles
                built[name] = run, 1 + int(timing.LEAST_SECONDS / seconds_of(run, 1))
            print(seconds_of(*built[name]), flush=True)


def seconds_of(run, n_calls):
    """Measure the processor time of a run."""
    begun = time.process_time()
    for _ in range(n_calls):
        run(0)
    return max(time.process_time() - begun, 1e-9) / n_calls


class Worker:
    """A process that imports one revision of the package."""

    def __init__(self, package):
        code = WORKER.format(package=str(package), works=str(ROOT))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tempfile.gettempdir(),  # first on Python's search path
        )
        if self._answer() != "ready":
            self.end()
            raise RuntimeError(f"The package in {package} cannot be imported.")

    def _answer(self):
        return self.process.stdout.readline().strip()

    def seconds(self, name) -> float:
        """Run a work once in the process."""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(self._answer())

    def end(self):
        """End the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@contextmanager
def revision(name):
    """Check out a revision beside the clone, temporarily."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "revision"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(path), name], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


def compare(names, then):
    """Compare the times of works with the package in the folder `then` and with this one."""
    now_and_then = {name: ([], []) for name in names}
    for _ in range(N_PAIRS):
        with ExitStack() as stack:
            workers = [Worker(ROOT), Worker(then)]
            for worker in workers:
                stack.callback(worker.end)
            for name in names:
                for worker in workers:
                    worker.seconds(name)  # builds and compiles
                for turn in range(N_TURNS):
                    for which in (0, 1) if turn % 2 else (1, 0):
                        now_and_then[name][which].append(workers[which].seconds(name))
    return {name: judge(*seconds) for name, seconds in now_and_then.items()}


def main(then, names) -> int:
    """Print the comparison with another revision; return 1 if this one is slower, else 0."""
    timing.pin()
    works = {work.name: work.title for work in chosen_works(names)}
    with revision(then) as folder:
        verdicts = compare(list(works), folder)
    print(f"| work | | time now / {then} | 95% interval | |\n| --- | --- | --- | --- | --- |")
    for name, verdict in verdicts.items():
        slower = "**slower**" if verdict.is_slower else ""
        interval = f"{verdict.low:.3f} to {verdict.high:.3f}"
        print(f"| {name} | {works[name]} | {verdict.ratio:.3f} | {interval} | {slower} |")
    return int(any(verdict.is_slower for verdict in verdicts.values()))
