"""``socket`` of an ESP32 over the VM's own, and the bench's way to others. Boards with firmware have the VM's (_boot)."""

import io as _io
import select as _select

import _way
import usocket as _usocket

# The numbers of lwIP.
AF_INET, AF_INET6, SOCK_STREAM, SOCK_DGRAM, SOCK_RAW = 2, 10, 1, 2, 3
IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP = 0, 6, 17
SOL_SOCKET, SO_REUSEADDR, SO_BROADCAST, SO_BINDTODEVICE = 0xFFF, 4, 32, 0x100B
IP_ADD_MEMBERSHIP, TCP_NODELAY = 3, 1
_SEND_BUFFER = 5760  # bytes, of lwIP
_FILENO = 10
_CLOSE = 4
_AGAIN, _IN_PROGRESS, _TIMED_OUT, _REFUSED = 11, 115, 110, 111
_NOT_CONNECTED, _NOT_SUPPORTED, _RESET, _PIPE = 107, 95, 104, 32
_SENDING = ("send", "sendall", "write")
_WAITING = ("recv", "read", "readinto", "readline", "send", "sendall", "write")


def getaddrinfo(host, port, af=0, type=0, proto=0, flags=0):
    where = _way.text(_way.packed((host, port)))
    return [(AF_INET, type or SOCK_STREAM, proto, host or "0.0.0.0", where)]  # noqa: S104


class socket(_io.IOBase):
    def __init__(self, af=AF_INET, type=SOCK_STREAM, proto=0, *, _native=None):
        self._streams = type == SOCK_STREAM
        self._timeout = -1  # ms
        self._inner = None  # the VM's own port
        self._new = self._streams and _native is None
        if _native is None and type == SOCK_DGRAM and af == AF_INET:
            from _udp import Datagrams

            _native = Datagrams()
        self._native = s = _native or _usocket.socket(af, type, proto)
        if self._streams:
            s.setsockopt(1, 7, _SEND_BUFFER)  # SO_SNDBUF
        self._file = open(s.fileno(), "r+b")  # unlike a socket of the VM, it is closed when it is forgotten
        self.fileno = s.fileno
        self._act_as()

    def _act_as(self):
        # The native methods themselves, as often as they can be: they are called for every packet.
        for name in _WAITING:
            native = getattr(self._native, name)
            if self._new:
                native = _failing(_NOT_CONNECTED)
            elif self._timeout > 0 or name in _SENDING:
                native = _told(native, self._timeout)
            setattr(self, name, native)

    def ioctl(self, op, arg):
        if op == _FILENO:
            return self._native.fileno()
        if op == _CLOSE:
            self.close()
        return 0

    def close(self):
        inner, self._inner = self._inner, None
        if inner:
            _way.closed(inner)
        self._native.close()
        self._file.close()
        if self._new:
            self._new = False
            self._act_as()

    def setblocking(self, flag):
        self.settimeout(None if flag else 0)

    def settimeout(self, seconds):
        self._timeout = -1 if seconds is None else int(seconds * 1000)
        self._native.settimeout(seconds)
        self._act_as()

    def setsockopt(self, level, option, value):
        if option == IP_ADD_MEMBERSHIP:
            if len(value) != 8:
                raise ValueError
            if not self._streams:
                self._native.join(value)
        elif option == TCP_NODELAY:
            if self._streams:
                self._native.setsockopt(IPPROTO_TCP, TCP_NODELAY, value)
        elif option not in (SO_REUSEADDR, SO_BROADCAST, SO_BINDTODEVICE):
            print("Warning: lwip.setsockopt() option not implemented")

    def bind(self, address):
        if self._streams:
            self._inner = _way.bound(self._native, address)
            self._used()
        else:
            self._native.bind(address)

    def _used(self):
        self._new = False
        self._act_as()

    def listen(self, backlog=2):
        if not self._streams:
            raise OSError(_NOT_SUPPORTED)
        if self._inner is None:
            self.bind(("", 0))
        self._native.listen(max(backlog, 0))
        _way.listening(self._inner)

    def connect(self, address):
        s = self._native
        if not self._streams:
            return s.connect(address)
        there = _way.to(s, address, self._inner)
        self._used()
        s.setblocking(False)
        try:
            s.connect(there)
        except OSError as e:
            if e.errno == _REFUSED and self._timeout == 0:
                self.send = self.recv = self.sendall = _failing(_REFUSED)  # a chip knows it later
                self.read = self.readinto = self.readline = self.write = self.send
                raise OSError(_IN_PROGRESS)
            if e.errno != _IN_PROGRESS or self._timeout == 0:
                raise
            poller = _select.poll()
            poller.register(s, _select.POLLOUT)
            if not poller.poll(self._timeout):
                raise OSError(_TIMED_OUT)
            s.connect(there)  # raises what has become of it
        finally:
            s.settimeout(None if self._timeout < 0 else self._timeout / 1000)

    def accept(self):
        if not self._streams:
            raise OSError(_NOT_SUPPORTED)
        s, address = _told(self._native.accept, self._timeout)()
        return socket(_native=s), _way.caller(address)

    def sendto(self, data, address):
        if not _way.numeric(address[0] or "0.0.0.0"):  # noqa: S104
            raise ValueError("invalid arguments")
        return self._native.sendto(data, address)

    def recvfrom(self, size):
        if self._streams:
            return self.recv(size), ("0.0.0.0", 0)  # noqa: S104
        return _told(self._native.recvfrom, self._timeout)(size)

    def makefile(self, *args):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def __repr__(self):
        return "<socket>"


def _told(native, timeout):
    """A method whose errors are those of a chip."""

    def call(*args):
        try:
            return native(*args)
        except OSError as e:
            if e.errno == _AGAIN and timeout > 0:
                raise OSError(_TIMED_OUT)
            raise OSError(_RESET) if e.errno == _PIPE else e

    return call


def _failing(number):
    def fail(*args):
        raise OSError(number)

    return fail
