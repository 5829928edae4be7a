"""What the chip does by itself: timers, clock, sleep, and the modules ``esp32`` and ``neopixel``."""

from pathlib import Path

from hil.board.board import Board
from hil.board.description import builtin
from hil.vm.spawner import Zygote
from tests.hil.board_rig import DEADLINE, program
from tests.hil.machine_vm import REFUSED, printed


def test_timers_tell_their_state_and_count_up() -> None:
    assert printed(
        """
        import time
        from machine import Timer
        t = Timer(2)
        t.init(freq=0.5, callback=print)
        time.sleep_ms(30)
        print(t, 25 <= t.value() < 1000, Timer(2) is t, Timer(-1) is Timer(-1))
        t.deinit()
        once, rang = Timer(3), []
        once.init(mode=Timer.ONE_SHOT, period=200, tick_hz=20000, callback=rang.append)
        print(once)
        time.sleep_ms(40)
        print(rang == [once])
        """
    ) == [
        "Timer(2, mode=PERIODIC, period=2000) True True False",
        "Timer(3, mode=ONE_SHOT, period=10)",
        "True",
    ]


def test_clock_and_sleep() -> None:
    assert printed(
        """
        import machine, time
        rtc = machine.RTC()
        rtc.init((2030, 2, 3, 4, 5, 6, 0, 7))
        print(rtc.datetime()[:7], time.gmtime()[:6])
        rtc.memory(bytes(2048))
        print(len(rtc.memory()), machine.reset_cause(), machine.wake_reason(), hasattr(machine, "bootloader"))
        t = time.ticks_ms()
        machine.lightsleep(30)
        print(30 <= time.ticks_diff(time.ticks_ms(), t) < 1000, machine.wake_reason() == machine.TIMER_WAKE)
        out, seen = machine.Pin(12, machine.Pin.OUT, value=0), machine.Pin(13, machine.Pin.IN)
        import esp32
        esp32.wake_on_ext0(pin=seen, level=esp32.WAKEUP_ANY_HIGH)
        machine.Timer(0).init(mode=0, period=30, callback=lambda t: out.on())
        machine.lightsleep(60000)
        print(machine.wake_reason() == machine.EXT0_WAKE)
        """
    ) == [
        "(2030, 2, 3, 6, 4, 5, 6) (2030, 2, 3, 4, 5, 6)",
        "2048 1 0 False",
        "True True",
        "True",
    ]


def test_nvs_and_the_rest_of_esp32() -> None:
    assert printed(
        REFUSED
        + """
import esp32, machine
nvs = esp32.NVS("space")
nvs.set_blob("text", "as text")
buf = bytearray(10)
print(nvs, nvs.get_blob("text", buf), buf[:7])
data = esp32.idf_heap_info(esp32.HEAP_DATA)
print(len(data) > 2, all(r[0] > 0 and r[1] <= r[0] for r in data), esp32.idf_heap_info(-1), esp32.raw_temperature())
for act in (
    lambda: nvs.get_i32("text"), lambda: nvs.erase_key("none"), lambda: nvs.get_blob("text", bytearray(3)),
    lambda: esp32.NVS("a name that is too long"), lambda: esp32.wake_on_ext0(pin=machine.Pin(5)),
    lambda: esp32.mcu_temperature(), lambda: machine.RTC().datetime((2030, 1, 1)), lambda: machine.Timer(4),
    lambda: machine.RTC().memory(bytes(2049)), lambda: machine.WDT(0, 0), lambda: machine.bitstream(machine.Pin(4), 1, (), b""),
):
    refused(act)
"""
    ) == [
        "<NVS namespace> 7 bytearray(b'as text')",
        "True True [] 118",
        "OSError (-4354, 'ESP_ERR_NVS_NOT_FOUND')",
        "OSError (-4354, 'ESP_ERR_NVS_NOT_FOUND')",
        "OSError (-4364, 'ESP_ERR_NVS_INVALID_LENGTH')",
        "OSError (-4361, 'ESP_ERR_NVS_KEY_TOO_LONG')",
        "ValueError invalid pin",
        "AttributeError module 'esp32' has no attribute 'mcu_temperature'",
        "ValueError requested length 8 but object has length 3",
        "ValueError invalid Timer number",
        "ValueError buffer too long",
        "ValueError WDT timeout too short",
        "ValueError encoding",
    ]


