"""The running gateway: its broker, its two sessions, its spool, and who tells whom."""

import asyncio
import contextlib
import random
import sqlite3
import ssl
from pathlib import Path

import structlog
from nats.errors import Error as NatsError

from gateway import metrics
from gateway.audit import Audit
from gateway.commits import Commits
from gateway.doorman import Doorman
from gateway.downward import Downward
from gateway.drops import Drops
from gateway.mqtt_link import Endpoint, MqttLink
from gateway.registry import Registry
from gateway.settings import Folder
from gateway.site_broker import LOCALHOST, SiteBroker
from gateway.spool import Spool
from gateway.uplink import Rows, Uplink
from gateway.upward import Upward
from gateway.wire import audit_message, events_message
from protocol.host import cloud_messages, site_messages
from protocol.host.pins import client_context, spki_sha256
from protocol.topics import down, site_down, site_up

# QoS 0 halves a broker's share of a round trip and loses nothing here: with clean sessions a QoS 1 delivery
# dies with its connection too, and a command that a broker repeats later is worth less than none. QoS 1 is
# for the broker's flow control, where a backlog may come.
SITE_SUBSCRIPTIONS = {"result": 0, "time": 0, "state": 1, "log": 1, "events": 1, "fetch": 1}
CLOUD_SUBSCRIPTIONS = {
    "command": 0,
    "time": 0,
    "config": 1,
    "ack": 1,
    "update": 1,
    "chunk": 1,
    "registry": 1,
}
STOP_DEADLINE_S = 5.0
# A client that was judged just before its registry changed may get its session just after: look once more.
SECOND_LOOK_S = 2.0
KICK_AGAIN_S = 0.5
HELLO_EVERY_S = 60.0
SITE_FIRST_S = 5.0

log = structlog.get_logger(__name__)


