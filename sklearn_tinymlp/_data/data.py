"""`Data`: the validated data of a fit, of one dtype, with its validation set."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import column_or_1d
from sklearn.utils.validation import (
    _check_sample_weight,
    assert_all_finite,
    check_consistent_length,
)

from .._bayes.laplace import RowNoise
from .._losses.loss import Loss
from .._objective.samples import Samples
from .input_layer import InputLayer
from .input_range import InputRange
from .scaling import Scaling
from .validation import validate_training_data


@dataclass(frozen=True)
class Data:
    """Inputs, targets and weights; X of float32 or float64, dense in C order or CSR."""

    X: np.ndarray
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None = None
    validation: "Data | None" = None
    noise: RowNoise | None = None  # None if the same for all rows
    groups: np.ndarray | None = None  # (n_samples,) numbers of the groups that are held out whole

    @classmethod
    def of(
        cls,
        estimator,
        loss: Loss,
        X,
        y,
        sample_weight,
        *,
        groups=None,
        validation=(None,) * 3,
        reset=True,
    ) -> "Data":
        """Validate the user's data; with `reset` store the columns of X in the estimator.

        `validation` is a tuple of X, y and weights, or of None. A TypeError or ValueError is raised
        by scikit-learn, by the loss or here.
        """
        data = check(estimator, loss, X, y, sample_weight, reset=reset)
        if groups is not None:
            groups = np.unique(column_or_1d(groups), return_inverse=True)[1].ravel()
            check_consistent_length(data.y, groups)
            data = replace(data, groups=groups) if groups.max() > 0 else data
        if all(part is None for part in validation):
            return data
        X_val, y_val, sample_weight_val = validation
        if X_val is None or y_val is None:
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(f"A validation set needs both X_val and y_val; {missing} is missing.")
        held_out = check(
            estimator, loss, X_val, y_val, sample_weight_val, reset=False, suffix="_val"
        )
        n_val, n_outputs = held_out.y.shape[1], data.y.shape[1]
        if n_val != n_outputs:
            raise ValueError(f"y_val has {n_val} outputs, but y has {n_outputs}.")
        held_out = replace(held_out, X=held_out.X.astype(data.X.dtype, copy=False))
        return replace(data, validation=held_out)

    def with_counts(self) -> "Data":
        """Remove rows of weight 0, and scale weights to a mean of 1 unless they are counts.

        The evidence uses the sum of the weights as the number of observations. Whole numbers are
        counts of a row; for other weights, such as the accuracy of a measurement or the share of a
        population, only the ratios are meaningful.
        """
        if self.sample_weight is None or self.sample_weight.min() < 0:
            return self
        rows = np.flatnonzero(self.sample_weight)
        data = self
        if len(rows) < len(self.y):
            data = replace(self.on_rows(rows), validation=self.validation)
        weight = data.sample_weight
        if data.has_counts:
            return data
        times = len(rows) / weight.sum(dtype=np.float64)
        return replace(data, sample_weight=(weight * times).astype(weight.dtype))

    @property
    def has_counts(self) -> bool:
        """Whether the weight of each row is a number of observations."""
        weight = self.sample_weight
        return weight is None or bool((weight == np.floor(weight)).all())

    def weights(self) -> np.ndarray:
        """Return the weight of each row in float64."""
        weight = self.sample_weight
        return np.ones(len(self.y)) if weight is None else weight.astype(np.float64)

    def repeated(self) -> "Data":
        """Return each row as often as its weight says, without weights, if these are counts."""
        if self.sample_weight is None or not self.has_counts:
            return self
        return replace(
            self.on_rows(np.repeat(np.arange(len(self.y)), self.sample_weight.astype(int))),
            sample_weight=None,
        )

    def left_out(self) -> np.ndarray:
        """Return the weight that is removed when an observation of each row is left out."""
        weight = self.weights()
        if self.groups is not None:  # these weights are numbers of observations
            return weight
        return np.ones(len(weight)) if self.has_counts else weight / weight.mean()

    def with_noise(self, std) -> "Data":
        """Set the noise of each row, (n_samples, n_outputs) in the units of y."""
        return replace(self, noise=RowNoise.of(std, self.sample_weight))

    def input_range(self, warm_start) -> list[np.ndarray]:
        """Return minimum and maximum of each input, including the data of the warm start."""
        weight = self.sample_weight  # rows of weight zero do not count
        all_count = weight is None or (weight != 0.0).all()
        ranges = InputRange.of(self.X if all_count else self.X[weight != 0.0])
        if warm_start is not None and warm_start.input_range is not None:
            ranges = ranges.joined(InputRange(*warm_start.input_range))
        return list(ranges)

    def on_rows(self, rows) -> "Data":
        """Return a subset of the rows, without a validation set."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        noise = None if self.noise is None else RowNoise(*(part[rows] for part in self.noise))
        groups = None if self.groups is None else self.groups[rows]
        return Data(self.X[rows], self.y[rows], weight, noise=noise, groups=groups)

    def on_inputs(self, columns: np.ndarray | None) -> "Data":
        """Return a subset of the inputs; None for all."""
        if columns is None:
            return self
        validation = None if self.validation is None else self.validation.on_inputs(columns)
        return replace(self, X=np.take(self.X, columns, axis=1), validation=validation)

    def sampled(self, size: int, random_state) -> "Data":
        """Draw at most `size` rows, weighted to represent all, without a validation set."""
        if size >= len(self.y):
            return replace(self, validation=None)
        rows = np.sort(random_state.permutation(len(self.y))[:size])
        weight = np.ones(len(self.y)) if self.sample_weight is None else self.sample_weight
        times = weight.sum() / max(weight[rows].sum(), np.finfo(float).tiny)
        sample = self.on_rows(rows)
        return replace(sample, sample_weight=(weight[rows] * times).astype(self.y.dtype))

    def encoded(self, input_layer: InputLayer | None) -> "Data":
        """Replace X by the features of an input layer, in all parts."""
        if input_layer is None:
            return self
        validation = None if self.validation is None else self.validation.encoded(input_layer)
        return replace(self, X=input_layer.features(self.X), validation=validation)

    def scaled(self, scaling: Scaling | None) -> "Data":
        """Apply a scaling to all parts."""
        if scaling is None:
            return self
        validation = None if self.validation is None else self.validation.scaled(scaling)
        X, y = scaling.transform_X(self.X), scaling.transform_y(self.y)
        return replace(self, X=X, y=y, validation=validation)

    def samples(self, dtype=np.float64) -> Samples:
        """Return the arrays for an objective, rows weighted by weight over variance."""
        X, y = self.X.astype(dtype, copy=False), self.y.astype(dtype, copy=False)
        weight = self.sample_weight
        if self.noise is not None:
            precision = self.noise.precision.astype(dtype)
            weight = precision if weight is None else weight * precision
        return Samples.of(X, y, weight)


