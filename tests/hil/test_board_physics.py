"""Contacts that bounce, lines that are cut, a leaf that people hold, a supply that sags."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from hil.board.board import ASLEEP, OFF, RUNNING
from hil.board.contact import Wire, volts
from hil.board.description import Description, LinePart, builtin
from hil.board.parts import DoorLocked

from .board_rig import DEADLINE, powered

IDLE = "import time\nprint('ready')\nwhile True:\n    time.sleep_ms(1000)\n"


def changed(**parts: dict[str, Any]) -> Description:
    """The usual door with some fields of its parts changed."""
    about = builtin().model_dump()
    for part, fields in parts.items():
        about[part] = {**(about[part] or {}), **fields}
    return Description.model_validate(about)


async def test_firmware_sees_a_contact_bounce_and_come_to_rest(tmp_path: Path) -> None:
    source = """
    import machine, time
    edges = []
    pin = machine.Pin(27, machine.Pin.IN, machine.Pin.PULL_UP)
    pin.irq(lambda p: edges.append(p.value()))
    print("ready")
    while not edges:
        time.sleep_ms(1)
    time.sleep_ms(150)
    print("edges", len(edges), "rest", pin.value())
    """
    async with powered(tmp_path, source, description=changed(dps={"bounce_ms": 60})) as board:
        await board.console.wait_for("ready", DEADLINE)
        board.door.force()
        seen = await board.console.wait_for(r"edges (\d+) rest (\d)", DEADLINE)
        assert int(seen[1]) == 7
        assert seen[2] == "1"


async def test_a_relay_that_bounces_releases_the_strike_once(tmp_path: Path) -> None:
    source = (
        "import machine, time\nmachine.Pin(26, machine.Pin.OUT, value=1)\nprint('ready')\ntime.sleep(60)\n"
    )
    async with powered(tmp_path, source, description=changed(relay={"bounce_ms": 4}), on=False) as board:
        contact: list[tuple[int, int]] = []
        strike: list[int] = []
        board.door.relay.listen(lambda relay: contact.append((relay.t_us, relay.value)))
        board.door.strike.listen(lambda released: strike.append(released.t_us))
        await board.start()
        await board.door.strike.wait(1, DEADLINE)
        assert [level for _, level in contact] == [1, 0, 1, 0, 1, 0, 1]
        assert contact[-1][0] - contact[0][0] == 4000
        assert strike == [contact[-1][0] + 15_000]


async def test_a_converter_tells_a_cut_wire_from_an_open_contact(tmp_path: Path) -> None:
    source = """
    import machine, time
    adc = machine.ADC(machine.Pin(33), atten=machine.ADC.ATTN_11DB)
    while True:
        input()
        print("read", adc.read_uv() // 1000)
    """
    description = changed(dps={"pin": 33, "line": {}})
    line = LinePart.model_validate({})
    async with powered(tmp_path, source, description=description) as board:
        contact = board.door.contacts["dps"]

        async def reads() -> int:
            board.console.clear()
            board.console.write("\r")
            return int((await board.console.wait_for(r"read (\d+)", DEADLINE))[1])

        closed = await reads()
        board.door.force()
        opened = await reads()
        contact.break_wire(Wire.CUT)
        cut = await reads()
        board.door.close()
        assert await reads() == cut
        contact.break_wire(Wire.SHORT)
        short = await reads()
        contact.break_wire(Wire.WHOLE)
        assert await reads() == closed
    assert abs(closed - 1000 * volts(line, closed=True)) < 60
    assert abs(opened - 1000 * volts(line, closed=False)) < 60
    assert short < closed - 300 < opened - 600 < cut - 900


async def test_a_sagging_supply_holds_the_chip_in_reset_and_keeps_its_rtc_memory(tmp_path: Path) -> None:
    source = """
    import machine, time
    rtc = machine.RTC()
    was = bytes(rtc.memory())
    rtc.memory(b"kept")
    print("boot", machine.reset_cause(), was)
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for(r"boot 1 b''", DEADLINE)
        board.supply.set(4.5)
        await board.state.wait(ASLEEP, DEADLINE)
        assert board.pid is None
        assert board.boots.value == 1
        board.supply.restore()
        await board.console.wait_for(r"boot 1 b'kept'", DEADLINE)
        board.supply.set(1.0)
        await board.state.wait(OFF, DEADLINE)
        board.console.clear()
        board.supply.restore()
        await board.console.wait_for(r"boot 1 b''", DEADLINE)
        assert board.boots.value == 3


async def test_a_blink_of_the_supply_is_one_brown_out(tmp_path: Path) -> None:
    async with powered(tmp_path, IDLE) as board:
        await board.console.wait_for("ready", DEADLINE)
        board.supply.set(4.5)
        board.supply.restore()
        await board.boots.wait(2, DEADLINE)
        await board.state.wait(RUNNING, DEADLINE)


async def test_a_board_that_is_switched_on_while_the_supply_is_low_starts_when_it_rises(
    tmp_path: Path,
) -> None:
    async with powered(tmp_path, IDLE, on=False) as board:
        board.supply.set(4.5)
        starting = asyncio.create_task(board.power_on())
        await board.state.wait(ASLEEP, DEADLINE)
        assert board.boots.value == 0
        board.supply.restore()
        await starting
        assert board.boots.value == 1


async def test_a_strike_that_draws_too_much_resets_the_board_that_releases_it(tmp_path: Path) -> None:
    source = """
    import machine, time
    print("boot")
    time.sleep_ms(20)
    machine.Pin(26, machine.Pin.OUT, value=1)
    time.sleep(60)
    """
    weak = changed(supply={"ohms": 12.0, "lock_ma": 500})
    async with powered(tmp_path, source, description=weak) as board:
        await board.boots.wait(3, DEADLINE)
        board.supply.set(24.0)
        await board.door.strike.wait(1, DEADLINE)
        boots = board.boots.value
        assert board.supply.millivolts.value == 24_000 - 12 * 650
        assert board.boots.value == boots


async def test_a_person_leans_against_the_leaf_holds_it_and_props_it(tmp_path: Path) -> None:
    source = """
    import machine, time
    relay = machine.Pin(26, machine.Pin.OUT, value=0)
    print("ready")
    input()
    relay.on()
    time.sleep(60)
    """
    async with powered(tmp_path, source, description=changed(leaf={"closer_ms": 30})) as board:
        await board.console.wait_for("ready", DEADLINE)
        door = board.door
        with pytest.raises(DoorLocked, match=r"locked for 0\.05 s"):
            await door.push(0.05)
        with pytest.raises(ValueError, match="the leaf is shut"):
            door.prop()
        pushing = asyncio.create_task(door.push(DEADLINE))
        board.console.write("\r")
        await pushing
        assert door.leaf.value == 1
        door.prop()
        door.let_go()
        door.close()
        assert door.leaf.value == 1
        door.unprop()
        await door.leaf.wait(0, DEADLINE)
