"""One MQTT session that is kept alive: an asyncio transport over the sans-IO codec of `protocol.mqtt`.

Messages are handed over and sent in the call that reads them: no task and no queue lies on a command's way.
Clean sessions only: nothing waits at the broker for us. What must not be lost is acknowledged by its
receiver's watermark, never by a PUBACK.
"""

import asyncio
import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from gateway import metrics
from protocol import mqtt
from protocol.errors import ProtocolError

CONNECT_DEADLINE_S = 10.0
ANSWER_DEADLINE_S = 10.0
KEEP_ALIVE_S = 15
PING_EVERY_S = 5.0
SILENCE_S = 12.0  # a broker that answers no ping for so long is gone
BACK_OFF_S = (0.1, 10.0)
# A registry of some thousands of devices is the largest message; a peer cannot make us hold more than this.
MAX_PACKET = 1 << 20
MAX_UNSENT = 1 << 20
NOT_AUTHORIZED = (4, 5)

log = structlog.get_logger(__name__)


class LinkLost(Exception):
    """The session has ended, or never began; the text says why."""


@dataclass(frozen=True)
class Endpoint:
    """Where the broker is, and who it must be."""

    host: str
    port: int
    server_name: str


OnMessage = Callable[[str, bytes, bool], None]


class MqttLink:
    """A session with one broker. Callbacks run in the loop and must not block.

    `subscriptions` are (filter, QoS). `on_message(topic, payload, retained)`; `on_change(up)` at the SUBACK
    and at the loss; `on_writable()` when a link that took no more takes data again. While `judged` is not set nobody
    would let us in: a broker without its admission keeps a client waiting, and then refuses it.
    """

    def __init__(
        self,
        name: str,
        client_id: str,
        subscriptions: list[tuple[str, int]],
        endpoint: Callable[[], Endpoint],
        context: Callable[[], ssl.SSLContext],
        on_message: OnMessage,
        on_change: Callable[[bool], None],
        on_writable: Callable[[], None] = lambda: None,
        judged: asyncio.Event | None = None,
    ) -> None:
        self.name = name
        self._client_id = client_id
        self._subscriptions = subscriptions
        self._endpoint = endpoint
        self._context = context
        self._on_message = on_message
        self._on_change = on_change
        self._on_writable = on_writable
        self._judged = judged
        self._session: _Session | None = None

    @property
    def up(self) -> bool:
        return self._session is not None

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> bool:
        """Write it now. False, and nothing is sent, without a session or while too much is unsent."""
        session = self._session
        sent = session is not None and session.publish(topic, payload, qos)
        if sent:
            log.debug("message.sent", link=self.name, topic=topic, size=len(payload))
        return sent

    async def run(self) -> None:
        """Hold a session until cancelled; come back with jittered back-off."""
        delay = BACK_OFF_S[0]
        while True:
            if self._judged is not None:
                await self._judged.wait()
            try:
                await self._hold()
            except (LinkLost, ProtocolError, OSError, TimeoutError) as error:
                if self._session is not None:
                    delay = BACK_OFF_S[0]
                log.warning("link.lost", link=self.name, error=str(error) or repr(error))
            finally:
                self._down()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay = min(delay * 2, BACK_OFF_S[1])

    async def _hold(self) -> None:
        endpoint = self._endpoint()
        loop = asyncio.get_running_loop()
        session = _Session(self._receive, self._on_writable)
        async with asyncio.timeout(CONNECT_DEADLINE_S):
            # asyncio sets TCP_NODELAY on every connection.
            await loop.create_connection(
                lambda: session,
                endpoint.host,
                endpoint.port,
                ssl=self._context(),
                server_hostname=endpoint.server_name,
                ssl_shutdown_timeout=1.0,
            )
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                await session.open(self._client_id, self._subscriptions)
            self._session = session
            metrics.LINK_UP.labels(link=self.name).set(1)
            log.info("link.up", link=self.name, host=endpoint.host, port=endpoint.port)
            self._on_change(True)
            await session.keep_alive()
        finally:
            session.close()

    def _down(self) -> None:
        if self._session is not None:
            self._session = None
            metrics.LINK_UP.labels(link=self.name).set(0)
            self._on_change(False)

    def _receive(self, topic: str, payload: bytes, retained: bool) -> None:
        log.debug("message.received", link=self.name, topic=topic[:128], size=len(payload))
        try:
            self._on_message(topic, payload, retained)
        except Exception:  # one message that we cannot take must not end the session of all others
            metrics.DROPPED.labels(reason="internal_error").inc()
            log.exception("link.handler_failed", link=self.name, topic=topic[:128])


