"""``machine.Pin`` and ``machine.PWM`` of a bare board, with pins that are wired to each other."""

import asyncio
import os
import signal
from pathlib import Path

from hil.board.board import Board
from hil.board.description import load_description
from hil.vm.spawner import Zygote
from tests.hil.board_rig import DEADLINE, bare, did, program
from tests.hil.machine_vm import REFUSED, printed


def test_a_wire_carries_levels_edges_and_open_drains() -> None:
    assert printed(
        """
        from machine import Pin
        out, seen = Pin(4, Pin.OUT, value=0), Pin(5, Pin.IN)
        rose = []
        seen.irq(lambda p: rose.append(p()), Pin.IRQ_RISING)
        for _ in range(3):
            out(1)
            out.off()
        print(rose, seen.value(), seen.irq().trigger())
        seen.irq(None)
        out.toggle()
        print(rose, seen(), out())
        out.init(Pin.IN, Pin.PULL_UP)
        a, b = Pin(12, Pin.OPEN_DRAIN, value=1), Pin(13, Pin.OPEN_DRAIN, value=1)
        print(out(), seen(), a(), b())
        a(0)
        print(a(), b())
        b(0)
        a(1)
        print(a(), b())
        """
    ) == ["[1, 1, 1] 0 1", "[1, 1, 1] 1 1", "1 1 1 1", "0 0", "0 0"]


def test_an_output_that_is_wired_to_nothing_interrupts_by_itself_and_a_held_pad_stays() -> None:
    assert printed(
        """
        from machine import Pin
        p, n = Pin(18, Pin.OUT, value=0), []
        p.irq(lambda p: n.append(p()))
        p.on()
        p.off()
        print(n)
        out, seen = Pin(4, Pin.OUT, value=1, hold=True), Pin(5, Pin.IN)
        out(0)
        print(seen())
        out.init(hold=False)
        print(seen())
        """
    ) == ["[1, 0]", "1", "0"]


def test_the_port_s_refusals() -> None:
    assert printed(
        REFUSED
        + """
import machine
from machine import Pin, PWM
pwm = PWM(Pin(4), 5000)
pwm.deinit()
for act in (
    lambda: Pin(40), lambda: Pin(24), lambda: Pin(-1), lambda: Pin("X"), lambda: Pin(34, Pin.OUT),
    lambda: Pin(4).irq(lambda p: None, hard=True), lambda: Pin.board.LED, lambda: pwm.freq(),
    lambda: PWM(Pin(4), freq=0), lambda: PWM(Pin(4), duty=1, duty_ns=1), lambda: PWM(Pin(4), duty=1024),
    lambda: PWM(Pin(4), duty_u16=65536), lambda: PWM(Pin(4), 1000, duty_ns=2000000), lambda: PWM(Pin(34)),
    lambda: [PWM(Pin(p), 100 + p) for p in (2, 4, 5, 12, 13, 14, 15, 18, 19)], lambda: machine.freq(5),
    lambda: __import__("machine").CAN,
):
    refused(act)
try:
    from machine import CAN
except ImportError as e:
    print(e)
"""
    ) == [
        *["ValueError invalid pin"] * 4,
        "ValueError pin can only be input",
        "TypeError extra keyword arguments given",
        "AttributeError type object 'board' has no attribute 'LED'",
        "RuntimeError PWM inactive",
        "ValueError frequency must be from 1Hz to 40MHz",
        "ValueError only one of parameters 'duty', 'duty_u16' or 'duty_ns' is allowed",
        "ValueError duty must be from 0 to 1023",
        "ValueError duty_u16 must be from 0 to 65535",
        "ValueError duty_ns must be from 0 to 1000000 ns",
        "ValueError PWM not supported on Pin(34)",
        "ValueError out of PWM timers:8",
        "ValueError frequency must be 20MHz, 40MHz, 80Mhz, 160MHz or 240MHz",
        "AttributeError module 'machine' has no attribute 'CAN'",
        "can't import name CAN",
    ]


