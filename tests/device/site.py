"""A site for one board: a real broker with a real admission, and a test's client that is gateway and cloud.

It holds K_dev, so it can seal what the cloud seals and check what the device seals.
"""

import asyncio
import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from protocol import journal, keys
from protocol.command import build_command
from protocol.credential import Token, mint
from protocol.envelope import (
    LABEL_COMMAND,
    LABEL_CONFIG,
    LABEL_OFFER,
    LABEL_RESULT,
    LABEL_TIME,
    open_sealed,
    seal,
)
from protocol.host.admission import Admission, Refusal
from protocol.host.broker import BrokerFiles, NatsBroker
from protocol.host.nats_claims import Permissions, new_issuer
from protocol.host.transfers import build_chunk, build_offer, transfer_id
from tests.protocol.host.fleet import Fleet, Identity
from tests.tasks import end

DEADLINE = 50.0  # a device waits up to 25 s to be let in, and up to 20 s before it tries again
DEVICE, DOOR, SITE = "dev_" + "d0" * 8, "door_" + "a1" * 8, "site_" + "b2" * 8
DOOR_BYTES = bytes.fromhex("a1" * 8)
STATES_ON_THE_WAY = 2  # that the device may have sent of its own accord, and that look like an answer
NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


def der(identity: Identity) -> tuple[bytes, bytes]:
    """Certificate and PKCS 8 key as provisioning carries them."""
    certificate = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    key = serialization.load_pem_private_key(identity.key.read_bytes(), None)
    return certificate.public_bytes(serialization.Encoding.DER), key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class Site:
    """`serving()` runs the broker; `peer` is connected meanwhile. Times are the host's."""

    def __init__(self, directory: Path) -> None:
        self.fleet = Fleet(directory / "fleet")
        self.server = self.fleet.issue("broker", server=True)
        self.device = self.fleet.issue(DEVICE)
        self.gateway = self.fleet.issue("gateway")
        self.k_dev = os.urandom(32)
        self.answers_time = True
        self.time_offset_ms = 0
        self.messages: dict[str, asyncio.Queue[bytes]] = {}
        self.acknowledges = True
        self.records: dict[int, bytes] = {}
        self.batches: list[list[int]] = []  # sequences of each message of events, as they came
        self.admitted = 0  # how often the device was let in
        self.shown = 0  # serial number of the certificate that it showed then
        self.files: dict[str, bytes] = {}  # what is served when the device asks for it, by id
        self.times: list[str] = []  # sealed times as they were sent
        self.port = 0  # of what the board dials instead of the broker
        self.heap = [0, 0, 0]  # used, free, and the largest free piece, from the last report that was read
        self.before_boot = 0  # the newest record that came before its last boot
        self._news_from = 0  # what comes before this admission is not heard
        self._in_force = 1, 1
        self._news = asyncio.Event()
        self._client_stack = contextlib.AsyncExitStack()
        self.sequence = 0
        self.boot = 0
        self.over = 0  # the boot that has ended: what it told may still be on its way
        self.refused: list[str] = []
        seed, issuer = new_issuer()
        files = BrokerFiles(self.server.certificate, self.server.key, self.fleet.ca)
        self.broker = NatsBroker(directory / "broker", server_name="site", auth_issuer=issuer, files=files)
        self.admission = Admission(
            self.broker,
            seed,
            self._decide,
            on_refused=lambda reason, who, pin: self.refused.append(reason),
        )

    def _decide(self, certificate: x509.Certificate, pin: str, client_id: str) -> Permissions | Refusal:
        if client_id == "gateway":
            return Permissions(("d/+/down/#",), ("d/+/up/#",))
        if (client_id, pin) != (DEVICE, self.device.pin):
            return Refusal("wrong_pin")
        self.admitted += 1
        self.shown = certificate.serial_number
        return Permissions((f"d/{DEVICE}/up/#",), (f"d/{DEVICE}/down/#",))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator["Site"]:
        await self.broker.start()
        admission = asyncio.create_task(self.admission.run())
        try:
            await asyncio.wait_for(self.admission.ready.wait(), DEADLINE)
            async with self._client_stack:
                await self._client_stack.enter_async_context(self._connected())
                yield self
        finally:
            await end(admission)
            await self.broker.stop()

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[None]:
        self._client = aiomqtt.Client(
            "localhost",
            self.broker.mqtt_port,
            identifier="gateway",
            tls_context=self.fleet.context(self.gateway),
            socket_options=NODELAY,
        )
        async with self._client:
            await self._client.subscribe("d/+/up/#", qos=1)
            reader = asyncio.create_task(self._read())
            try:
                yield
            finally:
                await end(reader)

    @contextlib.asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """The broker is down inside; then it is there again, on the same port, with our client."""
        await self._client_stack.aclose()
        yield
        await self.broker.stop()
        await self.broker.start()
        self.admission.retry_now()
        await asyncio.wait_for(self.admission.ready.wait(), DEADLINE)
        await self._client_stack.enter_async_context(self._connected())

    async def _read(self) -> None:
        with contextlib.suppress(aiomqtt.MqttError):
            async for message in self._client.messages:
                if self.admitted < self._news_from:
                    continue
                leaf = str(message.topic).split("/")[-1]
                payload = bytes(message.payload)  # type: ignore[arg-type]
                if leaf == "time" and self.answers_time:
                    await self.answer_time(json.loads(payload)["n"])
                elif leaf == "state":
                    state = json.loads(payload)
                    self._in_force = state["cfg"], state["rev"]
                elif leaf == "fetch":
                    await self._serve_file(json.loads(payload))
                elif leaf == "events":
                    await self._take(payload)
                self.queue(leaf).put_nowait(payload)

    async def _serve_file(self, request: dict[str, Any]) -> None:
        if request["id"] in self.files:
            data = self.files[request["id"]]
            await self.down("chunk", build_chunk(data, request["off"], request["len"]))

    async def offer(
        self, kind: str, version: int, data: bytes, /, *, serve: bool = True, **changes: Any
    ) -> str:
        """Offer a file, and answer when the device asks for it; its id."""
        if serve:
            self.files[transfer_id(data)] = data
        payload = build_offer(DEVICE, kind, version, data)
        await self.down("update", seal(keys.config_key(self.k_dev), LABEL_OFFER, {**payload, **changes}))
        return transfer_id(data)

    async def _take(self, payload: bytes) -> None:
        """Keep the records of one message; a record that came before must be the same."""
        sequences = []
        for text in json.loads(payload)["r"]:
            raw = base64.b64decode(text)
            record = journal.decode_record(raw)
            assert self.records.setdefault(record.seq, raw) == raw
            sequences.append(record.seq)
        self.batches.append(sequences)
        if self.acknowledges:
            await self.down("ack", {"seq": sequences[-1]})
        self._news.set()

    @property
    def newest(self) -> int:
        """Sequence of the newest record that came."""
        return max(self.records, default=0)

    async def record(self, kind: int, *, after: int = 0) -> journal.Record:
        """The first record of that type with a sequence above ``after``."""
        async with asyncio.timeout(DEADLINE):
            while True:
                for seq in sorted(self.records):
                    record = journal.decode_record(self.records[seq])
                    if seq > after and record.type == kind:
                        return record
                self._news.clear()
                await self._news.wait()

    def verify(self) -> list[journal.Record]:
        """All records, which must be the whole chain from its first one."""
        chain = journal.initial_state(keys.journal_key(self.k_dev))
        out = []
        for seq in range(1, self.newest + 1):
            record, chain = journal.verify(chain, self.records[seq])
            out.append(record)
        return out

    async def heard(self) -> dict[str, Any]:
        """Wait until the device has looked at all that was sent down: it answers the configuration in force. Its state then."""
        states = self.queue("state")
        while not states.empty():
            states.get_nowait()
        version, revocation = self._in_force
        rev = {"seq": revocation, "creds": [], "gens": {}}
        for _ in range(STATES_ON_THE_WAY + 1):
            await self.down("config", self.config(version, rev=rev))
            state = await self.next("state")
        return dict(state)

    async def counters(self) -> dict[str, int]:
        """What the device has counted since its boot; it reports when it comes back, so its session is cut."""
        await self.heard()
        self.messages.pop("log", None)
        await self.admission.kick(DEVICE)
        return dict((await self._log())["counters"])

    async def _log(self) -> dict[str, Any]:
        log = await self.next("log")
        self.heap = log["heap"]
        return dict(log)

    def queue(self, leaf: str) -> asyncio.Queue[bytes]:
        return self.messages.setdefault(leaf, asyncio.Queue())

    async def next(self, leaf: str) -> Any:
        """The next message of the device on `up/<leaf>`."""
        return json.loads(await self.raw(leaf))

    async def raw(self, leaf: str) -> bytes:
        """The next message of the device on `up/<leaf>`, as it came."""
        return await asyncio.wait_for(self.queue(leaf).get(), DEADLINE)

    async def down(self, leaf: str, message: object) -> None:
        payload = message if isinstance(message, bytes | str) else json.dumps(message)
        await self._client.publish(f"d/{DEVICE}/down/{leaf}", payload, qos=1)

    async def answer_time(self, nonce: str, **changes: Any) -> None:
        now = int(time.time() * 1000) + self.time_offset_ms
        payload = {"dev": DEVICE, "n": nonce, "t": now, **changes}
        self.times.append(seal(keys.time_key(self.k_dev), LABEL_TIME, payload))
        await self.down("time", self.times[-1])

    def booted(self) -> None:
        """The board starts anew: what it told before is of another boot."""
        self.messages.clear()
        self.before_boot = self.newest
        self.over = self.boot

    def switched_off(self) -> None:
        """The same, of a board that is off: what was on its way then is not heard any more."""
        self.booted()
        self._news_from = self.admitted + 1

    async def synchronised(self) -> dict[str, Any]:
        """Wait until the device is connected and knows the time; returns its state."""
        while True:
            state = await self.next("state")
            if state["clk"] is not None and state["boot"] != self.over:
                break
        if state["boot"] != self.boot:
            self.boot, before = state["boot"], self.before_boot
            await self.record(journal.EVENT_TIME_SET, after=before)  # the last of a boot, now acknowledged
        return dict(state)

    def command(self, *, key: bytes = b"", label: bytes = LABEL_COMMAND, **changes: Any) -> str:
        """A sealed unlock; ``changes`` of its payload."""
        self.sequence += 1
        id = f"act_{self.sequence:016x}"
        expiry = int(time.time() + 10)
        payload = build_command(id, DEVICE, self.boot, self.sequence, expiry, "unlock", {})
        return seal(key or keys.command_key(self.k_dev), label, {**payload, **changes})

    async def result(self) -> dict[str, Any]:
        raw = await asyncio.wait_for(self.queue("result").get(), DEADLINE)
        return open_sealed(keys.command_key(self.k_dev), LABEL_RESULT, raw)

    def config(self, version: int = 1, **changes: Any) -> str:
        payload: dict[str, Any] = {
            "dev": DEVICE,
            "ver": version,
            "rev": {"seq": version, "creds": [], "gens": {}},
            "schedules": "",
            "holidays": "",
            "tz": "UTC0",
            "policy": {"max_u_s": 60, "open_s": 0.5, "held_s": 30},
        }
        return seal(keys.config_key(self.k_dev), LABEL_CONFIG, {**payload, **changes})

    def key_for_phone(self, **fields: Any) -> dict[str, Any]:
        """An entry of a phone's bundle."""
        fields = {"epoch": 1, "credential_id": b"anna0001", **fields}
        token = Token(**fields).encode()
        epoch = keys.epoch_key(keys.credential_root(self.k_dev), fields["epoch"])
        return {
            "door_id": DOOR,
            "name": "Lab",
            "token": token.hex(),
            "key": mint(epoch, token).hex(),
            "caveats": [],
        }

    def bundle(self, **changes: Any) -> dict[str, Any]:
        """What the cloud gives the station for this device."""
        certificate, private_key = der(self.device)
        ca = x509.load_pem_x509_certificate(self.fleet.ca.read_bytes())
        bundle: dict[str, Any] = {
            "device_id": DEVICE,
            "door_id": DOOR,
            "site_id": SITE,
            "k_dev": _base64(self.k_dev),
            "certificate": _base64(certificate),
            "private_key": _base64(private_key),
            "ca": _base64(ca.public_bytes(serialization.Encoding.DER)),
            "broker": {
                "host": "127.0.0.1",
                "port": self.port or self.broker.mqtt_port,
                "server_name": "localhost",
                "pins": [self.server.pin, "0" * 64],
            },
            "wifi": {"ssid": "site", "key": "correct horse"},
            "epoch": 1,
            "config": self.config(),
            "time": int(time.time() * 1000),
        }
        return {**bundle, **changes}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
