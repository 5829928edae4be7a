"""Outside tools on the board's console: they see a serial port with a MicroPython behind it."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mpremote.transport import TransportExecError
from mpremote.transport_serial import SerialTransport

from hil.board.console import MAX_LOG, Console
from hil.board.processor import ASLEEP, HASTY_LIVES
from hil.board.signals import WaitTimeout
from tests.hil.board_rig import DEADLINE, bare, did, powered

FOREVER = """
import asyncio
print("agent runs")
asyncio.run(asyncio.Event().wait())
"""


async def with_tool(path: str, use: Callable[[Any], Any]) -> Any:
    def work() -> Any:
        tool = SerialTransport(path, baudrate=115200, wait=5)
        try:
            return use(tool)
        finally:
            tool.close()

    return await asyncio.wait_for(asyncio.to_thread(work), DEADLINE)


@pytest.mark.parametrize("soft_reset", [False, True])
async def test_mpremote_interrupts_the_program_and_executes(tmp_path: Path, soft_reset: bool) -> None:
    def use(tool: Any) -> Any:
        tool.enter_raw_repl(soft_reset=soft_reset)
        result = tool.exec("import machine; print(machine.reset_cause())")
        tool.exit_raw_repl()
        return result

    async with powered(tmp_path, FOREVER) as board:
        await board.console.wait_for("agent runs", DEADLINE)
        assert await with_tool(board.console.path, use) == (b"5\r\n" if soft_reset else b"1\r\n")
        # A soft reset from the raw REPL starts no program, as on hardware.
        assert board.console.text.count("agent runs") == 1


async def test_mpremote_moves_files_and_reports_exceptions(tmp_path: Path) -> None:
    content = bytes(range(256)) * 40

    def use(tool: Any) -> Any:
        tool.enter_raw_repl(soft_reset=True)
        tool.fs_writefile("/data.bin", content)
        with pytest.raises(TransportExecError, match="ZeroDivisionError"):
            tool.exec("1 / 0")
        return tool.fs_readfile("/data.bin")

    async with powered(tmp_path, "pass") as board:
        assert await with_tool(board.console.path, use) == content


async def test_reset_by_a_tool_starts_the_program_behind_the_same_path(tmp_path: Path) -> None:
    def use(tool: Any) -> None:
        tool.enter_raw_repl(soft_reset=False)
        tool.exec_raw_no_follow("import machine; machine.reset()")

    async with powered(tmp_path, FOREVER) as board:
        await board.console.wait_for("agent runs", DEADLINE)
        await with_tool(board.console.path, use)
        await board.boots.wait(2, DEADLINE)
        await board.console.wait_for("agent runs(.|\n)*agent runs", DEADLINE)


async def test_ctrl_c_reaches_a_busy_loop_and_ctrl_d_restarts(tmp_path: Path) -> None:
    async with powered(tmp_path, "print('busy')\nwhile True:\n    pass") as board:
        await board.console.wait_for("busy", DEADLINE)
        board.console.write(b"\x03")
        await board.console.wait_for("KeyboardInterrupt", DEADLINE)
        board.console.clear()
        board.console.write(b"\x04")
        await board.console.wait_for("soft reboot(.|\n)*busy", DEADLINE)


async def test_the_tools_end_is_there_while_it_is_wanted(tmp_path: Path) -> None:
    def masters() -> int:
        files = Path("/proc/self/fd").iterdir()
        return sum(file.is_symlink() and "ptmx" in str(file.readlink()) for file in files)

    def use(tool: Any) -> Any:
        tool.enter_raw_repl(soft_reset=False)
        return tool.exec("print(6 * 7)")

    before = masters()
    async with powered(tmp_path, FOREVER) as board:
        await board.console.wait_for("agent runs", DEADLINE)
        assert masters() == before + 1
        for _ in range(2):
            path = board.console.path
            assert masters() == before + 2
            assert await with_tool(path, use) == b"42\r\n"
            assert board.console.path == path
            board.console.unplug()
            assert masters() == before + 1
    assert masters() == before


async def test_log_is_bounded_and_a_missing_text_is_a_clear_error(tmp_path: Path) -> None:
    async with powered(tmp_path, "for i in range(4000):\n    print('x' * 99)\nprint('end')") as board:
        await board.console.wait_for("end", DEADLINE)
        assert len(board.console.text) <= MAX_LOG
        with pytest.raises(WaitTimeout, match=r"no 'never' on the console.*end"):
            await board.console.wait_for("never", 0.01)


async def test_ctrl_c_at_any_moment_leaves_the_board_link_in_step(tmp_path: Path) -> None:
    async with powered(tmp_path, "pass") as board:
        await board.console.wait_for(">>> ", DEADLINE)
        board.console.write("from machine import Pin\r\n")
        for attempt in range(60):
            board.console.clear()
            board.console.write("exec('print(\"go\")\\nwhile 1: Pin(5, Pin.IN)()')\r\n")
            await board.console.wait_for("^go", DEADLINE)
            for level in range(attempt % 7):
                board.pins.set_input(5, level & 1)
            board.pins.set_input(5, 0)
            board.console.write(b"\x03")
            await board.console.wait_for("KeyboardInterrupt", DEADLINE)
            board.console.write("print('level', Pin(5, Pin.IN)())\r\n")
            await board.console.wait_for(r"^level 0", DEADLINE)


async def test_ctrl_c_right_behind_a_command_is_not_lost(tmp_path: Path) -> None:
    async with powered(tmp_path, "pass") as board:
        await board.console.wait_for(">>> ", DEADLINE)
        board.console.write("exec('while 1: pass')\r\n\x03")
        await board.console.wait_for("KeyboardInterrupt", DEADLINE)


async def test_ctrl_c_does_not_wait_for_a_program_that_takes_none(tmp_path: Path) -> None:
    async with powered(tmp_path, "print('busy')\nwhile True:\n    pass") as board:
        await board.console.wait_for("busy", DEADLINE)
        board.console.write(b"\x03print('then')\r\n")
        await board.console.wait_for("KeyboardInterrupt(.|\n)*^then", DEADLINE)


@pytest.mark.parametrize(
    "program", ["while True: pass", "import socket; s=socket.socket(); s.listen(1); s.accept()"]
)
async def test_ctrl_c_ends_what_a_tool_has_started_in_the_raw_repl(tmp_path: Path, program: str) -> None:
    def use(tool: Any) -> Any:
        tool.enter_raw_repl(soft_reset=False)
        tool.exec_raw_no_follow(f"print('begun')\n{program}")
        tool.read_until(1, b"begun\r\n")
        tool.serial.write(b"\x03")
        return tool.follow(10)

    async with powered(tmp_path, "pass") as board:
        _, error = await with_tool(board.console.path, use)
        assert b"KeyboardInterrupt" in error


async def test_a_program_that_takes_ctrl_c_as_a_character_gets_it(tmp_path: Path) -> None:
    source = """
    import micropython, sys
    micropython.kbd_intr(-1)
    print("reads")
    print(ord(sys.stdin.read(1)))
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("reads", DEADLINE)
        board.console.write(b"\x03")
        await board.console.wait_for("^3\r?$", DEADLINE)


