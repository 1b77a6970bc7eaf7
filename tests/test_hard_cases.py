"""The default reaches the marks of the quick hard cases, and has standard deviations."""

import numpy as np
import pytest
from hard_cases import CASES, worst_r2

from sklearn_tinymlp import TinyMLPRegressor

pytestmark = pytest.mark.slow


QUICK = (
    "waves_210_rows",
    "waves_420_rows",
    "weights_sum_to_one",
    "weights_sum_to_ten_thousand",
    "products_44_inputs",
    "slopes_60_rows_280_inputs",
    "spectra_60_rows_400_inputs",
    "friedman_500_rows_25_inputs",
    "counts_300_rows",
    "counts_1000_rows",
)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("seed", range(2))
def test_the_default_reaches_what_the_data_allow(name, seed):
    case = CASES[name]
    data = case.draw(np.random.default_rng(seed))
    net = TinyMLPRegressor(random_state=seed, **case.params)
    net.fit(data.X, data.y, sample_weight=data.weight)
    assert worst_r2(data, net.predict(data.X_new)) > case.mark
    if not case.params:  # a Poisson fit has no standard deviations
        mean, std = net.predict(data.X_new, return_std=True)
        assert std.shape == mean.shape and (std > 0).all()


@pytest.mark.parametrize("random_state", [8, 11])
def test_a_network_that_has_fitted_nearly_all_rows_by_one_penalty_is_refereed(random_state):
    # Linearised leave-one-out errors were 0.2 of what generalised cross-validation expects.
    data = CASES["slopes_60_rows_280_inputs"].draw(np.random.default_rng(3))
    net = TinyMLPRegressor(random_state=random_state).fit(data.X, data.y)
    assert worst_r2(data, net.predict(data.X_new)) > 0.9


@pytest.mark.parametrize("name, seed", [("claims_3000_rows", 6), ("lognormal_4000_rows", 8)])
def test_a_network_that_has_spent_all_parameters_on_noise_is_refereed(name, seed):
    # The data determined 0.97 of the parameters; leave-one-out errors were half of the regression's
    # and R² was -4 and -5.
    data = CASES[name].draw(np.random.default_rng(100 + seed))
    net = TinyMLPRegressor(random_state=seed).fit(data.X, data.y)
    assert worst_r2(data, net.predict(data.X_new)) > 0.2
