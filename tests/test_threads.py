import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_tinymlp._machine.threads import single_threaded_blas


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
            first_is_out.wait(10)
            seen.append(n_threads())

    thread = threading.Thread(target=second)
    with single_threaded_blas():
        thread.start()
        second_is_in.wait(10)
    first_is_out.set()
    thread.join()
    assert seen == [{1}]
    assert n_threads() == {2}
