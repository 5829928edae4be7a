"""Messages from gateways, as strict models: what does not fit is Malformed, and every list and text has a
limit.
"""

import base64
import binascii
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from protocol.envelope import MAX_ENVELOPE
from protocol.errors import Malformed
from protocol.journal import RECORD_SIZE
from protocol.messages import MAX_RECORDS

MAX_MESSAGE = 64 * 1024  # no gateway sends more in one message
MAX_AUDIT_EVENTS = 256
MAX_COUNTERS = 64
MAX_DATA = 4096  # an audit event's data, as JSON
_U32 = 0xFFFFFFFF
_I63 = 2**63 - 1

M = TypeVar("M", bound="Message")


class Message(BaseModel):
    """Base. Unknown fields are ignored: a newer gateway may say more than we know."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


def _record(text: str) -> str:
    try:
        if len(base64.b64decode(text, validate=True)) == RECORD_SIZE:
            return text
    except (binascii.Error, ValueError):
        pass
    raise ValueError("not a journal record")


DeviceId = Annotated[str, Field(pattern="^dev_[0-9a-f]{16}$")]
GatewayId = Annotated[str, Field(pattern="^gw_[0-9a-f]{16}$")]
U32 = Annotated[int, Field(ge=0, le=_U32)]
Encoded = Annotated[str, Field(max_length=4 * RECORD_SIZE), AfterValidator(_record)]


class Events(Message):
    """Journal records of one device."""

    d: DeviceId
    r: Annotated[list[Encoded], Field(min_length=1, max_length=MAX_RECORDS)]

    def raws(self) -> list[bytes]:
        """The records."""
        return [base64.b64decode(text) for text in self.r]


class Result(Message):
    """A device's sealed answer to a command."""

    d: DeviceId
    e: Annotated[str, Field(max_length=MAX_ENVELOPE)]


class TimeRequest(Message):
    """A device asks for the time; the nonce makes the answer fresh."""

    d: DeviceId
    n: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class State(Message):
    """A device's shadow."""

    d: DeviceId
    boot: U32
    jseq: U32
    cfg: U32
    rev: U32
    fw: Annotated[str, Field(max_length=64)]
    door: Annotated[str, Field(max_length=32)]


class Counters(Message):
    """A device's periodic counters."""

    d: DeviceId
    counters: Annotated[
        dict[Annotated[str, Field(max_length=64)], Annotated[int, Field(ge=0, le=_I63)]],
        Field(max_length=MAX_COUNTERS),
    ] = Field(default_factory=dict)


class AuditEvent(Message):
    """One thing that a gateway has seen itself."""

    seq: Annotated[int, Field(ge=1, le=_I63)]
    type: Annotated[str, Field(pattern="^[a-z0-9_]{1,64}$")]
    t: U32
    data: dict[str, Any] = Field(default_factory=dict)


class Audit(Message):
    """A gateway's own audit events."""

    g: GatewayId
    events: Annotated[list[AuditEvent], Field(min_length=1, max_length=MAX_AUDIT_EVENTS)]


class Hello(Message):
    """A gateway is there, and has this version of its registry."""

    g: GatewayId
    registry: Annotated[int, Field(ge=0, le=_I63)]


def parse(model: type[M], payload: bytes) -> M:
    """The message, or Malformed."""
    if len(payload) > MAX_MESSAGE:
        raise Malformed("message_size")
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        raise Malformed("message_" + model.__name__.lower(), str(error.errors()[0]["loc"])[:80]) from None
