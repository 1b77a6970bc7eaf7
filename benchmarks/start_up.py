"""What it costs to begin: the import, and the first fit of a process, with and without a cache.

The defaults compile nothing up to some thousands of rows; sgd, adam and lbfgs compile their loops,
which numba keeps on disk. Seconds are those of the processor: other work on the machine matters
little.
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

# The arguments of the fits.
CASES = ("", "solver='adam'", "solver='lbfgs'", "solver='sgd', batch_size=1")

# What is measured, in seconds.
COLUMNS = {
    "import_s": "import beyond scikit-learn's, s",
    "cold_s": "first fit, no cache, s",
    "warm_s": "first fit, warm cache, s",
    "second_s": "second fit, s",
}

# How long the defaults may take, in seconds.
GOALS = {
    "import_s": ("import beyond scikit-learn's", 0.10),
    "cold_s": ("first fit of a process, no cache", 0.5),
}


def measure(quick):
    """Give a dict a case, with seconds."""
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
    """Write the table."""
    cells = [[row["params"], *(f"{row[what]:.2f}" for what in COLUMNS)] for row in rows]
    return table(["a fit with", *COLUMNS.values()], cells)


def goals(rows):
    """Write what is above its goal, of the defaults."""
    cells = [
        [what, f"{rows[0][key]:.2f}", goal, "yes" if rows[0][key] <= goal else "**no**"]
        for key, (what, goal) in GOALS.items()
    ]
    return table(["the defaults", "s", "goal, s", "met?"], cells)
