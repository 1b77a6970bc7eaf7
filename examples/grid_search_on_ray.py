"""A grid search on a Ray cluster, by default two local processes.

Usage: python examples/grid_search_on_ray.py [--address auto]
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
import ray
from ray.util.joblib import register_ray
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_tinymlp import TinyMLPRegressor

YACHT = Path(__file__).parent / "data" / "yacht.csv"


def main():
    """Search on the cluster; print the best parameters and the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", help="a running cluster, or auto; else one is started here")
    arguments = parser.parse_args()

    data = np.loadtxt(YACHT, delimiter=",", skiprows=1)
    X, y = data[:, :-1], data[:, -1]
    search = GridSearchCV(
        TinyMLPRegressor(max_iter=1000, random_state=0),
        {"hidden_layer_sizes": [(5,), (10,), (20,)], "activation": ["tanh", "gelu"]},
        cv=KFold(5, shuffle=True, random_state=0),
    )

    if arguments.address:
        ray.init(address=arguments.address)
    else:
        ray.init(num_cpus=2, include_dashboard=False)
    register_ray()
    with joblib.parallel_config("ray", n_jobs=-1):
        begun = time.perf_counter()
        search.fit(X, y)
        seconds = time.perf_counter() - begun
    ray.shutdown()

    n_fits = len(search.cv_results_["params"]) * search.n_splits_
    print(f"{n_fits} fits in {seconds:.1f} s")
    print(f"best: {search.best_params_}, R² {search.best_score_:.4f}")


if __name__ == "__main__":
    main()
