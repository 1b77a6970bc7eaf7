"""The functions of `evidence` and `dual` against the formulas in dense NumPy."""

from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_tinymlp._bayes import dual, evidence
from sklearn_tinymlp._bayes.evidence import Hyperparameters
from sklearn_tinymlp._engine.linear_algebra import routines
from sklearn_tinymlp._engine.second_order import GaussNewton
from sklearn_tinymlp._machine.compilation import call_from_python

FORMS = {"large matrix": evidence, "small matrix": dual}


class Case(NamedTuple):
    """Residuals, and their Jacobian of the shape (n_outputs, n_samples, n_parameters)."""

    theta: np.ndarray
    groups: np.ndarray
    residuals: np.ndarray
    jacobian: np.ndarray
    alpha: np.ndarray
    beta: np.ndarray
    variance: float = 1.0

    @property
    def errors(self):
        return 0.5 * np.sum(self.residuals**2, axis=1)

    @property
    def gradients(self):
        return np.einsum("kni,kn->ki", self.jacobian, self.residuals)

    @property
    def hessians(self):
        return np.einsum("kni,knj->kij", self.jacobian, self.jacobian)

    @property
    def A(self):
        return np.einsum("k,kij->ij", self.beta, self.hessians) + np.diag(self.alpha[self.groups])

    @property
    def S(self):
        penalty = 0.5 * self.alpha[self.groups] @ self.theta**2
        return self.beta @ self.errors + penalty

    @property
    def gradient(self):
        return self.beta @ self.gradients + self.alpha[self.groups] * self.theta


def make_case(n_samples, n_parameters, n_groups, n_outputs, seed=0):
    rng = np.random.default_rng(seed)
    return Case(
        rng.standard_normal(n_parameters),
        np.arange(n_parameters) % n_groups,
        rng.standard_normal((n_outputs, n_samples)),
        rng.standard_normal((n_outputs, n_samples, n_parameters)),
        rng.uniform(0.5, 2.0, n_groups),
        rng.uniform(0.5, 2.0, n_outputs),
    )


SIZES = [(7, 5, 1, 1), (7, 5, 3, 1), (4, 6, 2, 3), (2, 9, 3, 2), (1, 1, 1, 1)]
CASES = [make_case(*sizes) for sizes in SIZES]
each_case = pytest.mark.parametrize("case", CASES, ids=map(str, SIZES))
each_form = pytest.mark.parametrize("form", FORMS)


class Arrays:
    """What the three functions of a form read and write, as the kernels hand it over."""

    def __init__(self, form, case):
        n_outputs, n_samples, n = case.jacobian.shape
        self.functions = dict(zip(("assemble", "solve", "evaluate"), form.compiled(), strict=True))
        self.theta, self.groups = case.theta, case.groups.astype(float)
        self.errors, self.gradients = case.errors, case.gradients
        self.hyper = np.concatenate([case.alpha, case.beta, [n_samples, case.variance]])
        if form is dual:
            self.picture = case.jacobian.transpose(2, 0, 1).copy()
            self.residuals = case.residuals
            size = self.residuals.size
            self.matrix = np.full((n, size), np.nan)
            self.factor = np.full(size * (size + 1), np.nan)
        else:
            below = np.tri(n, k=-1, dtype=bool)
            self.picture = np.where(below, np.nan, case.hessians)  # the upper triangle counts
            self.residuals = np.empty(0)
            self.matrix, self.factor = np.full((n, n), np.nan), np.full((n, n), np.nan)
        self.gradient, self.step = np.full(n + 3, np.nan), np.full(n, np.nan)
        self.numbers, self.result = (
            np.array([np.nan]),
            np.full(1 + 2 * case.alpha.size + n_outputs, 7.0),
        )
        self.sizes = (n, case.alpha.size, n_outputs, self.residuals.size)

    def assemble(self):
        names = ("theta", "groups", "errors", "gradients", "picture", "hyper", "gradient", "matrix")
        self._call("assemble", names)
        return self

    def solve(self, mu):
        self.numbers[0] = mu
        names = ("theta", "groups", "picture", "residuals", "hyper", "gradient", "matrix")
        self._call("solve", (*names, "factor", "step", "numbers"), *routines())
        return self.numbers[0]

    def evaluate(self):
        names = ("theta", "groups", "errors", "picture", "hyper", "matrix", "factor", "result")
        self._call("evaluate", names, *routines())
        n, n_groups = self.sizes[:2]
        return np.split(self.result, [1, 1 + n_groups, 1 + 2 * n_groups])

    def _call(self, name, arrays, *addresses):
        arrays = [getattr(self, array) for array in arrays]
        call_from_python(self.functions[name], arrays, (*self.sizes, *addresses))


