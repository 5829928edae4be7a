"""Flash that has come to its end: blocks that no operation changes, and reads that return a wrong bit now and then."""

import struct


class Worn:
    """From (reads with a wrong bit, in a million bytes; seed; bad blocks). The same seed and reads, the same bits."""

    def __init__(self, payload):
        self._ppm, self._state = struct.unpack("<II", payload)
        self._bad = set(struct.unpack("<%dH" % ((len(payload) - 8) // 2), payload[8:]))

    def stuck(self, block):
        return block in self._bad

    def flip(self, buf):
        if self._ppm and self._next() % 1000000 < min(self._ppm * len(buf), 1000000):
            bit = self._next() % (len(buf) * 8)
            buf[bit // 8] ^= 1 << bit % 8

    def _next(self):
        # xorshift32 (Marsaglia): a few lines, and the same on every VM
        x = self._state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self._state = x
        return x
