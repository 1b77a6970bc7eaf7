import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from problems import PROBLEMS, SOLVERS
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    check_param_validation,
    parametrize_with_checks,
)

from sklearn_tinymlp import (
    MLPRegressor,
    PiecewiseLinearEncoder,
    TinyMLPEnsembleRegressor,
    TinyMLPRegressor,
)
from sklearn_tinymlp._losses.table import LOSSES

# scikit-learn runs its own estimators through the checks with this warning ignored as well.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [TinyMLPRegressor(), *(TinyMLPRegressor(solver=solver) for solver in SOLVERS)]
# Those with a scale of their own; gamma and poisson take no target below zero.
OTHER_LOSSES = [
    TinyMLPRegressor(loss.name, (2,), max_iter=30)
    for loss in LOSSES.values()
    if loss.with_scale is not None
]
each_solver = pytest.mark.parametrize("solver", ["auto", *SOLVERS])
each_stochastic_solver = pytest.mark.parametrize("solver", ["sgd", "adam"])


def make_net(solver, **params):
    return TinyMLPRegressor(
        hidden_layer_sizes=(5,), solver=solver, max_iter=20, random_state=0, **params
    )


def fit(net, problem):
    net.set_params(loss=problem.loss)
    return net.fit(problem.X, problem.y, sample_weight=problem.sample_weight)


def assert_same_network(one, other):
    for name in ("coefs_", "intercepts_"):
        for ours, theirs in zip(getattr(one, name), getattr(other, name), strict=True):
            assert_array_equal(ours, theirs, strict=True)
    assert one.loss_curve_ == other.loss_curve_
    assert one.n_iter_ == other.n_iter_


# scikit-learn 1.7 gives a generator, which pytest 9 wants to be a list.
ENSEMBLES = [TinyMLPEnsembleRegressor(hidden_layer_sizes=[(10,), (16, 16)], cv=3, n_refits=1)]
scikit_learn_checks = parametrize_with_checks(
    [*ESTIMATORS, MLPRegressor(), *ENSEMBLES, *OTHER_LOSSES, PiecewiseLinearEncoder()]
)
names, checks = scikit_learn_checks.args


def is_left_out(estimator, check) -> bool:
    """Whether the check asks for more digits than a fit at a kink or a threshold has.

    It compares 15 rows with weights with as many copies, to 1e-7. Rounding then decides on which
    side a row lies. `test_weights_that_count_are_copies_to_the_evidence_too` looks at 150 rows.
    """
    name = getattr(check, "func", check).__name__
    return estimator in OTHER_LOSSES and name.startswith("check_sample_weight_equivalence")


def marked(case):
    """The default and the encoder are in the quick set: others compile, or are many."""
    estimator, check = getattr(case, "values", case)
    slow = estimator is not ESTIMATORS[0] and not isinstance(estimator, PiecewiseLinearEncoder)
    marks = [*getattr(case, "marks", ()), *[pytest.mark.slow] * slow]
    return pytest.param(estimator, check, marks=marks)


checks = [marked(case) for case in checks if not is_left_out(*getattr(case, "values", case))]


@pytest.mark.parametrize(names, checks, **scikit_learn_checks.kwargs)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, *ENSEMBLES], ids=repr)
@pytest.mark.parametrize(
    "check",
    [
        check_param_validation,
        check_dataframe_column_names_consistency,
        check_inplace_ensure_writeable,
    ],
    ids=lambda check: check.__name__,
)
def test_further_scikit_learn_checks(estimator, check):
    check(type(estimator).__name__, estimator)


def test_grid_search_over_a_pipeline_in_two_processes():
    problem = PROBLEMS["diabetes"]
    frame = pd.DataFrame(problem.X).add_prefix("x")
    grid = {
        "tinymlpregressor__alpha": ["auto", 10.0],
        "tinymlpregressor__hidden_layer_sizes": [(2,), (10,)],
    }
    pipeline = make_pipeline(StandardScaler(), TinyMLPRegressor(random_state=0))
    search = GridSearchCV(pipeline, grid, n_jobs=2, cv=3).fit(frame, pd.Series(problem.y))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_score_ > 0.2
    assert search.predict(frame).shape == (100,)
    assert_array_equal(search.feature_names_in_, frame.columns)


@each_solver
def test_the_same_random_state_gives_the_same_model_for_any_n_jobs(solver):
    problem = PROBLEMS["diabetes"]
    runs = []
    for backend, n_jobs in [("sequential", 1), ("loky", 2), ("threading", 2)]:
        with joblib.parallel_config(backend=backend, n_jobs=n_jobs):
            results = cross_validate(
                make_net(solver), problem.X, problem.y, cv=4, return_estimator=True
            )
        runs.append(results["estimator"])
    for run in runs[1:]:
        for one, other in zip(runs[0], run, strict=True):
            assert_same_network(one, other)


@pytest.mark.slow
@each_solver
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=str)
def test_every_problem_is_learned_and_repeatable(solver, problem):
    net = fit(make_net(solver), problem)
    start = make_net("sgd", learning_rate=1e-300).set_params(max_iter=1)
    fit(start, problem)
    assert net.predict(problem.X).shape == problem.y.shape
    assert net.score(problem.X, problem.y) > start.score(problem.X, problem.y)
    assert_same_network(net, fit(clone(net), problem))


@each_solver
def test_pickle_and_joblib_keep_everything(solver, tmp_path):
    problem = PROBLEMS["sine"]
    net = fit(make_net(solver), problem)
    joblib.dump(net, tmp_path / "net.joblib")
    for copy in (pickle.loads(pickle.dumps(net)), joblib.load(tmp_path / "net.joblib")):
        assert_same_network(copy, net)
        assert_array_equal(copy.predict(problem.X), net.predict(problem.X))
        assert vars(copy).keys() == vars(net).keys()


