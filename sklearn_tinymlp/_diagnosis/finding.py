"""`Finding` and `Diagnosis`: what is found, and how it prints."""

import html
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

LINE_WIDTH = 90  # characters

MOST_PRINTED = 3  # findings, except in `full`
MOST_LISTED = 5  # numbers listed in a sentence

ERROR, WARNING, INFO = "error", "warning", "info"

NOTHING = "Nothing found that would keep the network from learning."


class Finding(NamedTuple):
    """A cause of poor learning.

    Parameters
    ----------
    code : str
        Name of the cause, for use in programs.

    severity : {'error', 'warning', 'info'}
        'error' keeps the network from learning, 'warning' from learning well; 'info' is worth
        knowing.

    sentence : str
        The cause, with the number that shows it.

    parameters : dict
        The parameters that correct it: ``estimator.set_params(**finding.parameters)``. Empty if no
        parameter corrects it.

    remedy : str
        The parameters as text, ``parameter=value``, or other advice.
    """

    code: str
    severity: str
    sentence: str
    parameters: dict
    remedy: str


class Diagnosis(Sequence):
    """Findings about a fitted network, the most important first.

    A sequence of `Finding`. It prints as text, and is shown as a table in a notebook: the first
    three findings, the most important one first; `full` returns all.

    Parameters
    ----------
    summary : str
        How the fit ended, in a sentence.

    findings : iterable of Finding
        The findings, in their order.

    nothing : str, default='Nothing found that would keep the network from learning.'
        Printed where there are no findings.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_tinymlp import TinyMLPRegressor
    >>> X = np.linspace(-1, 1, 30)[:, np.newaxis]
    >>> net = TinyMLPRegressor(random_state=0).fit(X, np.sin(3 * X.ravel()))
    >>> len(net.diagnose(X, np.sin(3 * X.ravel())))
    0
    """

    def __init__(self, summary: str, findings, nothing=NOTHING):
        self.summary = summary
        self.nothing = nothing
        self._findings = tuple(findings)

    def __len__(self):
        """Return the number of findings."""
        return len(self._findings)

    def __getitem__(self, index):
        """Return a finding, or a tuple of findings for a slice."""
        return self._findings[index]

    def __str__(self):
        """Return the summary and the first findings, each with its remedy."""
        return self._text(MOST_PRINTED)

    def full(self) -> str:
        """Return the text with all findings.

        Returns
        -------
        text : str
        """
        return self._text(len(self))

    def _text(self, most) -> str:
        lines = [textwrap.fill(self.summary, LINE_WIDTH)]
        for number, finding in enumerate(self[:most], 1):
            text = f"{number}. {finding.severity}: {finding.sentence} [{finding.code}]"
            lines.append(textwrap.fill(text, LINE_WIDTH, subsequent_indent="   "))
            lines.append(f"   Try {finding.remedy}")
        if len(self) > most:
            lines.append(f"And {len(self) - most} more: print(diagnosis.full())")
        if not self._findings:
            lines.append(self.nothing)
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        """Return a table."""
        left = "<td style='text-align:left'>"
        rows = [
            f"<tr><td>{finding.severity}</td>{left}{html.escape(finding.sentence)}</td>"
            f"{left}<code>{html.escape(finding.remedy)}</code></td><td>{finding.code}</td></tr>"
            for finding in self
        ]
        head = "<tr><th>severity</th><th>finding</th><th>remedy</th><th>code</th></tr>"
        first, rest = "".join(rows[:MOST_PRINTED]), rows[MOST_PRINTED:]
        table = f"<table>{head}{first}</table>" if rows else f"<p>{html.escape(self.nothing)}</p>"
        if rest:
            more = f"<summary>{len(rest)} more</summary><table>{head}{''.join(rest)}</table>"
            table += f"<details>{more}</details>"
        return f"<p>{html.escape(self.summary)}</p>{table}"

    def to_dict(self) -> dict:
        """Return plain Python objects.

        Returns
        -------
        diagnosis : dict
            ``{'summary': str, 'findings': [dict, ...]}``.
        """
        return {"summary": self.summary, "findings": [f._asdict() for f in self]}


