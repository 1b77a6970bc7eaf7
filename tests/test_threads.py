import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_tinymlp._machine import threads
from sklearn_tinymlp._machine.caching import cached_property
from sklearn_tinymlp._machine.threads import single_threaded_blas
from sklearn_tinymlp._training.heteroscedastic_noise import VaryingNoise

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def n_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        if n_threads() != {2}:
            pytest.skip("this BLAS has no threads to limit")
        yield


def test_blas_has_one_thread_within_the_block_and_its_own_number_after_it():
    with single_threaded_blas():
        assert n_threads() == {1}
    assert n_threads() == {2}


def test_an_error_ends_the_limit():
    with pytest.raises(RuntimeError), single_threaded_blas():
        raise RuntimeError
    assert n_threads() == {2}


def test_overlapping_blocks_of_two_threads_end_with_the_number_before_them():
    second_is_in, first_is_out = threading.Event(), threading.Event()
    seen = []

    def second():
        with single_threaded_blas():
            second_is_in.set()
            first_is_out.wait(60)
            seen.append(n_threads())

    thread = threading.Thread(target=second)
    with single_threaded_blas():
        thread.start()
        second_is_in.wait(60)
    first_is_out.set()
    thread.join(60)
    assert seen == [{1}]
    assert n_threads() == {2}


def test_the_weights_by_a_variance_do_not_depend_on_the_number_of_threads():
    class Variance:
        n_parameters_ = 10

        def predict(self, X):
            seen.append(n_threads())
            return np.ones(len(X))

    seen = []
    VaryingNoise([[Variance()]], [np.ones(1)]).predict(np.zeros((5, 1)))
    assert seen == [{1}]


# ------------------------------------------------------------------------------------ os.fork


@contextmanager
def another_thread(work):
    """Run work(ready) in a thread, from the call of `ready` to the end of the block."""
    ready, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=work, args=(ready, done))
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        done.set()
        thread.join(60)


def child_returns_true(check) -> bool:
    """Fork, and return whether check() is true in the child within a minute."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(60)
        try:
            os._exit(0 if check() else 1)
        except BaseException:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


def limits_and_restores():
    before = n_threads()
    with single_threaded_blas():
        inside = n_threads()
    return [before, inside, n_threads()] == [{2}, {1}, {2}]


@forks
def test_a_child_has_the_number_of_threads_from_before_the_blocks_of_other_threads():
    def work(ready, done):
        with single_threaded_blas():
            ready.set()
            done.wait(120)

    with another_thread(work):
        assert child_returns_true(limits_and_restores)
        assert n_threads() == {1}
    assert n_threads() == {2}


@forks
def test_a_child_keeps_the_block_that_it_was_forked_in():
    with single_threaded_blas():
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
    if not child:
        os._exit(0 if n_threads() == {2} and limits_and_restores() else 1)


@forks
def test_a_fork_while_another_thread_changes_the_number(monkeypatch):
    usual = threads._set_number

    def work(ready, done):
        def slow(*arguments):
            ready.set()
            time.sleep(0.2)
            usual(*arguments)

        monkeypatch.setattr(threads, "_set_number", slow)
        with single_threaded_blas():
            monkeypatch.setattr(threads, "_set_number", usual)
            done.wait(120)

    with another_thread(work):
        assert child_returns_true(limits_and_restores)


@forks
def test_a_fork_waits_for_a_compilation_in_another_thread():
    compilation = pytest.importorskip("sklearn_tinymlp._machine.compilation")
    finished = []

    def work(ready, done):
        def compile_slowly():
            ready.set()
            time.sleep(0.2)
            finished.append(True)

        compilation.once_per_process(compile_slowly)()

    with another_thread(work):
        assert child_returns_true(lambda: finished and compilation.once_per_process(n_threads)())


@forks
def test_a_fork_while_another_thread_computes_a_cached_property():
    class Slow:
        @cached_property
        def value(self):
            self.ready.set()
            return self.done.wait(120)

    def work(ready, done):
        slow = Slow()
        slow.ready, slow.done = ready, done
        slow.value  # noqa: B018

    def computes():
        other = Slow()
        other.ready, other.done = threading.Event(), threading.Event()
        other.done.set()
        return other.value

    with another_thread(work):
        assert child_returns_true(computes)
