"""The scenarios that come with the bench pass, on one site, each in little more than its own time."""

import asyncio
from io import StringIO

from rich.console import Console

from hil.scenario.cli import SHIPPED
from hil.scenario.load import load
from hil.scenario.run import Options, run_files


def test_every_shipped_scenario_passes() -> None:
    shown = StringIO()
    files = [load(path) for path in sorted(SHIPPED.glob("*.yaml"))]
    outcomes = asyncio.run(run_files(files, Options(seed=1), Console(file=shown, width=130)))
    assert [outcome.title for outcome in outcomes if not outcome.passed] == [], shown.getvalue()
