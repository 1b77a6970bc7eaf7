"""`Workers`: call functions in threads or other processes; Ctrl-C keeps the results so far."""

import warnings
from collections.abc import Iterator
from functools import partial

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from .._machine.interruption import Interruption


class Workers(Parallel):
    """joblib's workers, for several calls within a `with` block.

    They are threads unless the user has chosen another backend with `joblib.parallel_config`:
    arrays are then sent to the other processes once per block, not once per call. `interruption` is
    set when a call ends by KeyboardInterrupt, as with a second Ctrl-C.
    """

    def __init__(self, n_jobs, interruption: Interruption):
        self.interruption = interruption
        backend, _ = get_active_backend(prefer="threads")
        self.share_memory = getattr(backend, "supports_sharedmem", False)
        # After Ctrl-C results are kept if they are returned one by one, which Ray and joblib < 1.3
        # do not support.
        supported = getattr(backend, "supports_return_generator", None)
        one_by_one = supported or (supported is not None and self.share_memory)
        options = {"return_as": "generator"} if one_by_one else {}
        super().__init__(n_jobs=n_jobs, prefer="threads", **options)

    def call(self, function, calls) -> Iterator:
        """Call a function with each tuple of arguments; yield the results until Ctrl-C."""
        function = delayed(function if self.share_memory else partial(quiet, function))
        try:
            yield from self(function(*arguments) for arguments in calls)
        except KeyboardInterrupt:
            self.interruption.set()


def quiet(function, *arguments):
    """Call a function without warnings: the caller's filters do not reach other processes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)
