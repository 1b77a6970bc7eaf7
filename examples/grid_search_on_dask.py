"""A grid search on a Dask cluster, by default two local processes.

Usage: python examples/grid_search_on_dask.py [--scheduler tcp://address:8786]
"""

import argparse
import time
from pathlib import Path

import joblib
import numpy as np
from dask.distributed import Client
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_tinymlp import TinyMLPRegressor

YACHT = Path(__file__).parent / "data" / "yacht.csv"


def main():
    """Search on the cluster; print the best parameters and the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scheduler", help="a running cluster; else one is started here")
    arguments = parser.parse_args()

    data = np.loadtxt(YACHT, delimiter=",", skiprows=1)
    X, y = data[:, :-1], data[:, -1]
    search = GridSearchCV(
        TinyMLPRegressor(max_iter=1000, random_state=0),
        {"hidden_layer_sizes": [(5,), (10,), (20,)], "activation": ["tanh", "gelu"]},
        cv=KFold(5, shuffle=True, random_state=0),
    )

    if arguments.scheduler:
        client = Client(arguments.scheduler)
    else:
        client = Client(n_workers=2, threads_per_worker=1)
    with client, joblib.parallel_config("dask"):
        begun = time.perf_counter()
        search.fit(X, y)
        seconds = time.perf_counter() - begun

    n_fits = len(search.cv_results_["params"]) * search.n_splits_
    print(f"{n_fits} fits in {seconds:.1f} s")
    print(f"best: {search.best_params_}, R² {search.best_score_:.4f}")


if __name__ == "__main__":  # the processes of a local cluster import this file
    main()
