"""Fetches offered files in pieces, onto flash, one at a time, and hands each to the handler of its kind.

`parts.kinds[kind]` is (version, take): `version()` is the version in force; `take(path, version)` puts a whole file
of another version in force. It is called with a file of the size and SHA-256 of a genuine offer, may return an
awaitable, and refuses with ProtocolError; the file is removed afterwards.

What is on flash of an unfinished file is gone on with after a lost session and after a reset; it counts for
nothing until the digest of the whole fits. A file that was refused is not fetched again for an hour.
"""

import asyncio
import hashlib
import sys

from micropython import const

from device.backoff import Backoff
from device.config_store import file_size, remove_file
from device.identity import read_file
from protocol import journal
from protocol.errors import (
    REFUSED_DAMAGED,
    REFUSED_FAULT,
    REFUSED_FLASH,
    REFUSED_MEMORY,
    REFUSED_SILENCE,
    Damaged,
    Expired,
    Malformed,
    ProtocolError,
    Replayed,
)
from protocol.transfer import MAX_OFFER, build_request, chunk_length, open_offer, split_chunk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from device.parts import Parts
    from protocol.keys import Buffer
    from protocol.transfer import Offer

_FIRST_WAIT_MS = const(5_000)  # for a chunk that was asked for
_MAX_WAIT_MS = const(300_000)
_MAX_SILENCES = const(12)  # about half an hour
_MAX_QUEUE = const(4)
_MAX_FAILED = const(8)
_FAILED_MS = const(3_600_000)
_READ = const(512)
_BREATH = const(16)  # reads between two turns for the other tasks


def path_of(base: str) -> str:
    """The file that is being fetched; its offer is beside it, with `.offer`."""
    return base + "/inbox"


def of(parts: "Parts") -> "Inbox":
    """The inbox of this board, for whoever comes first: with a damaged certificate there is no uplink."""
    if parts.inbox is None:
        parts.inbox = Inbox(parts)
    return parts.inbox


