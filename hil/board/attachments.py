"""Makes the devices that a board's description names, and attaches them to its buses."""

from hil.board.description import Description
from hil.board.devices import Ds18b20, Eeprom, SpiMemory, Thermometer
from hil.board.dht import Dht
from hil.board.peripherals import Peripherals


def attach(peripherals: Peripherals, about: Description) -> None:
    for bus in about.i2c:
        for part in bus.devices:
            if part.kind == "eeprom":
                peripherals.i2c.attach(bus.scl, bus.sda, Eeprom(part.address))
            else:
                peripherals.i2c.attach(bus.scl, bus.sda, Thermometer(part.address, part.celsius))
    for line in about.spi:
        for memory in line.devices:
            peripherals.spi.attach(line.sck, line.mosi, line.miso, memory.cs, SpiMemory(memory.kib * 1024))
    for wire in about.onewire:
        for thermometer in wire.devices:
            peripherals.onewire.attach(wire.pin, Ds18b20(thermometer.serial, thermometer.celsius))
    for sensor in about.dht:
        peripherals.dht.attach(sensor.pin, Dht(sensor.kind, sensor.celsius, sensor.humidity))
