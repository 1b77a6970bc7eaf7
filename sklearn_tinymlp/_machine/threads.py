"""One BLAS thread while a fit runs: the same bits for any number of threads, and no waiting.

The matrices of small networks gain nothing from a second thread. On a machine with other work an
iteration that waits for one takes several times as long; and a sum that two threads share rounds
in another way.
"""

import threading
from contextlib import contextmanager
from functools import cache

from threadpoolctl import ThreadpoolController

_lock = threading.Lock()
_numbers_before = []  # of threads, one a library, once for each block that is running


@cache
def _libraries():
    """Find the BLAS libraries once a process: they were loaded with NumPy and SciPy."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def blas_cores() -> list[str]:
    """Name the processors that the kernels of the BLAS libraries were written for."""
    return [getattr(library, "architecture", None) or "" for library in _libraries()]


def _set_number(library, number):
    # From 3.8 on threadpoolctl lets only the thread that set a limit first change it again; here
    # the last block to end puts the number back, in whichever thread it ran.
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


@contextmanager
def single_threaded_blas():
    """Hold BLAS to one thread; overlapping blocks of several threads share the limit.

    The number of threads belongs to the process. Were each block to save and restore it by itself,
    the last of two that overlap would restore the limit of the first.
    """
    with _lock:
        if _numbers_before:
            _numbers_before.append(_numbers_before[0])
        else:
            _numbers_before.append([library.get_num_threads() for library in _libraries()])
            for library in _libraries():
                _set_number(library, 1)
    try:
        yield
    finally:
        with _lock:
            numbers = _numbers_before.pop()
            if not _numbers_before:
                for library, number in zip(_libraries(), numbers, strict=True):
                    _set_number(library, number)
