"""Granian inside our own event loop: one process, so that a SIGKILL leaves nothing behind and memory is
shared with the workers.

The listening socket is ours, so port 0 works and a taken port is our own clear error.
"""

import asyncio
import socket
from typing import Any

from granian.constants import Interfaces, SSLProtocols
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.net import SocketHolder  # type: ignore[attr-defined]
from granian.server.embed import Server
from starlette.types import ASGIApp

from cloud_api.authority import KeyPair

BACKLOG = 1024
STOP_DEADLINE_S = 5.0
# A client must send its request head within this time; half-open requests do not pile up.
HEADER_TIMEOUT_MS = 10_000


def bind(host: str, port: int) -> socket.socket:
    """Listen on `host:port`; raises OSError when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it. Without it the second of two small writes waits 40 ms for an ACK (RFC
        # 896).
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class Https(Server):
    """The server on a socket that is already listening."""

    def __init__(self, app: ASGIApp, listener: socket.socket, pair: KeyPair) -> None:
        host, port = listener.getsockname()[:2]
        super().__init__(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            backlog=BACKLOG,
            http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS),
            log_level=LogLevels.warning,
            log_enabled=False,
            ssl_cert=pair.certificate,
            ssl_key=pair.key,
            ssl_protocol_min=SSLProtocols.tls12,
        )
        self._listener = listener

    def _init_shared_socket(self) -> None:
        self._shd: Any = SocketHolder(self._listener.detach(), False, BACKLOG)  # type: ignore[call-arg]

    async def close(self, serving: asyncio.Task[None]) -> None:
        """Stop accepting and let running requests end, for a while."""
        self.stop()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await asyncio.shield(serving)
        except TimeoutError:
            serving.cancel()
