"""What goes wrong outside: Ctrl-C, errors, no memory, no disk, other threads and processes.

The promise: a fit either ends with a usable model, or leaves the estimator as it was.
"""

import linecache
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import interrupted_fit
import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import PROBLEMS
from threadpoolctl import threadpool_info

import sklearn_tinymlp
from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._activations import users_own
from sklearn_tinymlp._bayes.laplace import Posterior
from sklearn_tinymlp._engine import kernels, limited_memory
from sklearn_tinymlp._machine.memory import Scratch
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._solvers import stochastic
from sklearn_tinymlp._training import calibration, callbacks, fit_result, train
from sklearn_tinymlp._training.fit_result import FitResult

# The fits are short on purpose: what they warn of is not the subject.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FOLDER = Path(sklearn_tinymlp.__file__).parent
X, y = PROBLEMS["sine"].X, PROBLEMS["sine"].y

SOLVERS = {
    "lm by the evidence": {"solver": "lm"},
    "lm": {"solver": "lm", "alpha": 1e-3, "standardize": False},
    "lbfgs": {"solver": "lbfgs"},
    "adam": {"solver": "adam", "early_stopping": True},
    "sgd": {"solver": "sgd", "batch_size": 1},
}
THREADED = {**SOLVERS, "threads": {"solver": "adam", "n_init": 3}}
each_solver = pytest.mark.parametrize("solver", SOLVERS)

# What computes the derivatives of each solver.
ENGINES = {
    "lm by the evidence": (Objective, "linearise"),
    "lm": (Objective, "linearise"),
    "lbfgs": (kernels, "run_lbfgs"),
    "adam": (kernels, "run_epochs"),
    "sgd": (kernels, "run_epochs"),
    "threads": (kernels, "run_epochs"),
}


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr("sklearn_tinymlp._training.train._openmp_effective_n_threads", lambda: 2)


def make_net(solver, **params):
    params = {"hidden_layer_sizes": (3,), "max_iter": 4, "random_state": 0} | params
    return TinyMLPRegressor(**THREADED[solver], **params)


def fitted_before(solver, **params):
    """A network of other data, about to be fitted anew; and its attributes."""
    net = make_net(solver, **params).fit(X[:30], -y[:30])
    return net, dict(vars(net))


def parameters(net):
    return np.concatenate([np.ravel(array) for array in (*net.coefs_, *net.intercepts_)])


def assert_as_it_was(net, before):
    """Each attribute is the very object that it was."""
    assert list(vars(net)) == list(before)
    assert not [name for name in before if vars(net)[name] is not before[name]]


def at_each_line(function, act, leave_out=()):
    """Call a function, and `act(number)` before each line of the package that the thread runs.

    Python looks at signals and changes threads between instructions, so these are the places where
    Ctrl-C and another thread's call may come. But not in a line of `with`, which comes again as the
    block ends: a lock that is released there is released before anything else happens.
    """
    n_lines = 0

    def line(frame, event, _):
        nonlocal n_lines
        code = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        if event == "line" and not code.startswith("with "):
            n_lines += 1
            act(n_lines)
        return line

    def call(frame, *_):
        path = Path(frame.f_code.co_filename)
        return line if path.is_relative_to(FOLDER) and path.stem not in leave_out else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        function()
    finally:
        sys.settrace(before)
    return n_lines


# ------------------------------------------------------------------------------------ Ctrl-C


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a single process")
@pytest.mark.parametrize("case", interrupted_fit.CASES)
def test_a_real_ctrl_c_ends_the_fit(case):
    interrupted_fit.seconds_to_return(case)  # in less than 60; `benchmarks/load.py` measures them


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


