"""Transfers: sealed offers to devices, and the pieces that they ask for.

A device gets pieces of the files that it should have itself, and of no other. Requests have a worker and a queue of
their own, so that nobody who waits for a door waits behind a file, and each device a rate.
"""

import asyncio
import time
from collections.abc import Sequence

import structlog

from cloud_api.clock import now_ms
from cloud_api.credentials import build_users
from cloud_api.drops import Drops, Refused
from cloud_api.files import REVOCATIONS, USERS, Builder, find_file, keep_built, wanted_files
from cloud_api.fleet import Line
from cloud_api.mqtt import Unreachable
from cloud_api.revocations import build_revocations
from cloud_api.secrets import SecretError
from cloud_api.services import Cloud
from cloud_api.settings import FETCH_QUEUE
from protocol.envelope import LABEL_OFFER, seal
from protocol.errors import LocalError, ProtocolError
from protocol.host.cloud_messages import Chunk, Fetch, Sealed
from protocol.host.messages import parse
from protocol.host.transfers import build_chunk, build_offer
from protocol.topics import site_down

log = structlog.get_logger(__name__)

PUSH_AT_ONCE = 8  # devices that a request itself serves; the rest is left to `converge`
OFFER_AGAIN_S = 30.0
COLLECT_S = 0.25  # to build a table of hundreds takes as long as to answer two requests
# A board asks for the next piece when it has written the last one: this is more than flash can take.
FETCH_PER_S = 50.0
FETCH_BURST = 100.0

BUILDERS: dict[str, Builder] = {USERS: build_users, REVOCATIONS: build_revocations}


def push_offers(cloud: Cloud, device_ids: Sequence[str]) -> None:
    """Have these devices offered what they lack, beside the request; what cannot be sent now is sent by `converge`."""
    for device_id in device_ids[:PUSH_AT_ONCE]:
        cloud.background(push_offer(cloud, device_id))
    if len(device_ids) > PUSH_AT_ONCE:
        cloud.converge.set()


async def push_offer(cloud: Cloud, device_id: str) -> None:
    """Offer one device what it lacks and was not offered just now.

    The first change is offered at once. Those that come meanwhile, and for a moment after, only mark the device: then one
    table is built of all of them, and the newest is the only one that it fetches.
    """
    line = await cloud.fleet.device(device_id)
    if line is None or not line.active:
        return
    line.offer_due = True
    if line.offering:
        return
    line.offering = True
    try:
        while line.offer_due:
            line.offer_due = False
            await _offer(cloud, line)
            await asyncio.sleep(COLLECT_S)
    finally:
        line.offering = False


async def _offer(cloud: Cloud, line: Line) -> None:
    device_id = line.device_id
    try:
        # A table of thousands takes a while, in which nobody else must wait for the store's one writer.
        wanted = await cloud.db.read(lambda session: wanted_files(session, cloud.vault, device_id, BUILDERS))
    except (SecretError, LocalError) as error:  # what one device is to get must not keep the others waiting
        log.error("file_not_built", device_id=device_id, error=str(error))
        return
    if any(file.fresh for file in wanted):
        wanted = await cloud.db.write(lambda session: keep_built(session, device_id, wanted))
    for file in wanted:
        version, offered_at = line.offered.get(file.kind, (0, 0.0))
        now = time.monotonic()
        if version == file.version and now - offered_at < OFFER_AGAIN_S:
            continue
        line.offered[file.kind] = file.version, now
        offer = build_offer(device_id, file.kind, file.version, file.data)
        message = Sealed(d=device_id, e=seal(line.config_key, LABEL_OFFER, offer))
        try:
            await cloud.link.publish(site_down(line.shard, line.site_id, "update"), message.encode())
        except Unreachable as error:
            del line.offered[file.kind]
            log.info("offer_push_failed", device_id=device_id, kind=file.kind, error=str(error))
            return


class Transfers:
    """The worker of the `fetch` leaf."""

    def __init__(self, cloud: Cloud, drops: Drops) -> None:
        self._cloud = cloud
        self._drops = drops
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(FETCH_QUEUE)

    def offer(self, site_id: str, payload: bytes) -> None:
        """Queue a request; raises asyncio.QueueFull."""
        self._queue.put_nowait((site_id, payload))

    async def run(self) -> None:
        """Worker: answer requests until cancelled. One that is dropped is sent again by its device."""
        while True:
            site_id, payload = await self._queue.get()
            try:
                await self._answer(site_id, parse(Fetch, payload))
            except ProtocolError as error:
                self._drops.drop(error.reason, f"{site_id}/fetch")
            except Refused as error:
                self._drops.drop(str(error), f"{site_id}/fetch")
            except Unreachable:
                self._drops.drop("broker_unreachable", f"{site_id}/fetch")

    async def _answer(self, site_id: str, request: Fetch) -> None:
        line = await self._cloud.fleet.device(request.d)
        if line is None or not line.active:
            raise Refused("unknown_device")
        if line.site_id != site_id:
            raise Refused("foreign_device")
        if not _may_fetch(line, time.monotonic()):
            raise Refused("fetch_rate")
        line.last_seen_at = now_ms()
        name = bytes.fromhex(request.id)
        data = await self._cloud.db.read(lambda session: find_file(session, request.d, name))
        if data is None:
            raise Refused("unknown_file")
        try:
            chunk = build_chunk(data, request.off, request.len)
        except LocalError:
            raise Refused("fetch_range") from None
        message = Chunk(d=request.d, c=chunk)
        await self._cloud.link.publish(site_down(line.shard, line.site_id, "chunk"), message.encode())


def _may_fetch(line: Line, now: float) -> bool:
    """A token bucket."""
    line.fetches = min(FETCH_BURST, line.fetches + (now - line.fetched_at) * FETCH_PER_S)
    line.fetched_at = now
    if line.fetches < 1:
        return False
    line.fetches -= 1
    return True
