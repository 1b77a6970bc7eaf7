"""Why a network does not converge: from record, network and data to findings.

A cause is a function that looks at a fit and gives a `Finding` or None. All look at one forward
pass over at most `MOST_VALUES` unit values, kept in a `Look`; derivatives are products with the
Jacobian J, backwards and forwards through that pass, so that no matrix of parameters is built.

With the loss as sgd descends it, L = mean over rows of half the squared error summed over the
outputs + alpha / (2 n) sum(coefs^2), and lambda the largest eigenvalue of its Gauss-Newton matrix,
plain gradient descent is stable where rate < 2 / lambda. With momentum m an error along that
direction follows (q = 1 - rate lambda)

    heavy ball   e'' = (1 + m - rate lambda) e' - m e    stable below 2 (1 + m) / lambda
    Nesterov     e'' = (1 + m) q e' - m q e              stable below 2 (1 + m) / ((1 + 2 m) lambda)

which is where the root -1 appears. For batches of b of n rows lambda is replaced by the expected
smoothness (Gower et al., "SGD: general analysis and improved rates", ICML 2019, section 3.2),

    n (b - 1) / (b (n - 1)) lambda + (n - b) / (b (n - 1)) lambda_row,

lambda_row being the largest of a single row; for b = n it is lambda itself.
"""

import html
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import fdtrc

from ._activations import name_of, value_and_slope, value_range
from ._parameters import Architecture

# Numbers that the units of a network give for the rows looked at: 4 million take 32 MB and some
# 20 ms a pass. A warning at the end of a fit is content with fewer: the fit may have been short.
MOST_VALUES, MOST_VALUES_IN_WARNING = 4_000_000, 40_000

# Of the Jacobian of a network without bias, which alone is written out.
MOST_ENTRIES = 2_000_000

# Lanczos steps: the largest eigenvalue is then exact for as many parameters, and within a percent
# for all networks tried. Their basis stays within LANCZOS_ENTRIES numbers, but for 8 steps.
LANCZOS_STEPS, LANCZOS_ENTRIES = 25, 4_000_000

WIDTH = 90  # of a line of text, in characters

ERROR, WARNING, INFO = "error", "warning", "info"


