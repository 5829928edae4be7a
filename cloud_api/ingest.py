"""What gateways send: sorted by urgency, checked, and handed on. No message ends a worker.

    time, result, hello     one worker, in the order of arrival: somebody waits for them
    state, log, presence    `standing`: the newest of each device, many to one commit
    events, audit           `journals`, many messages to one durable commit
    fetch                   `transfers`: a door has more urgent things to say than which piece comes next

All queues are bounded. What does not fit is dropped and counted: of events devices and gateways keep everything
until it is acknowledged. The broker has proved which site a message comes from; here it is checked that the device
belongs to that site.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api import standing
from cloud_api.clock import now_ms
from cloud_api.commands import FAILED, SUCCEEDED, finish
from cloud_api.db.models import Gateway, Site
from cloud_api.drops import Drops, Refused
from cloud_api.journals import Journals
from cloud_api.mqtt import Unreachable
from cloud_api.presence import heard
from cloud_api.registry import push_registry
from cloud_api.secrets import SecretError
from cloud_api.services import Cloud
from cloud_api.settings import INGEST_QUEUE
from cloud_api.standing import Standing
from cloud_api.transfers import Transfers
from protocol.clock import build_time_reply
from protocol.command import parse_result
from protocol.envelope import LABEL_RESULT, LABEL_TIME, open_sealed, seal
from protocol.errors import Malformed, ProtocolError
from protocol.host import cloud_messages
from protocol.host.messages import parse
from protocol.topics import parse_cloud_topic, site_down

log = structlog.get_logger(__name__)


class Ingest:
    """Takes every message from the broker."""

    def __init__(
        self, cloud: Cloud, drops: Drops, standing: Standing, journals: Journals, transfers: Transfers
    ) -> None:
        self._cloud = cloud
        self._drops = drops
        self._standing = standing
        self._journals = journals
        self._transfers = transfers
        self._urgent: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue(INGEST_QUEUE)
        self._handlers: dict[str, Callable[[str, bytes], Awaitable[None]]] = {
            "time": self._time,
            "result": self._result,
            "hello": self._hello,
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
            elif leaf in standing.LEAVES:
                self._standing.offer(site_id, leaf, payload)
            elif leaf == "fetch":
                self._transfers.offer(site_id, payload)
            else:
                self._journals.offer(site_id, leaf, payload)
        except ProtocolError as error:
            self._drops.drop(error.reason, topic)
        except asyncio.QueueFull:
            self._drops.drop("ingest_overflow", topic)

    async def run(self) -> None:
        """Worker: handle urgent messages until cancelled."""
        while True:
            site_id, leaf, payload = await self._urgent.get()
            try:
                await self._handlers[leaf](site_id, payload)
            except ProtocolError as error:
                self._drops.drop(error.reason, f"{site_id}/{leaf}")
            except Refused as error:
                self._drops.drop(str(error), f"{site_id}/{leaf}")
            except Unreachable:
                self._drops.drop("broker_unreachable", f"{site_id}/{leaf}")
            except SecretError as error:
                self._drops.drop("secret", f"{site_id}/{leaf}")
                log.error("secret_unreadable", error=str(error))

    async def _time(self, site_id: str, payload: bytes) -> None:
        request = parse(cloud_messages.TimeRequest, payload)
        line = await heard(self._cloud, site_id, request.d, now_ms())
        reply = build_time_reply(line.device_id, request.n, now_ms())
        message = cloud_messages.Sealed(d=line.device_id, e=seal(line.time_key, LABEL_TIME, reply))
        # Not awaited here: the next device must not wait for this one's PUBACK.
        self._cloud.background(self._send(site_down(line.shard, line.site_id, "time"), message.encode()))

    async def _send(self, topic: str, message: bytes) -> None:
        try:
            await self._cloud.link.publish(topic, message)
        except Unreachable:
            self._drops.drop("broker_unreachable", topic)

    async def _result(self, site_id: str, payload: bytes) -> None:
        message = parse(cloud_messages.Sealed, payload)
        line = await heard(self._cloud, site_id, message.d, now_ms())
        result = parse_result(open_sealed(line.command_key, LABEL_RESULT, message.e))
        if result["dev"] != line.device_id:
            raise Refused("foreign_result")
        facts = {key: result[key] for key in ("ok", "status", "t", "jseq")}
        status, error = (SUCCEEDED, None) if result["ok"] else (FAILED, f"refused_{result['status']}"[:64])
        if not await finish(self._cloud, line, str(result["id"]), status, error, facts):
            raise Refused("late_result")

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
