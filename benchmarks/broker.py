"""The bare broker: nats-server with our admission, one client here and one that echoes in a process of its own.

What a message takes to the echo and back is the floor that an unlock is compared with.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
from cryptography import x509

from benchmarks.echo import ANSWER, CALLER, ECHO, NODELAY, REQUEST
from benchmarks.identities import Identities, context
from hil.board.signals import now_us
from protocol.host.admission import Admission, Refusal
from protocol.host.broker import BrokerFiles, NatsBroker
from protocol.host.nats_claims import Permissions, new_issuer

PAYLOAD = bytes(300)  # about a sealed command
DEADLINE_S = 20.0
MAY = {CALLER: Permissions((REQUEST,), (ANSWER,)), ECHO: Permissions((ANSWER,), (REQUEST,))}


class BareBroker:
    """`async with BareBroker(folder).serving() as broker`, then `await broker.round_trip()`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fleet = Identities(folder)
        self._server = self._fleet.issue("server", "localhost")
        self._clients = {name: self._fleet.issue(name) for name in (CALLER, ECHO)}
        self._client: aiomqtt.Client | None = None

    async def round_trip(self) -> float:
        """Publish, echo, back: milliseconds; QoS 1 on all four ways."""
        assert self._client is not None
        began = now_us()
        await self._client.publish(REQUEST, PAYLOAD, qos=1)
        await asyncio.wait_for(anext(aiter(self._client.messages)), DEADLINE_S)
        return (now_us() - began) / 1000

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["BareBroker"]:
        """Broker, admission, echo and our own client, until the block ends."""
        seed, issuer = new_issuer()
        files = BrokerFiles(self._server.certificate, self._server.key, self._fleet.ca)
        broker = NatsBroker(self._folder / "broker", server_name="bench", auth_issuer=issuer, files=files)
        admission = Admission(
            broker,
            seed,
            self._decide,
        )
        await broker.start()
        admitting = asyncio.create_task(admission.run())
        try:
            await asyncio.wait_for(admission.ready.wait(), DEADLINE_S)
            async with self._echo(broker.mqtt_port), self._caller(broker.mqtt_port):
                yield self
        finally:
            admitting.cancel()
            await asyncio.wait([admitting])
            await broker.stop()

    def _decide(self, _certificate: x509.Certificate, pin: str, client_id: str) -> Permissions | Refusal:
        client = self._clients.get(client_id)
        return MAY[client_id] if client is not None and client.pin == pin else Refusal("wrong_pin")

    @asynccontextmanager
    async def _caller(self, port: int) -> AsyncIterator[None]:
        tls = context(self._fleet.ca, self._clients[CALLER], self._server.pin)
        async with aiomqtt.Client(
            "localhost", port, identifier=CALLER, tls_context=tls, socket_options=NODELAY
        ) as self._client:
            await self._client.subscribe(ANSWER, qos=1)
            yield

    @asynccontextmanager
    async def _echo(self, port: int) -> AsyncIterator[None]:
        echo = self._clients[ECHO]
        files = [str(path) for path in (self._fleet.ca, echo.certificate, echo.key)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "benchmarks.echo", str(port), *files, self._server.pin),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            if not await asyncio.wait_for(process.stdout.readline(), DEADLINE_S):
                raise RuntimeError("the echo did not start")
            yield
        finally:
            process.stdin.close()
            await process.wait()
