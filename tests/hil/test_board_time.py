"""Timers, the RTC and the reset line of a real VM."""

from pathlib import Path

import pytest

from hil.board.core import Cause
from hil.board.description import builtin
from tests.hil.board_rig import DEADLINE, powered

REPORT = """
import machine
print("cause", machine.reset_cause())
"""


@pytest.mark.parametrize("waiting", ["asyncio.run(asyncio.Event().wait())", "time.sleep(60)"])
async def test_timers_run_while_the_program_waits(tmp_path: Path, waiting: str) -> None:
    source = f"""
    import asyncio, time
    from machine import Timer
    seen = []
    def tick(timer):
        seen.append(1)
        if len(seen) == 3:
            timer.deinit()
            print("ticks", len(seen))
            Timer(1).init(mode=Timer.ONE_SHOT, period=10, callback=lambda t: print("once", len(seen)))
    Timer(0, period=5, mode=Timer.PERIODIC, callback=tick)
    {waiting}
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("ticks 3", DEADLINE)
        await board.console.wait_for("once 3", DEADLINE)


async def test_timer_ends_a_pulse_that_no_task_ends(tmp_path: Path) -> None:
    source = """
    import time
    from machine import Pin, Timer
    relay = Pin(26, Pin.OUT, value=1)
    Timer(0).init(mode=Timer.ONE_SHOT, period=100, callback=lambda t: relay.off())
    time.sleep(60)
    """
    async with powered(tmp_path, source) as board:
        on = await board.pins.wait_pin("relay", 1, DEADLINE)
        off = await board.pins.wait_pin("relay", 0, DEADLINE)
        assert off - on >= 100_000


async def test_a_timer_set_late_in_a_millisecond_does_not_ring_early(tmp_path: Path) -> None:
    source = """
    import time
    from machine import Timer
    shortest = 9999
    rung = []
    for _ in range(30):
        while time.ticks_us() % 1000 < 800:
            pass
        rung.clear()
        start = time.ticks_us()
        Timer(0).init(mode=Timer.ONE_SHOT, period=3, callback=rung.append)
        while not rung:
            time.sleep_ms(1)
        shortest = min(shortest, time.ticks_diff(time.ticks_us(), start))
    print("shortest", shortest >= 3000, shortest)
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("shortest True", DEADLINE)


async def test_rtc_outlives_a_reset_but_not_the_power(tmp_path: Path) -> None:
    source = """
    import machine, time
    rtc = machine.RTC()
    print("year", rtc.datetime()[0], time.localtime()[0], rtc.memory())
    rtc.datetime((2031, 5, 6, 0, 7, 8, 9, 0))
    rtc.memory(b"kept")
    print("set", rtc.datetime()[:7], time.gmtime()[:6])
    """
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("year 2000 2000 b''", DEADLINE)
        await board.console.wait_for(r"set \(2031, 5, 6, 1, 7, 8, 9\) \(2031, 5, 6, 7, 8, 9\)", DEADLINE)
        await board.reset()
        await board.console.wait_for("year 2031 2031 b'kept'", DEADLINE)
        await board.power_cut()
        board.console.clear()
        await board.power_on()
        await board.console.wait_for("year 2000 2000 b''", DEADLINE)


async def test_a_brown_out_loses_registers_keeps_rtc_memory_and_reads_as_a_power_on(tmp_path: Path) -> None:
    source = """
    import machine
    rtc = machine.RTC()
    print("cause", machine.reset_cause(), rtc.datetime()[0], rtc.memory())
    rtc.datetime((2031, 5, 6, 0, 7, 8, 9, 0))
    rtc.memory(b"kept")
    machine.Pin(26, machine.Pin.OUT, value=1)
    """
    async with powered(tmp_path, source) as board:
        await board.pins.wait_pin("relay", 1, DEADLINE)
        board.console.clear()
        await board.brown_out()
        await board.console.wait_for("cause 1 2000 b'kept'", DEADLINE)
        await board.pins.wait_pin("relay", 1, DEADLINE)
        board.console.clear()
        await board.reset()
        await board.console.wait_for("cause 2 2031 b'kept'", DEADLINE)
        await board.power_cut()
        with pytest.raises(RuntimeError, match="no power"):
            await board.brown_out()


