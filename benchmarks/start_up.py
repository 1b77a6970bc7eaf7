"""What it costs to begin: the import, and the first fit of a process on a cold and a warm cache."""

import tempfile
from statistics import median

from .report import table
from .timing import in_new_process

CODE = """
import time
begun = time.perf_counter()
import sklearn.neural_network
loaded = time.perf_counter()
from sklearn_tinymlp import TinyMLPRegressor
imported = time.perf_counter()
import numpy as np, warnings
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((100, 3))
times = []
for _ in range(2):
    begun = time.perf_counter()
    TinyMLPRegressor(max_iter=5, {params}).fit(X, X[:, 0])
    times.append(time.perf_counter() - begun)
print(imported - loaded, times[0] - times[1])
"""

# The arguments of the fits.
CASES = ("", "solver='adam'", "solver='lbfgs'", "solver='sgd', batch_size=1")

# What is measured, and how long the defaults may take, in seconds.
GOALS = {
    "import_s": ("import beyond scikit-learn's", 0.12),
    "cold_s": ("first fit, cold cache", 3.0),
    "warm_s": ("first fit, warm cache", 0.12),
}


def measure(quick):
    """Give a dict a case, with seconds."""
    rows = []
    for params in CASES:
        code = CODE.format(params=params)
        with tempfile.TemporaryDirectory() as folder:
            runs = [in_new_process(code, NUMBA_CACHE_DIR=folder) for _ in range(2 if quick else 8)]
        rows.append(
            {
                "params": params or "the defaults",
                "import_s": median(imported for imported, _ in runs[1:]),
                "cold_s": runs[0][1],
                "warm_s": median(first for _, first in runs[1:]),
            }
        )
    return rows


def markdown(rows):
    """Write the table."""
    header = [
        "a fit with",
        "import beyond scikit-learn's, s",
        "first fit adds, cold cache, s",
        "first fit adds, warm cache, s",
    ]
    cells = [[row["params"], *(f"{row[what]:.2f}" for what in GOALS)] for row in rows]
    return table(header, cells)


def goals(rows):
    """Write what is above its goal, of the defaults."""
    cells = [
        [what, f"{rows[0][key]:.2f}", goal, "yes" if rows[0][key] <= goal else "**no**"]
        for key, (what, goal) in GOALS.items()
    ]
    return table(["the defaults", "s", "goal, s", "met?"], cells)
