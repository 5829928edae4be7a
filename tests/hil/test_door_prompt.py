"""A door's board whose firmware does not run is a board as any other to who talks to it."""

from pathlib import Path

from hil.board.board import Board
from tests.hil.board_rig import DEADLINE, bare, powered

SPIN = """
from machine import Pin, Timer
rang, edges = [], []
Timer(0).init(period=5, callback=rang.append)
rex = Pin(Pin.board.REX, Pin.IN)
irq = rex.irq(edges.append, Pin.IRQ_FALLING)
print("spinning")
while len(rang) < 5 or not edges:
    pass
print(edges == [rex], irq.trigger() == Pin.IRQ_FALLING, irq.flags() == irq.trigger())
"""
NAMES = """
import bluetooth, esp32, machine, micropython, network, os, socket
for one in machine, machine.Pin, machine.Pin.board, machine.Signal, machine.UART, micropython, network, socket, bluetooth, esp32:
    print(sorted(name for name in dir(one) if name[0] != "_"))
"""


async def test_a_loop_that_waits_for_nothing_is_interrupted(tmp_path: Path) -> None:
    async with powered(tmp_path, "pass") as board:
        await board.console.wait_for(">>> ", DEADLINE)
        board.console.write(b"\x05" + SPIN.encode().replace(b"\n", b"\r") + b"\x04")
        await board.console.wait_for("^spinning", DEADLINE)
        board.door.press_rex()
        await board.console.wait_for("^True True True", DEADLINE)


async def test_the_prompt_is_interrupted(tmp_path: Path) -> None:
    async with powered(tmp_path, "pass") as board:
        await board.console.wait_for(">>> ", DEADLINE)
        board.console.write(
            "from machine import Pin; Pin.board.REX.irq(lambda pin: print('pressed'), Pin.IRQ_FALLING)\r"
        )
        await board.console.wait_for("<IRQ>\n>>> ", DEADLINE)
        board.door.press_rex()
        await board.console.wait_for("^(>>> )?pressed", DEADLINE)


async def test_a_program_that_replaced_a_module_ends_at_the_prompt_too(tmp_path: Path) -> None:
    async with powered(tmp_path, "import sys\nsys.modules['sys'] = type('sys', (), {})") as board:
        await board.console.wait_for(">>> ", DEADLINE)
        board.console.write(
            "import machine, sys; print(hasattr(machine.Pin, 'DRIVE_0'), hasattr(sys, 'modules'))\r"
        )
        await board.console.wait_for("^True False", DEADLINE)


async def test_a_tool_that_resets_finds_what_a_bare_board_has(tmp_path: Path) -> None:
    async with powered(tmp_path / "door", "pass") as door, bare(tmp_path / "bare") as other:
        await door.console.wait_for(">>> ", DEADLINE)
        assert await names(door) == await names(other)


async def names(board: Board) -> str:
    """What the modules have, in the raw REPL after a soft reset, as most tools use it."""
    board.console.write(b"\x01\x04")
    await board.console.wait_for("raw REPL; CTRL-B to exit\n>(.|\n)*raw REPL; CTRL-B to exit\n>", DEADLINE)
    board.console.clear()
    board.console.write(NAMES.encode() + b"\x04")
    await board.console.wait_for("OK(.|\n)*\x04>", DEADLINE)
    assert "Traceback" not in board.console.text
    return board.console.text
