"""Round trips through copy, pickle, joblib and skops: training goes on as if nothing had been."""

import copy
import io
import pickle

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tamper import fitted, get, load, replaced, saved_leaves

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor, activations
from sklearn_tinymlp._bayes.conformal import ConformalScores
from sklearn_tinymlp._export import persistence

RNG = np.random.RandomState(0)
X = RNG.standard_normal((60, 3))
Y = np.column_stack([X[:, 0] ** 2, np.tanh(X[:, 1]) - X[:, 2]])

OWN_CLASS = ["sklearn_tinymlp._regressor.TinyMLPRegressor"]
ENSEMBLE_CLASSES = ["sklearn_tinymlp._ensemble.TinyMLPEnsembleRegressor", *OWN_CLASS]

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"  # training is cut short on purpose
)


def through_joblib(net):
    file = io.BytesIO()
    joblib.dump(net, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(net):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    trusted = ENSEMBLE_CLASSES if isinstance(net, TinyMLPEnsembleRegressor) else OWN_CLASS
    return skops.loads(skops.dumps(net), trusted=trusted)


ROUND_TRIPS = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "joblib": through_joblib,
    "skops": through_skops,
}


def assert_same(a, b):
    """Compare all attributes, private ones included, bit for bit.

    Importances are left out: files hold no rows, so that those after loading are of later rows.
    """
    state, other = persistence.plain(vars(a)), persistence.plain(vars(b))
    del state["_importances"], other["_importances"]
    assert set(vars(a)) == set(vars(b))
    _assert_equal(state, other)


