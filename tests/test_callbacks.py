"""scikit-learn's callbacks and the user's own, with every solver."""

import os
import re
import subprocess
import sys
import threading
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_tinymlp import Activation, StopWhen, TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._engine import kernels
from sklearn_tinymlp._solvers.monitor import History, Monitor, StopReason

try:
    from sklearn.callback import ProgressBar, ScoringMonitor
except ImportError:
    ProgressBar = None

needs_callbacks = pytest.mark.skipif(
    ProgressBar is None, reason="scikit-learn has callbacks from 1.9 on"
)
SOLVERS = ("sgd", "adam", "lbfgs", "lm")

X = np.linspace(-2, 2, 40)[:, np.newaxis]
y = np.sin(2 * X.ravel())


def regressor(solver, **params):
    params = {"hidden_layer_sizes": (5,), "max_iter": 6, "random_state": 0} | params
    return TinyMLPRegressor(solver=solver, **params)


def fit_quietly(estimator, *data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimator.fit(*data, **options)


class Recorder:
    """Keeps what each hook is given, and asks to stop where it is told to."""

    def __init__(self, stop=lambda context: False):
        self.begun, self.ended, self.others, self.stop = [], [], [], stop

    def setup(self, estimator, context):
        self.others.append("setup")

    def teardown(self, estimator, context):
        self.others.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, fitted_estimator=None):
        self.begun.append((context.task_name, context.task_id, fitted_estimator))

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        self.ended.append((context.task_name, context.task_id, fitted_estimator))
        self.data = X, y, metadata
        return self.stop(context)

    def steps(self):
        return [row for row in self.ended if row[0] not in ("fit", "start", "partial_fit")]


class StopAfter:
    """A user's own callback, as short as it can be."""

    def __init__(self, n_steps):
        self.n_steps = n_steps

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        return context.parent is not None and context.task_id + 1 >= self.n_steps


def test_without_scikit_learns_callbacks_there_is_no_set_callbacks():
    for estimator in (TinyMLPRegressor(), TinyMLPEnsembleRegressor()):
        assert hasattr(estimator, "set_callbacks") == (ProgressBar is not None)


def count_calls(monkeypatch, name):
    calls = []
    kernel = getattr(kernels, name)

    def counted(*args):
        calls.append(name)
        return kernel(*args)

    monkeypatch.setattr(kernels, name, counted)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("with_callback", [False, pytest.param(True, marks=needs_callbacks)])
@pytest.mark.parametrize("solver, kernel", [("adam", "run_epochs"), ("lbfgs", "run_lbfgs")])
def test_epochs_come_back_one_by_one_with_callbacks_only(
    monkeypatch, solver, kernel, with_callback
):
    monkeypatch.setattr("sklearn_tinymlp._solvers.stochastic.rows_per_call", lambda n: 10**9)
    monkeypatch.setattr("sklearn_tinymlp._solvers.stochastic.next_budget", lambda *_: 10**9)
    monkeypatch.setattr("sklearn_tinymlp._solvers.lbfgs.FIRST_BUDGET", 1e12)
    monkeypatch.setattr("sklearn_tinymlp._solvers.lbfgs.next_budget", lambda *_: 1e12)
    est = regressor(solver, max_iter=30, alpha=0.1, tol=0.0, n_iter_no_change=1000)
    if with_callback:
        est.set_callbacks(Recorder())
    calls = count_calls(monkeypatch, kernel)
    fit_quietly(est, X, y)
    assert len(calls) == (est.n_iter_ if with_callback else 1)


def test_monitor_without_a_watcher_reports_many_at_once():
    monitor = Monitor(10, History())
    assert not monitor.one_by_one
    monitor.begin(np.zeros(1))
    assert monitor.update(theta=np.zeros(1), loss=np.ones(4)) is None
    assert monitor.n_iter == 4


def test_a_callbacks_wish_goes_before_max_iter_and_after_a_reached_loss():
    class Watcher:
        def begin(self, theta, n_iter):
            pass

        def end(self, theta):
            return True

    for loss_tol, reason in ((-np.inf, StopReason.CALLBACK), (1.0, StopReason.LOSS_TOL)):
        monitor = Monitor(1, History(), loss_tol=loss_tol, watcher=Watcher())
        assert monitor.update(theta=np.zeros(1), loss=1.0) is reason
    assert not StopReason.CALLBACK.converged


