"""Journal records: a hash chain under a MAC key that moves forward with each record.

record (46 B) = version 1 | type 1 | seq 4 | boot 4 | time 4 | uncertainty 2 | method 1 | status 1 | subject 8 | value 4 | MAC 16
MAC_n    = HMAC(K_n, digest_{n-1} | body_n)[:16]     body = the 30 bytes before the MAC
digest_n = SHA-256(record_n)                         digest_0 = 32 zero bytes
K_{n+1}  = HMAC(K_n, "next")                         who reads K_n from a stolen board cannot rewrite what came before
"""

import hashlib
import struct

from protocol.errors import BadMac, LocalError, Malformed, ProtocolError
from protocol.keys import KEY_SIZE, MAC_SIZE, constant_equal, hmac_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

    from protocol.keys import Buffer

RECORD_VERSION = 1
RECORD_SIZE = 46
MAX_LEAP = 100_000  # records an anchor may pass over: bounds the HMACs that a forged sequence costs
_BODY = ">BBIIIHBB8sI"
_BODY_SIZE = RECORD_SIZE - MAC_SIZE

EVENT_BOOT = 1
EVENT_ACCESS_GRANTED = 2
EVENT_ACCESS_DENIED = 3
EVENT_DOOR_OPENED = 4
EVENT_DOOR_CLOSED = 5
EVENT_DOOR_FORCED = 6
EVENT_DOOR_HELD = 7
EVENT_COMMAND_REFUSED = 8
EVENT_CONFIG_APPLIED = 9
EVENT_CONFIG_REFUSED = 10
EVENT_TIME_SET = 11
EVENT_JOURNAL_GAP = 12
EVENT_TASK_RESTARTED = 13
EVENT_DOOR_JAMMED = 14
EVENT_TAMPER = 15
EVENT_DURESS = 16
EVENT_WRONG_CODES = 17
EVENT_ALARM_ENDED = 18
EVENT_MODE_CHANGED = 19
EVENT_FIRE = 20
EVENT_READER_OFFLINE = 21
EVENT_READER_TAMPER = 22
EVENT_TRANSFER_TAKEN = 24
EVENT_TRANSFER_REFUSED = 25
EVENT_UPDATE_ACTIVATED = 26
EVENT_UPDATE_CONFIRMED = 27
EVENT_UPDATE_ROLLED_BACK = 28
EVENT_EPOCH_RAISED = 29
EVENT_NAMES = {
    EVENT_BOOT: "boot",
    EVENT_ACCESS_GRANTED: "access_granted",
    EVENT_ACCESS_DENIED: "access_denied",
    EVENT_DOOR_OPENED: "door_opened",
    EVENT_DOOR_CLOSED: "door_closed",
    EVENT_DOOR_FORCED: "door_forced",
    EVENT_DOOR_HELD: "door_held",
    EVENT_COMMAND_REFUSED: "command_refused",
    EVENT_CONFIG_APPLIED: "config_applied",
    EVENT_CONFIG_REFUSED: "config_refused",
    EVENT_TIME_SET: "time_set",
    EVENT_JOURNAL_GAP: "journal_gap",
    EVENT_TASK_RESTARTED: "task_restarted",
    EVENT_DOOR_JAMMED: "door_jammed",
    EVENT_TAMPER: "tamper",
    EVENT_DURESS: "duress",
    EVENT_WRONG_CODES: "wrong_code_limit",
    EVENT_ALARM_ENDED: "alarm_ended",
    EVENT_MODE_CHANGED: "mode_changed",
    EVENT_FIRE: "fire_release",
    EVENT_READER_OFFLINE: "reader_offline",
    EVENT_READER_TAMPER: "reader_tamper",
    EVENT_TRANSFER_TAKEN: "transfer_taken",
    EVENT_TRANSFER_REFUSED: "transfer_refused",
    EVENT_UPDATE_ACTIVATED: "update_activated",
    EVENT_UPDATE_CONFIRMED: "update_confirmed",
    EVENT_UPDATE_ROLLED_BACK: "update_rolled_back",
    EVENT_EPOCH_RAISED: "key_epoch_raised",
}

# Value of EVENT_BOOT: machine.reset_cause() of an ESP32, but for the last, which it calls a power-on.
BOOT_UNKNOWN = 0
BOOT_POWER_ON = 1
BOOT_HARD_RESET = 2
BOOT_WATCHDOG = 3
BOOT_DEEP_SLEEP = 4
BOOT_SOFT_RESET = 5
BOOT_BROWN_OUT = 6

