"""Brokers that are not the site's: a TLS server that notes every byte it is sent, and plays what the test says."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

from tests.protocol.host.fleet import Fleet, Identity

DEADLINE = 20.0
CONNACK = b"\x20\x02\x00\x00"
Play = Callable[["Session"], Awaitable[None]]


class Session:
    """One connection that came through the handshake."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def packet(self) -> tuple[int, bytes]:
        """First byte and body of the next packet of the client; ours are all short."""
        first, shift, length = (await self.reader.readexactly(1))[0], 0, 0
        while True:
            byte = (await self.reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return first, await self.reader.readexactly(length)

    async def until(self, kind: int) -> tuple[int, bytes]:
        while True:
            first, body = await self.packet()
            if first >> 4 == kind:
                return first, body

    def send(self, raw: bytes) -> None:
        self.writer.write(raw)

    async def welcome(self) -> None:
        """Take CONNECT and SUBSCRIBE."""
        await self.until(1)
        self.send(CONNACK)
        _, body = await self.until(8)
        self.send(b"\x90\x03" + body[:2] + b"\x01")

    async def ended(self) -> None:
        """Read until the client hangs up."""
        while await self.reader.read(4096):
            pass


class Impostor:
    """``bytes_heard`` is what came inside TLS, ``handshakes`` how many connections got that far."""

    def __init__(self) -> None:
        self.port = 0
        self.dialled = 0
        self.refusals: asyncio.Queue[str] = asyncio.Queue()
        self.sessions: asyncio.Queue[None] = asyncio.Queue()
        self.bytes_heard = b""


@contextlib.asynccontextmanager
async def impostor(
    fleet: Fleet, identity: Identity, play: Play | None = None, *, ca: Fleet | None = None, port: int = 0
) -> AsyncIterator[Impostor]:
    """Serve with ``identity`` on ``port`` (0: any); clients must chain to ``fleet`` (or ``ca``)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    context.load_verify_locations((ca or fleet).ca)
    context.verify_mode = ssl.CERT_REQUIRED
    made = Impostor()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.dialled += 1
        try:
            await writer.start_tls(context)
        except (ssl.SSLError, ConnectionError) as error:
            made.refusals.put_nowait(str(error))
            writer.close()
            return
        made.sessions.put_nowait(None)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            if play is None:
                while heard := await reader.read(4096):
                    made.bytes_heard += heard
                made.refusals.put_nowait("")
            else:
                await play(Session(reader, writer))
        writer.transport.abort()  # not a close: asyncio would hold TCP open for the goodbye of the peer

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