class _Session(asyncio.Protocol):
    """One connection, from CONNECT to its loss."""

    def __init__(self, on_message: OnMessage, on_writable: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._on_writable = on_writable
        self._decoder = mqtt.Decoder(MAX_PACKET)
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[None] = loop.create_future()
        self._lost.add_done_callback(
            lambda future: future.exception()
        )  # perhaps nobody waits for it any more
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._subscribed: dict[int, asyncio.Future[None]] = {}
        self._packet_id = 0
        self._full = False
        self._heard = loop.time()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=MAX_UNSENT)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(LinkLost(str(error) if error else "closed by the broker"))

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._on_writable()

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        try:
            packets = list(self._decoder.feed(data))
        except ProtocolError as error:
            metrics.DROPPED.labels(reason="bad_packet").inc()
            self._fail(error)
            return
        for packet in packets:
            self._act(packet)

    async def open(self, client_id: str, subscriptions: list[tuple[str, int]]) -> None:
        """CONNECT and SUBSCRIBE; returns at the last SUBACK."""
        self._write(mqtt.encode_connect(client_id, KEEP_ALIVE_S))
        await self._until(self._accepted)
        for qos in sorted({qos for _, qos in subscriptions}):
            packet_id = self._next_id()
            self._subscribed[packet_id] = asyncio.get_running_loop().create_future()
            topics = [topic for topic, wanted in subscriptions if wanted == qos]
            self._write(mqtt.encode_subscribe(packet_id, topics, qos))
        for answer in list(self._subscribed.values()):
            await self._until(answer)

    def publish(self, topic: str, payload: bytes, qos: int) -> bool:
        if self._full or self._lost.done():
            return False
        self._write(mqtt.encode_publish(topic, payload, qos, self._next_id() if qos else 0))
        return True

    async def keep_alive(self) -> None:
        """Ping until the connection is lost; raises what ended it."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.wait([self._lost], timeout=PING_EVERY_S)
            if self._lost.done():
                self._lost.result()
            if loop.time() - self._heard > SILENCE_S:
                raise LinkLost("the broker is silent")
            self._write(mqtt.encode_ping())

    def close(self) -> None:
        """Say goodbye where that is still possible."""
        if self._transport is None:
            return
        if self._lost.done() or self._full:
            self._transport.abort()
            return
        self._write(mqtt.encode_disconnect())
        self._lost.set_exception(LinkLost("closed by us"))
        self._transport.close()

    def _act(self, packet: mqtt.Packet) -> None:
        if packet.kind == mqtt.PUBLISH:
            if packet.qos:
                self._write(mqtt.encode_puback(packet.packet_id))
            self._on_message(packet.topic, bytes(packet.payload), packet.retain)
        elif packet.kind == mqtt.CONNACK and not self._accepted.done():
            if packet.return_code in NOT_AUTHORIZED:
                self._fail(LinkLost("the broker refuses us"))
            elif packet.return_code:
                self._fail(LinkLost(f"CONNACK {packet.return_code}"))
            else:
                self._accepted.set_result(None)
        elif packet.kind == mqtt.SUBACK:
            answer = self._subscribed.pop(packet.packet_id, None)
            if 0x80 in packet.return_codes:
                self._fail(LinkLost("the broker refuses a subscription"))
            elif answer is not None and not answer.done():
                answer.set_result(None)

    async def _until(self, answer: asyncio.Future[None]) -> None:
        await asyncio.wait([answer, self._lost], return_when=asyncio.FIRST_COMPLETED)
        if self._lost.done():
            self._lost.result()

    def _fail(self, error: Exception) -> None:
        if not self._lost.done():
            self._lost.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    def _write(self, packet: bytes) -> None:
        if self._transport is not None and not self._lost.done():
            self._transport.write(packet)

    def _next_id(self) -> int:
        self._packet_id = self._packet_id % 0xFFFF + 1
        return self._packet_id
