"""The cloud's client at its broker: pinned TLS, no Nagle, reconnects with jittered back-off, deadlines on
every publish.

Nothing is queued while there is no connection: a command that waits is a late unlock, and all else is sent
again by whoever lacks it.
"""

import asyncio
import contextlib
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import aiomqtt
import structlog

from cloud_api.metrics import Metrics
from cloud_api.settings import BACK_OFF_S, PUBLISH_DEADLINE_S
from protocol.host.cancellation import cancellable

log = structlog.get_logger(__name__)

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
SUBSCRIPTION = "s/+/+/up/#"
KEEPALIVE_S = 15
MAX_INFLIGHT = 1_000  # publishes without a PUBACK; more wait inside paho
MAX_WAITING = 10_000

OnMessage = Callable[[str, bytes], Awaitable[None]]
OnConnected = Callable[[], Coroutine[Any, Any, None]]


class Unreachable(Exception):
    """No PUBACK. `sent` tells whether the message may have reached the broker all the same."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Link:
    """Publishes to and receives from the gateways."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._client: aiomqtt.Client | None = None
        self.connected = asyncio.Event()

    async def publish(self, topic: str, payload: str | bytes) -> None:
        """QoS 1; returns at the PUBACK. Raises Unreachable."""
        await cancellable(self.send(topic, payload))

    async def send(self, topic: str, payload: str | bytes) -> None:
        """As `publish`, for a task that nobody cancels: the packet is on the socket before its first wait."""
        client = self._client
        if client is None:
            raise Unreachable("not connected to the broker", sent=False)
        try:
            await client.publish(topic, payload, qos=1, timeout=PUBLISH_DEADLINE_S)
        except (aiomqtt.MqttError, ValueError) as error:
            raise Unreachable(str(error), sent=True) from error

    async def run(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext,
        on_message: OnMessage,
        on_connected: OnConnected,
        judged: asyncio.Event,
    ) -> None:
        """Stay connected until cancelled. While `judged` is not set the broker has no admission, and would refuse us."""
        pause = BACK_OFF_S[0]
        while True:
            await judged.wait()
            try:
                async with self._session(host, port, context) as client:
                    pause = BACK_OFF_S[0]
                    async with asyncio.TaskGroup() as group:
                        group.create_task(on_connected())
                        group.create_task(self._receive(client, on_message))
            except* (aiomqtt.MqttError, OSError) as group_error:
                log.warning("broker_lost", error=str(group_error.exceptions[0]))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(pause * 2, BACK_OFF_S[1])

    @contextlib.asynccontextmanager
    async def _session(self, host: str, port: int, context: ssl.SSLContext) -> AsyncIterator[aiomqtt.Client]:
        async with aiomqtt.Client(
            host,
            port,
            identifier="cloud",
            tls_context=context,
            socket_options=[NODELAY],
            keepalive=KEEPALIVE_S,
            timeout=PUBLISH_DEADLINE_S,
            max_inflight_messages=MAX_INFLIGHT,
            max_queued_outgoing_messages=MAX_WAITING,
        ) as client:
            client.pending_calls_threshold = MAX_WAITING
            await cancellable(client.subscribe(SUBSCRIPTION, qos=1))
            self._client = client
            self.connected.set()
            self._metrics.broker_up.set(1)
            log.info("broker_connected", host=host, port=port)
            try:
                yield client
            finally:
                self._client = None
                self.connected.clear()
                self._metrics.broker_up.set(0)

    @staticmethod
    async def _receive(client: aiomqtt.Client, on_message: OnMessage) -> None:
        async for message in client.messages:
            payload = message.payload
            await on_message(message.topic.value, payload if isinstance(payload, bytes) else b"")