class Gateway:
    """One gateway. `run()` until cancelled; `ready` is set once devices can come in."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.settings = settings = folder.load()
        self.ready = asyncio.Event()
        self._listening = asyncio.Event()
        self._registry = Registry(folder.registry)
        self._commits = Commits(Spool(folder.spool), self._stored)
        self._audit = Audit(settings.gateway_id, self._commits.offer)
        self._uplink = Uplink(self._commits.fetch, self._commits.backlog, self._send_rows)
        drops = Drops(self._audit.record)
        doorman = Doorman(settings.gateway_id, _pin_of(folder.client_certificate), self._registry)
        self._doorman = doorman
        self._site_broker = SiteBroker(
            folder,
            settings,
            doorman,
            self._listening,
            on_refused=self._refused,
            on_presence=self._presence,
            on_violation=self._violated,
            on_end=self._broker_ended,
        )
        self._cloud, self._site = self._links()
        place = (settings.shard, settings.site_id)
        self._upward = Upward(*place, self._registry, self._commits.offer, self._cloud.publish, drops)
        self._downward = Downward(
            *place, self._registry, self._site.publish, self._cloud_has, self._new_registry, drops
        )
        self._told: dict[str, int] = {}
        self._cloud_acks: dict[str, int] = {}
        self._acks_waiting = asyncio.Event()
        self._registry_changed = asyncio.Event()

    @property
    def mqtt_port(self) -> int:
        return self._site_broker.gate.port

    async def run(self) -> None:
        """Serve until cancelled. Raises BrokerError or OSError when the broker cannot be started at first."""
        try:
            await self._site_broker.start()
            async with asyncio.TaskGroup() as group:
                for task in (
                    self._site_broker.run(),
                    self._site_broker.admission.run(),
                    self._commits.run(),
                    self._audit.run(),
                    self._uplink.run(),
                    self._apply_acks(),
                    self._apply_registry(),
                    self._greet(),
                    self._cloud_session(),
                    self._site.run(),
                ):
                    group.create_task(task)
        finally:
            await self._close()

    async def _cloud_session(self) -> None:
        # Our hello makes the cloud send what devices lack: better with the site there to take it.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SITE_FIRST_S):
                await self.ready.wait()
        await self._cloud.run()

    async def _close(self) -> None:
        await self._site_broker.stop()
        self._audit.flush()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await self._commits.drain()
        except TimeoutError:
            log.error("gateway.spool_not_drained")  # nothing of it was acknowledged
        self._commits.close()
        log.info("gateway.stopped")

    def _links(self) -> tuple[MqttLink, MqttLink]:
        settings = self.settings
        cloud, place = settings.cloud_broker, (settings.shard, settings.site_id)
        cloud_link = MqttLink(
            "cloud",
            settings.gateway_id,
            [(site_down(*place, leaf), qos) for leaf, qos in CLOUD_SUBSCRIPTIONS.items()],
            lambda: Endpoint(cloud.host, cloud.port, cloud.server_name),
            lambda: self._context(cloud.pins),
            lambda *message: self._downward.receive(*message),
            self._cloud_changed,
            self._cloud_writable,
        )
        site_link = MqttLink(
            "site",
            settings.gateway_id,
            [(f"d/+/up/{leaf}", qos) for leaf, qos in SITE_SUBSCRIPTIONS.items()],
            lambda: Endpoint(LOCALHOST, self._site_broker.broker.mqtt_port, "localhost"),
            lambda: self._context(settings.broker_pins),
            lambda *message: self._upward.receive(*message),
            self._site_changed,
            judged=self._site_broker.admission.ready,
        )
        return cloud_link, site_link

    def _context(self, pins: list[str]) -> ssl.SSLContext:
        folder = self._folder
        return client_context(folder.ca.read_text(), folder.client_certificate, folder.client_key, pins)

    def _cloud_changed(self, up: bool) -> None:
        if up:
            self._say_hello()
            self._upward.cloud_is_back()
        self._uplink.link_changed(up)

    def _cloud_writable(self) -> None:
        self._upward.writable()
        self._uplink.writable()

    def _say_hello(self) -> None:
        hello = cloud_messages.Hello(g=self.settings.gateway_id, registry=self._registry.version)
        self._cloud.publish(self._up_topic("hello"), hello.encode())

    async def _greet(self) -> None:
        # Nobody may have been listening at the cloud's broker when our session began.
        while True:
            await asyncio.sleep(HELLO_EVERY_S * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            self._say_hello()

    def _site_changed(self, up: bool) -> None:
        if up:
            self._listening.set()
            self._site_broker.gate.open()
            self.ready.set()
        else:
            self._site_broker.gate.shut()
            self._listening.clear()

    def _broker_ended(self, status: int) -> None:
        self._audit.record("broker_ended", status=status)

    def _refused(self, reason: str, who: str, pin: str) -> None:
        metrics.REFUSED.labels(reason=reason).inc()
        log.info("admission.refused", reason=reason, who=who)
        self._audit.record("admission_refused", reason=reason, who=who, pin=pin)

    def _presence(self, who: str, present: bool) -> None:
        if present or who == self.settings.gateway_id:
            return
        if (
            self._site_broker.admission.ready.is_set()
        ):  # else all are gone, with the broker: that is one event
            self._audit.record("device_disconnected", device_id=who)
        self._upward.left(who)

    def _violated(self, who: str, kind: str) -> None:
        metrics.VIOLATIONS.labels(kind=kind).inc()
        self._audit.record("topic_violation", who=who, kind=kind)

    def _stored(self, durable: dict[str, int]) -> None:
        for stream, seq in durable.items():
            self._tell(stream, seq)
            self._uplink.stored(stream)

    def _tell(self, stream: str, seq: int) -> None:
        if stream != self.settings.gateway_id and seq:
            self._told[stream] = seq
            self._site.publish(down(stream, "ack"), site_messages.Ack(seq=seq).encode())

    def _send_rows(self, stream: str, rows: Rows) -> bool:
        if stream == self.settings.gateway_id:
            return self._cloud.publish(self._up_topic("audit"), audit_message(stream, rows))
        return self._cloud.publish(self._up_topic("events"), events_message(stream, rows))

    def _cloud_has(self, stream: str, seq: int) -> None:
        known = stream == self.settings.gateway_id or self._registry.get(stream) or self._uplink.knows(stream)
        if not known:
            metrics.DROPPED.labels(reason="unknown_stream").inc()
            return
        self._uplink.acknowledged(stream, seq)
        self._cloud_acks[stream] = max(seq, self._cloud_acks.get(stream, 0))
        self._acks_waiting.set()

    async def _apply_acks(self) -> None:
        while True:
            await self._acks_waiting.wait()
            self._acks_waiting.clear()
            acks, self._cloud_acks = self._cloud_acks, {}
            for stream, seq in acks.items():
                durable = await self._commits.acknowledge(stream, seq)
                if durable is not None and durable > self._told.get(stream, 0):
                    self._tell(stream, durable)

    def _new_registry(self, message: cloud_messages.Registry) -> None:
        if not self._registry.replace(message):
            log.warning("registry.older_than_ours", theirs=message.ver, ours=self._registry.version)
            return
        log.info("registry.taken", version=message.ver, devices=len(message.devices))
        self._registry_changed.set()

    async def _apply_registry(self) -> None:
        while True:
            await self._registry_changed.wait()
            self._registry_changed.clear()
            unwelcome = self._doorman.no_longer_welcome()
            await self._cut(unwelcome)
            try:
                await asyncio.to_thread(self._registry.save, self._registry.snapshot())
            except sqlite3.Error as error:
                log.error("registry.not_saved", error=str(error))
            if unwelcome:
                await asyncio.sleep(SECOND_LOOK_S)
                await self._cut(unwelcome)

    async def _cut(self, names: list[str]) -> None:
        for name in names:
            cut = await self._kick(name)
            while cut is None:
                await asyncio.sleep(KICK_AGAIN_S)  # the broker is away, perhaps without having cut it
                cut = await self._kick(name)
            if cut:
                metrics.KICKED.inc(cut)
                self._audit.record("session_cut", who=name)

    async def _kick(self, name: str) -> int | None:
        try:
            return await self._site_broker.admission.kick(name)
        except (NatsError, TimeoutError, ValueError) as error:
            log.error("admission.kick_failed", who=name, error=repr(error))
            return None

    def _up_topic(self, leaf: str) -> str:
        return site_up(self.settings.shard, self.settings.site_id, leaf)


def _pin_of(certificate: Path) -> str:
    return spki_sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
