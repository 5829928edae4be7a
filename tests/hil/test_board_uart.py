"""machine.UART of a real VM: bytes cross at the line's speed and settings, and wake firmware wherever it waits."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hil.board.board import Board
from hil.board.description import Description, DescriptionError, builtin, load_description
from tests.hil.board_rig import DEADLINE, powered, switches

OPEN = "uart = machine.UART(1, 9600, tx=17, rx=16)\n"
CHARACTER_S = 10 / 9600


class Device:
    """What is at the end of the line: it remembers."""

    def __init__(self, board: Board) -> None:
        self.heard = b""
        self._grown = asyncio.Event()
        self.say = board.uarts[1].attach(self._hear)

    def _hear(self, data: bytes) -> None:
        self.heard += data
        self._grown.set()

    async def hears(self, data: bytes) -> None:
        async with asyncio.timeout(DEADLINE):
            while data not in self.heard:
                self._grown.clear()
                await self._grown.wait()


def described(**changes: Any) -> Description:
    line = {"number": 1, "tx": 17, "rx": 16, **changes}
    return Description.model_validate({**builtin().model_dump(), "uart": [line]})


@contextlib.asynccontextmanager
async def at_line(folder: Path, source: str, **line: Any) -> AsyncIterator[tuple[Board, Device]]:
    source = "import asyncio, machine, select, time\n" + source
    async with powered(folder, source, description=described(**line), on=False) as board:
        device = Device(board)
        await board.start()
        yield board, device


async def test_bytes_cross_both_ways_and_take_their_time(tmp_path: Path) -> None:
    source = f"""{OPEN}
begin = time.ticks_ms()
print("wrote", uart.write(bytes(range(96))), uart.txdone())
uart.flush()
print("took", time.ticks_diff(time.ticks_ms(), begin), uart.txdone())
while uart.any() < 5:
    time.sleep_ms(5)
buf = bytearray(3)
print("got", uart.readinto(buf), buf, uart.read(), uart.read(), uart.readinto(buf))
time.sleep(60)
"""
    async with at_line(tmp_path, source) as (board, device):
        match = await board.console.wait_for(r"wrote 96 False\n.*took (\d+) True", DEADLINE)
        assert int(match[1]) >= 96 * CHARACTER_S * 1000 - 1
        await device.hears(bytes(range(96)))
        assert board.uarts[1].baud.value == 9600
        device.say(b"hello")
        await board.console.wait_for(r"got 3 bytearray\(b'hel'\) b'lo' None None", DEADLINE)
        await board.reset()
        assert await board.uarts[1].baud.wait(9600, DEADLINE)


async def test_a_stream_reader_sleeps_until_bytes_come(tmp_path: Path) -> None:
    source = f"""{OPEN}
async def main():
    stream = asyncio.StreamReader(uart)
    stream.write(b"ready")
    await stream.drain()
    while True:
        print("line", await stream.readline())
asyncio.run(main())
"""
    async with at_line(tmp_path, source) as (board, device):
        await device.hears(b"ready")
        assert board.pid is not None
        before = switches(board.pid)
        await asyncio.sleep(0.5)
        assert switches(board.pid) - before < 20
        device.say(b"one\ntw")
        await board.console.wait_for(r"line b'one\\n'", DEADLINE)
        device.say(b"o\n")
        await board.console.wait_for(r"line b'two\\n'", DEADLINE)


async def test_select_and_the_idle_interrupt_see_bytes(tmp_path: Path) -> None:
    source = f"""{OPEN}
poll = select.poll()
poll.register(uart, select.POLLIN)
print("none", poll.poll(0))
uart.irq(lambda u: print("idle", u is uart, u.any()), machine.UART.IRQ_RXIDLE)
print("ready", poll.poll(60000)[0][1] == select.POLLIN)
time.sleep(60)
"""
    async with at_line(tmp_path, source) as (board, device):
        await board.console.wait_for(r"none \[\]", DEADLINE)
        device.say(b"abc")
        await board.console.wait_for("idle True 3", DEADLINE)
        await board.console.wait_for("ready True", DEADLINE)


async def test_a_read_with_a_timeout_waits_for_it_and_no_longer(tmp_path: Path) -> None:
    source = """
