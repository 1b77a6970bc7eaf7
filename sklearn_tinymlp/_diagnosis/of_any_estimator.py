"""`diagnose`: the diagnosis of any fitted network, also scikit-learn's, and within pipelines."""

import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, check_X_y

from .._losses.table import LOSSES
from .._network.architecture import Architecture
from .._solvers.table import SOLVERS
from .diagnose import diagnose as diagnose_network
from .finding import Diagnosis, as_candidates, prefixed
from .trained_network import TrainedNetwork


def diagnose(estimator, X, y=None, sample_weight=None) -> Diagnosis:
    """Find why a fitted network learns poorly or not at all, and which parameter corrects it.

    Parameters
    ----------
    estimator : estimator
        A fitted :class:`TinyMLPRegressor` or scikit-learn's :class:`MLPRegressor`; or a Pipeline
        that ends in one, a TransformedTargetRegressor around one, or a search whose best estimator
        is one. For a :class:`TinyMLPEnsembleRegressor` the member with the greatest weight is
        diagnosed.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Inputs the network was trained on; for a pipeline, before its transformations.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Targets of X. Without them the rows of X outside the training data are found; an
        :class:`MLPRegressor` has no record of its training data.

    sample_weight : array-like of shape (n_samples,), default=None
        Weight of each sample.

    Returns
    -------
    diagnosis : Diagnosis
        See :meth:`TinyMLPRegressor.diagnose`.

    Raises
    ------
    TypeError
        When the estimator is of any other type.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.neural_network import MLPRegressor
    >>> from sklearn_tinymlp import diagnose
    >>> X = 1000 + np.arange(50.0)[:, np.newaxis]
    >>> y = np.sin(X.ravel() / 10)
    >>> mlp = MLPRegressor(random_state=0).fit(X, y)
    >>> diagnose(mlp, X, y)[0].code
    'unscaled_features'
    """
    # Recognised by their attributes, because importing sklearn.compose takes long.
    if hasattr(estimator, "best_estimator_"):
        found = diagnose(estimator.best_estimator_, X, y, sample_weight)
        return as_candidates(found, getattr(estimator, "best_params_", ()))
    if hasattr(estimator, "named_steps"):
        X = estimator[:-1].transform(X) if len(estimator) > 1 else X
        name, last = estimator.steps[-1]
        return prefixed(diagnose(last, X, y, sample_weight), name)
    if hasattr(estimator, "transformer_") and hasattr(estimator, "regressor_"):
        if y is not None:
            y = np.asarray(y)
            y = estimator.transformer_.transform(y.reshape(len(y), -1)).squeeze()
        return prefixed(diagnose(estimator.regressor_, X, y, sample_weight), "regressor")
    if isinstance(estimator, MLPRegressor):
        return _diagnose_mlp_regressor(estimator, X, y, sample_weight)
    if not hasattr(estimator, "diagnose"):
        raise TypeError(
            "diagnose needs a fitted TinyMLPRegressor or MLPRegressor, or a pipeline, target "
            f"transformer or search with one, got {type(estimator).__name__}."
        )
    return estimator.diagnose(X, y, sample_weight)


def _diagnose_mlp_regressor(mlp, X, y, sample_weight):
    check_is_fitted(mlp)
    if y is None:
        raise ValueError(
            "diagnose needs y, got None: an MLPRegressor has no record of its training data."
        )
    X, y = check_X_y(X, y, accept_sparse="csr", multi_output=True, y_numeric=True)
    y = y.reshape(len(y), -1)
    if sample_weight is not None:
        sample_weight = _check_sample_weight(sample_weight, X)
    units = (mlp.coefs_[0].shape[0], *(len(intercept) for intercept in mlp.intercepts_))
    if (X.shape[1], y.shape[1]) != (units[0], units[-1]):
        raise ValueError(
            f"X has {X.shape[1]} features and y {y.shape[1]} outputs, but the network has "
            f"{units[0]} and {units[-1]}."
        )
    architecture = Architecture(units)
    stop_reason = "validation" if mlp.early_stopping else "tol"
    network = TrainedNetwork(
        architecture,
        architecture.pack(mlp.coefs_, mlp.intercepts_, np.float64),
        (*[mlp.activation] * (len(units) - 2), mlp.out_activation_),
        LOSSES[getattr(mlp, "loss", "squared_error")],
        X,
        y,
        sample_weight,
        params=mlp.get_params(deep=False),
        solver=SOLVERS[mlp.solver],
        penalty=float(mlp.alpha),
        rate=float(mlp.learning_rate_init),
        stop_reason="max_iter" if mlp.n_iter_ >= mlp.max_iter else stop_reason,
        n_iter=int(mlp.n_iter_),
        final_loss=float(mlp.loss_),
        history={"loss": getattr(mlp, "loss_curve_", [])},
        defaults=type(mlp)().get_params(deep=False),
    )
    return diagnose_network(network)