@pytest.mark.parametrize("drift_ppm", [-50_000, 0, 50_000])
async def test_the_ticks_of_a_board_run_as_its_crystal_does(tmp_path: Path, drift_ppm: int) -> None:
    """Against its RTC, which the bench keeps right."""
    source = """
    import time
    def both():
        return time.ticks_us(), time.time_ns() // 1000
    pairs = [both()]
    time.sleep_ms(1000)
    pairs.append(both())
    ticks, true = (time.ticks_diff(pairs[1][0], pairs[0][0]), pairs[1][1] - pairs[0][1])
    print("drift", (ticks - true) * 1000000 // true, "ms", time.ticks_ms() - time.ticks_us() // 1000)
    """
    whole = builtin()
    description = whole.model_copy(update={"mcu": whole.mcu.model_copy(update={"drift_ppm": drift_ppm})})
    async with powered(tmp_path, source, description=description) as board:
        told = await board.console.wait_for(r"drift (-?\d+) ms (-?\d+)", DEADLINE)
        assert abs(int(told[1]) - drift_ppm) < 10_000
        assert abs(int(told[2])) < 100


async def test_reset_line_keeps_the_console_and_loses_ram(tmp_path: Path) -> None:
    source = REPORT + "machine.Pin(26, machine.Pin.OUT, value=1)"
    async with powered(tmp_path, source) as board:
        path, pid = board.console.path, board.pid
        await board.console.wait_for("cause 1", DEADLINE)
        await board.pins.wait_pin("relay", 1, DEADLINE)
        edges: list[int] = []
        board.pins.listen(lambda name, level, t_us: edges.append(level))
        await board.reset()
        await board.console.wait_for("cause 2", DEADLINE)
        assert board.console.path == path
        assert board.pid != pid
        assert edges[0] == 0  # a chip in reset drives nothing


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        ("machine.reset()", Cause.HARD),
        ("machine.soft_reset()", Cause.SOFT),
        ("raise SystemExit", Cause.SOFT),
        ("machine.deepsleep(50)", Cause.DEEPSLEEP),
        ("machine.WDT(timeout=100)\nwhile True:\n    pass", Cause.WDT),
        ("machine.WDT(timeout=100)\nimport asyncio\nasyncio.run(asyncio.Event().wait())", Cause.WDT),
    ],
)
async def test_reset_cause_says_what_happened(tmp_path: Path, ending: str, cause: Cause) -> None:
    source = REPORT + "if machine.reset_cause() == 1:\n" + "\n".join(f"    {x}" for x in ending.split("\n"))
    async with powered(tmp_path, source) as board:
        await board.console.wait_for(f"cause {int(cause)}", DEADLINE)


async def test_fed_watchdog_does_not_bite(tmp_path: Path) -> None:
    source = (
        REPORT
        + """
import time
wdt = machine.WDT(timeout=200)
for _ in range(10):
    time.sleep_ms(40)
    wdt.feed()
print("fed")
"""
    )
    async with powered(tmp_path, source) as board:
        await board.console.wait_for("fed", DEADLINE)
        assert board.boots.value == 1


async def test_power_cut_stops_everything_also_in_mid_boot(tmp_path: Path) -> None:
    async with powered(tmp_path, REPORT, on=False) as board:
        for _ in range(5):
            await board.start()
            await board.power_cut()
            assert board.state.value == "off"
            assert board.pid is None
        await board.power_on()
        await board.power_on()
        assert board.boots.value == 6


async def test_power_cut_wins_over_a_reset_under_way(tmp_path: Path) -> None:
    async with powered(tmp_path, "import machine\nmachine.reset()") as board:
        for _ in range(3):
            await board.boots.wait(board.boots.value + 1, DEADLINE)
        await board.power_cut()
        assert board.state.value == "off"


async def test_deep_sleep_without_a_time_ends_with_the_reset_line(tmp_path: Path) -> None:
    source = REPORT + "if machine.reset_cause() == 1:\n    machine.deepsleep()"
    async with powered(tmp_path, source) as board:
        await board.state.wait("asleep", DEADLINE)
        await board.reset()
        await board.console.wait_for("cause 2", DEADLINE)
