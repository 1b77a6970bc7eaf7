"""Both estimators over one configuration: data, the steps of training, and how far they agree.

A configuration is a dict: `params` of both estimators, `data` (how X, y and the weights look),
`methods` called one after the other, `changes` of params before the second of them, and the kind
of `random_state`.
"""

import warnings

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.neural_network import MLPRegressor

from sklearn_tinymlp import TinyMLPRegressor

STOCHASTIC_ATTRIBUTES = (
    "loss_curve_",
    "validation_scores_",
    "best_validation_score_",
    "best_loss_",
    "loss_",
)

# Hypothesis prefers what stands first.
SEQUENCES = (
    ["fit", "fit"],
    ["fit"],
    ["partial_fit", "fit", "partial_fit"],
    ["fit", "partial_fit", "partial_fit"],
    ["partial_fit"] * 5,
)


def in_last_bit(array, rng):
    """Change each number by one unit in the last place, or not; zeros stay."""
    relative = rng.randint(-1, 2, array.shape) * np.finfo(array.dtype).eps
    return array * (1 + relative.astype(array.dtype))


def make_data(kind, loss, step):
    """X, y and sample weights of one step of a sequence.

    With a seed as `last_bit` they are those of the same kind without, changed in the last bit.
    """
    rng = np.random.RandomState([kind["seed"], step])
    X = rng.standard_normal((kind["n_samples"], kind["n_features"]))
    X[np.abs(X) < 0.3] = 0.0
    signal = np.sin(X @ rng.standard_normal((kind["n_features"], kind["n_outputs"])))
    if loss == "poisson":
        y = rng.poisson(np.exp(signal)).astype(float)
    else:
        y = signal + 0.3 * rng.standard_normal(signal.shape)
    if kind["n_outputs"] == 1 and not kind["column"]:
        y = y.ravel()
    X, y = X.astype(kind["dtype"]), y.astype(kind["dtype"])
    weight = None
    if kind["weights"] is not None:
        weight = rng.uniform(0.3, 2.0, kind["n_samples"])
        if kind["weights"] == "one zero":
            weight[kind["n_samples"] // 2] = 0.0
    if kind.get("last_bit") is not None:
        bits = np.random.RandomState([kind["last_bit"], step])
        X, y = in_last_bit(X, bits), in_last_bit(y, bits)
        weight = None if weight is None else in_last_bit(weight, bits)
    if kind["layout"] in ("csr", "csc"):
        X = sparse.csr_matrix(X).asformat(kind["layout"])
    else:
        X = np.asarray(X, order=kind["layout"])
    return X, y, weight


# What MLPRegressor does not warn of.
OURS_ALONE = ("But the predictions are no better", "Training diverged at some iteration")


def make_random_state(kind, seed):
    if kind == "int":
        return seed
    if kind == "RandomState":
        return np.random.RandomState(seed)
    if kind == "PCG64":
        return np.random.RandomState(np.random.PCG64(seed))
    np.random.seed(seed)
    return None


def position_of(random_state):
    """Where a RandomState, or with None the global one, stands; for an int nothing to see."""
    if isinstance(random_state, int):
        return None
    if random_state is None:
        return np.random.get_state(legacy=False)
    return random_state.get_state(legacy=False)


def train(estimator, configuration):
    """Do the steps of a configuration; describe the estimator after each of them."""
    params, kind = configuration["params"], configuration["data"]
    random_state = make_random_state(configuration["random_state"], kind["seed"])
    estimator.set_params(**params, random_state=random_state)
    snapshots = []
    for step, method in enumerate(configuration["methods"]):
        if step == 1:
            estimator.set_params(**configuration["changes"])
        X, y, weight = make_data(kind, params["loss"], step)
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                getattr(estimator, method)(X, y, sample_weight=weight)
            except ValueError as error:
                snapshots.append({"error": (type(error), str(error))})
                return snapshots
            predictions = estimator.predict(X)
        snapshots.append(
            {
                "coefs_": [coef.copy() for coef in estimator.coefs_],
                "intercepts_": [intercept.copy() for intercept in estimator.intercepts_],
                "predictions": predictions,
                "position": position_of(random_state),
                "warnings": {
                    (warning.category, str(warning.message).partition("\n")[0])
                    for warning in caught
                    if warning.category is not RuntimeWarning
                    and not any(ours in str(warning.message) for ours in OURS_ALONE)
                },
            }
        )
        for name in ("n_iter_", "t_", "n_outputs_", "n_layers_", "out_activation_", "loss_"):
            snapshots[-1][name] = getattr(estimator, name)
        if params["solver"] != "lbfgs":
            for name in STOCHASTIC_ATTRIBUTES:
                value = getattr(estimator, name)
                snapshots[-1][name] = list(value) if isinstance(value, list) else value
    return snapshots


def train_both(configuration):
    global_position = np.random.get_state()
    try:
        return train(TinyMLPRegressor(), configuration), train(MLPRegressor(), configuration)
    finally:
        np.random.set_state(global_position)


def assert_close(actual, expected, rtol, what):
    """Within rtol of the largest magnitude among the expected numbers."""
    if expected is None:
        assert actual is None, what
        return
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    finite = np.abs(expected[np.isfinite(expected)])
    magnitude = finite.max() if finite.size else 0.0
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * magnitude, err_msg=what)


def assert_same(name, actual, expected, rtol, exact_warnings, what):
    """Compare one entry of two snapshots."""
    if name == "position":
        np.testing.assert_equal(actual, expected, err_msg=what)
    elif name == "warnings" and not exact_warnings:
        assert {kind for kind, _ in actual} == {kind for kind, _ in expected}, what
    elif name in ("coefs_", "intercepts_"):
        for layer, (one, other) in enumerate(zip(actual, expected, strict=True)):
            assert_close(one, other, rtol, f"{what}, layer {layer}")
    elif isinstance(expected, (set, tuple, str, int)):
        assert actual == expected, what
    else:
        assert_close(actual, expected, rtol, what)


def assert_same_path(ours, theirs, rtol, exact_warnings):
    assert len(ours) == len(theirs)
    for step, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        assert our.keys() == their.keys(), step
        for name, expected in their.items():
            what = f"{name} after step {step}"
            assert_same(name, our[name], expected, rtol, exact_warnings, what)


def tolerance(configuration):
    if configuration["data"]["dtype"] == "float32":
        return 1e-2
    return 1e-4 if configuration["params"]["solver"] == "lbfgs" else 1e-7
