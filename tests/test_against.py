"""The guard against slowdowns decides rightly, whatever the noise."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
if not (ROOT / "benchmarks").is_dir():  # tests may be run elsewhere, on an installed wheel
    pytest.skip("the benchmarks are in the clone only", allow_module_level=True)
from benchmarks import against  # noqa: E402

pytestmark = pytest.mark.slow


N_RUNS = against.N_PAIRS * against.N_TURNS


def timings(factor, noise, random_state, spikes=0.0):
    """Seconds of runs in turn: busy spells meet both, noise each, spikes the one or the other."""
    rng = np.random.default_rng(random_state)
    spells = rng.lognormal(0.0, 0.2, N_RUNS)
    then, now = spells * rng.lognormal(0.0, noise, (2, N_RUNS))
    now, then = (t * np.where(rng.uniform(size=N_RUNS) < spikes, 2.0, 1.0) for t in (now, then))
    return 0.1 * factor * now, 0.1 * then


def share_of_alarms(factor, noise, spikes=0.0, n=400):
    return np.mean([against.judge(*timings(factor, noise, k, spikes)).is_slower for k in range(n)])


@pytest.mark.parametrize("noise, spikes", [(0.005, 0.0), (0.02, 0.0), (0.02, 0.1)])
def test_a_slowdown_of_a_tenth_is_found(noise, spikes):
    assert share_of_alarms(1.10, noise, spikes) > 0.97


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.02])
@pytest.mark.parametrize("noise, spikes", [(0.005, 0.0), (0.02, 0.1), (0.1, 0.1)])
def test_no_alarm_without_a_slowdown(factor, noise, spikes):
    assert share_of_alarms(factor, noise, spikes) < 0.05


@pytest.mark.parametrize("n, k", [(5, 0), (6, 0), (9, 1), (12, 2), (21, 5)])
def test_the_interval_is_that_of_the_sign_test(n, k):
    # Tables of the binomial distribution, two-sided, 5%: k ratios lie outside at either end.
    ratios = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    verdict = against.judge(ratios, np.ones(n))
    assert verdict == (np.median(ratios), k + 1, n - k)


def test_two_processes_take_turns_and_each_has_its_own_package(tmp_path):
    package = tmp_path / "sklearn_tinymlp"
    package.symlink_to(ROOT / "sklearn_tinymlp", target_is_directory=True)
    workers = [against.Worker(ROOT), against.Worker(tmp_path)]
    for worker in workers:
        assert worker.seconds("G yacht") > 0.0
        worker.end()
        assert worker.process.returncode == 0


def test_a_folder_without_the_package_is_refused(tmp_path):
    (tmp_path / "sklearn_tinymlp").mkdir()
    (tmp_path / "sklearn_tinymlp" / "__init__.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(RuntimeError, match="cannot be imported"):
        against.Worker(tmp_path)


def test_the_command_refuses_a_revision_that_is_none():
    command = [sys.executable, "-m", "benchmarks", "--against", "no-such-revision", "--only", "A"]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    assert run.returncode != 0
    assert "no-such-revision" in run.stderr
