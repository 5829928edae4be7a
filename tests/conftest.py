"""Settings of all tests: Hypothesis runs without deadlines, for tests never assert on time. The longest files come first."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("latchwork", deadline=None, print_blob=True)
settings.load_profile("latchwork")


# A file is one worker's: one of these at the end would leave the others idle for a minute or more.
LONGEST = (
    "device/test_update.py",
    "device/test_every_power_cut_of_an_update.py",
    "benchmarks/test_runner.py",
    "system/test_demo.py",
    "device/test_every_power_cut_of_files.py",
    "device/test_every_power_cut.py",
    "hil/test_air_processes.py",
    "hil/test_board_command.py",
    "hil/test_scenarios_shipped.py",
    "system/test_random_faults.py",
    "system/test_late.py",
    "hil/test_fleet.py",
    "device/test_wired.py",
    "system/test_outage.py",
    "system/test_up.py",
)
_RANKS = {Path(__file__).parent / name: rank for rank, name in enumerate(LONGEST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _RANKS.get(item.path, len(_RANKS)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What a test recorded under `summary` is told at the end, also of tests that passed in another process."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in getattr(report, "user_properties", ()):
            if name == "summary":
                terminalreporter.write_line(f"{report.nodeid.partition('::')[2]}: {value}")
