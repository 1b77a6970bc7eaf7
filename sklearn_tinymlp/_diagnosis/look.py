"""One pass of the data through a fitted network, and the derivatives of its loss there.

Derivatives are products with the Jacobian J of the predictions by the weights, forwards and
backwards through the layers, so that no matrix of parameters is built and nothing is compiled.

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

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy import sparse

from .._activations.lookup import value_and_slope
from .._engine.architecture import Architecture

# Numbers that the units of a network give for the rows looked at: 4 million take 32 MB and some
# 20 ms a pass. A warning at the end of a fit is content with fewer: the fit may have been short.
MOST_VALUES, MOST_VALUES_IN_WARNING = 4_000_000, 40_000

# Lanczos steps: the largest eigenvalue is then exact for as many parameters, and within a percent
# for all networks tried. Their basis stays within LANCZOS_ENTRIES numbers, but for 8 steps.
LANCZOS_STEPS, LANCZOS_ENTRIES = 25, 4_000_000


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

    def at_rate(self, rate) -> dict:
        """Name the parameter that sets the learning rate."""
        rate = float(f"{rate:.0e}")
        by_name = self.of_sklearn or self.params["learning_rate_init"] is not None
        by_name = by_name or self.params["learning_rate"] in ("invscaling", "adaptive")
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
        inputs = [square_norms(value) + 1.0 for value in self.values[:-1]]
        for k in range(self.y.shape[1]):
            by_output = np.zeros_like(self.y)
            by_output[:, k] = np.sqrt(self.step_bend[:, k])
            for layer in range(len(self.coefs) - 1, -1, -1):
                delta = by_output * self.slopes[layer]
                squares += inputs[layer] * square_norms(delta)
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
        step = conjugate_gradients(self.curve, -self.gradient, 5)
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


def square_norms(rows) -> np.ndarray:
    """Sum the squares of each row of a dense or sparse matrix."""
    if sparse.issparse(rows):
        return np.asarray(rows.multiply(rows).sum(axis=1)).ravel()
    return np.einsum("ij,ij->i", rows, rows)


def largest_eigenvalue(multiply, size) -> float:
    """Largest eigenvalue of a positive semidefinite matrix, by Lanczos with full orthogonalising.

    NaN where products with the matrix overflow, as they do after a fit that diverged.

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
    if not np.isfinite(tridiagonal).all():
        return math.nan
    return float(np.linalg.eigvalsh(tridiagonal)[-1])


def conjugate_gradients(multiply, right, n_steps):
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
