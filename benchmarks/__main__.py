"""The command: time the works and the installed peers; print, plot and save the results.

Usage: python -m benchmarks [--quick] [--only A,C,start-up,scaling] [--json FILE] [--chart FILE]
       [--write-docs]
       python -m benchmarks --against REV [--only A,E]
"""

import argparse
import os
import warnings

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when NumPy is imported

from threadpoolctl import threadpool_limits

from . import against, readme, report, scaling, start_up, timing
from .works import WORKS

GOALS_PAGE = "benchmarks/goals.md"
OTHERS = {"start-up": start_up, "scaling": scaling}


def describe(machine):
    """Describe the machine in a line."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    about = f"{machine['processor']}, one thread; {machine['date']}; Python {machine['python']}"
    return f"{about}, {packages}"


def run_works(chosen, quick):
    """Run the selected works and print each result."""
    rows = []
    for work in WORKS:
        if chosen and work.name not in chosen and work.name[0] not in chosen:
            continue
        for row in report.compare(work, quick):
            rows.append(row)
        lines = report.markdown([row for row in rows if row.work == work.name]).splitlines()
        print("\n".join(lines[0 if rows[0].work == work.name else 2 :]), flush=True)
    return rows


def write_docs(results):
    """Write tables, chart and machine into the pages on speed and README.md."""
    about = describe(results["machine"]) + "."
    for page in ("docs/speed.md", GOALS_PAGE):
        report.write_between_markers(page, "machine", about)
    peers = [row for row in results["works"] if not row.work.startswith("G")]  # a goal only
    report.write_between_markers("docs/speed.md", "works", report.markdown(peers))
    report.write_between_markers("docs/speed.md", "losses", report.losses(results["works"]))
    for name, module in OTHERS.items():
        report.write_between_markers("docs/speed.md", name, module.markdown(results[name]))
    report.chart(results["works"], report.ROOT / "docs" / "speed.svg")
    report.write_between_markers(GOALS_PAGE, "goals", report.goals(results["works"]))
    report.write_between_markers(GOALS_PAGE, "start-up", start_up.goals(results["start-up"]))
    report.write_json(results, readme.RESULTS / "speed.json")
    readme.main()


def main():
    """Run the benchmarks that the arguments select."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__.splitlines()[0],
        epilog="Works: " + "; ".join(f"{work.name}: {work.title}" for work in WORKS),
    )
    parser.add_argument("--quick", action="store_true", help="in under two minutes: fewer rounds")
    parser.add_argument("--only", default="", help="works by name or letter, start-up, scaling")
    parser.add_argument("--json", metavar="FILE", help="write all figures")
    parser.add_argument("--chart", metavar="FILE", help="draw the speed against scikit-learn's")
    parser.add_argument("--write-docs", action="store_true", help="write docs, README.md")
    parser.add_argument(
        "--against",
        metavar="REV",
        help="take turns with another revision; exit code 1 where this one is more than 5%% slower",
    )
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name]
    if arguments.against:
        raise SystemExit(against.main(arguments.against, chosen))
    if arguments.write_docs and chosen:
        parser.error("--write-docs needs all works")
    warnings.simplefilter("ignore")
    timing.pin()
    results = {"machine": timing.machine(), "quick": arguments.quick}
    print(describe(results["machine"]), end="\n\n", flush=True)
    with threadpool_limits(1):
        results["works"] = run_works(chosen, arguments.quick)
        for name, module in OTHERS.items():
            if not chosen or name in chosen:
                results[name] = module.measure(arguments.quick)
                print(f"\n{module.markdown(results[name])}", flush=True)
    if results["works"]:
        print(f"\n{report.goals(results['works'])}", flush=True)
    if arguments.json:
        report.write_json(results, arguments.json)
    if arguments.chart:
        report.chart(results["works"], arguments.chart)
    if arguments.write_docs:
        write_docs(results)


if __name__ == "__main__":
    main()
