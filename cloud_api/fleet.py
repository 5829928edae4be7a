"""What an unlock needs to know of a device, in memory: its keys, its boot, its next command number.

The database stays the truth: a line is loaded when it is first asked for, and dropped when the device is
retired. Command numbers are reserved in blocks, so a crash skips some and never repeats one.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from cloud_api.db.database import Database
from cloud_api.db.models import Device
from cloud_api.secrets import Vault
from cloud_api.settings import SEQ_BLOCK
from protocol.ids import id_bytes
from protocol.keys import command_key, config_key, journal_key, time_key
from protocol.topics import shard_of

CAPACITY = 50_000  # lines kept; each about 1 KiB
PURPOSE_K_DEV = "k_dev"
NEVER_PUSHED = float("-inf")


@dataclass
class Line:
    """One device. A retired one obeys nothing, but what its journal still holds is welcome."""

    device_id: str
    organisation_id: str
    site_id: str
    door_id: str
    command_key: bytes
    time_key: bytes
    config_key: bytes
    journal_key: bytes
    active: bool
    boot: int | None
    last_seen_at: int | None
    # It has been heard, and neither its gateway nor the broker has said since that it is gone.
    connected: bool
    next_seq: int = 0
    reserved_seq: int = 0
    # When we last pushed a configuration, so that a flapping device does not become a flood.
    config_pushed_at: float = NEVER_PUSHED
    # Its version, and the CRC-32 of its envelope.
    config_pushed: tuple[int, int] | None = None
    # By kind, the version that we last offered, and when.
    offered: dict[str, tuple[int, float]] = field(default_factory=dict)
    # Whether what it lacks is being built and offered, and whether that changed since.
    offering: bool = False
    offer_due: bool = False
    # What is left of its rate of requests for files, and when it last asked.
    fetches: float = 0.0
    fetched_at: float = NEVER_PUSHED
    # The same of the phones that ask for its list of revocations.
    carries: float = 0.0
    carried_at: float = NEVER_PUSHED
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def shard(self) -> int:
        """The shard of the device's site."""
        return shard_of(self.site_id)

    def push_again(self) -> None:
        """What was pushed may not have arrived."""
        self.config_pushed_at = NEVER_PUSHED
        self.offered.clear()

    @property
    def wire_id(self) -> bytes:
        """The 8 bytes of the id."""
        return id_bytes(self.device_id)


class Fleet:
    """Lines by device and by door."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._lines: OrderedDict[str, Line] = OrderedDict()
        self._doors: dict[str, str] = {}
        self._left: dict[str, int] = {}
        # One load at a time: two lines of one device would give out the same numbers.
        self._loading = asyncio.Lock()

    def cached(self, device_id: str) -> Line | None:
        """The line if it is in memory."""
        return self._lines.get(device_id)

    async def device(self, device_id: str) -> Line | None:
        """The line of a device, active or retired; None if there is no such device."""
        line = self._lines.get(device_id)
        return line or await self._load(Device.id == device_id, device_id, None)

    async def door(self, door_id: str) -> Line | None:
        """The line of the device that controls a door; None if it has none."""
        device_id = self._doors.get(door_id)
        line = self._lines.get(device_id) if device_id else None
        return line or await self._load(
            (Device.door_id == door_id) & (Device.status == "active"), None, door_id
        )

    async def next_seq(self, line: Line) -> int:
        """A command number that was never used, and that no restart will give out again."""
        async with line.lock:
            if line.next_seq >= line.reserved_seq:
                top = await self._db.write(lambda session: _reserve(session, line.device_id))
                line.next_seq, line.reserved_seq = top - SEQ_BLOCK, top
            line.next_seq += 1
            return line.next_seq

    def push_again(self, site_id: str) -> None:
        """What was pushed to this site may not have arrived."""
        for line in self._lines.values():
            if line.site_id == site_id:
                line.push_again()

    def away(self, site_id: str, device_ids: Collection[str]) -> None:
        """These devices of a site cannot be reached until they are heard again."""
        for name in device_ids:
            line = self._lines.get(name)
            if line is not None and line.site_id == site_id:
                line.connected = False

    def site_away(self, site_id: str, since_ms: int) -> None:
        """No device of a site can be reached, unless it was heard after ``since_ms`` (Unix milliseconds)."""
        self._left[site_id] = since_ms
        for line in self._lines.values():
            if line.site_id == site_id and (line.last_seen_at or 0) <= since_ms:
                line.connected = False

    def left_ms(self, site_id: str) -> int:
        """When a site was last lost (Unix milliseconds), 0 if it was not."""
        return self._left.get(site_id, 0)

    def forget(self, device_id: str) -> None:
        """A device was retired."""
        line = self._lines.pop(device_id, None)
        if line is not None and self._doors.get(line.door_id) == device_id:
            del self._doors[line.door_id]

    async def _load(
        self, where: ColumnElement[bool], device_id: str | None, door_id: str | None
    ) -> Line | None:
        async with self._loading:
            device_id = device_id or self._doors.get(door_id or "")
            if device_id in self._lines:
                return self._lines[device_id or ""]
            line = await self._db.read(lambda session: self._read(session, where))
            if line is not None:
                while len(self._lines) >= CAPACITY:
                    self.forget(next(iter(self._lines)))
                self._lines[line.device_id] = line
                if line.active:
                    self._doors[line.door_id] = line.device_id
            return line

    def _read(self, session: Session, where: ColumnElement[bool]) -> Line | None:
        row = session.scalar(select(Device).where(where))
        if row is None:
            return None
        k_dev = self._vault.open(PURPOSE_K_DEV, row.id, row.k_dev)
        return Line(
            device_id=row.id,
            organisation_id=row.organisation_id,
            site_id=row.site_id,
            door_id=row.door_id,
            command_key=command_key(k_dev),
            time_key=time_key(k_dev),
            config_key=config_key(k_dev),
            journal_key=journal_key(k_dev),
            active=row.status == "active",
            boot=row.boot,
            last_seen_at=row.last_seen_at,
            connected=row.connected,
        )


def _reserve(session: Session, device_id: str) -> int:
    statement = (
        update(Device).where(Device.id == device_id).values(command_seq=Device.command_seq + SEQ_BLOCK)
    )
    return session.execute(statement.returning(Device.command_seq)).scalar_one()
