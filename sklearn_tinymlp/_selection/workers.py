"""`Workers`: train members in threads, or wherever joblib is told to; Ctrl-C loses none of them."""

import warnings

from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from .._machine.interruption import Interruption


class Workers:
    """Calls a function many times at once, within a `with` block.

    They are threads, unless the user has chosen another backend by `joblib.parallel_config`: data
    are then sent to the other processes once a block, not once a call.

    Parameters
    ----------
    n_jobs : int or None
        As joblib takes it.
    interruption : Interruption
        Set where KeyboardInterrupt ends a call: by a second Ctrl-C, say.
    """

    def __init__(self, n_jobs, interruption: Interruption):
        self.interruption = interruption
        backend, _ = get_active_backend(prefer="threads")
        self.share_memory = getattr(backend, "supports_sharedmem", False)
        # What has come back is kept on Ctrl-C, where it comes back one by one: not from Ray, and
        # not with joblib before 1.3.
        one_by_one = getattr(backend, "supports_return_generator", None)
        if one_by_one is not None and self.share_memory:
            one_by_one = True
        options = {"return_as": "generator"} if one_by_one else {}
        self.parallel = Parallel(n_jobs=n_jobs, prefer="threads", **options)

    def __enter__(self) -> "Workers":
        self.parallel.__enter__()
        return self

    def __exit__(self, *error):
        self.parallel.__exit__(*error)

    def call(self, function, calls) -> list:
        """Give what a function gives for each tuple of arguments; None where Ctrl-C came first."""
        done = [None] * len(calls)
        called = function if self.share_memory else quiet
        before = () if self.share_memory else (function,)
        try:
            outcomes = self.parallel(delayed(called)(*before, *arguments) for arguments in calls)
            for k, outcome in enumerate(outcomes):
                done[k] = outcome
        except KeyboardInterrupt:
            self.interruption.set()
        return done


def quiet(function, *arguments):
    """Call a function in another process, to which the caller's filters of warnings do not go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments)
