"""A site for the admission's tests: a real broker, a real admission, and clients of one fleet."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509

from protocol.host.admission import Admission, Refusal, Verdict
from protocol.host.broker import BrokerFiles, NatsBroker
from protocol.host.nats_claims import Permissions, new_issuer
from tests.tasks import end

from .fleet import Fleet, Identity

NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
DEV1, DEV2 = "dev_" + "1" * 16, "dev_" + "2" * 16
GATEWAY = "gw_" + "a" * 16


class Site:
    """`pins` is the registry; `decide` may be replaced by a test."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory / "pki")
        server = self.fleet.issue("broker", server=True)
        self.identities = {name: self.fleet.issue(name) for name in (DEV1, DEV2, GATEWAY)}
        self.pins = {name: identity.pin for name, identity in self.identities.items()}
        self.refused: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
        self.log: list[str] = []
        self.seed, issuer = new_issuer()
        self.broker = NatsBroker(
            directory / "broker",
            server_name="site",
            auth_issuer=issuer,
            files=BrokerFiles(server.certificate, server.key, self.fleet.ca),
            on_log=self.log.append,
        )
        self.decide: Callable[..., Any] = self.by_pin

    def admission(self, **owner: Any) -> Admission:
        return Admission(
            self.broker,
            self.seed,
            lambda *a: self.decide(*a),
            on_refused=lambda *refusal: self.refused.put_nowait(refusal),
            **owner,
        )

    def by_pin(self, certificate: x509.Certificate, pin: str, client_id: str) -> Verdict:
        if self.pins.get(client_id) != pin:
            return Refusal("wrong_pin" if client_id in self.pins else "unknown_device")
        if client_id == GATEWAY:
            return Permissions(("d/+/down/#",), ("d/+/up/#",))
        return Permissions((f"d/{client_id}/up/#",), (f"d/{client_id}/down/#",))

    def client(
        self, who: str | Identity | None, client_id: str | None = None, **options: Any
    ) -> aiomqtt.Client:
        identity = self.identities[who] if isinstance(who, str) else who
        return aiomqtt.Client(
            "localhost",
            self.broker.mqtt_port,
            identifier=client_id or (identity.name if identity else "nobody"),
            tls_context=self.fleet.context(identity),
            socket_options=NODELAY,
            timeout=5,
            **options,
        )

    async def connects(self, who: str | Identity | None, client_id: str | None = None) -> bool:
        try:
            async with self.client(who, client_id):
                return True
        except aiomqtt.MqttError:
            return False


@contextlib.asynccontextmanager
async def serving(admission: Admission) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(admission.run())
    await asyncio.wait_for(admission.ready.wait(), 10)
    try:
        yield task
    finally:
        await end(task)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    await site.broker.start()
    yield site
    await site.broker.stop()


@pytest.fixture
async def admission(site: Site) -> AsyncIterator[Admission]:
    admission = site.admission()
    async with serving(admission):
        yield admission
