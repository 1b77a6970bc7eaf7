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

# The arguments of the fit, and whether it is measured on a cold cache too.
CASES = (
    ("", True),
    ("solver='adam'", True),
    ("solver='lbfgs'", False),
    ("solver='sgd', batch_size=1", False),
)
MOST_COLD, MOST_WARM, MOST_IMPORT = 4.0, 0.25, 0.15


def measure(quick):
    """Give a dict a case, with seconds."""
    rows = []
    for params, cold in CASES:
        code = CODE.format(params=params)
        with tempfile.TemporaryDirectory() as folder:
            environment = {"NUMBA_CACHE_DIR": folder} if cold else {}
            runs = [in_new_process(code, **environment) for _ in range(2 if quick else 8)]
        rows.append(
            {
                "params": params or "the defaults",
                "import_s": median(imported for imported, _ in runs[1:]),
                "cold_s": runs[0][1] if cold else None,
                "warm_s": median(first for _, first in runs[1:]),
            }
        )
    return rows


def markdown(rows):
    """Write the table."""

    def against(seconds, most):
        if seconds is None:
            return ""
        return f"{seconds:.2f}" if seconds <= most else f"**{seconds:.2f}**"

    header = [
        "a fit with",
        f"import beyond scikit-learn's, s (goal {MOST_IMPORT})",
        f"first fit adds, cold cache, s (goal {MOST_COLD:g} for the defaults)",
        f"first fit adds, warm cache, s (goal {MOST_WARM})",
    ]
    cells = [
        [
            row["params"],
            against(row["import_s"], MOST_IMPORT),
            against(row["cold_s"], MOST_COLD),
            against(row["warm_s"], MOST_WARM),
        ]
        for row in rows
    ]
    return table(header, cells) + "\n\nBold: above the goal."
