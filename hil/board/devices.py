"""Devices to attach to a board's buses: an EEPROM and a thermometer on I2C, a flash memory on SPI, a thermometer on 1-Wire."""

from hil.board.crc import crc8_maxim


class Eeprom:
    """An I2C memory as the 24C02: one address byte, pages of 8 bytes that a write wraps in."""

    PAGE = 8

    def __init__(self, address: int = 0x50, size: int = 256) -> None:
        self.address = address
        self.data = bytearray(b"\xff" * size)
        self._at = 0
        self._addressed = False

    def start(self, reading: bool) -> bool:
        self._addressed = reading
        return True

    def write(self, byte: int) -> bool:
        if not self._addressed:
            self._at, self._addressed = byte % len(self.data), True
            return True
        self.data[self._at] = byte
        page = self._at - self._at % self.PAGE
        self._at = page + (self._at + 1) % self.PAGE
        return True

    def read(self) -> int:
        byte = self.data[self._at]
        self._at = (self._at + 1) % len(self.data)
        return byte

    def stop(self) -> None:
        self._addressed = False


class Thermometer:
    """An I2C thermometer as the LM75: register 0 is the temperature, 1 the configuration, 2 and 3 the limits."""

    WIDTH = (2, 1, 2, 2)

    def __init__(self, address: int = 0x48, celsius: float = 21.0) -> None:
        self.address = address
        self.celsius = celsius
        self._registers = [b"\0\0", b"\0", b"\x4b\0", b"\x50\0"]
        self._pointer = 0
        self._at = 0
        self._pointed = False

    def start(self, reading: bool) -> bool:
        self._at = 0
        self._pointed = reading
        return True

    def write(self, byte: int) -> bool:
        if not self._pointed:
            self._pointer, self._pointed = byte & 3, True
        elif self._pointer and self._at < self.WIDTH[self._pointer]:
            old = self._registers[self._pointer]
            self._registers[self._pointer] = old[: self._at] + bytes((byte,)) + old[self._at + 1 :]
            self._at += 1
        return True

    def read(self) -> int:
        register = self._registers[self._pointer]
        if self._pointer == 0:
            register = (round(self.celsius * 2) << 7 & 0xFFFF).to_bytes(2, "big")
        byte = register[self._at % len(register)]
        self._at += 1
        return byte

    def stop(self) -> None:
        self._pointed = False


class SpiMemory:
    """An SPI flash memory as the 25 series: identification, read, write enable, page program, sector and chip erase, status."""

    PAGE, SECTOR = 256, 4096
    IDENTITY = bytes((0xEF, 0x40, 0x14))

    def __init__(self, size: int = 1 << 20) -> None:
        self.data = bytearray(b"\xff" * size)
        self._sent = bytearray()
        self._writable = False

    def select(self) -> None:
        self._sent.clear()

    def exchange(self, byte: int) -> int:
        answer = self._answer(len(self._sent))
        self._sent.append(byte)
        return answer

    def deselect(self) -> None:
        """Writes are done when the chip select rises."""
        command = self._sent[0] if self._sent else 0
        if command == 0x06:
            self._writable = True
        elif command == 0x04:
            self._writable = False
        elif self._writable and command in (0x02, 0x20, 0xC7):
            self._change(command)
            self._writable = False
        self._sent.clear()

    @property
    def _address(self) -> int:
        return int.from_bytes(self._sent[1:4], "big") % len(self.data)

    def _answer(self, at: int) -> int:
        command = self._sent[0] if self._sent else 0
        if command == 0x9F and at >= 1:
            return self.IDENTITY[(at - 1) % 3]
        if command == 0x05 and at >= 1:
            return 2 if self._writable else 0
        if command == 0x03 and at >= 4:
            return self.data[(self._address + at - 4) % len(self.data)]
        return 0xFF

    def _change(self, command: int) -> None:
        address = self._address
        if command == 0xC7:
            self.data[:] = b"\xff" * len(self.data)
        elif command == 0x20:
            sector = address - address % self.SECTOR
            self.data[sector : sector + self.SECTOR] = b"\xff" * self.SECTOR
        else:
            page = address - address % self.PAGE
            for i, byte in enumerate(self._sent[4:]):
                self.data[page + (address + i) % self.PAGE] &= byte


class Ds18b20:
    """A 1-Wire thermometer: ROM search, match, skip and read; convert, read and write of its scratchpad."""

    def __init__(self, serial: int = 1, celsius: float = 21.0) -> None:
        self.celsius = celsius
        rom = b"\x28" + serial.to_bytes(6, "little")
        self.rom = rom + bytes((crc8_maxim(rom),))
        self._converted = 85.0  # as after power-on
        self._limits = bytes((0x4B, 0x46, 0x7F))
        self.reset()

    def reset(self) -> None:
        self._state = "rom"
        self._bits: list[int] = []  # written since the last command
        self._out: list[int] = []  # to be read
        self._search = 0

    def read_bit(self) -> int:
        if self._state == "search":
            bit = self._rom_bit(self._search // 2)
            bit = bit if self._search % 2 == 0 else 1 - bit
            self._search += 1
            return bit
        return self._out.pop(0) if self._out else 1

    def write_bit(self, bit: int) -> None:
        if self._state == "search":
            place = self._search // 2 - 1
            if bit != self._rom_bit(place):
                self._state = "idle"
            elif place == 63:
                self._state = "function"
            return
        self._bits.append(bit)
        if self._state == "match" and len(self._bits) == 64:
            wanted = [self._rom_bit(place) for place in range(64)]
            self._become("function" if self._bits == wanted else "idle")
        elif self._state == "limits" and len(self._bits) == 24:
            self._limits = bytes(_value(self._bits[at : at + 8]) for at in (0, 8, 16))
            self._become("idle")
        elif self._state in ("rom", "function") and len(self._bits) == 8:
            self._command(_value(self._bits))

    def _become(self, state: str) -> None:
        self._state = state
        self._bits = []

    def _command(self, code: int) -> None:
        if self._state == "rom":
            self._become({0xF0: "search", 0x55: "match", 0xCC: "function"}.get(code, "idle"))
            if code == 0x33:
                self._out = [self._rom_bit(place) for place in range(64)]
                self._state = "function"
            return
        self._become("limits" if code == 0x4E else "idle")
        if code == 0x44:
            self._converted = self.celsius
        elif code == 0xBE:
            pad = self._scratchpad()
            self._out = [byte >> place & 1 for byte in pad for place in range(8)]

    def _scratchpad(self) -> bytes:
        temperature = (round(self._converted * 16) & 0xFFFF).to_bytes(2, "little")
        pad = temperature + self._limits + bytes((0xFF, 0x0C, 0x10))
        return pad + bytes((crc8_maxim(pad),))

    def _rom_bit(self, place: int) -> int:
        return self.rom[place // 8] >> place % 8 & 1


def _value(bits: list[int]) -> int:
    return sum(bit << place for place, bit in enumerate(bits))
