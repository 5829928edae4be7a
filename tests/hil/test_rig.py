"""The driver of a simulated board: what scenarios and tests may do to it, by role."""

import asyncio
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.board.board import Board
from hil.board.description import builtin
from hil.board.signals import WaitTimeout
from hil.rig import Target, Unwired
from hil.rig.capabilities import FLASH_FAULTS, wired
from hil.rig.expect import Expecter
from hil.rig.simulated import target
from hil.rig.strategy import Strategy
from hil.vm.spawner import Zygote
from tests.hil.board_rig import DEADLINE, program

ECHO = """
    from machine import Pin
    import time
    rex, led = Pin(14, Pin.IN, Pin.PULL_UP), Pin(2, Pin.OUT)
    print("one two")
    print("three")
    while True:
        led.value(not rex.value())
        time.sleep_ms(5)
"""


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Target]:
    """A board without a program."""
    async with Zygote() as zygote:
        board = Board(
            builtin(), "front", tmp_path / "front", vm=zygote, firmware=program(tmp_path / "src", "pass")
        )
        try:
            yield target(board)
        finally:
            await board.stop()


async def test_a_program_is_put_on_a_board_and_its_pins_are_moved_and_seen(bare: Target) -> None:
    await Strategy(bare).program({"main.py": textwrap.dedent(ECHO).encode(), "lib/deep/a.txt": b"\x00\xff"})
    assert (await bare.console.expect(r"(one) \w+", DEADLINE))[1] == "one"
    bare.pins.set("rex", "pressed", 1)
    await bare.pins.wait("led", "level", 1, DEADLINE)
    bare.pins.set("rex", "pressed", 0)
    await bare.pins.wait("led", "level", 0, DEADLINE)
    bare.pins.set("gpio14", "level", 0)
    await bare.pins.wait("led", "", 1, DEADLINE)
    read = await bare.console.execute("print(open('/lib/deep/a.txt', 'rb').read())")
    assert read.strip() == r"b'\x00\xff'"
    await bare.power.off()
    assert not bare.power.is_on


async def test_a_part_that_is_not_there_is_told_with_what_was_meant(bare: Target) -> None:
    for attempt, hint in (
        (lambda: bare.pins.level("relai"), "no part relai: did you mean relay?"),
        (lambda: bare.pins.level("relay", "contcat"), "no pin contcat: did you mean contact?"),
        (lambda: bare.pins.set("rex", "press", 1), "no control press: did you mean pressed?"),
        (lambda: bare.pins.set("tamper", "open", 1), "no part tamper; there are"),
        (lambda: bare.radio.place(None), "front has no radio"),
    ):
        with pytest.raises(Unwired, match=hint.replace("?", r"\?")):
            attempt()
    with pytest.raises(Unwired, match="reader_door"):
        await bare.reader.card(1, 2)
    with pytest.raises(Unwired, match="reader_door"):
        await bare.reader.key("1")


async def test_power_is_lost_at_a_write(bare: Target) -> None:
    await Strategy(bare).console()
    flash = wired(bare.flash_faults, FLASH_FAULTS)
    before = flash.writes()
    flash.cut_power_at(2, "within")
    bare.console.write(
        "import time; time.sleep_ms(50); f = open('/x', 'w'); f.write('y' * 9000); f.close()\r\n"
    )
    await bare.power.wait_off(DEADLINE)
    assert flash.writes() == before + 2


async def test_each_match_begins_where_the_one_before_it_ended() -> None:
    reader = Expecter()
    reader.feed(b"red green r\xc3")
    assert (await reader.expect(["green", "red"], 1))[0] == "red"
    assert await reader.expect_exact("green", 1) == "green"
    with pytest.raises(WaitTimeout, match=r"no 'green' on the console in 0\.01 s; unread: ' r'"):
        await reader.expect_exact("green", 0.01)
    waiting = asyncio.ensure_future(reader.expect("^é.$", 5))
    await asyncio.sleep(0)
    reader.feed(b"\xa9d\r\n\xc3\xa9a\r\n")
    assert (await waiting)[0] == "éa"
    assert reader.text == "red green réd\néa\n"
