"""What can be diagnosed, in which layouts, and how a diagnosis looks."""

import numpy as np
import pytest
from diagnosis_cases import described, fit_quietly, ignore_convergence, make_net, plane, wave
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from sklearn_tinymlp import (
    Diagnosis,
    Finding,
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
    diagnose,
)
from sklearn_tinymlp._diagnosis import diagnose as diagnosis

# ------------------------------------------------------------------------- what it works on


@ignore_convergence
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam", "sgd"])
def test_the_estimator_is_not_changed(solver):
    import joblib

    X, y = wave()
    net = make_net(solver=solver, max_iter=5, alpha="auto").fit(X, y)
    before = joblib.hash(vars(net))
    net.diagnose(X, y)
    diagnose(net, X, y)
    assert joblib.hash(vars(net)) == before


@pytest.mark.slow
@ignore_convergence
@pytest.mark.parametrize("params", [{}, {"standardize": True}, {"loss": "poisson"}])
@pytest.mark.parametrize("solver", ["lbfgs", "sgd", "adam"])
def test_layouts_dtypes_and_weights_agree(solver, params):
    rng = np.random.RandomState(0)
    X = sparse.random(60, 8, density=0.3, format="csr", random_state=rng)
    y = X.toarray() @ np.arange(8.0) + 1.0
    params = {"solver": solver, "max_iter": 5, **params}
    net = make_net(**params).fit(X, y)
    whole = net.diagnose(X, y)
    if "standardize" not in params:  # a sparse X is not centred, a dense one is
        dense = make_net(**params).fit(X.toarray(), y).diagnose(X.toarray(), y)
        assert [f.code for f in dense] == [f.code for f in whole]
    single = make_net(**params).fit(X.astype(np.float32), y)
    assert [f.code for f in single.diagnose(X.astype(np.float32), y)] == [f.code for f in whole]
    ones = net.diagnose(X, y, sample_weight=np.ones(60))
    assert str(ones) == str(whole)


@ignore_convergence
def test_of_many_rows_an_even_part_is_examined():
    X, y = plane(20_000, 2)
    net = make_net(max_iter=3).fit(X, y)
    part = diagnosis.diagnose_network(described(net, X, y), most_values=9_000)
    assert "1000 of them examined" in part.summary
    assert [f.code for f in part] == [f.code for f in net.diagnose(X, y)]


@ignore_convergence
def test_mlp_regressor_is_diagnosed_in_its_own_terms():
    X, y = wave()
    mlp = MLPRegressor(hidden_layer_sizes=(20,), max_iter=20, random_state=0).fit(1000 * X, y)
    codes = {finding.code: finding for finding in diagnose(mlp, 1000 * X, y)}
    assert codes["unscaled_features"].remedy == "make_pipeline(StandardScaler(), mlp)"
    assert "standard deviation of 1184" in codes["unscaled_features"].sentence
    mlp = MLPRegressor(hidden_layer_sizes=(20,), solver="sgd", learning_rate_init=1e-6)
    mlp.set_params(random_state=0).fit(X, y)
    (finding, *_) = diagnose(mlp, X, y)
    assert finding.remedy.startswith("learning_rate_init=")
    ours = TinyMLPRegressor(**mlp.get_params()).fit(X, y)
    assert finding.sentence == ours.diagnose(X, y)[0].sentence
    mlp = MLPRegressor(hidden_layer_sizes=(20,), random_state=0, max_iter=20).fit(X, 1e4 + 1e3 * y)
    codes = {finding.code: finding for finding in diagnose(mlp, X, 1e4 + 1e3 * y)}
    assert codes["unscaled_target"].remedy.startswith("TransformedTargetRegressor(mlp")
    assert codes["no_better_than_mean"].remedy == codes["unscaled_target"].remedy


@ignore_convergence
def test_weights_count_in_the_diagnosis_of_mlp_regressor():
    X, y = wave()
    weight = np.random.RandomState(0).uniform(size=40)
    params = {"hidden_layer_sizes": (20,), "solver": "sgd", "learning_rate_init": 1e-6}
    mlp = MLPRegressor(random_state=0, **params).fit(X, y)
    found = diagnose(mlp, X, y, sample_weight=weight)
    assert str(found) != str(diagnose(mlp, X, y))
    # Weights that are whole numbers are rows so many times over.
    whole = np.arange(40) % 3
    (first, *_) = diagnose(mlp, X, y, sample_weight=whole)
    (repeated, *_) = diagnose(mlp, np.repeat(X, whole, 0), np.repeat(y, whole))
    assert first.sentence == repeated.sentence


