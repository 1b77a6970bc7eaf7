"""The benchmark command runs, and holds both sides to the same work."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_command_compares_the_same_work(tmp_path):
    path = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "A,F 1", "--json", path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["works"]
    assert {"A", "A tanh", "F 1"} <= {row["work"] for row in rows}
    assert all("same to" in row["remarks"] for row in rows), rows


def test_docs_have_the_markers():
    for path, names in {
        "docs/speed.md": ["machine", "works", "start-up", "scaling", "losses"],
        "README.md": ["speed"],
    }.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            assert text.count(f"<!-- {name} -->") == text.count(f"<!-- end {name} -->") == 1
