"""The readers at this door: cards and codes go to the authority, its answer to their lamps.

What the pin map does not name is not even imported.
"""

import asyncio

from micropython import const

import device.readers  # noqa: F401  # with the first card the heap may no longer have room for it
from protocol import journal, wiegand
from protocol.access import STATUS_GRANTED, STATUS_SECOND
from protocol.errors import ProtocolError
from protocol.keypad import PinEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from device.parts import Parts


_EXPECT_MS = const(10_000)  # after boot


class ReaderPorts:
    """Also what an OSDP reader tells: `card`, `key`, `state` and `tamper`."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._entry = PinEntry()
        self._forgetting: "Any" = None
        self._waiting: "Any" = None  # until an OSDP reader should have come
        self._lamps: "List[Any]" = []  # readers that can show
        self._readers: "List[Any]" = []
        pins = parts.pins
        if "wiegand_d0" in pins:
            from device.wiegand_reader import WiegandReader

            self._lamps.append(WiegandReader(pins, self._formats(), self._number, self.key, self._refused))
        if "osdp_tx" in pins:
            from device.osdp_reader import build

            self._lamps.append(build(pins, parts.identity.osdp_key, self, parts.counters.up))
            self._waiting = asyncio.create_task(self._expect())
        self._readers.extend(self._lamps)
        if "row0" in pins:
            from device.keypad_matrix import KeypadMatrix

            self._readers.append(KeypadMatrix(pins, self.key))

    async def run(self) -> None:
        """Serve all of them; ends if one does, and then none is served."""
        tasks: "List[Any]" = [asyncio.create_task(reader.run()) for reader in self._readers]
        try:
            await asyncio.gather(*tasks)
        finally:
            tasks.append(self._waiting)
            for task in tasks:
                if task is not None:
                    task.cancel()

    def card(self, bits: int, raw: bytes) -> None:
        """Bits of a card, as its reader sent them."""
        try:
            self._number(wiegand.decode(self._formats(), bits, raw))
        except ProtocolError as e:
            self._refused(e.reason)

    def key(self, name: str) -> None:
        """A key of a keypad."""
        now = self._parts.clock.uptime_ms()
        try:
            code = self._entry.key(name, now)
        except ProtocolError as e:
            self._refused(e.reason)
            return
        if code is not None:
            self._show(self._parts.authority.pin(code))
        elif self._forgetting is None or self._forgetting.done():
            self._forgetting = asyncio.create_task(self._forget())

    def state(self, online: bool) -> None:
        """An OSDP reader came, or went."""
        self._waiting.cancel()
        self._alarm(journal.EVENT_READER_OFFLINE, not online)

    def tamper(self, active: bool) -> None:
        """The case of an OSDP reader was opened, or closed."""
        self._alarm(journal.EVENT_READER_TAMPER, active)

    def _alarm(self, kind: int, on: bool) -> None:
        self._parts.door.alarms.set(kind, on)
        self._parts.door.wake()

    def _formats(self) -> "Any":
        return self._parts.config.current.cards or wiegand.formats()

    def _number(self, number: bytes) -> None:
        self._show(self._parts.authority.card(number))

    def _refused(self, reason: str) -> None:
        self._parts.counters.up("reader_" + reason)
        self._show(-1)

    def _show(self, status: int) -> None:
        if status != STATUS_SECOND:  # half of it is no refusal
            for lamp in self._lamps:
                lamp.show(status == STATUS_GRANTED)

    async def _expect(self) -> None:
        """A reader that does not come at all is as good as one that goes."""
        await asyncio.sleep_ms(_EXPECT_MS)
        self._alarm(journal.EVENT_READER_OFFLINE, True)

    async def _forget(self) -> None:
        """Digits that nobody goes on with are not kept."""
        while True:
            left = self._entry.wait_ms(self._parts.clock.uptime_ms())
            if not left:
                return
            await asyncio.sleep_ms(left)
