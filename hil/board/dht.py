"""Thermometers with a hygrometer on one wire, as the DHT11 and the DHT22: five bytes at a time."""

from typing import Literal

from hil.board.pins import Net, Pins

Kind = Literal["dht11", "dht22"]


class Dht:
    """``celsius`` and ``humidity`` (percent) may change while the board runs. The DHT11 rounds to whole numbers."""

    def __init__(self, kind: Kind = "dht22", celsius: float = 21.0, humidity: float = 40.0) -> None:
        self.kind = kind
        self.celsius = celsius
        self.humidity = humidity

    def frame(self) -> bytes:
        """Humidity, temperature, and the sum of these bytes."""
        if self.kind == "dht11":
            data = bytes((round(self.humidity), 0, round(abs(self.celsius)), 0x80 * (self.celsius < 0)))
        else:
            sign = 0x8000 * (self.celsius < 0)
            temperature = round(abs(self.celsius) * 10) | sign
            data = round(self.humidity * 10).to_bytes(2, "big") + temperature.to_bytes(2, "big")
        return data + bytes((sum(data) & 0xFF,))


class DhtSensors:
    """``attach(pin, device)``: one to a wire."""

    def __init__(self, pins: Pins) -> None:
        self._pins = pins
        self._at: dict[Net, Dht] = {}

    def attach(self, pin: int, device: Dht) -> None:
        self._at[self._pins[pin].net] = device

    def read(self, payload: bytes) -> bytes:
        """What the sensor at a pin sends; nothing if there is none."""
        device = self._at.get(self._pins[payload[0]].net)
        return device.frame() if device else b""
