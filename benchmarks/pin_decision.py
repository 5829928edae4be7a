"""A code at the keypad of a door whose table of users is full: from the last key to the decision, on the board's VM."""

import json
import time
from typing import Any

from benchmarks.outcome import Line, Outcome
from benchmarks.provisioned import board
from benchmarks.run import Entry, Run
from hil.measure.series import Series
from protocol.host.calendar_rows import window_row
from protocol.host.tables import User, users_table
from protocol.table import MAX_USERS
from tests.device.site import DEVICE

CODES = 2_000
BATCH = 250  # whose times the board keeps
LIMIT_MS = 20.0
DAY_S = 86_400
YEAR_S = 365 * DAY_S
ALWAYS = window_row(1, 127, 0, 0, 1440)


async def measure(run: Run) -> Outcome:
    """Hits and misses in turn: the decision alone, and until its record is committed."""
    count, now = run.count(CODES), int(time.time())
    series: dict[str, Series] = {}
    async with board(run.folder, {"codes": 100, "max_u_s": 3600}, schedules=ALWAYS) as rig:
        users = {
            f"{n:06}": User(f"user_{n:016x}", schedule_id=1, not_after=now + YEAR_S) for n in range(MAX_USERS)
        }
        await rig.put("/table", users_table(rig.site.k_dev, DEVICE, 1, pins=users))
        await rig.call("pin_decision.py", "take_table('/table')")
        for name, durable in (("decision", False), ("decision and commit", True)):
            run.say(f"{count} codes of users and as many of nobody: {name}")
            hits, misses = series[f"hit: {name}"], series[f"miss: {name}"] = Series("ms"), Series("ms")
            for first in range(0, count, BATCH):
                call = f"timed({first}, {min(BATCH, count - first)}, {now}, {durable})"
                for one, took in zip(
                    (hits, misses), json.loads(await rig.execute(f"print(json.dumps({call}))")), strict=True
                ):
                    one.extend(us / 1000 for us in took)
    return Outcome([line for name, one in series.items() for line in _lines(name, one)], series)


def _lines(name: str, series: Series) -> list[Line]:
    values: dict[str, Any] = {
        "p50": series.median,
        "p99": series.percentile(99),
        "worst": max(series.samples),
    }
    return [Line(f"{name}: {what}", value, "ms", LIMIT_MS, "limit", 1.0) for what, value in values.items()]


ENTRY = Entry("pin_decision", "A code at the keypad, 2,000 users: last key to decision", measure)
