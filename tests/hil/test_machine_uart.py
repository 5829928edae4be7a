"""``machine.UART`` of a bare board over its own wires: framing, interrupts, breaks, time, and the port's refusals."""

from tests.hil.machine_vm import REFUSED, printed


def test_bytes_come_back_over_the_wire_at_the_same_settings_only() -> None:
    assert printed(
        """
        import time
        from machine import UART
        a = UART(1, 115200, tx=4, rx=5)
        def echo():
            print(a.write("hello\\n"), end=" ")
            a.flush()
            time.sleep_ms(5)
            print(a.any(), a.read(2), a.readline(), a.read())
        echo()
        b = UART(2, 9600, tx=12, rx=5)
        a.write(b"x")
        time.sleep_ms(20)
        print(a.read(), b.read() == b"x", b.any())
        b.init(115200, parity=0, stop=2)
        a.write(b"y")
        time.sleep_ms(20)
        print(a.read(), b.read() == b"y")
        b.init(115200, parity=None)
        a.write(b"z")
        time.sleep_ms(20)
        print(a.read(), b.read())
        a.init(invert=UART.INV_TX)
        a.write(b"z")
        time.sleep_ms(20)
        print(a.read() == b"z", b.read() == b"z")
        a.init(invert=UART.INV_TX | UART.INV_RX)
        echo()
        a.deinit()
        print(repr(b))
        """
    ) == [
        "6 6 b'he' b'llo\\n' None",
        "b'x' False 0",
        "b'y' False",
        "b'z' b'z'",
        "False False",
        "6 6 b'he' b'llo\\n' None",
        "UART(2, baudrate=115200, bits=8, parity=None, stop=2, tx=12, rx=5, rts=-1, cts=-1, txbuf=256, rxbuf=256, "
        "timeout=0, timeout_char=0, irq=0)",
    ]


def test_interrupts_tell_of_each_byte_of_a_break_and_of_the_end() -> None:
    assert printed(
        """
        import time
        from machine import UART
        u = UART(1, 9600, tx=4, rx=5)
        seen = []
        def handler(uart):
            seen.append((uart.irq().flags(), uart.read(size)))
        def sent(trigger, act, each):
            global size
            size = each
            seen.clear()
            u.irq(handler, trigger)
            act()
            u.flush()
            time.sleep_ms(20)
            print(seen)
        sent(UART.IRQ_RX, lambda: u.write("abc"), 1)
        sent(UART.IRQ_RXIDLE, lambda: u.write("abc"), 9)
        sent(UART.IRQ_BREAK, lambda: (u.write("d"), u.sendbreak()), 9)
        print(u.irq().trigger())
        """
    ) == ["[(1, b'a'), (1, b'b'), (1, b'c')]", "[(4096, b'abc')]", "[(128, b'd\\x00')]", "128"]


def test_a_full_transmitter_blocks_and_a_flush_takes_the_line_s_time() -> None:
    assert printed(
        """
        import time
        from machine import UART
        u = UART(1, 9600, tx=4, rx=5, txbuf=0, rxbuf=1000)
        t = time.ticks_ms()
        u.write(bytes(224))
        blocked = time.ticks_diff(time.ticks_ms(), t)
        u.flush()
        took = time.ticks_diff(time.ticks_ms(), t)
        print(blocked >= 99, took >= 233, took < 400, u.txdone())
        """
    ) == ["True True True True"]


def test_the_port_s_refusals() -> None:
    assert printed(
        REFUSED
        + """
from machine import UART
u = UART(1)
for act in (
    lambda: UART(3), lambda: UART(1, bits=4), lambda: UART(1, stop=3), lambda: UART(1, invert=1), lambda: UART(1, flow=4),
    lambda: u.irq(3, UART.IRQ_RX), lambda: u.irq(print, 2), lambda: u.irq(print, UART.IRQ_RX, True), lambda: UART(1, tx=99),
):
    refused(act)
"""
    ) == [
        "ValueError UART(3) does not exist",
        "ValueError invalid data bits",
        "ValueError invalid stop bits",
        "ValueError invalid inversion mask",
        "ValueError invalid flow control mask",
        "ValueError handler must be None or callable",
        "ValueError trigger 0x0002 unsupported",
        "ValueError hard IRQ is not supported",
        "ValueError invalid pin",
    ]
