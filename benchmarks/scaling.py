"""Growth of time and memory by rows, inputs, width, depth and starts; FLOP rates."""

import numpy as np
from sklearn.neural_network import MLPRegressor

from sklearn_tinymlp import TinyMLPRegressor

from .report import digits, table
from .timing import in_new_process, in_turn, least_seconds
from .works import ENDLESS, flops, peak_of_gemm, smooth

# One quantity varies; the others are 2,000 rows, 10 inputs, one layer of 20 units, one start.
BASE = {"n": 2000, "d": 10, "width": 20, "depth": 1, "starts": 1}
AXES = {
    "n": (500, 2000, 8000, 32_000),
    "d": (1, 4, 16, 64),
    "width": (5, 10, 20, 40),
    "depth": (1, 2, 4),
    "starts": (1, 2, 4, 8),
}
N_ITER = 10


def contenders(n, d, width, depth, starts):
    """Return fits of N_ITER epochs or iterations by adam, lbfgs, lm, and MLPRegressor's adam."""
    X, y = smooth(n, d)
    layers = (width,) * depth
    params = {"hidden_layer_sizes": layers, "alpha": 1e-4, "max_iter": N_ITER, **ENDLESS}

    def fits(estimator):
        return lambda _: estimator.fit(X, y)

    ours = {
        solver: fits(TinyMLPRegressor(solver=solver, n_init=starts, **params))
        for solver in ("adam", "lbfgs", "lm")
    }
    if starts == 1:
        ours["MLPRegressor, adam"] = fits(MLPRegressor(**params))
    return ours


def growth(quick):
    """Return the times of `N_ITER` iterations and the exponent of growth, by axis and solver.

    The exponent is the slope between the two largest sizes: 1 is proportional.
    """
    rows = []
    for axis, sizes in AXES.items():
        times, sizes = {}, sizes[:-1] if quick else sizes
        for size in sizes:
            runs = in_turn(contenders(**{**BASE, axis: size}), 1 if quick else 5)
            for solver, timed in runs.items():
                times.setdefault(solver, []).append(1e3 * timed.median)
        for solver, ms in times.items():
            if len(ms) < len(sizes):
                continue
            exponent = np.log(ms[-1] / ms[-2]) / np.log(sizes[-1] / sizes[-2])
            rows.append(
                {"axis": axis, "sizes": sizes, "solver": solver, "ms": ms, "exponent": exponent}
            )
    return rows


# The first lines of a process: imports, and two functions that return kB.
MEMORY_IN_USE = """
import resource, warnings
from pathlib import Path
import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn_tinymlp import TinyMLPRegressor
warnings.simplefilter("ignore")

def status(name):  # Linux hands ru_maxrss of the parent down to a new process
    path = Path("/proc/self/status")
    if path.exists():
        return int(path.read_text().split(name)[1].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

def peak():
    return status("VmHWM:")

def in_use():
    return status("VmRSS:")
"""

MEMORY = (
    MEMORY_IN_USE
    + """
X = np.random.default_rng(0).standard_normal(({n}, 20))
y = X[:, 0].copy()
params = dict(solver={solver!r}, hidden_layer_sizes=(20,), max_iter=1, random_state=0)
{estimator}(**params).fit(X[:1000], y[:1000])  # code and its buffers are not the data's
before = peak()
{estimator}(**params).fit(X, y)
print(peak() - before, X.nbytes / 1024)
"""
)


def memory(quick):
    """Return the increase of peak resident memory in a fit to n rows of 20 inputs, in MB."""
    try:
        import resource  # noqa: F401
    except ImportError:  # Windows
        return []
    rows = []
    n = 300_000 if quick else 1_000_000  # far above the peak of importing
    for estimator, solver in (
        ("TinyMLPRegressor", "adam"),
        ("MLPRegressor", "adam"),
        ("TinyMLPRegressor", "lbfgs"),
        ("MLPRegressor", "lbfgs"),
        ("TinyMLPRegressor", "lm"),
    ):
        rise, data = in_new_process(MEMORY.format(n=n, estimator=estimator, solver=solver))
        rows.append(
            {
                "n": n,
                "estimator": estimator,
                "solver": solver,
                "rise_mb": rise / 1024,
                "data_mb": data / 1024,
            }
        )
    return rows


