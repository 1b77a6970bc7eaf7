"""One BLAS thread during a fit and in the posterior: results do not depend on their number.

The matrices of small networks gain nothing from a second thread. On a busy machine an iteration
that waits for another thread takes several times as long (standard deviations 5 to 50 times), and a
sum over two threads is rounded differently. A fork ends the threads of OpenBLAS, and a product in
another thread that waits for one of them waits forever.
"""

import os
import threading
from contextlib import contextmanager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

# Networks of at most this many parameters train on one BLAS thread. The product of a batch of 200
# rows with a layer of 300 x 300 takes a millisecond; below that a second thread costs as much as it
# saves.
ONE_THREAD_PARAMETERS = 100_000

_lock = threading.RLock()  # reentrant: a signal handler may fork
_inside = []  # the identifier of a thread for each active block
_numbers_before = []  # of threads, one per library, while a block is active


@cache
def _libraries():
    """Find the BLAS libraries, which NumPy and SciPy have loaded, once per process."""
    return ThreadpoolController().select(user_api="blas").lib_controllers


def blas_cores() -> list[str]:
    """Return the processor types of the kernels of each BLAS library."""
    return [getattr(library, "architecture", None) or "" for library in _libraries()]


def _set_number(library, number):
    # From 3.8 on threadpoolctl lets only the thread that first set a limit change it; here the last
    # block to end restores the number, in any thread.
    getattr(library, "_real_set_num_threads", library.set_num_threads)(number)


@contextmanager
def single_threaded_blas():
    """Limit BLAS to one thread; overlapping blocks in several threads share the limit.

    The number of threads is a setting of the process. If each block saved and restored it, the last
    of two overlapping ones would restore the limit of the first.
    """
    with _lock:
        if not _inside:
            _numbers_before[:] = [library.get_num_threads() for library in _libraries()]
            for library in _libraries():
                _set_number(library, 1)
        _inside.append(threading.get_ident())
    try:
        yield
    finally:
        with _lock:
            _inside.remove(threading.get_ident())
            _restore_after_last()


def _restore_after_last():
    if _numbers_before and not _inside:
        for library, number in zip(_libraries(), _numbers_before, strict=True):
            _set_number(library, number)
        _numbers_before.clear()


def _keep_own_blocks():
    """End the blocks of the other threads, which a forked child does not have."""
    _inside[:] = [thread for thread in _inside if thread == threading.get_ident()]
    _restore_after_last()
    _lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_keep_own_blocks
    )


def blas_threads(n_parameters):
    """Return the context in which a network of this size is trained."""
    return single_threaded_blas() if n_parameters <= ONE_THREAD_PARAMETERS else nullcontext()