@pytest.mark.slow
@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_one_task_an_epoch_or_iteration(solver):
    recorder = Recorder()
    est = fit_quietly(regressor(solver, alpha=0.1).set_callbacks(recorder), X, y)
    name = "epoch" if solver in ("sgd", "adam") else "iteration"
    assert [row[:2] for row in recorder.steps()] == [(name, k) for k in range(est.n_iter_)]
    assert [row[:2] for row in recorder.begun[1:]] == [row[:2] for row in recorder.steps()]
    assert recorder.ended[-1][0] == "fit"
    assert recorder.others == ["setup", "teardown"]
    assert recorder.data[0] is X and recorder.data[1] is y


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("params", [{}, {"n_init": 2}, {"standardize": True}])
def test_callbacks_change_nothing_else(solver, params):
    plain = fit_quietly(regressor(solver, **params), X, y)
    watched = fit_quietly(regressor(solver, **params).set_callbacks(Recorder()), X, y)
    for coef, expected in zip(watched.coefs_, plain.coefs_, strict=True):
        np.testing.assert_array_equal(coef, expected)
    assert watched.history_.keys() == plain.history_.keys()
    np.testing.assert_array_equal(watched.loss_curve_, plain.loss_curve_)


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("standardize", [False, True])
def test_fitted_estimator_is_that_of_a_fit_that_stopped_there(solver, standardize):
    recorder = Recorder()
    params = {"standardize": standardize, "alpha": 0.1}
    fit_quietly(regressor(solver, **params).set_callbacks(recorder), X, y)
    for _, k, at_end in recorder.steps()[:4]:
        shorter = fit_quietly(regressor(solver, max_iter=k + 1, **params), X, y)
        np.testing.assert_allclose(at_end.predict(X), shorter.predict(X), rtol=1e-9, atol=1e-12)
    # The next one begins where this one ended, and nothing changes afterwards what was kept.
    np.testing.assert_array_equal(
        recorder.begun[2][2].predict(X), recorder.steps()[0][2].predict(X)
    )


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callback_stops_the_fit(solver):
    # n_iter_no_change etc. at their defaults: nothing else stops it as early.
    recorder = Recorder(stop=lambda context: context.task_id == 2)
    est = regressor(solver, max_iter=100).set_callbacks(recorder)
    est.fit(X, y)  # any warning would be an error
    assert (est.n_iter_, est.stop_reason_, est.converged_) == (3, "callback", False)
    assert len(recorder.steps()) == 3
    np.testing.assert_allclose(
        est.predict(X), recorder.steps()[-1][2].predict(X), rtol=1e-9, atol=1e-12
    )
    assert list(est.starts_["stop_reason"]) == ["callback"]


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_stop_when(solver):
    scores = []
    goal = {"lbfgs": 0.0, "lm": 0.0}.get(solver, -3.0)  # the others go slowly

    def good(net):
        scores.append(net.score(X, y))
        return scores[-1] > goal

    est = regressor(solver, max_iter=300, n_init=2, alpha=0.1, tol=0)
    est = fit_quietly(est.set_callbacks(StopWhen(good)), X, y)
    assert est.stop_reason_ == "callback" and est.n_iter_ < 300
    # Once a step, and after the start, whose successor is left out; last of all after the fit.
    assert len(scores) in (est.n_iter_ + 2, est.n_iter_ + 3)
    assert max(scores[: est.n_iter_ - 1], default=-np.inf) <= goal < scores[est.n_iter_ - 1]
    assert est.score(X, y) > goal


def test_stop_when_wants_a_function():
    with pytest.raises(TypeError, match=r"condition must be a function .*, got 3\."):
        StopWhen(3)


@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_callbacks_wish_is_no_reason_to_warn_of_a_loss_not_reached(solver):
    est = regressor(solver, max_iter=100, loss_tol=1e-12).set_callbacks(StopAfter(1))
    est.fit(X, y)
    assert (est.stop_reason_, est.converged_) == ("callback", False)


@needs_callbacks
def test_activation_of_ones_own():
    square = Activation(lambda z: z * z, lambda z: 2 * z, output_range=(0, np.inf))
    monitor = ScoringMonitor(scoring="r2")
    est = regressor("lm", activation=square).set_callbacks(monitor)
    fit_quietly(est, X, y)
    assert monitor.get_logs().data[0]["r2"] == est.score(X, y)


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs", "lm"])
def test_a_stopped_fit_with_early_stopping_keeps_the_best_so_far(solver):
    recorder = Recorder(stop=lambda context: context.task_id == 7)
    est = regressor(solver, max_iter=100, early_stopping=True, learning_rate_init=0.3)
    est.set_callbacks(recorder).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    assert est.stop_reason_ == "callback"
    np.testing.assert_allclose(
        est.predict(X), recorder.steps()[-1][2].predict(X), rtol=1e-9, atol=1e-12
    )
    scores = [row[2].score(X[1::2], y[1::2]) for row in recorder.steps()]
    assert max(scores) == pytest.approx(est.best_validation_score_)


