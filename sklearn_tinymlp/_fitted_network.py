"""The methods of a fitted network: prediction, intervals, derivatives, diagnosis, pickling."""

import inspect
from functools import cache
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from ._activations.users_own import raise_caught
from ._base import BaseTinyMLP
from ._bayes.conformal import NORMAL, ConformalScores
from ._bayes.laplace import RowNoise
from ._data.data import Data, check
from ._data.input_range import InputRange
from ._data.validation import validate_inputs
from ._losses.table import LOSSES
from ._machine.threads import blas_threads
from ._network.architecture import Architecture
from ._network.derivatives import gradient_by_inputs
from ._network.network import network_of
from ._training.fitted_weights import architecture_of
from ._training.heteroscedastic_noise import VaryingNoise
from ._training.importances import importances_of
from ._training.posterior import why_none

if TYPE_CHECKING:
    from ._diagnosis.finding import Diagnosis


class FittedNetwork(BaseTinyMLP):
    """The methods of an estimator that read its fitted attributes."""

    @classmethod
    @cache
    def _defaults(cls) -> dict:
        """Return the default value of each parameter."""
        signature = inspect.signature(cls.__init__).parameters
        return {name: parameter.default for name, parameter in signature.items()}

    def predict(self, X, return_std=False):
        """Predict the targets of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        return_std : bool, default=False
            Whether to return the standard deviation of each prediction, too: that of the posterior
            and of the noise, widened where leave-one-out residuals of the training data are larger.
            Requires a fit by the evidence (solver='auto', or 'lm' with ``alpha="auto"``).

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions: float32 when both X and the network are, else float64.

        y_std : ndarray of the shape of y
            Their standard deviations, in the units of y; only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when the network was not fitted by maximising the evidence.
        """
        net = self._snapshot()
        check_is_fitted(net)
        inputs, coefs, intercepts = net._cast(X)
        network = network_of(net._architecture(), net._layer_activations)
        y = network.predict(coefs, intercepts, inputs)
        y = y.ravel() if y.shape[1] == 1 else y
        if not return_std:
            return y
        network, standardised = net._posterior_inputs(inputs)
        with blas_threads(len(net._posterior.theta)):
            std = net._posterior.std(network, standardised, net._noise_at(inputs))
        raise_caught()
        return y, std.ravel() if std.shape[1] == 1 else std

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from the posterior, noise included.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.

        n_samples : int, default=1
            Number of draws. Each is the function of one network at all X, plus noise.

        random_state : int, RandomState instance or None, default=0
            Draws weights and noise.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)

        Raises
        ------
        ValueError
            When the network was not fitted by maximising the evidence.
        """
        net = self._snapshot()
        y = net.predict(X).astype(np.float64)
        X = validate_inputs(net, X).astype(np.float64, copy=False)
        network, inputs = net._posterior_inputs(X)
        random_state = check_random_state(random_state)
        noise = net._noise_at(X)
        with blas_threads(len(net._posterior.theta)):
            deviations = net._posterior.draw(network, inputs, n_samples, random_state, noise)
        raise_caught()
        if y.ndim == 1:
            deviations = deviations[:, 0]
        return y[..., None] + deviations

    def predict_gradient(self, X):
        """Differentiate the predictions with respect to the inputs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_features) or (n_samples, n_features, n_outputs)
            In units of y per unit of X, with the output activation included: float32 when both X
            and the network are, else float64. At a kink it is the slope on one side.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_tinymlp import TinyMLPRegressor
        >>> X = np.linspace(0, 3, 50)[:, np.newaxis]
        >>> net = TinyMLPRegressor(random_state=0).fit(X, np.sin(X.ravel()))
        >>> bool(abs(net.predict_gradient([[1.0]])[0, 0] - np.cos(1.0)) < 0.01)
        True
        """
        net = self._snapshot()
        check_is_fitted(net)
        X, coefs, intercepts = net._cast(X)
        gradient = gradient_by_inputs(coefs, intercepts, net._layer_activations, X)
        return gradient[:, :, 0] if gradient.shape[2] == 1 else gradient

    def hidden_activations(self, X, layer=-1):
        """Compute the values of the units of a hidden layer, after the activation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        layer : int, default=-1
            Index of the hidden layer: 0 is the first, -1 the last.

        Returns
        -------
        activations : ndarray of shape (n_samples, n_units)
            Float32 when both X and the network are, else float64.

        Raises
        ------
        ValueError
            When there is no such hidden layer.
        """
        net = self._snapshot()
        check_is_fitted(net)
        check_scalar(layer, "layer", Integral)
        n_hidden = len(net.coefs_) - 1
        if not -n_hidden <= layer < n_hidden:
            choice = f"between {-n_hidden} and {n_hidden - 1}" if n_hidden else "none"
            raise ValueError(
                f"layer={layer!r} is not a hidden layer. The network has {n_hidden} hidden "
                f"layers; choose {choice}."
            )
        X, coefs, intercepts = net._cast(X)
        n_layers, whole = layer % n_hidden + 1, net._architecture()
        part = Architecture(whole.units[: n_layers + 1], whole.bias)
        network = network_of(part, net._layer_activations[:n_layers])
        return network.predict(coefs[:n_layers], intercepts[:n_layers], X)

    @property
    def feature_importances_(self):
        """Importance of each input, see the class."""
        net = self._snapshot()
        check_is_fitted(net)
        return importances_of(vars(net))

    def diagnose(self, X, y=None, sample_weight=None) -> "Diagnosis":
        """Find why the fitted network learns poorly or not at all, and what to change.

        Without y return which rows lie outside the range of the training data, and how far:
        predictions there are extrapolations.

        The estimator is not changed. The cost is a few dozen passes of the data through the
        network; of large data an evenly spaced subset is examined.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training inputs or, without y, new ones.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Targets of X.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        diagnosis : Diagnosis
            A sequence of findings, the most important first. Each has `code`, `severity`,
            `sentence`, `remedy` and `parameters` (for `set_params`). It prints as text, and as a
            table in a notebook.

        Raises
        ------
        ValueError
            When X or y do not match the data of the fit.

        See Also
        --------
        sklearn_tinymlp.diagnose : The same for an MLPRegressor, and for a pipeline.

        Examples
        --------
        >>> from sklearn_tinymlp import TinyMLPRegressor
        >>> X, y = [[1], [2], [3]], [5, 4, 3]
        >>> net = TinyMLPRegressor(
        ...     hidden_layer_sizes=(3,), activation="relu", bias=False, solver="lbfgs",
        ...     alpha=0.0, random_state=0,
        ... )
        >>> diagnosis = net.fit(X, y).diagnose(X, y)
        >>> diagnosis[0].code, diagnosis[0].remedy
        ('no_bias', 'bias=True')

        Without y, rows outside the range of the training data:

        >>> net.diagnose([[2.5], [9]])[0].code
        'extrapolation'
        """
        net = self._snapshot()
        check_is_fitted(net)
        if y is None:
            from ._diagnosis.extrapolation import outside

            if vars(net).get("_input_range") is None:
                raise ValueError(
                    "diagnose needs y: this network was saved by a release that did not keep the "
                    "range of its training data."
                )
            X, names = validate_inputs(net, X), vars(net).get("feature_names_in_")
            return outside(X, InputRange(*net._input_range), names)
        from ._diagnosis.diagnose import diagnose_network
        from ._diagnosis.trained_network import describe, in_units_of_training

        data = check(net, LOSSES[net._loss], X, y, sample_weight, reset=False)
        if data.y.shape[1] != net.n_outputs_:
            raise ValueError(
                f"y has {data.y.shape[1]} outputs, but the network has {net.n_outputs_}."
            )
        theta, scaled = in_units_of_training(vars(net), data)
        params = net.get_params(deep=False)
        return diagnose_network(describe(vars(net), params, theta, scaled, net._defaults()))

    def _averages(self, X, size) -> tuple[np.ndarray, np.ndarray | None]:
        """Return means of predictions over `size` rows each, (n_samples / size, n_outputs).

        Also return their standard deviations, without noise; None without a posterior.
        """
        net = self._snapshot()
        predictions = net.predict(X).astype(np.float64)
        means = predictions.reshape(len(predictions) // size, size, -1).mean(axis=1)
        if net._posterior is None:
            return means, None
        network, inputs = net._posterior_inputs(validate_inputs(net, X))
        with blas_threads(len(net._posterior.theta)):
            std = net._posterior.std_of_means(network, inputs, size)
        raise_caught()
        return means, std

    def __sklearn_is_fitted__(self):
        """Return whether there are weights; scikit-learn would look through all attributes."""
        return hasattr(self, "coefs_")

    def _cast(self, X):
        """Validate X; return X, coefs and intercepts as float32 if all are, else as float64."""
        X = validate_inputs(self, X)
        both_single = X.dtype == self.coefs_[0].dtype == np.float32
        dtype = np.dtype(np.float32 if both_single else np.float64)
        dense = isinstance(X, np.ndarray)
        X = X.astype(dtype, copy=False, order="C") if dense else X.astype(dtype)
        parts = self.coefs_, self.intercepts_
        return X, *([array.astype(dtype, copy=False) for array in part] for part in parts)

    def _architecture(self) -> Architecture:
        return architecture_of(vars(self))

    def _layers(self):
        """Return coefs, intercepts and activation of each layer, for exports."""
        return zip(self.coefs_, self.intercepts_, self._layer_activations, strict=True)

    def _posterior_inputs(self, X):
        """Return the network and the standardised inputs of the posterior."""
        if self._posterior is None:
            raise ValueError(f"A standard deviation needs the evidence: {why_none(self)}")
        X, layer = X.astype(np.float64, copy=False), vars(self).get("_input_layer")
        architecture, inputs = self._architecture(), self._posterior.inputs
        activations = self._layer_activations
        if layer is not None:
            X, activations = layer.features(X), activations[1:]
            architecture = Architecture((X.shape[1], *architecture.units[2:]))
        if self._scaling is not None:
            X = self._scaling.transform_X(X)
        if inputs is not None:
            X = np.ascontiguousarray(X[:, inputs])
            architecture = Architecture((len(inputs), *architecture.units[1:]), architecture.bias)
        return network_of(architecture, activations), X

    def _noise_at(self, X, weight=None) -> RowNoise | None:
        """Return the noise of each row and output, where it varies."""
        if not isinstance(self.noise_std_, VaryingNoise):
            return None
        return RowNoise.of(self.noise_std_.predict(X), weight)

    def _loo_squares(self, data: Data) -> tuple[np.ndarray, np.ndarray]:
        """Return r^2 / (1 - h), which estimates the variance of a training row, and 1 - h.

        The leave-one-out residual is r / (1 - h). Shapes (n_samples, n_outputs).
        """
        X, y, posterior = data.X, data.y.astype(np.float64), self._posterior
        with blas_threads(len(posterior.theta)):
            network, inputs = self._posterior_inputs(X)
            y = y if self._scaling is None else self._scaling.transform_y(y)
            noise = self._noise_at(X, data.sample_weight)
            loo = posterior.leave_one_out(network, inputs, y, data.left_out(), raise_caught, noise)
        return (posterior.y_scale * loo.residuals) ** 2 / loo.freedom, loo.freedom

    def _conformal_scores(self) -> ConformalScores:
        return self._posterior.tails or NORMAL

    def _trained_html(self) -> str:
        """Return the HTML block of a notebook; empty before a fit."""
        if not hasattr(self, "coefs_"):
            return ""
        from ._displays.html import trained_network

        return trained_network(self)

    @property
    def history_(self):
        """Dict of arrays with an entry for each epoch or iteration."""
        return self._record.arrays()

    def __getstate__(self):
        """Return the attributes, private ones as dicts and arrays, for pickle and skops."""
        from ._export.persistence import plain

        return plain(super().__getstate__())

    def __setstate__(self, state):
        """Set the attributes from `__getstate__`."""
        from ._export.persistence import restored

        super().__setstate__(restored(state))
