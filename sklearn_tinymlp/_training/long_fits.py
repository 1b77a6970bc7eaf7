"""Says once of a fit that takes long how far it is, and which parameter shows its progress."""

import logging
import time

LOGGER = logging.getLogger("sklearn_tinymlp")

# Seconds after which a fit is long, and for which it must go on to be worth a word.
LONG = 5.0

# Seconds between two such messages: a search makes hundreds of fits.
SILENCE = 300.0


class LongFit:
    """Is told of each iteration of a fit; the starts of one fit share it."""

    last_said = -SILENCE  # of all fits

    def __init__(self, clock=time.monotonic):
        self.clock, self.begun, self.n_before, self.said = clock, None, 0, False

    def look(self, n_iter, max_iter) -> None:
        """Log a warning, which Python prints unless told otherwise, if the fit is a long one."""
        if self.said:
            return
        now = self.clock()
        if self.begun is None:  # the first iterations may have waited for the compiler
            self.begun, self.n_before = now, n_iter
        taken = now - self.begun
        if taken < LONG:
            return
        left = taken / max(n_iter - self.n_before, 1) * (max_iter - n_iter)
        if left < LONG:
            return
        self.said = True
        if now - LongFit.last_said < SILENCE:
            return
        LongFit.last_said = now
        LOGGER.warning(
            "The fit has taken %.0f s for %d iterations and may take another %.0f s, up to "
            "max_iter=%d. verbose=True shows its progress; Ctrl-C ends it and keeps the network.",
            taken,
            n_iter,
            left,
            max_iter,
        )
