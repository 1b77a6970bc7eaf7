"""`Finding` and `Diagnosis`: what is found, and how it prints."""

import html
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

WIDTH = 90  # of a line of text, in characters

# Findings that are printed unless all are asked for: the first is to be acted on.
MOST_PRINTED = 3

ERROR, WARNING, INFO = "error", "warning", "info"


NOTHING = "Nothing found that would keep the network from learning."


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
        The parameters that mend it: ``estimator.set_params(**finding.parameters)``. Empty where no
        parameter does.

    remedy : str
        The same as text, ``parameter=value``, or what to do instead.
    """

    code: str
    severity: str
    sentence: str
    parameters: dict
    remedy: str


class Diagnosis(Sequence):
    """Findings about a fitted network, those that explain most first.

    A sequence of `Finding`. It prints as text and shows as a table in a notebook: the first three,
    the one to act on first; `full` gives all.

    Parameters
    ----------
    summary : str
        What is known of the fit, in a sentence.

    findings : iterable of Finding
        The findings, in their order.

    nothing : str, default='Nothing found that would keep the network from learning.'
        What is printed where there are none.

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
        """Count the findings."""
        return len(self._findings)

    def __getitem__(self, index):
        """Give a finding, or a tuple of findings for a slice."""
        return self._findings[index]

    def __str__(self):
        """Give what is known of the fit, then the first findings, each with its remedy."""
        return self._text(MOST_PRINTED)

    def full(self) -> str:
        """Give the text with all findings.

        Returns
        -------
        text : str
        """
        return self._text(len(self))

    def _text(self, most) -> str:
        lines = [textwrap.fill(self.summary, WIDTH)]
        for number, finding in enumerate(self[:most], 1):
            text = f"{number}. {finding.severity}: {finding.sentence} [{finding.code}]"
            lines.append(textwrap.fill(text, WIDTH, subsequent_indent="   "))
            lines.append(f"   Try {finding.remedy}")
        if len(self) > most:
            lines.append(f"And {len(self) - most} more: print(diagnosis.full())")
        if not self._findings:
            lines.append(self.nothing)
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        """Show a table."""
        rows = [
            f"<tr><td>{finding.severity}</td><td style='text-align:left'>"
            f"{html.escape(finding.sentence)}</td><td style='text-align:left'><code>"
            f"{html.escape(finding.remedy)}</code></td><td>{finding.code}</td></tr>"
            for finding in self
        ]
        head = "<tr><th>severity</th><th>finding</th><th>remedy</th><th>code</th></tr>"
        first, rest = "".join(rows[:MOST_PRINTED]), "".join(rows[MOST_PRINTED:])
        table = f"<table>{head}{first}</table>" if rows else f"<p>{html.escape(self.nothing)}</p>"
        if rest:
            n_more = len(rows) - MOST_PRINTED
            table += (
                f"<details><summary>{n_more} more</summary><table>{head}{rest}</table></details>"
            )
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
    """Make a finding; an MLPRegressor is advised in the terms of scikit-learn.

    What is set already is left out of the remedy.
    """
    parameters = {
        name: value
        for name, value in parameters.items()
        if name not in network.params or not np.array_equal(network.params[name], value)
    }
    if not network.of_sklearn:
        remedy = as_text(parameters) or "other data: all that could mend it is set"
        return Finding(code, severity, sentence, parameters, remedy)
    known = {name: value for name, value in parameters.items() if name in network.params}
    for name, ours in (("solver", "lm"), ("loss", "student_t"), ("alpha", "auto")):
        if known.get(name) == ours:  # not scikit-learn's
            known.pop(name)
    other = {name: value for name, value in parameters.items() if name not in known}
    parts = [as_text(known)] if known else []
    if other.pop("standardize", False) and code in OF_THE_TARGET:
        parts.append("TransformedTargetRegressor(mlp, transformer=StandardScaler())")
    elif not (known or other):
        centred = "with_mean=False" if sparse.issparse(network.X) else ""
        parts.append(f"make_pipeline(StandardScaler({centred}), mlp)")
    if other:
        parts.append(f"TinyMLPRegressor(..., {as_text(other)})")
    return Finding(code, severity, sentence, known, ", ".join(parts))


# Causes for which the target is to be standardised, not the features.
OF_THE_TARGET = ("unscaled_target", "uneven_outputs")


def as_text(parameters) -> str:
    """Write parameters as one would in a call."""
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())


def within(diagnosis: Diagnosis, prefix: str) -> Diagnosis:
    """Name parameters as an estimator does that holds the network, ``step__parameter``."""
    return renamed(
        diagnosis, lambda inner: {f"{prefix}__{name}": value for name, value in inner.items()}
    )


def of_search(diagnosis: Diagnosis, searched) -> Diagnosis:
    """Name parameters as a search does; those that it sets itself are for its candidates."""
    findings = []
    for finding in within(diagnosis, "estimator"):
        own, candidates = {}, {}
        for name, value in finding.parameters.items():
            inner = name.removeprefix("estimator__")
            if inner in searched:
                candidates[inner] = value
            else:
                own[name] = value
        if candidates:
            among = f"{as_text(candidates)} among the candidates of the search"
            remedy = ", ".join(filter(None, (as_text(own), among)))
            finding = finding._replace(parameters=own, remedy=remedy)
        findings.append(finding)
    return Diagnosis(diagnosis.summary, findings, diagnosis.nothing)


def renamed(diagnosis: Diagnosis, rename) -> Diagnosis:
    """Put the parameters that ``rename(parameters)`` gives in the place of the network's own."""
    findings = []
    for finding in diagnosis:
        outer, remedy = rename(finding.parameters), finding.remedy
        if outer:
            remedy = as_text(outer) + remedy.removeprefix(as_text(finding.parameters))
        findings.append(finding._replace(parameters=outer, remedy=remedy))
    return Diagnosis(diagnosis.summary, findings, diagnosis.nothing)


def format_r2(r2) -> str:
    """Round R² to three decimals, but 0.9999 not to 1, and that of a diverged fit by its size."""
    if r2 < -1000.0:
        return f"{r2:.3g}"
    return f"{round(r2, 4) + 0.0:.4f}" if 0.999 < r2 < 0.99995 else f"{round(r2, 3) + 0.0:.3f}"
