"""Prints how many reports were named, and how many mended."""


def pytest_terminal_summary(terminalreporter):
    """Count by test."""
    for kind, what in (("what_is_said", "named"), ("following_the_advice", "mended or named")):
        counted = {
            state: sum(
                f"{kind}" in report.nodeid for report in terminalreporter.stats.get(state, ())
            )
            for state in ("passed", "failed")
        }
        total = sum(counted.values())
        if total:
            terminalreporter.write_line(f"reports {what}: {counted['passed']} of {total}")