def evidence_in_numpy(case):
    """Log evidence, gamma of each group, alpha and beta re-estimated, from the inverse of A."""
    n_outputs, n_samples, n = case.jacobian.shape
    inverse = np.linalg.inv(case.A)
    alpha = case.alpha[case.groups]
    value = 0.5 * np.log(alpha).sum() - 0.5 * np.linalg.slogdet(case.A)[1] - case.S
    value += 0.5 * n_samples * np.log(case.beta / (2 * np.pi)).sum()
    determined = 1 - alpha * np.diag(inverse)
    gamma = np.bincount(case.groups, determined)
    weights = np.bincount(case.groups, 0.5 * case.theta**2)
    gamma_k = case.beta * np.einsum("kij,ji->k", case.hessians, inverse)
    return value, gamma, gamma / (2 * weights), (n_samples - gamma_k) / (2 * case.errors)


@each_form
@each_case
def test_value_gradient_and_trace_are_those_of_S(case, form):
    arrays = Arrays(FORMS[form], case).assemble()
    *gradient, value, largest, trace = arrays.gradient
    assert_allclose(gradient, case.gradient, rtol=1e-12)
    assert_allclose(value, case.S, rtol=1e-12)
    assert largest == np.abs(gradient).max()
    assert_allclose(trace, np.trace(case.A), rtol=1e-12)
    if form == "large matrix":
        assert_allclose(np.triu(arrays.matrix), np.triu(case.A), rtol=1e-12)


@each_form
@each_case
@pytest.mark.parametrize("mu", [0.0, 0.3, 50.0])
def test_step_solves_the_damped_equations_and_foretells_the_fall(case, form, mu):
    arrays = Arrays(FORMS[form], case).assemble()
    predicted = arrays.solve(mu)
    n = case.theta.size
    step = np.linalg.solve(case.A + mu * np.eye(n), -case.gradient)
    assert_allclose(arrays.step, step, rtol=1e-9, atol=1e-12)
    fall = -case.gradient @ step - 0.5 * step @ case.A @ step
    assert_allclose(predicted, fall, rtol=1e-9)


@each_form
@each_case
def test_evidence_and_what_is_re_estimated_follow_the_formulas(case, form):
    actual = Arrays(FORMS[form], case).assemble().evaluate()
    for part, expected in zip(actual, evidence_in_numpy(case), strict=True):
        assert_allclose(part, expected, rtol=1e-9)


@each_case
def test_evidence_of_a_picture_is_the_same(case):
    n_samples = case.residuals.shape[1]
    picture = GaussNewton(case.errors, case.gradients, case.hessians)
    hyper = Hyperparameters(case.alpha, case.beta)
    found = evidence.evidence(case.theta, picture, hyper, case.groups, n_samples)
    value, gamma, alpha, beta = evidence_in_numpy(case)
    assert found.log_evidence == pytest.approx(value, rel=1e-9)
    assert_allclose(found.gamma, gamma, rtol=1e-9)
    assert_allclose(found.next.alpha, alpha, rtol=1e-9)
    assert_allclose(found.next.beta, beta, rtol=1e-9)


def test_the_variance_of_the_targets_is_one_unless_given():
    case = CASES[0]
    picture = GaussNewton(0 * case.errors, case.gradients, case.hessians)
    for given, variance in (((), 1.0), ((100.0,), 100.0)):
        hyper = Hyperparameters(case.alpha, case.beta)
        found = evidence.evidence(case.theta, picture, hyper, case.groups, 7, *given)
        assert found.next.beta == evidence.MOST_BETA / variance


# ---------------------------------------------------------------------------------- the bounds


@each_form
def test_a_group_without_weights_gets_the_largest_alpha(form):
    case = make_case(7, 2, 2, 1)
    case.theta[1] = 0.0
    _, gamma, alpha, _ = Arrays(FORMS[form], case).assemble().evaluate()
    assert 0 < gamma[1] < 1
    assert alpha[1] == evidence.MOST_ALPHA


@each_form
def test_a_group_that_nothing_asks_for_gets_alpha_one(form):
    case = make_case(7, 6, 2, 1)
    case.theta[case.groups == 1] = 0.0
    case.jacobian[:, :, case.groups == 1] = 0.0
    case.alpha[1] = 0.25  # so that 1 - alpha tr(A^-1) is not rounded
    _, gamma, alpha, _ = Arrays(FORMS[form], case).assemble().evaluate()
    assert gamma[1] == 0
    assert alpha[1] == 1.0


