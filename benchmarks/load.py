"""Load tests: memory after thousands of fits, peak memory for large data, response to Ctrl-C.

Usage: python -m benchmarks.load [--quick] [--write-docs]
"""

import argparse
import os
from runpy import run_path

from .report import ROOT, table, write_between_markers
from .scaling import MEMORY_IN_USE
from .timing import in_new_process

N_FITS, MOST_GROWTH_MB, MOST_SLOWDOWN = 1000, 5.0, 1.2
MOST_TIMES_DATA, MOST_EXTRA_MB = 1.5, 200.0
MOST_SECONDS = 0.2

SOLVERS = {
    "lm": "solver='lm'",
    "lm, alpha=0.001": "solver='lm', alpha=0.001",
    "lbfgs": "solver='lbfgs'",
    "adam": "solver='adam'",
    "sgd, single rows": "solver='sgd', batch_size=1",
    "adam, three starts": "solver='adam', n_init=3",
}

# The number of fits in the warm-up and in each of the following rounds. Medians are reported, which
# other load on the machine affects little.
MANY_FITS = (
    MEMORY_IN_USE
    + """
import gc, time
X = np.random.default_rng(0).standard_normal((30, 2))
y = np.sin(X[:, 0])

def fits():
    seconds = np.empty({n_fits})
    for seed in range({n_fits}):
        begun = time.perf_counter()
        TinyMLPRegressor(hidden_layer_sizes=(3,), max_iter=5, random_state=seed, {params}).fit(X, y)
        seconds[seed] = time.perf_counter() - begun
    return np.median(seconds)

fits()
gc.collect()
before = in_use()
medians = [fits() for _ in range({n_rounds})]
gc.collect()
print(in_use() - before, 1e3 * medians[0], 1e3 * medians[-1])
"""
)


def many_fits(params, n_fits=N_FITS, n_rounds=9):
    """Fit tiny networks one after the other in a new process.

    Returns
    -------
    growth : float
        Of resident memory after the warm-up, in MB.
    first, last : float
        Median time of a fit in the first and in the last round, in ms.
    """
    growth, first, last = in_new_process(
        MANY_FITS.format(params=params, n_fits=n_fits, n_rounds=n_rounds)
    )
    return growth / 1024, first, last


# Compile, and allocate the memory that this takes, before the data exist.
LARGE = (
    MEMORY_IN_USE
    + """
def small_and_large(work):
    work(*data(2000))
    before = in_use()
    X, y = data({n})
    work(X, y)
    print(peak() - before, (X.nbytes + y.nbytes) / 1024)

def data(n):
    X = np.random.default_rng(0).standard_normal((n, 20))
    return X, np.sin(X[:, 0])

net = TinyMLPRegressor(hidden_layer_sizes=(20,), max_iter=2, random_state=0, {params})
"""
)
FIT = "small_and_large(net.fit)"
PREDICT = """
net.set_params(max_iter=20).fit(*data(2000))
small_and_large(lambda X, y: net.predict(X, return_std=True))
"""


def large(params, n, work=FIT):
    """Return the peak memory in MB for data of n rows and 20 columns, and the size of the data.

    The peak includes the data and excludes memory in use before they were created.
    """
    peak, data = in_new_process((LARGE + work).format(params=params, n=n))
    return peak / 1024, data / 1024


def most_mb(data):
    """Return the memory limit of a fit, data included."""
    return MOST_TIMES_DATA * data + MOST_EXTRA_MB


def marked(text, met):
    """Format a number, in bold if it misses its goal."""
    return text if met else f"**{text}**"


def main():
    """Run all measurements, print them, and update the docs if asked to."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.load", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--write-docs", action="store_true", help="write docs/promises.md")
    arguments = parser.parse_args()
    quick, tables = arguments.quick, []

    def show(header, rows):
        tables.append(table(header, rows))
        print(tables[-1], end="\n\n", flush=True)

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

    n_fits, n_rounds = (100, 3) if quick else (N_FITS, 9)
    rows = []
    for solver, params in SOLVERS.items():
        growth, first, last = many_fits(params, n_fits, n_rounds)
        grown = marked(f"{growth:.2f}", growth < MOST_GROWTH_MB)
        ratio = marked(f"{last / first:.2f}", last / first < MOST_SLOWDOWN)
        rows.append([solver, grown, f"{first:.3f}", ratio])
    header = [
        f"{(n_rounds + 1) * n_fits:,} fits, of which {n_fits:,} to warm up",
        f"growth of memory, MB (goal {MOST_GROWTH_MB:g})",
        f"ms a fit, first {n_fits:,}",
        f"ratio, last {n_fits:,} (goal {MOST_SLOWDOWN:g})",
    ]
    show(header, rows)

    n = 200_000 if quick else 2_000_000
    rows = []
    for what, params, n_rows, work in (
        ("fit by adam", "solver='adam'", n, FIT),
        ("fit by lbfgs", "solver='lbfgs'", n, FIT),
        ("fit by lm", "solver='lm'", n, FIT),
        ("predict(return_std=True)", "solver='lm'", n // 2, PREDICT),
    ):
        peak, data = large(params, n_rows, work)
        figures = [f"{data:.0f}", marked(f"{peak:.0f}", peak <= most_mb(data))]
        rows.append([f"{what}, {n_rows:,} x 20", *figures, f"{most_mb(data):.0f}"])
    header = ["work", "data, MB", "peak with the data, MB", "goal: 1.5 data + 200"]
    show(header, rows)

    child = run_path(str(ROOT / "tests" / "interrupted_fit.py"))
    most = {}
    for case in child["CASES"]:
        most[case] = max(child["seconds_to_return"](case) for _ in range(2 if quick else 5))
        print(f"Ctrl-C during {case}: {most[case]:.3f} s", flush=True)
    slowest = max(most, key=most.get)
    tables.append(
        f"After Ctrl-C `fit` returns within {min(most.values()):.3f} to "
        f"{marked(f'{most[slowest]:.3f}', most[slowest] < MOST_SECONDS)} s in {len(most)} cases "
        f"(goal {MOST_SECONDS:g}), slowest {slowest}."
    )
    print(tables[-1], flush=True)
    if arguments.write_docs:
        write_between_markers("docs/promises.md", "load", "\n\n".join(tables))


if __name__ == "__main__":
    main()
