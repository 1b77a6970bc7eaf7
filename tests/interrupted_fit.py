"""A long fit that another process ends by Ctrl-C, and how long it then goes on.

Run by `tests/test_faults.py` and `benchmarks/load.py`; as a program it is the child.
"""

import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np

# Iterations of lm take longer than it may take to hear Ctrl-C.
CASES = {
    "lm by the evidence": {"solver": "lm", "hidden_layer_sizes": (20,)},
    "lm, alpha=0.001": {"solver": "lm", "hidden_layer_sizes": (20,), "alpha": 0.001},
    "lbfgs": {"solver": "lbfgs"},
    "adam": {"solver": "adam"},
    "sgd, single rows": {"solver": "sgd", "batch_size": 1},
    "adam, three starts in threads": {"solver": "adam", "n_init": 3},
    "lbfgs, three starts in threads": {"solver": "lbfgs", "n_init": 3},
    "lm, three starts in threads": {"solver": "lm", "hidden_layer_sizes": (20,), "n_init": 3},
    "adam, an activation that numba cannot compile": {"solver": "adam", "activation": "python"},
    "lbfgs, an activation that numba cannot compile": {"solver": "lbfgs", "activation": "python"},
}


def seconds_to_return(case, delay=0.5) -> float:
    """Press Ctrl-C in a fit `delay` seconds after its begin; raise where it does not end well."""
    command = [sys.executable, __file__, case]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        try:
            if child.stdout.readline() != "begun\n":
                raise AssertionError(child.stderr.read())
            time.sleep(delay)
            child.send_signal(signal.SIGINT)
            sent = time.monotonic()
            output, errors = child.communicate(timeout=60)
            if child.returncode != 0:
                raise AssertionError(errors)
            return float(output) - sent
        finally:
            child.kill()


class Tanh:
    """Not for numba, which knows functions only."""

    def __call__(self, z):
        """Compute the hyperbolic tangent of each number."""
        return np.tanh(z)


class Slope:
    """Likewise."""

    def __call__(self, z):
        """Compute the derivative of the hyperbolic tangent."""
        return 1 - np.tanh(z) ** 2


def main(case):
    """Fit until Ctrl-C, say when `fit` returned, and check what it left."""
    from sklearn_tinymlp import Activation, TinyMLPRegressor

    rng = np.random.RandomState(0)
    X, y = rng.standard_normal((20_000, 50)), rng.standard_normal(20_000)
    params = {"hidden_layer_sizes": (100,), "tol": 0.0, "n_iter_no_change": np.inf, **CASES[case]}
    if params.get("activation") == "python":
        params["activation"] = Activation(Tanh(), Slope(), name="python")
    net = TinyMLPRegressor(random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.set_params(max_iter=1).fit(X[:1000], y[:1000])
    before = net.coefs_[0].copy()
    net.set_params(max_iter=1_000_000)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print("begun", flush=True)
        net.fit(X, y)
    print(time.monotonic(), flush=True)
    assert [str(warning.message) for warning in caught] == ["Training interrupted by user."], caught
    assert (net.stop_reason_, net.converged_) == ("interrupted", False)
    assert {len(column) for column in net.history_.values()} <= {net.n_iter_}
    assert not np.array_equal(net.coefs_[0], before)
    assert np.isfinite(net.predict(X)).all()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    net.set_params(n_init=1, warm_start=True, max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit(X[:1000], y[:1000])


if __name__ == "__main__":
    main(sys.argv[1])