@each_form
@pytest.mark.parametrize(
    ("size", "bound"), [(1e-9, evidence.MOST_ALPHA), (1e9, evidence.LEAST_ALPHA)]
)
def test_alpha_stays_within_its_bounds(form, size, bound):
    case = make_case(7, 6, 2, 1)
    case.theta[case.groups == 1] *= size
    _, _, alpha, _ = Arrays(FORMS[form], case).assemble().evaluate()
    assert alpha[1] == bound
    assert_allclose(alpha[0], evidence_in_numpy(case)[2][0], rtol=1e-9)


@each_form
@pytest.mark.parametrize("variance", [1.0, 100.0])
@pytest.mark.parametrize(
    ("size", "bound"),
    [(0.0, evidence.MOST_BETA), (1e-9, evidence.MOST_BETA), (1e9, evidence.LEAST_BETA)],
)
def test_beta_stays_within_its_bounds_in_any_unit_of_y(form, size, bound, variance):
    case = make_case(7, 6, 2, 2)._replace(variance=variance)
    case.residuals[1] *= size
    *_, beta = Arrays(FORMS[form], case).assemble().evaluate()
    assert beta[1] == bound / variance
    with np.errstate(divide="ignore"):
        assert_allclose(beta[0], evidence_in_numpy(case)[3][0], rtol=1e-9)


@each_form
def test_some_freedom_is_left_for_the_noise(form):
    case = make_case(3, 5, 1, 1)
    case.jacobian[:] *= 1e6  # the three rows determine three parameters
    *_, beta = Arrays(FORMS[form], case).assemble().evaluate()
    assert_allclose(beta, evidence.LEAST_FREEDOM / (2 * case.errors), rtol=1e-9)


def indefinite(form):
    """Arrays of which no Cholesky factor exists."""
    case = make_case(2, 3, 1, 1)
    arrays = Arrays(FORMS[form], case).assemble()
    if form == "large matrix":
        arrays.matrix[1, 1] = -1.0
    else:
        arrays.hyper[1] = -1e-3  # the noise's precision, of which M is the inverse and more
    return arrays


@each_form
def test_where_rounding_hides_that_A_is_positive_definite_nothing_is_made_up(form):
    arrays = indefinite(form)
    assert arrays.solve(0.0) == -1.0
    value, gamma, alpha, beta = arrays.evaluate()
    assert np.isnan(value)
    for part in (gamma, alpha, beta):
        assert_array_equal(part, 0.0)


def test_the_factor_is_that_of_A():
    case = CASES[2]
    picture = GaussNewton(case.errors, case.gradients, case.hessians)
    factor = evidence.cholesky_factor(picture, Hyperparameters(case.alpha, case.beta), case.groups)
    assert_array_equal(factor, np.tril(factor))
    assert_allclose(factor @ factor.T, case.A, rtol=1e-12)


@pytest.mark.parametrize("size", [1e8, 1e-4])
def test_rounding_that_hides_that_A_is_positive_definite_is_made_up_for(size):
    # All columns alike: without alpha, which is lost in rounding, A is singular.
    jacobian = size * np.ones((1, 1, 3))
    hessians = np.einsum("kni,knj->kij", jacobian, jacobian)
    picture = GaussNewton(np.ones(1), np.ones((1, 3)), hessians)
    hyper = Hyperparameters(np.array([1e-24 * size**2]), np.ones(1))
    A = evidence.hessian(picture, hyper, np.zeros(3, int))
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.cholesky(A)
    factor = evidence.cholesky_factor(picture, hyper, np.zeros(3, int))
    assert_allclose(factor @ factor.T, A, rtol=1e-13)


@pytest.mark.parametrize(("missing", "added"), [(0.5, 1), (5, 1 + 10), (50, 1 + 10 + 100)])
def test_rounding_is_made_up_for_in_steps_of_ten(missing, added):
    unit = 4.0 * np.finfo(float).eps  # of the largest diagonal entry
    picture = GaussNewton(np.ones(1), np.ones((1, 2)), np.diag([4.0, -missing * unit])[np.newaxis])
    hyper = Hyperparameters(np.zeros(1), np.ones(1))
    factor = evidence.cholesky_factor(picture, hyper, np.zeros(2, int))
    assert factor[1, 1] ** 2 / unit == pytest.approx(added - missing, rel=1e-9)