class Finding(NamedTuple):
    """A cause of trouble.

    Attributes
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
        """Give plain Python objects: ``{'summary': str, 'findings': [dict, ...]}``."""
        return {"summary": self.summary, "findings": [f._asdict() for f in self]}


@dataclass(frozen=True)
class Fit:
    """What is known of a fitted network; parameters and data in the units of training."""

    architecture: Architecture
    theta: np.ndarray
    activations: tuple  # one a layer, the output's last
    loss: str
    X: np.ndarray  # or CSR
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    params: dict  # of the estimator
    solver: str
    standardized: bool
    penalty: float  # alpha; 0 by the evidence
    by_evidence: bool
    rate: float  # learning rate at the start
    stop_reason: str
    n_iter: int
    reached: float  # loss_
    loss_unit: float  # loss_ is so many times the loss in the units of training
    history: dict = field(default_factory=dict)  # lists by column
    restart_losses: tuple = ()
    of_sklearn: bool = False  # an MLPRegressor

    def finding(self, code, severity, sentence, /, **parameters) -> Finding:
        """Make a finding whose remedy speaks of parameters that the estimator has."""
        if not self.of_sklearn:
            remedy = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
            return Finding(code, severity, sentence, parameters, remedy)
        known = {name: value for name, value in parameters.items() if name in self.params}
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

    def at_rate(self, rate) -> dict:
        """Name the parameter that sets the learning rate."""
        rate = float(f"{rate:.0e}")
        by_name = self.of_sklearn or self.params["learning_rate_init"] is not None
        return {"learning_rate_init" if by_name else "learning_rate": rate}

    @property
    def stochastic(self) -> bool:
        """Whether learning rate and batches mean anything."""
        return self.solver in ("sgd", "adam")

    @property
    def losses(self) -> np.ndarray:
        """Loss after each epoch or iteration."""
        return np.asarray(self.history.get("loss", ()), dtype=float)


class Look:
    """One pass of the data through the network, and what follows from it."""

    def __init__(self, fit: Fit, most_values=MOST_VALUES):
        self.fit = fit
        n_samples = fit.y.shape[0]
        self.weight_sum = n_samples if fit.sample_weight is None else float(fit.sample_weight.sum())
        most = max(64, most_values // sum(fit.architecture.units))
        rows = slice(None)
        if n_samples > most:  # evenly spread, the same ones each time
            rows = np.linspace(0, n_samples - 1, most).astype(np.intp)
        X, self.y = fit.X[rows], fit.y[rows].astype(np.float64)
        self.values = [X.astype(np.float64)]
        self.n_rows = self.y.shape[0]
        weight = np.ones(self.n_rows) if fit.sample_weight is None else fit.sample_weight[rows]
        self.weight = weight[:, None] / max(weight.sum(), np.finfo(float).tiny)
        self.coefs, self.intercepts = fit.architecture.unpack(fit.theta)
        self.slopes = []
        for coef, intercept, activation in zip(
            self.coefs, self.intercepts, fit.activations, strict=True
        ):
            value, slope = value_and_slope(activation, self.values[-1] @ coef + intercept)
            self.values.append(value)
            self.slopes.append(slope)
        self.predictions = self.values[-1]

    def data_loss(self, predictions) -> float:
        """Mean loss without penalty."""
        y, f = self.y, predictions
        if self.fit.loss == "squared_error":
            return float((self.weight * (f - y) ** 2).sum() / (2 * y.shape[1]))
        with np.errstate(all="ignore"):
            logs = np.where(y > 0, y * np.log(y / f), 0.0)
        return float((self.weight * (f - y + logs)).sum())

    @cached_property
    def data(self) -> float:
        """Mean loss without penalty."""
        return self.data_loss(self.predictions)

    @cached_property
    def null(self) -> float:
        """The same if every prediction were the mean: half the variance for squared errors."""
        mean = (self.weight * self.y).sum(axis=0)
        return self.data_loss(np.broadcast_to(mean, self.y.shape))

    @property
    def explained(self) -> float:
        """R², or its likeness for the Poisson deviance."""
        if self.null <= 1e-12 * float((self.weight * self.y**2).sum()):
            return 1.0  # a constant target leaves nothing to explain
        return 1.0 - self.data / self.null

    @property
    def missed(self) -> bool:
        """Whether a loss was asked for that was not reached."""
        asked = self.fit.params.get("loss_tol")
        return asked is not None and not self.fit.reached <= asked

    @property
    def troubled(self) -> bool:
        """Whether training did not end where it should."""
        unfinished = self.fit.stop_reason in ("max_iter", "max_fun", "line_search")
        return unfinished or self.missed or self.explained < 0.3

    # -------------------------------------------------------------------------- derivatives

    @cached_property
    def output_curvature(self) -> np.ndarray:
        """Second derivative of the loss by each prediction; its mean for the Poisson deviance."""
        return self.weight * self.row_bend

    @cached_property
    def row_bend(self) -> np.ndarray:
        """The same for a row that counts 1, shape (n_rows, n_outputs)."""
        if self.fit.loss == "squared_error":
            return np.full_like(self.y, 1.0 / self.y.shape[1])
        return 1.0 / np.maximum(self.predictions, 1e-100)  # an exp may have underflown

    def push(self, direction) -> np.ndarray:
        """J direction: how predictions change, shape (n_rows, n_outputs)."""
        coefs, intercepts = self.fit.architecture.unpack(direction)
        change = None
        for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
            z = self.values[layer] @ coef + intercept
            if layer > 0:
                z += change @ self.coefs[layer]
            change = z * self.slopes[layer]
        return change

    def pull(self, by_output) -> np.ndarray:
        """J^T by_output: the gradient of what has these derivatives by the predictions."""
        coefs, intercepts = [], []
        for layer in range(len(self.coefs) - 1, -1, -1):
            delta = by_output * self.slopes[layer]
            coefs.insert(0, np.asarray(self.values[layer].T @ delta))
            intercepts.insert(0, delta.sum(axis=0))
            by_output = delta @ self.coefs[layer].T
        return self.fit.architecture.pack(coefs, intercepts, np.float64)

    @cached_property
    def penalty(self) -> np.ndarray:
        """Second derivative of the penalty by each parameter."""
        strength = np.zeros(self.fit.theta.size)
        strength[: self.fit.architecture.n_coefs] = self.fit.penalty / self.weight_sum
        return strength

    @cached_property
    def gradient(self) -> np.ndarray:
        """Gradient of the loss, penalty included."""
        error = self.output_curvature * (self.predictions - self.y)  # Poisson: 1 - y / f as well
        return self.pull(error) + self.penalty * self.fit.theta

    def curve(self, direction) -> np.ndarray:
        """Gauss-Newton matrix of the loss times direction."""
        bend = self.pull(self.output_curvature * self.push(direction))
        return bend + self.penalty * direction

    @cached_property
    def steepest_curvature(self) -> float:
        """Largest eigenvalue of the Gauss-Newton matrix of what sgd descends.

        As in MLPRegressor that is the squared error summed over the outputs, not their mean
        (scikit-learn issue 8349).
        """

        def curve(direction):
            bend = self.pull(self.weight * self.step_bend * self.push(direction))
            return bend + self.penalty * direction

        return largest_eigenvalue(curve, self.fit.theta.size)

    @property
    def step_bend(self):
        """`row_bend` of what sgd descends."""
        return np.ones_like(self.y) if self.fit.loss == "squared_error" else self.row_bend

    @cached_property
    def row_curvature(self) -> float:
        """The same for the worst single row, of the sum over outputs."""
        squares = np.zeros(self.n_rows)
        inputs = [_square_norms(value) + 1.0 for value in self.values[:-1]]
        for k in range(self.y.shape[1]):
            by_output = np.zeros_like(self.y)
            by_output[:, k] = np.sqrt(self.step_bend[:, k])
            for layer in range(len(self.coefs) - 1, -1, -1):
                delta = by_output * self.slopes[layer]
                squares += inputs[layer] * _square_norms(delta)
                by_output = delta @ self.coefs[layer].T
        return float(squares.max()) + float(self.penalty.max())

    @cached_property
    def stable_rate(self) -> float:
        """Largest learning rate at which sgd is stable here, see the head of this file."""
        n, asked = self.fit.y.shape[0], self.fit.params["batch_size"]
        b = min(200 if asked == "auto" else asked, n)
        curvature = self.steepest_curvature
        if b < n:
            curvature *= n * (b - 1) / (b * (n - 1))
            curvature += (n - b) / (b * (n - 1)) * self.row_curvature
        m = self.fit.params["momentum"]
        factor = 2.0 * (1.0 + m)
        if self.fit.params["nesterovs_momentum"]:
            factor /= 1.0 + 2.0 * m
        return factor / max(curvature, np.finfo(float).tiny)

    @cached_property
    def gain(self) -> float:
        """By what share of the loss a few conjugate-gradient steps lower it, tried out.

        Five steps on the quadratic model, then the loss itself at the whole step, a quarter and a
        sixteenth of it: what they gain, training has left behind.
        """
        step = _conjugate_gradients(self.curve, -self.gradient, 5)
        now = self.data + 0.5 * float(self.penalty @ self.fit.theta**2)
        best = now
        for share in (1.0, 0.25, 0.0625):
            theta = self.fit.theta + share * step
            best = min(best, self.loss_at(theta))
        return (now - best) / now if now > 0 else 0.0

    def loss_at(self, theta) -> float:
        """Loss at other parameters, penalty included."""
        value = self.values[0]
        for coef, intercept, activation in zip(
            *self.fit.architecture.unpack(theta), self.fit.activations, strict=True
        ):
            value, _ = value_and_slope(activation, value @ coef + intercept)
        loss = self.data_loss(value) + 0.5 * float(self.penalty @ theta**2)
        return loss if math.isfinite(loss) else math.inf

    # ---------------------------------------------------------------------------- the record

    @property
    def late(self) -> tuple[int, float]:
        """The last tenth of the epochs, and by what share the loss fell in it."""
        losses = self.fit.losses[-self.fit.n_iter :]
        n_late = max(1, len(losses) // 10)
        if len(losses) < 2:
            return n_late, 0.0
        before, last = losses[-1 - n_late], losses[-1]
        return n_late, float((before - last) / before) if before > 0 else 0.0

    @property
    def unfinished(self) -> bool:
        """Whether training was still getting somewhere when it was ended."""
        if self.explained > 0.9999 and not self.missed:
            return False  # what more there is to gain nobody asked for
        reason = self.fit.stop_reason
        if reason in ("max_iter", "max_fun") and self.late[1] > 0.01:
            return True
        if reason not in ("max_iter", "max_fun", "tol"):
            return False
        if self.explained > 0.95 and not self.missed:
            return False  # not far from fitted
        if reason == "tol" and self.explained < 0.9 and self.last_fall > 0.05:
            return True
        if reason == "tol" and self.explained < 0.1 and self.fit.stochastic and self.hasty:
            return True
        # Noise that the network may yet learn by heart allows a fall of some percent, and with more
        # weights than targets any fall; the worse the fit, the less of what is left will be noise.
        if self.explained > 0.5 and self.fit.theta.size > self.fit.y.size and not self.missed:
            return False
        enough = 0.3 if self.explained > 0.5 else 0.1 if self.explained > 0.01 else 0.02
        return self.gain > enough

    @property
    def hasty(self) -> bool:
        """Whether training ended before it can have got far."""
        return self.fit.n_iter < 10.0 * self.fit.params["n_iter_no_change"]

    @property
    def last_fall(self) -> float:
        """By what share the loss fell in the last ten epochs, those that `tol` looks at."""
        losses = self.fit.losses[-11:]
        return float(1.0 - losses[-1] / losses[0]) if len(losses) > 1 and losses[0] > 0 else 0.0


def _plain(r2) -> str:
    """Show R² with three decimals, and 0.9999 not as 1."""
    return f"{round(r2, 4) + 0.0:.4f}" if 0.999 < r2 < 0.99995 else f"{round(r2, 3) + 0.0:.3f}"


def _square_norms(rows) -> np.ndarray:
    if sparse.issparse(rows):
        return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.einsum("ij,ij->i", rows, rows)


def largest_eigenvalue(multiply, size) -> float:
    """Largest eigenvalue of a positive semidefinite matrix, by Lanczos with full orthogonalising.

    Reference: G. Golub and C. Van Loan, "Matrix Computations", section 10.1.
    """
    vector = np.random.RandomState(0).standard_normal(size)
    basis = [vector / np.linalg.norm(vector)]
    diagonal, off_diagonal = [], []
    for _ in range(min(size, LANCZOS_STEPS, max(8, LANCZOS_ENTRIES // size))):
        image = multiply(basis[-1])
        diagonal.append(image @ basis[-1])
        span = np.array(basis)
        image = image - span.T @ (span @ image)
        image -= span.T @ (span @ image)
        norm = np.linalg.norm(image)
        if norm <= 1e-12 * max(abs(diagonal[0]), 1e-300):
            break
        off_diagonal.append(norm)
        basis.append(image / norm)
    n = len(diagonal)
    tridiagonal = np.diag(diagonal) + sum(np.diag(off_diagonal[: n - 1], k) for k in (-1, 1))
    return float(np.linalg.eigvalsh(tridiagonal)[-1])


def _conjugate_gradients(multiply, right, n_steps):
    """Solve approximately; Hestenes and Stiefel (1952)."""
    solution, residual = np.zeros_like(right), right.copy()
    direction, square = residual.copy(), residual @ residual
    rounding = 1e-24 * square  # the rest of a solved system is no direction
    for _ in range(n_steps):
        if square <= rounding:
            break
        image = multiply(direction)
        bend = direction @ image
        if not bend > 1e-300:
            break
        solution += square / bend * direction
        residual -= square / bend * image
        earlier, square = square, residual @ residual
        direction = residual + square / earlier * direction
    return solution


# ------------------------------------------------------------ what is impossible from the start

# A share of the target's variance that is out of reach is worth a word; less may be noise.
WORTH_A_WORD = 0.01

# Chance that noise alone makes an intercept look needed.
CHANCE = 1e-4


class Obstacle(NamedTuple):
    """Why no weights reach the target."""

    floor: float  # least loss that any weights can reach
    share: float  # of it in the loss of predicting the mean
    number: int  # rows outside the range, or on the rays


def targets_out_of_range(y, sample_weight, activation, loss_tol=None) -> Obstacle | None:
    """Compare targets of shape (n_samples, n_outputs) with the output activation's range."""
    least, greatest = value_range(activation)
    if math.isinf(least) and math.isinf(greatest):
        return None
    distance = np.maximum(np.maximum(least - y, y - greatest), 0.0)
    if not distance.any():
        return None
    floor = 0.5 * float(np.average(distance**2, axis=0, weights=sample_weight).mean())
    mean = np.average(y, axis=0, weights=sample_weight)
    spread = 0.5 * float(np.average((y - mean) ** 2, axis=0, weights=sample_weight).mean())
    share = floor / spread if spread > 0 else math.inf
    if share < WORTH_A_WORD and (loss_tol is None or floor <= loss_tol):
        return None
    return Obstacle(floor, share, int(distance.any(axis=1).sum()))


