"""Start-up: time of the import, and of the first fit of a process with and without a cache.

The defaults compile nothing up to some thousands of rows; sgd, adam and lbfgs compile their loops,
which numba caches on disk. Times are processor times, which other processes affect little.
"""

import tempfile
from statistics import median

from .report import table
from .timing import in_new_process

CODE = """
import time
begun = time.process_time()
import sklearn.neural_network
loaded = time.process_time()
from sklearn_tinymlp import TinyMLPRegressor
imported = time.process_time()
import numpy as np, warnings
warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((100, 3))
times = []
for _ in range(2):
    begun = time.process_time()
    TinyMLPRegressor(random_state=0, {params}).fit(X, X[:, 0])
    times.append(time.process_time() - begun)
print(imported - loaded, *times)
"""

# Parameters of the fits.
CASES = ("", "solver='adam'", "solver='lbfgs'", "solver='sgd', batch_size=1")

# The measurements, in seconds.
COLUMNS = {
    "import_s": "import beyond scikit-learn's, s",
    "cold_s": "first fit, no cache, s",
    "warm_s": "first fit, warm cache, s",
    "second_s": "second fit, s",
}

# Goals for the defaults, in seconds.
GOALS = {
    "import_s": ("import beyond scikit-learn's", 0.10),
    "cold_s": ("first fit of a process, no cache", 0.5),
}


def measure(quick):
    """Return a dict of seconds for each case."""
    rows = []
    for params in CASES:
        code = CODE.format(params=params)
        with tempfile.TemporaryDirectory() as folder:
            runs = [in_new_process(code, NUMBA_CACHE_DIR=folder) for _ in range(2 if quick else 8)]
        imports, first, second = zip(*runs[1:], strict=True)
        rows.append(
            {
                "params": params or "the defaults",
                "import_s": median(imports),
                "cold_s": runs[0][1],
                "warm_s": median(first),
                "second_s": median(second),
            }
        )
    return rows


def markdown(rows):
    """Format the table."""
    cells = [[row["params"], *(f"{row[what]:.2f}" for what in COLUMNS)] for row in rows]
    return table(["a fit with", *COLUMNS.values()], cells)


def goals(rows):
    """Format the times of the defaults that exceed their goals."""
    cells = [
        [what, f"{rows[0][key]:.2f}", goal, "yes" if rows[0][key] <= goal else "**no**"]
        for key, (what, goal) in GOALS.items()
    ]
    return table(["the defaults", "s", "goal, s", "met?"], cells)