async def test_a_soft_reset_is_told_behind_the_last_words_of_its_program() -> None:
    console = Console(lambda: None, lambda: False, lambda: None)
    try:
        os.write(console.vm_terminal, b"last words\r\n" * 200)
        console.say("MPY: soft reboot\r\n")
        assert console.text == "last words\n" * 200 + "MPY: soft reboot\n"
    finally:
        console.close()


@pytest.mark.parametrize("name", ["boot.py", "main.py"])
async def test_a_traceback_begins_in_the_program_as_on_hardware(tmp_path: Path, name: str) -> None:
    source = "def deep():\n    raise ValueError('oh')\n\ndeep()\n"
    async with bare(tmp_path) as board:
        await did(board, f"with open({name!r}, 'w') as f: print(f.write({source!r}))")
        board.console.clear()
        await board.reset()
        await board.console.wait_for(">>> ", DEADLINE)
        told = f'  File "{name}", line 4, in <module>\n  File "{name}", line 2, in deep\nValueError: oh\n'
        assert board.console.text.startswith(f"Traceback (most recent call last):\n{told}")


async def test_a_tool_that_soft_resets_again_and_again_is_not_slowed_down(tmp_path: Path) -> None:
    def use(tool: Any) -> list[bytes]:
        tool.enter_raw_repl(soft_reset=True)
        said = []
        for number in range(HASTY_LIVES + 2):
            tool.enter_raw_repl(soft_reset=True)
            said.append(tool.exec(f"print({number})"))
        tool.exit_raw_repl()
        return said

    seen: list[str] = []
    async with bare(tmp_path) as board:
        board.state.listen(lambda state: seen.append(state.value))
        said = await with_tool(board.console.path, use)
    assert said == [f"{number}\r\n".encode() for number in range(HASTY_LIVES + 2)]
    assert ASLEEP not in seen


async def test_a_terminal_at_the_prompt_sees_what_a_chip_would_print(tmp_path: Path) -> None:
    seen = bytearray()
    async with bare(tmp_path) as board:
        board.console.listen(seen.extend)
        for line in ("print('a')", "import machine; machine.Pin(99)", "import time; time.sleep('x')"):
            before = len(seen)
            board.console.write(f"{line}\r")
            await board.console.wait_for(re.escape(line) + r"\n(.*\n)+>>> \Z", DEADLINE)
            answer = bytes(seen[before:]).replace(b"\r\n", b"|")
            assert b"\n" not in answer
            if "import" in line:
                assert b'last):|  File "<stdin>", line 1, in <module>|' in answer
                assert b"|ValueError: invalid pin|" in answer or b"|TypeError: " in answer
