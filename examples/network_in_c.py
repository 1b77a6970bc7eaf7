"""A network for firmware: train, write as C99, compile, and compare with `predict`.

Usage: python examples/network_in_c.py [--output yacht.c]
"""

import argparse
import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from sklearn_tinymlp import TinyMLPRegressor, to_c

YACHT = Path(__file__).parent / "data" / "yacht.csv"


def main():
    """Write a C file; print the largest difference from `predict`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", default="yacht.c")
    arguments = parser.parse_args()

    data = np.loadtxt(YACHT, delimiter=",", skiprows=1)
    X, y = data[:, :-1], data[:, -1]
    net = TinyMLPRegressor(hidden_layer_sizes=(8,), max_iter=1000, random_state=0).fit(X, y)
    Path(arguments.output).write_text(to_c(net, name="resistance"), encoding="ascii")
    print(f"saved {arguments.output}")

    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "resistance.so"
        flags = "-std=c99 -Wall -Wextra -Werror -O2 -shared -fPIC".split()
        subprocess.run(["cc", *flags, arguments.output, "-o", library, "-lm"], check=True)
        resistance = ctypes.CDLL(str(library)).resistance
        out, result = (ctypes.c_double * 1)(), []
        for row in X:
            resistance((ctypes.c_double * len(row))(*row), out)
            result.append(out[0])
    print(f"largest difference from predict: {np.abs(result - net.predict(X)).max():.1e}")


if __name__ == "__main__":
    main()