def test_rmt_plays_its_pulses_on_the_wire() -> None:
    assert printed(
        """
        import esp32, time
        from machine import Pin
        seen = Pin(5, Pin.IN)
        rmt, edges = esp32.RMT(0, pin=Pin(4), clock_div=80), []
        seen.irq(lambda p: edges.append(p()))
        print(rmt, rmt.source_freq(), rmt.clock_div())
        rmt.write_pulses((10000, 20000, 10000))
        print(rmt.wait_done(), rmt.wait_done(timeout=1000))
        while len(edges) < 4:
            pass
        print(edges, seen())
        rmt.loop(True)
        rmt.write_pulses((2000, 2000))
        time.sleep_ms(100)
        rmt.loop(False)
        time.sleep_ms(5)
        print(len(edges) > 20, seen())
        rmt.deinit()
        print(rmt)
        for bad in (lambda: esp32.RMT(7, pin=Pin(4)), lambda: esp32.RMT(1, pin=Pin(4), clock_div=0)):
            try:
                bad()
            except ValueError as e:
                print(e)
        """
    ) == [
        "RMT(channel=0, pin=4, source_freq=80000000, clock_div=80, idle_level=0) 80000000 80",
        "False True",
        "[1, 0, 1, 0] 0",
        "True 0",
        "RMT()",
        "channel used by bitstream",
        "clock_div must be between 1 and 255",
    ]


def test_samples_leave_at_their_rate_and_a_callback_tells_when() -> None:
    assert printed(
        """
        import time
        from machine import I2S
        settings = dict(sck=18, ws=19, sd=21, bits=16, format=I2S.STEREO, rate=8000, ibuf=400)
        out = I2S(0, mode=I2S.TX, **settings)
        t = time.ticks_ms()
        print(out.write(bytes(3600)), 95 <= time.ticks_diff(time.ticks_ms(), t) < 1000)
        done = []
        out.irq(lambda i2s: done.append(i2s is out))
        t = time.ticks_ms()
        print(out.write(bytes(1600)), len(done))
        while not done:
            pass
        print(done, time.ticks_diff(time.ticks_ms(), t) >= 40)
        samples = bytearray(b"\\x00\\x10\\x00\\xf0")
        I2S.shift(buf=samples, bits=16, shift=-4)
        print(samples)
        heard = I2S(1, mode=I2S.RX, **settings)
        print(heard.readinto(bytearray(b"x" * 320)))
        """
    ) == ["3600 True", "1600 0", "[True] True", "bytearray(b'\\x00\\x01\\x00\\xff')", "320"]


def test_pixels_have_four_colours_and_take_their_time() -> None:
    assert printed(
        """
        import time
        from machine import Pin
        from neopixel import NeoPixel
        strip = NeoPixel(Pin(4), 100, bpp=4, timing=0)
        strip.fill((1, 2, 3, 4))
        strip[1] = (5, 6, 7, 8)
        t = time.ticks_us()
        strip.write()
        print(time.ticks_diff(time.ticks_us(), t) >= 8 * 400 * 2, len(strip), strip[0], strip[1], bytes(strip.buf[:8]))
        """
    ) == ["True 100 (1, 2, 3, 4) (5, 6, 7, 8) b'\\x02\\x01\\x03\\x04\\x06\\x05\\x07\\x08'"]


async def test_a_soft_reset_ends_a_pwm_signal_and_keeps_an_output(tmp_path: Path) -> None:
    source = """
    from machine import Pin, PWM, reset_cause, soft_reset, time_pulse_us
    print("cause", reset_cause(), time_pulse_us(Pin(5, Pin.IN), 1, 3000) < 0, Pin(13, Pin.IN)())
    if reset_cause() == 1:
        pwm, out = PWM(Pin(4), 1000), Pin(12, Pin.OUT, value=1)
        print("wave", time_pulse_us(Pin(5), 1, 3000) > 0)
        soft_reset()
    """
    async with Zygote() as zygote:
        rom = program(tmp_path / "src", source)
        board = Board(builtin("esp32"), "bare", tmp_path / "bare", vm=zygote, firmware=rom)
        try:
            await board.start()
            await board.console.wait_for("cause 1 True 0", DEADLINE)
            await board.console.wait_for("wave True", DEADLINE)
            await board.console.wait_for("cause 5 True 1", DEADLINE)
        finally:
            await board.stop()
