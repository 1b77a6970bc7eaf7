"""Healthy fits have hardly any findings; the page counts the reports."""

import re

import pytest

from benchmarks.diagnosis import PAGE, count_alarms, healthy_fits
from benchmarks.reports import reports

pytestmark = pytest.mark.slow


def test_healthy_fits_are_left_alone():
    fits = list(healthy_fits(40, rng_seed=1))
    assert len(fits) == 40 and len({fit.params["solver"] for fit in fits}) == 5
    alarms = count_alarms(fits)
    assert alarms["error"] == 0, fits
    assert alarms["warning"] == 0, [fit for fit in fits if fit.findings]
    assert alarms["warning"] + alarms["info"] <= 3, [fit for fit in fits if fit.findings]


def test_the_page_counts_the_reports():
    page = PAGE.read_text(encoding="utf-8")
    counts = {
        name: int(number) for name, number in re.findall(r"^\|(.*)\|(\d+)\|$", page, re.MULTILINE)
    }
    due = [report for report in reports() if report.first]
    assert counts["reports with a cause"] == len(due)
    assert counts["reports of healthy networks"] == len(list(reports())) - len(due)
    assert page.count("<!--") == 2