def _assert_equal(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _assert_equal(a[key], b[key])
    elif isinstance(a, (list, tuple)) and not isinstance(a, str):
        assert type(a) is type(b) and len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            _assert_equal(one, other)
    elif isinstance(a, ConformalScores):
        _assert_equal(vars(a), vars(b))
    elif isinstance(a, np.random.RandomState):
        _assert_equal(a.get_state(legacy=False), b.get_state(legacy=False))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert_array_equal(a, b)
    else:
        assert type(a) is type(b) and (a == b or a != a)


def seeds(kind):
    return 0 if kind == "int" else np.random.RandomState(0)


@pytest.mark.parametrize("seed", ["int", "RandomState"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_partial_fit_goes_on_bit_for_bit(way, solver, dtype, standardize, seed):
    net = TinyMLPRegressor(
        solver=solver, standardize=standardize, batch_size=7, random_state=seeds(seed)
    )
    for _ in range(3):
        net.partial_fit(X.astype(dtype), Y)
    loaded = ROUND_TRIPS[way](net)
    if way == "copy":  # shares the RandomState
        loaded.random_state = copy.deepcopy(net.random_state)
    assert_same(loaded, net)
    for _ in range(3):
        net.partial_fit(X.astype(dtype), Y)
        loaded.partial_fit(X.astype(dtype), Y)
    assert_same(loaded, net)
    assert len(loaded.history_["loss"]) == 6


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_importances_are_kept_without_rows_and_later_are_those_of_later_rows(way):
    net = TinyMLPRegressor(solver="adam", random_state=0).partial_fit(X[:40], Y[:40])
    loaded = ROUND_TRIPS[way](net)
    assert loaded._seen_rows is None
    assert_array_equal(loaded.feature_importances_, net.feature_importances_)
    assert_array_equal(ROUND_TRIPS[way](loaded).feature_importances_, net.feature_importances_)
    net.partial_fit(X[40:], Y[40:])
    loaded.partial_fit(X[40:], Y[40:])
    assert_array_equal(net._seen_rows.X, X)
    assert_array_equal(loaded._seen_rows.X, X[40:])
    assert not np.array_equal(loaded.feature_importances_, net.feature_importances_)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_a_warm_start_goes_on_bit_for_bit(way, solver, early_stopping):
    net = TinyMLPRegressor(
        hidden_layer_sizes=(6,),
        solver=solver,
        max_iter=4,
        warm_start=True,
        early_stopping=early_stopping,
        random_state=0,
    ).fit(X, Y)
    loaded = ROUND_TRIPS[way](net)
    assert_same(loaded, net)
    net.fit(X, Y)
    loaded.fit(X, Y)
    assert_same(loaded, net)
    assert loaded.loss_curve_ is loaded._record.columns["loss"]


@pytest.mark.parametrize("y", [Y, Y[:, 0]], ids=["outputs", "output"])
@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_intervals_and_draws_are_the_same(way, y):
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0).fit(X, y)
    assert net.solver_ == "lm"
    loaded = ROUND_TRIPS[way](net)
    for a, b in zip(
        loaded.predict(X, return_std=True), net.predict(X, return_std=True), strict=True
    ):
        assert_array_equal(a, b)
    assert_array_equal(loaded.sample_y(X, 3), net.sample_y(X, 3))


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_an_estimator_that_is_not_fitted(way):
    net = TinyMLPRegressor(activation=["relu", "sin"], hidden_layer_sizes=(3, 2), tol=0.5)
    assert ROUND_TRIPS[way](net).get_params() == net.get_params()


def test_saving_changes_nothing():
    net = TinyMLPRegressor(solver="adam", max_iter=3).fit(X, Y)
    before = dict(vars(net))
    pickle.dumps(net)
    assert vars(net) == before


def test_a_memory_map_predicts_and_trains_on(tmp_path):
    net = TinyMLPRegressor(solver="adam", standardize=True, random_state=0).partial_fit(X, Y)
    joblib.dump(net, tmp_path / "net.joblib")
    loaded = joblib.load(tmp_path / "net.joblib", mmap_mode="r")
    assert not loaded.coefs_[0].flags.writeable
    assert_array_equal(loaded.predict(X), net.predict(X))
    assert_same(loaded.partial_fit(X, Y), net.partial_fit(X, Y))


def test_a_file_of_a_later_version_is_refused_with_what_to_do():
    net = TinyMLPRegressor(solver="lbfgs", max_iter=3).fit(X, Y)
    state = {**net.__getstate__(), "_layout": persistence.LAYOUT + 1}
    with pytest.raises(ValueError, match="Update sklearn-tinymlp"):
        TinyMLPRegressor().__setstate__(state)


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "sgd", "adam"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_skops_asks_to_trust_the_estimator_alone(solver, early_stopping):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    net = TinyMLPRegressor(solver=solver, max_iter=5, early_stopping=early_stopping, random_state=0)
    pipeline = make_pipeline(StandardScaler(), net).fit(X, Y)
    data = skops.dumps(pipeline)
    assert skops.get_untrusted_types(data=data) == OWN_CLASS
    loaded = skops.loads(data, trusted=OWN_CLASS)
    assert_array_equal(loaded.predict(X), pipeline.predict(X))


def test_a_skops_file_does_not_grow_by_an_entry_an_epoch():
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    net = TinyMLPRegressor(
        hidden_layer_sizes=2, solver="sgd", max_iter=5000, tol=0, n_iter_no_change=5000
    ).fit(X, Y)
    assert net.n_iter_ == 5000
    assert len(skops.dumps(net)) < 150_000  # two columns of 40,000 bytes and a dictionary


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_an_activation_of_the_users_own_goes_on_too(way):
    net = TinyMLPRegressor(solver="adam", activation=activations.swish(1.5), random_state=0)
    net.partial_fit(X, Y)
    if way == "skops":  # asks about the activation and its functions as well
        skops = pytest.importorskip("skops.io", reason="skops is not installed")
        data = skops.dumps(net)
        untrusted = skops.get_untrusted_types(data=data)
        assert set(untrusted) > set(OWN_CLASS)
        assert all("sklearn_tinymlp" in name or "partial" in name for name in untrusted)
        loaded = skops.loads(data, trusted=untrusted)
    else:
        loaded = ROUND_TRIPS[way](net)
    assert_same(loaded.partial_fit(X, Y), net.partial_fit(X, Y))


# ------------------------------------------------------------------------------- ensembles


def ensemble(**parameters):
    defaults = {
        "hidden_layer_sizes": [(3,), (2, 2)],
        "cv": 2,
        "n_refits": 1,
        "random_state": 0,
    }
    return TinyMLPEnsembleRegressor(**(defaults | parameters))


@pytest.fixture(scope="module")
def fitted_ensembles():
    by_adam = TinyMLPRegressor(solver="adam", max_iter=5)  # without bands of their own
    noisy = Y + 0.1 * np.random.RandomState(1).standard_normal(Y.shape)
    return {
        "output": ensemble().fit(X, noisy[:, 0]),
        "outputs": ensemble(random_state=np.random.RandomState(0)).fit(X, noisy),
        "float32": ensemble().fit(X.astype(np.float32), noisy),
        "adam": ensemble(estimator=by_adam).fit(X, noisy),
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["output", "outputs", "float32", "adam"])
@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_an_ensemble_is_the_same_again(way, kind, fitted_ensembles):
    net = fitted_ensembles[kind]
    before = dict(vars(net))
    loaded = ROUND_TRIPS[way](net)
    assert vars(net) == before
    assert set(vars(loaded)) == set(before) and "_layout" not in before
    for member, original in zip(loaded.estimators_, net.estimators_, strict=True):
        assert_same(member, original)
    for name in before.keys() - {"estimators_", "estimator"}:
        if name == "results_":
            for column in before[name]:
                assert_array_equal(loaded.results_[column], before[name][column])
        else:
            _assert_equal(getattr(loaded, name), before[name])
    assert_array_equal(loaded.predict(X), net.predict(X))
    for a, b in zip(
        loaded.predict(X, return_std=True), net.predict(X, return_std=True), strict=True
    ):
        assert_array_equal(a, b)
    if kind != "adam":
        assert_array_equal(loaded.sample_y(X, 3), net.sample_y(X, 3))
    assert loaded.fit(X, Y).predict(X).shape == Y.shape


@pytest.mark.parametrize("way", ROUND_TRIPS)
def test_an_ensemble_that_is_not_fitted(way):
    net = ensemble(verbose=True)
    loaded = ROUND_TRIPS[way](net)
    assert loaded.get_params() == net.get_params() and vars(loaded).keys() == vars(net).keys()


@pytest.mark.slow
def test_an_ensemble_of_a_later_version_is_refused_with_what_to_do(fitted_ensembles):
    state = fitted_ensembles["output"].__getstate__()
    assert state["_layout"] == persistence.ENSEMBLE_LAYOUT
    later = state | {"_layout": persistence.ENSEMBLE_LAYOUT + 1}
    kept = ensemble()
    before = dict(vars(kept))
    with pytest.raises(ValueError, match="This TinyMLPEnsembleRegressor .* Update sklearn-tinymlp"):
        kept.__setstate__(later)
    assert vars(kept) == before
    kept.__setstate__({name: value for name, value in state.items() if name != "_layout"})
    assert_array_equal(kept.predict(X), fitted_ensembles["output"].predict(X))


def test_skops_asks_to_trust_the_two_estimators_alone(fitted_ensembles):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    pipeline = make_pipeline(StandardScaler(), fitted_ensembles["outputs"])
    pipeline[0].fit(X)
    data = skops.dumps(pipeline)
    assert skops.get_untrusted_types(data=data) == ENSEMBLE_CLASSES
    loaded = skops.loads(data, trusted=ENSEMBLE_CLASSES)
    assert_array_equal(loaded.predict(X), pipeline.predict(X))


# ------------------------------------------------------------------------- states not valid

# Attributes that nothing but a display or the user reads.
SHOWN = (
    "alpha_groups_ best_epoch_ best_loss_ converged_ log_evidence_ loss_ n_effective_parameters_ "
    "n_iter_ n_layers_ out_activation_ out_of_fold_predictions_ out_of_fold_r2_ results_ solver_ "
    "starts_ stop_reason_ validation_scores_"
).split()

# Entries that are not finite where losses, their gradients or differences overflow.
OVERFLOWING = {"_record", "_errors", "_importances", "moment", "second_moment"}


@pytest.fixture(scope="module")
def saved():
    """Estimators that between them have every kind of record, and the paths to their leaves."""
    return {
        name: (net, [path for path in saved_leaves(net) if path[0] not in SHOWN])
        for name, net in fitted().items()
    }


NAMES = ["dense", "low_rank", "outputs", "huber", "varying", "adam", "sgd", "ensemble"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_entry_of_a_state_is_checked(name, saved):
    net, paths = saved[name]
    assert len(paths) > 5
    for path in paths:
        value = get(net.__getstate__(), path)
        others = [object(), "unknown", np.zeros((2, 2, 2)), list(range(7))]
        if isinstance(value, np.ndarray):
            others += [value[None], value.astype(object), value.astype(complex)]
            if value.dtype.kind == "f" and not OVERFLOWING & set(path):
                others.append(np.full_like(value, np.nan))
        if path[0] in ("_correlation", "_errors"):
            others = [object(), "unknown"]
        for other in others:
            with pytest.raises(ValueError, match="^This (file is not a valid )?TinyMLP"):
                load(type(net), replaced(net.__getstate__(), path, other))


def unaligned(array):
    memory = np.frombuffer(b"\0" + array.tobytes(), array.dtype, array.size, 1)
    return memory.reshape(array.shape)


@pytest.mark.parametrize(
    "change",
    [
        np.asfortranarray,
        np.ascontiguousarray,
        unaligned,
        lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
        lambda array: array.astype(array.dtype.newbyteorder()),
    ],
    ids=["fortran", "c", "unaligned", "strided", "byte order"],
)
@pytest.mark.parametrize("name", NAMES)
def test_the_layout_of_arrays_does_not_matter(name, change, saved):
    net, paths = saved[name]
    state = net.__getstate__()
    for path in paths:
        if isinstance(array := get(state, path), np.ndarray):
            state = replaced(state, path, change(array))
    loaded, copied = load(type(net), state), copy.deepcopy(net)
    assert_allclose(loaded.predict(X), net.predict(X), rtol=1e-12)
    if name in ("adam", "sgd"):
        y = Y[:, 0]
        trained = loaded.partial_fit(X, y), copied.partial_fit(X, y)
        assert_allclose(*(one.coefs_[0] for one in trained), rtol=1e-9)
    else:
        stds = (one.predict(X, return_std=True)[1] for one in (loaded, net))
        assert_allclose(*stds, rtol=1e-9)


@pytest.mark.parametrize(
    "name, path, value, sentence",
    [
        ("dense", ("coefs_", 0), np.zeros((3, 17)), "coefs_[0] has the shape (3, 17), but must have"
         " (3, 5)."),
        ("dense", ("n_features_in_",), 4, "coefs_[0] has the shape (3, 5), but must have (4, 5)."),
        ("adam", ("_stochastic_state", "progress", "row"), 10**12, "_stochastic_state.progress.row"
         " is 1000000000000, but must be an integer from 0 to 0."),
        ("dense", ("_posterior", "precision", "dense", "lower"), np.full((26, 26), np.inf),
         "_posterior.precision.dense.lower has values that are not finite."),
        ("dense", ("_layer_activations",), ("tanh", "*/"), "_layer_activations[1] is '*/', which is"
         " not an activation."),
        ("dense", ("_posterior", "theta"), None, "_posterior.theta is of the type NoneType, but"
         " must be an array."),
    ],
)  # fmt: skip
def test_the_sentence_names_the_entry(name, path, value, sentence, saved):
    net, _ = saved[name]
    with pytest.raises(ValueError) as caught:
        load(type(net), replaced(net.__getstate__(), path, value))
    assert str(caught.value) == f"This file is not a valid TinyMLPRegressor: {sentence}"


def test_an_entry_that_is_missing_or_unknown_is_named(saved):
    net, _ = saved["dense"]
    state = net.__getstate__()
    for scaling in ({**state["_scaling"], "z": 1}, {"x_mean": state["_scaling"]["x_mean"]}):
        with pytest.raises(ValueError, match="not a valid TinyMLPRegressor: _scaling: .*argument"):
            load(type(net), {**state, "_scaling": scaling})
