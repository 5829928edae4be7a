"""How fast MicroPython starts: forked from the preloaded parent, as a board, and as a command."""

import asyncio
import os
import pty
import shutil
import socket
import sys
from pathlib import Path

from benchmarks.outcome import Line, Outcome
from benchmarks.run import Entry, Run
from hil.board.board import Board
from hil.board.description import builtin
from hil.board.signals import now_us
from hil.measure.series import Series
from hil.stack.installation import LISTENING
from hil.vm.spawner import Zygote

FORKS, BOARDS, COMMANDS = 200, 40, 20
DEADLINE_S = 20.0
PROGRAM = "print('ready')"
VM_LIMIT_MS = 5.0
WITH_RADIO = "import bluetooth; bluetooth.BLE().active(True)"
ADVERTISING = f"{WITH_RADIO}; bluetooth.BLE().gap_advertise(100000, b'')"  # the first that waits for the air to be loaded
AIR_LIMIT_MS = 150.0  # from nothing, its air included
COMMAND_LIMIT = 4.0  # of what the bare interpreter takes: a board, and Python to make it, cost something


async def measure(run: Run) -> Outcome:
    """Each of the three ways, one start at a time."""
    fork, board, command, bare, radio, advertising = (Series("ms") for _ in range(6))
    async with Zygote() as zygote:
        await _fork(zygote, run.folder)  # the first one pays for the parent's own start
        run.say(f"{run.count(FORKS)} virtual machines")
        for _ in range(run.count(FORKS)):
            fork.add(await _fork(zygote, run.folder))
        run.say(f"{run.count(BOARDS)} boards")
        for number in range(run.count(BOARDS)):
            board.add(await _board(zygote, run.folder / f"board-{number}"))
    run.say(f"{run.count(COMMANDS)} commands, and as many without a board")
    ours = [_script("latchwork"), "micropython", "-c", "pass"]
    theirs = [_script("micropython"), "-c", "pass"]
    for _ in range(run.count(COMMANDS)):
        bare.add(await _run(theirs))
        command.add(await _run(ours))
    run.say(f"{run.count(COMMANDS)} commands with their radio on, each with a new air")
    for number in range(run.count(COMMANDS)):
        for series, program in ((radio, WITH_RADIO), (advertising, ADVERTISING)):
            place = run.folder / f"air-{number}-{series is radio}"
            place.mkdir()
            on_the_air = [ours[0], "micropython", "--air", "bench", "-c", program]
            series.add(await _run(on_the_air, XDG_RUNTIME_DIR=str(place)))
    lines = [
        Line("VM from the parent, to its first line: p50", fork.median, "ms", VM_LIMIT_MS, "limit", 1.0),
        Line("board, power-on to the firmware's first line: p50", board.median, "ms"),
        Line(
            "latchwork micropython -c pass: p50",
            command.median,
            "ms",
            bare.median,
            "micropython -c pass",
            COMMAND_LIMIT,
        ),
        Line(
            "latchwork micropython, to its radio on in a new air: p50",
            radio.median,
            "ms",
            AIR_LIMIT_MS,
            "limit",
            1.0,
        ),
        Line("latchwork micropython, to its first advertisement: p50", advertising.median, "ms"),
    ]
    measured = {
        "fork": fork,
        "board": board,
        "latchwork micropython": command,
        "micropython": bare,
        "with radio": radio,
        "advertising": advertising,
    }
    return Outcome(lines, measured)


async def _fork(zygote: Zygote, folder: Path) -> float:
    """Milliseconds from the request to the first line on the VM's terminal."""
    master, terminal = pty.openpty()
    ours, theirs = socket.socketpair()
    os.set_blocking(master, False)
    spoke = asyncio.Event()
    asyncio.get_running_loop().add_reader(master, spoke.set)
    try:
        began = now_us()
        arguments = ["-X", "heapsize=160K", "-c", PROGRAM]
        vm = await zygote.spawn(arguments, terminal=terminal, link=theirs, cwd=folder, env={}, images={})
        await asyncio.wait_for(spoke.wait(), DEADLINE_S)
        took = (now_us() - began) / 1000
        await asyncio.wait_for(vm.wait(), DEADLINE_S)
    finally:
        asyncio.get_running_loop().remove_reader(master)
        for end in (ours, theirs):
            end.close()
        os.close(master)
        os.close(terminal)
    return took


async def _board(zygote: Zygote, folder: Path) -> float:
    """Milliseconds from power-on, with an empty flash, to what the firmware then says."""
    board = Board(builtin(), folder.name, folder, vm=zygote)
    began = now_us()
    await board.start()
    await board.console.wait_for(LISTENING, DEADLINE_S)
    took = (now_us() - began) / 1000
    await board.stop()
    return took


def _script(name: str) -> str:
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise FileNotFoundError(f"no {name} in this environment")
    return found


async def _run(arguments: list[str], **environment: str) -> float:
    """Milliseconds of a command from its start to its end."""
    began = now_us()
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*arguments, stdin=null, env={**os.environ, **environment})
    status = await asyncio.wait_for(process.wait(), DEADLINE_S)
    if status:
        raise RuntimeError(f"{Path(arguments[0]).name} ended with status {status}")
    return (now_us() - began) / 1000


ENTRY = Entry("cold_start", "Start of a virtual machine", measure)
