"""A real cloud to test against: its process, an organisation, a gateway that speaks the contract, a device in
software.

The gateway has its own keys and enrolled certificate, and speaks MQTT over pinned TLS. The device computes
real bytes with `protocol`.
"""

import asyncio
import base64
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
from cryptography.hazmat.primitives import serialization

from cloud_api.installation import add_token, create
from cloud_api.settings import Folder
from protocol import journal
from protocol.command import build_result
from protocol.envelope import (
    LABEL_COMMAND,
    LABEL_CONFIG,
    LABEL_RESULT,
    LABEL_TIME,
    open_sealed,
    seal,
)
from protocol.host import pki
from protocol.host.pins import client_context
from protocol.keys import command_key, config_key, journal_key, time_key
from tests.tasks import end

DEADLINE_S = 20.0
NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class CloudProcess:
    """`latchwork-cloud serve` on a folder of its own, with ports that it chooses and keeps."""

    def __init__(self, root: Path, **settings: Any) -> None:
        self.root = root
        self.made = create(root, "First", "localhost", "")
        folder = Folder(root)
        folder.save(folder.load().model_copy(update=settings))
        self.process: subprocess.Popen[str] | None = None
        self.ready: dict[str, Any] = {}

    def start(self) -> None:
        """Serve until `stop` or `kill`; returns once it answers."""
        command = [str(Path(sys.executable).with_name("latchwork-cloud")), "serve", "--dir", str(self.root)]
        with (self.root / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--http-port", "0", "--mqtt-port", "0", "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.root / "serve.log").read_text()[-3000:]
        self.ready = json.loads(line)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL."""
        return self._end(signal.SIGKILL)

    def children(self) -> list[int]:
        """Processes that it has started (nats-server)."""
        assert self.process is not None
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in listed.split()]

    def kill_broker(self) -> None:
        """SIGKILL to its nats-server."""
        (broker,) = self.children()
        os.kill(broker, signal.SIGKILL)

    def _end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def ca(self) -> str:
        return str(self.made["ca"])

    @property
    def pins(self) -> list[str]:
        pins = self.made["pins"]
        assert isinstance(pins, list)
        return pins

    @property
    def database(self) -> Path:
        return self.root / "cloud.db"

    def new_organisation(self) -> str:
        """A token of an organisation that nobody else uses."""
        return str(add_token(self.root, "Org " + os.urandom(6).hex(), "test", create=True)["token"])

    def api(self, token: str | None) -> httpx.AsyncClient:
        """A pinned client."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        context = client_context(self.ca, pins=self.pins)
        return httpx.AsyncClient(base_url=self.url, verify=context, headers=headers, timeout=DEADLINE_S)


async def made(response: httpx.Response, status: int = 201) -> dict[str, Any]:
    """The body of an answer that must have this status."""
    assert response.status_code == status, response.text
    body = response.json()
    assert isinstance(body, dict)
    return body


