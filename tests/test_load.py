"""No memory is lost in many fits, and of large data there is one copy at most."""

from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="Linux alone says what is in use"
    ),
]

SOLVERS = {
    "lm": "solver='lm'",
    "lm, alpha": "solver='lm', alpha=0.001",
    "lbfgs": "solver='lbfgs'",
    "adam": "solver='adam'",
    "sgd": "solver='sgd', batch_size=1",
    "threads": "solver='adam', n_init=3",
}


@pytest.fixture
def load():
    from benchmarks import load

    return load


@pytest.mark.parametrize("solver", SOLVERS)
def test_many_fits_do_not_add_up(load, solver):
    growth, *_ = load.many_fits(SOLVERS[solver], n_fits=100, n_rounds=3)
    assert growth < 5.0


# In sizes of the data, these included: 34 MB. Measured: 1.05, 1.01, 2.15 and 2.21; lm and the
# intervals work on standardised inputs.
@pytest.mark.parametrize(
    "work, solver, most",
    [("FIT", "adam", 1.3), ("FIT", "lbfgs", 1.3)] + [("FIT", "lm", 2.5), ("PREDICT", "lm", 2.5)],
)
def test_large_data_are_copied_once_at_most(load, work, solver, most):
    peak, data = load.large(f"solver={solver!r}", 200_000, getattr(load, work))
    assert peak < most * data
