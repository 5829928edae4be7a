"""What gateways send: sorted by urgency, checked, and handed on. No message ends a worker.

    time, result, state, hello, log, presence   one worker, in the order of arrival: somebody waits for them
    events, audit                     `journals`, many messages to one durable commit
    fetch                             `transfers`: a door has more urgent things to say than which piece comes next

All queues are bounded. What does not fit is dropped and counted: devices and gateways keep everything until
it is acknowledged. The broker has proved which site a message comes from; here it is checked that the device
belongs to that site.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cloud_api.clock import now_ms
from cloud_api.commands import FAILED, SUCCEEDED, finish
from cloud_api.db.models import Device, Gateway, Site
from cloud_api.files import reported_files
from cloud_api.fleet import Line
from cloud_api.journals import Journals
from cloud_api.mqtt import Unreachable
from cloud_api.presence import site_devices_away
from cloud_api.registry import push_registry
from cloud_api.secrets import SecretError
from cloud_api.services import Cloud
from cloud_api.settings import INGEST_QUEUE
from cloud_api.transfers import Transfers
from protocol.clock import build_time_reply
from protocol.command import parse_result
from protocol.envelope import LABEL_RESULT, LABEL_TIME, open_sealed, seal
from protocol.errors import Malformed, ProtocolError
from protocol.host import cloud_messages
from protocol.host.messages import parse
from protocol.topics import parse_cloud_topic, site_down

log = structlog.get_logger(__name__)

LOG_EVERY_S = 5.0  # a hostile gateway does not fill the log: one line per reason in this time


class Refused(Exception):
    """A well-formed message that we do not accept; the text is the reason's slug."""


