"""Where devices stand: their states, their counters, and who is away. The newest word of each device is what counts.

After an outage a gateway tells of all its devices at once, and none of that comes a second time. So what waits here waits
once for each device, many share a commit, and it has a worker of its own: nobody who waits for a door waits behind it.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from cloud_api.clock import now_ms
from cloud_api.db.database import StoreUnavailable
from cloud_api.db.models import Device
from cloud_api.drops import Drops, Refused
from cloud_api.files import reported_files
from cloud_api.presence import heard, mark_away
from cloud_api.secrets import SecretError
from cloud_api.services import Cloud
from cloud_api.settings import INGEST_BATCH, STANDING_QUEUE
from protocol.errors import Malformed
from protocol.host.cloud_messages import Counters, Presence, State
from protocol.host.messages import parse
from protocol.host.turns import Turns

LEAVES = ("state", "log", "presence")
# What a later word of the same device puts out of date. Counters do not tell what a state told.
_OUTDATED_BY = {"state": {"state", "presence"}, "log": {"log", "presence"}, "presence": set(LEAVES)}
RETRY_S = 1.0

log = structlog.get_logger(__name__)

_Device = tuple[str, str]  # with its site: what a foreign one says takes nobody's place


@dataclass(frozen=True)
class _Key:
    site_id: str
    leaf: str
    device_id: str

    @property
    def device(self) -> _Device:
        return self.site_id, self.device_id

    @property
    def topic(self) -> str:
        return f"{self.site_id}/{self.leaf}"


@dataclass(frozen=True)
class _Word:
    """What was said of a device, and when it came (Unix milliseconds)."""

    at_ms: int
    message: State | Counters | None = None  # it is away


class Standing:
    """The worker of the `state`, `log` and `presence` leaves."""

    def __init__(self, cloud: Cloud, drops: Drops) -> None:
        self._cloud = cloud
        self._drops = drops
        self._turns: Turns[_Key] = Turns(STANDING_QUEUE)  # a site that floods us waits behind itself
        self._words: dict[_Key, _Word] = {}
        self._wake = asyncio.Event()

    def offer(self, site_id: str, leaf: str, payload: bytes) -> None:
        """Keep what a message says, in place of what it said before. Raises ProtocolError."""
        at = now_ms()
        if leaf == "presence":
            for device_id in parse(Presence, payload).away:
                self._put(_Key(site_id, leaf, device_id), _Word(at))
        elif leaf == "state":
            state = parse(State, payload)
            self._put(_Key(site_id, leaf, state.d), _Word(at, state))
        elif leaf == "log":
            counters = parse(Counters, payload)
            self._put(_Key(site_id, leaf, counters.d), _Word(at, counters))
        else:
            raise Malformed("topic")

    async def run(self) -> None:
        """Worker: store until cancelled."""
        while True:
            await self._wake.wait()
            words = self._next()
            try:
                await self._store(words)
            except StoreUnavailable as error:
                self._cloud.metrics.worker_errors.labels("standing").inc()
                log.error("standing_not_stored", error=str(error)[:300])
                self._put_back(words)
                await asyncio.sleep(RETRY_S)

    def _put(self, key: _Key, word: _Word) -> None:
        self._turns.discard(key.site_id, key)  # to the end: the order of a device's words is theirs
        self._words[key] = word
        leaves = self._turns.add(key.site_id, key)
        if leaves is not None:
            del self._words[leaves]
            self._drops.drop("standing_overflow", leaves.topic)
        self._wake.set()

    def _put_back(self, words: Mapping[_Key, _Word]) -> None:
        """But what is out of date by now."""
        newer: dict[_Device, set[str]] = {}
        for key in self._words:
            newer.setdefault(key.device, set()).add(key.leaf)
        for key, word in words.items():
            if _OUTDATED_BY[key.leaf].isdisjoint(newer.get(key.device, ())):
                self._put(key, word)

    def _next(self) -> dict[_Key, _Word]:
        words: dict[_Key, _Word] = {}
        while self._turns and len(words) < INGEST_BATCH:
            key = self._turns.next()
            words[key] = self._words.pop(key)
        if not self._turns:
            self._wake.clear()
        return words

    async def _store(self, words: Mapping[_Key, _Word]) -> None:
        said: list[_Word] = []
        away: dict[_Device, None] = {}
        for key, word in words.items():
            if word.message is None:
                away[key.device] = None
            elif await self._hear(key, word):
                said.append(word)
                away.pop(key.device, None)
                if word.at_ms <= self._cloud.fleet.left_ms(key.site_id):
                    away[key.device] = None  # with its gateway, while this waited here
        gone = _by_site(away)
        for site_id, device_ids in gone.items():
            self._cloud.fleet.away(site_id, device_ids)
        if await self._cloud.db.write(lambda session: _write(session, said, gone)):
            self._cloud.converge.set()

    async def _hear(self, key: _Key, word: _Word) -> bool:
        """Whether we take it."""
        try:
            line = await heard(self._cloud, key.site_id, key.device_id, word.at_ms)
        except Refused as error:
            self._drops.drop(str(error), key.topic)
            return False
        except SecretError as error:
            self._drops.drop("secret", key.topic)
            log.error("secret_unreadable", error=str(error))
            return False
        if isinstance(word.message, State):
            line.boot = word.message.boot
        return True


def _by_site(devices: Iterable[_Device]) -> dict[str, list[str]]:
    sites: dict[str, list[str]] = {}
    for site_id, device_id in devices:
        sites.setdefault(site_id, []).append(device_id)
    return sites


def _write(session: Session, said: Iterable[_Word], away: Mapping[str, Sequence[str]]) -> bool:
    """Returns whether one of these devices lacks something that it may be sent now."""
    lacking = [
        _write_state(session, word.message, word.at_ms) for word in said if isinstance(word.message, State)
    ]
    for word in said:
        if isinstance(word.message, Counters):
            _write_heard(session, word.message, word.at_ms)
    for site_id, device_ids in away.items():
        mark_away(session, site_id, device_ids)
    return any(lacking)


def _write_heard(session: Session, message: Counters, at_ms: int) -> None:
    values = {"last_seen_at": at_ms, "connected": True}
    session.execute(update(Device).where(Device.id == message.d).values(values))
    if message.counters:
        log.info("device_counters", device_id=message.d, counters=message.counters)


def _write_state(session: Session, state: State, at_ms: int) -> bool:
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
        "last_seen_at": at_ms,
        "connected": True,
    }
    statement = update(Device).where(Device.id == state.d).values(values)
    wanted = session.execute(
        statement.returning(Device.config_version, Device.revocation_seq, Device.refused_config)
    ).one()
    behind = state.cfg < wanted.config_version or state.rev < wanted.revocation_seq
    lacking = reported_files(session, state.d, state.files or {})
    return lacking or (behind and wanted.refused_config != wanted.config_version)
