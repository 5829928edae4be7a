"""``machine.Counter``, ``machine.Encoder`` and ``esp32.PCNT`` count what is on the wires."""

from tests.hil.machine_vm import printed


def test_a_counter_counts_the_edges_it_is_told_to() -> None:
    assert printed(
        """
        from machine import Counter, Pin
        out, source, way = Pin(4, Pin.OUT, value=0), Pin(5, Pin.IN), Pin(12, Pin.OUT, value=0)
        def pulses(n):
            for _ in range(n):
                out(1)
                out(0)
        c = Counter(0, source)
        pulses(20)
        print(c.value(), c.value(-5), c.value())
        c.init(source, direction=Counter.DOWN)
        pulses(3)
        print(c.value())
        c.init(source, edge=Counter.FALLING)
        out(1)
        print(c.value(), end=" ")
        out(0)
        print(c.value())
        c.init(source, edge=Counter.RISING | Counter.FALLING, direction=Pin(13, Pin.IN))
        pulses(2)
        way(Counter.DOWN)
        pulses(3)
        print(c.value(), Counter(0) is c)
        c.deinit()
        """
    ) == ["20 20 -5", "-3", "0 1", "-2 True"]


def test_an_encoder_counts_one_two_or_four_phases() -> None:
    assert printed(
        """
        from machine import Encoder, Pin
        a, b = Pin(4, Pin.OUT, value=1), Pin(12, Pin.OUT, value=1)
        encoders = [Encoder(i, Pin(5, Pin.IN), Pin(13, Pin.IN), phases=p) for i, p in enumerate((1, 2, 4))]
        def turn(quarters):
            for _ in range(quarters):
                (a if a() == b() else b).toggle()
                print([e.value() for e in encoders], end=" ")
            print()
        def back(quarters):
            for _ in range(quarters):
                (b if a() == b() else a).toggle()
                print([e.value() for e in encoders], end=" ")
            print()
        turn(5)
        back(6)
        """
    ) == [
        "[1, 1, 1] [1, 1, 2] [1, 2, 3] [1, 2, 4] [2, 3, 5] ",
        "[1, 2, 4] [1, 2, 3] [1, 1, 2] [1, 1, 1] [0, 0, 0] [0, 0, -1] ",
    ]


def test_pulses_of_a_pwm_are_counted_however_fast_they_are() -> None:
    assert printed(
        """
        import time
        from machine import Counter, Pin, PWM
        c, pwm = Counter(0, Pin(5, Pin.IN)), PWM(Pin(4), 100000)
        t = time.ticks_us()
        c.value(0)
        time.sleep_ms(50)
        seen, took = c.value(), time.ticks_diff(time.ticks_us(), t)
        print(4900 < seen <= took // 10 + 2)
        pwm.deinit()
        stopped = c.value()
        time.sleep_ms(5)
        print(c.value() == stopped)
        """
    ) == ["True", "True"]


def test_a_unit_interrupts_at_its_threshold() -> None:
    assert printed(
        """
        from esp32 import PCNT
        from machine import Pin
        out, seen = Pin(4, Pin.OUT, value=0), []
        unit = PCNT(3, pin=Pin(5, Pin.IN), rising=PCNT.INCREMENT, threshold0=5, max=100)
        unit.irq(lambda u: seen.append((u.value(), u.irq().flags())), PCNT.IRQ_THRESHOLD0)
        for _ in range(5):
            out(1)
            out(0)
        unit.stop()
        out(1)
        print(seen, unit.value())
        """
    ) == ["[(5, 8)] 5"]
