"""Messages between a device and its gateway, `d/<device>/…`: each class is named after its leaf.

A sealed envelope is measured and looked at from outside: the gateway has no key to open it.
"""

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from protocol.envelope import MAX_ENVELOPE
from protocol.errors import Malformed
from protocol.host.messages import I63, U32, Message, RecordBytes, Seconds, Text
from protocol.journal import decode_record
from protocol.messages import MAX_RECORDS
from protocol.transfer import MAX_CHUNK, MAX_KIND, MAX_SIZE

MAX_UP = 16_384  # what a device may send in one message
MAX_COUNTERS = 64
MAX_PPM = 10_000  # no crystal is so wrong
MAX_FILES = 8  # kinds of transfers that a device may tell of

Hex128 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Events(Message):
    """up/events: journal records, ascending."""

    limit: ClassVar[int] = MAX_UP

    r: tuple[RecordBytes, ...] = Field(min_length=1, max_length=MAX_RECORDS)

    def numbered(self) -> tuple[tuple[int, bytes], ...]:
        """(sequence number, record) of each; Malformed if they do not ascend or are of no version we know."""
        found = tuple((decode_record(raw).seq, raw) for raw in self.r)
        seqs = [seq for seq, _ in found]
        if seqs != sorted(set(seqs)):
            raise Malformed("bad_record_order")
        return found


class State(Message):
    """up/state: the device's shadow. `epoch` is the key epoch in force; `clk` (unix seconds, uncertainty), or None while
    the time is not known; `drift_ppm` how fast its crystal runs, and the uncertainty of that; `cfg_refused` why the newest
    configuration is not in force, or None; `files` the version in force of each kind of transfer, but of firmware.
    """

    limit: ClassVar[int] = MAX_UP

    boot: U32
    jseq: U32
    cfg: U32
    rev: U32
    epoch: Annotated[int, Field(ge=0, le=255)] | None = None
    fw: Text
    door: Annotated[Text, StringConstraints(max_length=32)]
    clk: tuple[Seconds, Seconds] | None = None
    drift_ppm: (
        tuple[Annotated[int, Field(ge=-MAX_PPM, le=MAX_PPM)], Annotated[int, Field(ge=0, le=MAX_PPM)]] | None
    ) = None
    cfg_refused: Text | None = None
    files: dict[Annotated[str, StringConstraints(min_length=1, max_length=MAX_KIND)], U32] | None = Field(
        default=None, max_length=MAX_FILES
    )


class TimeRequest(Message):
    """up/time: the nonce makes the answer fresh."""

    limit: ClassVar[int] = MAX_UP

    n: Hex128


class Counters(Message):
    """up/log: counts by reason, since boot."""

    limit: ClassVar[int] = MAX_UP

    counters: dict[Text, I63] = Field(max_length=MAX_COUNTERS)


class Fetch(Message):
    """up/fetch: a piece of the file whose digest begins with `id`."""

    limit: ClassVar[int] = MAX_UP

    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    off: Annotated[int, Field(ge=0, lt=MAX_SIZE)]
    len: Annotated[int, Field(ge=1, le=MAX_CHUNK)]


class Envelope(Message):
    """up/result, down/command, down/config, down/time, down/update: sealed by the cloud or the device."""

    limit: ClassVar[int] = MAX_ENVELOPE

    p: Annotated[str, StringConstraints(max_length=MAX_ENVELOPE)]
    m: Hex128


class Ack(Message):
    """down/ack: every record up to `seq` is durable at the gateway or behind it."""

    seq: U32
