"""What fitting touches: no network, no other program, no file but numba's cache; no pickle."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

from sklearn_tinymlp import TinyMLPRegressor

HOOK = """
import os
import sys

# What joblib asks for the number of cores, once a process, before several starts are trained.
COUNTERS = ("lscpu", "sysctl", "wmic", "powershell.exe")

allowed = os.path.realpath(sys.argv[1])
seen = []


def within(path):
    return os.path.realpath(os.fsdecode(path)).startswith(allowed)


def watch(event, arguments):
    if event.split(".")[0] in ("socket", "urllib", "http", "ftplib", "smtplib"):
        seen.append((event, arguments))
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"):
        if arguments[0] not in COUNTERS:
            seen.append((event, arguments))
    elif event == "open" and not isinstance(arguments[0], int):
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND)
        if writes and path != os.devnull and not within(path):
            seen.append((event, arguments))
    elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"):
        if not within(arguments[0]):
            seen.append((event, arguments))


import numpy as np
import sklearn.neural_network

sys.addaudithook(watch)
"""

WORK = """
import warnings

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor, to_c, to_python

warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((40, 2))
y = np.sin(X[:, 0])
for solver in ("lm", "lbfgs", "adam", "sgd"):
    net = TinyMLPRegressor(solver=solver, max_iter=5, random_state=0).fit(X, y)
    net.predict(X), net.diagnose(X, y), repr(net), net._repr_html_(), to_c(net), to_python(net)
TinyMLPRegressor(max_iter=5, n_init=2).fit(X, y).predict(X, return_std=True)
net = TinyMLPEnsembleRegressor(hidden_layer_sizes=[(2,)], cv=2, random_state=0).fit(X, y)
net.predict(X, return_std=True), net._repr_html_(), to_c(net), to_python(net)
"""


def run(code, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment or None,
        timeout=600,
    )


@pytest.fixture
def environment(tmp_path):
    return {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.slow
def test_a_fit_opens_no_connection_starts_no_program_and_writes_to_the_cache_alone(
    environment, tmp_path
):
    done = run(HOOK + WORK + "print(seen)", tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert any(tmp_path.rglob("*.nbi"))  # what was compiled has been kept, and seen by the hook


@pytest.mark.parametrize(
    "offence",
    [
        "import socket; socket.socket()",
        "import subprocess; subprocess.run(['true'])",
        "import pathlib; pathlib.Path(sys.argv[2]).write_text('')",
        "os.mkdir(sys.argv[2])",
    ],
)
def test_the_hook_sees_what_is_forbidden(offence, environment, tmp_path):
    allowed = tmp_path / "allowed"
    done = run(HOOK + offence + "\nprint(len(seen))", allowed, tmp_path / "other", **environment)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_a_skops_file_is_loaded_without_pickle(tmp_path):
    sio = pytest.importorskip("skops.io", reason="skops is not installed")
    X = np.linspace(-1, 1, 20)[:, None]
    net = TinyMLPRegressor(random_state=0).fit(X, X.ravel())
    path = tmp_path / "net.skops"
    sio.dump(net, path)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load", "loads", "Unpickler"):
            patch.setattr(pickle, name, None)
        loaded = sio.load(path, trusted=["sklearn_tinymlp._regressor.TinyMLPRegressor"])
    assert (loaded.predict(X) == net.predict(X)).all()


# ------------------------------------------------------------------------- tampered states


def tamper(*arguments):
    root = os.path.dirname(os.path.dirname(__file__))
    return subprocess.run(
        [sys.executable, "-m", "tests.tamper", "--seed", "81173", *arguments],
        capture_output=True,
        text=True,
        cwd=root,
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases are run in forked processes")
def test_no_tampered_state_ends_the_process():
    done = tamper("--cases", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "300 states" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases are run in forked processes")
def test_without_the_check_they_do():
    done = tamper("--cases", "16", "--within", "lower", "--unchecked")
    assert done.returncode == 1 and "DIED by signal" in done.stdout
