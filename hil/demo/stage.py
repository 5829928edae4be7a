"""What the acts play on: the installation, two phones, the operator's live view, and the scribe."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from hil.board.signals import WaitTimeout
from hil.demo.scribe import Scribe
from hil.phone import Phone, PhoneResult
from hil.stack.event_log import EventLog
from hil.stack.installation import CONNECT_DEADLINE_S, DoorSite, Installation
from hil.trace import VcdWriter
from protocol.handshake import ACTION_STATUS

EVENT_DEADLINE_S = 15.0
JOURNAL_DEADLINE_S = 30.0
OPEN_S = 2.0  # of every door: long enough to walk through, short enough to watch
RETRY_S = 0.2
POLL_S = 0.02


class ActFailed(Exception):
    """The installation did not do what the act shows; the text says what it did instead."""


def expect(holds: bool, otherwise: str) -> None:
    """Raise ActFailed unless it holds."""
    if not holds:
        raise ActFailed(otherwise)


@dataclass
class Unlocked:
    """One try at a door over Bluetooth. `relay_ms` counts from the phone's connect; None: it did not move."""

    result: PhoneResult
    began_s: float
    relay_ms: float | None


@dataclass
class Stage:
    """Everything that more than one act needs."""

    site: Installation
    scribe: Scribe
    anna: Phone
    ben: Phone
    log: EventLog = field(init=False)
    bundles: dict[str, dict[str, Any]] = field(default_factory=dict)
    phone_keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    key_id: str = ""
    numbers: dict[str, float] = field(default_factory=dict)
    vendor: RSAPrivateKey | None = None  # whose firmware the boards take
    firmware: Path | None = None  # image that they start with
    broken_firmware: Path | None = None

    def __post_init__(self) -> None:
        self.log = EventLog(lambda: self.site.api, lambda event: self.scribe.heard(event, self.doors_by_id))

    @classmethod
    @asynccontextmanager
    async def built(cls, folder: Path, trace: VcdWriter, scribe: Scribe) -> AsyncIterator["Stage"]:
        """An empty installation in `folder`, and two phones in the air."""
        async with Installation(folder, trace=trace, on_call=scribe.called, verbose=True) as site:
            anna, ben = Phone.on(site.medium, "anna"), Phone.on(site.medium, "ben")
            stage = cls(site, scribe, anna, ben)
            try:
                yield stage
            finally:
                await stage.log.stop()
                await anna.aclose()
                await ben.aclose()

    def door(self, name: str) -> DoorSite:
        return self.site.doors[name]

    @property
    def doors_by_id(self) -> dict[str, str]:
        return {door.door_id: name for name, door in self.site.doors.items() if door.door_id}

    @property
    def boards_by_device(self) -> dict[str, str]:
        return {door.device_id: name for name, door in self.site.doors.items() if door.door_id}

    @property
    def events(self) -> list[dict[str, Any]]:
        """What the live stream has told so far."""
        return self.log.events

    @property
    def heard_s(self) -> dict[str, float]:
        """When each came, by id."""
        return self.log.heard_s

    async def event(
        self,
        kind: str,
        fits: Callable[[dict[str, Any]], bool] = lambda event: True,
        deadline_s: float = EVENT_DEADLINE_S,
    ) -> dict[str, Any]:
        """The first event of that type on the live stream that fits, past ones included; raises ActFailed."""
        try:
            return await self.log.wait(lambda event: event["type"] == kind and fits(event), deadline_s)
        except TimeoutError:
            raise ActFailed(f"no event {kind} on the live stream in {deadline_s:g} s") from None

    def pulses(self, name: str) -> int:
        """How often the relay of a board was energised so far."""
        return sum(board == name for board, _ in self.scribe.pulses)

    async def unlock(self, phone: Phone, key: dict[str, Any], name: str) -> Unlocked:
        """Walk up to a door with a phone."""
        before = len(self.scribe.pulses)
        began_s = time.monotonic()
        result = await phone.unlock(key)
        self.scribe.unlocked(f"{phone.name.title()}'s phone", name, began_s, result)
        connect_us = began_s * 1e6 + result.timings["scan_ms"] * 1000
        moved = [t_us for board, t_us in self.scribe.pulses[before:] if board == name]
        return Unlocked(result, began_s, round((moved[0] - connect_us) / 1000, 3) if moved else None)

    async def opened_remotely(self, name: str) -> dict[str, Any]:
        """The first attempt to open a door from the cloud since the cloud can reach it; raises ActFailed."""
        path = f"/v1/doors/{self.door(name).door_id}/unlock"
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                while True:
                    done = await self.site.api.finished(await self.site.api.post(path))
                    if done["error"] != "device_offline":
                        return done
                    await asyncio.sleep(RETRY_S)
        except TimeoutError:
            raise ActFailed(f"{name} was offline for {CONNECT_DEADLINE_S:g} s") from None

    async def locked(self, name: str) -> None:
        """Wait until the relay is off again."""
        await self.door(name).board.pins.wait_pin("relay", 0, EVENT_DEADLINE_S)

    async def still(self, name: str, seconds: float) -> None:
        """Watch a relay that is off for some time; raises ActFailed if it is energised meanwhile."""
        try:
            await self.door(name).board.pins.wait_pin("relay", 1, seconds)
        except WaitTimeout:
            return
        raise ActFailed(f"the relay of {name} was energised")

    async def journal(self, name: str) -> list[dict[str, Any]]:
        """A door's records in the cloud, once it holds the newest one that the door itself proves to a phone.

        Raises ActFailed if they do not arrive, or arrive with a hole or twice.
        """
        newest = (await self.anna.unlock(self.phone_keys[name], action=ACTION_STATUS)).audit_seq
        device: dict[str, Any] = {"verified_seq": 0}
        try:
            async with asyncio.timeout(JOURNAL_DEADLINE_S):
                while device["verified_seq"] < newest:
                    device = await self.site.api.get(f"/v1/devices/{self.door(name).device_id}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise ActFailed(f"the cloud has {device['verified_seq']} of {newest} records of {name}") from None
        events = await self.site.api.events(device_id=self.door(name).device_id)
        records = [event for event in events if event["source"] == self.door(name).device_id]
        numbers = sorted(event["seq"] for event in records)
        expect(numbers == list(range(1, len(numbers) + 1)), f"the journal of {name} arrived as {numbers}")
        return records

    async def cloud_answers(self) -> bool:
        """Whether anybody listens at the API's address."""
        try:
            await self.site.api.get("/health")
        except httpx.TransportError:
            return False
        return True
