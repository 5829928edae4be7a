"""One simulated board with the firmware of this tree, provisioned over its console."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from mpremote.transport_serial import SerialTransport

from hil.board.board import Board
from hil.board.description import builtin
from hil.vm import image
from hil.vm.spawner import Zygote
from tests.device.on_vm import ROOT


@contextlib.asynccontextmanager
async def board(folder: Path, **options: Any) -> AsyncIterator[Board]:
    """A powered board; its flash is empty the first time."""
    async with Zygote() as zygote:
        one = Board(
            builtin(), "board", folder / "board", vm=zygote, firmware=image.firmware_image(ROOT), **options
        )
        try:
            await one.start()
            yield one
        finally:
            await one.stop()


def execute(port: str, code: str) -> str:
    """Run code on the board over the raw REPL, as a provisioning station does."""
    transport = SerialTransport(port, 115200)
    try:
        transport.enter_raw_repl(soft_reset=False)
        return str(transport.exec(code).decode())
    finally:
        transport.close()


async def provision(one: Board, bundle: dict[str, Any]) -> dict[str, Any]:
    """Apply a bundle and reset; returns the line that the board printed."""
    code = f"from device import provision\nprovision.apply({json.dumps(bundle)!r})"
    out = await asyncio.to_thread(execute, one.console.path, code)
    await one.reset()
    return dict(json.loads(out.strip().splitlines()[-1]))
