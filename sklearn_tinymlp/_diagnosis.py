"""Why a network does not converge: from record, network and data to findings.

A cause is a function that takes a `Look` at a fit and yields its findings, mostly one or none.
"""

import html
import math
import textwrap
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import fdtrc

from ._activations import name_of, value_and_slope, value_range
from ._feasibility import (
    CHANCE,
    intercept_sentence,
    needs_intercept,
    range_sentence,
    targets_out_of_range,
)
from ._look import MOST_VALUES, Fit, Look, square_norms

WIDTH = 90  # of a line of text, in characters

# Numbers of the Jacobian of a network without bias, which alone is written out.
MOST_ENTRIES = 2_000_000

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


def _finding(fit, code, severity, sentence, /, **parameters) -> Finding:
    """Make a finding whose remedy speaks of parameters that the estimator has."""
    if not fit.of_sklearn:
        remedy = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
        return Finding(code, severity, sentence, parameters, remedy)
    known = {name: value for name, value in parameters.items() if name in fit.params}
    if known.get("solver") == "lm":
        known.pop("solver")
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


def _plain(r2) -> str:
    """Show R² with three decimals, 0.9999 not as 1, and that of a diverged fit by its size."""
    if r2 < -1000.0:
        return f"{r2:.3g}"
    return f"{round(r2, 4) + 0.0:.4f}" if 0.999 < r2 < 0.99995 else f"{round(r2, 3) + 0.0:.3f}"


def _output_range(look):
    fit = look.fit
    obstacle = targets_out_of_range(
        fit.y, fit.sample_weight, fit.activations[-1], fit.params.get("loss_tol")
    )
    if obstacle:
        sentence = range_sentence(obstacle, fit.y, fit.activations[-1])
        yield _finding(fit, "output_range", ERROR, sentence, output_activation="identity")


def _no_bias(look):
    """Prove it from the data, or see what one Gauss-Newton step with intercepts would do."""
    fit = look.fit
    if fit.architecture.bias:
        return
    obstacle = needs_intercept(fit.X, fit.y, fit.sample_weight, fit.activations)
    if obstacle:
        obstacle = obstacle._replace(floor=obstacle.floor * fit.loss_unit)
        yield _finding(fit, "no_bias", ERROR, intercept_sentence(obstacle), bias=True)
        return
    if fit.loss != "squared_error" or look.explained > 0.99:
        return
    without, within, n_more, n_free = _with_intercepts(look)
    chance = 1.0  # as many weights as rows fit anything
    if n_free > 0:
        statistic = (without - within) / max(n_more, 1) / max(within / n_free, 1e-300)
        chance = fdtrc(max(n_more, 1), n_free, statistic)
    if without > 0.02 * look.null and within < 0.5 * without and chance < CHANCE:
        yield _finding(
            fit,
            "no_bias",
            ERROR,
            f"bias=False: the loss is {look.data * fit.loss_unit:.4g}, a Gauss-Newton step brings "
            f"it to {without * fit.loss_unit:.4g}, and one with intercepts to "
            f"{max(within, 1e-9 * look.null) * fit.loss_unit:.1g} or less.",
            bias=True,
        )


