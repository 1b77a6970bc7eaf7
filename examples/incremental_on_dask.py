"""Train on more rows than fit into memory: partial_fit on one Dask chunk after the other.

Usage: python examples/incremental_on_dask.py [--rows 1000000]
"""

import argparse
import time

import dask
import dask.array as da
from dask.distributed import Client, LocalCluster
from dask_ml.wrappers import Incremental
from sklearn.metrics import r2_score

from sklearn_tinymlp import TinyMLPRegressor

CHUNK = 50_000


def friedman(n_rows, seed):
    """Generate Friedman's first problem as chunked arrays; a chunk exists only while in use."""
    rng = da.random.default_rng(seed)
    X = rng.uniform(size=(n_rows, 10), chunks=(CHUNK, 10))
    y = 10 * da.sin(3.14159 * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    return X, y + 10 * X[:, 3] + 5 * X[:, 4] + rng.standard_normal(n_rows, chunks=CHUNK)


def main():
    """Train for two passes over all chunks; print the score after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()

    X, y = friedman(arguments.rows, seed=0)
    X_test, y_test = friedman(CHUNK, seed=1)
    net = TinyMLPRegressor(solver="adam", standardize=True, batch_size=200, random_state=0)
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        incremental = Incremental(net, shuffle_blocks=False)
        for number in range(1, 3):
            begun = time.perf_counter()
            incremental.partial_fit(X, y)
            seconds = time.perf_counter() - begun
            # `incremental.score` fails with dask 2025.2 and later, see docs/scaling_out.md.
            score = r2_score(*dask.compute(y_test, incremental.predict(X_test)))
            print(f"pass {number} over {arguments.rows:,} rows: {seconds:.1f} s, R² {score:.4f}")


if __name__ == "__main__":  # the processes of a LocalCluster import this file
    main()
