"""What a fit records: the best epoch, units of losses, why it ended, what takes long."""

import logging
import pickle

import matplotlib
import numpy as np
import pytest
import sklearn
from diagnosis_cases import fit_quietly, ignore_convergence, make_net, noisy, wave
from numpy.testing import assert_allclose
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from sklearn_tinymlp import LossCurveDisplay, TinyMLPEnsembleRegressor, TinyMLPRegressor
from sklearn_tinymlp._training.progress import LongFit

matplotlib.use("Agg")

VALIDATION = dict(zip(("X_val", "y_val"), noisy(60, seed=1), strict=True))


# -------------------------------------------------------------------------- the best epoch


@ignore_convergence
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", "lm"])
def test_the_best_epoch_is_that_of_the_weights_that_are_kept(solver):
    X, y = noisy(60)
    net = make_net(solver=solver, alpha="auto", early_stopping=True, max_iter=100)
    net.set_params(learning_rate=0.02 if solver in ("adam", "sgd") else "constant")
    net.fit(X, y, **VALIDATION)
    scores = net.history_["validation_score"]
    kept = r2_score(VALIDATION["y_val"], net.predict(VALIDATION["X_val"]))
    assert_allclose(scores[net.best_epoch_ - 1], kept, rtol=1e-6)
    assert net.best_epoch_ == np.argmax(scores) + 1
    assert net.best_epoch_ < len(scores)  # else nothing is shown by this


@pytest.mark.parametrize("seed", range(3))
def test_by_the_evidence_the_best_epoch_is_that_of_its_greatest_value(seed):
    X, y = noisy(80)
    net = make_net(solver="lm", alpha="auto", random_state=seed).fit(X, y)
    history = net.history_
    assert history["loss"][net.best_epoch_ - 1] == net.loss_
    assert net.best_epoch_ == np.nanargmax(history["log_evidence"]) + 1


@ignore_convergence
def test_without_early_stopping_the_last_epoch_is_kept_and_the_record_goes_on():
    X, y = noisy(60)
    net = make_net(solver="adam", max_iter=7, warm_start=True).fit(X, y)
    assert net.best_epoch_ == net.n_iter_ == 7
    net.fit(X, y)
    assert net.best_epoch_ == len(net.history_["loss"]) == 14
    partial = make_net(solver="sgd").partial_fit(X, y).partial_fit(X, y)
    assert partial.best_epoch_ == 2


@ignore_convergence
def test_a_warm_start_by_the_evidence_keeps_its_own_best_epoch(capsys):
    X, y = noisy(60)
    net = make_net(solver="lm", alpha="auto", early_stopping=True, warm_start=True, max_iter=5)
    net.fit(X, y, **VALIDATION)
    net.set_params(early_stopping=False, max_iter=40, verbose=True).fit(X, y)
    own = net.history_["log_evidence"][-net.n_iter_ :]
    best = np.nanargmax(own) + 1
    assert net.best_epoch_ == len(net.history_["loss"]) - net.n_iter_ + best
    assert f"Kept: iteration {best} of {net.n_iter_}," in capsys.readouterr().out


@ignore_convergence
def test_a_warm_start_that_finds_nothing_better_keeps_the_last_epoch():
    X, y = noisy(60)
    net = make_net(solver="adam", early_stopping=True, warm_start=True, max_iter=30)
    net.set_params(learning_rate=0.05).fit(X, y, **VALIDATION)
    net.set_params(learning_rate=1e-9, max_iter=3)
    net.best_validation_score_ = 2.0
    net.fit(X, y, **VALIDATION)
    assert net.best_epoch_ == len(net.history_["loss"])


@ignore_convergence
def test_the_picture_marks_the_best_epoch():
    X, y = noisy(60)
    net = make_net(solver="adam", early_stopping=True, learning_rate=0.05, max_iter=100)
    display = LossCurveDisplay.from_estimator(net.fit(X, y, **VALIDATION))
    assert display.best_line_.get_xdata()[0] == net.best_epoch_
    height = net.history_["validation_loss"][net.best_epoch_ - 1]
    assert display.best_line_.get_ydata()[0] == height
    last = LossCurveDisplay.from_estimator(make_net(solver="adam", max_iter=5).fit(X, y))
    assert last.best_line_ is None


