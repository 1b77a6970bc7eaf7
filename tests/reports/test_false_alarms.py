"""Of healthy fits hardly anything is said; the tables are those of the page."""

import numpy as np

from benchmarks.diagnosis import PAGE, count_alarms, healthy_fits, put_into, table_of_reports


def test_healthy_fits_are_left_alone():
    fits = list(healthy_fits(60, rng_seed=1))
    assert len(fits) == 60 and len({fit.params["solver"] for fit in fits}) == 5
    alarms = count_alarms(fits)
    assert alarms["error"] == 0, fits
    assert alarms["warning"] <= 1, [fit for fit in fits if fit.findings]
    assert alarms["info"] <= 4, [fit for fit in fits if fit.findings]


def test_the_page_lists_the_reports():
    page = PAGE.read_text(encoding="utf-8")
    assert put_into(page, "reports", table_of_reports()) == page
    (cases,) = [line for line in page.splitlines() if line.startswith("| reports with a cause |")]
    due = [line for line in table_of_reports().splitlines() if "| nothing |" not in line]
    assert int(cases.split("|")[2]) == len(due) - 2  # without the head
    assert np.char.count(page, "<!--") == 4
