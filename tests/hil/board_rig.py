"""Boards for the tests: a zygote, and boards that run a small program instead of the product's firmware."""

import contextlib
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

from hil.board.board import Board
from hil.board.description import Description, builtin
from hil.vm import image
from hil.vm.spawner import Zygote

DEADLINE = 20.0


def program(folder: Path, source: str) -> Path:
    """A ROM image whose ``device.main.main`` is the body ``source``."""
    folder.mkdir(parents=True, exist_ok=True)
    package, main = folder / "package.py", folder / "main.py"
    package.write_text("")
    main.write_text("def main():\n" + textwrap.indent(textwrap.dedent(source), "    "))
    rom = folder / "program.romfs"
    rom.write_bytes(image.pack(image.compile_files({"device/__init__.py": package, "device/main.py": main})))
    return rom


@contextlib.asynccontextmanager
async def powered(
    folder: Path, source: str, *, name: str = "board", description: Description | None = None, on: bool = True
) -> AsyncIterator[Board]:
    """One board running ``source``; its flash and NVS stay in ``folder``."""
    async with Zygote() as zygote:
        board = Board(
            description or builtin(), name, folder / name, vm=zygote, firmware=program(folder / "src", source)
        )
        try:
            if on:
                await board.start()
            yield board
        finally:
            await board.stop()


@contextlib.asynccontextmanager
async def bare(folder: Path, *, name: str = "bare", air: str | None = None) -> AsyncIterator[Board]:
    """A board without firmware, at its prompt."""
    async with Zygote() as zygote:
        board = Board(builtin("esp32"), name, folder / name, vm=zygote, bare=True, air=air)
        try:
            await board.start()
            await board.console.wait_for(">>> ", DEADLINE)
            yield board
        finally:
            await board.stop()


async def did(board: Board, program: str) -> str:
    """What a program prints that is pasted at the prompt."""
    board.console.clear()
    program = "import time; time.sleep_ms(0)\n" + program  # where what the bench told it arrives
    board.console.write(b"\x05" + program.encode().replace(b"\n", b"\r") + b"\r\x04")
    await board.console.wait_for(r"=== \n(.|\n)*^>>> $", DEADLINE)
    return board.console.text.rpartition("=== \n")[2].removesuffix(">>> ")


def switches(pid: int) -> int:
    """How often a process has gone to sleep: what a polling loop cannot hide."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches"):
            return int(line.split()[1])
    raise AssertionError("no such process")
