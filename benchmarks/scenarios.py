"""Shipped scenarios: what they take beside their set-up, against the time that passed for their boards meanwhile."""

import time
from io import StringIO

from rich.console import Console

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.measure.series import Series
from hil.scenario.cli import SHIPPED
from hil.scenario.load import load
from hil.scenario.run import Options, run_files

SEED = 1
LIMIT = 1.2
SLOW = ("every_power_cut",)  # dozens of boots, of which each is a set-up


async def measure(run: Run) -> Outcome:
    """One after the other on one bench, whose end counts too."""
    paths = [path for path in sorted(SHIPPED.glob("*.yaml")) if path.stem not in SLOW]
    files = [load(path) for path in paths[: run.count(len(paths))]]
    began = time.monotonic()
    outcomes = await run_files(files, Options(seed=SEED), Console(file=StringIO()))
    took = time.monotonic() - began
    failed = [outcome.title for outcome in outcomes if not outcome.passed]
    if failed:
        raise RuntimeError(f"failed: {', '.join(failed)}")
    setup_s, steps_s = (sum(getattr(o, name) for o in outcomes) for name in ("setup_s", "steps_s"))
    setups = Series("ms")
    for outcome in outcomes[1:]:
        setups.add(outcome.setup_s * 1000)
    return Outcome(
        [
            Line(
                f"{len(outcomes)} scenarios, without set-up",
                took - setup_s,
                "s",
                steps_s,
                "their boards' time",
                LIMIT,
            ),
            Line("set-up of one, on a site that runs", setups.median, "ms"),
        ],
        {"setup": setups},
        {"first_setup_s": round(outcomes[0].setup_s, 3)},
    )


ENTRY = Entry("scenarios", "shipped scenarios, against their own time", measure)