@needs_callbacks
def test_the_adaptive_rate_does_not_keep_a_callback_from_stopping():
    recorder = Recorder(stop=lambda context: context.task_id == 4)
    est = regressor(
        "sgd", max_iter=100, learning_rate="adaptive", early_stopping=True, n_iter_no_change=1
    )
    est.set_callbacks(recorder).fit(X, y)
    assert (est.n_iter_, est.stop_reason_) == (5, "callback")


@needs_callbacks
def test_starts_are_tasks_and_each_can_be_stopped():
    recorder = Recorder(stop=lambda context: context.task_name == "epoch" and context.task_id == 1)
    est = regressor("adam", n_init=3, max_iter=50).set_callbacks(recorder).fit(X, y)
    assert [name for name, *_ in recorder.ended] == ["epoch", "epoch", "start"] * 3 + ["fit"]
    assert list(est.starts_["n_iter"]) == [2, 2, 2]

    recorder = Recorder(stop=lambda context: context.task_name != "fit")
    est = regressor("adam", n_init=3, max_iter=50).set_callbacks(recorder).fit(X, y)
    assert [name for name, *_ in recorder.ended] == ["epoch", "start", "fit"]
    assert list(est.starts_["stop_reason"]) == ["callback"]


@needs_callbacks
def test_second_beginning_of_the_evidence_has_a_name_of_its_own():
    recorder = Recorder()
    fit_quietly(regressor("lm").set_callbacks(recorder), X, y)
    names = [name for name, *_ in recorder.steps()]
    assert names == ["iteration"] * 6 + ["iteration, second beginning"] * 6


@needs_callbacks
def test_failed_line_search_is_an_ended_task_without_an_estimator():
    recorder = Recorder()
    est = regressor("lbfgs", max_iter=1000, tol=0.0).set_callbacks(recorder)
    fit_quietly(est, X, y)
    rest = recorder.steps()[est.n_iter_ :]
    assert len(recorder.begun) == len(recorder.ended)
    assert [row[2] for row in rest] in ([], [None])


@needs_callbacks
def test_a_line_search_that_finds_nothing_ends_its_task(monkeypatch):
    monkeypatch.setattr(
        "sklearn_tinymlp._diagnosis.convergence_warning.check_derivative", lambda *_: None
    )
    uphill = Activation(lambda z: z, lambda z: -np.ones_like(z))
    recorder = Recorder()
    est = regressor("lbfgs", output_activation=uphill).set_callbacks(recorder)
    fit_quietly(est, X, y)
    assert est.stop_reason_ == "line_search"
    assert len(recorder.begun) == len(recorder.ended)
    assert [row[2] for row in recorder.steps()[est.n_iter_ :]] == [None]


@needs_callbacks
def test_partial_fit_is_a_task_with_one_epoch():
    recorder = Recorder(stop=lambda context: True)
    est = regressor("sgd").set_callbacks(recorder)
    est.partial_fit(X, y).partial_fit(X, y)
    assert [name for name, *_ in recorder.ended] == ["epoch", "partial_fit"] * 2
    assert est.stop_reason_ == "partial_fit"


@needs_callbacks
def test_failing_callback_leaves_the_estimator_as_it_was_and_is_torn_down():
    def fail(context):
        raise RuntimeError("no more")

    recorder = Recorder(stop=fail)
    est = regressor("adam").set_callbacks(recorder)
    before = set(vars(est))
    with pytest.raises(RuntimeError, match="no more"):
        est.fit(X, y)
    assert set(vars(est)) == before
    assert recorder.others == ["setup", "teardown"]


@pytest.mark.slow
@needs_callbacks
@pytest.mark.parametrize("weighted", [False, True])
def test_scoring_monitor_scores_each_step_of_a_data_frame(weighted):
    monitor = ScoringMonitor(scoring="r2")
    frame = pd.DataFrame(X, columns=["x"])
    weight = np.linspace(1, 2, 40) if weighted else None
    est = fit_quietly(regressor("adam").set_callbacks(monitor), frame, y, sample_weight=weight)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit"] + ["epoch"] * 6
    assert rows[0]["r2"] == rows[-1]["r2"] == est.score(frame, y, weight)


