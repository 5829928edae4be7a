"""The process of one board: ``python -m hil.supervisor.server SETTINGS``, started by ``hil/supervisor/client.py``.

It holds the board's lock, answers one JSON line with another on the board's socket, and ends at ``stop``. Its VM and the zygote
die with it, by their parent-death signals. The first line on its standard output says that the board is ready, or why it is not.
"""

import asyncio
import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from hil.air.folder import air_name
from hil.board import files
from hil.board.board import Board
from hil.board.description import DescriptionError, load_description
from hil.board.signals import WaitTimeout
from hil.supervisor import shelf
from hil.supervisor.link import impair
from hil.supervisor.settings import LinkFaults, Settings, Status
from hil.vm.image import ImageError
from hil.vm.spawner import Zygote, ZygoteError

LOCK_S = 1.0  # while another command looks whether the board runs
READY_S = 2.0  # for the REPL; after that a program runs
_POLL_S = 0.01
MAX_REQUEST = 4096
IDLE_S = 30.0  # a client that says nothing, or does not read


class Refused(Exception):
    """The request cannot be done; the message says why."""


class Supervisor:
    """Serves one board until ``stopped``."""

    def __init__(self, board: Board, settings: Settings, folder: Path) -> None:
        self._board = board
        self._settings = settings
        self._folder = folder
        self._since = time.monotonic()
        self.stopped = asyncio.Event()

    def status(self) -> Status:
        board = self._board
        crash = board.crash
        return Status(
            name=board.name,
            state=board.state.value,
            program=board.state.value == "running" and not board.console.at_prompt,
            pid=os.getpid(),
            vm_pid=board.pid,
            tty=board.console.path,
            link=str(self._folder / shelf.TTY),
            air=air_name(self._settings.air),
            firmware=self._settings.firmware,
            boots=board.boots.value,
            exits=board.exits,
            crash=f"signal {crash.signal}: {crash.tail}" if crash else None,
            uptime_s=round(time.monotonic() - self._since, 3),
            lost=board.console.lost,
        )

    async def ready(self) -> None:
        """Wait for the REPL, or until it is clear that a program runs."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                # A terminal's mode: there is no event for it.
                while not self._board.console.at_prompt:  # noqa: ASYNC110
                    await asyncio.sleep(_POLL_S)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client: a line, a line, and so on."""
        try:
            while line := await asyncio.wait_for(reader.readline(), IDLE_S):
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await asyncio.wait_for(writer.drain(), IDLE_S)
        except (TimeoutError, ConnectionError, ValueError):
            pass  # it is gone, or talks nonsense
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            await self._do(request["op"], request)
        except (Refused, RuntimeError, WaitTimeout, ZygoteError, OSError) as error:
            return {"error": str(error)}
        except (ValueError, KeyError, TypeError):
            return {"error": "not a request"}
        return {"status": self.status().model_dump()}

    async def _do(self, op: str, request: dict[str, Any]) -> None:
        operations: dict[str, Callable[[], Awaitable[None]]] = {
            "status": self._nothing,
            "on": self._on,
            "off": self._board.power_cut,
            "cycle": self._cycle,
            "reset": self._board.reset,
            "soft-reset": self._board.soft_reset,
            "stop": self._stop,
            "link": functools.partial(self._link, request),
        }
        if op not in operations:
            raise Refused(f"no operation {op!r}")
        await operations[op]()
        if request.get("wait"):
            await self.ready()

    async def _nothing(self) -> None:
        pass

    async def _on(self) -> None:
        await self._board.power_on()

    async def _cycle(self) -> None:
        await self._board.power_cut()
        await self._board.power_on()

    async def _link(self, request: dict[str, Any]) -> None:
        network = self._board.network
        if network is None:
            raise Refused("its connections are the host's own; start it with --networked")
        impair(network, LinkFaults.model_validate(request["faults"]))

    async def _stop(self) -> None:
        await self._board.power_cut()
        self.stopped.set()


async def take(name: str) -> int:
    """The board's lock. Raises Refused if it runs."""
    end = time.monotonic() + LOCK_S
    while (lock := shelf.hold(name)) is None:
        if time.monotonic() > end:
            raise Refused(f"board {name} runs already; latchwork board stop {name}, or take another name")
        await asyncio.sleep(_POLL_S)
    return lock


async def serve(settings: Settings, say: Callable[[dict[str, Any]], None]) -> None:
    """From power-on to ``stop``."""
    folder = shelf.place(settings.name)
    folder.mkdir(exist_ok=True, mode=0o700)
    await take(settings.name)  # for as long as this process lives
    description = load_description(settings.board)
    async with Zygote() as zygote:
        bare, air = not settings.firmware, air_name(settings.air)
        board = Board(
            description, settings.name, folder, vm=zygote, air=air, bare=bare, networked=settings.networked
        )
        try:
            if settings.put is not None:
                await asyncio.to_thread(files.put, board.flash_path, settings.put)
            await run(Supervisor(board, settings, folder), board, folder, say)
        finally:
            await board.stop()
            shelf.clear(settings.name)


async def run(
    supervisor: Supervisor, board: Board, folder: Path, say: Callable[[dict[str, Any]], None]
) -> None:
    shelf.clear(board.name)
    (folder / shelf.TTY).symlink_to(board.console.path)
    async with await asyncio.start_unix_server(
        supervisor.answer, shelf.short(folder) / shelf.SOCKET, limit=MAX_REQUEST
    ):
        await board.start()
        await supervisor.ready()
        say({"status": supervisor.status().model_dump()})
        await supervisor.stopped.wait()


def main() -> None:
    """Tell the first line to who started it, then go to the background."""
    settings = Settings.model_validate_json(sys.argv[1])
    said = False

    def say(message: dict[str, Any]) -> None:
        nonlocal said
        if not said:
            said = True
            os.write(1, json.dumps(message).encode() + b"\n")
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 1)
            os.close(null)

    try:
        asyncio.run(serve(settings, say))
    except (
        Refused,
        DescriptionError,
        ImageError,
        ZygoteError,
        files.PutError,
        shelf.ShelfError,
    ) as error:
        say({"error": str(error)})
        sys.exit(1)
    except OSError as error:
        say({"error": f"{error.filename or shelf.place(settings.name)}: {error.strerror or error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
