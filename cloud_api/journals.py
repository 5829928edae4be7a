"""Journals into the audit log: exactly once, in order, durable before they are acknowledged.

Many messages share one commit (synchronous=FULL); only then the watermarks go down. A message that is ahead
of its chain is not stored: the gateway sends again from the watermark. A hole that is still there after
`gap_grace_s` is taken for a loss, and that is an event of its own (`chain_gap`); so is a record that does not
verify (`chain_broken`). The watermark passes either only when a later record has proved that the device
itself went on.

The chains are cached here; this worker is their only writer, and a failed commit drops the cache.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cloud_api.chains import Delivery, examine, leap, load_chain, store_chain
from cloud_api.clock import now_ms
from cloud_api.db.models import Device, Event, Gateway
from cloud_api.drops import Drops
from cloud_api.fleet import Line
from cloud_api.mqtt import Unreachable
from cloud_api.records import add_audit, add_broken, add_gap, add_record
from cloud_api.secrets import SecretError
from cloud_api.services import Cloud
from cloud_api.settings import INGEST_BATCH, INGEST_QUEUE
from protocol.errors import Malformed, ProtocolError
from protocol.host.cloud_messages import Ack, Audit, Events
from protocol.host.messages import parse
from protocol.journal import ChainState
from protocol.topics import shard_of, site_down

log = structlog.get_logger(__name__)

RETRY_S = 1.0
CHAINS_KEPT = 50_000
LEAVES = ("events", "audit")


@dataclass
class _Chain:
    """Cached state of one device's chain, and the hole that it waits at."""

    state: ChainState
    hole: int = 0
    hole_since: float = 0.0


@dataclass
class _Batch:
    """What one commit will store and acknowledge."""

    deliveries: list[tuple[Line, _Chain, Delivery]] = field(default_factory=list)
    audits: list[tuple[str, Audit]] = field(default_factory=list)
    watermarks: dict[tuple[str, str], int] = field(default_factory=dict)  # (site, source) → sequence


