"""An attack on an installation: whoever took the gateway's folder runs software of their own with its keys.

It holds everything the gateway holds, so both brokers take it for the gateway. It passes on what keeps doors
working, writes down every command it carries, and can send any of them again. It keeps events to itself.
"""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
from cryptography import x509

from gateway.settings import Folder
from protocol.host.admission import Admission
from protocol.host.broker import BrokerFiles, NatsBroker
from protocol.host.cancellation import cancellable
from protocol.host.nats_claims import Permissions, new_issuer
from protocol.host.pins import client_context
from protocol.topics import down, parse_cloud_topic, parse_site_topic, site_down, site_up

READY_DEADLINE_S = 10.0
_NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
_CARRIED_UP = ("result", "state", "time")
_CARRIED_DOWN = ("command", "time", "config")


class StolenGateway:
    """`async with StolenGateway(folder).running():` while the real gateway is not; both are one identity."""

    def __init__(self, folder: Path, work: Path) -> None:
        self._folder = Folder(folder)
        self._settings = self._folder.load()
        self.recorded: list[tuple[str, bytes]] = []
        self._listening = asyncio.Event()
        self._site: aiomqtt.Client | None = None
        self._cloud: aiomqtt.Client | None = None
        seed, issuer = new_issuer()
        files = BrokerFiles(self._folder.broker_certificate, self._folder.broker_key, self._folder.ca)
        self.broker = broker = NatsBroker(
            work,
            server_name="stolen",
            auth_issuer=issuer,
            files=files,
            mqtt_host=self._settings.listen,
            mqtt_port=self._settings.port,
        )
        self._admission = Admission(
            broker,
            seed,
            self._let_everybody_in,
            owner=self._settings.gateway_id,
            listening=self._listening,
        )

    def _let_everybody_in(self, certificate: x509.Certificate, pin: str, client_id: str) -> Permissions:
        if client_id == self._settings.gateway_id:
            return Permissions(("d/+/down/#",), ("d/+/up/#",))
        return Permissions((f"d/{client_id}/up/#",), (f"d/{client_id}/down/#",))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["StolenGateway"]:
        """Serve the site in the gateway's place."""
        settings = self._settings
        cloud = settings.cloud_broker
        await self.broker.start()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._admission.run())]
                async with asyncio.timeout(READY_DEADLINE_S):
                    await self._admission.ready.wait()
                self._site = self._client("localhost", self.broker.mqtt_port, settings.broker_pins)
                self._cloud = self._client(cloud.host, cloud.port, cloud.pins)
                place = (settings.shard, settings.site_id)
                async with self._site, self._cloud:
                    for leaf in _CARRIED_UP:
                        await self._site.subscribe(f"d/+/up/{leaf}", qos=1)
                    for leaf in _CARRIED_DOWN:
                        await self._cloud.subscribe(site_down(*place, leaf), qos=1)
                    tasks.append(group.create_task(self._carry(self._site, self._up)))
                    tasks.append(group.create_task(self._carry(self._cloud, self._down)))
                    self._listening.set()
                    yield self
                    for task in tasks:
                        task.cancel()
        finally:
            await self.broker.stop()

    async def play_back(self) -> int:
        """Send every recorded command once more, byte for byte; how many there were."""
        assert self._site is not None
        recorded = list(self.recorded)
        for topic, payload in recorded:
            await self._site.publish(topic, payload, qos=1)
        return len(recorded)

    async def send(self, device: str, leaf: str, payload: bytes) -> None:
        """Anything at all, to any device of the site."""
        assert self._site is not None
        await self._site.publish(down(device, leaf), payload, qos=1)

    def _client(self, host: str, port: int, pins: list[str]) -> aiomqtt.Client:
        folder = self._folder
        context = client_context(folder.ca, folder.client_certificate, folder.client_key, pins)
        return aiomqtt.Client(
            host,
            port,
            identifier=self._settings.gateway_id,
            tls_context=context,
            socket_options=[_NODELAY],
            timeout=READY_DEADLINE_S,
        )

    async def _carry(
        self, client: aiomqtt.Client, act: Callable[[str, Any], Coroutine[Any, Any, None]]
    ) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async for message in client.messages:
                await cancellable(act(str(message.topic), message.payload))

    async def _up(self, topic: str, payload: bytes) -> None:
        assert self._cloud is not None
        device, _, leaf = parse_site_topic(topic)
        told = {"e": payload.decode()} if leaf == "result" else json.loads(payload)
        place = (self._settings.shard, self._settings.site_id)
        await self._cloud.publish(site_up(*place, leaf), json.dumps({"d": device, **told}), qos=1)

    async def _down(self, topic: str, payload: bytes) -> None:
        assert self._site is not None
        leaf = parse_cloud_topic(topic)[3]
        message = json.loads(payload)
        target, envelope = down(message["d"], leaf), message["e"].encode()
        if leaf == "command":
            self.recorded.append((target, envelope))
        await self._site.publish(target, envelope, qos=1)