def needs_intercept(X, y, sample_weight, activations) -> Obstacle | None:
    """Find data that a network without intercepts cannot fit, whatever its weights.

    At x = 0 such a network gives one fixed value if all its hidden activations are zero at zero.
    If all are positively homogeneous, f(c x) = c f(x) for c > 0, it is a straight line through the
    origin on every ray; there the errors of the best line y = b c are compared with those of
    y = a + b c by an F test over all rays.
    """
    if any(_value_at_zero(activation) != 0.0 for activation in activations[:-1]):
        return None
    homogeneous = all(map(_is_homogeneous, activations))
    norms = np.sqrt(_square_norms(X))
    at_zero = norms == 0.0
    if not homogeneous and not at_zero.any():
        return None
    weight = np.ones(len(y)) if sample_weight is None else sample_weight.astype(float)
    rays = np.zeros(len(y), np.intp)
    rays[~at_zero] = _directions(X, norms, ~at_zero) + 1
    if not homogeneous:
        rays[~at_zero] = -1
    counts = np.bincount(rays[rays >= 0])
    order = np.argsort(rays, kind="stable")
    ends = np.cumsum(counts) + np.sum(rays < 0)
    through_origin = affine = 0.0
    n_constraints = n_free = n_rows = 0
    for ray in np.flatnonzero(counts >= np.where(np.arange(len(counts)) == 0, 2, 3)):
        rows = order[ends[ray] - counts[ray] : ends[ray]]
        root = np.sqrt(weight[rows])[:, None]
        c = norms[rows, None] if ray > 0 else np.ones((len(rows), 1))
        target = y[rows] - (0.0 if ray > 0 else _value_at_zero(activations[-1]))
        columns = np.hstack([c, np.ones_like(c)]) if ray > 0 else c
        fitted = columns @ np.linalg.lstsq(root * columns, root * target, rcond=None)[0]
        slope = (root * c).T @ (root * target) / max(((root * c) ** 2).sum(), 1e-300)
        line = c * slope if ray > 0 else 0.0
        through_origin += ((root * (target - line)) ** 2).sum()
        affine += ((root * (target - fitted)) ** 2).sum()
        n_constraints += y.shape[1]
        n_free += (len(rows) - columns.shape[1]) * y.shape[1]
        n_rows += len(rows)
    if n_free < 1:
        return None
    scale = 2.0 * weight.sum() * y.shape[1]
    mean = np.average(y, axis=0, weights=weight)
    spread = (weight[:, None] * (y - mean) ** 2).sum()
    gained = through_origin - affine
    # What is less than rounding of the targets is no error.
    noise = max(affine, 1e-20 * (weight[:, None] * y**2).sum(), 1e-300)
    statistic = (gained / n_constraints) / (noise / n_free)
    if gained < WORTH_A_WORD * spread or fdtrc(n_constraints, n_free, statistic) > CHANCE:
        return None
    return Obstacle(through_origin / scale, through_origin / max(spread, 1e-300), n_rows)


