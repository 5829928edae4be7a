"""``select`` whose poll is also woken by the board's interrupts, and which sleeps where the native one spins.

The native poll asks objects without a descriptor (TLS sockets, ThreadSafeFlag) once per millisecond. Here
they are asked once, then everything that can change their answer is waited for: descriptors, the sockets
beneath TLS, the link.
"""

import struct

import _board
import uctypes
from _board import uselect, usocket, utime
from micropython import const

POLLERR, POLLHUP, POLLIN, POLLOUT = uselect.POLLERR, uselect.POLLHUP, uselect.POLLIN, uselect.POLLOUT
_CALM_MS = const(20)
_UNKNOWN_MS = const(20)
_SOCKET = id(usocket.socket)
_NOTHING = iter(())


def __getattr__(name):
    if name != "select":
        raise AttributeError("'module' object has no attribute '%s'" % name)
    return __import__("_" + __name__).select


def _fd_of(obj):
    """(descriptor, is TLS); -1 if only this program or an interrupt makes obj ready, None if unknown."""
    if isinstance(obj, int):
        if _board.bare:
            raise OSError("stream operation not supported")  # a chip has no descriptors
        return obj, False
    if hasattr(obj, "fileno"):
        return obj.fileno(), False
    if hasattr(obj, "ioctl"):
        return (None if _board.bare else -1), False  # anybody's object may become ready without a sign
    if type(obj).__name__ == "SSLSocket":
        return _beneath(obj), True
    return None, False


def _beneath(tls):
    # An SSLSocket is (type, context, socket, ...); a socket is (type, fd, ...). The type word proves the
    # guess, and nothing outside the neighbourhood of the object is read.
    inner = struct.unpack("<Q", uctypes.bytes_at(id(tls) + 16, 8))[0]
    if inner & 7 or not -0x4000000 < inner - id(tls) < 0x4000000:
        return None
    kind, fd = struct.unpack("<Qi", uctypes.bytes_at(inner, 12))
    return fd if kind == _SOCKET and fd >= 0 else None


class poll:
    def __init__(self):
        self._all = uselect.poll()
        # Always writable: keeps the native poll from waiting 1 ms before it asks objects without a
        # descriptor.
        self._all.register(_board.fd, POLLOUT)
        self._wake = uselect.poll()
        self._wake.register(_board.fd, POLLIN)
        self._wake.ipoll(0)  # these two take heap the first time
        self._all.ipoll(0)
        self._fds = {}
        self._tls = {}
        self._blind = False

    def register(self, obj, events=POLLIN | POLLOUT):
        fd, tls = _fd_of(obj)
        self._all.register(obj, events)
        if fd is None:
            self._blind = True
        elif fd >= 0:
            self._fds[id(obj)] = fd
            self._wake.register(fd, events)
            if tls:
                self._tls[fd] = events

    def unregister(self, obj):
        self._all.unregister(obj)
        fd = self._fds.pop(id(obj), -1)
        if fd >= 0:
            self._tls.pop(fd, None)
            if fd not in self._fds.values():  # a closed socket's number may be another's by now
                self._wake.unregister(fd)

    def modify(self, obj, events):
        self._all.modify(obj, events)
        fd = self._fds.get(id(obj), -1)
        if fd >= 0:
            self._wake.modify(fd, events)
            if fd in self._tls:
                self._tls[fd] = events

    def _ready(self):
        found = None
        for obj, events in self._all.ipoll(0):
            if obj is not _board.fd:
                if found is None:
                    found = []
                found.append((obj, events))
        return found

    def poll(self, timeout=-1):
        return self._await(timeout) or []

    def _await(self, timeout):
        # What is ready, or None: a program that waits in asyncio may have locked the heap.
        if timeout is None or timeout < 0:
            timeout = -1
        end = utime.ticks_add(utime.ticks_ms(), timeout) if timeout > 0 else 0
        calmed = None
        cap = _UNKNOWN_MS if self._blind else -1
        try:
            while True:
                _board.pump()
                ready = self._ready()
                if ready or timeout == 0:
                    return ready
                left = -1
                if timeout > 0:
                    left = utime.ticks_diff(end, utime.ticks_ms())
                    if left <= 0:
                        return None
                if cap >= 0 and (left < 0 or left > cap):
                    left = cap
                _board.wait(self._wake, left)
                if self._tls and self._quieten():
                    # TLS wants something else than its socket offers (handshake): do not spin on it.
                    calmed = True
                    cap = _CALM_MS
        finally:
            if calmed:
                for fd, events in self._tls.items():
                    self._wake.modify(fd, events)

    def _quieten(self):
        woken = None
        for fd, events in self._wake.ipoll(0):
            if fd in self._tls:
                woken = (fd, events)
        if woken is None or self._ready():
            return False
        fd, events = woken
        self._wake.modify(fd, self._tls[fd] & ~events)
        return True

    def ipoll(self, timeout=-1, flags=0):
        ready = self._await(timeout)
        if not ready:
            return _NOTHING
        if flags & 1:
            for obj, _ in ready:
                self.modify(obj, 0)
        return iter(ready)
