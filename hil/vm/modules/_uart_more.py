"""What of machine.UART only people and interrupts ask for."""


class Irq:
    def __init__(self, uart):
        self.uart = uart

    def flags(self):
        return self.uart.flags

    def trigger(self, new=None):
        was = self.uart.trigger
        if new is not None:
            self.uart.watch(new)
        return was

    def __call__(self):
        self.uart.handler(self.uart)


def described(number, s, trigger):
    values = [number]
    values.extend(s[:12])
    values.append(trigger)
    text = (
        "UART(%d, baudrate=%d, bits=%d, parity=%s, stop=%d, tx=%d, rx=%d, rts=%d, cts=%d, txbuf=%d, rxbuf=%d"
        ", timeout=%d, timeout_char=%d, irq=%d"
    ) % tuple(values)
    for name, value, flags in (
        ("invert", s[12], (("INV_TX", 32), ("INV_RX", 4), ("INV_RTS", 64), ("INV_CTS", 8))),
        ("flow", s[13], (("RTS", 1), ("CTS", 2))),
    ):
        if value:
            text += ", %s=%s" % (name, "|".join([flag for flag, bit in flags if value & bit]))
    return text + ")"