class Ingest:
    """Takes every message from the broker."""

    def __init__(self, cloud: Cloud, journals: Journals, transfers: Transfers) -> None:
        self._cloud = cloud
        self._journals = journals
        self._transfers = transfers
        self._urgent: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue(INGEST_QUEUE)
        self._logged: dict[str, float] = {}
        self._handlers: dict[str, Callable[[str, bytes], Awaitable[None]]] = {
            "time": self._time,
            "result": self._result,
            "state": self._state,
            "hello": self._hello,
            "presence": self._presence,
            "log": self._log,
        }

    async def on_message(self, topic: str, payload: bytes) -> None:
        """Called by the link for each message; never waits."""
        try:
            _, site_id, direction, leaf = parse_cloud_topic(topic)
            if direction != "up":
                raise Malformed("topic")
            self._cloud.metrics.messages.labels(leaf).inc()
            if leaf in self._handlers:
                self._urgent.put_nowait((site_id, leaf, payload))
            elif leaf == "fetch":
                self._transfers.offer(site_id, payload)
            else:
                self._journals.offer(site_id, leaf, payload)
        except ProtocolError as error:
            self.drop(error.reason, topic)
        except asyncio.QueueFull:
            self.drop("ingest_overflow", topic)

    def drop(self, reason: str, topic: str) -> None:
        """Count a message that is not accepted, and say so now and then."""
        self._cloud.metrics.dropped.labels(reason).inc()
        now = time.monotonic()
        if now - self._logged.get(reason, -LOG_EVERY_S) >= LOG_EVERY_S:
            self._logged[reason] = now
            log.warning("message_dropped", reason=reason, topic=topic[:128])

    async def run(self) -> None:
        """Worker: handle urgent messages until cancelled."""
        while True:
            site_id, leaf, payload = await self._urgent.get()
            try:
                await self._handlers[leaf](site_id, payload)
            except ProtocolError as error:
                self.drop(error.reason, f"{site_id}/{leaf}")
            except Refused as error:
                self.drop(str(error), f"{site_id}/{leaf}")
            except Unreachable:
                self.drop("broker_unreachable", f"{site_id}/{leaf}")
            except SecretError as error:
                self.drop("secret", f"{site_id}/{leaf}")
                log.error("secret_unreadable", error=str(error))

    async def _line(self, site_id: str, device_id: str) -> Line:
        line = await self._cloud.fleet.device(device_id)
        if line is None or not line.active:
            raise Refused("unknown_device")
        if line.site_id != site_id:
            raise Refused("foreign_device")
        line.last_seen_at = now_ms()
        if not line.connected:
            line.connected = True
            line.push_again()  # a broker keeps nothing for a device that is away
        return line

    async def _time(self, site_id: str, payload: bytes) -> None:
        request = parse(cloud_messages.TimeRequest, payload)
        line = await self._line(site_id, request.d)
        reply = build_time_reply(line.device_id, request.n, now_ms())
        message = cloud_messages.Sealed(d=line.device_id, e=seal(line.time_key, LABEL_TIME, reply))
        # Not awaited here: the next device must not wait for this one's PUBACK.
        self._cloud.background(self._send(site_down(line.shard, line.site_id, "time"), message.encode()))

    async def _send(self, topic: str, message: bytes) -> None:
        try:
            await self._cloud.link.publish(topic, message)
        except Unreachable:
            self.drop("broker_unreachable", topic)

    async def _result(self, site_id: str, payload: bytes) -> None:
        message = parse(cloud_messages.Sealed, payload)
        line = await self._line(site_id, message.d)
        result = parse_result(open_sealed(line.command_key, LABEL_RESULT, message.e))
        if result["dev"] != line.device_id:
            raise Refused("foreign_result")
        facts = {key: result[key] for key in ("ok", "status", "t", "jseq")}
        status, error = (SUCCEEDED, None) if result["ok"] else (FAILED, f"refused_{result['status']}"[:64])
        if not await finish(self._cloud, line, str(result["id"]), status, error, facts):
            raise Refused("late_result")

    async def _state(self, site_id: str, payload: bytes) -> None:
        state = parse(cloud_messages.State, payload)
        line = await self._line(site_id, state.d)
        line.boot = state.boot
        drift, uncertainty = state.drift_ppm or (None, None)
        values = {
            "boot": state.boot,
            "journal_seq": state.jseq,
            "reported_config": state.cfg,
            "reported_revocation": state.rev,
            "reported_epoch": state.epoch,
            "config_refused": state.cfg_refused,
            "drift_ppm": drift,
            "drift_uncertainty_ppm": uncertainty,
            "firmware": state.fw,
            "door_state": state.door,
            "last_seen_at": line.last_seen_at,
            "connected": True,
        }
        statement = update(Device).where(Device.id == state.d).values(values)

        def work(session: Session) -> bool:
            wanted = session.execute(
                statement.returning(Device.config_version, Device.revocation_seq, Device.refused_config)
            ).one()
            behind = state.cfg < wanted.config_version or state.rev < wanted.revocation_seq
            lacking = reported_files(session, state.d, state.files or {})
            return lacking or (behind and wanted.refused_config != wanted.config_version)

        if await self._cloud.db.write(work):
            self._cloud.converge.set()

    async def _log(self, site_id: str, payload: bytes) -> None:
        counters = parse(cloud_messages.Counters, payload)
        line = await self._line(site_id, counters.d)
        values = {"last_seen_at": line.last_seen_at, "connected": True}
        statement = update(Device).where(Device.id == counters.d).values(values)
        await self._cloud.db.write(lambda s: s.execute(statement))
        if counters.counters:
            log.info("device_counters", device_id=counters.d, counters=counters.counters)

    async def _presence(self, site_id: str, payload: bytes) -> None:
        await site_devices_away(self._cloud, site_id, parse(cloud_messages.Presence, payload).away)

    async def _hello(self, site_id: str, payload: bytes) -> None:
        hello = parse(cloud_messages.Hello, payload)

        def work(session: Session) -> int | None:
            gateway = session.scalar(select(Gateway).where(Gateway.id == hello.g, Gateway.site_id == site_id))
            if gateway is None:
                return None
            gateway.last_seen_at = now_ms()
            return session.execute(select(Site.registry_version).where(Site.id == site_id)).scalar_one()

        version = await self._cloud.db.write(work)
        if version is None:
            raise Refused("foreign_gateway")
        if version != hello.registry:
            await push_registry(self._cloud, site_id)
        # What was pushed while it was away is lost.
        self._cloud.fleet.push_again(site_id)
        self._cloud.converge.set()