# Findings whose remedy is a standardised target; for others it is standardised features.
ABOUT_TARGET = ("unscaled_target", "uneven_outputs")

# Values that the parameters of an MLPRegressor do not accept.
NOT_IN_SKLEARN = {"solver": ("lm",), "loss": ("student_t", "gamma"), "alpha": ("auto",)}


def make_finding(network, code, severity, sentence, /, **parameters) -> Finding:
    """Return a finding, without parameters that already have the advised value.

    For an MLPRegressor the remedy is in terms of scikit-learn.
    """
    parameters = {
        name: value
        for name, value in parameters.items()
        if name not in network.params or not np.array_equal(network.params[name], value)
    }
    if not network.is_mlp_regressor:
        remedy = as_text(parameters) or "different data; every relevant parameter is already set"
        return Finding(code, severity, sentence, parameters, remedy)
    known = {
        name: value
        for name, value in parameters.items()
        if name in network.defaults and value not in NOT_IN_SKLEARN.get(name, ())
    }
    other = {name: value for name, value in parameters.items() if name not in known}
    parts = [as_text(known)] if known else []
    if other.pop("standardize", False) and code in ABOUT_TARGET:
        parts.append("TransformedTargetRegressor(mlp, transformer=StandardScaler())")
    elif not (known or other):
        centred = "with_mean=False" if sparse.issparse(network.X) else ""
        parts.append(f"make_pipeline(StandardScaler({centred}), mlp)")
    if other:
        parts.append(f"TinyMLPRegressor(..., {as_text(other)})")
    return Finding(code, severity, sentence, known, ", ".join(parts))


def as_text(parameters) -> str:
    """Write parameters as in a call."""
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())


def renamed(diagnosis: Diagnosis, rename) -> Diagnosis:
    """Replace the parameters of each finding by ``rename(parameters)``."""
    findings = []
    for finding in diagnosis:
        outer, remedy = rename(finding.parameters), finding.remedy
        if outer:
            remedy = as_text(outer) + remedy.removeprefix(as_text(finding.parameters))
        findings.append(finding._replace(parameters=outer, remedy=remedy))
    return Diagnosis(diagnosis.summary, findings, diagnosis.nothing)


def prefixed(diagnosis: Diagnosis, prefix: str) -> Diagnosis:
    """Name parameters as in an estimator that contains the network, ``step__parameter``."""
    return renamed(
        diagnosis, lambda inner: {f"{prefix}__{name}": value for name, value in inner.items()}
    )


def as_candidates(diagnosis: Diagnosis, searched) -> Diagnosis:
    """Name parameters as in a search; those that the search sets itself become candidates."""
    findings = []
    for inner, finding in zip(diagnosis, prefixed(diagnosis, "estimator"), strict=True):
        candidates = {k: value for k, value in inner.parameters.items() if k in searched}
        if candidates:
            own = {
                k: v
                for k, v in finding.parameters.items()
                if k.removeprefix("estimator__") not in searched
            }
            among = f"{as_text(candidates)} among the candidates of the search"
            remedy = ", ".join(filter(None, (as_text(own), among)))
            finding = finding._replace(parameters=own, remedy=remedy)
        findings.append(finding)
    return Diagnosis(diagnosis.summary, findings, diagnosis.nothing)


def format_r2(r2) -> str:
    """Round R² to three decimals, but 0.9999 not to 1; after divergence, to three digits."""
    if r2 < -1000.0:
        return f"{r2:.3g}"
    return f"{round(r2, 4) + 0.0:.4f}" if 0.999 < r2 < 0.99995 else f"{round(r2, 3) + 0.0:.3f}"


def listed(numbers) -> str:
    """List numbers, or the first few if there are many."""
    more = f" and {len(numbers) - MOST_LISTED} more" if len(numbers) > MOST_LISTED else ""
    return ", ".join(map(str, numbers[:MOST_LISTED])) + more
