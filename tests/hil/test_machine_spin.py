"""Firmware that spins is interrupted as on a chip, on a bare board."""

import subprocess
from pathlib import Path

from hil.board.board import Board
from hil.board.description import builtin
from hil.vm.spawner import Zygote
from tests.hil.board_rig import DEADLINE, program
from tests.hil.machine_vm import LATCHWORK, printed


def test_pins_timers_and_uarts_interrupt_a_loop_that_waits_for_nothing() -> None:
    assert (
        printed(
            """
        import gc
        from machine import Pin, PWM, Timer, UART
        count = 0
        def handler(source):
            global count
            count += 1
        def spin(until):
            global count
            count, garbage = 0, []
            while count < until:
                garbage.append([count])
                if len(garbage) > 500:
                    garbage = []
                    gc.collect()
            print("done")
        timer = Timer(0)
        timer.init(period=2, callback=handler)
        spin(20)
        timer.deinit()
        pwm = PWM(Pin(4), freq=500)
        Pin(5, Pin.IN).irq(handler, Pin.IRQ_RISING)
        spin(20)
        pwm.deinit()
        uart = UART(1, 115200, tx=4, rx=5)
        uart.irq(handler, UART.IRQ_RX)
        uart.write("0123456789")
        spin(1)
        """
        )
        == ["done"] * 3
    )


def test_handlers_and_calls_of_the_program_do_not_get_in_each_other_s_way() -> None:
    assert printed(
        """
        import machine
        from machine import Pin, PWM, Timer
        out, seen, rtc, calls = Pin(12, Pin.OUT), Pin(13, Pin.IN), machine.RTC(), []
        def handler(timer):
            out.toggle()
            calls.append(seen() == out())
        timer = Timer(1)
        timer.init(period=1, callback=handler)
        good, turns = 0, 0
        while len(calls) < 50:
            rtc.memory(str(turns).encode())
            good += rtc.memory() == str(turns).encode()
            turns += 1
        timer.deinit()
        print(good == turns, turns > 50, all(calls))
        """
    ) == ["True True True"]


def test_disabled_interrupts_wait() -> None:
    assert printed(
        """
        import machine, time
        from machine import Pin, Timer
        rang = []
        timer = Timer(0)
        timer.init(mode=Timer.ONE_SHOT, period=5, callback=rang.append)
        state = machine.disable_irq()
        start = time.ticks_ms()
        while time.ticks_diff(time.ticks_ms(), start) < 30:
            pass
        print(len(rang))
        machine.enable_irq(state)
        while not rang:
            pass
        print(rang == [timer])
        """
    ) == ["0", "True"]


async def test_ctrl_c_ends_a_loop_that_is_interrupted_meanwhile(tmp_path: Path) -> None:
    source = """
    from machine import Timer
    rang = []
    Timer(0).init(period=5, callback=rang.append)
    while True:
        if len(rang) == 5:
            print("spinning")
    """
    async with Zygote() as zygote:
        rom = program(tmp_path / "src", source)
        board = Board(builtin("esp32"), "bare", tmp_path / "bare", vm=zygote, firmware=rom)
        try:
            await board.start()
            await board.console.wait_for("spinning", DEADLINE)
            board.console.write(b"\x03")
            await board.console.wait_for("KeyboardInterrupt", DEADLINE)
            board.console.write(b"print(6 * 7)\r")
            await board.console.wait_for("^42", DEADLINE)
        finally:
            await board.stop()


def test_a_reset_in_a_handler_ends_a_loop() -> None:
    handler = "lambda t: (machine.Pin(5, machine.Pin.IN)(), machine.reset())"
    source = f"import machine\nmachine.Timer(0).init(period=5, callback={handler})\nwhile True: pass"
    done = subprocess.run(
        [LATCHWORK, "micropython", "-c", source], capture_output=True, text=True, timeout=DEADLINE
    )
    assert "HARD reset" in done.stderr