@pytest.mark.slow
@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is tracing")
@pytest.mark.parametrize("solver", THREADED)
def test_ctrl_c_at_any_line_leaves_the_old_network_or_a_usable_one(solver, two_threads):
    net, _ = fitted_before(solver)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_result, "refereed", lambda fit, *_: fit)
        unjudged = make_net(solver).fit(X, y)
    undisturbed = make_net(solver)
    n_lines = at_each_line(lambda: undisturbed.fit(X, y), lambda number: None)
    threads_before = blas_threads()
    outcomes = set()
    for pressed in np.unique(np.linspace(1, n_lines, 80).astype(int)):
        net, before = fitted_before(solver)

        def press(number, pressed=pressed):
            if number == pressed:
                signal.raise_signal(signal.SIGINT)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                at_each_line(lambda net=net: net.fit(X, y), press)
            except KeyboardInterrupt:
                outcomes.add("raised")
                assert_as_it_was(net, before)
            else:
                words = [str(warning.message).lower() for warning in caught]
                assert sum("interrupted by user" in word for word in words) == 1, (pressed, words)
                outcomes.add(net.stop_reason_)
                assert {len(column) for column in net.history_.values()} <= {net.n_iter_}
                assert np.isfinite(net.predict(X)).all()
                if np.array_equal(net.starts_["n_iter"], undisturbed.starts_["n_iter"]):
                    assert any(
                        np.array_equal(parameters(net), parameters(other))
                        for other in (unjudged, undisturbed)
                    )
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert blas_threads() == threads_before
    assert {"raised", "interrupted"} <= outcomes


def test_a_second_ctrl_c_ends_what_does_not_listen(monkeypatch):
    run_epochs, pressed = kernels.run_epochs, []

    def press_twice(*arguments):
        for _ in range(2):
            pressed.append(1)
            signal.raise_signal(signal.SIGINT)
        raise AssertionError("it went on")

    monkeypatch.setattr(kernels, "run_epochs", press_twice)
    net = make_net("sgd")
    with pytest.warns(UserWarning, match="interrupted"):
        net.fit(X, y)
    assert (len(pressed), net.n_iter_, net.stop_reason_) == (2, 0, "interrupted")
    monkeypatch.setattr(kernels, "run_epochs", run_epochs)
    assert_array_equal(parameters(net.fit(X, y)), parameters(make_net("sgd").fit(X, y)))


