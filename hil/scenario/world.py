"""What one case of a scenario acts on: its boards, its phones, and the names that its steps use."""

import asyncio
import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from hil.phone import Phone
from hil.rig import Position, Target
from hil.rig.hints import near
from hil.rig.protocols import Order
from hil.rig.resources import described, pin_file
from hil.rig.strategy import Strategy
from hil.scenario.bench import Bench, Json
from hil.scenario.dice import Dice
from hil.scenario.header import BoardIn, Header, board_files
from hil.scenario.verb import StepFailed
from hil.stack.api import ApiError
from hil.stack.installation import Door, Installation
from hil.stack.station import provision as put_bundle

ONLINE_S = 30.0


class Crashed(Exception):
    """A VM ended by a signal."""


@dataclass
class Unit:
    """One board of the case. ``door`` is its place in the cloud, if it is a door of the site."""

    target: Target
    strategy: Strategy
    door: Door | None = None

    @property
    def name(self) -> str:
        return self.target.name


def position(at: list[float] | None) -> Position | None:
    return Position(*at) if at is not None else None


class World:
    """``names`` are what ``{name}`` stands for in the ``api`` steps: doors, devices, and what steps saved."""

    def __init__(
        self,
        bench: Bench,
        header: Header,
        source: Path,
        seed: int,
        *,
        air: str | None = None,
        scope: str = "",
    ) -> None:
        """``source`` is the folder that the scenario's own files are beside; ``air``, a shared one to be on, without phones;
        ``scope``, what the boards' signals are recorded under."""
        self.bench = bench
        self.header = header
        self.seed = seed
        self.dice = Dice(seed)
        self.units: dict[str, Unit] = {}
        self.phones: dict[str, Phone] = {}
        self.keys: dict[tuple[str, str], Json] = {}  # of a phone, for a door
        self.key_ids: dict[str, str] = {}  # of a phone
        self.names: dict[str, str] = {}
        self.crashed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.first_event = 0
        self._source = source
        self._folder = bench.case_folder()
        self.rig = bench.rig(self._folder, seed, air, scope)
        self._site: Installation | None = None

    @property
    def site(self) -> Installation:
        if self._site is None:
            raise StepFailed("a site", "a scenario without one: it needs a door, or site: true")
        return self._site

    def unit(self, name: str | None = None) -> Unit:
        """A board by its name; the first without one."""
        if name is None:
            return next(iter(self.units.values()))
        if name not in self.units:
            raise StepFailed(f"a board {name}", f"none of that name{near(name, self.units)}")
        return self.units[name]

    def door(self, name: str | None = None) -> Door:
        """The same, for one that is a door of the site."""
        unit = self.unit(name)
        if unit.door is None:
            raise StepFailed(
                f"{unit.name} as a door of the site", "a board without the door firmware, or no site"
            )
        return unit.door

    def phone(self, name: str | None = None) -> Phone:
        if name is None and self.phones:
            return next(iter(self.phones.values()))
        if name is None or name not in self.phones:
            raise StepFailed(
                f"a phone {name or ''}".strip(), f"none of that name{near(name or '', self.phones)}"
            )
        return self.phones[name]

    async def start(self) -> None:
        """All boards up and, if they are doors of a site, online; all phones with their keys."""
        if self.header.has_site:
            self._site = await self.bench.site()
        if any(about.updates for about in self.header.boards.values()):
            await asyncio.to_thread(lambda: self.bench.vendor.firmware)
        for name, about in self.header.boards.items():
            self._make(name, about)
        async with asyncio.TaskGroup() as group:
            for name, unit in self.units.items():
                group.create_task(self._bring_up(unit, self.header.boards[name]))
        if self._site is not None:
            self.names["site"] = self._site.site_id
        for name, phone in self.header.phones.items():
            self.phones[name] = self.rig.phone(name, position(phone.at))
            doors = (
                [unit.name for unit in self.units.values() if unit.door] if phone.keys is None else phone.keys
            )
            if doors:
                await self.give_key(name, doors, phone.terms)
        if self._site is not None:
            self.first_event = len(self.bench.log.events)  # set-up is no part of the story

    async def stop(self) -> None:
        """Everything of the case ends; the site forgets its devices, if there is a cloud to tell."""
        if self._site is not None and self._site.cloud.running:
            with contextlib.suppress(httpx.HTTPError, ApiError):
                for unit in self.units.values():
                    if unit.door is not None and unit.door.device_id:
                        await self._site.api.post(f"/v1/devices/{unit.door.device_id}/retire")
        for phone in self.phones.values():
            await phone.aclose()
        for unit in self.units.values():
            (self._folder / f"{unit.name}.console.log").write_text(unit.target.console.text)
            unit.target.reader.remove()
        await self.rig.stop()

    async def give_key(self, phone: str, doors: list[str], terms: Mapping[str, Any]) -> str:
        """A user, a key, and its bundle on the phone; the key's id."""
        api = self.site.api
        user = await api.post("/v1/users", {"name": phone})
        ids = {self.door(name).door_id: name for name in doors}
        body = {"user_id": user["id"], "door_ids": list(ids), "name": f"{phone}'s key", **terms}
        key = await api.post("/v1/keys", body)
        bundle = await api.post(f"/v1/keys/{key['id']}/mobile")
        self.keys |= {(phone, ids[entry["door_id"]]): entry for entry in bundle["doors"]}
        self.key_ids[phone] = self.names[f"{phone}.key"] = str(key["id"])
        self.names[f"{phone}.user"] = str(user["id"])
        return str(key["id"])

    def _make(self, name: str, about: BoardIn) -> None:
        order = Order(
            described(about.description, self._source),
            bare=not about.is_door,
            firmware=self.bench.vendor.firmware if about.updates else None,
            image=self._source / about.image if about.image else None,
            position=position(about.at),
            networked=about.networked,
            drift_ppm=about.drift_ppm,
        )
        target = self.rig.board(name, order, self._crash)
        door = Door(name) if about.is_door and self._site is not None else None

        async def provision(title: str, policy: Mapping[str, Any]) -> None:
            assert door is not None
            bundle = await self.site.register(door, title, **policy)
            await put_bundle(target.console.path, bundle)
            target.reader.install(base64.b64decode(bundle["k_dev"]))
            target.console.forget()
            await target.power.reset()
            self._named(name, door)
            await self.site.connected(door, ONLINE_S)

        self.units[name] = Unit(target, Strategy(target, provision), door)

    def _named(self, name: str, door: Door) -> None:
        self.names |= {name: door.door_id, f"{name}.device": door.device_id}
        self.bench.door_names[door.door_id] = name
        self.bench.device_names[door.device_id] = name

    async def _bring_up(self, unit: Unit, about: BoardIn) -> None:
        if unit.door is not None:
            title = unit.name.replace("-", " ").title()
            await unit.strategy.online(title, about.policy, pin_file(unit.target.description))
        else:
            await unit.strategy.program(board_files(about, self._source))

    def _crash(self, what: str) -> None:
        """It ends the case: what the board would do next is chance."""
        if not self.crashed.done():
            self.crashed.set_result(what)
