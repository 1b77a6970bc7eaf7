"""R² of the defaults on the cases of tests/hard_cases.py, against the mark of each.

Usage: python -m benchmarks.hard_cases [--seeds 5] [--only NAME,NAME] [--estimators single,ensemble]
       [--references]

A case passes ("ok") if all seeds reach the mark, on new noise-free targets; "told" means that each
fit below it gave a ConvergenceWarning or `converged_` False, "SILENT" that one did not. "warned"
counts such messages of all fits. Seconds are the median of processor times. `--references` adds
the best of the plain references of benchmarks/drawn_problems.py, and its least R².
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read at import
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from sklearn_tinymlp import TinyMLPEnsembleRegressor, TinyMLPRegressor
from tests.hard_cases import CASES, worst_r2

from . import drawn_problems


def estimator(kind, params, seed):
    """Return the network or the ensemble; an ensemble chooses its own sizes."""
    net = TinyMLPRegressor(random_state=seed, **params)
    if kind == "single":
        return net
    return TinyMLPEnsembleRegressor(net if "loss" in params else None, random_state=seed)


def best_reference(case, seeds) -> str:
    """Return the reference with the greatest least R² over the seeds."""
    scores = [drawn_problems.reference_scores(case.draw(np.random.default_rng(k))) for k in seeds]
    least = {name: min(score[name] for score in scores) for name in scores[0]}
    best = max(least, key=least.get)
    return f"{best} {least[best]:.3f}"


def row_of(name, case, kind, seeds) -> tuple[str, str]:
    """Fit each seed; return the verdict and the row."""
    scores, told, times = [], [], []
    for seed in seeds:
        data = case.draw(np.random.default_rng(seed))
        net = estimator(kind, case.params, seed)
        fit = drawn_problems.watched_fit(net, data)
        scores.append(worst_r2(data, net.predict(data.X_new)))
        told.append(fit.told)
        times.append(fit.seconds)
    below = [was_told for score, was_told in zip(scores, told, strict=True) if score < case.mark]
    verdict = "ok" if not below else "told" if all(below) else "SILENT"
    return verdict, (
        f"{name:30} {kind:8} mark {case.mark:.2f}  R2 {min(scores):7.3f} to {max(scores):6.3f}  "
        f"below {len(below)} of {len(seeds)} {verdict:6} {np.median(times):6.2f} s  "
        f"warned {sum(told)}"
    )


def main():
    """Print a row for each case; exit code 1 if one is below its mark."""
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", metavar="NAME,NAME", default=",".join(CASES))
    parser.add_argument("--estimators", default="single", help="single, ensemble or both")
    parser.add_argument("--references", action="store_true")
    given = parser.parse_args()
    seeds, verdicts = range(given.seeds), []
    for name in given.only.split(","):
        best = f"  best {best_reference(CASES[name], seeds)}" if given.references else ""
        for kind in given.estimators.split(","):
            verdict, row = row_of(name, CASES[name], kind, seeds)
            verdicts.append(verdict)
            print(row + best, flush=True)
    print("below the mark:", sum(verdict != "ok" for verdict in verdicts))
    print("silently:", verdicts.count("SILENT"))
    raise SystemExit(any(verdict != "ok" for verdict in verdicts))


if __name__ == "__main__":
    main()
