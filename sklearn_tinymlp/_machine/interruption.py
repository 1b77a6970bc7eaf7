"""Ctrl-C during training: a flag that solvers check, so that every update is complete."""

import signal
import threading
from contextlib import contextmanager


class Interruption:
    """A request to end training early.

    A signal handler may set it, and could wait forever for the lock of a `threading.Event`. A
    request to end `parent`, that of an enclosing training, ends this one too, but not the reverse.
    `watch`, by default that of `parent`, is called at each check, for example to report progress.
    """

    def __init__(self, parent: "Interruption | None" = None, watch=None):
        self.asked = self.by_ctrl_c = False
        self.parent = parent
        self.watch = parent.watch if watch is None and parent is not None else watch

    def renewed(self) -> "Interruption":
        """Return one that was not set, for work that continues after Ctrl-C ended the training."""
        return Interruption(watch=self.watch)

    def set(self) -> None:
        """Request the end of training."""
        self.asked = True

    def is_set(self) -> bool:
        """Return whether the end was requested, of this or of an enclosing training."""
        if self.watch is not None:
            self.watch()
        return self._is_asked()

    def _is_asked(self) -> bool:
        return self.asked or (self.parent is not None and self.parent._is_asked())

    def raise_if_set(self) -> None:
        """Raise KeyboardInterrupt if the end was requested."""
        if self.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def catches_sigint(self):
        """Set the flag at the first Ctrl-C; a second one raises KeyboardInterrupt as usual.

        KeyboardInterrupt may be raised between any two statements, also in an activation of the
        user's that C code calls, which cannot propagate it. Threads, which do not receive SIGINT,
        and other handlers of SIGINT are left alone.
        """
        usual = signal.default_int_handler
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(signal.SIGINT) is not usual:
            yield
            return

        def handle(signum, frame):
            if self.by_ctrl_c:
                usual(signum, frame)
            self.asked = self.by_ctrl_c = True

        try:
            signal.signal(signal.SIGINT, handle)
            yield
        finally:
            if signal.getsignal(signal.SIGINT) is handle:  # else a callback has set another handler
                signal.signal(signal.SIGINT, usual)