def test_a_handler_of_the_users_own_is_left_alone():
    heard = []
    before = signal.signal(signal.SIGINT, lambda *_: heard.append(1))
    try:
        net = make_net("lbfgs")
        at_each_line(
            lambda: net.fit(X, y),
            lambda number: number % 100 == 0 and signal.raise_signal(signal.SIGINT),
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard
    assert_array_equal(parameters(net), parameters(make_net("lbfgs").fit(X, y)))


def interrupt_after(monkeypatch, kernel, n_calls):
    """Let SIGINT come at the end of a call of a kernel."""
    run, count = getattr(kernels, kernel), iter(range(1, n_calls + 1))

    def run_and_interrupt(*arguments):
        result = run(*arguments)
        if next(count, None) == n_calls:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(kernels, kernel, run_and_interrupt)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_ctrl_c_within_partial_fit_ends_its_epoch(solver, monkeypatch):
    net = TinyMLPRegressor(solver=solver, random_state=0).partial_fit(X, y)
    monkeypatch.setattr(stochastic, "rows_per_call", lambda _: 5)
    monkeypatch.setattr(stochastic, "next_budget", lambda *_: 5)
    with monkeypatch.context() as patch:
        interrupt_after(patch, "run_epochs", 1)
        with pytest.warns(UserWarning, match="interrupted"):
            net.partial_fit(X, y)
    assert net.stop_reason_ == "interrupted"
    assert net._stochastic_state.progress["row"][0] == 0
    seen = net.t_
    net.partial_fit(X[:3], y[:3])  # it would never end with fewer rows than were done before
    assert net.t_ == seen + 3


def test_ctrl_c_with_a_validation_set_keeps_the_best_so_far(monkeypatch):
    noise = np.random.default_rng(0).standard_normal(len(y))
    net = make_net("lbfgs", early_stopping=True, max_iter=300, tol=0.0, n_iter_no_change=1000)
    with monkeypatch.context() as patch:
        interrupt_after(patch, "run_lbfgs", 60)
        with pytest.warns(UserWarning, match="interrupted"):
            net.fit(X[::2], (y + noise)[::2], X_val=X[1::2], y_val=y[1::2])
    assert net.stop_reason_ == "interrupted"
    assert net.best_validation_score_ == max(net.validation_scores_)
    assert net.score(X[1::2], y[1::2]) == pytest.approx(max(net.validation_scores_), rel=1e-9)


@pytest.fixture
def meanwhile(monkeypatch):
    """Do something while a fit trains, as a callback may."""

    def during_fits(action):
        train_all = train.train_all

        def act_and_train(*arguments):
            action()
            return train_all(*arguments)

        monkeypatch.setattr(train, "train_all", act_and_train)

    return during_fits


def test_a_handler_installed_during_a_fit_stays(meanwhile):
    def handler(signum, frame):
        pass

    meanwhile(lambda: signal.signal(signal.SIGINT, handler))
    before = signal.getsignal(signal.SIGINT)
    try:
        make_net("adam").fit(X, y)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_changes_on_the_estimator_during_a_fit_stays(meanwhile):
    net = make_net("adam").fit(X, y)
    net.gone = net.count = 1

    def change():
        net.set_params(max_iter=77)
        net.count += 1
        del net.gone

    meanwhile(change)
    net.fit(X, -y)
    assert (net.max_iter, net.count, hasattr(net, "gone")) == (77, 2, False)


@pytest.mark.parametrize("method", ["std", "draw"])
def test_an_error_of_an_activation_in_the_intervals_is_raised_there(method, monkeypatch):
    net = TinyMLPRegressor(random_state=0).fit(X, y)
    compute = getattr(Posterior, method)

    def fail(*arguments):
        users_own._caught.error = RuntimeError("no more")
        return compute(*arguments)

    monkeypatch.setattr(Posterior, method, fail)
    with pytest.raises(RuntimeError, match="no more"):
        net.predict(X, return_std=True) if method == "std" else net.sample_y(X)


def test_an_error_of_an_activation_after_the_training_changes_nothing(monkeypatch):
    net, before = fitted_before("lm by the evidence")

    def fail(*arguments):
        users_own._caught.error = RuntimeError("no more")
        return arguments[0]

    monkeypatch.setattr(Posterior, "calibrated", fail)
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(X, y)
    assert_as_it_was(net, before)


def test_a_fitted_network_keeps_none_of_the_arrays_of_its_fit():
    net = TinyMLPRegressor(hidden_layer_sizes=(30,), random_state=0).fit(X, y)
    for kept in (net.alpha_, net._posterior.theta, *net.coefs_, *net.intercepts_):
        while kept.base is not None:
            kept = kept.base
        assert kept.nbytes <= 16 * net.n_parameters_


def test_generated_functions_of_others_are_compiled_as_ever():
    module = {}
    exec("def add_one(x):\n    return x + 1", module)
    module["add_one"].__module__ = None
    assert numba.njit(module["add_one"])(1) == 2


def test_after_ctrl_c_no_time_is_spent_on_intervals_of_large_data(monkeypatch):
    def interrupted_posterior(*arguments):
        raise KeyboardInterrupt

    net = make_net("lm by the evidence", max_iter=100)
    monkeypatch.setattr(calibration, "_calibrated", interrupted_posterior)
    with pytest.warns(UserWarning, match="standard deviations of predictions are not available"):
        net.fit(X, y)
    monkeypatch.undo()
    assert net.converged_
    with pytest.raises(ValueError, match="Ctrl-C"):
        net.predict(X, return_std=True)
    whole = make_net("lm by the evidence", max_iter=100).fit(X, y)
    assert_array_equal(net.predict(X), whole.predict(X))


# ------------------------------------------------------------------------------------ errors


def failing(function, call, error):
    """Fails from a call on."""
    calls = 0

    def fails_in_time(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls >= call:
            raise error
        return function(*arguments, **options)

    return fails_in_time


@pytest.mark.parametrize("solver", THREADED)
@pytest.mark.parametrize("call", [1, 2])
def test_an_error_in_the_engine_changes_nothing(monkeypatch, solver, call, two_threads):
    random_state = np.random.RandomState(5)
    net, before = fitted_before(solver, random_state=random_state)
    state = random_state.get_state()
    owner, name = ENGINES[solver]
    monkeypatch.setattr(owner, name, failing(getattr(owner, name), call, RuntimeError("broken")))
    # With a validation set epochs come one by one, each in a call of its own.
    with pytest.raises(RuntimeError, match="broken"):
        net.fit(X, y, X_val=X, y_val=y)
    assert_as_it_was(net, before)
    assert_array_equal(random_state.get_state()[1], state[1])
    assert random_state.get_state()[2:] == state[2:]


@each_solver
def test_an_error_in_a_first_fit_leaves_nothing(monkeypatch, solver):
    owner, name = ENGINES[solver]
    monkeypatch.setattr(owner, name, failing(None, 1, RuntimeError("broken")))
    net = make_net(solver)
    before = dict(vars(net))
    with pytest.raises(RuntimeError, match="broken"):
        net.fit(X, y)
    assert_as_it_was(net, before)


class FailingCallback:
    """Raises in one of the hooks, when it has been called often enough."""

    def __init__(self, hook, call):
        self.hook, self.countdown, self.torn_down = hook, call, False

    def fail_at(self, hook):
        if hook == self.hook:
            self.countdown -= 1
            if self.countdown == 0:
                raise RuntimeError("no more")

    def setup(self, estimator, context):
        self.fail_at("setup")

    def on_fit_task_begin(self, estimator, context, *, fitted_estimator):
        self.fail_at("begin")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.fail_at("end")

    def teardown(self, estimator, context):
        self.torn_down = True
        self.fail_at("teardown")


@pytest.mark.skipif(
    callbacks.CallbackSupportMixin.__module__ == callbacks.__name__,
    reason="scikit-learn before 1.9 has no callbacks",
)
@pytest.mark.parametrize(
    "hook, call",
    # 4 epochs or iterations in a fit; the sixth beginning, the end of the fit, is the fifth end.
    [("setup", 1), ("begin", 1), ("begin", 2), ("begin", 4), ("end", 1), ("end", 3), ("end", 5)]
    + [("teardown", 1)],
)
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam", "sgd"])
def test_an_error_in_a_callback_changes_nothing(solver, hook, call):
    net = make_net(solver, tol=0.0).fit(X[:30], -y[:30])
    callback = FailingCallback(hook, call)
    net.set_callbacks(callback)
    before = dict(vars(net))
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(X, y)
    assert callback.torn_down
    assert_as_it_was(net, before)
    net.set_callbacks().fit(X, y)
    assert_array_equal(parameters(net), parameters(make_net(solver, tol=0.0).fit(X, y)))


@pytest.mark.parametrize(
    "solver, owner, allocation, call",
    [
        ("lm by the evidence", Scratch, "array", 1),
        ("lm", Scratch, "array", 4),
        ("lbfgs", limited_memory, "aligned", 1),
        ("adam", stochastic, "aligned_copy", 1),
        ("sgd", stochastic, "work_arrays", 1),
        ("threads", stochastic, "aligned_copy", 3),
    ],
)
def test_no_memory_for_what_a_solver_needs(
    monkeypatch, solver, owner, allocation, call, two_threads
):
    net, before = fitted_before(solver)
    allocate = getattr(owner, allocation)
    monkeypatch.setattr(owner, allocation, failing(allocate, call, MemoryError("none left")))
    with pytest.raises(MemoryError, match="none left"):
        net.fit(X, y)
    monkeypatch.undo()
    assert_as_it_was(net, before)
    assert np.isfinite(net.predict(X)).all()


TOO_LARGE = """
import resource, warnings
import numpy as np
from sklearn_tinymlp import TinyMLPRegressor
warnings.simplefilter("ignore")
X = np.linspace(-2, 2, 40)[:, np.newaxis]
net = TinyMLPRegressor(solver="lm", max_iter=3, random_state=0).fit(X, X.ravel())
before, predictions = dict(vars(net)), net.predict(X)
with open("/proc/self/statm") as file:
    in_use = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**28, resource.RLIM_INFINITY))
net.hidden_layer_sizes = before["hidden_layer_sizes"] = (100_000,)
try:
    net.fit(np.tile(X, (30_000, 1)), np.tile(X.ravel(), 30_000))
except MemoryError:
    print("no memory")
assert vars(net).keys() == before.keys()
assert all(vars(net)[name] is before[name] for name in before)
assert (net.predict(X) == predictions).all()
print(net.set_params(hidden_layer_sizes=(5,)).fit(X, X.ravel()).score(X, X.ravel()) > 0.9)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is limited on Linux only")
def test_a_limit_of_the_system_on_memory():
    assert run(TOO_LARGE).split() == ["no", "memory", "True"]


# ------------------------------------------------------------------------ the cache on disk


def environment(**changes):
    """The environment of a child that finds this package; None takes a variable out."""
    path = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": path, **changes}
    return {name: str(value) for name, value in variables.items() if value is not None}


def run(code, **changes):
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(
        command, env=environment(**changes), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


FIT = """
import warnings
import numpy as np
import sklearn_tinymlp
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    X = np.linspace(-2, 2, 40)[:, np.newaxis]
    net = sklearn_tinymlp.TinyMLPRegressor(solver="adam", max_iter=20, random_state=0)
    net.fit(X, np.sin(X.ravel()))
print(net.coefs_[0].tobytes().hex())
"""


@pytest.fixture(scope="module")
def weights_of_fit():
    return run(FIT)


@pytest.fixture
def a_file(tmp_path):
    """A path that no folder can be made below, whoever asks: chmod does not stop root."""
    path = tmp_path / "a file"
    path.touch()
    return path


@pytest.mark.slow
def test_a_cache_folder_that_cannot_be_written(a_file, weights_of_fit):
    assert run(FIT, NUMBA_CACHE_DIR=a_file / "folder") == weights_of_fit


@pytest.mark.slow
def test_no_folder_for_a_cache(a_file, tmp_path, weights_of_fit):
    package = tmp_path / FOLDER.name
    shutil.copytree(FOLDER, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "__pycache__").touch()  # no folder there, and none can be made
    homes = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "IPYTHONDIR"), a_file / "home")
    assert run(FIT, PYTHONPATH=tmp_path, NUMBA_CACHE_DIR=None, **homes) == weights_of_fit
    assert not list(tmp_path.rglob("*.nb?"))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit on the size of files")
def test_a_full_disk(tmp_path, weights_of_fit):
    # Writing beyond the limit fails as on a full disk, but with EFBIG instead of ENOSPC.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
    assert run(limit + FIT, NUMBA_CACHE_DIR=tmp_path) == weights_of_fit
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and not path.stat().st_size]
    assert run(FIT, NUMBA_CACHE_DIR=tmp_path) == weights_of_fit  # what was left does no harm


@pytest.mark.slow
def test_processes_that_race_for_a_cold_cache(tmp_path, weights_of_fit):
    with ThreadPoolExecutor(2) as pool:
        weights = list(pool.map(lambda _: run(FIT, NUMBA_CACHE_DIR=tmp_path), range(2)))
    assert weights == [weights_of_fit] * 2
    assert list(tmp_path.rglob("*.nbc"))
    assert run(FIT, NUMBA_CACHE_DIR=tmp_path) == weights_of_fit


# ------------------------------------------------------------------- processes and threads


def fit_and_flatten(solver):
    warnings.simplefilter("ignore")
    return parameters(make_net(solver).fit(X, y))


# Python 3.12 and later warn of a fork beside running threads, which those of BLAS are.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.skipif(os.name == "nt", reason="Windows knows spawn alone, which joblib's tests use")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_fit_in_a_child_after_one_in_the_parent(method):
    with warnings.catch_warnings():
        expected = [fit_and_flatten(solver) for solver in THREADED]
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        got = list(pool.map(fit_and_flatten, THREADED, timeout=600))
    for ours, theirs in zip(got, expected, strict=True):
        assert_array_equal(ours, theirs)


def test_eight_fits_at_once_are_those_one_after_the_other():
    jobs = [(solver, seed) for solver in SOLVERS for seed in range(8)]

    def fit(job):
        solver, seed = job
        return parameters(make_net(solver, random_state=seed, max_iter=20).fit(X, y))

    alone = list(map(fit, jobs))
    together = threading.Barrier(8, timeout=60)

    def fit_together(job):
        together.wait()
        return fit(job)

    with ThreadPoolExecutor(8) as pool:
        for job, ours, theirs in zip(jobs, pool.map(fit_together, jobs), alone, strict=True):
            assert_array_equal(ours, theirs, err_msg=str(job))


@pytest.mark.slow
@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is tracing")
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("fails", [False, True])
def test_predicting_while_another_thread_fits_gives_the_old_or_the_new(
    monkeypatch, solver, n_columns, fails
):
    net, before = fitted_before(solver)
    old, std = net.predict(X), solver == "lm by the evidence"
    inputs = np.hstack([X] * n_columns)
    new = make_net(solver).fit(inputs, y).predict(inputs)
    old_std = net.predict(X, return_std=True)[1] if std else None
    n_old = n_new = 0
    if fails:
        monkeypatch.setattr(FitResult, "write_to", failing(None, 1, RuntimeError("broken")))

    def predict(number):
        nonlocal n_old, n_new
        if n_new == 0:
            try:
                predictions = net.predict(X, return_std=True) if std else net.predict(X)
            except ValueError as error:
                assert n_columns == 2 and "X has 1 features" in str(error)
                n_new = 1
                return
            predictions, deviations = predictions if std else (predictions, None)
            if np.array_equal(predictions, old):
                n_old += 1
                assert not std or np.array_equal(deviations, old_std)
                return
        assert_array_equal(net.predict(inputs), new)
        n_new += 1

    # Within the locks there, the call below would wait for itself.
    outside = ("compilation", "threads")
    if fails:
        with pytest.raises(RuntimeError, match="broken"):
            at_each_line(lambda: net.fit(inputs, y), predict, outside)
        assert_as_it_was(net, before)
    else:
        at_each_line(lambda: net.fit(inputs, y), predict, outside)
        assert_array_equal(net.predict(inputs), new)
    assert n_old > 100
    assert n_new == 0 if fails else n_new > 0


def become(net, other):
    """Do in one step what the end of a fit does, see `FitResult.write_to`."""
    net.__dict__ = vars(net) | vars(other)


@pytest.mark.skipif(sys.gettrace() is not None, reason="a debugger or coverage is tracing")
def test_a_fit_that_ends_while_another_thread_predicts():
    old = make_net("lm by the evidence").fit(X, y)
    new = make_net("lm by the evidence", hidden_layer_sizes=(2, 5)).fit(X, -y)
    answers = {net: [part.tobytes() for part in net.predict(X, True)] for net in (old, new)}
    net = make_net("lm by the evidence").fit(X, y)
    predictions = []

    def predict():
        predictions.append([part.tobytes() for part in net.predict(X, return_std=True)])

    outside = ("compilation", "threads")
    n_lines = at_each_line(predict, lambda number: None, outside)
    for last in range(1, n_lines + 1):
        become(net, old)
        at_each_line(predict, lambda n, last=last: n == last and become(net, new), outside)
    assert predictions[0] == answers[old]
    assert all(answer in answers.values() for answer in predictions)
    assert answers[new] in predictions and predictions.count(answers[old]) > n_lines / 2


@pytest.mark.slow
def test_many_threads_predict_while_one_fits():
    net = make_net("lm by the evidence").fit(X, y)
    answers = {}
    for sign in (1.0, -1.0):
        answers[make_net("lm by the evidence").fit(X, sign * y).predict(X).tobytes()] = sign
    done, seen = threading.Event(), set()

    def predict():
        while not done.is_set():
            seen.add(net.predict(X).tobytes())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=predict) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round in range(100):
            net.fit(X, -y if round % 2 == 0 else y)
    finally:
        done.set()
        for thread in threads:
            thread.join(60)
        sys.setswitchinterval(interval)
    assert seen <= answers.keys()
