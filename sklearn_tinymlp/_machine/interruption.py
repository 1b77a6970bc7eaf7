"""Ctrl-C during training: a flag that the solvers look at, so that nothing is left half done."""

import signal
import threading
from contextlib import contextmanager


class Interruption:
    """Whether training is to end early.

    A signal handler may set it, and could wait for ever for the lock of a `threading.Event`.

    Parameters
    ----------
    of_all : Interruption, default=None
        That of the whole of which this training is a part: it ends this one, too, and not the other
        way round.
    """

    def __init__(self, of_all: "Interruption | None" = None):
        self.asked = False
        self.by_ctrl_c = False
        self.of_all = of_all

    def set(self) -> None:
        """Ask all that train to come to an end."""
        self.asked = True

    def is_set(self) -> bool:
        """Whether that was asked."""
        return self.asked or (self.of_all is not None and self.of_all.is_set())

    def raise_if_set(self) -> None:
        """Raise KeyboardInterrupt if that was asked."""
        if self.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def catches_sigint(self):
        """Let the first Ctrl-C set the flag; a second one raises KeyboardInterrupt, as any before.

        KeyboardInterrupt may come between any two statements, also in an activation of the user's
        own that C code calls and that has nowhere to raise to. It is left alone in threads, which
        do not get it, and where somebody else handles SIGINT.
        """
        usual = signal.default_int_handler
        here = threading.current_thread() is threading.main_thread()
        if not here or signal.getsignal(signal.SIGINT) is not usual:
            yield
            return

        def hear(signum, frame):
            if self.by_ctrl_c:
                usual(signum, frame)
            self.asked = self.by_ctrl_c = True

        try:
            signal.signal(signal.SIGINT, hear)
            yield
        finally:
            if signal.getsignal(signal.SIGINT) is hear:  # else a callback has set another
                signal.signal(signal.SIGINT, usual)
