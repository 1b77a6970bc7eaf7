"""`Finding` and `Diagnosis`: what is found, and how it prints."""

import html
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 90  # of a line of text, in characters

ERROR, WARNING, INFO = "error", "warning", "info"


class Finding(NamedTuple):
    """A cause of trouble.

    Parameters
    ----------
    code : str
        Its name, for programs.

    severity : {'error', 'warning', 'info'}
        'error' keeps the network from learning, 'warning' from learning well, 'info' is worth
        knowing.

    sentence : str
        What is the matter, with the number that shows it.

    parameters : dict
        The parameters that mend it: ``estimator.set_params(**finding.parameters)``.

    remedy : str
        The same as text, ``parameter=value``.
    """

    code: str
    severity: str
    sentence: str
    parameters: dict
    remedy: str


class Diagnosis(Sequence):
    """Findings about a fitted network, those that explain most first.

    A sequence of `Finding`; it prints as text and shows as a table in a notebook.

    Parameters
    ----------
    summary : str
        What is known of the fit, in a sentence.

    findings : iterable of Finding
        The findings, in their order.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_tinymlp import TinyMLPRegressor
    >>> X = np.linspace(-1, 1, 30)[:, np.newaxis]
    >>> net = TinyMLPRegressor(random_state=0).fit(X, np.sin(3 * X.ravel()))
    >>> len(net.diagnose(X, np.sin(3 * X.ravel())))
    0
    """

    def __init__(self, summary: str, findings):
        self.summary = summary
        self._findings = tuple(findings)

    def __len__(self):
        """Count the findings."""
        return len(self._findings)

    def __getitem__(self, index):
        """Give a finding, or a tuple of findings for a slice."""
        return self._findings[index]

    def __str__(self):
        """Give what is known of the fit, then each finding with its remedy."""
        lines = [textwrap.fill(self.summary, WIDTH)]
        for number, finding in enumerate(self, 1):
            text = f"{number}. {finding.severity}: {finding.sentence} [{finding.code}]"
            lines.append(textwrap.fill(text, WIDTH, subsequent_indent="   "))
            lines.append(f"   Try {finding.remedy}")
        if not self._findings:
            lines.append("Nothing found that would keep the network from learning.")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        """Show a table."""
        cells = "".join(
            f"<tr><td>{finding.severity}</td><td style='text-align:left'>"
            f"{html.escape(finding.sentence)}</td><td style='text-align:left'><code>"
            f"{html.escape(finding.remedy)}</code></td><td>{finding.code}</td></tr>"
            for finding in self
        )
        head = "<tr><th>severity</th><th>finding</th><th>remedy</th><th>code</th></tr>"
        table = f"<table>{head}{cells}</table>" if cells else "<p>Nothing found.</p>"
        return f"<p>{html.escape(self.summary)}</p>{table}"

    def to_dict(self) -> dict:
        """Give plain Python objects.

        Returns
        -------
        diagnosis : dict
            ``{'summary': str, 'findings': [dict, ...]}``.
        """
        return {"summary": self.summary, "findings": [f._asdict() for f in self]}


def make_finding(network, code, severity, sentence, /, **parameters) -> Finding:
    """Make a finding; an MLPRegressor is advised in the terms of scikit-learn."""
    if not network.of_sklearn:
        remedy = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        return Finding(code, severity, sentence, parameters, remedy)
    known = {name: value for name, value in parameters.items() if name in network.params}
    for name, ours in (("solver", "lm"), ("loss", "student_t")):  # not scikit-learn's
        if known.get(name) == ours:
            known.pop(name)
    parts = [f"{name}={value!r}" for name, value in known.items()]
    other = {name: value for name, value in parameters.items() if name not in known}
    if other.pop("standardize", False) and code == "unscaled_target":
        parts.append("TransformedTargetRegressor(mlp, transformer=StandardScaler())")
    elif not (known or other):
        parts.append("make_pipeline(StandardScaler(), mlp)")
    if other:
        added = ", ".join(f"{name}={value!r}" for name, value in other.items())
        parts.append(f"TinyMLPRegressor(..., {added})")
    return Finding(code, severity, sentence, parameters, ", ".join(parts))


def format_r2(r2) -> str:
    """Round R² to three decimals, but 0.9999 not to 1, and that of a diverged fit by its size."""
    if r2 < -1000.0:
        return f"{r2:.3g}"
    return f"{round(r2, 4) + 0.0:.4f}" if 0.999 < r2 < 0.99995 else f"{round(r2, 3) + 0.0:.3f}"
