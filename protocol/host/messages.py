"""Messages as strict models: what a peer sends is one of these, or Malformed; what we send is built from them.

`site_messages` has those between a device and its gateway, `cloud_messages` those between a gateway and the cloud.
"""

import base64
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    ValidationError,
)

from protocol.errors import Malformed
from protocol.journal import RECORD_SIZE
from protocol.transfer import split_chunk

# pydantic's patterns are Rust's: $ is the very end, with no line break after it.
DeviceId = Annotated[str, StringConstraints(pattern=r"^dev_[0-9a-f]{16}$")]
GatewayId = Annotated[str, StringConstraints(pattern=r"^gw_[0-9a-f]{16}$")]
SourceId = Annotated[str, StringConstraints(pattern=r"^(dev|gw)_[0-9a-f]{16}$")]
Pin = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
U32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
I63 = Annotated[int, Field(ge=0, le=2**63 - 1)]  # what SQL calls a BIGINT
Seconds = Annotated[float, Field(ge=0, le=2**48, allow_inf_nan=False)]
Text = Annotated[
    str, StringConstraints(max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")
]  # PostgreSQL takes no NUL


def _record(value: object) -> bytes:
    raw = base64.b64decode(value, validate=True) if isinstance(value, str) else value
    if not isinstance(raw, bytes) or len(raw) != RECORD_SIZE:
        raise ValueError("not a journal record")
    return raw


def _chunk(value: object) -> bytes:
    raw = base64.b64decode(value, validate=True) if isinstance(value, str) else value
    if not isinstance(raw, bytes):
        raise ValueError("not a chunk")
    split_chunk(raw)
    return raw


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# A journal record: base64 on the wire, its bytes here. Whether it is genuine only the device's key can tell.
RecordBytes = Annotated[bytes, PlainValidator(_record), PlainSerializer(_base64)]

# A piece of a file, with its head. Whether it is genuine only the whole file's digest can tell.
ChunkBytes = Annotated[bytes, PlainValidator(_chunk), PlainSerializer(_base64)]


class Message(BaseModel):
    """A peer may be newer than we are: fields that we do not know are let go, wrong types are not."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    # Bytes. What is larger is dropped before the parser sees it.
    limit: ClassVar[int] = 64 * 1024

    def encode(self) -> bytes:
        """The bytes on the wire; what was left out stays out."""
        return self.model_dump_json(exclude_unset=True).encode()


M = TypeVar("M", bound=Message)


def parse(model: type[M], raw: bytes) -> M:
    """The message; raises Malformed, `too_large` or `bad_message`."""
    if len(raw) > model.limit:
        raise Malformed("too_large")
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        raise Malformed("bad_message", f"{'.'.join(map(str, first['loc']))}: {first['type']}") from None
