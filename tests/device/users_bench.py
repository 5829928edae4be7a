"""A board whose readers and time are in the hand of a test."""

import json
import textwrap
import time
from typing import Any

from protocol import access as a
from protocol import journal
from protocol.host.tables import User, users_table
from tests.device.rig import Rig
from tests.device.site import DEVICE

HOUR = 3600
ANNA, BERT, CARL = (f"user_{letter * 16}" for letter in "abc")
CARD, OTHER_CARD = bytes(7) + b"\x01", bytes(7) + b"\x02"

# Instead of the agent: the parts of a board, its readers in the hand of the test, and its time.
READERS = """
import json
from device.parts import Parts
from protocol import table
parts = Parts()
now = [100000]
parts.clock.uptime_ms = lambda: now[0]
said = []

def know_time(t, u=2):
    parts.clock.set(t * 1000, u * 1000)

def tick(seconds):
    now[0] += int(seconds * 1000)

def pin(digits, out=False):
    parts.door.lock()
    status = parts.authority.pin(digits, out)
    said.append([status, int(parts.door.released)])

def card(number, out=False):
    parts.door.lock()
    status = parts.authority.card(number, out)
    said.append([status, int(parts.door.released)])

def take(kind, raw):
    with open("/inbox", "wb") as f:
        f.write(raw)
    parts.kinds[kind][1]("/inbox", 0)

def told():
    print(json.dumps(said))
    said.clear()
"""


class Bench:
    """A provisioned board whose readers are the test's."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.sequence = 0

    async def provision(self, policy: dict[str, int] | None = None, **config: Any) -> None:
        site = self.rig.site
        site.port = 1
        numbers = {"max_u_s": 60, "open_s": 5, "held_s": 30, **(policy or {})}
        await self.rig.execute(f"with open('/reader.py', 'w') as f:\n    f.write({READERS!r})")
        await self.rig.provision(main="pass", config=site.config(policy=numbers, **config))

    async def execute(self, code: str) -> str:
        """What code prints that has the names of READERS."""
        return await self.rig.execute("from reader import *\n" + textwrap.dedent(code))

    async def users(
        self, pins: dict[str, User] | None = None, cards: dict[bytes, User] | None = None
    ) -> None:
        self.sequence += 1
        raw = users_table(self.rig.site.k_dev, DEVICE, self.sequence, pins=pins or {}, cards=cards or {})
        await self.execute(f"take('users', {raw!r})")

    async def do(self, *steps: str) -> list[str]:
        """Names of the statuses; each goes with a released door or not, as it says."""
        code = "\n".join((*steps, "told()"))
        outcomes = json.loads((await self.execute(code)).splitlines()[-1])
        for status, released in outcomes:
            assert bool(released) == (status == a.STATUS_GRANTED)
        return [a.STATUS_NAMES[status] for status, _ in outcomes]

    async def records(self) -> list[journal.Record]:
        """All that was recorded and is durable."""
        out = await self.execute(
            "parts.recorder.commit()\n"
            "after = 0\n"
            "while True:\n"
            "    first, raws = parts.recorder.store.read(after, 16)\n"
            "    if not raws:\n"
            "        break\n"
            "    for raw in raws:\n"
            "        print(raw.hex())\n"
            "    after = first + len(raws) - 1\n"
        )
        return [journal.decode_record(bytes.fromhex(line)) for line in out.split()]

    async def accesses(self) -> list[tuple[int, int, str, str]]:
        """(type, method, status, user) of all records of a card or PIN."""
        return [
            (r.type, r.method, a.STATUS_NAMES[r.status], f"user_{r.subject.hex()}")
            for r in await self.records()
            if r.method in (journal.METHOD_CARD, journal.METHOD_PIN)
        ]


def now() -> int:
    return int(time.time())
