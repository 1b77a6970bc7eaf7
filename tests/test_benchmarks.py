"""The benchmark command runs, and holds both sides to the same work."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sklearn_tinymlp._training.referee import MIN_ROWS

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import readme  # noqa: E402

pytestmark = pytest.mark.slow


def test_command_compares_the_same_work(tmp_path):
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "A,F 1", "--json", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["works"]
    assert {"A", "A tanh", "F 1"} <= {row["work"] for row in rows}
    assert all("same to" in row["remarks"] for row in rows), rows


def test_docs_have_the_markers():
    for path, names in {
        "docs/speed.md": ["machine", "works", "start-up", "scaling", "losses"],
        "benchmarks/goals.md": ["machine", "goals", "start-up", "parts"],
        "README.md": ["speed", "accuracy"],
    }.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            assert text.count(f"<!-- {name} -->") == text.count(f"<!-- end {name} -->") == 1


@pytest.mark.parametrize("path, name, results, formatted", readme.TABLES)
def test_tables_of_the_pages_are_those_of_the_results(path, name, results, formatted):
    text = (ROOT / path).read_text(encoding="utf-8")
    shown = text.partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- end {name} -->")[0]
    assert shown == formatted(readme.read(results))


# Numbers of the README that are no results.
LIMITS = {"Python 3.11": "3.11", "20 rows": str(MIN_ROWS), "BSD-3-Clause": "3"}


def test_numbers_of_the_readme_are_those_of_the_results():
    prose = (ROOT / "README.md").read_text(encoding="utf-8")
    for pattern in (r"```.*?```", r"<!-- (\w+) -->.*?<!-- end \1 -->", r"\]\([^)]*\)", r"`[^`]*`"):
        prose = re.sub(pattern, " ", prose, flags=re.DOTALL)  # each has a test of its own
    prose = " ".join(prose.split())
    sentences = [sentence(readme.read(results)) for results, sentence in readme.SENTENCES]
    for sentence in sentences:
        assert sentence in prose
        prose = prose.replace(sentence, "")
    for words, number in LIMITS.items():
        assert number in words
        prose = prose.replace(words, "")
    assert re.findall(r".{30}\d.{10}", prose) == []


def test_candidates_for_importances_are_compared(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 3))
    np.savez(tmp_path / "toy.npz", X=X, y=X @ [3.0, 1.0, 0.0] + 0.1 * rng.standard_normal(90))
    command = [sys.executable, "-m", "benchmarks.importances", tmp_path, "--seeds", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    head, _, row, mean = done.stdout.splitlines()
    assert head.count("|") == row.count("|") == mean.count("|") == 7
    assert row.startswith("| toy | 1.00 | 1.00 | 1.00 | 1.00 |")


WITH_R = """
import numpy as np
from benchmarks import peers, report, works
from benchmarks.timing import Runs

def stub(X, y, starts, errors):  # stands for R, which times each start that it is given
    return Runs([1.0] * len(starts), [np.ones(1)] * len(starts))

peers.nnet_time_to_error = stub
work, = (work for work in works.WORKS if work.name == "B diabetes")
rows = list(report.compare(work, quick=True))
print([row.peer for row in rows])
"""


def test_a_peer_timed_outside_is_timed_as_often_as_the_others():
    done = subprocess.run(
        [sys.executable, "-c", WITH_R], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "R nnet" in done.stdout
