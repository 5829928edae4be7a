"""Who may speak at the cloud broker: our own client, and each active gateway under its own site only.

The certificate proves the name, and the pin proves that it is the very key that was enrolled: a second
certificate of our own CA for the same name is refused, and audited in the organisation that it pretends to
belong to; so is a device, which has no business here.
"""

import asyncio
import time
from functools import partial

import structlog
from cryptography import x509
from nats.errors import Error as NatsError
from sqlalchemy import select
from sqlalchemy.orm import Session

from cloud_api.authority import CLOUD_NAME
from cloud_api.clock import now_ms
from cloud_api.db.database import Database
from cloud_api.db.models import Device, Event, Gateway
from cloud_api.events import add_cloud_event
from cloud_api.metrics import Metrics
from cloud_api.stream import Hub
from protocol.errors import Malformed
from protocol.host.admission import Admission, Refusal
from protocol.host.broker import NatsBroker
from protocol.host.nats_claims import Permissions
from protocol.ids import check_id
from protocol.topics import shard_of

log = structlog.get_logger(__name__)

# Whoever knocks decides how often: one audit event per name in this time, and this many names.
AUDIT_EVERY_S = 30.0
MAX_AUDITED = 1_000
MAX_WAITING = 100


class Doorkeeper:
    """Decides for the admission, and cuts sessions."""

    def __init__(self, db: Database, hub: Hub, metrics: Metrics, own_pin: str) -> None:
        self._db = db
        self._hub = hub
        self._metrics = metrics
        self._own_pin = own_pin
        self._admission: Admission | None = None
        self._audited: dict[str, float] = {}
        self._refusals: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue(MAX_WAITING)
        self._left: dict[str, int] = {}  # by gateway, when; Unix milliseconds
        self._departures = asyncio.Event()

    def guard(self, broker: NatsBroker, issuer_seed: bytes, listening: asyncio.Event) -> Admission:
        """The admission of this broker, which decides by us; gateways come in while our own client is `listening`."""
        self._admission = Admission(
            broker,
            issuer_seed,
            self.decide,
            owner=CLOUD_NAME,
            listening=listening,
            on_refused=self._on_refused,
            on_presence=self._on_presence,
        )
        return self._admission

    async def decide(self, certificate: x509.Certificate, pin: str, client_id: str) -> Permissions | Refusal:
        """Topics of a client whose certificate chains to our CA and names it."""
        if client_id == CLOUD_NAME:
            if pin != self._own_pin:
                return Refusal("wrong_pin")
            return Permissions(publish=("s/+/+/down/#",), subscribe=("s/+/+/up/#",))
        try:
            check_id("gw", client_id)
        except Malformed:
            return Refusal("unknown_client")
        found = await self._db.read(lambda session: _active(session, client_id))
        if found is None:
            return Refusal("unknown_gateway")
        site_id, enrolled_pin = found
        if pin != enrolled_pin:
            return Refusal("wrong_pin")
        self._metrics.admissions.labels("admitted").inc()
        topic = f"s/{shard_of(site_id)}/{site_id}"
        return Permissions(publish=(f"{topic}/up/#",), subscribe=(f"{topic}/down/#",))

    async def kick(self, client_id: str) -> None:
        """Cut a client's session now; if the broker does not answer, it is refused at its next connection."""
        if self._admission is None:
            return
        try:
            await self._admission.kick(client_id)
        except (NatsError, TimeoutError, ValueError, KeyError) as error:
            log.warning("kick_failed", client_id=client_id, error=repr(error))

    def _on_refused(self, reason: str, who: str, pin: str) -> None:
        self._metrics.admissions.labels("refused").inc()
        now = time.monotonic()
        if now - self._audited.get(who, -AUDIT_EVERY_S) < AUDIT_EVERY_S:
            return
        if len(self._audited) >= MAX_AUDITED:
            self._audited.clear()
        self._audited[who] = now
        if not self._refusals.full():
            self._refusals.put_nowait((reason, who, pin))

    def _on_presence(self, client_id: str, present: bool) -> None:
        if present:
            self._left.pop(client_id, None)
        elif client_id != CLOUD_NAME:
            self._left[client_id] = now_ms()
            self._departures.set()

    async def departed(self) -> dict[str, int]:
        """Wait for gateways whose session has ended, and that have not come back; each is told once, with the Unix
        milliseconds of the end.
        """
        while not self._left:
            self._departures.clear()
            await self._departures.wait()
        gone, self._left = self._left, {}
        return gone

    async def audit(self) -> None:
        """Worker: write refusals into the log of the organisation whose gateway or device was named."""
        while True:
            reason, who, pin = await self._refusals.get()
            events = await self._db.write(partial(_audit, reason=reason, who=who, pin=pin))
            self._hub.publish(events)


def _active(session: Session, gateway_id: str) -> tuple[str, str] | None:
    statement = select(Gateway.site_id, Gateway.pin).where(
        Gateway.id == gateway_id, Gateway.status == "active"
    )
    row = session.execute(statement).first()
    return (row.site_id, row.pin) if row else None


def _audit(session: Session, reason: str, who: str, pin: str) -> list[Event]:
    data: dict[str, object] = {"reason": reason, "pin": pin}
    gateway = session.scalar(select(Gateway).where(Gateway.id == who))
    if gateway is not None:
        data["gateway_id"] = who
        place = {"site_id": gateway.site_id}
        return [add_cloud_event(session, gateway.organisation_id, "gateway_refused", data=data, **place)]
    device = session.scalar(select(Device).where(Device.id == who))
    if device is not None:
        # A door's certificate in somebody's hands: its place is at the site's broker, never here.
        place = {"site_id": device.site_id, "door_id": device.door_id, "device_id": who}
        return [add_cloud_event(session, device.organisation_id, "device_refused", data=data, **place)]
    return []
