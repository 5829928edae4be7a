"""Which devices belong to this site, and with which keys: the cloud's list, kept over restarts."""

import contextlib
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from protocol.host import cloud_messages

ACTIVE = "active"


@dataclass(frozen=True)
class Device:
    """One entry. `pins` are SPKI SHA-256 in lower hex; a device that is not active is refused."""

    id: str
    pins: frozenset[str]
    status: str

    @property
    def active(self) -> bool:
        return self.status == ACTIVE


@dataclass(frozen=True)
class Snapshot:
    """One version of the whole list, as it is written."""

    version: int
    devices: str


class Registry:
    """The whole list in memory, for the admission and the hot path; a copy in SQLite, for the next start."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.version = 0
        self._devices: dict[str, Device] = {}
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS registry(version INTEGER NOT NULL, devices TEXT NOT NULL)")
            row = db.execute("SELECT version, devices FROM registry").fetchone()
        if row:
            self.version = row[0]
            self._devices = {
                d["id"]: Device(d["id"], frozenset(d["pins"]), d["status"]) for d in json.loads(row[1])
            }

    def __len__(self) -> int:
        return len(self._devices)

    def get(self, device_id: str) -> Device | None:
        return self._devices.get(device_id)

    def is_active(self, device_id: str) -> bool:
        device = self._devices.get(device_id)
        return device is not None and device.active

    def active(self) -> list[str]:
        """The devices that may connect."""
        return [device.id for device in self._devices.values() if device.active]

    def replace(self, newer: cloud_messages.Registry) -> bool:
        """Take a newer list, in memory, at once. False, and no change, for one that is older than ours."""
        if newer.ver < self.version:
            return False
        self.version = newer.ver
        self._devices = {d.id: Device(d.id, frozenset(d.pins), d.status) for d in newer.devices}
        return True

    def snapshot(self) -> Snapshot:
        """What `save` writes: taken in the loop, written by a thread."""
        devices = [{"id": d.id, "pins": sorted(d.pins), "status": d.status} for d in self._devices.values()]
        return Snapshot(self.version, json.dumps(devices))

    def save(self, snapshot: Snapshot) -> None:
        """Write the list for the next start. Blocks; raises sqlite3.Error."""
        with contextlib.closing(sqlite3.connect(self._path, timeout=5.0)) as db, db:
            db.execute("PRAGMA synchronous=FULL")
            db.execute("DELETE FROM registry")
            db.execute("INSERT INTO registry VALUES(?, ?)", (snapshot.version, snapshot.devices))