@cache
def _is_homogeneous(activation) -> bool:
    """Whether f(z) = |z| f(z / |z|), as of the identity and all kinds of relu."""
    z = np.array([-1e3, -20.0, -0.5, -1e-3, 0.0, 1e-3, 0.5, 20.0, 1e3])
    value, _ = value_and_slope(activation, z)
    unit, _ = value_and_slope(activation, np.sign(z))
    return np.allclose(value, np.abs(z) * unit, rtol=1e-9, atol=0.0)


@cache
def _value_at_zero(activation) -> float:
    return float(value_and_slope(activation, np.zeros(1))[0][0])


def _directions(X, norms, rows):
    """Give rows that are positive multiples of each other one number."""
    if X.shape[1] == 1:
        column = X.toarray() if sparse.issparse(X) else X
        return (column[rows, 0] > 0).astype(np.intp)
    X = X[rows]
    unit = sparse.diags(1.0 / norms[rows]) @ X if sparse.issparse(X) else X / norms[rows, None]
    # Rounded sums with fixed weights stand for the rows: as good as equal directions, and cheap.
    key = np.asarray(unit @ np.random.RandomState(0).standard_normal((X.shape[1], 2)))
    _, number = np.unique(np.round(key, 9), axis=0, return_inverse=True)
    return number.ravel()