METHOD_NONE = 0
METHOD_BLE = 1
METHOD_REMOTE = 2
METHOD_REX = 3
METHOD_KEY_SWITCH = 4
METHOD_CARD = 5
METHOD_PIN = 6
METHOD_NAMES = {
    METHOD_NONE: "none",
    METHOD_BLE: "bluetooth",
    METHOD_REMOTE: "remote",
    METHOD_REX: "exit_button",
    METHOD_KEY_SWITCH: "key_switch",
    METHOD_CARD: "card",
    METHOD_PIN: "pin",
}


class ChainGap(ProtocolError):
    """The record is not the next one of its chain."""

    default_reason = "chain_gap"


class Record:
    """One event at the door. `time` is unix seconds, `uncertainty` seconds (0xFFFF: time not known)."""

    def __init__(
        self,
        kind: int,
        seq: int,
        boot: int = 0,
        time: int = 0,
        uncertainty: int = 0xFFFF,
        method: int = METHOD_NONE,
        status: int = 0,
        subject: bytes = bytes(8),
        value: int = 0,
    ) -> None:
        self.type = kind
        self.seq = seq
        self.boot = boot
        self.time = time
        self.uncertainty = uncertainty
        self.method = method
        self.status = status
        self.subject = subject
        self.value = value

    def encode_body(self) -> bytes:
        """The 30 bytes that the MAC covers."""
        return struct.pack(
            _BODY,
            RECORD_VERSION,
            self.type,
            self.seq,
            self.boot,
            self.time,
            self.uncertainty,
            self.method,
            self.status,
            self.subject,
            self.value,
        )


class ChainState:
    """Where a chain stands: sequence and digest of its last record, and the key of the next."""

    def __init__(self, seq: int, digest: bytes, key: bytes) -> None:
        if len(digest) != 32 or len(key) != KEY_SIZE:
            raise LocalError("chain state size")
        self.seq = seq
        self.digest = digest
        self.key = key


def initial_state(journal_key: bytes) -> ChainState:
    """The state before the first record."""
    return ChainState(0, bytes(32), journal_key)


def _next(seq: int, record: bytes, key: bytes) -> ChainState:
    return ChainState(seq, hashlib.sha256(record).digest(), hmac_sha256(key, b"next"))


def append(
    state: ChainState,
    kind: int,
    boot: int = 0,
    time: int = 0,
    uncertainty: int = 0xFFFF,
    method: int = METHOD_NONE,
    status: int = 0,
    subject: bytes = bytes(8),
    value: int = 0,
) -> "Tuple[bytes, ChainState]":
    """Seal the next record; returns its 46 bytes and the chain after it."""
    seq = state.seq + 1
    body = Record(kind, seq, boot, time, uncertainty, method, status, subject, value).encode_body()
    record = body + hmac_sha256(state.key, state.digest, body)[:MAC_SIZE]
    return record, _next(seq, record, state.key)


def decode_record(raw: "Buffer") -> Record:
    """Read a record without verifying it; raise Malformed."""
    if len(raw) != RECORD_SIZE:
        raise Malformed("record_size")
    version, kind, seq, boot, time, unc, method, status, subject, value = struct.unpack(
        _BODY, raw[:_BODY_SIZE]
    )
    if version != RECORD_VERSION or seq == 0:
        raise Malformed("record_version")
    return Record(kind, seq, boot, time, unc, method, status, bytes(subject), value)


def verify(state: ChainState, raw: "Buffer") -> "Tuple[Record, ChainState]":
    """Read the next record of a chain; raise Malformed, ChainGap or BadMac."""
    record = decode_record(raw)
    if record.seq != state.seq + 1:
        raise ChainGap()
    mac = hmac_sha256(state.key, state.digest, raw[:_BODY_SIZE])[:MAC_SIZE]
    if not constant_equal(mac, raw[_BODY_SIZE:]):
        raise BadMac("record_mac")
    return record, _next(record.seq, bytes(raw), state.key)


def anchor(state: ChainState, raw: "Buffer") -> ChainState:
    """The chain as it would stand after `raw` behind a hole. `raw` itself is not verified: its successor's MAC covers it."""
    record = decode_record(raw)
    steps = record.seq - state.seq
    if not 0 < steps <= MAX_LEAP:
        raise ChainGap()
    key = state.key
    for _ in range(steps):
        key = hmac_sha256(key, b"next")
    return ChainState(record.seq, hashlib.sha256(raw).digest(), key)