@ignore_convergence
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", "lm"])
def test_curves_of_standardised_fits_are_drawn_in_the_units_of_y(solver):
    X, y = noisy(60)
    y, validation = 7.0 * y, {**VALIDATION, "y_val": 7.0 * VALIDATION["y_val"]}
    net = make_net(solver=solver, standardize=True, max_iter=3).fit(X, y, **validation)
    display = LossCurveDisplay.from_estimator(net)
    of_validation = 0.5 * np.mean((net.predict(validation["X_val"]) - validation["y_val"]) ** 2)
    assert_allclose(display.validation_line_.get_ydata()[-1], of_validation, rtol=1e-6)
    of_training = 0.5 * np.mean((net.predict(X) - y) ** 2)
    drawn = display.line_.get_ydata()[-1]
    if solver in ("adam", "sgd"):  # whose loss is a mean over the epoch
        assert 0.5 < drawn / of_training < 2.0
    else:
        assert_allclose(drawn, of_training, rtol=1e-6)


# --------------------------------------------------------------------------- why it ended


@pytest.mark.slow
def test_a_fit_cut_by_max_iter_does_not_say_that_the_evidence_had_ended_it():
    X, y = noisy(200, noise=0.5)
    whole = make_net(solver="lm", alpha="auto").fit(X, y)
    assert whole.stop_reason_ == "evidence"
    cut = make_net(solver="lm", alpha="auto", max_iter=whole.n_iter_ - 2).fit(X, y)
    assert (cut.stop_reason_, cut.converged_) == ("at_rest", True)
    assert not cut.diagnose(X, y)
    assert "max_iter was reached with the evidence on a plateau" in cut._repr_html_()


def test_a_search_that_is_not_fitted_shows_no_network_of_its_template():
    X, y = wave()
    net = fit_quietly(make_net(max_iter=50), X, y)
    search = GridSearchCV(net, {"alpha": [0.1]}, cv=2)
    if parse_version(sklearn.__version__) >= parse_version("1.9"):
        assert "Trained network" not in search._repr_html_()
    assert "Trained network" in net._repr_html_()
    assert "Trained network" in fit_quietly(search, X, y)._repr_html_()
    assert "Trained network" in fit_quietly(make_pipeline(net), X, y)._repr_html_()


class WithSlots(TinyMLPRegressor):
    """Keeps something of its own."""

    __slots__ = ("note",)


@ignore_convergence
def test_a_subclass_may_have_slots():
    X, y = wave()
    net = WithSlots(solver="adam", hidden_layer_sizes=(3,), max_iter=3, random_state=0)
    net.note = "mine"
    net.fit(X, y)
    assert net.note == net._snapshot().note == "mine"
    assert len(net.predict(X)) == 40 and net.diagnose(X, y).summary
    net.partial_fit(X, y)
    assert net.n_iter_ == 1
    with pytest.raises(TypeError, match="__slots__"):  # scikit-learn's word
        pickle.dumps(net)


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("solver", ["auto", "lm", "lbfgs"])
def test_partial_fit_says_why_it_is_not_available(solver):
    net = TinyMLPRegressor(solver=solver)
    assert not hasattr(net, "partial_fit")
    with pytest.raises(AttributeError, match=rf"solver='{solver}' .* Set solver='adam' or"):
        net.partial_fit([[1.0]], [1.0])
    assert "Do one epoch" in TinyMLPRegressor.partial_fit.__doc__


@pytest.mark.parametrize("factor", [1e200, 1e300, 1e-200])
@pytest.mark.parametrize(
    "params", [{}, {"solver": "lm", "alpha": 0.1}, {"solver": "lbfgs", "standardize": True}]
)
def test_a_scaled_network_takes_targets_of_any_size(params, factor):
    X, y = wave()
    net = TinyMLPRegressor(hidden_layer_sizes=(8,), random_state=0, **params)
    with np.errstate(all="ignore"):
        fit_quietly(net, X, factor * y)
        assert r2_score(y, net.predict(X) / factor) > 0.9
        assert str(net.diagnose(X, factor * y))


