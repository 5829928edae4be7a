"""One simulated board with the firmware of this tree, its site, and the phones in front of its door."""

import asyncio
import contextlib
import json
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from hil.board.board import Board
from hil.board.description import builtin
from hil.phone import Phone
from hil.radio.medium import Medium
from hil.stack import station
from hil.vm import image
from hil.vm.spawner import Zygote
from protocol import journal
from tests.device.on_vm import ROOT, SCRIPTS
from tests.device.site import Site

DEADLINE = 20.0
_PIECE = 4096  # of a file, in one line of the console


@contextlib.asynccontextmanager
async def board(folder: Path, **options: Any) -> AsyncIterator[Board]:
    """A powered board; its flash is empty the first time."""
    options = {"description": builtin(), "firmware": image.firmware_image(ROOT), **options}
    async with Zygote() as zygote:
        one = Board(options.pop("description"), "board", folder / "board", vm=zygote, **options)
        try:
            await one.start()
            yield one
        finally:
            await one.stop()


class Rig:
    """A board on the air of ``medium``, and its site; ``provision`` makes it the door of that site."""

    def __init__(self, folder: Path, board: Board, medium: Medium) -> None:
        self.folder = folder
        self.board = board
        self.medium = medium
        self.site = Site(folder)
        self._phones: list[Phone] = []
        self.configuration = 1  # version in force

    @property
    def door(self) -> Any:
        return self.board.door

    async def execute(self, code: str) -> str:
        """What code prints on the console of a board that is not running its agent."""
        code = textwrap.dedent(code)
        return await asyncio.to_thread(station.execute, self.board.console.path, code)

    async def call(self, script: str, *calls: str) -> Any:
        """What the last of these calls gives, as JSON, of that script of ``tests/device/vm``; as ``execute``."""
        *first, last = calls
        lines = [(SCRIPTS / script).read_text(), *first, "import json", f"print(json.dumps({last}))"]
        return json.loads((await self.execute("\n".join(lines))).splitlines()[-1])

    async def put(self, path: str, data: bytes) -> None:
        """A file on the flash of a board that is not running its agent."""
        mode = "wb"
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            await self.execute(f"with open({path!r}, {mode!r}) as f:\n    f.write({piece!r})")
            mode = "ab"

    async def provision(self, main: str = "", **changes: Any) -> None:
        """``main`` is put on the flash as /main.py, to run instead of the firmware's."""
        if main:
            source = textwrap.dedent(main)
            await self.execute(f"with open('/main.py', 'w') as f:\n    f.write({source!r})")
        await station.provision(self.board.console.path, self.site.bundle(**changes))
        await self.reset()

    async def wire(self) -> None:
        """Tell the board how it is wired, if that is not as the firmware takes it to be."""
        pins = json.dumps(self.board.description.pin_map)
        await self.execute(f"with open('/pins.json', 'w') as f:\n    f.write({pins!r})")

    async def configured(self, **changes: Any) -> None:
        """The next configuration, in force."""
        self.configuration += 1
        policy = {"max_u_s": 60, **changes.pop("policy", {})}
        before = self.site.newest
        await self.site.down("config", self.site.config(self.configuration, policy=policy, **changes))
        await self.site.record(journal.EVENT_CONFIG_APPLIED, after=before)

    async def ordered(self, op: str, **args: Any) -> dict[str, Any]:
        """The result of a command."""
        await self.site.down("command", self.site.command(op=op, args=args))
        return await self.site.result()

    async def reset(self) -> None:
        self.site.booted()
        await self.board.reset()

    async def running(self) -> None:
        """Wait until the agent of a board without a broker runs: it says that it found none."""
        await self.board.console.wait_for("latchwork: uplink:", DEADLINE)

    async def revive(self) -> None:
        """Reset, and wait for the agent of a board without a broker."""
        self.board.console.clear()
        await self.reset()
        await self.running()

    def phone(self, mtu: int | None = 517) -> Phone:
        phone = Phone.on(self.medium, f"phone{len(self._phones)}", mtu=mtu)
        self._phones.append(phone)
        return phone

    async def aclose(self) -> None:
        for phone in self._phones:
            await phone.aclose()


def phone_side(key: dict[str, Any]) -> tuple[bytes, list[bytes], bytes]:
    """Token, caveats and key of an entry of a phone's bundle, for a script that plays the phone."""
    return (
        bytes.fromhex(key["token"]),
        [bytes.fromhex(item) for item in key["caveats"]],
        bytes.fromhex(key["key"]),
    )


@contextlib.asynccontextmanager
async def rig(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    """A board that waits to be provisioned."""
    medium = Medium()
    async with board(folder, medium=medium, **options) as one:
        made = Rig(folder, one, medium)
        try:
            yield made
        finally:
            await made.aclose()
            await medium.aclose()
