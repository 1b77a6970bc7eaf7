"""`Examination`: one pass of the data through a fitted network, and derivatives of its loss.

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
from dataclasses import replace
from functools import cached_property

import numpy as np

from .._data.input_range import square_norms
from .._network.derivatives import layer_values
from .._solvers.table import SGD
from .._training.divergence import has_diverged
from .matrix_free import conjugate_gradients, largest_eigenvalue
from .pattern import MOST_ROWS, Pattern, pattern_in
from .trained_network import TrainedNetwork
from .trial import LEAST_ROWS, Further, drawn, further

# Numbers that the units of a network give for the rows examined: 4 million take 32 MB and some
# 20 ms a pass. A warning at the end of a fit is content with fewer: the fit may have been short.
MOST_VALUES, MOST_VALUES_IN_WARNING = 4_000_000, 40_000

# Least prediction that a loss of positive ones is asked about: an exp may have underflown.
LEAST_POSITIVE = 1e-100


class Examination:
    """What one pass of the data through a fitted network shows, and what follows from it.

    The pass is made in NumPy: the engine hands out predictions, and the derivatives need the
    values and slopes of the hidden units too.

    Parameters
    ----------
    network : TrainedNetwork
        The network, with its data and the record of its fit.

    most_values : int, default=MOST_VALUES
        How many numbers the units may give; of more rows an evenly spread part is examined.
    """

    def __init__(self, network: TrainedNetwork, most_values=MOST_VALUES):
        self.network, self.most_values = network, most_values
        self.found = ()  # so far, by the causes before
        n_samples = network.y.shape[0]
        sample_weight = network.sample_weight
        self.weight_sum = n_samples if sample_weight is None else float(sample_weight.sum())
        most = max(64, most_values // sum(network.architecture.units))
        rows = slice(None)
        if n_samples > most:  # evenly spread, the same ones each time
            rows = np.linspace(0, n_samples - 1, most).astype(np.intp)
        self.X, self.y = network.X[rows].astype(np.float64), network.y[rows].astype(np.float64)
        self.n_rows = self.y.shape[0]
        weight = np.ones(self.n_rows) if sample_weight is None else sample_weight[rows]
        self.weight = weight[:, None] / max(weight.sum(), np.finfo(float).tiny)
        self.factor = network.loss.factor(self.y.shape[1])
        self.coefs, self.intercepts = network.architecture.unpack(network.theta)
        self.values, self.slopes = self.forward(network.theta)
        self.predictions = self.values[-1]

    def forward(self, theta) -> tuple[list, list]:
        """Give the inputs and each layer's values, and each layer's slopes, at parameters theta."""
        parameters = self.network.architecture.unpack(theta)
        return layer_values(*parameters, self.network.activations, self.X)

    # -------------------------------------------------------------------------------- losses

    def mean_loss(self, predictions) -> float:
        """Mean loss of predictions, without penalty."""
        losses = self.network.loss.value(self.y, predictions)
        return float((self.weight * losses).sum() * self.factor)

    @cached_property
    def loss(self) -> float:
        """Mean loss without penalty."""
        return self.mean_loss(self.predictions)

    @cached_property
    def constant_loss(self) -> float:
        """Mean loss of the best constant: half the variance for squared errors."""
        weight = None if self.network.sample_weight is None else self.weight[:, 0]
        if weight is not None and weight.sum() == 0.0:
            return math.nan  # no mean, and no best constant
        constant = self.network.loss.best_constant(self.y, weight)
        return self.mean_loss(np.full(self.y.shape, constant))

    @property
    def constant_target(self) -> bool:
        """Whether the targets differ by no more than rounding."""
        deviations = self.y - (self.weight * self.y).sum(axis=0)
        variance = (self.weight * deviations**2).sum() / self.y.shape[1]
        return bool(variance <= 2e-12 * (self.weight * self.y**2).sum())

    @cached_property
    def explained(self) -> float:
        """Share of the loss of the best constant that the network explains: R² or its likeness."""
        if self.constant_target or self.constant_loss == 0.0:
            return 1.0  # there is nothing to explain
        return 1.0 - self.loss / self.constant_loss

    @cached_property
    def explained_by_output(self) -> np.ndarray:
        """The same for each output, shape (n_outputs,)."""
        weight = None if self.network.sample_weight is None else self.weight[:, 0]
        if weight is not None and weight.sum() == 0.0:
            return np.full(self.y.shape[1], math.nan)
        loss = self.network.loss
        constant = np.broadcast_to(loss.best_constant(self.y, weight), self.y.shape)
        left = (self.weight * loss.value(self.y, self.predictions)).sum(axis=0)
        of_constant = (self.weight * loss.value(self.y, constant)).sum(axis=0)
        rounding = 1e-12 * (self.weight * self.y**2).sum(axis=0)
        varying = of_constant > rounding
        return np.where(varying, 1.0 - left / np.where(varying, of_constant, 1.0), 1.0)

    @property
    def objective(self) -> float:
        """Mean loss with penalty: what training minimises."""
        return self.loss + 0.5 * float(self.penalty @ self.network.theta**2)

    def loss_at(self, theta) -> float:
        """Loss at other parameters, penalty included."""
        values, _ = self.forward(theta)
        loss = self.mean_loss(values[-1]) + 0.5 * float(self.penalty @ theta**2)
        return loss if math.isfinite(loss) else math.inf

    @property
    def missed_loss_tol(self) -> bool:
        """Whether `loss_tol` was given and not reached."""
        loss_tol = self.network.params.get("loss_tol")
        return loss_tol is not None and not self.network.reached <= loss_tol

    @property
    def failed(self) -> bool:
        """Whether training did not end where it should."""
        unfinished = self.network.stop_reason in ("max_iter", "max_fun", "line_search")
        return unfinished or self.missed_loss_tol or self.explained < 0.3

    # -------------------------------------------------------------------------- derivatives

    @property
    def loss_predictions(self) -> np.ndarray:
        """Predictions at which the loss has derivatives: positive ones where it needs them."""
        if self.network.loss.positive:
            return np.maximum(self.predictions, LEAST_POSITIVE)
        return self.predictions

    @cached_property
    def loss_curvature(self) -> np.ndarray:
        """Second derivative of each row's loss by its predictions, shape (n_rows, n_outputs)."""
        return self.network.loss.curvature(self.y, self.loss_predictions)

    @cached_property
    def output_curvature(self) -> np.ndarray:
        """Second derivative of the mean loss by each prediction."""
        return self.weight * (self.factor * self.loss_curvature)

    def jvp(self, direction) -> np.ndarray:
        """J direction: how predictions change, shape (n_rows, n_outputs)."""
        coefs, intercepts = self.network.architecture.unpack(direction)
        change = None
        for layer, (coef, intercept) in enumerate(zip(coefs, intercepts, strict=True)):
            z = self.values[layer] @ coef + intercept
            if layer > 0:
                z += change @ self.coefs[layer]
            change = z * self.slopes[layer]
        return change

    def vjp(self, by_output) -> np.ndarray:
        """J^T by_output: the gradient of what has these derivatives by the predictions."""
        coefs, intercepts = [], []
        for layer in range(len(self.coefs) - 1, -1, -1):
            delta = by_output * self.slopes[layer]
            coefs.insert(0, np.asarray(self.values[layer].T @ delta))
            intercepts.insert(0, delta.sum(axis=0))
            by_output = delta @ self.coefs[layer].T
        return self.network.architecture.pack(coefs, intercepts, np.float64)

    @cached_property
    def penalty(self) -> np.ndarray:
        """Second derivative of the penalty by each parameter."""
        strength = np.zeros(self.network.theta.size)
        strength[: self.network.architecture.n_coefs] = self.network.penalty / self.weight_sum
        return strength

    @cached_property
    def gradient(self) -> np.ndarray:
        """Gradient of the loss, penalty included."""
        slope = self.factor * self.network.loss.slope(self.y, self.loss_predictions)
        return self.vjp(self.weight * slope) + self.penalty * self.network.theta

    def gauss_newton_product(self, direction, output_curvature=None) -> np.ndarray:
        """J^T C J direction + penalty: the Gauss-Newton matrix of the loss times a direction."""
        if output_curvature is None:
            output_curvature = self.output_curvature
        by_output = output_curvature * self.jvp(direction)
        return self.vjp(by_output) + self.penalty * direction

    @cached_property
    def steepest_curvature(self) -> float:
        """Largest eigenvalue of the Gauss-Newton matrix of what sgd descends.

        As in MLPRegressor that is the loss summed over the outputs, not their mean
        (scikit-learn issue 8349).
        """
        curvature = self.weight * self.loss_curvature

        def multiply(direction):
            return self.gauss_newton_product(direction, curvature)

        return largest_eigenvalue(multiply, self.network.theta.size)

    @cached_property
    def row_curvature(self) -> float:
        """The same for the worst single row."""
        squares = np.zeros(self.n_rows)
        inputs = [square_norms(value) + 1.0 for value in self.values[:-1]]
        for k in range(self.y.shape[1]):
            by_output = np.zeros_like(self.y)
            by_output[:, k] = np.sqrt(self.loss_curvature[:, k])
            for layer in range(len(self.coefs) - 1, -1, -1):
                delta = by_output * self.slopes[layer]
                squares += inputs[layer] * square_norms(delta)
                by_output = delta @ self.coefs[layer].T
        return float(squares.max()) + float(self.penalty.max())

    @cached_property
    def stable_rate(self) -> float:
        """Largest learning rate at which sgd is stable here, see the head of this file."""
        n, b = self.network.y.shape[0], self.network.batch_size
        curvature = self.steepest_curvature
        if b < n:
            curvature *= n * (b - 1) / (b * (n - 1))
            curvature += (n - b) / (b * (n - 1)) * self.row_curvature
        m = self.network.params["momentum"]
        factor = 2.0 * (1.0 + m)
        if self.network.params["nesterovs_momentum"]:
            factor /= 1.0 + 2.0 * m
        return factor / max(curvature, np.finfo(float).tiny)

    @property
    def stable_rate_at_start(self) -> float:
        """The same at weights drawn by Glorot's rule: after a fit that diverged."""
        theta = drawn(self.network.architecture, np.random.RandomState(0))
        return Examination(replace(self.network, theta=theta), self.most_values).stable_rate

    @cached_property
    def gain(self) -> float:
        """By what share of the loss a few conjugate-gradient steps lower it, tried out.

        Five steps on the quadratic model, then the loss itself at the whole step, a quarter and a
        sixteenth of it: what they gain, training has left behind.
        """
        theta = self.network.theta
        step = conjugate_gradients(self.gauss_newton_product, -self.gradient, 5)
        now = self.loss + 0.5 * float(self.penalty @ theta**2)
        best = min(now, *(self.loss_at(theta + share * step) for share in (1.0, 0.25, 0.0625)))
        return (now - best) / now if now > 0 else 0.0

    @cached_property
    def further(self) -> Further:
        """What more training would gain, tried on a copy."""
        return further(self)

    @property
    def would_improve(self) -> bool:
        """Whether more training lowers the loss, and that of rows left out too, where these tell.

        Of a network that learns the noise by heart the loss of rows trained on falls and that of
        the others rises. A hundredth of the loss is nothing, nor is a two-hundredth of the variance
        of y.
        """
        validation = np.asarray(self.network.history.get("validation_loss", ()), dtype=float)
        if len(validation) > 1 and validation[-1] > 1.05 * np.nanmin(validation):
            return False
        gain, left_out = self.further  # NaN where it is not known
        if math.isnan(left_out) and self.network.y.shape[0] >= LEAST_ROWS:  # the record knows
            return max(self.late_fall[1], self.fall_before_tol[1]) > 0.01
        of_variance = left_out * (1.0 - self.explained)
        return gain > 0.01 and not (left_out < 0.01 or of_variance < 0.005)

    @cached_property
    def pattern(self) -> Pattern:
        """What the inputs tell of the residuals that the network does not know."""
        seen = self.weight[:, 0] > 0
        rows = MOST_ROWS if self.most_values >= MOST_VALUES else MOST_ROWS // 3
        return pattern_in(self.X[seen], (self.y - self.predictions)[seen], rows)

    # ---------------------------------------------------------------------------- the record

    @property
    def far_from_standard(self) -> bool:
        """Whether inputs or targets are of another size than standardised ones by far."""
        of_X = math.sqrt(float(np.mean(square_norms(self.X))) / self.X.shape[1])
        of_y = math.sqrt(float(np.mean(self.y**2)))
        return max(of_X, of_y) > 3.0

    @property
    def diverged(self) -> bool:
        """Whether the loss was once so large that the weights cannot have been those drawn."""
        losses = self.network.losses[-max(self.network.n_iter, 1) :] / self.network.loss_unit
        weight = None if self.network.sample_weight is None else self.weight[:, 0]
        return has_diverged(losses, self.network.loss, self.X, self.y, weight)

    @property
    def late_fall(self) -> tuple[int, float]:
        """How many epochs the last tenth has, and by what share the loss fell in it."""
        losses = self.network.losses[-self.network.n_iter :]
        n_late = max(1, len(losses) // 10)
        if len(losses) < 2:
            return n_late, 0.0
        before, last = losses[-1 - n_late], losses[-1]
        return n_late, float((before - last) / before) if before > 0 else 0.0

    @property
    def fall_before_tol(self) -> tuple[int, float]:
        """How many epochs `tol` looks at, ten or all, and by what share the loss fell in them."""
        losses = self.network.losses[-11:]
        fall = 1.0 - losses[-1] / losses[0] if len(losses) > 1 and losses[0] > 0 else 0.0
        return max(1, len(losses) - 1), float(fall)

    @cached_property
    def unfinished(self) -> bool:
        """Whether training was still getting somewhere when it was ended.

        The record may say so, but a copy that goes on has the last word.
        """
        if self.diverged and self.explained < 0.9:
            return False  # and where it went from there means nothing
        return self._seems_unfinished and (self.missed_loss_tol or self.would_improve)

    @property
    def _seems_unfinished(self) -> bool:
        missed = self.missed_loss_tol
        if self.explained > 0.9999 and not missed:
            return False  # good enough, unless a loss_tol asks for more
        reason = self.network.stop_reason
        if reason in ("max_iter", "max_fun") and self.late_fall[1] > 0.01:
            return True
        if reason not in ("max_iter", "max_fun", "tol"):
            return False
        if self.explained > 0.95 and not missed:
            return False  # not far from fitted
        if reason == "tol" and self.explained < 0.9 and self.fall_before_tol[1] > 0.05:
            return True
        if (
            reason == "tol"
            and self.explained < 0.1
            and self.network.stochastic
            and self.stopped_early
        ):
            return True
        left_out = self.further.left_out  # NaN where it is not known
        if left_out > 0.3 and left_out * (1.0 - self.explained) > 0.1:  # of the variance of y
            return True
        # Noise that the network may yet learn by heart allows a fall of some percent, and with more
        # weights than targets any fall; the worse the fit, the less of what is left will be noise.
        many_weights = self.network.theta.size > self.network.y.size
        if self.explained > 0.5 and many_weights and not missed:
            return False
        enough = 0.3 if self.explained > 0.5 else 0.1 if self.explained > 0.01 else 0.02
        return self.gain > enough

    @property
    def stopped_early(self) -> bool:
        """Whether training ended before it can have got far."""
        return self.network.n_iter < 10.0 * self.network.params["n_iter_no_change"]


def stable_rate_of(architecture, theta, activations, loss, data, *, params, alpha) -> float:
    """Give the learning rate up to which sgd is stable at the given parameters."""
    network = TrainedNetwork(
        architecture, theta, activations, loss, data, params=params, solver=SGD, penalty=alpha
    )
    return Examination(network, MOST_VALUES_IN_WARNING).stable_rate
