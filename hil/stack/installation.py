"""One organisation with one site: cloud, gateway, and as many doors as are asked for, all in one folder."""

import asyncio
import json
import os
import sys
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from gateway.settings import write_secret
from hil.board.board import Board
from hil.board.description import Description, builtin
from hil.board.signals import TraceSink
from hil.radio.medium import Medium
from hil.stack.api import Api, OnCall
from hil.stack.service import Service, ServiceError
from hil.stack.station import provision
from hil.vm.spawner import Zygote

WIFI = {"ssid": "latchwork-site", "key": "bench-only-key"}
COMMAND_DEADLINE_S = 60.0
CONNECT_DEADLINE_S = 30.0
LISTENING = "latchwork: not provisioned"
REMEMBERED = "installation.json"


def command(name: str) -> str:
    """A console script of the environment that we run in."""
    return str(Path(sys.executable).with_name(name))


@dataclass
class Door:
    """A door's names in the cloud."""

    name: str
    door_id: str = ""
    device_id: str = ""


@dataclass
class DoorSite(Door):
    """A door with its board on the bench."""

    board: Board = field(kw_only=True)


class Installation:
    """`async with Installation(folder) as site:` serves; everything ends with the block."""

    def __init__(
        self,
        folder: Path,
        *,
        organisation: str = "Harbour House",
        trace: TraceSink | None = None,
        on_call: OnCall | None = None,
        verbose: bool = False,
        niceness: int = 0,
    ) -> None:
        """``trace`` records every board, ``on_call`` hears of every call of ``api``, ``verbose`` has the gateway
        log every message, ``niceness`` is that of the boards' VMs."""
        self.folder = folder
        self.organisation = organisation
        self.doors: dict[str, DoorSite] = {}
        self.medium = Medium()
        self.cloud_facts: dict[str, Any] = {}
        self.site_id = ""
        self._trace = trace
        self._on_call = on_call
        self._zygote: Zygote | None = None
        self._niceness = niceness
        self._api: Api | None = None
        folder.mkdir(parents=True, exist_ok=True)
        cloud, gateway = str(folder / "cloud"), str(folder / "gateway")
        serve = [command("latchwork-cloud"), "serve", "--dir", cloud, "--json"]
        self.cloud = Service("cloud", [*serve, "--http-port", "0", "--mqtt-port", "0"], folder / "cloud.log")
        run = [command("latchwork-gateway"), "run", "--dir", gateway, "--json"]
        run += ["--verbose"] if verbose else []
        self.gateway = Service("gateway", run, folder / "gateway.log")

    @property
    def api(self) -> Api:
        if self._api is None:
            raise ServiceError("the cloud has not been started")
        return self._api

    async def __aenter__(self) -> Self:
        self._zygote = await Zygote.start(self._niceness)
        return self

    async def __aexit__(self, *_: object) -> None:
        for door in self.doors.values():
            (self.folder / f"{door.name}.console.log").write_text(door.board.console.text)
            await door.board.stop()
        if self._api is not None:
            await self._api.aclose()
        await self.gateway.stop()
        await self.cloud.stop()
        await self.medium.aclose()
        if self._zygote is not None:
            await self._zygote.close()

    def remember(self) -> None:
        """Write down what `resume` needs; the API token is in it, so it is for its owner only."""
        doors = [
            {"name": d.name, "door_id": d.door_id, "device_id": d.device_id} for d in self.doors.values()
        ]
        about = {"cloud": self.cloud_facts, "site_id": self.site_id, "doors": doors}
        write_secret(self.folder / REMEMBERED, json.dumps(about, indent=1).encode())

    async def resume(self) -> None:
        """Serve the installation that `remember` wrote down in this folder, with every board as it was."""
        about = json.loads((self.folder / REMEMBERED).read_bytes())
        self.cloud_facts, self.site_id = about["cloud"], about["site_id"]
        await self._serve_cloud()
        await self.gateway.start()
        for known in about["doors"]:
            door = await self.add_board(known["name"])
            door.door_id, door.device_id = known["door_id"], known["device_id"]

    async def start_cloud(self) -> None:
        """Make the cloud and serve it."""
        arguments = [
            "init",
            "--dir",
            str(self.folder / "cloud"),
            "--organisation",
            self.organisation,
            "--json",
        ]
        self.cloud_facts = json.loads(await self._once("latchwork-cloud", arguments))
        await self._serve_cloud()

    async def _serve_cloud(self) -> None:
        ready = await self.cloud.start()
        facts = self.cloud_facts
        self._api = Api(ready["url"], facts["token"], facts["ca"], facts["pins"], self._on_call)

    async def start_gateway(self, site: str = "Harbour House") -> None:
        """Make the site, enrol its gateway and run it."""
        self.site_id = (await self.api.post("/v1/sites", {"name": site}))["id"]
        facts = self.cloud_facts
        pins = [word for pin in facts["pins"] for word in ("--pin", pin)]
        arguments = ["enrol", "--url", self.api.url, "--site", self.site_id, "--ca", facts["ca_file"], *pins]
        where = ["--host", "localhost", "--port", "0", "--dir", str(self.folder / "gateway")]
        token = {"LATCHWORK_TOKEN": facts["token"]}
        await self._once("latchwork-gateway", [*arguments, *where, "--json"], token)
        await self.gateway.start()

    async def _once(self, name: str, arguments: list[str], env: dict[str, str] | None = None) -> str:
        """Run a command to its end; what it printed."""
        process = await asyncio.create_subprocess_exec(
            command(name),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        async with asyncio.timeout(COMMAND_DEADLINE_S):
            out, err = await process.communicate()
        if process.returncode:
            raise ServiceError(f"{name} {arguments[0]} failed:\n{err.decode(errors='replace')[-2000:]}")
        return out.decode()

    async def add_board(
        self, name: str, description: Description | None = None, *, firmware: Path | None = None
    ) -> DoorSite:
        """Power a board, with an image of its own or this tree's. A new one has an empty flash, and waits on its console to
        be provisioned.
        """
        assert self._zygote is not None
        board = Board(
            description or builtin(),
            name,
            self.folder / name,
            vm=self._zygote,
            firmware=firmware,
            medium=self.medium,
            trace=self._trace,
        )
        self.doors[name] = door = DoorSite(name, board=board)
        await board.start()
        return door

    async def provision(self, door: DoorSite, title: str, **policy: Any) -> dict[str, Any]:
        """Make the door and its device in the cloud, put the bundle on the board, restart it; the bundle."""
        bundle = await self.put_bundle(door, title, **policy)
        await door.board.reset()
        return bundle

    async def put_bundle(
        self, door: DoorSite, title: str, *, station: Executor | None = None, **policy: Any
    ) -> dict[str, Any]:
        """Like ``provision``, but the board goes on without the bundle until it is restarted."""
        bundle = await self.register(door, title, **policy)
        await door.board.console.wait_for(LISTENING, CONNECT_DEADLINE_S)
        await provision(door.board.console.path, bundle, station)
        return bundle

    async def register(self, door: Door, title: str, **policy: Any) -> dict[str, Any]:
        """Make the door and its device in the cloud; the bundle for its board."""
        about = {"site_id": self.site_id, "name": title, **policy}
        door.door_id = (await self.api.post("/v1/doors", about))["id"]
        body = {"door_id": door.door_id, "name": title, "wifi": WIFI}
        bundle: dict[str, Any] = await self.api.post("/v1/devices", body)
        door.device_id = bundle["device_id"]
        return bundle

    async def connected(self, door: Door, deadline_s: float = CONNECT_DEADLINE_S) -> dict[str, Any]:
        """Wait until the cloud has heard from the door and the door runs its newest configuration."""
        async with asyncio.timeout(deadline_s):
            while True:
                device = await self.api.get(f"/v1/devices/{door.device_id}")
                if device["connected"] and device["in_sync"]:
                    return device
                await asyncio.sleep(0.05)