@pytest.mark.parametrize(
    ("params", "size", "remedy"),
    [
        (
            {"solver": "sgd", "learning_rate": 1.0, "activation": "relu"},
            1e4,
            r"Try standardize=True\.",
        ),
        ({"solver": "sgd", "learning_rate": 3.0, "activation": "relu"}, 10.0, "Try learning_rate="),
        ({"solver": "lm", "standardize": False}, 1e200, r"y up to .*Try standardize=True\."),
        ({"solver": "adam", "learning_rate": 1e300}, 1.0, "Try a lower learning rate than 1e"),
    ],
)
def test_an_error_of_weights_that_are_not_finite_names_a_remedy(params, size, remedy):
    X, y = wave()
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=remedy):
        fit_quietly(make_net(**params), X, size * y)


def test_standard_deviations_from_within_a_search_and_a_target_transformer():
    X, y = wave(noise=0.1)
    net = TinyMLPRegressor(hidden_layer_sizes=(4,), random_state=0)
    search = GridSearchCV(net, {"n_init": [1]}, cv=2).fit(X, y)
    mean, std = search.best_estimator_.predict(X, return_std=True)
    assert_allclose(mean, search.predict(X))
    pipe = make_pipeline(StandardScaler(), net).fit(X, y)
    assert pipe.predict(X, return_std=True)[1].shape == (40,)
    holder = TransformedTargetRegressor(net, transformer=StandardScaler()).fit(X, y)
    mean, std = holder.regressor_.predict(X, return_std=True)  # of the transformed target
    assert_allclose(holder.transformer_.inverse_transform(mean[:, None]).ravel(), holder.predict(X))
    assert_allclose(std * holder.transformer_.scale_, net.fit(X, y).predict(X, True)[1], rtol=1e-3)


# -------------------------------------------------------------------------------- long fits


class Clock:
    """Is a step further each time it is looked at."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def __call__(self):
        self.now += self.step
        return self.now


def test_a_long_fit_says_so_once_and_names_the_parameter(caplog, monkeypatch):
    monkeypatch.setattr(LongFit, "last_logged", -1e9)
    fit = LongFit(TinyMLPRegressor(), clock=Clock(0.6))
    for n_iter in range(1, 50):
        fit.count(n_iter, 200)
    (record,) = caplog.records
    assert record.name == "sklearn_tinymlp" and record.levelno == logging.WARNING
    text = record.getMessage()
    assert text.startswith("TinyMLPRegressor has been fitting for 2 s, now iteration 4 of at most")
    assert "verbose=True" in text
    other = LongFit(TinyMLPRegressor(), clock=Clock(10.0))  # the next fit of a search
    for n_iter in (1, 2, 3):
        other.count(n_iter, 200)
    assert len(caplog.records) == 1


def test_what_came_before_the_first_iteration_is_not_counted(caplog, monkeypatch):
    monkeypatch.setattr(LongFit, "last_logged", -1e9)
    compiling = LongFit(TinyMLPRegressor(), clock=Clock(0.1))
    compiling.clock.now = 1e9
    for n_iter in range(1, 10):
        compiling.count(n_iter, 200)
    assert not caplog.records


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TinyMLPRegressor, TinyMLPEnsembleRegressor])
def test_every_stage_of_a_fit_is_watched(kind, monkeypatch):
    stages = []
    monkeypatch.setattr(LongFit, "look", lambda self: stages.append((self.name, self.stage)))
    X, y = np.random.RandomState(0).standard_normal((60, 3)), np.arange(60.0)
    kind(random_state=0).fit(X, y)
    assert {name for name, _ in stages} == {kind.__name__}
    expected = ["training networks"]
    if kind is TinyMLPRegressor:
        expected = ["training pilot", "iteration 1 of at most 200", "comparing it with kernel"]
    for beginning in expected:
        assert any(stage.startswith(beginning) for _, stage in stages), beginning


@ignore_convergence
def test_a_verbose_fit_logs_nothing(caplog, monkeypatch, capsys):
    monkeypatch.setattr(LongFit, "last_logged", -1e9)
    monkeypatch.setattr(LongFit, "look", lambda self: logging.error("looked"))
    X, y = wave()
    make_net(solver="adam", max_iter=3, verbose=True).fit(X, y)
    assert not caplog.records and "Iteration 3" in capsys.readouterr().out
    make_net(solver="adam", max_iter=3).fit(X, y)
    assert caplog.records
