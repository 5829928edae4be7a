"""Messages between a gateway and the cloud, `s/<shard>/<site>/…`: a device's are its own, with its name `d`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from protocol.envelope import MAX_ENVELOPE
from protocol.host import site_messages
from protocol.host.messages import I63, U32, ChunkBytes, DeviceId, GatewayId, Message, Pin, SourceId

MAX_AUDIT_EVENTS = 256
MAX_DEVICES = 5_000
MAX_PINS = 8
MAX_AWAY = 1_000  # in one message: with their quotes about 24 KiB
MAX_REGISTRY = 1 << 20  # bytes: MAX_DEVICES with a pin or two each; the cloud's broker carries as much


class _OfDevice(Message):
    d: DeviceId


class Events(site_messages.Events, _OfDevice):
    """up/events: journal records of one device."""


class State(site_messages.State, _OfDevice):
    """up/state."""


class TimeRequest(site_messages.TimeRequest, _OfDevice):
    """up/time."""


class Counters(site_messages.Counters, _OfDevice):
    """up/log."""


class Fetch(site_messages.Fetch, _OfDevice):
    """up/fetch."""


class Chunk(_OfDevice):
    """down/chunk: what the device asked for, as it goes to the device; base64 on this wire."""

    c: ChunkBytes


class Sealed(_OfDevice):
    """up/result, down/command, down/config, down/time, down/update: a device's envelope, letter by letter."""

    e: Annotated[str, StringConstraints(min_length=2, max_length=MAX_ENVELOPE)]


class AuditEvent(Message):
    """One thing that a gateway has seen itself."""

    seq: Annotated[U32, Field(ge=1)]
    type: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
    t: U32
    data: dict[str, Any] = Field(default_factory=dict)


class Audit(Message):
    """up/audit: a gateway's own events, numbered by its spool."""

    g: GatewayId
    events: tuple[AuditEvent, ...] = Field(min_length=1, max_length=MAX_AUDIT_EVENTS)


class Hello(Message):
    """up/hello: a gateway is there, and has this version of its registry."""

    g: GatewayId
    registry: I63


class Presence(Message):
    """up/presence: devices of the site that hold no session at its broker."""

    away: tuple[DeviceId, ...] = Field(min_length=1, max_length=MAX_AWAY)


class Ack(Message):
    """down/ack: everything of the stream `d` up to `seq` is in the cloud's store."""

    d: SourceId
    seq: U32


class RegistryEntry(Message):
    """One device of the site."""

    id: DeviceId
    pins: tuple[Pin, ...] = Field(max_length=MAX_PINS)
    status: Literal["active", "revoked"]


class Registry(Message):
    """down/registry: the whole list."""

    limit: ClassVar[int] = MAX_REGISTRY

    ver: I63
    devices: tuple[RegistryEntry, ...] = Field(max_length=MAX_DEVICES)
