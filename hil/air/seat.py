"""A board's seat in an air, as its model sees it: channels that are answered there.

Nothing is connected before an operation needs it. An air that is gone costs the firmware an OSError; the next operation
that opens a channel joins anew, which starts a new air.
"""

import asyncio
import errno
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hil.air import client, ops
from hil.air.client import Member
from hil.air.ops import AirError, Identity, Place
from hil.air.understudy import Understudy
from hil.vm.link import Answer, Link
from hil.vm.wire import BLE

WAKE, BLE_ACTIVE, BLE_ANSWER = 0, 1, 13  # hil/radio/ble_ops.py, which only an air needs to load
OFF = b"\0"

Say = Callable[[str], None]


class Seat:
    """``ble`` is channel BLE of ``link``. ``say`` gets what a person has to know, such as a refusal to join."""

    def __init__(
        self,
        link: Link,
        identity: Identity,
        air: str | None,
        *,
        say: Say | None = None,
        understudy: Understudy | None = None,
    ) -> None:
        self.identity = identity
        self.air = air
        self._understudy = understudy
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self._member: Member | None = None
        self._joining: asyncio.Task[Member] | None = None
        self._awake = False
        self._interrupt = link.interrupt
        self.handlers: dict[int, client.OnInterrupt] = {}  # of channels that the model itself uses
        self.ble = Forwarded(self, BLE, opens=BLE_ACTIVE, posts=frozenset({BLE_ANSWER}))
        link.attach(BLE, self.ble)

    @property
    def member(self) -> Member | None:
        """The connection, while the air is there."""
        return self._member if self._member is not None and not self._member.lost.is_set() else None

    def wake(self) -> None:
        """Join in the background and have the radio loaded: somebody will soon need it. A failure is for who does."""
        self._awake = True
        if (member := self.member) is not None:
            member.post(self.ble.number, WAKE)
        else:
            self._begin()

    def _begin(self) -> "asyncio.Task[Member]":
        if self._joining is None:
            self._joining = asyncio.ensure_future(self._join())
            self._joining.add_done_callback(self._joined)
        return self._joining

    async def joined(self) -> Member:
        """Raises OSError if there is no air to join."""
        if (member := self.member) is not None:
            return member
        return await asyncio.shield(self._begin())

    def place(self, place: Place) -> None:
        """Move the board, now if it is on the air, and for when it will be."""
        self.identity = replace(self.identity, position=place)
        if (member := self.member) is not None:
            member.post(ops.AIR, ops.PLACE, ops.encode_place("", place))

    def close(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
        if self._member is not None:
            self._member.close()

    async def _join(self) -> Member:
        member = await client.join(self.air, self.identity, ops.BOARD, understudy=self._understudy)
        member.on(self.ble.number, partial(self._interrupt, self.ble.number))
        for number, handler in self.handlers.items():
            member.on(number, handler)
        self._member = member
        if self._awake:
            member.post(self.ble.number, WAKE)
        return member

    def _joined(self, task: "asyncio.Task[Member]") -> None:
        self._joining = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._say(f"latchwork: {error.strerror if isinstance(error, AirError) else error}")


class Forwarded:
    """A channel of the VM that is served in the air. Operation 0 only wakes it, ``opens`` joins it, ``posts`` have no answer."""

    def __init__(self, seat: Seat, number: int, opens: int, posts: frozenset[int]) -> None:
        self.number = number
        self._seat = seat
        self._opens = opens
        self._posts = posts

    def handle(self, op: int, payload: bytes) -> Answer:
        if op == WAKE:
            self._seat.wake()
        elif op in self._posts:
            if (member := self._seat.member) is not None:
                member.post(self.number, op, payload)
        else:
            return self._ask(op, payload)
        return None

    def vm_lost(self) -> None:
        if (member := self._seat.member) is not None:
            member.post(ops.AIR, ops.RESET, bytes((self.number,)))

    async def _ask(self, op: int, payload: bytes) -> bytes:
        opens = op == self._opens and payload != OFF
        member = await self._seat.joined() if opens else self._seat.member
        if member is None and op == self._opens:
            return b""
        if member is None:
            raise OSError(errno.ENODEV, "not active")
        return await member.call(self.number, op, payload)
