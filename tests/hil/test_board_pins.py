"""Pins of a real VM: interrupts reach firmware wherever it waits, and the door follows its relay."""

import asyncio
import os
import re
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from hil.board.parts import DoorLocked
from hil.board.signals import WaitTimeout, now_us
from tests.hil.board_rig import DEADLINE, powered

RELAY_TO_STRIKE_US = 23_000  # operate time of the relay and release time of the strike in strike_door.toml


async def test_pin_interrupt_reaches_an_asyncio_waiter(tmp_path: Path) -> None:
    source = """
    import asyncio
    from machine import Pin
    async def main():
        flag = asyncio.ThreadSafeFlag()
        rex = Pin(14, Pin.IN, Pin.PULL_UP)
        rex.irq(lambda p: flag.set(), Pin.IRQ_FALLING)
        print("ready", rex.value())
        await flag.wait()
        print("pressed", rex.value())
    asyncio.run(main())
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready 1", DEADLINE)
        board.door.press_rex()
        await board.console.wait_for("pressed 0", DEADLINE)


@pytest.mark.parametrize(
    "waiting",
    ["time.sleep_ms(60000)", "time.sleep(60)", "machine.lightsleep(60000)", "machine.idle()", "rex()"],
)
async def test_pin_interrupt_reaches_plain_code(tmp_path: Path, waiting: str) -> None:
    source = f"""
    import machine, time
    rex = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    def pressed(pin):
        print("irq", pin is rex, pin())
    rex.irq(pressed, machine.Pin.IRQ_FALLING)
    print("ready")
    while True:
        {waiting}
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready", DEADLINE)
        board.door.press_rex()
        await board.console.wait_for("irq True 0", DEADLINE)


