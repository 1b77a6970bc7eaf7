"""The evidence, and what it re-estimates, against the formulas in dense NumPy."""

from typing import NamedTuple

import numpy as np
import pytest
from explicit import BY_PARAMETERS, BY_RESIDUALS, Explicit, make_objective
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_tinymlp._bayes import evidence
from sklearn_tinymlp._bayes.dense import DenseJacobianProduct
from sklearn_tinymlp._bayes.evidence import Hyperparameters
from sklearn_tinymlp._bayes.groups import GROUPINGS
from sklearn_tinymlp._bayes.low_rank import LowRankJacobianProduct
from sklearn_tinymlp._bayes.several_outputs import OutputsJacobianProduct
from sklearn_tinymlp._machine.memory import Scratch
from sklearn_tinymlp._network.architecture import Architecture
from sklearn_tinymlp._network.network import Network
from sklearn_tinymlp._objective.objective import Objective
from sklearn_tinymlp._solvers import levenberg_marquardt as lm


class Case(NamedTuple):
    """A network at theta, its explicit Jacobian, and some alpha and beta."""

    objective: Objective
    theta: np.ndarray
    groups: np.ndarray
    hyper: Hyperparameters
    explicit: Explicit

    @property
    def alpha(self):
        return self.hyper.alpha[self.groups]

    @property
    def A(self):
        return self.explicit.A(self.alpha, self.hyper.beta)

    def model(self, curvature):
        return curvature.gauss_newton(self.objective, self.theta, self.hyper.beta)

    def evidence(self, curvature, errors=None, **given):
        """Return what the package says, for other errors and a given variance if need be."""
        model = self.model(curvature)
        precision = model.product.factorised(self.alpha, self.hyper.beta)
        errors = model.errors if errors is None else errors
        weight = self.objective.training.weight_sum
        with np.errstate(all="ignore"):
            return evidence.evidence(
                self.theta, errors, precision, self.hyper, self.groups, weight, **given
            )


def make_case(
    n_samples, units, grouping="one", activations=("tanh", "identity"), *, theta=None, **given
):
    objective, drawn = make_objective(units, activations, n_samples=n_samples, **given)
    theta = drawn if theta is None else theta(objective.network.architecture, drawn)
    groups, rng = GROUPINGS[grouping](objective.network.architecture), np.random.default_rng(1)
    hyper = Hyperparameters(
        rng.uniform(0.5, 2.0, groups.max() + 1), rng.uniform(0.5, 2.0, units[-1])
    )
    return Case(objective, theta, groups, hyper, Explicit.of(objective, theta))


