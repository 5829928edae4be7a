"""A UDP socket of a board: each datagram asks the bench, and comes from there with its sender's address before it."""

import struct

import _board
import _way
from _board import usocket
from micropython import const

_HOST = const(18)  # the channel
_OPEN, _BIND, _CONNECT, _JOIN, _SEND = 7, 8, 9, 10, 11
_MAX = const(16000)  # bytes of a datagram
_SEQPACKET = const(5)


class Datagrams:
    """What ``socket`` needs of a native one."""

    def __init__(self):
        opened = _open()
        self._id = opened[:1]
        self._peer = None
        self._port = False
        self._inner = s = usocket.socket(usocket.AF_UNIX, _SEQPACKET)
        s.connect(struct.pack("<H", usocket.AF_UNIX) + opened[1:])
        self.fileno, self.close = s.fileno, s.close
        self.setblocking, self.settimeout = s.setblocking, s.settimeout

    def bind(self, address):
        _board.call(_HOST, _BIND, self._id + _way.packed(address))

    def connect(self, address):
        self._peer = _way.packed(address)
        _board.call(_HOST, _CONNECT, self._id + self._peer)

    def join(self, group):
        _board.call(_HOST, _JOIN, self._id + group)

    def sendto(self, data, address):
        return self._send(data, _way.packed(address))

    def send(self, data):
        if self._peer is None:
            raise OSError(89)  # EDESTADDRREQ
        return self._send(data, self._peer)

    sendall = send

    def write(self, data, first=None, size=None):
        """All of it, so many bytes, or so many from there on."""
        if size is None:
            first, size = 0, len(data) if first is None else first
        return self.send(memoryview(data)[first : first + size])

    def _send(self, data, address):
        self._inner.fileno()  # a closed one is refused
        if len(data) > _MAX:
            raise OSError(90)  # EMSGSIZE
        _board.call(_HOST, _SEND, self._id + address + data)
        return len(data)

    def recvfrom(self, size):
        packet = self._inner.recv(size + 6)
        return packet[6:], _way.text(packet)

    def recv(self, size):
        return self._inner.recv(size + 6)[6:]

    def read(self, size=_MAX):
        return self.recv(size if size >= 0 else _MAX)

    def readinto(self, buffer, size=-1):
        data = self.recv(len(buffer) if size < 0 else min(size, len(buffer)))
        buffer[: len(data)] = data
        return len(data)

    def readline(self):
        return self.recv(_MAX)


def _open():
    try:
        return _board.call(_HOST, _OPEN)
    except OSError:
        import gc

        gc.collect()  # closes what has been forgotten
        return _board.call(_HOST, _OPEN)
