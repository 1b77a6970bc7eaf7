"""What a fitted network does: predict with a band, draw, diagnose itself, be saved and shown."""

import inspect
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from ._activations.users_own import raise_caught
from ._base import BaseTinyMLP
from ._bayes.laplace import RowNoise
from ._data.data import check
from ._data.validation import validate_inputs
from ._losses.table import LOSSES
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
    """The methods of an estimator that read the attributes a fit has set."""

    def predict(self, X, return_std=False):
        """Predict the targets of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        return_std : bool, default=False
            Whether to give the standard deviation of each prediction too: what the data leave open
            about the function, and the noise, widened where leaving out training rows shows them
            too small. Needs solver 'lm' with ``alpha="auto"``.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions: float32 when both X and the network are, else float64.

        y_std : ndarray of the shape of y
            Their standard deviations, in the units of y; only with `return_std`.

        Raises
        ------
        ValueError
            With `return_std`, when the network was not fitted by the evidence.
        """
        net = self._snapshot()
        check_is_fitted(net)
        X, dtype = net._inputs(X)
        y = net._outputs(X, dtype, net._architecture())
        y = y.ravel() if y.shape[1] == 1 else y
        if not return_std:
            return y
        network, inputs = net._posterior_inputs(X)
        std = net._posterior.std(network, inputs, net._noise_at(X))
        raise_caught()
        return y, std.ravel() if std.shape[1] == 1 else std

    def sample_y(self, X, n_samples=1, random_state=0):
        """Draw targets from the posterior, noise included.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples_X, n_features)
            Inputs.

        n_samples : int, default=1
            Number of draws. Within a draw the values at all X belong to one network.

        random_state : int, RandomState instance or None, default=0
            Draws weights and noise.

        Returns
        -------
        y_samples : ndarray of shape (n_samples_X, n_samples) or (n_samples_X, n_outputs, n_samples)

        Raises
        ------
        ValueError
            When the network was not fitted by the evidence.
        """
        net = self._snapshot()
        y = net.predict(X).astype(np.float64)
        X = validate_inputs(net, X).astype(np.float64, copy=False)
        network, inputs = net._posterior_inputs(X)
        random_state = check_random_state(random_state)
        noise = net._noise_at(X)
        deviations = net._posterior.draw(network, inputs, n_samples, random_state, noise)
        raise_caught()
        if y.ndim == 1:
            deviations = deviations[:, 0]
        return y[..., None] + deviations

    def predict_gradient(self, X):
        """Differentiate the predictions by the inputs.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        gradient : ndarray of shape (n_samples, n_features) or (n_samples, n_features, n_outputs)
            In the units of y over those of X, through the output activation: float32 when both X
            and the network are, else float64. At a kink it is the slope of one of its sides.

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
        X, dtype = net._inputs(X)
        coefs = [coef.astype(dtype, copy=False) for coef in net.coefs_]
        intercepts = [intercept.astype(dtype, copy=False) for intercept in net.intercepts_]
        gradient = gradient_by_inputs(coefs, intercepts, net._layer_activations, X)
        return gradient[:, :, 0] if gradient.shape[2] == 1 else gradient

    def hidden_activations(self, X, layer=-1):
        """Compute what the units of a hidden layer give, after their activation.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs.

        layer : int, default=-1
            Which hidden layer: 0 is the first, -1 the last.

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
                f"layer={layer!r} is not a hidden layer. The network has {n_hidden} of them; "
                f"choose {choice}."
            )
        X, dtype = net._inputs(X)
        last = layer % n_hidden + 1
        whole = net._architecture()
        return net._outputs(X, dtype, Architecture(whole.units[: last + 1], whole.bias))

    @property
    def feature_importances_(self):
        """How much each input matters, see the class."""
        net = self._snapshot()
        check_is_fitted(net)
        return importances_of(vars(net))

    def diagnose(self, X, y=None, sample_weight=None) -> "Diagnosis":
        """Say why the fitted network does not learn, or not well, and which parameter mends it.

        Without y say which of the rows lie outside the training data, and how far: there the
        network makes its predictions up.

        The estimator is not changed. It costs a few dozen passes of the data through the network,
        and of large data an evenly spread part is looked at.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Inputs the network was trained on; without y new ones.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Their targets.

        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each sample.

        Returns
        -------
        diagnosis : Diagnosis
            A sequence of findings, those that explain most first. Each has `code`, `severity`,
            `sentence`, `remedy` and `parameters` (for `set_params`). It prints as text and shows
            as a table in a notebook.

        Raises
        ------
        ValueError
            When X and y are not of the kind that the network was trained on.

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
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     diagnosis = net.fit(X, y).diagnose(X, y)
        >>> diagnosis[0].code, diagnosis[0].remedy
        ('no_bias', 'bias=True')

        The same network at x = 9, three ranges beyond the data:

        >>> print(net.diagnose([[2.5], [9]]))
        2 rows, 1 of them outside the range of the training data.
        1. warning: 50% of the rows lie outside the range of the training data: feature 0 in 50%,
           by up to 3 times its range. The network has seen nothing there. [extrapolation]
           Try training on such rows too, or leaving these out
        """
        net = self._snapshot()
        check_is_fitted(net)
        if y is None:
            return net._outside(X)
        data = check(net, LOSSES[net._loss], X, y, sample_weight, reset=False)
        if data.y.shape[1] != net.n_outputs_:
            raise ValueError(
                f"y has {data.y.shape[1]} outputs, but the network has {net.n_outputs_}."
            )
        architecture = net._architecture()
        theta = architecture.pack(net.coefs_, net.intercepts_, np.float64)
        if net._scaling is not None:
            theta = net._scaling.unfold(architecture, theta)
        params = net.get_params(deep=False)
        signature = inspect.signature(type(net).__init__).parameters.values()
        defaults = {parameter.name: parameter.default for parameter in signature}
        scaled = data.scaled(net._scaling)
        from ._diagnosis.description import describe
        from ._diagnosis.diagnose import diagnose

        return diagnose(describe(vars(net), params, theta, scaled, defaults))

    def _outside(self, X) -> "Diagnosis":
        known = vars(self).get("_input_range")
        if known is None:
            raise ValueError(
                "diagnose needs y: this network was saved by a release that did not keep the range "
                "of its training data."
            )
        X = validate_inputs(self, X)
        names = vars(self).get("feature_names_in_")
        from ._data.input_range import InputRange
        from ._diagnosis.extrapolation import outside

        return outside(X, InputRange(*known), names)

    def _averages(self, X, size) -> tuple[np.ndarray, np.ndarray | None]:
        """Average predictions over `size` rows each, shape (n_samples / size, n_outputs).

        The standard deviations are those of these means, without noise; None without a posterior.
        """
        net = self._snapshot()
        predictions = net.predict(X).astype(np.float64)
        means = predictions.reshape(len(predictions) // size, size, -1).mean(axis=1)
        if net._posterior is None:
            return means, None
        network, inputs = net._posterior_inputs(validate_inputs(net, X))
        std = net._posterior.std_of_means(network, inputs, size)
        raise_caught()
        return means, std

    def __sklearn_is_fitted__(self):
        """Say so at once; scikit-learn would look through all attributes for one that ends in _."""
        return hasattr(self, "coefs_")

    def _inputs(self, X):
        """Validate X; give it, and the dtype of what is computed from it."""
        X = validate_inputs(self, X)
        both_single = X.dtype == self.coefs_[0].dtype == np.float32
        dtype = np.dtype(np.float32 if both_single else np.float64)
        if isinstance(X, np.ndarray):
            return X.astype(dtype, copy=False, order="C"), dtype
        return X.astype(dtype), dtype

    def _outputs(self, X, dtype, architecture) -> np.ndarray:
        """Compute what the last of some layers gives, shape (n_samples, n_units)."""
        n_layers = len(architecture.units) - 1
        network = network_of(architecture, self._layer_activations[:n_layers])
        layers = (self.coefs_[:n_layers], self.intercepts_[:n_layers])
        coefs, intercepts = ([part.astype(dtype, copy=False) for part in of] for of in layers)
        return network.predict(coefs, intercepts, X)

    def _architecture(self) -> Architecture:
        return architecture_of(vars(self))

    def _layers(self):
        """Give coefs, intercepts and activation of each layer, for the exports."""
        return zip(self.coefs_, self.intercepts_, self._layer_activations, strict=True)

    def _posterior_inputs(self, X):
        """Give the network and the inputs in the units that the posterior was found in."""
        if self._posterior is None:
            raise ValueError(f"A standard deviation needs the evidence: {why_none(self)}")
        X = X.astype(np.float64, copy=False)
        if self._scaling is not None:
            X = self._scaling.transform_X(X)
        architecture, inputs = self._architecture(), self._posterior.inputs
        if inputs is not None:
            X = np.ascontiguousarray(X[:, inputs])
            architecture = Architecture((len(inputs), *architecture.units[1:]), architecture.bias)
        return network_of(architecture, self._layer_activations), X

    def _noise_at(self, X, weight=None) -> RowNoise | None:
        """Give the noise of each row and output, where it varies."""
        if not isinstance(self.noise_std_, VaryingNoise):
            return None
        return RowNoise.of(self.noise_std_.predict(X), weight)

    def _squares_left_out(self, X, y, weight) -> np.ndarray:
        """Give r^2 / (1 - h) of training rows, an estimate of their noise's variance.

        y is of the shape (n_samples, n_outputs). Of a row left out the residual is r / (1 - h).
        """
        network, inputs = self._posterior_inputs(X)
        y = y.astype(np.float64) if self._scaling is None else self._scaling.transform_y(y)
        noise = self._noise_at(X, weight)
        z = self._posterior.left_out(network, inputs, y, raise_caught, noise)
        return (z * (self._posterior.noise_std if noise is None else noise.std)) ** 2

    def _half_width(self, coverage):
        return self._posterior.half_width(coverage)

    def _trained_html(self) -> str:
        """Give the block of a notebook; nothing before a fit."""
        if not hasattr(self, "coefs_"):
            return ""
        from ._displays.diagram import diagram_of
        from ._displays.html import trained_network

        return trained_network(self, diagram_of(self))

    @property
    def history_(self):
        """One row an epoch or iteration, as a dict of arrays."""
        return self._record.arrays()

    def __getstate__(self):
        """Give the attributes, the private ones as plain dicts and arrays, for pickle and skops."""
        from ._export.persistence import plain

        return plain(super().__getstate__())

    def __setstate__(self, state):
        """Take what `__getstate__` gave."""
        from ._export.persistence import restored

        super().__setstate__(restored(state))