def test_a_pwm_signal_is_seen_at_the_other_end_of_the_wire() -> None:
    lines = printed(
        """
        import time
        from machine import Pin, PWM, time_pulse_us
        seen, pwm = Pin(5, Pin.IN), PWM(Pin(4), freq=1250, duty_u16=16384)
        print(pwm)
        time_pulse_us(seen, 1)
        print([time_pulse_us(seen, level) for level in (0, 1, 0, 1)])
        pwm.duty(1023)
        print(time_pulse_us(seen, 0, 2000), time_pulse_us(seen, 1, 2000), seen())
        pwm.init(freq=100, duty_ns=1000000)
        rises = []
        seen.irq(lambda p: rises.append(time.ticks_us()), Pin.IRQ_RISING)
        time.sleep_ms(205)
        seen.irq(None)
        print(19 <= len(rises) <= 21, pwm.duty_ns(), pwm.duty_u16())
        pwm.deinit()
        print(pwm, time_pulse_us(seen, 1, 100), seen())
        """
    )
    assert lines == [
        "PWM(Pin(4), freq=1250, duty_u16=16384, resolution=15, (duty=25.00%, resolution=0.003%), mode=0, channel=0, timer=0)",
        "[600, 200, 600, 200]",
        "-2 -1 1",
        "True 1000076 6554",
        "PWM(Pin(4)) -2 0",
    ]


def test_another_board_is_described_in_a_file(tmp_path: Path) -> None:
    board = tmp_path / "mine.toml"
    board.write_text('name = "mine"\n[[wire]]\npins = [18, 19, 21]\n')
    source = """
    from machine import Pin
    Pin(18, Pin.OUT, value=1)
    print(Pin(19, Pin.IN)(), Pin(21, Pin.IN)(), Pin(5, Pin.IN)())
    """
    assert printed(source, LATCHWORK_BOARD=str(board)) == ["1 1 0"]


async def test_a_board_of_the_bench_has_wires_names_and_wakes_by_a_pin(tmp_path: Path) -> None:
    text = tmp_path / "board.toml"
    text.write_text(
        'name = "bare"\n[led]\npin = 2\n[rex]\npin = 14\nactive = "low"\n[[wire]]\npins = [4, 5]\n',
        encoding="utf-8",
    )
    source = """
    import esp32, machine
    from machine import Pin
    print("woken", machine.reset_cause(), machine.wake_reason(), Pin.board.LED, Pin("REX"))
    Pin(4, Pin.OUT, value=1)
    print("seen", Pin(5, Pin.IN)())
    Pin(14, Pin.IN, Pin.PULL_UP).irq(trigger=Pin.WAKE_LOW, wake=machine.DEEPSLEEP)
    machine.deepsleep(60000)
    """
    async with Zygote() as zygote:
        rom = program(tmp_path / "src", source)
        board = Board(load_description(text), "bare", tmp_path / "bare", vm=zygote, firmware=rom)
        try:
            await board.start()
            await board.console.wait_for(r"woken 1 0 Pin\(2\) Pin\(14\)\n.*seen 1", DEADLINE)
            await board.state.wait("asleep", DEADLINE)
            board.door.press_rex()
            await board.console.wait_for("woken 4 2", DEADLINE)
        finally:
            await board.stop()


def test_a_signal_is_a_pin_that_may_be_upside_down() -> None:
    assert printed(
        """
        from machine import Pin, Signal, time_pulse_us
        lamp, seen = Signal(4, Pin.OUT, value=1, invert=True), Signal(Pin(5, Pin.IN))
        print(isinstance(lamp, Signal), lamp.value(), seen())
        lamp.on()
        print(lamp(), seen.value(), Signal(lamp, invert=True)(), time_pulse_us(seen, 1, 100))
        """
    ) == ["True 0 1", "1 0 0 -2"]


async def test_the_handler_of_a_board_that_had_no_processor_sees_the_level_of_its_edge(
    tmp_path: Path,
) -> None:
    program = (
        "from machine import Pin\np = Pin(14, Pin.IN, Pin.PULL_UP)\nedges = []\n"
        "_ = p.irq(lambda p: edges.append((p.value(), time.ticks_ms())), Pin.IRQ_FALLING | Pin.IRQ_RISING)"
    )
    async with bare(tmp_path) as board:
        assert await did(board, program) == ""
        assert board.pid is not None
        os.kill(board.pid, signal.SIGSTOP)
        for level in (0, 1):
            board.pins.set_input("gpio14", level)
            await asyncio.sleep(0.02)
        os.kill(board.pid, signal.SIGCONT)
        told = await did(
            board, "print([level for level, _ in edges], time.ticks_diff(edges[1][1], edges[0][1]) >= 15)"
        )
        assert told == "[0, 1] True\n"