class Gateway:
    """An enrolled gateway's session at the cloud broker."""

    def __init__(self, cloud: CloudProcess, enrolment: dict[str, Any], directory: Path) -> None:
        self.cloud = cloud
        self.id: str = enrolment["gateway_id"]
        self.site_id: str = enrolment["site_id"]
        self.base = f"s/{enrolment['shard']}/{self.site_id}"
        self.enrolment = enrolment
        self._directory = directory
        self._client: aiomqtt.Client | None = None
        self._reader: asyncio.Task[None] | None = None
        self._waiting: dict[str, asyncio.Queue[dict[str, Any]]] = {}

    @classmethod
    async def enrol(
        cls, cloud: CloudProcess, api: httpx.AsyncClient, site_id: str, directory: Path
    ) -> "Gateway":
        """Enrol with fresh keys."""
        keys = [pki.new_key() for _ in range(2)]
        csrs = [pki.make_csr(k, "gateway").public_bytes(serialization.Encoding.PEM).decode() for k in keys]
        body = {
            "site_id": site_id,
            "host": "127.0.0.1",
            "port": 8883,
            "client_csr": csrs[0],
            "broker_csr": csrs[1],
            "backup_broker_pin": "ab" * 32,
        }
        enrolment = await made(await api.post("/v1/gateways", json=body))
        gateway = cls(cloud, enrolment, directory)
        gateway.keep(pki.key_pem(keys[0]))
        return gateway

    def keep(self, key_pem: bytes) -> None:
        """Write the identity to the gateway's folder."""
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / "client.pem").write_text(self.enrolment["client_certificate"])
        (self._directory / "client.key").write_bytes(key_pem)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator["Gateway"]:
        """A session with a subscription to everything that comes down."""
        broker = self.enrolment["cloud_broker"]
        context = client_context(
            self.enrolment["ca"],
            str(self._directory / "client.pem"),
            str(self._directory / "client.key"),
            broker["pins"],
        )
        async with aiomqtt.Client(
            broker["host"], broker["port"], identifier=self.id, tls_context=context, socket_options=[NODELAY]
        ) as client:
            self._client = client
            await client.subscribe(f"{self.base}/down/#", qos=1)
            self._reader = asyncio.create_task(self._read(client))
            try:
                yield self
            finally:
                await end(self._reader)

    async def _read(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            leaf = message.topic.value.rsplit("/", 1)[1]
            assert isinstance(message.payload, bytes)
            self._leaf(leaf).put_nowait(json.loads(message.payload))

    def _leaf(self, leaf: str) -> asyncio.Queue[dict[str, Any]]:
        return self._waiting.setdefault(leaf, asyncio.Queue())

    async def send(self, leaf: str, message: object) -> None:
        """Publish; bytes as they are."""
        assert self._client is not None
        payload = message if isinstance(message, bytes) else json.dumps(message)
        await self._client.publish(f"{self.base}/up/{leaf}", payload, qos=1)

    async def publish(self, topic: str, message: object) -> None:
        """Publish anywhere."""
        assert self._client is not None
        await self._client.publish(topic, json.dumps(message), qos=1)

    async def receive(self, leaf: str, **fields: object) -> dict[str, Any]:
        """The next message of a leaf that has these fields; others of the leaf are dropped."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                message = await self._leaf(leaf).get()
                if all(message.get(name) == value for name, value in fields.items()):
                    return message

    async def may_subscribe(self, topic_filter: str) -> bool:
        """Whether the broker grants a subscription (MQTT 3.1.1, 3.9.3: 0x80 is a refusal)."""
        assert self._client is not None
        granted = await self._client.subscribe(topic_filter, qos=1)
        return 0x80 not in [int(getattr(code, "value", code)) for code in granted]

    async def until_cut_off(self) -> None:
        """Wait until the broker ends the session; raises MqttError then."""
        assert self._reader is not None
        await self._reader

    def received(self, leaf: str) -> int:
        """How many messages of a leaf wait."""
        return self._leaf(leaf).qsize()


class Device:
    """A device in software: the keys and the journal of a provisioning bundle."""

    def __init__(self, bundle: dict[str, Any], gateway: Gateway, boot: int = 1) -> None:
        self.id: str = bundle["device_id"]
        self.door_id: str = bundle["door_id"]
        self.bundle = bundle
        self.boot = boot
        self.gateway = gateway
        k_dev = base64.b64decode(bundle["k_dev"])
        self.command_key = command_key(k_dev)
        self.config_key = config_key(k_dev)
        self.time_key = time_key(k_dev)
        self.chain = journal.initial_state(journal_key(k_dev))
        self.config = open_sealed(self.config_key, LABEL_CONFIG, bundle["config"])

    def record(self, kind: int = journal.EVENT_DOOR_FORCED, **fields: Any) -> bytes:
        """Append to the journal."""
        raw, self.chain = journal.append(self.chain, kind, boot=self.boot, **fields)
        return bytes(raw)

    def records(self, count: int) -> list[bytes]:
        """Append several."""
        return [self.record(value=n) for n in range(count)]

    async def send_records(self, raws: list[bytes]) -> None:
        """Through the gateway, as one message."""
        encoded = [base64.b64encode(raw).decode() for raw in raws]
        await self.gateway.send("events", {"d": self.id, "r": encoded})

    async def acked(self, seq: int) -> None:
        """Wait for a watermark."""
        await self.gateway.receive("ack", d=self.id, seq=seq)

    async def send_state(self, **changes: Any) -> None:
        """Publish the shadow."""
        state = {
            "d": self.id,
            "boot": self.boot,
            "jseq": self.chain.seq,
            "cfg": self.config["ver"],
            "rev": self.config["rev"]["seq"],
            "epoch": self.config["epoch"],
            "fw": "1.0",
            "door": "closed",
            "clk": None,
        }
        await self.gateway.send("state", {**state, **changes})

    async def come_up(self, api: httpx.AsyncClient) -> None:
        """Publish the shadow and wait until the cloud has it."""
        await self.send_state()
        await until(api, f"/v1/devices/{self.id}", lambda body: body["boot"] == self.boot)

    async def next_command(self) -> dict[str, Any]:
        """The next command for this device, unsealed."""
        message = await self.gateway.receive("command", d=self.id)
        return dict(open_sealed(self.command_key, LABEL_COMMAND, message["e"]))

    async def next_config(self) -> dict[str, Any]:
        """The next configuration for this device, unsealed and taken over."""
        message = await self.gateway.receive("config", d=self.id)
        self.config = dict(open_sealed(self.config_key, LABEL_CONFIG, message["e"]))
        return self.config

    async def answer(self, command: dict[str, Any], *, ok: bool = True, status: str = "granted") -> None:
        """Seal and send the result of a command."""
        payload = build_result(command["id"], self.id, command["seq"], ok, status, 0, self.chain.seq)
        await self.send_result(seal(self.command_key, LABEL_RESULT, payload))

    async def send_result(self, envelope: str) -> None:
        """Send a result envelope."""
        await self.gateway.send("result", {"d": self.id, "e": envelope})

    async def ask_time(self, nonce: bytes) -> dict[str, Any]:
        """Ask for the time; the unsealed answer."""
        await self.gateway.send("time", {"d": self.id, "n": nonce.hex()})
        message = await self.gateway.receive("time", d=self.id)
        return dict(open_sealed(self.time_key, LABEL_TIME, message["e"]))


async def until(
    api: httpx.AsyncClient, path: str, holds: Callable[[dict[str, Any]], bool], status: int = 200
) -> dict[str, Any]:
    """Read `path` until `holds(body)`; the last resort where there is nothing to wait on."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            answer = await api.get(path)
            if answer.status_code == status and holds(answer.json()):
                return dict(answer.json())
            await asyncio.sleep(0.02)


_names = itertools.count()


async def new_site(api: httpx.AsyncClient) -> dict[str, Any]:
    """A site."""
    return await made(await api.post("/v1/sites", json={"name": f"Site {next(_names)}"}))


async def new_door(api: httpx.AsyncClient, site_id: str) -> dict[str, Any]:
    """A door."""
    return await made(await api.post("/v1/doors", json={"site_id": site_id, "name": f"Door {next(_names)}"}))


async def new_key(api: httpx.AsyncClient, door_ids: list[str], **fields: Any) -> dict[str, Any]:
    """A key of a new user."""
    user = await made(await api.post("/v1/users", json={"name": f"User {next(_names)}"}))
    body = {"user_id": user["id"], "door_ids": door_ids, **fields}
    return await made(await api.post("/v1/keys", json=body))