def impossible(X, y, sample_weight, activations, bias, loss_tol=None) -> list[str]:
    """Say before training what no training can reach; one sentence with its remedy for each."""
    sentences = []
    obstacle = targets_out_of_range(y, sample_weight, activations[-1], loss_tol)
    if obstacle:
        sentence = _range_sentence(obstacle, y, activations[-1])
        sentences.append(f'{sentence} Try output_activation="identity", or scale y.')
    if not bias:
        obstacle = needs_intercept(X, y, sample_weight, activations)
        if obstacle:
            sentences.append(f"{_intercept_sentence(obstacle)} Try bias=True.")
    return sentences


def _range_sentence(obstacle, y, activation) -> str:
    least, greatest = value_range(activation)
    return (
        f"{obstacle.number} of {len(y)} targets lie outside [{least:g}, {greatest:g}], the range "
        f"of output_activation={name_of(activation)!r} (y is between {y.min():.4g} and "
        f"{y.max():.4g}): no weights bring the squared-error loss below {obstacle.floor:.4g}."
    )


def _intercept_sentence(obstacle) -> str:
    return (
        "bias=False, but the data need an intercept: without one the network is a line through "
        "the origin along every ray of inputs, and no weights bring the loss of these "
        f"{obstacle.number} rows below {obstacle.floor:.4g}."
    )


