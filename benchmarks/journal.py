"""The journal of a board whose ring is full: what one record costs, and how its writes spread over the flash.

It runs on a board with the firmware in ROM and LittleFS on the bench's flash, from the console: nothing else runs there.
"""

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from device.journal_store import MAX_SEGMENTS, SEGMENT_RECORDS
from hil.board.board import Board
from hil.board.description import builtin
from hil.measure.series import Series
from hil.stack.station import execute
from hil.vm.spawner import Zygote
from protocol.journal import EVENT_ACCESS_GRANTED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hil.board.flash import Wear

# In a quick run too: the most worn block, of LittleFS's directory, is at 6 times the mean after 2,000 records and at 2.3 times
# after these.
RECORDS = 20_000
TIMED = 1_000  # of them; their times are kept on the board
GROUPS = 100  # of as many records as a commit can have
RING = 5_000  # records that a full ring must hold
LIMIT_MS = 5.0
LONGEST_MS = 100.0  # nothing else runs meanwhile: a door that answers later than that feels slow
UNEVEN = 3.0
FILL = f"""
import json, time
from device import journal_store
from device.journal_store import JournalStore
journal_store.create("/journal", bytes(32))
store = JournalStore("/journal", 1)
def write(records, group=1):
    for _ in range(records // group):
        for _ in range(group):
            store.add({EVENT_ACCESS_GRANTED})
        store.commit()
        store.acknowledge(store.committed)
def kept():
    return store.committed - store.read(0, 1)[0] + 1
def timed(commits, group=1):
    took = []
    for _ in range(commits):
        began = time.ticks_us()
        write(group, group)
        took.append(time.ticks_diff(time.ticks_us(), began))
    print(json.dumps(took))
write({MAX_SEGMENTS * SEGMENT_RECORDS}, 64)
write(1)
print(kept())
"""


async def measure(run: Run) -> Outcome:
    """Fill the ring, then append: one by one, and in groups."""
    async with _board(run) as board:

        async def on_board(code: str) -> Any:
            return json.loads(await asyncio.to_thread(execute, board.console.path, code))

        run.say("filling the ring")
        kept = await on_board(FILL)
        before = board.wear()
        run.say(f"{RECORDS} records, each with a commit of its own")
        one = _ms(await on_board(f"timed({run.count(TIMED)})"))
        await on_board(f"write({RECORDS - run.count(TIMED)})\nprint(0)")
        wear = _since(before, board.wear())
        run.say("commits of 64 records")
        group = _ms(await on_board(f"timed({run.count(GROUPS)}, 64)"))
    return Outcome(
        _lines(one, group, wear, kept),
        {"one": one, "group of 64": group},
        {"programs": [block[0] for block in wear], "erases": [block[1] for block in wear]},
    )


def _lines(one: Series, group: Series, wear: "list[tuple[int, int]]", kept: int) -> list[Line]:
    programs, erases = (sum(block[kind] for block in wear) for kind in (0, 1))
    hottest = max(block[1] for block in wear)
    longest = max(one.samples + group.samples)
    return [
        Line("append and commit, full ring: p50", one.median, "ms", LIMIT_MS, "limit", 1.0),
        Line("longest commit, also of 64 records", longest, "ms", LONGEST_MS, "limit", 1.0),
        Line("records that the shortest full ring must hold", RING, "", kept, "held", 1.0),
        Line("program operations a commit", programs / RECORDS, ""),
        Line("erase operations a commit", erases / RECORDS, ""),
        Line("erases of the most worn block", hottest, "", erases / len(wear), "mean of all blocks", UNEVEN),
    ]


@asynccontextmanager
async def _board(run: Run) -> "AsyncIterator[Board]":
    """A board that waits at its console, for it is not provisioned."""
    async with Zygote() as zygote:
        board = Board(builtin(), "journal", run.folder / "journal", vm=zygote)
        try:
            await board.start()
            yield board
        finally:
            await board.stop()


def _ms(took: list[int]) -> Series:
    return Series("ms", [us / 1000 for us in took])


def _since(before: "list[Wear]", after: "list[Wear]") -> list[tuple[int, int]]:
    return [(b.programs - a.programs, b.erases - a.erases) for a, b in zip(before, after, strict=True)]


ENTRY = Entry("journal", "The journal with a full ring: latency and wear", measure)
