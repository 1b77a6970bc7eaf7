"""Fixtures, which cases are slow, and the way to the benchmarks, which some tests look over."""

import re
import signal
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

# At the end: an installed wheel goes before the package of the clone.
sys.path.append(str(Path(__file__).parents[1]))


def pytest_configure(config):
    """Draw the same examples each time, and few of them where slow tests are left out."""
    n = 5 if config.option.markexpr == "not slow" else 60
    settings.register_profile("tests", max_examples=n, deadline=None, derandomize=True)
    settings.load_profile("tests")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by `-m`
def pytest_collection_modifyitems(items):
    """Mark the cases of a test as slow that vary none of its parameters for the first time.

    The others are a base choice coverage of the product (Ammann and Offutt, 1994): each value of
    each parameter occurs, so that each loss, solver and activation does.
    """
    seen = defaultdict(set)
    for item in items:
        params = getattr(item, "callspec", None) and dict(item.callspec.params)
        if not params:
            continue
        values = set()
        for mark in item.iter_markers("parametrize"):
            names = mark.args[0] if mark.args else mark.kwargs["argnames"]
            names = re.findall(r"\w+", names) if isinstance(names, str) else names
            values.add(tuple((name, id(params.pop(name))) for name in names))
        values |= {(name, id(value)) for name, value in params.items()}  # of fixtures
        test = item.nodeid.partition("[")[0]
        if values <= seen[test]:
            item.add_marker(pytest.mark.slow)
        seen[test] |= values


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
