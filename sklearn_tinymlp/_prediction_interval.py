"""`predict_interval`: the prediction interval of a network within pipelines and searches."""

import numpy as np


def predict_interval(model, X, coverage=0.95):
    """Predict intervals of new targets with a network, or with an estimator that contains one.

    Parameters
    ----------
    model : estimator
        A fitted `TinyMLPRegressor` or `TinyMLPEnsembleRegressor`; a pipeline that ends in one; a
        search, such as GridSearchCV, or a TransformedTargetRegressor around one; in any nesting.

    X : array-like of shape (n_samples, n_features)
        Inputs, as `model.predict` takes them.

    coverage : float, default=0.95
        Probability that a new target is in its interval.

    Returns
    -------
    interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
        Lower and upper limit of each target, in the units of y.

    Raises
    ------
    TypeError
        When the model contains no estimator with intervals.

    Notes
    -----
    The limits of a transformed target are transformed back: the interval has the same coverage, as
    the transformation is monotone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_tinymlp import TinyMLPRegressor, predict_interval
    >>> X, y = load_diabetes(return_X_y=True)
    >>> net = TinyMLPRegressor(random_state=0)
    >>> model = TransformedTargetRegressor(
    ...     make_pipeline(StandardScaler(), net), func=np.log, inverse_func=np.exp
    ... ).fit(X, y)
    >>> lower, upper = predict_interval(model, X).T
    >>> bool(np.mean((lower <= y) & (y <= upper)) > 0.9)
    True
    """
    if hasattr(model, "predict_interval"):
        return model.predict_interval(X, coverage)
    if hasattr(model, "best_estimator_"):
        return predict_interval(model.best_estimator_, X, coverage)
    if hasattr(model, "steps"):
        return predict_interval(model[-1], model[:-1].transform(X), coverage)
    if hasattr(model, "regressor_") and hasattr(model, "transformer_"):
        limits = predict_interval(model.regressor_, X, coverage)
        parts = [limits[:, k].reshape(len(limits), -1) for k in range(2)]
        back = [model.transformer_.inverse_transform(part) for part in parts]
        # A decreasing transformation exchanges the limits.
        return np.sort(np.stack(back, axis=1), axis=1).reshape(limits.shape)
    raise TypeError(
        f"predict_interval takes a fitted TinyMLPRegressor or TinyMLPEnsembleRegressor, or a "
        f"pipeline, search or TransformedTargetRegressor that contains one, got {model!r}."
    )
