"""Fixtures, and the way to the benchmarks, which some tests look over."""

import signal
import sys
from pathlib import Path

import pytest

# At the end: an installed wheel goes before the package of the clone.
sys.path.append(str(Path(__file__).parents[1]))


@pytest.fixture
def global_random_seed():
    """Stand in for the fixture that scikit-learn's own tests expect."""
    return 0


@pytest.fixture(autouse=True, scope="session")
def ctrl_c_raises():
    """Python leaves SIGINT ignored where it was so when it began (`nohup pytest &`).

    A handler becomes the default action in child processes, so that they hear of it, too.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