def _with_intercepts(look):
    """Linearise: the best loss without and with intercepts, how many these are, rows left over."""
    fit = look.fit
    widest = fit.theta.size + sum(fit.architecture.units[1:])
    n_outputs = look.y.shape[1]
    rows = np.linspace(
        0, look.n_rows - 1, min(look.n_rows, max(64, MOST_ENTRIES // (widest * n_outputs)))
    ).astype(np.intp)
    root = np.sqrt(look.weight[rows] / look.weight[rows].sum() / (2 * n_outputs))
    blocks, residuals = [], []
    for k in range(n_outputs):
        by_output = np.zeros((len(rows), n_outputs))
        by_output[:, k] = 1.0
        columns, intercepts = [], []
        for layer in range(len(look.coefs) - 1, -1, -1):
            delta = by_output * look.slopes[layer][rows]
            value = look.values[layer][rows]
            value = value.toarray() if sparse.issparse(value) else value
            columns.append(np.einsum("ri,rj->rij", value, delta).reshape(len(rows), -1))
            intercepts.append(delta)
            by_output = delta @ look.coefs[layer].T
        blocks.append(root * np.hstack([*columns, *intercepts]))
        residuals.append(root[:, 0] * (look.y[rows, k] - look.predictions[rows, k]))
    J, residual = np.vstack(blocks), np.concatenate(residuals)
    n_coefs = fit.architecture.n_coefs
    left, ranks = [], []
    for part in (J[:, :n_coefs], J):
        solution, _, rank, _ = np.linalg.lstsq(part, residual, rcond=1e-10)
        left.append(float(((residual - part @ solution) ** 2).sum()))
        ranks.append(int(rank))
    return *left, ranks[1] - ranks[0], len(residual) - ranks[1]


def _rate_too_large(look):
    fit = look.fit
    losses = np.nan_to_num(fit.losses[-fit.n_iter :], nan=math.inf)
    if not fit.stochastic or len(losses) < 3:
        return
    recent = losses[-51:]
    rises = float(np.mean(recent[1:] > recent[:-1]))
    jump = losses[-1] / max(losses.min(), 1e-300)
    rose = losses[1:].max() > 2.0 * losses[0]
    if not (rose or jump > 1.1 or look.explained < 0.5) or look.explained > 0.99:
        return
    limit, how, trouble = math.inf, "", rose
    if fit.solver == "adam":  # momentum alone makes a loss rise, but not for so many epochs
        restless = len(recent) > 50 and rises >= 0.25
        trouble = rose or (restless and (jump > 1.5 or look.explained < 0.01))
    else:
        limit = look.stable_rate
        if fit.rate > limit:
            how = (
                f" It is above {limit:.3g}, where sgd becomes unstable here (2 / lambda of the "
                "Gauss-Newton matrix, with the momentum and batch size set)."
            )
    if how or trouble:
        what = f"the loss rose in {rises:.0%} of the last {len(recent) - 1} epochs"
        if rose:
            what = f"the loss rose from {losses[0]:.3g} to {losses.max():.3g}"
        elif rises == 0.0:
            what = (
                f"R² is {_plain(look.explained)}, the loss was once as low as {losses.min():.3g},"
            )
        rate = 0.5 * limit if how else min(0.1 * fit.rate, 0.01)
        yield _finding(
            fit,
            "learning_rate_too_large",
            ERROR,
            f"The learning rate of {fit.rate:.3g} is too large: {what} and ends at "
            f"{losses[-1]:.3g}.{how}",
            **fit.at_rate(rate),
        )


# Where sgd would be stable at this rate the loss is flat, and a larger rate is no remedy.
FLAT = 1e3


def _rate_too_small(look):
    fit = look.fit
    if not fit.stochastic or not look.unfinished:
        return
    if fit.solver == "sgd":
        limit = look.stable_rate
        if fit.rate < 0.05 * limit and limit < FLAT:
            yield _finding(
                fit,
                "learning_rate_too_small",
                WARNING,
                f"The learning rate of {fit.rate:.3g} is far below {limit:.3g}, up to which sgd "
                "is stable here (2 / lambda of the Gauss-Newton matrix, with the momentum and "
                "batch size set), and the loss was still falling.",
                **fit.at_rate(0.25 * limit),
            )
        return
    n_rows, asked = fit.y.shape[0], fit.params["batch_size"]
    updates = fit.n_iter * math.ceil(n_rows / min(200 if asked == "auto" else asked, n_rows))
    if updates >= 100 and fit.rate * updates < 0.3:
        yield _finding(
            fit,
            "learning_rate_too_small",
            WARNING,
            f"The learning rate of {fit.rate:.3g} is too small: in {updates} updates of adam no "
            f"weight moves by much more than {fit.rate * updates:.2g}, and the loss was still "
            "falling.",
            **fit.at_rate(min(10.0 * fit.rate, 0.1)),
        )


def _dead_units(look):
    """No gradient comes through a unit whose slope is zero on every row."""
    fit = look.fit
    for layer, slopes in enumerate(look.slopes):
        if all(map(math.isfinite, value_range(fit.activations[layer]))):
            continue  # a slope that has underflown is saturated, see below
        dead = np.abs(slopes).max(axis=0) <= 1e-12
        if not dead.any():
            continue
        name = name_of(fit.activations[layer])
        is_output = layer == len(look.slopes) - 1
        where = "of the output" if is_output else f"of hidden layer {layer + 1}"
        share = dead.mean()
        severity = ERROR if dead.all() else WARNING if share >= 0.5 else INFO
        remedy = {"output_activation": "identity"}
        if not is_output:
            other = "tanh" if fit.of_sklearn else "leaky_relu"
            other = "elu" if other == name else other
            one = fit.params["activation"]
            many = isinstance(one, (list, tuple))
            remedy = {"activation": [*one[:layer], other, *one[layer + 1 :]] if many else other}
        yield _finding(
            fit,
            "dead_units",
            severity,
            f"{dead.sum()} of {len(dead)} units {where} are dead: the slope of {name!r} is zero "
            f"on all {look.n_rows} rows, and nothing can change their weights.",
            **remedy,
        )


@cache
def _steepest(activation) -> float:
    return float(np.abs(value_and_slope(activation, np.linspace(-5.0, 5.0, 101))[1]).max())


def _saturated_units(look):
    """Find units that are flat wherever data are: they learn a hundred times more slowly."""
    fit = look.fit
    for layer, slopes in enumerate(look.slopes[:-1]):
        activation = fit.activations[layer]
        if not all(map(math.isfinite, value_range(activation))):
            continue
        flat = np.mean(np.abs(slopes) < 0.01 * _steepest(activation), axis=0) >= 0.9
        if not flat.mean() >= 0.5:
            continue
        rms = np.sqrt(np.mean(square_norms(look.values[0])) / look.values[0].shape[1])
        remedy = {"standardize": True}
        if fit.standardized or rms < 3.0:
            remedy = {"alpha": max(100.0 * fit.penalty, 0.01)}
            if fit.params.get("init", "glorot_uniform") != "glorot_uniform":
                remedy = {"init": "glorot_uniform"}
            elif fit.stochastic:
                remedy = fit.at_rate(min(0.1 * fit.rate, 0.01))
        median = np.median(np.abs(slopes)) / _steepest(activation)
        yield _finding(
            fit,
            "saturated_units",
            WARNING if look.troubled else INFO,
            f"{flat.sum()} of {len(flat)} units of hidden layer {layer + 1} are saturated: on nine "
            f"rows in ten the slope of {name_of(activation)!r} is below a hundredth of its "
            f"greatest (median {median:.1e} of it), and so is what they learn.",
            **remedy,
        )


def _identical_units(look):
    """Units that begin alike get the same gradient and stay alike."""
    for layer, (coef, intercept) in enumerate(
        zip(look.coefs[:-1], look.intercepts[:-1], strict=True)
    ):
        weights = np.vstack([coef, intercept])
        sizes = np.abs(weights).max(axis=0)
        weights = weights[:, sizes > 1e-3 * sizes.max()]  # a unit that was pruned is no twin
        n_units = weights.shape[1]
        if n_units < 2:
            continue
        n_kinds = np.unique(np.round(weights / sizes.max(), 6), axis=1).shape[1]
        if n_kinds > n_units // 2:
            continue
        yield _finding(
            look.fit,
            "identical_units",
            ERROR if n_kinds == 1 else WARNING,
            f"The {n_units} units of hidden layer {layer + 1} have only {n_kinds} different "
            "set(s) of weights and act as so many: start weights must differ (leave out "
            "coefs_init, or draw it).",
            init="glorot_uniform",
        )


# Where inputs or targets this far from 0 and 1 were trained on as they are, gradients of the
# weights differ by the squares of these numbers.
FAR, FAR_APART, NARROW = 10.0, 100.0, 0.03


def _unscaled_features(look):
    fit = look.fit
    if fit.standardized:
        return
    X = look.values[0]
    if sparse.issparse(X):
        mean = np.asarray(X.mean(axis=0)).ravel()
        square = np.asarray(X.multiply(X).mean(axis=0)).ravel()
        std = np.sqrt(np.maximum(square - mean**2, 0.0))
    else:
        mean, std = X.mean(axis=0), X.std(axis=0)
    size = np.hypot(mean, std)
    varying = std > 1e-10 * size
    if not varying.any():
        return
    apart = std[varying].max() / std[varying].min()
    k = int(np.argmax(size))
    if size[k] > FAR:
        what = f"feature {k} has a mean of {mean[k]:.4g} and a standard deviation of {std[k]:.4g}"
    elif apart > FAR_APART:
        what = f"their standard deviations lie up to a factor {apart:.3g} apart"
    elif std.max() < NARROW:
        what = f"the largest standard deviation is {std.max():.3g}"
    else:
        return
    yield _finding(
        fit,
        "unscaled_features",
        WARNING if look.troubled else INFO,
        f"The features are not standardised: {what}.",
        standardize=True,
    )


def _unscaled_target(look):
    fit = look.fit
    if fit.standardized or fit.activations[-1] != "identity":
        return
    mean, std = np.abs(look.y.mean(axis=0)), look.y.std(axis=0)
    size = np.hypot(mean, std)
    k = int(np.argmax(size))
    if not (size[k] > FAR or 0 < std.max() < NARROW):
        return
    yield _finding(
        fit,
        "unscaled_target",
        WARNING if look.troubled else INFO,
        f"The target is not standardised: it has a mean of {look.y[:, k].mean():.4g} and a "
        f"standard deviation of {std[k]:.4g}.",
        standardize=True,
    )


def _stopped_by_tol(look):
    fit = look.fit
    if fit.stop_reason != "tol" or not look.unfinished:
        return
    # A loss that swings with the momentum ends training by the patience, not by tol.
    remedy = {"n_iter_no_change": 100}
    rise = -look.last_fall
    moved = f"risen by {rise:.0%}" if rise < 10.0 else f"grown {1.0 + rise:.3g} times"
    if look.last_fall > 0.0 or not fit.stochastic:
        tol = float(f"{min(fit.params['tol'] / 100.0, 1e-4 * look.null):.0e}")
        remedy = {"tol": tol, "max_iter": 10 * int(fit.params["max_iter"])}
        moved = f"fallen by {look.last_fall:.1%}"
    yield _finding(
        fit,
        "stopped_by_tol",
        WARNING,
        f"tol={fit.params['tol']:g} ended training too early, after {fit.n_iter} iterations and at "
        f"R² {_plain(look.explained)}: the loss had {moved} in the last ten, and five "
        f"conjugate-gradient steps lower it by another {look.gain:.1%}.",
        **remedy,
    )


_BY_HEART = (
    " But with {} weights for {} targets more iterations may learn the noise by heart: look at a "
    "validation set, too."
)


def _max_iter(look):
    fit = look.fit
    if fit.stop_reason not in ("max_iter", "max_fun"):
        return
    evidence = np.asarray(fit.history.get("log_evidence", ()), dtype=float)
    evidence = evidence[np.isfinite(evidence)]
    n_late, fall = look.late
    if len(evidence) > 1 and look.explained <= 0.9999:
        n_late = min(10, len(evidence) - 1)
        what = f"the log evidence rose by {evidence[-1] - evidence[-1 - n_late]:.3g} nats"
    elif look.unfinished and fall > 0.01:
        what = f"the loss fell by {fall:.0%}"
    elif look.unfinished:
        what = f"five conjugate-gradient steps lower the loss by {look.gain:.0%}, and it fell"
    else:
        return
    what += f" in the last {n_late} of {fit.n_iter} iterations."
    if not fit.by_evidence and 4 * fit.theta.size > fit.y.size:
        what += _BY_HEART.format(fit.theta.size, fit.y.size)
    name = fit.stop_reason
    yield _finding(
        fit,
        "max_iter",
        WARNING,
        f"Training was still improving when {name}={fit.params[name]} ended it: {what}",
        **{name: 10 * int(fit.params[name])},
    )


def _no_better_than_mean(look):
    fit = look.fit
    if look.explained > 0.01:
        return
    remedy, hidden = {"n_init": 10}, fit.activations[:-1]
    if not hidden:
        remedy = {"hidden_layer_sizes": (20,)}
    elif all(activation == "identity" for activation in hidden):
        remedy = {"activation": "tanh"}
    elif fit.solver != "lm" and fit.loss == "squared_error":
        remedy = {"solver": "lm"}
    elif fit.solver != "lm":
        remedy = {"solver": "lbfgs", "standardize": True}
    yield _finding(
        fit,
        "no_better_than_mean",
        WARNING if fit.by_evidence else ERROR,
        f"The network predicts no better than the mean of y: R² is {_plain(look.explained)}.",
        **remedy,
    )


def _restarts_disagree(look):
    fit = look.fit
    losses = np.asarray(fit.restart_losses, dtype=float)
    if len(losses) < 2 or np.isnan(losses).all():
        return
    best, worst = np.nanmin(losses), np.nanmax(losses)
    near = int(np.sum(losses <= 1.1 * best))
    # Half of the starts may fail; where one alone is best, a better one may still be missing.
    if worst <= 2.0 * best or near > len(losses) // 4 + 1 or look.explained > 0.98:
        return
    yield _finding(
        fit,
        "restarts_disagree",
        WARNING if near == 1 else INFO,
        f"The {len(losses)} starts ended at losses between {best:.3g} and {worst:.3g}, {near} of "
        "them within 10% of the best: more starts may find a better one.",
        n_init=4 * len(losses),
    )


def _more_weights_than_data(look):
    fit = look.fit
    n_numbers = fit.y.size
    if fit.by_evidence or fit.theta.size <= n_numbers:
        return
    validation = np.asarray(fit.history.get("validation_loss", ()), dtype=float)
    known = len(validation) > 1 and not np.isnan(validation[-1])
    worse = known and validation[-1] > 1.5 * np.nanmin(validation)
    if fit.params.get("early_stopping") and not worse:
        return
    sentence = f"The network has {fit.theta.size} weights for {n_numbers} targets"
    if worse:
        sentence += (
            f", and the validation loss rose from {np.nanmin(validation):.3g} to "
            f"{validation[-1]:.3g}"
        )
    remedy = {"solver": "lm"} if fit.loss == "squared_error" else {"alpha": 100 * fit.penalty + 1.0}
    if fit.solver == "lm":
        remedy = {"alpha": "auto"}
    yield _finding(
        fit,
        "more_weights_than_data",
        WARNING if worse else INFO,
        f"{sentence}: it can learn them by heart. The evidence finds how many weights they "
        "determine.",
        **remedy,
    )


# What makes the goal impossible, what stops learning, what slows it down, what ended it too early.
CAUSES = (
    _output_range,
    _no_bias,
    _identical_units,
    _unscaled_features,
    _unscaled_target,
    _rate_too_large,
    _dead_units,
    _saturated_units,
    _rate_too_small,
    _stopped_by_tol,
    _max_iter,
    _no_better_than_mean,
    _restarts_disagree,
    _more_weights_than_data,
)


def _local_minimum(look):
    """Where nothing else is found, the loss has a minimum here: another start has another."""
    fit = look.fit
    short = look.missed or look.fit.stop_reason == "line_search"
    if short and look.gain < 0.01:
        more = (
            {"n_init": 10}
            if fit.params.get("n_init", 1) == 1
            else {"hidden_layer_sizes": tuple(2 * n for n in fit.architecture.units[1:-1])}
        )
        yield _finding(
            fit,
            "local_minimum",
            WARNING,
            f"Training ended in a minimum of the loss, at {fit.reached:.4g}: five "
            f"conjugate-gradient steps lower it by {look.gain:.1%} only.",
            **more,
        )


def _found(cause, look) -> list[Finding]:
    try:
        return list(cause(look))
    except np.linalg.LinAlgError:
        return []


def diagnose(fit: Fit, most_values=MOST_VALUES) -> Diagnosis:
    """Look for every cause."""
    # Of data and weights near the end of the range of numbers there are squares beyond it: what
    # such a number decides is not found.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        look = Look(fit, most_values)
        findings = [finding for cause in CAUSES for finding in _found(cause, look)]
        findings.sort(key=lambda finding: finding.severity == INFO)  # stable: the order of CAUSES
        if not any(finding.severity != INFO for finding in findings):
            findings = [*_found(_local_minimum, look), *findings]
        explained = look.explained
    n_rows = fit.y.shape[0]
    seen = "" if look.n_rows == n_rows else f", {look.n_rows} of them looked at"
    summary = (
        f"solver {fit.solver!r}, stop_reason_ {fit.stop_reason!r} after {fit.n_iter} iterations: "
        f"loss_ {fit.reached:.4g}, R² {_plain(explained)} on {n_rows} rows{seen}."
    )
    return Diagnosis(summary, findings)
