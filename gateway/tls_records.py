"""The end of a TLS handshake, as it looks from outside."""

_HEAD = 5  # of a record: type, version 2, length 2 (RFC 8446, 5.1)
_APPLICATION_DATA = 23


class Records:
    """Follows what a client sends, until the first record with application data. Its handshake is over then: in TLS 1.3 that
    record ends it, in TLS 1.2 it comes after.
    """

    def __init__(self) -> None:
        self.ended = False
        self._head = bytearray()
        self._left = 0  # of the body of the record under way

    def feed(self, data: bytes) -> None:
        """The next bytes, cut anywhere. What is no TLS never ends."""
        at = 0
        while at < len(data) and not self.ended:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
            else:
                step = _HEAD - len(self._head)
                self._head += data[at : at + step]
                self._look()
            at += step

    def _look(self) -> None:
        if len(self._head) == _HEAD:
            self.ended = self._head[0] == _APPLICATION_DATA
            self._left = int.from_bytes(self._head[3:], "big")
            self._head.clear()
