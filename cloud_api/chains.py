"""Verification of the devices' journals (`protocol.journal`): what of a delivery is new, proven, missing or
forged.

Pure, apart from sealing a chain's state for the store. The watermark of a device is the sequence of its
chain: it moves over records that verify, and over a hole only once a record behind the hole has proved that
the device went on.
"""

import struct
from dataclasses import dataclass, field
from itertools import pairwise

from cloud_api.secrets import Vault
from protocol.errors import ProtocolError
from protocol.journal import MAX_LEAP, ChainState, Record, anchor, decode_record, verify

# Key steps that the leaps of one message may cost: a hostile gateway names any sequence it likes, and each step is an
# HMAC of some 3 µs. A door that was alone for months may have overwritten as many.
MAX_LEAP_STEPS = MAX_LEAP
_PURPOSE = "chain"
_STATE = ">I32s32s"


@dataclass(frozen=True)
class Proven:
    """A record whose MAC fits its place in the chain."""

    record: Record
    raw: bytes


@dataclass
class Delivery:
    """What one message brought. `state` is the chain after it."""

    state: ChainState
    before: int
    proven: list[Proven] = field(default_factory=list)
    known: int = 0
    gap: tuple[int, int] | None = None  # first and last sequence that is missing
    broken: tuple[int, bytes, str] | None = None  # sequence, record, reason

    @property
    def moved(self) -> bool:
        """Whether the watermark is higher than before."""
        return self.state.seq > self.before

    @property
    def stuck_at(self) -> int:
        """Sequence that the chain cannot pass; 0 when everything was taken."""
        return self.state.seq + 1 if self.gap or self.broken else 0


def examine(state: ChainState, raws: list[bytes]) -> Delivery:
    """Check records in the order they came, up to the first hole or the first that does not verify."""
    delivery = Delivery(state, state.seq)
    for raw in raws:
        if not _take(delivery, raw):
            break
    return delivery


def _take(delivery: Delivery, raw: bytes) -> bool:
    next_seq = delivery.state.seq + 1
    try:
        seq = decode_record(raw).seq
        if seq < next_seq:
            delivery.known += 1
            return True
        if seq > next_seq:
            delivery.gap = (next_seq, seq - 1)
            return False
        record, delivery.state = verify(delivery.state, raw)
    except ProtocolError as error:
        delivery.broken = (next_seq, raw, error.reason)
        return False
    delivery.proven.append(Proven(record, raw))
    return True


def leap(delivery: Delivery, raws: list[bytes]) -> Delivery:
    """Pass a hole or a broken record, if two records behind it belong together under the device's key.

    The first of them takes the place of the chain that is missing: its successor's MAC covers it. With no
    such pair nothing changes: the watermark waits, and no stranger can move it.
    """
    budget = MAX_LEAP_STEPS
    for place, (raw, successor) in enumerate(pairwise(raws)):
        try:
            record = decode_record(raw)
            steps = record.seq - delivery.state.seq
            if not 0 < steps <= budget:
                continue
            budget -= steps
            state = anchor(delivery.state, raw)
            verify(state, successor)
        except ProtocolError:
            continue
        return _land(delivery, Proven(record, raw), examine(state, raws[place + 1 :]))
    return delivery


def _land(delivery: Delivery, first: Proven, after: Delivery) -> Delivery:
    missing = delivery.stuck_at + (1 if delivery.broken else 0)
    delivery.gap = (missing, first.record.seq - 1) if first.record.seq > missing else None
    delivery.proven += [first, *after.proven]
    delivery.state = after.state
    return delivery


def store_chain(vault: Vault, device_id: str, state: ChainState) -> bytes:
    """The state, sealed: its key could forge the device's next records."""
    return vault.seal(_PURPOSE, device_id, struct.pack(_STATE, state.seq, state.digest, state.key))


def load_chain(vault: Vault, device_id: str, sealed: bytes) -> ChainState:
    """The state that `store_chain` sealed."""
    return ChainState(*struct.unpack(_STATE, vault.open(_PURPOSE, device_id, sealed)))
