"""What interrupts reaches a program that waits for its console, and the prompt, as on a chip."""

import subprocess
from pathlib import Path

import pytest

from tests.hil.board_rig import DEADLINE, bare
from tests.hil.machine_vm import LATCHWORK

TICKING = "from machine import Pin, Timer; n = []; Timer(0).init(period=5, callback=n.append); Pin(4, Pin.IN).irq(print)"


async def test_timers_and_pins_interrupt_the_prompt(tmp_path: Path) -> None:
    async with bare(tmp_path) as board:
        board.console.write(f"{TICKING}\r")
        board.console.write(
            "Timer(1).init(mode=0, period=20, callback=lambda t: print('rang', len(n) > 1))\r"
        )
        await board.console.wait_for("rang True", DEADLINE)
        board.pins.set_input(4, 1)
        await board.console.wait_for(r"Pin\(4\)", DEADLINE)
        board.console.write("6 * 7\r")
        await board.console.wait_for("^42", DEADLINE)


@pytest.mark.parametrize("waiting", ["input()", "sys.stdin.readline()", "sys.stdin.buffer.read(4)"])
async def test_they_interrupt_a_program_that_waits_for_input(tmp_path: Path, waiting: str) -> None:
    async with bare(tmp_path) as board:
        board.console.write(f"import sys; {TICKING}; print('ready'); print('heard', {waiting})\r")
        await board.console.wait_for("^ready", DEADLINE)
        for level in (1, 0):
            board.console.clear()
            board.pins.set_input(4, level)
            await board.console.wait_for(r"Pin\(4\)", DEADLINE)
        board.console.write("abc\n")
        await board.console.wait_for(r"^heard (b')?abc", DEADLINE)


async def test_they_go_on_between_two_commands_of_the_raw_repl(tmp_path: Path) -> None:
    async with bare(tmp_path) as board:
        board.console.write(b"\x01")
        await board.console.wait_for("raw REPL; CTRL-B to exit\n>", DEADLINE)
        board.console.write(
            f"{TICKING}\nTimer(1).init(mode=0, period=20, callback=lambda t: Pin(27, Pin.OUT).on())\x04"
        )
        await board.console.wait_for("OK\x04\x04>", DEADLINE)
        await board.pins.wait_pin(27, 1, DEADLINE)
        board.console.clear()
        board.console.write(b"print(len(n) > 1)\x04")
        await board.console.wait_for("OKTrue\n\x04\x04>", DEADLINE)


def test_they_interrupt_a_command_that_waits_for_its_standard_input() -> None:
    source = "import sys; from machine import Timer; Timer(0).init(mode=0, period=5, callback=print); print(sys.stdin.readline())"
    with subprocess.Popen(
        [LATCHWORK, "micropython", "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdin is not None
        assert command.stdout is not None
        assert command.stdout.readline().startswith("Timer(0")
        assert command.communicate("said\n", timeout=DEADLINE)[0] == "said\n\n"