uart = machine.UART(1, 9600, tx=17, rx=16, timeout=100, timeout_char=20)
begin = time.ticks_ms()
print("nothing", uart.read(4), time.ticks_diff(time.ticks_ms(), begin) >= 100)
uart.init(timeout=60000, timeout_char=60000)
print("four", uart.read(4), uart.readline())
time.sleep(60)
"""
    async with at_line(tmp_path, source) as (board, device):
        await board.console.wait_for("nothing None True", DEADLINE)
        device.say(b"ab")
        device.say(b"cdline\n")
        await board.console.wait_for(r"four b'abcd' b'line\\n'", DEADLINE)


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("machine.UART(1, 19200, tx=17, rx=16)", {"baud": 9600}),
        ("machine.UART(1, 9600, tx=16, rx=17)", {}),
        ("machine.UART(1, 9600, tx=17, rx=16)", {"de": 4}),
    ],
    ids=["rate", "pins", "driver"],
)
async def test_a_wrong_rate_wrong_pins_or_a_driver_that_is_off_let_nothing_through(
    tmp_path: Path, code: str, line: dict[str, int]
) -> None:
    source = f"uart = {code}\nuart.write(b'hello')\nuart.flush()\nprint('sent')\ntime.sleep(60)\n"
    async with at_line(tmp_path, source, **line) as (board, device):
        await board.console.wait_for("sent", DEADLINE)
        await asyncio.sleep(0.05)
        assert b"hello" not in device.heard


async def test_the_driver_is_heard_while_it_is_on_and_deaf_meanwhile(tmp_path: Path) -> None:
    source = f"""{OPEN}
de = machine.Pin(4, machine.Pin.OUT, value=1)
uart.write(b"whole")
uart.flush()
print("now")
time.sleep_ms(200)
print("deaf", uart.any())
uart.write(b"x" * 100)
time.sleep_ms(20)
de(0)
print("off")
time.sleep(60)
"""
    async with at_line(tmp_path, source, de=4) as (board, device):
        await board.console.wait_for("now", DEADLINE)
        await device.hears(b"whole")
        device.say(b"hello")
        await board.console.wait_for("deaf 0\n.*off", DEADLINE)
        await device.hears(b"whole" + b"x" * 10)
        assert device.heard.count(b"x") < 90


async def test_what_does_not_fit_the_buffer_is_lost_and_a_console_uart_is_not_to_be_had(
    tmp_path: Path,
) -> None:
    source = """
uart = machine.UART(1, 115200, tx=machine.Pin(17), rx=machine.Pin(16), rxbuf=32)
try:
    machine.UART(0)
except ValueError as e:
    print("refused", e)
while uart.any() < 32:
    time.sleep_ms(5)
time.sleep_ms(50)
print("kept", uart.any(), uart.read()[-1])
time.sleep(60)
"""
    async with at_line(tmp_path, source) as (board, device):
        await board.console.wait_for("refused", DEADLINE)
        device.say(bytes(range(100)))
        await board.console.wait_for("kept 32 31", DEADLINE)


async def test_a_pseudo_terminal_is_an_end_of_the_line(tmp_path: Path) -> None:
    source = f"{OPEN}while True:\n    uart.write(uart.read() or b'')\n    time.sleep_ms(5)\n"
    async with at_line(tmp_path, source) as (board, _):
        fd = os.open(board.uarts[1].open_pty(), os.O_RDWR | os.O_NOCTTY)
        try:
            await board.uarts[1].baud.wait(9600, DEADLINE)
            await asyncio.to_thread(os.write, fd, b"echo")
            got = b""
            while len(got) < 4:
                got += await asyncio.to_thread(os.read, fd, 10)
            assert got == b"echo"
        finally:
            os.close(fd)


async def test_a_uart_without_a_line_is_silent(tmp_path: Path) -> None:
    source = "uart = machine.UART(2)\nprint('n', uart.write(b'x'), uart.read(), uart.any())\ntime.sleep(60)\n"
    async with at_line(tmp_path, source) as (board, _):
        await board.console.wait_for("n 1 None 0", DEADLINE)


def test_a_line_is_described_once_on_pins_of_its_own(tmp_path: Path) -> None:
    text = (Path(load_description.__code__.co_filename).parents[1] / "boards" / "osdp_door.toml").read_text()
    path = tmp_path / "door.toml"
    path.write_text(text)
    assert load_description(path).pins["uart1_de"] == 4
    for wrong, reason in (
        (text.replace("tx = 17", "tx = 26"), "pin 26 is used by relay and uart1_tx"),
        (text + "[[uart]]\nnumber = 1\ntx = 5\nrx = 6\n", "described twice"),
        (text.replace("number = 1", "number = 0"), "uart.0.number"),
    ):
        path.write_text(wrong)
        with pytest.raises(DescriptionError, match=reason):
            load_description(path)
