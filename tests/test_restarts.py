import threading

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from problems import PROBLEMS, SOLVERS

from sklearn_tinymlp import TinyMLPRegressor
from sklearn_tinymlp._machine.interruption import Interruption
from sklearn_tinymlp._solvers.monitor import History, Solution, StopReason
from sklearn_tinymlp._training import train as training
from sklearn_tinymlp._training.train import train_all

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = PROBLEMS["sine"].X, PROBLEMS["sine"].y


def solution(number, reason=StopReason.TOL):
    return Solution(np.zeros(1), float(number), 1, reason, History())


@pytest.fixture(params=[1, 2, 5])
def n_threads(request, monkeypatch):
    monkeypatch.setattr(training, "_openmp_effective_n_threads", lambda: request.param)
    return request.param


def test_solutions_come_in_the_order_of_the_starts(n_threads):
    starts = [(number,) for number in range(7)]
    solutions = train_all(solution, starts, Interruption(), in_threads=True)
    assert [s.loss for s in solutions] == list(range(7))


def test_an_interrupted_start_is_the_last(n_threads):
    def train(number):
        return solution(number, StopReason.INTERRUPTED)

    event = Interruption()
    solutions = train_all(train, [(number,) for number in range(50)], event, in_threads=True)
    assert event.is_set()
    assert 1 <= len(solutions) <= n_threads + 1


def test_starts_are_trained_at_the_same_time(monkeypatch):
    monkeypatch.setattr(training, "_openmp_effective_n_threads", lambda: 2)
    both = threading.Barrier(2, timeout=60)

    def train(number):
        both.wait()
        return solution(number)

    assert len(train_all(train, [(0,), (1,)], Interruption(), in_threads=True)) == 2


def start_that_ends_once_interrupted(event):
    """The first start goes on until another thread asks it to end."""

    def train(number):
        assert event.wait(timeout=60)
        return solution(number, StopReason.INTERRUPTED)

    return train


def test_ctrl_c_while_threads_train_ends_them_and_keeps_what_they_have(monkeypatch):
    def pressed(trainings, return_when):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "_openmp_effective_n_threads", lambda: 2)
    monkeypatch.setattr(training, "wait", pressed)
    event = threading.Event()
    solutions = train_all(
        start_that_ends_once_interrupted(event), [(0,), (1,)], event, in_threads=True
    )
    assert event.is_set()
    assert solutions[0].reason is StopReason.INTERRUPTED


def test_an_error_in_one_thread_ends_the_others_and_is_raised(monkeypatch):
    monkeypatch.setattr(training, "_openmp_effective_n_threads", lambda: 2)
    event = threading.Event()
    until_interrupted = start_that_ends_once_interrupted(event)

    def train(number):
        if number == 1:
            raise ZeroDivisionError
        return until_interrupted(number)

    with pytest.raises(ZeroDivisionError):
        train_all(train, [(0,), (1,)], event, in_threads=True)


@pytest.mark.parametrize("solver", [*SOLVERS, "lm"])
def test_the_number_of_threads_changes_nothing(monkeypatch, solver):
    nets = []
    for number in (1, 3):
        monkeypatch.setattr(training, "_openmp_effective_n_threads", lambda n=number: n)
        net = TinyMLPRegressor(
            hidden_layer_sizes=(4,), solver=solver, n_init=6, max_iter=30, random_state=0
        )
        nets.append(net.fit(X, y))
    one, other = nets
    for ours, theirs in zip(one.coefs_, other.coefs_, strict=True):
        assert_array_equal(ours, theirs)
    pd.testing.assert_frame_equal(pd.DataFrame(one.starts_), pd.DataFrame(other.starts_))


def test_the_table_of_starts_shows_which_was_kept():
    net = TinyMLPRegressor(hidden_layer_sizes=(3,), n_init=5, random_state=0).fit(X, y)
    table = pd.DataFrame(net.starts_)
    assert list(table) == ["loss", "n_iter", "stop_reason", "log_evidence"]
    assert len(table) == 5
    best = table.log_evidence.argmax()
    assert (table.loss[best], table.n_iter[best]) == (net.loss_, net.n_iter_)
    assert table.stop_reason[best] == net.stop_reason_
    assert len(TinyMLPRegressor(solver="adam", max_iter=3).fit(X, y).starts_["loss"]) == 1
