"""Settings of all tests: Hypothesis runs without deadlines, for tests never assert on time."""

import pytest
from hypothesis import settings

settings.register_profile("latchwork", deadline=None, print_blob=True)
settings.load_profile("latchwork")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test recorded under `summary` is told at the end, also of tests that passed in another process."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in getattr(report, "user_properties", ()):
            if name == "summary":
                terminalreporter.write_line(f"{report.nodeid.partition('::')[2]}: {value}")
