"""What the usual fits do without the compiler, whose import alone takes as long as they do."""

import subprocess
import sys

import pytest

USES = {
    "fit and predict": """
net = TinyMLPRegressor(random_state=0).fit(X, y)
net.predict(X, return_std=True)
net.predict_interval(X)
net.sample_y(X[:5], n_samples=3, random_state=0)
net.diagnose(X, y)
""",
    "several outputs": """
net = TinyMLPRegressor(random_state=0).fit(X, np.column_stack([y, y**2]))
net.predict(X, return_std=True)
""",
    "counts": """
net = TinyMLPRegressor(loss="poisson", random_state=0).fit(X, np.round(np.exp(y)))
net.predict(X)
""",
    "ensemble": """
net = TinyMLPEnsembleRegressor(random_state=0, n_jobs=1).fit(X, y)
net.predict(X, return_std=True)
net.predict_interval(X)
""",
}

PROGRAM = """
import sys
import warnings
import numpy as np
from sklearn_tinymlp import *

warnings.simplefilter("ignore")
rng = np.random.RandomState(0)
X = rng.uniform(-2, 2, (200, 3))
y = np.sin(X[:, 0]) + X[:, 1] + 0.1 * rng.standard_normal(200)
{}
assert "numba" not in sys.modules
"""


@pytest.mark.slow
@pytest.mark.parametrize("use", USES)
def test_of_200_rows_nothing_is_compiled(use):
    program = PROGRAM.format(USES[use])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
