"""`Data`: what a fit is given, checked, of one dtype, with its validation set."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_sample_weight, assert_all_finite

from .._bayes.laplace import RowNoise
from .._data.input_range import InputRange
from .._losses.loss import Loss
from .._objective.samples import Samples
from .scaling import Scaling
from .validation import validate_training_data


class Names(NamedTuple):
    """What error messages call the three arrays."""

    X: str = "X"
    y: str = "y"
    sample_weight: str = "sample_weight"


AS_GIVEN, OF_VALIDATION = Names(), Names("X_val", "y_val", "sample_weight_val")


@dataclass(frozen=True)
class Data:
    """Inputs, targets and weights; X of float32 or float64, dense in C order or CSR."""

    X: np.ndarray
    y: np.ndarray  # (n_samples, n_outputs)
    sample_weight: np.ndarray | None
    validation: "Data | None" = None
    noise: RowNoise | None = None  # None where all rows have the same

    @classmethod
    def of(cls, estimator, loss: Loss, X, y, sample_weight, *, validation, reset) -> "Data":
        """Check what the user gave.

        Parameters
        ----------
        estimator : estimator
            Knows the number and names of the columns, or with `reset` learns them.
        loss : Loss
            Checks y.
        X, y, sample_weight : array-like
        validation : tuple of three array-likes or None
        reset : bool

        Raises
        ------
        ValueError, TypeError
            scikit-learn's own, and where weights sum to zero, the loss does not take y, or the
            validation set is not of the same kind.
        """
        data = check(estimator, loss, X, y, sample_weight, reset=reset)
        if all(part is None for part in validation):
            return data
        X_val, y_val, sample_weight_val = validation
        if X_val is None or y_val is None:
            missing = "X_val" if X_val is None else "y_val"
            raise ValueError(f"A validation set needs both X_val and y_val; {missing} is missing.")
        held_out = check(
            estimator, loss, X_val, y_val, sample_weight_val, reset=False, names=OF_VALIDATION
        )
        n_val, n_outputs = held_out.y.shape[1], data.y.shape[1]
        if n_val != n_outputs:
            raise ValueError(f"y_val has {n_val} outputs, but y has {n_outputs}.")
        held_out = replace(held_out, X=held_out.X.astype(data.X.dtype, copy=False))
        return replace(data, validation=held_out)

    def with_counts(self) -> "Data":
        """Make the weights sum to the number of rows that have one, unless they are counts.

        The evidence takes the sum of the weights for the number of observations. Whole numbers say
        how often a row was seen; of others, the accuracy of a measurement, say, or the share of a
        population, only the ratios are known.
        """
        weight = self.sample_weight
        if weight is None or weight.min() < 0 or (weight == np.floor(weight)).all():
            return self
        n_rows, total = np.count_nonzero(weight), weight.sum(dtype=np.float64)
        return replace(self, sample_weight=(weight * (n_rows / total)).astype(weight.dtype))

    def with_noise(self, std) -> "Data":
        """Say how large the noise of each row is, (n_samples, n_outputs) in the units of y."""
        return replace(self, noise=RowNoise.of(std, self.sample_weight))

    def input_range(self, earlier=None) -> list[np.ndarray]:
        """Give least and greatest value of each input, here and in the fit that this continues."""
        found = InputRange.of(self.seen_inputs())
        if earlier is not None and earlier.input_range is not None:
            found = found.joined(InputRange(*earlier.input_range))
        return list(found)

    def seen_inputs(self) -> np.ndarray:
        """Give the inputs of rows that have a weight."""
        weight = self.sample_weight
        return self.X if weight is None or (weight != 0.0).all() else self.X[weight != 0.0]

    def on_rows(self, rows) -> "Data":
        """Give some of the rows, without a validation set."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        noise = None if self.noise is None else RowNoise(*(part[rows] for part in self.noise))
        return Data(self.X[rows], self.y[rows], weight, noise=noise)

    def on_inputs(self, columns: np.ndarray | None) -> "Data":
        """Return some of the inputs; None for all."""
        if columns is None:
            return self
        validation = None if self.validation is None else self.validation.on_inputs(columns)
        return replace(self, X=np.take(self.X, columns, axis=1), validation=validation)

    def sampled(self, size: int, random_state) -> "Data":
        """Draw rows, and give each the weight of those it stands for; without a validation set.

        All rows where these are not more than `size`.
        """
        if size >= len(self.y):
            return replace(self, validation=None)
        rows = np.sort(random_state.permutation(len(self.y))[:size])
        weight = np.ones(len(self.y)) if self.sample_weight is None else self.sample_weight
        times = weight.sum() / max(weight[rows].sum(), np.finfo(float).tiny)
        sample = self.on_rows(rows)
        return replace(sample, sample_weight=(weight[rows] * times).astype(self.y.dtype))

    def scaled(self, scaling: Scaling | None) -> "Data":
        """Apply a scaling to all that is there."""
        if scaling is None:
            return self
        return Data(
            scaling.transform_X(self.X),
            scaling.transform_y(self.y),
            self.sample_weight,
            None if self.validation is None else self.validation.scaled(scaling),
            self.noise,
        )

    def in_dtype(self, dtype) -> "Data":
        """Give X and y in another dtype; the same data where they have it."""
        if self.X.dtype == dtype:
            return self
        return replace(self, X=self.X.astype(dtype), y=self.y.astype(dtype))

    def holding_out(self, fraction, random_state) -> "Data":
        """Split a share off as validation set, with the draws of MLPRegressor.

        Raises
        ------
        ValueError
            When it has less than two rows, or no weight.
        """
        arrays = [self.X, self.y]
        if self.sample_weight is not None:
            arrays.append(self.sample_weight)
        parts = train_test_split(*arrays, random_state=random_state, test_size=fraction)
        if self.sample_weight is None:
            parts += [None, None]
        X, X_val, y, y_val, weight, weight_val = parts
        if X_val.shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' "
                "or the size of your dataset."
            )
        if weight_val is not None and not weight_val.sum():
            raise ValueError(
                "The validation set that early_stopping holds out has no weight: sample_weight is "
                "zero there. Give X_val and y_val, or another random_state."
            )
        return Data(X, y, weight, Data(X_val, y_val, weight_val))

    def samples(self, dtype) -> Samples:
        """Hand the arrays over to the kernels; a row counts by its weight over its variance."""
        X, y = self.X.astype(dtype, copy=False), self.y.astype(dtype, copy=False)
        weight = self.sample_weight
        if self.noise is not None:
            precision = self.noise.precision.astype(dtype)
            weight = precision if weight is None else weight * precision
        return Samples.of(X, y, weight)


def columns_of(estimator) -> dict:
    """Give the number and, where there are some, the names of the columns of X."""
    known = vars(estimator)
    return {name: known[name] for name in ("n_features_in_", "feature_names_in_") if name in known}


def check(estimator, loss, X, y, sample_weight, *, reset, names=AS_GIVEN) -> Data:
    """Validate inputs, targets and weights, in scikit-learn's words where it has them."""
    X, y = validate_training_data(estimator, X, y, reset, names.X)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if sample_weight is not None:
        sample_weight = _check_weights(sample_weight, X, names.sample_weight)
    y = y.reshape(len(y), -1)
    if y.dtype != X.dtype:  # float32 X takes y along, if it can
        with np.errstate(over="ignore"):
            y = y.astype(X.dtype)
    if not np.isfinite(y).all():  # None in an array of objects has become NaN
        assert_all_finite(y, input_name=names.y)
    loss.check_y(y, names.y)
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