@each_stochastic_solver
@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_a_copy_goes_on_training_bit_for_bit(solver, begin, tmp_path):
    problem = PROBLEMS["sine"]
    net = make_net(solver, batch_size=7)
    getattr(net, begin)(problem.X, problem.y)
    joblib.dump(net, tmp_path / "net.joblib")
    copies = pickle.loads(pickle.dumps(net)), joblib.load(tmp_path / "net.joblib")
    for estimator in (net, *copies):
        for _ in range(3):
            estimator.partial_fit(problem.X, problem.y)
    for copy in copies:
        assert_same_network(copy, net)


def test_clone_keeps_parameters_and_forgets_the_fit():
    net = fit(make_net("adam", activation=["tanh"], learning_rate=0.01), PROBLEMS["sine"])
    copy = clone(net)
    assert copy.get_params() == net.get_params()
    assert not hasattr(copy, "coefs_")


@pytest.mark.slow
@each_solver
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_column_names_are_kept_and_compared(solver, library):
    frames = pytest.importorskip(library)
    problem = PROBLEMS["outputs"]
    frame = frames.DataFrame({name: problem.X[:, i] for i, name in enumerate("abc")})
    net = make_net(solver).fit(frame, problem.y)
    assert_array_equal(net.predict(frame), fit(make_net(solver), problem).predict(problem.X))
    # scikit-learn 1.7 cannot read the names of polars 2, for which it was not made.
    if not hasattr(
        sklearn.neural_network.MLPRegressor(max_iter=1).fit(frame, problem.y), "feature_names_in_"
    ):
        assert (library, sklearn.__version__[:3]) == ("polars", "1.7")
        assert not hasattr(net, "feature_names_in_")
        return
    assert_array_equal(net.feature_names_in_, ["a", "b", "c"])
    with pytest.raises(ValueError, match="feature names should match"):
        net.predict(frame[["b", "a", "c"]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        net.predict(problem.X)


@each_solver
@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=str)
def test_float32_stays_float32(solver, problem):
    problem = problem._replace(X=problem.X.astype(np.float32), y=problem.y.astype(np.float32))
    net = fit(make_net(solver), problem)
    if solver in ("sgd", "adam"):
        net.partial_fit(problem.X, problem.y)
    assert {array.dtype for array in (*net.coefs_, *net.intercepts_)} == {np.dtype(np.float32)}
    predictions = net.predict(problem.X)
    assert predictions.dtype == np.float32
    in_float64 = net.predict(problem.X.astype(np.float64))
    assert in_float64.dtype == np.float64
    assert_allclose(predictions, in_float64, rtol=1e-4, atol=1e-5)


@each_solver
def test_integers_are_taken_as_float64(solver):
    X, y = np.arange(20).reshape(10, 2), np.arange(10)
    net = make_net(solver).fit(X, y)
    assert_same_network(net, make_net(solver).fit(X.astype(float), y.astype(float)))
    assert_same_network(net, make_net(solver).fit(X.tolist(), y.tolist()))
    assert net.predict(X).dtype == np.float64


@each_solver
@pytest.mark.parametrize("layout", ["csr_matrix", "csc_matrix", "csr_array", "csc_array", "coo"])
def test_sparse_input_gives_what_dense_input_gives(solver, layout):
    problem = PROBLEMS["sparse"]
    X = getattr(sparse, "coo_array" if layout == "coo" else layout)(problem.X)
    dense = problem._replace(X=problem.X.toarray())
    # Standardisation centres dense columns only, so it is left out of the comparison.
    net = fit(make_net(solver, standardize=False), problem._replace(X=X))
    expected = fit(make_net(solver, standardize=False), dense)
    assert_allclose(net.predict(X), expected.predict(dense.X), rtol=1e-5, atol=1e-6)
    assert_allclose(net.predict(X), net.predict(dense.X), rtol=1e-12, atol=1e-12)
    assert_allclose(net.loss_curve_, expected.loss_curve_, rtol=1e-5)


@each_solver
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_shapes_with_several_outputs(solver, n_outputs):
    X = PROBLEMS["outputs"].X
    y = np.random.RandomState(0).standard_normal((len(X), n_outputs))
    net = make_net(solver)
    if n_outputs == 1:
        with pytest.warns(UserWarning, match="A column-vector y was passed"):
            net.fit(X, y)
        assert net.predict(X).shape == (50,)
    else:
        net.fit(X, y)
        assert net.predict(X).shape == (50, 3)
    assert net.n_outputs_ == n_outputs
    assert [coef.shape for coef in net.coefs_] == [(3, 5), (5, n_outputs)]
    assert [intercept.shape for intercept in net.intercepts_] == [(5,), (n_outputs,)]
    assert net.n_layers_ == 3
    assert net.n_parameters_ == 3 * 5 + 5 + (5 + 1) * n_outputs


@each_solver
def test_a_target_can_be_transformed(solver):
    problem = PROBLEMS["diabetes"]
    y = 150 + 70 * problem.y
    net = make_net(solver, learning_rate_init=0.01).set_params(max_iter=200)
    transformed = TransformedTargetRegressor(net, transformer=StandardScaler()).fit(problem.X, y)
    assert transformed.score(problem.X, y) > 0.3


@each_solver
def test_fit_leaves_its_inputs_alone(solver):
    for problem in PROBLEMS.values():
        before = joblib.hash(tuple(problem))
        fit(make_net(solver), problem).predict(problem.X)
        assert joblib.hash(tuple(problem)) == before
