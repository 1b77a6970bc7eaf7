"""The guard: another revision's speed beside this one's, in turn, and whether this one is slower.

Each revision works in a process of its own, both on one processor; they take turns run by run, so
that a busy spell meets both. What is compared is the time that the processor spent on a run, of
which other processes take no part. Processes differ by where their memory happens to lie: there
are several pairs of them.
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

# A work that takes this much longer is a slowdown; what is less is not told from noise.
MOST = 1.05

# The interval of the median: the truth is missed once in twenty times.
MISSED = 0.05

N_PAIRS, N_TURNS = 3, 7

# The package comes from the one folder, the works from the other.
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
    """Time now over time then: the median of the ratios, and between what it lies."""

    ratio: float
    low: float
    high: float

    @property
    def is_slower(self) -> bool:
        """Whether it is a slowdown of more than 5%, and surely one at all."""
        return self.ratio > MOST and self.low > 1.0


def judge(now, then) -> Verdict:
    """Compare the times of runs that took turns.

    The interval is that of the sign test: the k-th smallest and k-th largest ratio, whatever the
    distribution of the noise.

    Parameters
    ----------
    now, then : sequence of float
        Seconds, as many of the one as of the other.
    """
    ratios = sorted(a / b for a, b in zip(now, then, strict=True))
    k = max(0, int(binom.ppf(MISSED / 2, len(ratios), 0.5)) - 1)
    return Verdict(median(ratios), ratios[k], ratios[-1 - k])


def chosen_works(names):
    """Give the works of these names or letters; of none all of them."""
    return [work for work in WORKS if not names or work.name in names or work.name[0] in names]


def work():
    """Answer each name of a work on the standard input by the seconds that a run of ours takes."""
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
    """Measure the processor's time for a run."""
    begun = time.process_time()
    for _ in range(n_calls):
        run(0)
    return max(time.process_time() - begun, 1e-9) / n_calls


class Worker:
    """A process that works with one revision of the package."""

    def __init__(self, package):
        code = WORKER.format(package=str(package), works=str(ROOT))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tempfile.gettempdir(),  # Python looks there first
        )
        if self._answer() != "ready":
            self.end()
            raise RuntimeError(f"The package in {package} cannot be imported.")

    def _answer(self):
        return self.process.stdout.readline().strip()

    def seconds(self, name) -> float:
        """Let it do a work once."""
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return float(self._answer())

    def end(self):
        """Let the process come to its end."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


@contextmanager
def revision(name):
    """Check a revision out beside the clone for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve() / "revision"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(path), name], check=True)
        try:
            yield path
        finally:
            subprocess.run([*git, "remove", "--force", str(path)], check=True)


def compare(names, then):
    """Measure works with the package in the folder `then` and with this one; give the verdicts."""
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
    """Print how this revision compares with another; return 1 where it is slower, else 0."""
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
