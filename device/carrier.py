"""What phones carry to this door: the table of revocations, under the seal of the cloud. Loaded by the first that does.

Anybody may carry, so nothing is written for a stranger: an offer has to be genuine and newer than what is in force, and each
chunk to be of that offer before it goes to flash. Each phone collects its own; the inbox takes whose is the next.
"""

import asyncio

from micropython import const

from device import inbox
from device.token_bucket import TokenBucket
from protocol import journal
from protocol.carry import CARRY, WANT_NO_MORE, WANT_NOTHING, Load, want
from protocol.errors import Expired, Malformed, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from device.parts import Parts

_OFFERS_BURST = const(4)  # seals checked, for all phones together
_OFFER_EVERY_MS = const(250)
_AUDITS_BURST = const(4)  # refusals recorded: they must not push other records out of the ring
_AUDIT_EVERY_MS = const(600_000)
_LOOK_MS = const(50)


class Carrier:
    """For all centrals; `tell(central, message)` notifies one."""

    def __init__(self, parts: "Parts", tell: "Callable[[Any, bytes], Any]") -> None:
        self._parts = parts
        self._tell = tell
        self._offers = TokenBucket(_OFFERS_BURST, _OFFER_EVERY_MS)
        self._audits = TokenBucket(_AUDITS_BURST, _AUDIT_EVERY_MS)

    def take(self, central: "Any", message: bytes) -> "Optional[bytes]":
        """A CARRY or a PIECE came; returns the answer, or None if it comes later. A ProtocolError: hang up."""
        parts = self._parts
        now = parts.clock.uptime_ms()
        if message[0] == CARRY and not self._offers.take(now):
            raise Expired("carry_rate")
        try:
            return self._offer(central, message) if message[0] == CARRY else self._piece(central, message)
        except ProtocolError:
            if self._audits.take(now):
                parts.recorder.record(journal.EVENT_TRANSFER_REFUSED, journal.METHOD_BLE)
            raise
        except OSError:
            raise Expired("carry_flash")

    def _offer(self, central: "Any", message: bytes) -> "Optional[bytes]":
        if central.load is not None:
            raise Malformed("carry_again")  # one for each connection: to begin anew is no progress
        offer = inbox.of(self._parts).offer(memoryview(message)[1:], True)
        if offer.version == self._parts.revocations.sequence:
            return want(WANT_NOTHING, 0)
        central.load = Load(offer)
        return self._next(central)

    def _piece(self, central: "Any", message: bytes) -> "Optional[bytes]":
        load = central.load
        if load is None:
            raise Malformed("piece")
        chunk = load.push(message)
        central.progress()
        if chunk is None:
            return None
        files = inbox.of(self._parts)
        # Else the gateway, or another phone, was quicker.
        if files.wanted(load.offer) == int.from_bytes(chunk[8:12], "big"):
            files.chunk(chunk, True)
        return self._next(central)

    def _next(self, central: "Any") -> "Optional[bytes]":
        offer = central.load.offer
        at = inbox.of(self._parts).wanted(offer)
        if 0 <= at < offer.size:
            return central.load.begin(at)
        asyncio.create_task(self._end(central, central.handle, offer))
        return None

    async def _end(self, central: "Any", handle: int, offer: "Any") -> None:
        """Tell the phone what came of the file, once that is known."""
        while inbox.of(self._parts).wanted(offer) >= 0:
            await asyncio.sleep_ms(_LOOK_MS)
        if central.handle == handle:
            taken = self._parts.revocations.sequence == offer.version
            await self._tell(central, want(WANT_NOTHING if taken else WANT_NO_MORE, 0))