# ------------------------------------------------------------------------------------- causes


def _output_range(look):
    fit = look.fit
    obstacle = targets_out_of_range(
        fit.y, fit.sample_weight, fit.activations[-1], fit.params.get("loss_tol")
    )
    if obstacle:
        sentence = _range_sentence(obstacle, fit.y, fit.activations[-1])
        yield fit.finding("output_range", ERROR, sentence, output_activation="identity")


def _no_bias(look):
    """Prove it from the data, or see what one Gauss-Newton step with intercepts would do."""
    fit = look.fit
    if fit.architecture.bias:
        return
    obstacle = needs_intercept(fit.X, fit.y, fit.sample_weight, fit.activations)
    if obstacle:
        obstacle = obstacle._replace(floor=obstacle.floor * fit.loss_unit)
        yield fit.finding("no_bias", ERROR, _intercept_sentence(obstacle), bias=True)
        return
    if fit.loss != "squared_error" or look.explained > 0.99:
        return
    without, within, n_more, n_free = _with_intercepts(look)
    chance = 1.0  # as many weights as rows fit anything
    if n_free > 0:
        statistic = (without - within) / max(n_more, 1) / max(within / n_free, 1e-300)
        chance = fdtrc(max(n_more, 1), n_free, statistic)
    if without > 0.02 * look.null and within < 0.5 * without and chance < CHANCE:
        yield fit.finding(
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
        yield fit.finding(
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
            yield fit.finding(
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
        yield fit.finding(
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
        yield fit.finding(
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
        rms = np.sqrt(np.mean(_square_norms(look.values[0])) / look.values[0].shape[1])
        remedy = {"standardize": True}
        if fit.standardized or rms < 3.0:
            remedy = {"alpha": max(100.0 * fit.penalty, 0.01)}
            if fit.params.get("init", "glorot_uniform") != "glorot_uniform":
                remedy = {"init": "glorot_uniform"}
            elif fit.stochastic:
                remedy = fit.at_rate(min(0.1 * fit.rate, 0.01))
        median = np.median(np.abs(slopes)) / _steepest(activation)
        yield fit.finding(
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
        yield look.fit.finding(
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
    yield fit.finding(
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
    yield fit.finding(
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
    moved = f"risen by {-look.last_fall:.0%}"
    if look.last_fall > 0.0 or not fit.stochastic:
        tol = float(f"{min(fit.params['tol'] / 100.0, 1e-4 * look.null):.0e}")
        remedy = {"tol": tol, "max_iter": 10 * fit.params["max_iter"]}
        moved = f"fallen by {look.last_fall:.1%}"
    yield fit.finding(
        "stopped_by_tol",
        WARNING,
        f"tol={fit.params['tol']:g} ended training too early, after {fit.n_iter} iterations and at "
        f"R² {_plain(look.explained)}: the loss had {moved} in the last ten, and five "
        f"conjugate-gradient steps lower it by another {look.gain:.1%}.",
        **remedy,
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
    name = fit.stop_reason
    yield fit.finding(
        "max_iter",
        WARNING,
        f"Training was still improving when {name}={fit.params[name]} ended it: {what} in the last "
        f"{n_late} of {fit.n_iter} iterations.",
        **{name: 10 * fit.params[name]},
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
    yield fit.finding(
        "no_better_than_mean",
        WARNING if fit.by_evidence else ERROR,
        f"The network predicts no better than the mean of y: R² is {_plain(look.explained)}.",
        **remedy,
    )


def _restarts_disagree(look):
    fit = look.fit
    losses = np.asarray(fit.restart_losses, dtype=float)
    if len(losses) < 2:
        return
    best, worst = np.nanmin(losses), np.nanmax(losses)
    near = int(np.sum(losses <= 1.1 * best))
    # Half of the starts may fail; where one alone is best, a better one may still be missing.
    if worst <= 2.0 * best or near > len(losses) // 4 + 1 or look.explained > 0.98:
        return
    yield fit.finding(
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
    worse = len(validation) > 1 and validation[-1] > 1.5 * np.nanmin(validation)
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
    yield fit.finding(
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
        yield fit.finding(
            "local_minimum",
            WARNING,
            f"Training ended in a minimum of the loss, at {fit.reached:.4g}: five "
            f"conjugate-gradient steps lower it by {look.gain:.1%} only.",
            **more,
        )


def diagnose(fit: Fit, most_values=MOST_VALUES) -> Diagnosis:
    """Look for every cause."""
    look = Look(fit, most_values)
    findings = [finding for cause in CAUSES for finding in cause(look)]
    findings.sort(key=lambda finding: finding.severity == INFO)  # stable: the order of CAUSES
    if not any(finding.severity != INFO for finding in findings):
        findings = [*_local_minimum(look), *findings]
    n_rows = fit.y.shape[0]
    seen = "" if look.n_rows == n_rows else f", {look.n_rows} of them looked at"
    summary = (
        f"solver {fit.solver!r}, stop_reason_ {fit.stop_reason!r} after {fit.n_iter} iterations: "
        f"loss_ {fit.reached:.4g}, R² {_plain(look.explained)} on {n_rows} rows{seen}."
    )
    return Diagnosis(summary, findings)


def stable_rate_of(architecture, theta, activations, loss, data, params, alpha) -> float:
    """Give the learning rate up to which sgd is stable at the given parameters."""
    fit = Fit(
        architecture,
        theta,
        activations,
        loss,
        *data,
        params=params,
        solver="sgd",
        standardized=False,
        penalty=alpha,
        by_evidence=False,
        rate=math.nan,
        stop_reason="",
        n_iter=0,
        reached=math.nan,
        loss_unit=1.0,
    )
    return Look(fit, MOST_VALUES_IN_WARNING).stable_rate
