"""A site that stays: cloud, gateway and doors in one folder, served until somebody stops it, and again tomorrow."""

import asyncio
import contextlib
import fcntl
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from hil.stack.installation import REMEMBERED, Installation
from hil.stack.service import Service

NAMES = ("front", "lab", "yard", "attic", "garage", "store", "roof", "cellar")
MAX_DOORS = 100
TOKEN_FILE = "token"  # noqa: S105 - a file's name
RESTART_PAUSE_S = 1.0
_LOCK = "lock"


class UpError(Exception):
    """The folder cannot be served; the text says what to do."""


async def up(folder: Path, doors: int, on_ready: Callable[[dict[str, Any]], None]) -> None:
    """Serve the site in `folder`, which is made with `doors` doors if there is none, until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with _held(folder) as known:
        working = asyncio.create_task(_serve(folder, 0 if known else doors, on_ready))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not working.done():
            working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working


async def _serve(folder: Path, new_doors: int, on_ready: Callable[[dict[str, Any]], None]) -> None:
    async with _running(folder, new_doors) as site:
        await asyncio.gather(*(site.connected(door) for door in site.doors.values()))
        on_ready(describe(site))
        async with asyncio.TaskGroup() as group:
            for service in (site.cloud, site.gateway):
                group.create_task(_keep(service))


@asynccontextmanager
async def _running(folder: Path, new_doors: int) -> AsyncIterator[Installation]:
    async with Installation(folder) as site:
        if not new_doors:
            await site.resume()
        else:
            await site.start_cloud()
            await site.start_gateway()
            for name in door_names(new_doors):
                await site.add_board(name)
            await asyncio.gather(*(site.provision(door, door.name.title()) for door in site.doors.values()))
            token = folder / TOKEN_FILE
            token.touch(mode=0o600)
            token.write_text(site.cloud_facts["token"])
            site.remember()
        yield site


async def _keep(service: Service) -> None:
    """Start a server again when it ends: somebody may have killed it to see what happens."""
    while True:
        await service.ended()
        await asyncio.sleep(RESTART_PAUSE_S)
        await service.start()


def door_names(count: int) -> list[str]:
    """Names of boards: a few real ones, then numbers."""
    return [NAMES[i] if i < len(NAMES) else f"door-{i + 1}" for i in range(count)]


def describe(site: Installation) -> dict[str, Any]:
    """Where everything is."""
    broker = site.gateway.ready["mqtt"]
    return {
        "ready": True,
        "api": site.api.url,
        "token_file": str(site.folder / TOKEN_FILE),
        "ca_file": site.cloud_facts["ca_file"],
        "pins": site.cloud_facts["pins"],
        "organisation_id": site.cloud_facts["organisation_id"],
        "site_id": site.site_id,
        "cloud_mqtt": f"{site.cloud.ready['mqtt_host']}:{site.cloud.ready['mqtt_port']}",
        "site_mqtt": f"{broker['host']}:{broker['port']}",
        "doors": [
            {
                "name": door.name,
                "door_id": door.door_id,
                "device_id": door.device_id,
                "console": door.board.console.path,
            }
            for door in site.doors.values()
        ],
    }


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Nobody else serves this folder meanwhile; whether there is a site in it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UpError(
                f"{folder} is being served already: stop that one, or choose another folder"
            ) from None
        known = (folder / REMEMBERED).exists()
        if not known and any(path.name != _LOCK for path in folder.iterdir()):
            raise UpError(f"{folder} holds no site, or half of one: choose another folder, or remove it")
        yield known
