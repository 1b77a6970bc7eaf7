"""The second-order core against explicit Jacobians by central differences, NumPy and SciPy."""

from dataclasses import replace

import numpy as np
import pytest
from explicit import (
    BY_PARAMETERS,
    BY_RESIDUALS,
    Explicit,
    derivative,
    jacobian_at,
    make_objective,
    outputs_at,
)
from numpy.testing import assert_allclose, assert_array_equal
from scipy import optimize, sparse, stats

from sklearn_tinymlp._bayes import curvature as curvature_module
from sklearn_tinymlp._bayes import irls, several_outputs
from sklearn_tinymlp._bayes.curvature import Curvature, sample_of, work_of
from sklearn_tinymlp._bayes.evidence import Hyperparameters
from sklearn_tinymlp._bayes.groups import GROUPINGS
from sklearn_tinymlp._bayes.low_rank import JacobianRows, sampled_product
from sklearn_tinymlp._losses.table import LOSSES
from sklearn_tinymlp._machine import lapack
from sklearn_tinymlp._machine.memory import FRESH, Scratch
from sklearn_tinymlp._machine.threads import single_threaded_blas
from sklearn_tinymlp._network import network as network_module
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.derivatives import gradient_by_inputs
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective import objective as objective_module
from sklearn_tinymlp._objective.samples import Samples
from sklearn_tinymlp._solvers.preconditioned_lbfgs import descend

# Central differences are good to some 1e-11, what is solved for with A to its condition times that.
CLOSE = {"rtol": 1e-7, "atol": 1e-8}