async def test_only_the_chosen_edge_interrupts(tmp_path: Path) -> None:
    source = """
    import machine, time
    rex = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    rex.irq(lambda p: print("edge", p()), machine.Pin.IRQ_RISING)
    print("ready")
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready", DEADLINE)
        board.door.press_rex()
        board.door.release_rex()
        await board.console.wait_for("edge 1", DEADLINE)
        assert "edge 0" not in board.console.text


async def test_exception_in_a_handler_is_printed_and_the_program_goes_on(tmp_path: Path) -> None:
    source = """
    import machine, time
    rex = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    rex.irq(lambda p: print("handled", 1 // p()), 3)
    print("ready")
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready", DEADLINE)
        board.door.press_rex()
        await board.console.wait_for("ZeroDivisionError", DEADLINE)
        board.door.release_rex()
        await board.console.wait_for("handled 1", DEADLINE)


async def test_handlers_do_not_nest_but_see_the_live_level(tmp_path: Path) -> None:
    source = """
    import machine, time
    rex = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    led = machine.Pin(2, machine.Pin.OUT, value=0)
    def handler(pin):
        print("enter")
        led.on()
        while pin() == 0:
            pass
        print("leave")
    rex.irq(handler, 3)
    print("ready")
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready", DEADLINE)
        board.door.press_rex()
        await board.pins.wait_pin("led", 1, DEADLINE)
        board.door.release_rex()
        await board.console.wait_for(r"enter\n\r?leave\n\r?enter\n\r?leave", DEADLINE)


async def test_relay_releases_the_strike_and_times_are_the_firmware_s(tmp_path: Path) -> None:
    source = """
    import machine, time
    relay = machine.Signal(26, machine.Pin.OUT, value=0, invert=False)
    rex = machine.Pin(14, machine.Pin.IN, machine.Pin.PULL_UP)
    while rex():
        machine.idle()
    a = time.ticks_us()
    relay.on()
    print("between", a, time.ticks_us(), relay.value())
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        with pytest.raises(DoorLocked):
            board.door.open()
        board.door.press_rex()
        energised = await board.pins.wait_pin("relay", 1, DEADLINE)
        released = await board.door.strike.wait(1, DEADLINE)
        assert released - energised == RELAY_TO_STRIKE_US
        match = await board.console.wait_for(r"between (\d+) (\d+) 1", DEADLINE)
        assert int(match[1]) <= energised <= int(match[2]) <= now_us()
        board.door.open()
        assert board.door.leaf.value == 1


async def test_position_switch_follows_the_leaf_also_when_it_is_forced(tmp_path: Path) -> None:
    source = """
    import machine, time
    dps = machine.Signal(machine.Pin(27, machine.Pin.IN, machine.Pin.PULL_UP))
    machine.Pin(27).irq(lambda p: print("leaf", dps.value()), 3)
    print("ready", dps.value())
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready 0", DEADLINE)
        board.door.force()
        await board.console.wait_for("leaf 1", DEADLINE)
        board.door.close()
        await board.console.wait_for("leaf 0", DEADLINE)


PULSE_MS = 51
SLACK_MS = 20  # of a host that takes the processor in the midst of a handler


async def test_edges_have_their_times_and_levels_when_the_vm_had_no_processor(tmp_path: Path) -> None:
    source = """
    import time
    from machine import Pin
    seen = []
    def changed(pin):
        start = time.ticks_us()
        seen.append((pin.value(), start // 1000, time.ticks_ms(), time.ticks_us() >= start))
    rex = Pin(14, Pin.IN, Pin.PULL_UP)
    rex.irq(changed, Pin.IRQ_FALLING | Pin.IRQ_RISING)
    print("ready")
    while len(seen) < 2:
        time.sleep_ms(5)
    (first, a, b, ran), (second, c, d, on) = seen
    took = time.ticks_diff(c, a), time.ticks_diff(d, b), ran and on
    print("seen", first, second, rex.value(), took, time.ticks_diff(time.ticks_ms(), d) >= 0)
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ready", DEADLINE)
        assert board.pid is not None
        os.kill(board.pid, SIGSTOP)
        began = now_us()
        board.door.press_rex()
        await asyncio.sleep(PULSE_MS / 1000)
        board.door.release_rex()
        longest = (now_us() - began) // 1000
        os.kill(board.pid, SIGCONT)
        match = await board.console.wait_for(r"seen 0 1 1 \((\d+), (\d+), True\) True", DEADLINE)
    for took in map(int, match.groups()):
        assert PULSE_MS - SLACK_MS <= took <= longest + SLACK_MS


async def test_what_held_interrupts_back_itself_finds_the_time_as_it_is(tmp_path: Path) -> None:
    source = """
    import time
    from machine import Pin, disable_irq, enable_irq
    seen = []
    Pin(14, Pin.IN, Pin.PULL_UP).irq(lambda pin: seen.append((pin.value(), time.ticks_ms())), Pin.IRQ_FALLING)
    held = disable_irq()
    print("held")
    while Pin(14).value():
        pass
    while not Pin(14).value():
        pass
    end = time.ticks_ms()
    enable_irq(held)
    print("seen", seen[0][0], time.ticks_diff(seen[0][1], end) >= 0)
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("held", DEADLINE)
        await board.door.tap_rex(PULSE_MS / 1000)
        await board.console.wait_for("seen 1 True", DEADLINE)


async def test_short_pulse_does_not_move_the_strike(tmp_path: Path) -> None:
    source = """
    import machine, time
    relay = machine.Pin(26, machine.Pin.OUT, value=1)
    relay.off()
    print("over")
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("over", DEADLINE)
        with pytest.raises(WaitTimeout):
            await board.door.relay.wait(1, 0.05)
        assert not board.door.unlocked


async def test_pwm_pixels_and_open_drain_reach_the_model(tmp_path: Path) -> None:
    source = """
    import machine, neopixel, time
    machine.PWM(machine.Pin(25), freq=2000, duty_u16=32768)
    pixels = neopixel.NeoPixel(machine.Pin(4), 1)
    pixels[0] = (1, 2, 3)
    pixels.write()
    line = machine.Pin(5, machine.Pin.OPEN_DRAIN, value=1)
    print("line", line.value())
    line.value(0)
    print("pixel", pixels[0])
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("line 1", DEADLINE)
        await board.console.wait_for(re.escape("pixel (1, 2, 3)"), DEADLINE)
        await board.pins.wait_pin("buzzer", 1, DEADLINE)
        assert (board.pins["buzzer"].frequency, board.pins["buzzer"].duty) == (2000, 32768)
        assert board.pins[4].pixels == bytes((2, 1, 3))
        assert board.pins.level("gpio5") == 0


async def test_every_change_is_recorded(tmp_path: Path) -> None:
    from hil.board.board import Board
    from hil.board.description import builtin
    from hil.trace.vcd import VcdWriter
    from hil.vm.spawner import Zygote
    from tests.hil.board_rig import program

    source = """
    import machine, time
    machine.Pin(26, machine.Pin.OUT, value=1)
    time.sleep(60)
    """
    vcd = VcdWriter(tmp_path / "door.vcd")
    async with Zygote() as zygote:
        rom = program(tmp_path / "src", source)
        board = Board(builtin(), "lobby", tmp_path / "lobby", vm=zygote, firmware=rom, trace=vcd)
        await board.start()
        await board.door.strike.wait(1, DEADLINE)
        await board.stop()
    vcd.close()
    text = (tmp_path / "door.vcd").read_text()
    for signal in ("relay", "relay_contact", "strike_released", "leaf_open", "dps", "power"):
        assert re.search(rf"\$var \w+ \d+ \S+ {signal}\b", text), signal
