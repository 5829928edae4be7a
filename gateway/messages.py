"""What the gateway accepts, from devices and from the cloud. A message is one of these, or Malformed.

Sealed envelopes are only measured and looked at from outside: the gateway has no key to open them.
"""

import base64
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from protocol.envelope import MAX_ENVELOPE
from protocol.errors import Malformed
from protocol.journal import RECORD_SIZE, decode_record
from protocol.messages import MAX_RECORDS

# A device that sends more in one message than it may is dropped before the parser sees it.
MAX_UP = 16_384
MAX_COUNTERS = 64
# What fits into one message of 1 MiB, the largest that the cloud broker carries.
MAX_DEVICES = 5_000

# pydantic's patterns are Rust's: $ is the very end, with no line break after it.
DeviceId = Annotated[str, StringConstraints(pattern=r"^dev_[0-9a-f]{16}$")]
SourceId = Annotated[str, StringConstraints(pattern=r"^(dev|gw)_[0-9a-f]{16}$")]
Pin = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
U32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
Text = Annotated[str, StringConstraints(max_length=64)]


class _Message(BaseModel):
    """A peer may be newer than we are: fields that we do not know are let go, wrong types are not."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Events(_Message):
    """d/<dev>/up/events: journal records, ascending."""

    r: list[Annotated[str, StringConstraints(max_length=2 * RECORD_SIZE)]] = Field(
        min_length=1, max_length=MAX_RECORDS
    )


class State(_Message):
    """d/<dev>/up/state."""

    boot: U32
    jseq: U32
    cfg: U32
    rev: U32
    fw: Text
    door: Text
    clk: tuple[float, float] | None = None


class TimeRequest(_Message):
    """d/<dev>/up/time."""

    n: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Counters(_Message):
    """d/<dev>/up/log."""

    counters: dict[Text, int] = Field(max_length=MAX_COUNTERS)


class Envelope(_Message):
    """A sealed envelope, from outside."""

    p: Annotated[str, StringConstraints(max_length=MAX_ENVELOPE)]
    m: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Sealed(_Message):
    """s/…/down/command, config, time: an envelope for one device."""

    d: DeviceId
    e: Annotated[str, StringConstraints(min_length=2, max_length=MAX_ENVELOPE)]


class Acknowledgement(_Message):
    """s/…/down/ack: everything of this stream up to `seq` is in the cloud's store."""

    d: SourceId
    seq: U32


class RegistryEntry(_Message):
    """One device of the site."""

    id: DeviceId
    pins: list[Pin] = Field(max_length=8)
    status: Literal["active", "revoked"]


class RegistryMessage(_Message):
    """s/…/down/registry: the whole list."""

    ver: Annotated[int, Field(ge=0)]
    devices: list[RegistryEntry] = Field(max_length=MAX_DEVICES)


M = TypeVar("M", bound=_Message)


def parse(model: type[M], raw: bytes) -> M:
    """The message, or Malformed."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        raise Malformed("bad_message", f"{'.'.join(map(str, first['loc']))}: {first['type']}") from None


def records(message: Events) -> tuple[tuple[int, bytes], ...]:
    """(sequence number, record) of each, checked for shape and order; only the cloud can tell if genuine."""
    found = []
    last = 0
    for text in message.r:
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError:  # binascii.Error, and text that is not ASCII
            raise Malformed("bad_record") from None
        seq = decode_record(raw).seq
        if seq <= last:
            raise Malformed("bad_record_order")
        found.append((seq, raw))
        last = seq
    return tuple(found)