@pytest.mark.slow
@needs_callbacks
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_pipeline_and_grid_search(solver, n_jobs, capsys):
    # An optional package of scikit-learn's progress bar; the extra `test` brings it.
    pytest.importorskip("rich", reason="the progress bar needs rich")
    monitor = ScoringMonitor(scoring="r2")
    est = regressor(solver, max_iter=20, alpha=0.1).set_callbacks(monitor, StopAfter(4))
    pipeline = make_pipeline(StandardScaler(), est)
    grid = {"tinymlpregressor__hidden_layer_sizes": [(2,), (3,)]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None))
    search.fit(X, y)
    best = search.best_estimator_[-1]
    assert (best.n_iter_, best.stop_reason_) == (4, "callback")
    rows = monitor.get_logs().data
    steps = [row for row in rows if row["task_name"] in ("epoch", "iteration")]
    assert len(steps) == (2 * 2 + 1) * 4  # candidates, folds, the refit
    shown = capsys.readouterr().out
    assert "GridSearchCV - fit" in shown and "TinyMLPRegressor - fit" in shown
    assert clone(search.best_estimator_[-1])._skl_callbacks


# ------------------------------------------------------------------------------ the ensemble


def ensemble(template=None, **params):
    params = {
        "hidden_layer_sizes": [(3,), (4,)],
        "cv": 3,
        "n_refits": 1,
        "random_state": 0,
    } | params
    return TinyMLPEnsembleRegressor(template, **params)


CANDIDATES = ["(3,) tanh", "(4,) tanh"]


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_an_ensembles_tasks_are_folds_of_candidates_and_refits(n_jobs):
    recorder = Recorder()
    net = ensemble(n_jobs=n_jobs).set_callbacks(recorder).fit(X, y)
    names = [name for name, *_ in recorder.ended]
    assert sorted(names) == sorted(name for name, *_ in recorder.begun)
    assert names.count("folds") == names.count("refits") == names.count("fit") == 1
    folds, refits = names.index("folds"), names.index("refits")
    expected = [f"fold {k}, {candidate}" for k in range(3) for candidate in CANDIDATES]
    assert sorted(names[:folds]) == expected and net.results_["n_folds"].sum() == len(expected)
    assert set(names[folds + 1 : refits]) <= set(CANDIDATES)
    assert len(names[folds + 1 : refits]) == np.count_nonzero(net.results_["weight"])
    assert names[refits + 1 :] == ["fit"]
    assert recorder.others == ["setup", "teardown"]
    assert recorder.data[0] is X and recorder.data[1] is y
    assert recorder.ended[-1][2].predict(X).shape == y.shape
    assert not hasattr(net, "_callback_fit_ctx")
    plain = ensemble().fit(X, y)
    np.testing.assert_array_equal(net.predict(X), plain.predict(X))


class Rows(Recorder):
    """Notes the rows and weights of each task."""

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None):
        weight = (metadata or {}).get("sample_weight")
        self.ended.append((context.task_name, len(X), len(y), None if weight is None else weight))


@needs_callbacks
def test_a_task_is_given_the_rows_it_is_trained_on():
    rows, weight = Rows(), np.ones(40)
    ensemble().set_callbacks(rows).fit(X, y, weight)
    for name, n_inputs, n_targets, weight in rows.ended:
        assert n_inputs == n_targets == len(weight)
        assert (n_inputs < 40) == name.startswith("fold ")


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize(
    "where, n_folds, n_refits",
    [
        (lambda context: context.task_name.startswith("fold 1"), [2, 1], 2),
        (lambda context: context.task_name == "folds", [3, 3], 0),
        (lambda context: context.task_name == "refits", [3, 3], 2),
        (lambda context: context.parent and context.parent.task_name == "refits", [3, 3], 1),
    ],
    ids=["fold", "folds", "refits", "members"],
)
def test_a_callbacks_wish_ends_the_level_it_was_told_of(n_jobs, where, n_folds, n_refits):
    net = ensemble(n_jobs=n_jobs).set_callbacks(Recorder(stop=where)).fit(X, y)
    assert list(net.results_["n_folds"]) == n_folds or n_jobs == 2  # the next one may have begun
    done = net.results_["n_refits"].sum()
    assert done == n_refits or (n_jobs == 2 and n_refits <= done <= 2)
    assert np.isfinite(net.predict(X, return_std=True)).all()