class Journals:
    """The worker of the `events` and `audit` leaves."""

    def __init__(self, cloud: Cloud, drops: Drops, clock: Callable[[], float] = time.monotonic) -> None:
        self._cloud = cloud
        self._drops = drops
        self._clock = clock
        self._queue: asyncio.Queue[tuple[str, str, bytes]] = asyncio.Queue(INGEST_QUEUE)
        self._chains: OrderedDict[str, _Chain] = OrderedDict()

    def offer(self, site_id: str, leaf: str, payload: bytes) -> None:
        """Queue a message; raises asyncio.QueueFull, and Malformed for another leaf."""
        if leaf not in LEAVES:
            raise Malformed("topic")
        self._queue.put_nowait((site_id, leaf, payload))

    async def run(self) -> None:
        """Worker: commit until cancelled."""
        while True:
            waiting = [await self._queue.get()]
            while len(waiting) < INGEST_BATCH and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            batch = _Batch()
            for site_id, leaf, payload in waiting:
                await self._take(batch, site_id, leaf, payload)
            await self._commit(batch)

    async def _take(self, batch: _Batch, site_id: str, leaf: str, payload: bytes) -> None:
        try:
            if leaf == "audit":
                batch.audits.append((site_id, parse(Audit, payload)))
            else:
                await self._take_records(batch, site_id, parse(Events, payload))
        except ProtocolError as error:
            self._drops.drop(error.reason, f"{site_id}/{leaf}")
        except SecretError as error:
            self._drops.drop("secret", f"{site_id}/{leaf}")
            log.error("secret_unreadable", error=str(error))

    async def _take_records(self, batch: _Batch, site_id: str, message: Events) -> None:
        line = await self._cloud.fleet.device(message.d)
        if line is None or line.site_id != site_id:
            self._drops.drop("unknown_device" if line is None else "foreign_device", f"{site_id}/events")
            return
        line.last_seen_at = now_ms()
        chain = await self._chain(line)
        # Some 0.1 ms of HMAC a record, in a thread: an unlock must not wait for a backlog.
        delivery = await asyncio.to_thread(self._examine, chain, list(message.r))
        chain.state = delivery.state
        batch.deliveries.append((line, chain, delivery))
        batch.watermarks[site_id, line.device_id] = delivery.state.seq

    def _examine(self, chain: _Chain, raws: list[bytes]) -> Delivery:
        delivery = examine(chain.state, raws)
        if delivery.stuck_at == 0:
            return delivery
        if chain.hole != delivery.stuck_at:
            chain.hole, chain.hole_since = delivery.stuck_at, self._clock()
        if self._clock() - chain.hole_since >= self._cloud.settings.gap_grace_s:
            # Once per grace: a gateway that repeats a bad message does not keep us busy with it.
            chain.hole_since = self._clock()
            return leap(delivery, raws)
        # Too early to call it a loss: it may be a message that overtook another.
        delivery.gap = None
        return delivery

    async def _chain(self, line: Line) -> _Chain:
        chain = self._chains.get(line.device_id)
        if chain is None:
            sealed = await self._cloud.db.read(
                lambda s: s.execute(select(Device.chain).where(Device.id == line.device_id)).scalar_one()
            )
            chain = _Chain(load_chain(self._cloud.vault, line.device_id, sealed))
            if len(self._chains) >= CHAINS_KEPT:
                self._chains.popitem(last=False)
            self._chains[line.device_id] = chain
        return chain

    async def _commit(self, batch: _Batch) -> None:
        if not batch.deliveries and not batch.audits:
            return
        started = time.perf_counter()
        try:
            events = await self._cloud.db.write(lambda session: self._store(session, batch), durable=True)
        except SQLAlchemyError as error:
            # Nothing is acknowledged, so everything comes again.
            self._cloud.metrics.worker_errors.labels("journals").inc()
            log.error("ingest_commit_failed", error=str(error)[:300])
            self._chains.clear()
            await asyncio.sleep(RETRY_S)
            return
        self._cloud.metrics.commit.observe(time.perf_counter() - started)
        self._announce(batch, events)

    def _store(self, session: Session, batch: _Batch) -> list[Event]:
        events: list[Event] = []
        for line, chain, delivery in batch.deliveries:
            self._store_delivery(session, events, line, chain, delivery)
        for site_id, audit in batch.audits:
            self._store_audit(session, events, batch, site_id, audit)
        session.flush()
        return events

    def _store_delivery(
        self, session: Session, events: list[Event], line: Line, chain: _Chain, delivery: Delivery
    ) -> None:
        for event in (add_gap(session, line, delivery), add_broken(session, line, delivery)):
            events.extend([event] if event else [])
        events.extend(add_record(session, line, proven) for proven in delivery.proven)
        if delivery.moved:
            device = session.execute(select(Device).where(Device.id == line.device_id)).scalar_one()
            device.chain_seq = delivery.state.seq
            device.chain = store_chain(self._cloud.vault, line.device_id, delivery.state)
            device.last_seen_at = line.last_seen_at

    def _store_audit(
        self, session: Session, events: list[Event], batch: _Batch, site_id: str, audit: Audit
    ) -> None:
        gateway = session.scalar(select(Gateway).where(Gateway.id == audit.g, Gateway.site_id == site_id))
        if gateway is None:
            self._drops.drop("foreign_gateway", f"{site_id}/audit")
            return
        gateway.last_seen_at = now_ms()
        for item in audit.events:
            # The gateway vouches for its own log: a hole in it is its loss, and nothing to wait for.
            if item.seq > gateway.audit_seq:
                events.append(add_audit(session, gateway, item))
                gateway.audit_seq = item.seq
        batch.watermarks[site_id, gateway.id] = gateway.audit_seq

    def _announce(self, batch: _Batch, events: list[Event]) -> None:
        metrics = self._cloud.metrics
        for event in events:
            metrics.events.labels(event.type).inc()
        for _, _, delivery in batch.deliveries:
            if delivery.known:
                metrics.duplicates.labels("device").inc(delivery.known)
        self._cloud.hub.publish(events)
        self._cloud.background(self._acknowledge(batch.watermarks))

    async def _acknowledge(self, watermarks: dict[tuple[str, str], int]) -> None:
        sending = [
            self._cloud.link.publish(
                site_down(shard_of(site_id), site_id, "ack"), Ack(d=source, seq=seq).encode()
            )
            for (site_id, source), seq in watermarks.items()
        ]
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(outcome, Unreachable):
                # What it was for is sent again, and acknowledged then.
                log.info("ack_unsent", error=str(outcome))
            elif isinstance(outcome, BaseException):
                raise outcome
