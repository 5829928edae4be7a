"""One mutually authenticated TLS connection to the site broker, with the broker's key pinned.

Identity is checked three times over: the chain against the fleet CA, the name, and the SHA-256 of the peer's
SubjectPublicKeyInfo against the pin set. All three happen inside the handshake: no byte of ours leaves
before.
"""

import asyncio
import errno
import select
import socket

import tls
from micropython import const

from protocol.errors import ProtocolError
from protocol.x509_spki import spki_pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Optional, Sequence

    from protocol.keys import Buffer

_IPPROTO_TCP = const(6)
_TCP_NODELAY = const(1)
# MBEDTLS_ERR_X509_CERT_VERIFY_FAILED. A positive number would be taken for a byte count further up.
_REFUSE = const(-0x2700)
_CONNECT_POLL_MS = const(10)


class PinMismatch(Exception):
    """The peer showed a certificate of our CA whose key is not pinned."""


class PinnedContext:
    """A client context, made once and used for every connection. `pins` may change between two of them; `peer` is the pin
    of the broker that was let in last, `refused` that of one which was not.
    """

    def __init__(self, certificate: bytes, key: bytes, ca: bytes) -> None:
        self.pins: "Sequence[str]" = ()
        self.peer = self.refused = ""
        self._context: "Any" = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        self._context.load_cert_chain(certificate, key)
        self._context.load_verify_locations(ca)
        # The stubs know neither; the documentation and every port with Mbed TLS do.
        self._context.verify_mode = tls.CERT_REQUIRED  # type: ignore[attr-defined]
        self._context.verify_callback = self._check  # type: ignore[attr-defined]

    def _check(self, certificate: "Buffer", depth: int) -> int:
        """Called by Mbed TLS for each certificate after its own checks; an exception must not unwind through
        it.
        """
        if depth:
            return 0
        try:
            pin = spki_pin(certificate)
        except ProtocolError as e:
            pin = e.reason
        if pin in self.pins:
            self.peer = pin
            return 0
        self.refused = pin
        return _REFUSE

    def wrap(self, sock: "Any", server_name: str) -> "Any":
        """A TLS socket over a connected, non-blocking one; the handshake runs with the first write."""
        self.refused = ""
        return self._context.wrap_socket(sock, server_hostname=server_name, do_handshake_on_connect=False)


async def _connected(sock: "Any") -> None:
    """Wait for the three-way handshake. asyncio offers no public wait on a bare socket, so this one is
    polled.
    """
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    while not poller.poll(0):
        await asyncio.sleep_ms(_CONNECT_POLL_MS)


class TlsSocket:
    """Byte stream over TLS for asyncio. Every call may raise OSError; none has a deadline of its own."""

    def __init__(self) -> None:
        self._tcp: "Any" = None
        self._tls: "Any" = None
        self._stream: "Any" = None

    async def connect(self, host: str, port: int, context: PinnedContext, server_name: str) -> None:
        """TCP connect and TLS wrap; the TLS handshake happens in the first `write`.

        A host name is looked up blocking, with the deadline of the network stack: give boards an address.
        """
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]
        self._tcp = socket.socket(family, kind, protocol)
        self._tcp.setblocking(False)
        # Nagle costs 40 ms and more for each small packet that follows another.
        self._tcp.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
        try:
            self._tcp.connect(address)
        except OSError as e:
            if e.errno != errno.EINPROGRESS:
                raise
        await _connected(self._tcp)
        self._tls = context.wrap(self._tcp, server_name)
        self._stream = asyncio.StreamReader(self._tls)

    async def write(self, data: "Buffer") -> None:
        """Write all. A refused certificate shows here: PinMismatch or OSError."""
        self._stream.write(data)
        await self._stream.drain()

    async def readinto(self, buffer: bytearray) -> int:
        """At least one byte into `buffer`; OSError(ECONNRESET) at the end of the stream."""
        while True:
            # Bytes that TLS holds already would not wake a poll of the socket below.
            count: "Optional[int]" = self._tls.readinto(buffer)
            if count is None:
                count = await self._stream.readinto(buffer)
            else:
                await asyncio.sleep_ms(
                    0
                )  # a peer that never stops sending must not keep the other tasks waiting
            if count:
                return count
            if count == 0:
                raise OSError(errno.ECONNRESET)

    def close(self) -> None:
        """Close at once; safe to call twice."""
        for part in (self._tls, self._tcp):
            if part is not None:
                try:
                    part.close()
                except OSError:
                    pass  # the connection is given up in any case
        self._tls = self._tcp = self._stream = None