def check(estimator, loss, X, y, sample_weight, *, reset, suffix="") -> Data:
    """Validate inputs, targets and weights; in errors their names end in `suffix`."""
    X, y = validate_training_data(estimator, X, y, reset, f"X{suffix}")
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if sample_weight is not None:
        sample_weight = _check_weights(sample_weight, X, f"sample_weight{suffix}")
    y = y.reshape(len(y), -1)
    if y.dtype != X.dtype:  # y may overflow in float32
        with np.errstate(over="ignore"):
            y = y.astype(X.dtype)
    if not np.isfinite(y).all():  # None in an array of objects has become NaN
        assert_all_finite(y, input_name=f"y{suffix}")
    loss.check_y(y, f"y{suffix}")
    return Data(X, np.ascontiguousarray(y), sample_weight)


def _check_weights(sample_weight, X, name):
    given = np.asarray(sample_weight)
    if given.dtype.kind in "biuf" and not given.any():
        raise ValueError(f"{name} must not sum to zero, got zeros only.")
    sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    with np.errstate(over="ignore"):
        total = sample_weight.sum()
    if total == 0:
        raise ValueError(f"{name} must not sum to zero, got {sample_weight!r}.")
    if not np.isfinite(total):
        raise ValueError(f"{name} must have a finite sum, got {sample_weight!r}.")
    return sample_weight