@ignore_convergence
def test_pipelines_searches_and_target_transformers_are_opened():
    X, y = wave()
    net = make_net(max_iter=5)
    expected = clone(net).fit(scale(X), y).diagnose(scale(X), y)
    pipe = make_pipeline(StandardScaler(), net).fit(X, y)
    search = GridSearchCV(pipe, {"tinymlpregressor__alpha": [0.0]}, cv=2).fit(X, y)
    scaled = TransformedTargetRegressor(net, transformer=StandardScaler()).fit(X, y)
    of_scaled = clone(net).fit(X, scale(y)).diagnose(X, scale(y))
    assert str(pipe[-1].diagnose(pipe[:-1].transform(X), y)) == str(expected)
    for holder, prefix, inner in (
        (pipe, "tinymlpregressor__", expected),
        (search, "estimator__tinymlpregressor__", expected),
        (scaled, "regressor__", of_scaled),
    ):
        found = diagnose(holder, X, y)
        assert found.summary == inner.summary
        for outer, own in zip(found, inner, strict=True):
            assert outer.sentence == own.sentence and own.parameters
            assert outer.parameters == {prefix + k: v for k, v in own.parameters.items()}
            assert outer.remedy == prefix + own.remedy
            clone(holder).set_params(**outer.parameters)  # which takes all of them


@pytest.mark.slow
@ignore_convergence
def test_remedies_are_parameters_of_mlp_regressor_and_of_an_ensemble():
    X, y = wave()
    mlp = MLPRegressor(hidden_layer_sizes=(20,), max_iter=20, random_state=0).fit(X, 1000 * y)
    pipe = make_pipeline(StandardScaler(), mlp).fit(X, 1000 * y)
    for estimator in (mlp, pipe):
        found = diagnose(estimator, X, 1000 * y)
        assert any(finding.parameters for finding in found)
        for finding in found:
            clone(estimator).set_params(**finding.parameters)
    for template in (None, TinyMLPRegressor(max_iter=30)):
        ensemble = TinyMLPEnsembleRegressor(template, hidden_layer_sizes=[(1,)], random_state=0)
        finding = ensemble.fit(X, y).diagnose(X, y)[0]
        mended = clone(ensemble).set_params(**finding.parameters).fit(X, y)
        assert finding.parameters and repr(mended) != repr(ensemble)


def test_what_cannot_be_diagnosed_is_refused():
    X, y = wave()
    with pytest.raises(TypeError, match="LinearRegression"):
        diagnose(LinearRegression().fit(X, y), X, y)
    net = fit_quietly(make_net(), X, y)
    with pytest.raises(ValueError, match="y has 2 outputs, but the network has 1"):
        net.diagnose(X, np.column_stack([y, y]))
    mlp = fit_quietly(MLPRegressor(hidden_layer_sizes=(3,), max_iter=5), X, y)
    with pytest.raises(ValueError, match="X has 2 features"):
        diagnose(mlp, np.hstack([X, X]), y)


# ------------------------------------------------------------------------------ how it looks


def test_a_diagnosis_is_a_sequence_that_prints_and_shows_in_a_notebook():
    import json

    one = Finding("code", "error", "a < b & c: 3.14", {"bias": True}, "bias=True")
    two = Finding("other", "info", "More.", {"alpha": 1.0}, "alpha=1.0")
    found = Diagnosis("How it went.", [one, two])
    assert list(found) == [one, two] and len(found) == 2
    assert found[-1] is two and found[:1] == (one,)
    assert (
        str(found)
        == repr(found)
        == (
            "How it went.\n1. error: a < b & c: 3.14 [code]\n   Try bias=True\n"
            "2. info: More. [other]\n   Try alpha=1.0"
        )
    )
    assert "a &lt; b &amp; c: 3.14" in found._repr_html_()
    assert "<code>bias=True</code>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["findings"][0] == one._asdict()
    assert "Nothing found" in str(Diagnosis("Well.", []))
    many = Diagnosis("How it went.", [one, two, two, two, one])
    assert str(many).splitlines()[-1] == "And 2 more: print(diagnosis.full())"
    assert str(many).count("Try") == 3 and many.full().count("Try") == 5
    assert len(many) == len(many.to_dict()["findings"]) == 5
    assert many._repr_html_().count("<tr><td>") == 5 and "2 more</summary>" in many._repr_html_()
    assert "Nothing found" in Diagnosis("Well.", [])._repr_html_()
