"""An ensemble for more rows than fit into memory: one network for each Dask chunk.

Usage: python examples/ensemble_on_dask.py [--rows 1000000] [--chunk 25000]
"""

import argparse
import time

import dask
import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.metrics import r2_score

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor

# One row in this many is held out of each chunk, to compute the weights of the members.
HELD_OUT = 50


def friedman(n_rows, chunk, seed):
    """Generate Friedman's first problem as chunked arrays; a chunk exists only while in use."""
    rng = da.random.default_rng(seed)
    X = rng.uniform(size=(n_rows, 10), chunks=(chunk, 10))
    y = 10 * da.sin(3.14159 * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    return X, y + 10 * X[:, 3] + 5 * X[:, 4] + rng.standard_normal(n_rows, chunks=chunk)


@dask.delayed
def train(X, y, seed):
    """Train a network on a chunk without its hold-out."""
    kept = np.arange(len(y)) % HELD_OUT != 0
    return TinyMLPRegressor(random_state=seed).fit(X[kept], y[kept])


def main():
    """Train a member on each chunk, weight them, and compare the ensemble with its members."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--chunk", type=int, default=25_000, help=f"a multiple of {HELD_OUT}")
    arguments = parser.parse_args()

    X, y = friedman(arguments.rows, arguments.chunk, seed=0)
    X_test, y_test = friedman(50_000, arguments.chunk, seed=1)
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster):
        begun = time.perf_counter()
        chunks = zip(X.to_delayed().ravel(), y.to_delayed().ravel(), strict=True)
        members = dask.compute(*(train(*chunk, seed) for seed, chunk in enumerate(chunks)))
        held_out = dask.compute(X[::HELD_OUT], y[::HELD_OUT])
        net = TinyMLPEnsembleRegressor.from_members(members, *held_out)
        seconds = time.perf_counter() - begun
        print(f"{len(members)} members on {arguments.rows:,} rows: {seconds:.1f} s")

        def r2(estimator):
            predictions = X_test.map_blocks(estimator.predict, drop_axis=1, dtype=np.float64)
            return r2_score(*dask.compute(y_test, predictions))

        best = members[int(np.argmin(net.results_["error"]))]
        print(f"R² {r2(net):.4f} of the ensemble, {r2(best):.4f} of its best member")


if __name__ == "__main__":  # the processes of a LocalCluster import this file
    main()
