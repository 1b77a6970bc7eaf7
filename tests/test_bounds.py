"""That a kernel which leaves its arrays is found when `NUMBA_BOUNDSCHECK=1`; see .ci/run.

numba's cache does not know the flag: a run with it needs a NUMBA_CACHE_DIR of its own. Not looked
at are the arguments of BLAS and LAPACK, and where in an array the pointer to a C function begins.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import config

from sklearn_tinymlp._machine.compilation import (
    c_function,
    call,
    carray,
    jit_entry,
    jit_fast,
    jit_ieee,
    jit_inline,
    jit_ordered,
    unsigned,
)

pytestmark = pytest.mark.slow


checked = pytest.mark.skipif(
    not config.BOUNDSCHECK or bool(config.DISABLE_JIT), reason="NUMBA_BOUNDSCHECK is not 1"
)
PACKAGE = Path(__file__).parents[1]


@jit_fast
def fast_entry(array, place):
    return array[place]


@jit_ordered
def ordered_entry(array, place):
    return array[place]


@jit_ieee
def ieee_entry(array, place):
    return array[place]


@jit_inline
def inline_entry(array, place):
    return array[place]


@jit_entry
def kernel_entry(array, place):
    return array[place]


@jit_entry
def entry_by_fast(array, place):
    return fast_entry(array, place)


@jit_entry
def entry_by_ordered(array, place):
    return ordered_entry(array, place)


@jit_entry
def entry_by_ieee(array, place):
    return ieee_entry(array, place)


@jit_entry
def entry_by_inline(array, place):
    return inline_entry(array, place)


def entry_of_pointer(source, target, size, place):
    source, target = carray(source, size), carray(target, unsigned(1))
    target[0] = source[place]


@jit_entry
def call_c_function(address, array, target, place):
    call(address, (array, target), (0, 0), (unsigned(array.size), unsigned(place)))


@checked
@pytest.mark.parametrize(
    "entry", [kernel_entry, entry_by_fast, entry_by_ordered, entry_by_ieee, entry_by_inline]
)
@pytest.mark.parametrize("place", [4, np.uint64(4)], ids=["signed", "unsigned"])
def test_a_place_behind_the_end_raises(entry, place):
    assert entry(np.arange(4.0), place - type(place)(1)) == 3.0
    with pytest.raises(IndexError, match="index is out of bounds"):
        entry(np.arange(4.0), place)


@checked
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_c_function_has_nowhere_to_raise_to_and_reports(dtype, monkeypatch):
    reports = []
    monkeypatch.setattr(sys, "unraisablehook", reports.append)
    compiled = c_function(entry_of_pointer, 2, 2, dtype)
    array, target = np.arange(4, dtype=dtype), np.full(1, -1, dtype)
    call_c_function(unsigned(compiled.address), array, target, 3)
    assert target[0] == 3 and not reports
    call_c_function(unsigned(compiled.address), array, target, 4)
    assert [report.exc_type for report in reports] == [IndexError]


PLANTED = """
import numpy as np
from test_bounds import c_function, call_c_function, entry_of_pointer, kernel_entry, unsigned

def test_kernel():
    kernel_entry(np.arange(4.0), 4)

def test_c_function():
    compiled = c_function(entry_of_pointer, 2, 2, "float64")
    call_c_function(unsigned(compiled.address), np.arange(4.0), np.zeros(1), 4)
"""


@pytest.mark.parametrize("flag, outcome", [("0", "2 passed"), ("1", "2 failed")])
@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="looks at the machine code")
def test_faults_planted_in_a_run_fail_it_with_the_flag(flag, outcome, tmp_path):
    (tmp_path / "test_planted.py").write_text(PLANTED)
    paths = [str(PACKAGE), str(PACKAGE / "tests"), os.environ.get("PYTHONPATH", "")]
    environment = {
        "NUMBA_BOUNDSCHECK": flag,
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    command += ["-c", str(PACKAGE / "pyproject.toml"), "--rootdir", str(tmp_path)]
    run = subprocess.run(
        [*command, str(tmp_path / "test_planted.py")],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert outcome in run.stdout.splitlines()[-1], run.stdout + run.stderr
    if flag == "1":
        assert "IndexError: index is out of bounds" in run.stdout
        assert "PytestUnraisableExceptionWarning" in run.stdout