def gflops(quick):
    """Return arithmetic and memory traffic per second on many rows, relative to the core's peak.

    For adam an epoch in batches of 200 is counted, for lm an iteration, the Gram matrix of the
    Jacobian, as half a matrix product. An epoch reads each row once.
    """
    rows = []
    for dtype in (np.float64, np.float32):
        peak = peak_of_gemm(dtype) / 1e9
        for solver, n, hidden in (
            ("adam", 1_000_000, (100,)),
            ("adam", 1_000_000, (100, 100)),
            ("lm", 100_000, (20,)),
        ):
            if solver == "lm" and dtype == np.float32:
                continue  # it trains in float64
            n = n // 10 if quick else n
            X, y = smooth(n, 20, dtype)
            memory = X.nbytes / least_seconds(X.sum, n_rounds=5) / 1e9
            sizes = (20, *hidden, 1)
            n_flops = flops(sizes, n)
            if solver == "lm":
                n_parameters = 21 * hidden[0] + hidden[0] + 1
                n_flops = n * n_parameters * (n_parameters + 1)
            net = TinyMLPRegressor(
                hidden_layer_sizes=hidden, solver=solver, alpha=1e-4, activation="relu", **ENDLESS
            )
            net.set_params(max_iter=1).fit(X[:1000], y[:1000])
            times = [
                least_seconds(net.set_params(max_iter=k).fit, X, y, n_rounds=1 if quick else 3)
                for k in (1, 3)
            ]
            seconds = (times[1] - times[0]) / 2
            rows.append(
                {
                    "n": n,
                    "solver": solver,
                    "dtype": np.dtype(dtype).name,
                    "hidden": hidden,
                    "seconds": seconds,
                    "gflops": n_flops / seconds / 1e9,
                    "peak": peak,
                    "gbytes": X.nbytes / seconds / 1e9,
                    "memory": memory,
                }
            )
    return rows


def measure(quick):
    """Run all measurements."""
    return {"growth": growth(quick), "memory": memory(quick), "gflops": gflops(quick)}


def markdown(results):
    """Format the three tables."""
    names = {
        "n": "rows",
        "d": "inputs",
        "width": "units",
        "depth": "hidden layers",
        "starts": "starts",
    }
    solvers = list(dict.fromkeys(row["solver"] for row in results["growth"]))
    cells = []
    for axis, sizes in {row["axis"]: row["sizes"] for row in results["growth"]}.items():
        of_axis = {row["solver"]: row for row in results["growth"] if row["axis"] == axis}
        figures = {
            solver: f"{digits(row['ms'][-1])} ({row['exponent']:.2f})"
            for solver, row in of_axis.items()
        }
        label = f"{names[axis]}, {' to '.join(f'{size:,}' for size in (sizes[0], sizes[-1]))}"
        cells.append([label, *(figures.get(solver, "") for solver in solvers)])
    growing = table(["what grows", *solvers], cells)
    cells = [
        [
            f"{row['estimator']}, {row['solver']}",
            f"{row['rise_mb']:.0f}",
            f"{row['rise_mb'] / row['data_mb']:.2f}",
        ]
        for row in results["memory"]
    ]
    header = ["memory beyond the data", "MB", "in sizes of X"]
    rising = table(header, cells)
    cells = []
    for row in results["gflops"]:
        units = "-".join(map(str, row["hidden"]))
        cells.append(
            [
                f"{row['solver']}, {row['n']:,} x 20, {units}, {row['dtype']}",
                f"{row['seconds']:.2f}",
                f"{row['gflops']:.1f}",
                f"{100 * row['gflops'] / row['peak']:.0f}%",
            ]
        )
    header = ["solver, data and units", "s an epoch or iteration", "GFLOP/s", "of GEMM's"]
    return "\n\n".join([growing, rising, table(header, cells)])
