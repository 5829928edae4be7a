"""``socket`` of an ESP32 over the VM's own, and the bench's way to others. Boards with firmware have the VM's (_boot)."""

import io
import select
import ssl

import _way
import usocket
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
_AGAIN, _IN_PROGRESS, _TIMED_OUT, _REFUSED = const(11), const(115), const(110), const(111)
_WAITING = ("recv", "send", "sendall", "read", "readinto", "readline", "write")


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    where = _way.text(_way.found(host) + int(port).to_bytes(2, "big"))
    return [(AF_INET, type or SOCK_STREAM, proto, host or "0.0.0.0", where)]  # noqa: S104


class socket(io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0, *, native=None):
        if native is None and type == SOCK_DGRAM and af == AF_INET:
            from _udp import Datagrams

            native = Datagrams()
        self.native = s = native or usocket.socket(af, type, proto)
        self._streams = type == SOCK_STREAM
        self._timeout = -1  # ms
        self._inner = None  # the VM's own port
        self._file = open(s.fileno(), "r+b")  # unlike a socket of the VM, it is closed when it is forgotten
        self._direct()
        self.setsockopt, self.fileno = s.setsockopt, s.fileno

    def _direct(self):
        # The native methods themselves, as often as they can be: they are called for every packet.
        for name in _WAITING:
            setattr(self, name, getattr(self.native, name))

    def _refuse(self):
        def refused(*args):
            raise OSError(_REFUSED)

        for name in _WAITING:
            setattr(self, name, refused)

    def ioctl(self, op, arg):
        if op == _FILENO:
            return self.native.fileno()
        if op == _CLOSE:
            self.close()
        return 0

    def close(self):
        inner, self._inner = self._inner, None
        if inner:
            _way.closed(inner)
        self.native.close()
        self._file.close()

    def setblocking(self, flag):
        self.settimeout(None if flag else 0)

    def settimeout(self, seconds):
        self._timeout = -1 if seconds is None else int(seconds * 1000)
        self.native.settimeout(seconds)
        self._direct()
        if self._timeout > 0:
            for name in _WAITING:
                setattr(self, name, _timed(getattr(self.native, name)))

    def bind(self, address):
        if self._streams:
            self._inner = _way.bound(self.native, address)
        else:
            self.native.bind(address)

    def listen(self, backlog=2):
        if self._inner is None:
            self.bind(("", 0))
        self.native.listen(max(backlog, 0))
        _way.listening(self._inner)

    def connect(self, address):
        s = self.native
        if not self._streams:
            return s.connect(address)
        there = _way.to(s, address, self._inner)
        s.setblocking(False)
        try:
            s.connect(there)
        except OSError as e:
            if e.errno == _REFUSED and self._timeout == 0:
                self._refuse()  # a chip knows it later
                raise OSError(_IN_PROGRESS)
            if e.errno != _IN_PROGRESS or self._timeout == 0:
                raise
            poller = select.poll()
            poller.register(s, select.POLLOUT)
            if not poller.poll(self._timeout):
                raise OSError(_TIMED_OUT)
            s.connect(there)  # raises what has become of it
        finally:
            s.settimeout(None if self._timeout < 0 else self._timeout / 1000)

    def accept(self):
        native = self.native.accept if self._timeout <= 0 else _timed(self.native.accept)
        s, address = native()
        return socket(native=s), _way.caller(address)

    def sendto(self, data, address):
        return self.native.sendto(data, address)

    def recvfrom(self, size):
        if self._streams:
            return self.recv(size), ("0.0.0.0", 0)  # noqa: S104
        return (self.native.recvfrom if self._timeout <= 0 else _timed(self.native.recvfrom))(size)

    def makefile(self, *args):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def __repr__(self):
        return "<socket>"


def _timed(native):
    def wait(*args):
        try:
            return native(*args)
        except OSError as e:
            raise OSError(_TIMED_OUT if e.errno == _AGAIN else e.errno)

    return wait


_wrap = ssl.SSLContext.wrap_socket


def _wrap_native(self, sock, **kwargs):
    return _wrap(self, sock.native if isinstance(sock, socket) else sock, **kwargs)


ssl.SSLContext.wrap_socket = _wrap_native  # TLS speaks to the VM's own socket, and select knows it beneath