CASES = {
    "one output": make_case(37, (2, 4, 1)),
    "a penalty an input": make_case(37, (2, 4, 1), "input", weighted=True),
    "several outputs": make_case(30, (2, 4, 3), "layer", ("sin", "softplus"), weighted=True),
    "more parameters than rows": make_case(4, (3, 5, 1), "input"),
    "more parameters than residuals": make_case(3, (3, 5, 2), "input"),
    "two layers": make_case(9, (2, 3, 4, 2), "layer", ("tanh", "logistic", "identity")),
    "no intercepts": make_case(5, (3, 4, 2), "input", bias=False),
    "one unit, no intercepts": make_case(4, (5, 1, 1), "layer", bias=False),
    "linear": make_case(12, (3, 1), "input", ("identity",)),
    "linear, no intercepts, several outputs": make_case(
        2, (2, 3), "input", ("identity",), bias=False
    ),
    "one number": make_case(1, (1, 1), "one", ("identity",), bias=False),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_kind = pytest.mark.parametrize("curvature", [BY_PARAMETERS, BY_RESIDUALS])


@each_kind
@each_case
def test_the_kinds_are_those_that_are_meant(case, curvature):
    kind = LowRankJacobianProduct
    if curvature is BY_PARAMETERS:
        one = case.objective.n_outputs == 1
        kind = DenseJacobianProduct if one else OutputsJacobianProduct
    assert type(case.model(curvature).product) is kind


@each_kind
@each_case
def test_value_gradient_and_mean_diagonal_are_those_of_S(case, curvature):
    search = lm.Search(
        case.objective,
        curvature,
        case.groups,
        lambda: None,
        case.theta,
        case.hyper,
        lm.Damping(1.0),
    )
    search.linearise()
    alpha, beta = case.alpha, case.hyper.beta
    assert_allclose(search.gradient(), case.explicit.gradient(alpha, beta), rtol=1e-9, atol=1e-9)
    assert_allclose(
        search.value(case.theta, search.model.errors), case.explicit.S(alpha, beta), rtol=1e-12
    )
    assert_allclose(
        search.model.product.mean_diagonal(alpha, beta),
        np.trace(case.A) / case.theta.size,
        rtol=1e-9,
    )


@each_kind
@each_case
@pytest.mark.parametrize("damping", [1e-3, 0.3, 50.0])
def test_step_solves_the_damped_equations_and_foretells_the_fall(case, curvature, damping):
    search = lm.Search(
        case.objective,
        curvature,
        case.groups,
        lambda: None,
        case.theta,
        case.hyper,
        lm.Damping(damping),
    )
    search.linearise()
    found = search.step(search.gradient())
    n, alpha, beta = case.theta.size, case.alpha, case.hyper.beta
    mu, gradient = search.damping.value, case.explicit.gradient(alpha, beta)
    mu *= np.trace(case.A) / n
    step = np.linalg.solve(case.A + mu * np.eye(n), -gradient)
    assert_allclose(found.theta - case.theta, step, rtol=1e-7, atol=1e-9)
    predicted = -gradient @ step - 0.5 * step @ case.A @ step
    assert_allclose(found.fall / found.gain_ratio, predicted, rtol=1e-7)
    there = case.objective.errors(found.theta)
    value = beta @ there + 0.5 * alpha @ found.theta**2
    assert_allclose(found.fall, case.explicit.S(alpha, beta) - value, rtol=1e-7)
    assert_allclose(found.evaluated.errors, there, rtol=1e-12)


@each_kind
@each_case
def test_evidence_and_what_is_re_estimated_follow_the_formulas(case, curvature):
    found = case.evidence(curvature)
    value, gamma, alpha, beta = case.explicit.evidence(case.hyper, case.groups)
    assert found.log_evidence == pytest.approx(value, rel=1e-9)
    assert_allclose(found.gamma, gamma, rtol=1e-8)
    assert_allclose(found.next.alpha, alpha, rtol=1e-8)
    assert_allclose(found.next.beta, beta, rtol=1e-8)


@each_kind
@each_case
def test_memory_that_is_used_again_changes_nothing(case, curvature):
    expected, scratch = case.evidence(curvature), Scratch()
    for _ in range(2):
        found = case.evidence(curvature, scratch=scratch)
        assert found.log_evidence == expected.log_evidence
        assert_array_equal(found.gamma, expected.gamma)
        assert_array_equal(np.concatenate(found.next), np.concatenate(expected.next))


@each_kind
def test_the_variance_of_the_targets_is_one_unless_given(curvature):
    case = CASES["one output"]
    for given, variance in (({}, 1.0), ({"variance": 100.0}, 100.0)):
        found = case.evidence(curvature, 0.0 * case.explicit.errors, **given)
        assert found.next.beta == evidence.MOST_BETA / variance


# ---------------------------------------------------------------------------------- the bounds


def with_output_intercept(value):
    """Put the output's intercept, a group of its own, at some value."""

    def theta(architecture, theta):
        architecture.unpack(theta)[1][-1][:] = value
        return theta

    return theta


@each_kind
def test_a_group_without_weights_gets_the_largest_alpha(curvature):
    found = make_case(7, (2, 2, 1), theta=with_output_intercept(0.0)).evidence(curvature)
    assert 0 < found.gamma[1] < 1
    assert found.next.alpha[1] == evidence.MOST_ALPHA


@each_kind
def test_a_group_that_nothing_asks_for_gets_alpha_one(curvature):
    def without_second_input(architecture, theta):
        architecture.unpack(theta)[0][0][1] = 0.0
        return theta

    case = make_case(7, (2, 3, 1), "input", theta=without_second_input)
    case.objective.training.X[:, 1] = 0.0
    case.hyper.alpha[1] = 0.25  # so that 1 - alpha tr(A^-1) is not rounded
    found = case.evidence(curvature)
    assert found.gamma[1] == 0
    assert found.next.alpha[1] == 1.0
    assert found.gamma[0] > 0


@each_kind
@pytest.mark.parametrize(
    ("size", "bound"), [(1e-9, evidence.MOST_ALPHA), (1e9, evidence.LEAST_ALPHA)]
)
def test_alpha_stays_within_its_bounds(curvature, size, bound):
    case = make_case(7, (2, 2, 1), theta=with_output_intercept(size))
    found = case.evidence(curvature)
    assert found.next.alpha[1] == bound
    other = make_case(7, (2, 2, 1))  # the intercept is not in the Jacobian, but in its rounding
    expected = other.explicit.evidence(case.hyper, case.groups)[2]
    assert_allclose(found.next.alpha[0], expected[0], rtol=1e-8)


@each_kind
@pytest.mark.parametrize("variance", [1.0, 100.0])
@pytest.mark.parametrize(
    ("size", "bound"),
    [(0.0, evidence.MOST_BETA), (1e-9, evidence.MOST_BETA), (1e9, evidence.LEAST_BETA)],
)
def test_beta_stays_within_its_bounds_in_any_unit_of_y(curvature, size, bound, variance):
    case = make_case(9, (2, 2, 2))
    errors = case.explicit.errors * [1.0, size**2]
    found = case.evidence(curvature, errors, variance=variance)
    assert found.next.beta[1] == bound / variance
    expected = case.explicit.evidence(case.hyper, case.groups)[3]
    assert_allclose(found.next.beta[0], expected[0], rtol=1e-8)


@each_kind
def test_some_freedom_is_left_for_the_noise(curvature):
    case = make_case(3, (2, 2, 1))
    case.hyper.beta[:] = 1e9  # the three rows determine three parameters
    beta = case.evidence(curvature).next.beta
    assert_allclose(beta, evidence.LEAST_FREEDOM / (2 * case.explicit.errors), rtol=1e-9)


def test_one_group_for_all_weights_has_the_output_intercepts_too():
    """By residuals two groups that the sum over residuals tells were taken for granted."""
    case = make_case(5, (2, 3, 1))
    together = case._replace(
        groups=np.zeros_like(case.groups), hyper=case.hyper._replace(alpha=np.ones(1))
    )
    for curvature in (BY_PARAMETERS, BY_RESIDUALS):
        gamma, _ = together.explicit.determined(together.hyper, together.groups)
        assert_allclose(together.evidence(curvature).gamma, gamma, rtol=1e-9)


# ------------------------------------------------------------ where A is not positive definite


@pytest.mark.parametrize("units", [(2, 2, 1), (2, 2, 3)])
@each_kind
def test_where_rounding_hides_that_A_is_positive_definite_nothing_is_made_up(curvature, units):
    case = make_case(2, units)
    alpha = -1e-3 * np.ones_like(case.hyper.alpha)  # so that J D^-1 J^T is far below -1
    case = case._replace(hyper=case.hyper._replace(alpha=alpha))
    assert case.model(curvature).product.factorised(case.alpha, case.hyper.beta) is None
    found = case.evidence(curvature)
    assert np.isnan(found.log_evidence)
    assert_array_equal(found.gamma, 0.0)
    assert found.next is case.hyper


def test_the_factor_is_that_of_A():
    case = CASES["a penalty an input"]
    precision = case.model(BY_PARAMETERS).product.certainly_factorised(case.alpha, case.hyper.beta)
    factor = np.tril(precision.lower)
    assert_allclose(factor @ factor.T, case.A, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("size", [1e8, 1e-4])
def test_rounding_that_hides_that_A_is_positive_definite_is_made_up_for(size):
    # All columns alike: without alpha, which is lost in rounding, A is singular.
    jacobian = size * np.ones((1, 3))
    product = DenseJacobianProduct(np.asfortranarray(jacobian.T @ jacobian))
    alpha, beta = np.full(3, 1e-24 * size**2), np.ones(1)
    assert product.factorised(alpha, beta) is None
    factor = np.tril(product.certainly_factorised(alpha, beta).lower)
    assert_allclose(factor @ factor.T, jacobian.T @ jacobian, rtol=1e-13)


@pytest.mark.parametrize(("missing", "added"), [(0.5, 1), (5, 10), (50, 100)])
def test_rounding_is_made_up_for_in_steps_of_ten(missing, added):
    unit = 4.0 * np.finfo(float).eps  # of the largest diagonal entry
    product = DenseJacobianProduct(np.asfortranarray(np.diag([4.0, -missing * unit])))
    precision = product.certainly_factorised(np.zeros(2), np.ones(1))
    assert precision.lower[1, 1] ** 2 / unit == pytest.approx(added - missing, rel=1e-9)
    # Two outputs with a weight each.
    linear = Network(Architecture((1, 2), bias=False), ("identity",))
    own = np.array([4.0, -missing * unit]).reshape(2, 1, 1)
    nothing = np.empty((0, 0), order="F"), np.empty((2, 1, 0))
    product = OutputsJacobianProduct(linear, np.ones(2), *nothing, own, list)
    precision = product.certainly_factorised(np.zeros(2), np.ones(2))
    assert precision.factors[1, 0, 0] ** 2 / unit == pytest.approx(added - missing, rel=1e-9)


@pytest.mark.parametrize("units", [(2, 3, 2), (1, 2)])
def test_of_several_outputs_rounding_is_made_up_for_too(units):
    # Rows that are alike, and next to no alpha.
    case = make_case(4, units, activations=("tanh", "identity")[2 - len(units) + 1 :])
    case.objective.training.X[:] = 1.0
    model = case.model(BY_PARAMETERS)
    alpha = np.full(case.theta.size, -1e-17)
    assert model.product.factorised(alpha, case.hyper.beta) is None
    precision = model.product.certainly_factorised(alpha, case.hyper.beta)
    explicit = Explicit.of(case.objective, case.theta)
    A, vector = explicit.A(0.0 * alpha, case.hyper.beta), np.arange(1.0, 1.0 + alpha.size)
    # A times something is v to the last digits only; but what is added is no more than rounding.
    assert_allclose(precision.solve(A @ vector) @ A, A @ vector, rtol=1e-3, atol=1e-3)


def test_by_residuals_damping_is_added_until_there_is_a_factor():
    case = make_case(5, (2, 3, 1))
    product, alpha, beta = case.model(BY_RESIDUALS).product, case.alpha.copy(), np.ones(1)
    alpha[:] = -1.0  # (alpha + mu)^-1 J J^T + 1 has a factor only where mu is above 1
    assert product.factorised(alpha, beta) is None
    precision = product.certainly_factorised(alpha, beta)
    assert 1.0 < precision.damping <= 10.0
    rounding = np.finfo(float).eps * np.trace(case.explicit.A(alpha, beta))
    steps = np.log10(precision.damping / rounding)
    assert steps == pytest.approx(round(steps))
    A = case.explicit.A(alpha + precision.damping, beta)
    vector = np.arange(1.0, 1.0 + alpha.size)
    assert_allclose(precision.solve(vector), np.linalg.solve(A, vector), rtol=1e-7)
