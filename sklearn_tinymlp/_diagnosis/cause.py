"""`Cause`: what `diagnose` looks for, and the check that each is tested and explained."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from .finding import Finding


@dataclass(frozen=True)
class Cause:
    """A reason why a network does not learn, or not well.

    Parameters
    ----------
    code : str
        Its name, which its findings carry.

    function : callable
        ``function(exam)`` gives the findings, an iterable of `Finding` made by `make_finding`,
        for an `Examination`; none where the network is healthy.

    last_resort : bool, default=False
        Whether to look for it only where no other cause explains the trouble.

    Raises
    ------
    TypeError
        When the code is no identifier or the function cannot be called.
    """

    code: str
    function: Callable
    last_resort: bool = False

    def __post_init__(self):
        """Refuse a cause without a name or a function."""
        if not (isinstance(self.code, str) and self.code.isidentifier()):
            raise TypeError(f"The code of a cause must be an identifier, got {self.code!r}.")
        if not callable(self.function):
            raise TypeError(f"The cause {self.code!r} needs a function, got {self.function!r}.")

    def findings(self, exam) -> list[Finding]:
        """Look for it; where the numbers allow no decomposition, nothing is found."""
        try:
            return list(self.function(exam))
        except np.linalg.LinAlgError:
            return []


def check_causes(causes, provoked: Collection, healthy: Collection, page: str) -> None:
    """Refuse causes that are not tested both ways, or that the page does not explain.

    Parameters
    ----------
    causes : iterable of Cause
        The causes.

    provoked, healthy : collection of str
        Codes of those that a test provokes, and of those that a test does not find in a network
        that is close to the trouble and yet healthy.

    page : str
        The text of docs/why_doesnt_my_network_converge.md.

    Raises
    ------
    ValueError
        When one is missing, or two causes have the same code.
    """
    explained, seen = explained_causes(page), set()
    for cause in causes:
        if cause.code in seen:
            raise ValueError(f"Two causes have the code {cause.code!r}. Give each its own.")
        seen.add(cause.code)
        missing = [
            what
            for what, codes in (
                ("a test that provokes it", provoked),
                ("a test of a healthy network that it leaves alone", healthy),
                ("a section in docs/why_doesnt_my_network_converge.md", explained),
            )
            if cause.code not in codes
        ]
        if missing:
            raise ValueError(f"The cause {cause.code!r} needs {' and '.join(missing)}.")


def explained_causes(page: str) -> set[str]:
    """Give the codes that have a section: one whose program prints them as the first finding."""
    sections = re.split(r"^### ", page, flags=re.MULTILINE)[1:]
    first = re.compile(r"^1\. (?:error|warning|info): .*?\[([A-Za-z_]\w*)\]", re.M | re.DOTALL)
    return {match[1] for section in sections for match in first.finditer(section)}