# Units, activations, bias, kind of weights.
NETWORKS = {
    "one output": ((2, 4, 1), ("tanh", "identity"), True, ""),
    "one output, weighted": ((3, 4, 1), ("sin", "softplus"), True, "rows"),
    "several outputs": ((2, 4, 3), ("tanh", "identity"), True, ""),
    "several outputs, weighted": ((3, 4, 3, 2), ("logistic", "gelu", "tanh"), True, "rows"),
    "weights of each output": ((2, 3, 2), ("silu", "softplus"), True, "rows and outputs"),
    "curvature of one output": ((2, 3, 1), ("softplus", "exp"), True, "outputs"),
    "no intercepts": ((3, 4, 2, 1), ("softplus", "tanh", "identity"), False, ""),
    "no intercepts, several outputs": ((3, 5, 2), ("silu", "identity"), False, "rows"),
    "one unit, no intercepts": ((4, 1, 1), ("tanh", "identity"), False, "rows"),
    "linear": ((3, 1), ("identity",), True, "rows"),
    "linear, several outputs": ((3, 2), ("tanh",), True, "rows"),
    "linear, no intercepts": ((3, 2), ("identity",), False, ""),
    "exponential": ((2, 5, 1), ("exp", "relu"), True, "rows"),
    "deep": ((2, 3, 3, 3, 1), ("tanh", "silu", "leaky_relu", "softplus"), True, ""),
}
each_network = pytest.mark.parametrize("name", NETWORKS)
each_kind = pytest.mark.parametrize(
    "kind", [BY_PARAMETERS, BY_RESIDUALS], ids=["by parameters", "by residuals"]
)
each_grouping = pytest.mark.parametrize("grouping", GROUPINGS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Hold BLAS to one thread, as fits do: threads of several tests at once wait for each other."""
    with single_threaded_blas():
        yield


@pytest.fixture(params=["one block", "several blocks"])
def blocks(request, monkeypatch):
    """Let rows be worked on all at once, or five at a time."""
    if request.param == "several blocks":
        monkeypatch.setattr(objective_module, "JACOBIAN_NUMBERS", 1)
        monkeypatch.setattr(objective_module, "LEAST_BLOCK", 5)
    return request.param


def problem(name, n_samples=23):
    """Return an objective and theta."""
    units, activations, bias, weights = NETWORKS[name]
    objective, theta = make_objective(
        units, activations, bias=bias, weighted="rows" in weights, n_samples=n_samples
    )
    if "outputs" in weights:
        further = np.random.default_rng(3).uniform(0.2, 2.0, objective.training.y.shape)
        objective = replace(objective, training=replace(objective.training, curvature=further))
    return objective, theta


def hyperparameters(objective, grouping="input"):
    """Return hyperparameters and groups."""
    rng = np.random.default_rng(1)
    groups = GROUPINGS[grouping](objective.network.architecture)
    alpha = rng.uniform(0.1, 2.0, groups.max() + 1)
    return Hyperparameters(alpha, rng.uniform(0.5, 3.0, objective.n_outputs)), groups


class Setting:
    """A precision, and the explicit A that it stands for."""

    def __init__(self, name, kind, grouping="input", damping=0.0, scratch=FRESH):
        self.objective, self.theta = problem(name)
        self.network, self.damping = self.objective.network, damping
        self.hyper, self.groups = hyperparameters(self.objective, grouping)
        self.alpha, self.beta = self.hyper.alpha[self.groups], self.hyper.beta
        self.explicit = Explicit.of(self.objective, self.theta)
        self.A = self.explicit.A(self.alpha, self.beta) + damping * np.eye(self.theta.size)
        self.model = kind.gauss_newton(self.objective, self.theta, self.beta, scratch=scratch)
        self.precision = self.model.product.factorised(self.alpha, self.beta, damping, scratch)

    def new_rows(self, n_rows=23):
        X = np.random.default_rng(7).standard_normal((n_rows, self.network.architecture.units[0]))
        zeros = np.zeros((n_rows, self.objective.n_outputs))
        return replace(self.objective, training=Samples.of(X, zeros))

    def variances(self):
        """Return those of the package at new rows, (n_outputs, n_rows)."""
        parts = self.new_rows().linearise(self.theta)
        return np.concatenate([self.precision.variances(self.network, b) for b in parts], axis=1)


# ------------------------------------------------------------------------- the kinds of curvature


@each_kind
@each_network
def test_errors_and_gradients_are_those_of_the_explicit_jacobian(name, kind, blocks):
    setting = Setting(name, kind)
    assert (setting.objective.evaluate(setting.theta).passed is None) == (blocks != "one block")
    assert_allclose(setting.model.errors, setting.explicit.errors, rtol=1e-12)
    assert_allclose(setting.model.gradients, setting.explicit.gradients, **CLOSE)


@each_kind
@each_network
def test_a_forward_pass_that_is_kept_changes_nothing(name, kind):
    setting = Setting(name, kind)
    objective, theta, beta = setting.objective, setting.theta, setting.beta
    evaluated = objective.evaluate(theta)
    model = kind.gauss_newton(objective, theta, beta, evaluated)
    assert_array_equal(model.errors, setting.model.errors)
    assert_array_equal(model.gradients, setting.model.gradients)
    precision = model.product.factorised(setting.alpha, beta)
    given = setting.groups, len(setting.hyper.alpha)
    for ours, theirs in zip(
        precision.determined(*given), setting.precision.determined(*given), strict=True
    ):
        assert_array_equal(ours, theirs)


@each_kind
@each_network
@pytest.mark.parametrize("damping", [0.0, 0.4])
def test_what_is_solved_with_the_factor_is_solved_with_A(name, kind, damping, blocks):
    setting = Setting(name, kind, damping=damping)
    precision, vector = setting.precision, np.random.default_rng(5).standard_normal(len(setting.A))
    before = vector.copy()
    assert_allclose(precision.solve(vector), np.linalg.solve(setting.A, vector), **CLOSE)
    gradient = setting.beta @ setting.model.gradients + setting.alpha * setting.theta
    step = precision.newton_step(gradient, setting.theta)
    explicit = setting.explicit.gradient(setting.alpha, setting.beta)
    assert_allclose(step, -np.linalg.solve(setting.A, explicit), **CLOSE)
    assert_allclose(precision.log_determinant(), np.linalg.slogdet(setting.A)[1], **CLOSE)
    assert_array_equal(vector, before)


@each_kind
@each_network
@each_grouping
def test_determined_parameters_are_counted_by_group_and_by_output(name, kind, grouping, blocks):
    setting = Setting(name, kind, grouping)
    found = setting.precision.determined(setting.groups, len(setting.hyper.alpha))
    expected = setting.explicit.determined(setting.hyper, setting.groups)
    for ours, theirs in zip(found, expected, strict=True):
        assert_allclose(ours, theirs, **CLOSE)
    trace = np.trace(setting.A) / len(setting.A)
    assert_allclose(
        setting.model.product.mean_diagonal(setting.alpha, setting.beta), trace, **CLOSE
    )


@each_kind
@each_network
def test_variances_of_new_rows_are_those_of_A(name, kind, blocks):
    setting = Setting(name, kind)
    J = jacobian_at(setting.network, setting.theta, setting.new_rows().training.X)
    expected = np.einsum("knp,pq,knq->kn", J, np.linalg.inv(setting.A), J)
    assert_allclose(setting.variances(), expected, **CLOSE)
    assert (setting.precision.of_posterior().draw(np.random.RandomState(0), 2)).shape == (
        len(setting.A),
        2,
    )


class UnitNormals:
    """Hands out the columns of an identity as normal numbers: a draw is linear in them."""

    def __init__(self, n_draws):
        self.rest = np.eye(n_draws)

    def standard_normal(self, shape):
        n_numbers = int(np.prod(shape[:-1]))
        taken, self.rest = self.rest[:n_numbers], self.rest[n_numbers:]
        return taken.reshape(shape).copy()


@each_kind
@each_network
def test_draws_have_the_covariance_of_A(name, kind, blocks):
    setting = Setting(name, kind)
    n_normal = len(setting.A)
    if kind is BY_RESIDUALS:
        n_normal += setting.objective.training.y.size
    normal = UnitNormals(n_normal)
    draws = setting.precision.of_posterior().draw(normal, n_normal)
    assert normal.rest.size == 0
    assert_allclose(draws @ draws.T, np.linalg.inv(setting.A), **CLOSE)


@each_kind
@each_network
def test_a_precision_stays_as_it_is_whatever_it_is_asked(name, kind):
    """Counting parameters overwrote what variances were computed from."""
    setting = Setting(name, kind)
    vector = np.ones(len(setting.A))

    def everything(precision):
        return [
            *precision.determined(setting.groups, len(setting.hyper.alpha)),
            setting.variances(),
            precision.solve(vector),
            precision.newton_step(vector, setting.theta),
            precision.log_determinant(),
            precision.draw(np.random.RandomState(0), 3),
        ]

    first = everything(setting.precision)
    product = setting.model.product
    product.factorised(3.0 * setting.alpha, setting.beta, 0.5)
    product.certainly_factorised(2.0 * setting.alpha, 2.0 * setting.beta)
    setting.precision.of_posterior()
    for ours, theirs in zip(everything(setting.precision), first, strict=True):
        assert_array_equal(ours, theirs)
    again = product.factorised(setting.alpha, setting.beta)
    for ours, theirs in zip(everything(again), first, strict=True):
        assert_array_equal(ours, theirs)


@each_kind
@each_network
def test_memory_that_is_used_again_gives_the_same_numbers(name, kind, blocks):
    scratch = Scratch()
    for damping in (0.3, 0.0, 0.3):
        fresh = Setting(name, kind, damping=damping)
        used = Setting(name, kind, damping=damping, scratch=scratch)
        assert_array_equal(used.model.errors, fresh.model.errors)
        assert_array_equal(used.model.gradients, fresh.model.gradients)
        vector, given = np.ones(len(fresh.A)), (fresh.groups, len(fresh.hyper.alpha))
        for _ in range(2):
            assert_array_equal(used.precision.solve(vector), fresh.precision.solve(vector))
            found = used.precision.determined(*given, scratch)
            for ours, theirs in zip(found, fresh.precision.determined(*given), strict=True):
                assert_array_equal(ours, theirs)
            assert_array_equal(used.variances(), fresh.variances())
            # The damping of a step is followed by none.
            used.precision = used.model.product.factorised(fresh.alpha, fresh.beta, 0.0, scratch)
            fresh.precision = fresh.model.product.factorised(fresh.alpha, fresh.beta)


@each_kind
@each_network
def test_sparse_inputs_give_what_dense_ones_do(name, kind, blocks):
    dense, theta = problem(name)
    X = np.where(np.arange(23)[:, None] % 3 == np.arange(dense.training.X.shape[1]) % 3, 0.0, 1.0)
    X *= dense.training.X
    beta, found = hyperparameters(dense)[0].beta, []
    for data in (X, sparse.csr_matrix(X)):
        objective = replace(dense, training=replace(dense.training, X=data))
        model = kind.gauss_newton(objective, theta, beta)
        precision = model.product.factorised(np.ones(theta.size), beta)
        found.append([model.errors, model.gradients, precision.solve(theta)])
    for ours, theirs in zip(*found, strict=True):
        assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@each_kind
@each_network
def test_parts_of_the_rows_add_up(name, kind):
    objective, theta = problem(name)
    beta = hyperparameters(objective)[0].beta
    parts = [objective.on_rows(slice(0, 9)), objective.on_rows(slice(9, None))]
    whole, *others = (kind.gauss_newton(o, theta, beta) for o in (objective, *parts))
    assert_allclose(sum(part.errors for part in others), whole.errors, rtol=1e-12)
    assert_allclose(sum(part.gradients for part in others), whole.gradients, rtol=1e-9, atol=1e-12)


@each_kind
def test_a_rise_of_all_noise_precisions_is_known_without_another_pass(kind):
    setting = Setting("several outputs", kind)
    higher = setting.hyper._replace(beta=7.0 * setting.beta)
    precision = setting.model.product.factorised(setting.alpha, higher.beta)
    A = setting.explicit.A(setting.alpha, higher.beta)
    assert_allclose(precision.log_determinant(), np.linalg.slogdet(A)[1], **CLOSE)
    found = precision.determined(setting.groups, len(higher.alpha))
    for ours, theirs in zip(
        found, setting.explicit.determined(higher, setting.groups), strict=True
    ):
        assert_allclose(ours, theirs, **CLOSE)
    trace = np.trace(A) / len(A)
    assert_allclose(setting.model.product.mean_diagonal(setting.alpha, higher.beta), trace, **CLOSE)


def test_some_rows_tell_the_share_of_each_output_in_the_parameters(monkeypatch):
    objective, theta = problem("several outputs")
    three_times = objective.on_rows(np.repeat(np.arange(23), 3))
    hyper, groups = hyperparameters(objective)
    monkeypatch.setattr(several_outputs, "MOST_LEVERAGES", 3 * 23)
    product = BY_PARAMETERS.gauss_newton(three_times, theta, hyper.beta).product
    assert sum(len(block.residuals.T) for block in product.some_blocks()) == 23
    precision = product.factorised(hyper.alpha[groups], hyper.beta)
    found = precision.determined(groups, len(hyper.alpha))
    expected = Explicit.of(three_times, theta).determined(hyper, groups)
    for ours, theirs in zip(found, expected, strict=True):
        assert_allclose(ours, theirs, **CLOSE)


@each_kind
@pytest.mark.parametrize("name", ["one output", "several outputs"])
def test_who_asks_to_be_called_between_blocks_is(name, kind, blocks):
    objective, theta = problem(name)
    calls = []
    kind.gauss_newton(
        objective, theta, np.ones(objective.n_outputs), between=lambda: calls.append(0)
    )
    assert len(calls) == 2 * (1 if blocks == "one block" else 5)  # to evaluate, and to linearise


# ------------------------------------------------------------------------------------- samples


def rows_of(product):
    """Return the explicit rows of J of a product by residuals."""
    return np.array(
        [product.rows.transposed_times(unit) for unit in np.eye(len(product.rows.outputs))]
    )


class AllSigns:
    """Draws the signs of two outputs so that all combinations but for the sign are there once."""

    def __init__(self):
        self.n_calls = 0

    def choice(self, signs, size):
        assert signs == [-1.0, 1.0]
        drawn = np.ones(size)
        drawn[1] = -1.0 if self.n_calls % 2 else 1.0
        self.n_calls += 1
        return drawn


@pytest.mark.parametrize("name", ["several outputs, weighted", "weights of each output"])
def test_combinations_of_outputs_have_on_average_the_curvature_of_all(name, blocks):
    objective, theta = problem(name)
    hyper, groups = hyperparameters(objective)
    alpha, beta, times = hyper.alpha[groups], hyper.beta, 2.5
    product = sampled_product(objective, theta, 2, times, beta, AllSigns())
    explicit, J = Explicit.of(objective, theta), rows_of(product)
    expected = times * (explicit.A(alpha, beta) - np.diag(alpha))
    assert_allclose(product.times * beta[0] * J.T @ J, expected, **CLOSE)
    A = expected + np.diag(alpha)
    precision = product.factorised(alpha, beta)
    assert_allclose(precision.solve(theta), np.linalg.solve(A, theta), **CLOSE)
    assert_allclose(precision.newton_step(theta, theta), -np.linalg.solve(A, theta), **CLOSE)
    assert_allclose(precision.log_determinant(), np.linalg.slogdet(A)[1], **CLOSE)
    assert_allclose(product.mean_diagonal(alpha, beta), np.trace(A) / len(A), **CLOSE)
    gamma, _ = precision.determined(groups, len(hyper.alpha))
    of_parameters = 1.0 - alpha * np.diag(np.linalg.inv(A))
    assert_allclose(gamma, np.bincount(groups, of_parameters), **CLOSE)


def test_combinations_share_the_parameters_among_the_outputs():
    objective, theta = problem("several outputs")
    beta, groups = np.ones(3), hyperparameters(objective)[1]
    product = sampled_product(objective, theta, 2, 1.0, beta, np.random.RandomState(0))
    precision = product.factorised(np.ones(theta.size), beta)
    gamma, of_outputs = precision.determined(groups, groups.max() + 1)
    assert of_outputs.sum() == pytest.approx(gamma.sum())
    assert of_outputs.max() < 0.6 * gamma.sum()


def test_random_signs_have_that_curvature_too():
    objective, theta = problem("several outputs")
    beta = np.array([1.0, 4.0, 0.3])
    product = sampled_product(objective, theta, 4000, 1.0, beta, np.random.RandomState(0))
    J, expected = rows_of_all(product), Explicit.of(objective, theta).A(0.0 * theta, beta)
    found = product.times * beta[0] * J.T @ J
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def rows_of_all(product):
    """Return the explicit rows of J, of many rows."""
    rows, shapes = product.rows, product.rows.architecture.coef_shapes
    coefs = [
        np.einsum("ir,jr->rij", a, d).reshape(a.shape[1], -1)
        for a, d in zip(rows.values, rows.deltas, strict=True)
    ]
    assert [coef.shape[1] for coef in coefs] == [n_in * n_out for n_in, n_out in shapes]
    return np.concatenate([*coefs, *(d.T for d in rows.deltas)], axis=1)


def test_of_one_output_the_rows_themselves_are_taken():
    objective, theta = problem("one output, weighted")
    product = sampled_product(objective, theta, 5, 3.0, np.ones(1), np.random.RandomState(0))
    assert_allclose(rows_of(product), Explicit.of(objective, theta).jacobian[0], **CLOSE)
    assert product.times == 3.0


@each_kind
@pytest.mark.parametrize("name", ["one output, weighted", "curvature of one output"])
def test_a_sample_of_the_rows_stands_for_the_weight_of_all(name, kind):
    objective, theta = problem(name)
    hyper, groups = hyperparameters(objective)
    alpha, kind = hyper.alpha[groups], replace(kind, n_rows=11)
    product = kind.product(objective, theta, hyper.beta, np.random.RandomState(0))
    rows = np.sort(np.random.RandomState(0).permutation(23)[:11])
    sample = objective.on_rows(rows)
    times = objective.training.weight_sum / sample.training.weight_sum
    explicit = Explicit.of(sample, theta)
    A = times * (explicit.A(alpha, hyper.beta) - np.diag(alpha)) + np.diag(alpha)
    precision = product.factorised(alpha, hyper.beta)
    assert_allclose(precision.solve(theta), np.linalg.solve(A, theta), **CLOSE)


@each_kind
@pytest.mark.parametrize("n_rows", [None, 23, 40])
def test_all_rows_are_taken_where_there_are_no_more(n_rows, kind):
    objective, theta = problem("one output, weighted")
    hyper, groups = hyperparameters(objective)
    alpha = hyper.alpha[groups]
    product = replace(kind, n_rows=n_rows).product(
        objective, theta, hyper.beta, np.random.RandomState(0)
    )
    A = Explicit.of(objective, theta).A(alpha, hyper.beta)
    precision = product.factorised(alpha, hyper.beta)
    assert_allclose(precision.solve(theta), np.linalg.solve(A, theta), **CLOSE)


def test_a_sample_of_few_rows_draws_several_combinations_of_their_outputs():
    objective, theta = problem("several outputs")
    n_samples, n_outputs = objective.training.n_samples, objective.n_outputs
    for n_rows, n_draws in ((3 * n_samples, 3), (n_samples, 1), (n_samples - 2, 1)):
        kind = Curvature(True, n_rows, 0.0)
        product = kind.product(objective, theta, np.ones(n_outputs), np.random.RandomState(0))
        assert len(product.rows.outputs) == n_draws * min(n_rows, n_samples)
    # By parameters as many rows as there are need no draw.
    kind = Curvature(False, n_samples, 0.0)
    assert kind.product(objective, theta, np.ones(n_outputs), None) is not None


def test_a_sample_without_weight_is_not_taken():
    objective, _ = problem("one output")
    weight = np.zeros(23)
    weight[np.random.RandomState(0).permutation(23)[-1]] = 1.0
    assert sample_of(objective.with_weight(weight), 5, np.random.RandomState(0))[1] == 1.0
    sample, times = sample_of(objective, 5, np.random.RandomState(0))
    assert (sample.training.n_samples, times) == (5, 23 / 5)


def test_the_cheapest_curvature_is_chosen(monkeypatch):
    architecture = Architecture((5, 50, 1))

    def chosen(n_rows, most_work=np.inf, units=architecture):
        monkeypatch.setattr(curvature_module, "MOST_WORK", most_work)
        return Curvature.cheapest(units, n_rows)

    assert chosen(20) == Curvature(True, None, work_of(architecture, 20)[1])
    assert chosen(100_000) == Curvature(False, None, work_of(architecture, 100_000)[0])
    # Ten rows a parameter where all are too many, and where these are a thousand rows at most.
    n_rows = 10 * architecture.n_parameters
    work = work_of(architecture, n_rows)[0]
    assert chosen(100_000, work) == Curvature(False, n_rows, work)
    by_residuals = chosen(100_000, 0.999 * work)
    assert (by_residuals.by_residuals, by_residuals.n_rows) == (True, 1000)
    deep = Architecture((5, 50, 30, 2))  # of whose outputs each row of the sample has one
    assert chosen(100_000, 0.0, deep).work == work_of(Architecture((5, 50, 30, 1)), 1000)[1]
    assert chosen(600, 0.0).n_rows == 600
    small = Architecture((1, 3, 1))
    assert chosen(100_000, work_of(small, 2000)[0], small).n_rows == 2000


# ---------------------------------------------------------------------------- BLAS and LAPACK


@pytest.fixture(params=[1, 2, 5, 63, 64, 65, 129, 200])
def triangle(request):
    """Return a positive definite matrix, and its factor with something above the diagonal."""
    n = request.param
    root = np.random.default_rng(0).standard_normal((n, n))
    A = root @ root.T + n * np.eye(n)
    factor = A.copy(order="F")
    assert lapack.cholesky(factor)
    return A, factor


def test_cholesky_is_that_of_numpy(triangle):
    A, factor = triangle
    assert_allclose(np.tril(factor), np.linalg.cholesky(A), rtol=1e-12, atol=1e-12)
    assert_array_equal(np.triu(factor, 1), np.triu(A, 1))
    singular = A.copy(order="F")
    singular[-1, -1] -= 2.0 * np.tril(factor)[-1, -1] ** 2
    assert not lapack.cholesky(singular)


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_triangular_systems_are_solved_as_by_numpy(triangle, shape):
    A, factor = triangle
    L = np.tril(factor)
    b = np.asfortranarray(np.random.default_rng(1).standard_normal((len(A), *shape)))
    for solve, matrix in (
        (lapack.cholesky_solve, A),
        (lapack.solve_triangular, L),
        (lambda factor, b: lapack.solve_triangular(factor, b, transposed=True), L.T),
    ):
        solved = b.copy(order="F")
        assert solve(factor, solved) is solved
        assert_allclose(solved, np.linalg.solve(matrix, b), rtol=1e-10, atol=1e-12)
    assert_array_equal(np.tril(factor), L)


def test_the_inverse_of_a_triangle_is_that_of_numpy(triangle):
    _, factor = triangle
    above = np.triu(factor, 1)
    inverse = np.linalg.inv(np.tril(factor))
    lapack.invert_lower(factor)
    assert_allclose(np.tril(factor), inverse, rtol=1e-10, atol=1e-12)
    assert_array_equal(np.triu(factor, 1), above)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (7, 3), (70, 40)])
def test_gram_matrices_are_added_to_the_lower_triangle(shape):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal(shape)
    total = np.asfortranarray(rng.standard_normal((shape[0], shape[0])))
    before = total.copy()
    lapack.add_gram_matrix(rows, total)
    assert_allclose(np.tril(total), np.tril(before + rows @ rows.T), rtol=1e-12, atol=1e-12)
    assert_array_equal(np.triu(total, 1), np.triu(before, 1))


# ------------------------------------------------------------------------- preconditioned L-BFGS


def quadratic(n=12):
    """Return a function of a random quadratic, its Hessian and its minimum."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((n, n))
    H, minimum = root @ root.T + 0.1 * np.eye(n), rng.standard_normal(n)

    def value_and_gradient(theta):
        calls.append(theta)
        return 0.5 * (theta - minimum) @ H @ (theta - minimum) + 3.0, H @ (theta - minimum)

    calls = []
    return value_and_gradient, H, minimum, calls


def test_with_the_hessian_a_quadratic_is_done_in_a_step():
    function, H, minimum, calls = quadratic()
    start = np.zeros(len(H))
    found = descend(function, start, lambda v: np.linalg.solve(H, v), n_steps=1)
    assert_allclose(found.theta, minimum, rtol=1e-9)
    assert found.fall == pytest.approx(0.5 * minimum @ H @ minimum, rel=1e-12)
    assert len(calls) == 2
    assert_array_equal(start, 0.0)


def test_a_hessian_of_another_scale_is_put_right_by_the_first_step():
    function, H, minimum, calls = quadratic()
    found = descend(function, np.zeros(len(H)), lambda v: np.linalg.solve(4.0 * H, v), n_steps=2)
    assert_allclose(found.theta, minimum, rtol=1e-9)
    assert len(calls) == 3


def test_a_step_too_long_is_shortened_to_the_minimum_along_it():
    function, H, minimum, calls = quadratic()
    found = descend(function, np.zeros(len(H)), lambda v: np.linalg.solve(0.2 * H, v), n_steps=1)
    assert_allclose(found.theta, minimum, rtol=1e-9)
    assert len(calls) == 3


def test_without_a_hessian_a_quadratic_is_that_of_scipy():
    function, H, minimum, calls = quadratic()
    found = descend(function, np.zeros(len(H)), None, n_steps=500)
    assert len(calls) < 100
    theirs = optimize.minimize(function, np.zeros(len(H)), jac=True, method="L-BFGS-B", tol=1e-12)
    assert_allclose(theirs.x, minimum, atol=1e-3)
    # Steps end where one lowers the value by less than a billionth of it.
    assert function(found.theta)[0] == pytest.approx(theirs.fun, rel=1e-7)


@pytest.mark.parametrize("with_hessian", [False, True])
def test_the_valley_of_rosenbrock_is_gone_through(with_hessian):
    start = np.array([-1.2, 1.0, -0.5, 0.8])

    def function(theta):  # above zero, for a fall is judged by the value
        return optimize.rosen(theta) + 1e-6, optimize.rosen_der(theta)

    at_minimum = optimize.rosen_hess(np.ones(4))
    solve = (lambda v: np.linalg.solve(at_minimum, v)) if with_hessian else None
    found = descend(function, start, solve, n_steps=500)
    theirs = optimize.minimize(function, start, jac=True, method="BFGS")
    assert_allclose(theirs.x, 1.0, rtol=1e-4)
    assert_allclose(found.theta, 1.0, rtol=1e-4)
    assert found.fall == pytest.approx(optimize.rosen(start), rel=1e-6)


def bfgs(function, theta, inverse, n_steps, memory=10):
    """Take steps of BFGS with dense updates of an inverse Hessian; None for the identity.

    Each begins anew from the first inverse Hessian, and takes the last pairs alone.
    """
    pairs, n = [], theta.size
    for _ in range(n_steps):
        value, gradient = function(theta)
        H, length = np.eye(n) if inverse is None else inverse, 1.0
        if pairs:
            s, y = pairs[-1 if inverse is None else 0]
            H = H * ((s @ y) / (y @ H @ y))
        elif inverse is None:
            length = 1.0 / np.linalg.norm(gradient)
        for s, y in pairs[-memory:]:
            P = np.eye(n) - np.outer(s, y) / (s @ y)
            H = P @ H @ P.T + np.outer(s, s) / (s @ y)
        step = -H @ gradient
        slope = gradient @ step
        while (rise := function(theta + length * step)[0] - value) > 1e-4 * length * slope:
            at = -slope * length**2 / (2 * (rise - slope * length))
            length = np.clip(at, 0.1 * length, 0.5 * length)
        moved = theta + length * step
        pairs.append((moved - theta, function(moved)[1] - gradient))
        theta = moved
    return theta


@pytest.mark.parametrize("with_hessian", [False, True])
def test_steps_are_those_of_bfgs_from_the_given_hessian(with_hessian):
    start = np.linspace(-1.2, 1.5, 12)
    inverse = np.diag(1.0 / np.linspace(100.0, 1000.0, 12)) if with_hessian else None

    def function(theta):
        return optimize.rosen(theta), optimize.rosen_der(theta)

    for n_steps in (1, 2, 3, 7, 11, 14):  # ten pairs are kept
        solve = (lambda v: inverse @ v) if with_hessian else None
        found = descend(function, start, solve, n_steps=n_steps)
        expected = bfgs(function, start, inverse, n_steps)
        assert_allclose(found.theta, expected, rtol=1e-6, atol=1e-8)
        assert found.fall == pytest.approx(function(start)[0] - function(expected)[0], rel=1e-6)


def test_no_step_is_taken_up_nor_to_where_there_is_no_number():
    def function(theta):
        return (np.nan if theta[0] > 1.5 else (theta[0] - 1.0) ** 2), 2.0 * (theta - 1.0)

    up = descend(function, np.zeros(1), lambda v: -v, n_steps=5)
    assert (up.theta, up.fall) == (0.0, 0.0)
    found = descend(function, np.zeros(1), lambda v: v, n_steps=5)  # first to 2
    assert found.theta == pytest.approx(1.0)
    assert descend(function, np.zeros(1), lambda v: v, n_steps=0).theta == 0.0


# ------------------------------------------------------------------------------ the network


@each_network
def test_passes_forward_agree(name, monkeypatch):
    objective, theta = problem(name)
    network, X = objective.network, objective.training.X
    passed = network.forward(network.layers(theta), np.ascontiguousarray(X.T))
    expected = outputs_at(network, theta, X)
    assert_allclose(passed.outputs.T, expected, rtol=1e-12, atol=1e-14)
    assert_array_equal(passed.values[0], X.T)
    assert_allclose(outputs_at(network, theta, sparse.csr_matrix(X)), expected, rtol=1e-12)
    # Two rows at a time.
    lengths, predict_rows = [], Network._predict_rows

    def counted(network, coefs, intercepts, rows):
        lengths.append(len(rows))
        return predict_rows(network, coefs, intercepts, rows)

    monkeypatch.setattr(Network, "_predict_rows", counted)
    monkeypatch.setattr(network_module, "VALUES_AT_ONCE", 2 * max(network.architecture.units[1:]))
    assert_allclose(outputs_at(network, theta, X), expected, rtol=1e-12, atol=1e-14)
    assert lengths == [2] * 11 + [1]


def test_a_forward_pass_is_that_of_the_formula():
    objective, theta = problem("several outputs")
    coefs, intercepts = objective.network.architecture.unpack(theta)
    X = objective.training.X
    expected = np.tanh(X @ coefs[0] + intercepts[0]) @ coefs[1] + intercepts[1]
    assert_allclose(objective.predict(theta), expected, rtol=1e-12)


@each_network
def test_derivatives_of_the_outputs_are_those_of_differences(name, blocks):
    objective, theta = problem(name)
    network, X = objective.network, objective.training.X
    plain = replace(objective, training=Samples.of(X, objective.training.y))
    J = jacobian_at(network, theta, X)
    direction = np.random.default_rng(2).standard_normal(theta.size)
    summed, moved, n_rows = 0.0, [], 0
    for block in plain.linearise(theta):
        summed += np.array([network.summed_jacobian(block, k) for k in range(len(J))])
        moved.append(network.directional_derivative(block, direction))
        n_rows += block.at_outputs.shape[1]
        assert block.rows.stop == n_rows
    assert_allclose(summed, J.sum(axis=1), **CLOSE)
    assert_allclose(np.concatenate(moved, axis=1), J @ direction, **CLOSE)


@each_network
def test_derivatives_by_the_inputs_are_those_of_differences(name):
    objective, theta = problem(name)
    network, X = objective.network, objective.training.X
    found = gradient_by_inputs(*network.architecture.unpack(theta), network.activations, X)
    for row, x in enumerate(X):
        expected = derivative(lambda x: outputs_at(network, theta, x[None])[0], x)
        assert_allclose(found[row].T, expected, **CLOSE)


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gamma"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("units", [(2, 4, 1), (2, 3, 2)])
def test_gradients_are_those_of_differences(units, weighted, loss, monkeypatch):
    activations = ("tanh", "exp" if loss != "squared_error" else "softplus")
    objective, theta = make_objective(units, activations, weighted=weighted, n_samples=150)
    training, output_weights = objective.training, np.array([0.7, 2.0])[: units[-1]]
    training = replace(training, y=np.abs(training.y) + 0.1)
    objective = replace(objective, training=training, loss=LOSSES[loss])
    weight = np.ones(150) if training.weight is None else training.weight

    def value(theta):
        losses = objective.loss.value(training.y, outputs_at(objective.network, theta, training.X))
        return np.array(weight @ losses @ output_weights)

    for numbers in (objective_module.GRADIENT_NUMBERS, 1):  # all rows at once, and 64 at a time
        monkeypatch.setattr(objective_module, "GRADIENT_NUMBERS", numbers)
        found, gradient = objective.weighted_gradient(theta, output_weights)
        assert found == pytest.approx(float(value(theta)), rel=1e-12)
        assert_allclose(gradient, derivative(value, theta), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("is_sparse", [False, True])
@pytest.mark.parametrize(
    ("loss", "output", "output_weights"),
    [
        ("squared_error", "identity", [0.7, 2.0]),
        ("squared_error", "softplus", [0.7, 0.7]),
        ("poisson", "exp", [2.0, 2.0]),
    ],
)
def test_gradients_are_those_of_the_compiled_engine(
    loss, output, output_weights, is_sparse, monkeypatch
):
    objective, theta = make_objective((2, 3, 2), ("tanh", output), weighted=True, n_samples=150)
    training, output_weights = objective.training, np.array(output_weights)
    X = sparse.csr_matrix(training.X) if is_sparse else training.X
    training = replace(training, X=X, y=np.abs(training.y))
    objective = replace(objective, training=training, loss=LOSSES[loss])
    ours = objective.weighted_gradient(theta, output_weights)
    theirs = objective.compiled.weighted_gradient(theta, output_weights)
    for one, other in zip(ours, theirs, strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    # ... which is taken where it is worth it.
    monkeypatch.setattr(objective_module, "COMPILED_WORK", 0)
    taken = objective.weighted_gradient(theta, output_weights)
    assert_array_equal(taken[1], theirs[1])


def test_what_the_compiled_engine_cannot_weigh_is_not_compiled(monkeypatch):
    monkeypatch.setattr(objective_module, "COMPILED_WORK", 0)
    for objective, theta in (
        make_objective((2, 3, 2), ("tanh", "softplus")),  # outputs that count unlike
        problem("weights of each output"),
    ):
        output_weights = np.array([0.7, 2.0])
        value, gradient = objective.weighted_gradient(theta, output_weights)
        explicit = Explicit.of(objective, theta)
        assert value == pytest.approx(output_weights @ explicit.errors, rel=1e-12)
        assert_allclose(gradient, output_weights @ explicit.gradients, **CLOSE)
        assert "compiled" not in vars(objective)


def test_rows_are_those_of_the_jacobian(blocks):
    objective, theta = problem("several outputs, weighted")
    parts = [JacobianRows.of(objective.network, block) for block in objective.linearise(theta)]
    rows, explicit = JacobianRows.joined(parts), Explicit.of(objective, theta)
    order = np.argsort(rows.outputs, kind="stable")
    J = explicit.jacobian.reshape(-1, theta.size)
    assert_allclose(rows.times(theta)[order], J @ theta, **CLOSE)
    factors = np.random.default_rng(4).standard_normal(len(order))
    assert_allclose(rows.transposed_times(factors), J.T @ factors[order], **CLOSE)
    kernel = rows.kernel(objective.network.layers(np.full(theta.size, 0.5)))
    assert_allclose(kernel[np.ix_(order, order)], 2.0 * J @ J.T, **CLOSE)


# -------------------------------------------------------------------------- losses as squares


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_the_surrogate_of_several_outputs_has_slopes_and_curvatures_of_the_loss(loss, weighted):
    objective, theta = make_objective((2, 3, 2), ("tanh", "exp"), weighted=weighted)
    training = replace(objective.training, y=np.round(3 * np.abs(objective.training.y)) + 1.0)
    objective = replace(objective, training=training, loss=LOSSES[loss])
    found = irls.surrogate(objective, theta)
    y, f = training.y, objective.predict(theta)
    weight = np.ones(len(y)) if training.weight is None else training.weight
    slope, curvature = ((f - y) / f, 1 / f) if loss == "poisson" else ((f - y) / f**2, 1 / f**2)
    h = np.average(curvature, axis=0, weights=weight).mean()
    assert found.mean_curvature == pytest.approx(h, rel=1e-12)
    # The working response is y* = f - s / c, and its weights are c / h.
    assert_allclose(
        found.errors, weight @ (0.5 * curvature / h * (slope / curvature) ** 2), rtol=1e-12
    )
    assert_allclose(found.objective.training.curvature, curvature / h, rtol=1e-12)
    response = replace(found.objective.training, y=f - slope / curvature)
    least_squares = replace(found.objective, training=response, loss=LOSSES["squared_error"])
    model = BY_PARAMETERS.gauss_newton(least_squares, theta, np.ones(2))
    _, gradient = objective.weighted_gradient(theta, np.full(2, 1.0 / h))
    assert_allclose(model.gradients.sum(axis=0), gradient, rtol=1e-9, atol=1e-9)
    assert_allclose(model.errors, found.errors, rtol=1e-9)


def test_squared_errors_are_their_own_surrogate():
    objective, theta = problem("several outputs, weighted")
    found = irls.surrogate(objective, theta)
    assert found.objective is objective and found.mean_curvature == 1.0
    assert_allclose(found.errors, Explicit.of(objective, theta).errors, rtol=1e-12)
    assert irls.log_likelihood_change(objective, theta, found.errors, np.ones(2), 1.0) == 0.0


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("loss", "dispersion"), [("poisson", 1.0), ("gamma", 1.0), ("gamma", 0.3)])
def test_the_likelihood_of_a_deviance_is_that_of_scipy_but_for_what_depends_on_y(
    loss, dispersion, weighted
):
    objective, theta = make_objective((2, 3, 2), ("tanh", "exp"), n_samples=40)
    counts = np.random.default_rng(5).integers(1, 4, 40).astype(float) if weighted else None
    y = np.random.default_rng(6).poisson(2.0, (40, 2)).astype(float)
    y = y if loss == "poisson" else y + 0.5
    training = Samples.of(objective.training.X, y, counts)
    objective = replace(objective, training=training, loss=LOSSES[loss])

    def log_likelihoods(theta):
        f, h = objective.predict(theta), irls.surrogate(objective, theta).mean_curvature
        errors, beta = irls.surrogate(objective, theta).errors, np.full(2, h / dispersion)
        of_residuals = 0.5 * training.weight_sum * np.log(beta / (2 * np.pi)).sum() - beta @ errors
        ours = of_residuals + irls.log_likelihood_change(objective, theta, errors, beta, h)
        if loss == "poisson":
            of_rows = stats.poisson.logpmf(y, f)
        else:
            of_rows = stats.gamma.logpdf(y, 1 / dispersion, scale=dispersion * f)
        return ours, np.sum(of_rows if counts is None else counts[:, None] * of_rows)

    ours, theirs = np.transpose([log_likelihoods(scale * theta) for scale in (0.0, 0.5, 1.0)])
    assert_allclose(np.diff(ours), np.diff(theirs), rtol=1e-9)
    assert np.abs(np.diff(theirs)).max() > 1.0


def test_a_network_is_kept_for_the_same_arguments():
    architecture = Architecture((2, 3, 1))
    given = architecture, ("tanh", "identity")
    assert network_module.network_of(*given) is network_module.network_of(*given)
    assert network_module.network_of(*given) == Network(*given)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_variance_is_that_of_the_targets_and_one_where_it_says_nothing(weighted):
    objective, _ = make_objective((2, 2), ("identity",), weighted=weighted)
    training = objective.training
    weight = np.ones(37) if training.weight is None else training.weight
    of_outputs = [np.cov(y, aweights=weight, ddof=0) for y in training.y.T]
    assert objective.variance() == pytest.approx(np.mean(of_outputs), rel=1e-12)
    for y in (np.zeros((37, 2)), training.y / np.sqrt(of_outputs)):
        assert replace(objective, training=replace(training, y=y)).variance() == 1.0
