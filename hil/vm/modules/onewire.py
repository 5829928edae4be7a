"""``onewire``: the bus of a pin; devices are found by a binary search over their ROM codes."""

import _onewire as _ow


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM, MATCH_ROM, SKIP_ROM = 0xF0, 0x55, 0xCC

    def __init__(self, pin):
        self.pin = pin
        self.pin.init(pin.OPEN_DRAIN, pin.PULL_UP)

    def reset(self, required=False):
        present = _ow.reset(self.pin)
        if required and not present:
            raise OneWireError
        return present

    def readbit(self):
        return _ow.readbit(self.pin)

    def readbyte(self):
        return _ow.readbyte(self.pin)

    def readinto(self, buf):
        for i in range(len(buf)):
            buf[i] = _ow.readbyte(self.pin)

    def writebit(self, value):
        _ow.writebit(self.pin, value)

    def writebyte(self, value):
        _ow.writebyte(self.pin, value)

    def write(self, buf):
        for byte in buf:
            _ow.writebyte(self.pin, byte)

    def select_rom(self, rom):
        self.reset()
        self.writebyte(self.MATCH_ROM)
        self.write(rom)

    def crc8(self, data):
        return _ow.crc8(data)

    def scan(self):
        devices, branches = [], [()]  # bits that are known of codes that are not read yet
        while branches:
            rom = self._search(branches.pop(), branches)
            if rom is None:
                break
            devices.append(rom)
        return devices

    def _search(self, known, branches):
        """Follow ``known``, then zeros where devices differ; what was left out is a branch for later."""
        if not self.reset():
            return None
        self.writebyte(self.SEARCH_ROM)
        bits = []
        for place in range(64):
            bit, other = self.readbit(), self.readbit()
            if bit and other:
                return None
            if place < len(known):
                bit = known[place]
            elif not bit and not other:
                branches.append(bits[:])
                branches[-1].append(1)
            bits.append(bit)
            self.writebit(bit)
        rom = bytearray(8)
        for place, bit in enumerate(bits):
            rom[place >> 3] |= bit << (place & 7)
        return rom