@needs_callbacks
def test_a_failing_callback_leaves_an_ensemble_as_it_was_and_is_torn_down():
    def fail(context):
        raise RuntimeError("no more")

    recorder = Recorder(stop=fail)
    net = ensemble().set_callbacks(recorder)
    before = set(vars(net))
    with pytest.raises(RuntimeError, match="no more"):
        net.fit(X, y)
    assert set(vars(net)) == before
    assert recorder.others == ["setup", "teardown"]


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_callbacks_of_the_template_see_each_member(n_jobs):
    monitor = ScoringMonitor(scoring="r2")
    template = TinyMLPRegressor(max_iter=3, solver="lbfgs", alpha=0.1, standardize=True)
    net = ensemble(template.set_callbacks(monitor), n_jobs=n_jobs).fit(X, y)
    rows = monitor.get_logs().data
    n_members = net.results_["n_folds"].sum() + net.results_["n_refits"].sum()
    assert n_members == sum(row["task_name"] == "fit" for row in rows)
    for member in net.estimators_:
        assert not hasattr(member, "_callback_fit_ctx")
        assert not hasattr(member, "_parent_callback_ctx")


@pytest.mark.slow
@needs_callbacks
@pytest.mark.parametrize("depth, deep", [(0, False), (1, True)])
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_a_progress_bar_shows_folds_and_networks(depth, deep, backend, capsys):
    # An optional package of scikit-learn's progress bar; the extra `test` brings it.
    pytest.importorskip("rich", reason="the progress bar needs rich")
    net = ensemble().set_callbacks(ProgressBar(max_propagation_depth=depth))
    with joblib.parallel_config(backend, n_jobs=2):
        net.fit(X, y)
    shown = capsys.readouterr().out
    for name in ("fit", "folds #0", "refits #1"):
        assert f"TinyMLPEnsembleRegressor - {name}" in shown
    assert ("TinyMLPRegressor - fit #0" in shown) == deep
    if not deep:  # the bars have room in 80 columns
        assert "…" not in shown and "━━━" in shown
    assert not hasattr(net.estimators_[0], "_skl_callbacks")
    np.testing.assert_array_equal(net.predict(X), ensemble().fit(X, y).predict(X))


@needs_callbacks
def test_an_ensemble_within_a_search_reports_to_it(capsys):
    # An optional package of scikit-learn's progress bar; the extra `test` brings it.
    pytest.importorskip("rich", reason="the progress bar needs rich")
    search = GridSearchCV(ensemble(hidden_layer_sizes=[(3,)]), {"n_refits": [0, 1]}, cv=2)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, y)
    shown = capsys.readouterr().out
    assert "GridSearchCV - fit" in shown and "TinyMLPRegressor - fit" in shown
    assert "TinyMLPEnsembleRegressor - folds" in shown


IN_A_TERMINAL = """
import warnings
import numpy as np
from sklearn.callback import ProgressBar
from sklearn.model_selection import GridSearchCV
from sklearn_tinymlp import TinyMLPRegressor

warnings.simplefilter("ignore")
X = np.random.default_rng(0).standard_normal((100, 3))
y = np.sin(X[:, 0])
net = TinyMLPRegressor(solver="sgd", max_iter=5000, tol=0, n_iter_no_change=5000, random_state=0)
net.set_callbacks(ProgressBar()).fit(X, y)
grid = {"alpha": [0.1, 1, 2, 3], "activation": ["tanh", "sin", "relu"], "bias": [True, False]}
search = GridSearchCV(TinyMLPRegressor(solver="adam", max_iter=5), grid, cv=2)
search.set_callbacks(ProgressBar()).fit(X, y)
"""


@pytest.mark.slow
@needs_callbacks
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_bar_grows_in_a_terminal():
    # An optional package of scikit-learn's progress bar; the extra `test` brings it.
    pytest.importorskip("rich", reason="the progress bar needs rich")
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120", "LINES": "80"}
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        limit = threading.Timer(300, process.kill)
        limit.start()
        shown = b""
        while True:
            try:
                read = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not read:
                break
            shown += read
        limit.cancel()
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert process.returncode == 0, text
    bars = re.findall(r"^TinyMLPRegressor - fit \S+\s+(\d+)%", text.replace("\r", "\n"), re.M)
    percents = [int(percent) for percent in bars]
    assert percents == sorted(percents) and percents[-1] == 100
    assert any(0 < percent < 100 for percent in percents)
    candidates = set(re.findall(r"TinyMLPRegressor - fit #(\d+)", text))
    assert len(candidates) == 24 * 2
