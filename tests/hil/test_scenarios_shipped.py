"""The scenarios that come with the bench pass."""

import asyncio
from io import StringIO

import pytest
from rich.console import Console

from hil.scenario.cli import SHIPPED
from hil.scenario.load import ScenarioFile, load
from hil.scenario.outcome import Outcome
from hil.scenario.run import Options, run_files

AT_ONCE = 2  # and one alone: a reader at the door keeps its bits apart in real time


@pytest.mark.timeout(240)  # 28 scenarios
def test_every_shipped_scenario_passes() -> None:
    """Those that kill gateway or cloud have a site of their own meanwhile."""
    told = StringIO()
    files = [load(path) for path in sorted(SHIPPED.glob("*.yaml"))]
    alone = [file for file in files if any(case.is_alone for case in file.cases)]
    others = [file for file in files if file not in alone]

    async def run(some: list[ScenarioFile], jobs: int) -> list[Outcome]:
        return await run_files(some, Options(seed=1, jobs=jobs), Console(file=told, width=130))

    async def both() -> list[Outcome]:
        first, second = await asyncio.gather(run(alone, 1), run(others, AT_ONCE))
        return first + second

    outcomes = asyncio.run(both())
    assert [outcome.title for outcome in outcomes if not outcome.passed] == [], told.getvalue()
    assert len(outcomes) > len(files), "a matrix makes several"