class Inbox:
    """`news()` is called when there is a request to send."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self.news: "Callable[[], None]" = lambda: None
        self._path = path_of(parts.identity.base)
        self._queue: "List[Tuple[Offer, bytes]]" = []
        self._failed: "Dict[bytes, int]" = {}  # id: uptime
        self._offer: "Optional[Offer]" = None
        self._at = 0
        self._asked: "Optional[int]" = None  # uptime while an answer is due
        self._wait = 0
        self._silences = 0
        self._audited = False
        self._backoff = Backoff(_FIRST_WAIT_MS, _MAX_WAIT_MS)
        self._task: "Any" = None
        self._resume()

    def offer(self, raw: "Buffer", carried: bool = False) -> "Offer":
        """A sealed offer came; raise a ProtocolError, or fetch it, now or in its turn.

        One that a phone carried is fetched now, in place of what nobody serves; see `wanted`.
        """
        offer = self._open(raw)
        if carried:
            self._check_carried(offer)
        known = self._failed.get(offer.id)
        if known is not None and self._parts.clock.uptime_ms() - known < _FAILED_MS:
            raise Replayed("offer_failed")
        if offer.version == self._parts.kinds[offer.kind][0]():
            return offer
        if carried:
            self._make_room(offer)
        current = self._offer
        if current is not None and current.kind == offer.kind:
            if offer.version <= current.version:
                return offer
            if self._task is None:
                self._drop()  # superseded: nobody may serve it any more
        for queued, _ in self._queue:
            if queued.kind == offer.kind and queued.version >= offer.version:
                return offer
        self._queue = [one for one in self._queue if one[0].kind != offer.kind]
        if len(self._queue) >= _MAX_QUEUE:
            raise Expired("offer_busy")
        self._queue.append((offer, bytes(raw)))
        self._next()
        return offer

    def _check_carried(self, offer: "Offer") -> None:
        table = self._parts.revocations
        if offer.kind != "revocations" or not offer.sums:
            raise Malformed("offer_kind")
        if offer.version < table.highest():  # of a table that was lost
            raise Replayed("offer_older")

    def _make_room(self, offer: "Offer") -> None:
        current = self._offer
        if current is None or (current.kind == offer.kind and current.version >= offer.version):
            return
        now = self._parts.clock.uptime_ms()
        if self._task is not None or (self._asked is not None and now - self._asked < self._wait):
            raise Expired("offer_busy")
        self._queue = []  # the cloud offers again what is lacking
        self._drop()

    def wanted(self, offer: "Offer") -> int:
        """Offset of the piece of this file that is to come, its size while it is checked, or -1: it is not under way."""
        current = self._offer
        return self._at if current is not None and current.id == offer.id else -1

    def chunk(self, raw: "Buffer", carried: bool = False) -> None:
        """A piece came; raise Malformed if it is not the one that was asked for."""
        id, offset, data = split_chunk(raw)
        offer = self._offer
        if offer is None or id != offer.id or (self._asked is None and not carried):
            raise Malformed("chunk_stray")
        if offset < self._at:
            raise Replayed("chunk_repeated")
        if offset > self._at or len(data) != chunk_length(offer, offset):
            if not self._audited:
                self._audited = True
                self._record(journal.EVENT_TRANSFER_REFUSED, offer, REFUSED_DAMAGED)
            raise Malformed("chunk_offset")
        try:
            with open(self._path, "ab") as f:
                f.write(data)
        except OSError:
            self._fail("flash", REFUSED_FLASH)
            raise
        self._at += len(data)
        self._silences = 0
        self._backoff.reset()
        self.ask_again()

    def ask_again(self) -> None:
        """A request is due now: a new session began, or a piece is there."""
        self._asked = None
        offer = self._offer
        if offer is not None and self._at >= offer.size and self._task is None:
            self._task = asyncio.create_task(self._take(offer))
        self.news()

    def request(self) -> "Optional[bytes]":
        """The request to send now, for `up/fetch`; or None."""
        now = self._parts.clock.uptime_ms()
        offer = self._offer
        if offer is None or self._task is not None:
            return None
        if self._asked is not None:
            if now - self._asked < self._wait:
                return None
            self._silences += 1
            if self._silences > _MAX_SILENCES:
                self._fail("silence", REFUSED_SILENCE)
                return None
        self._asked = now
        self._wait = self._backoff.next_ms()
        return build_request(offer, self._at)

    def _open(self, raw: "Buffer") -> "Offer":
        parts = self._parts
        offer = open_offer(parts.identity.config_key, parts.identity.device_id, raw)
        if offer.kind not in parts.kinds:
            raise Malformed("offer_kind")
        if offer.version < parts.kinds[offer.kind][0]():
            raise Replayed("offer_older")
        return offer

    def _next(self) -> None:
        """Begin with the first of the queue, if nothing is under way."""
        if self._offer is not None or not self._queue:
            return
        offer, raw = self._queue.pop(0)
        remove_file(self._path)
        with open(self._path + ".offer", "wb") as f:
            f.write(raw)
        self._begin(offer, 0)

    def _begin(self, offer: "Offer", at: int) -> None:
        self._offer, self._at = offer, at
        self._silences = 0
        self._audited = False
        self._backoff.reset()
        self.ask_again()

    def _resume(self) -> None:
        """Go on with what was under way before the reset."""
        at = file_size(self._path)
        if 0 < file_size(self._path + ".offer") <= MAX_OFFER:
            try:
                offer = self._open(read_file(self._path + ".offer"))
                if at <= offer.size:
                    self._begin(offer, max(at, 0))
                    return
            except (OSError, ProtocolError):
                self._parts.counters.up("inbox_stored")
        self._drop()

    async def _take(self, offer: "Offer") -> None:
        """The file is whole: check it, and have it put in force."""
        try:
            # First: a file that brings the board down must not do so at every boot.
            remove_file(self._path + ".offer")
            if await self._digest() != offer.sha256:
                raise Damaged("transfer_hash")
            taking = self._parts.kinds[offer.kind][1](self._path, offer.version)
            if taking is not None:
                await taking
            self._record(journal.EVENT_TRANSFER_TAKEN, offer)
            self._drop()
            self._parts.door_changed()  # the state tells the version
        except ProtocolError as e:
            self._fail(e.reason, e.refusal)
        except OSError:
            self._fail("flash", REFUSED_FLASH)
        except Exception as e:  # whatever a file makes of the firmware: the next one has its turn
            sys.print_exception(e)
            if isinstance(e, MemoryError):
                self._fail("memory", REFUSED_MEMORY)
            else:
                self._fail("fault", REFUSED_FAULT)
        self.news()

    async def _digest(self) -> bytes:
        state = hashlib.sha256()
        buffer = bytearray(_READ)
        turn = 0
        with open(self._path, "rb") as f:  # noqa: ASYNC230
            while True:
                count = f.readinto(buffer)
                if not count:
                    return state.digest()
                state.update(memoryview(buffer)[:count])
                turn += 1
                if not turn % _BREATH:
                    await asyncio.sleep_ms(0)

    def _fail(self, reason: str, code: int) -> None:
        """Give the current file up, and not fetch it again soon: flash wears."""
        offer = self._offer
        self._parts.counters.up("inbox_" + reason)
        if offer is not None:
            self._record(journal.EVENT_TRANSFER_REFUSED, offer, code)
            if len(self._failed) >= _MAX_FAILED:
                self._failed.clear()
            self._failed[offer.id] = self._parts.clock.uptime_ms()
        self._drop()

    def _drop(self) -> None:
        """Forget the current file, and go on with the next."""
        self._offer = self._asked = self._task = None
        for path in (self._path + ".offer", self._path):
            remove_file(path)
        self._next()

    def _record(self, kind: int, offer: "Offer", status: int = 0) -> None:
        self._parts.recorder.record(kind, 0, status, offer.id, offer.version)
