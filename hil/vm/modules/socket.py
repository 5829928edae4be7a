"""``socket`` of an ESP32 over the VM's own: addresses are tuples of host and port. Boards with firmware have the VM's (_boot)."""

import io
import ssl

import usocket
from _board import os  # the VM's own
from micropython import const
from usocket import (
    AF_INET,
    AF_INET6,
    IP_ADD_MEMBERSHIP,
    SO_BROADCAST,
    SO_KEEPALIVE,
    SO_REUSEADDR,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_STREAM,
    SOL_SOCKET,
)

IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, TCP_NODELAY = 0, 6, 17, 1
_FILENO = const(10)
_CLOSE = const(4)
_ANY = "0.0.0.0"  # noqa: S104
_AIR = "192.168.4."  # addresses of boards on an air: all of them are this machine

# The way to a peer, where connections pass through the bench.
_way = __import__("_way") if os.getenv("LATCHWORK_NETWORK") == "1" else None
del os


def _native(address):
    if not isinstance(address, (tuple, list)):
        return address
    host, port = address[:2]
    if host.startswith(_AIR):
        host = "127.0.0.1"
    return _resolve(host or _ANY, port)


def _resolve(host, port):
    try:
        return usocket.getaddrinfo(host, port, AF_INET, SOCK_STREAM)[0][-1]
    except OSError:
        raise OSError(-2)  # name or service not known


def _tuple(address):
    family, host, port = usocket.sockaddr(address)[:3]
    return (usocket.inet_ntop(family, host), port)


def _connecting(address):
    if _way is None or not isinstance(address, (tuple, list)):
        return _native(address)
    host, port = address[:2]
    return _way.native("127.0.0.1" if host.startswith(_AIR) else host or _ANY, port)


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    if _way is not None and host.strip("0123456789."):
        host = _way.named(host)
    address = (host, port) if host.startswith(_AIR) else _tuple(_resolve(host or _ANY, port))
    return [(AF_INET, type or SOCK_STREAM, proto, "", address)]


class socket(io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0, *, native=None):
        # The native methods themselves, as often as they can be: they are called for every packet.
        self.native = s = native or usocket.socket(af, type, proto)
        self._streams = type == SOCK_STREAM
        self.recv, self.send, self.sendall = s.recv, s.send, s.sendall
        self.read, self.readinto, self.readline, self.write = s.read, s.readinto, s.readline, s.write
        self.listen, self.setsockopt, self.fileno = s.listen, s.setsockopt, s.fileno
        self.setblocking, self.settimeout = s.setblocking, s.settimeout

    def ioctl(self, op, arg):
        if op == _FILENO:
            return self.native.fileno()
        if op == _CLOSE:
            self.native.close()
        return 0

    def close(self):
        self.native.close()

    def bind(self, address):
        # A board that has started again knows nothing of the connections of its last life; the host does.
        self.native.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        self.native.bind(_native(address))

    def connect(self, address):
        self.native.connect(_connecting(address) if self._streams else _native(address))

    def accept(self):
        s, address = self.native.accept()
        return socket(native=s), _tuple(address)

    def sendto(self, data, address):
        return self.native.sendto(data, _native(address))

    def recvfrom(self, *args):
        data, address = self.native.recvfrom(*args)
        return data, _tuple(address)

    def makefile(self, *args):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def __repr__(self):
        return "<socket>"


_wrap = ssl.SSLContext.wrap_socket


def _wrap_native(self, sock, **kwargs):
    return _wrap(self, sock.native if isinstance(sock, socket) else sock, **kwargs)


ssl.SSLContext.wrap_socket = _wrap_native  # TLS speaks to the VM's own socket, and select knows it beneath
