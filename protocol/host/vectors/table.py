"""Vectors of the tables that a device searches, and of the keys by which it does."""

import hashlib
import struct

from protocol import keys
from protocol import table as t
from protocol.credential import DURESS, NEVER
from protocol.host.tables import User, revocations_table, users_table
from protocol.host.vectors.case import CREDENTIAL, DEVICE_ID, K_DEV, NOW, Parts, Vector, bad, flipped, good
from protocol.ids import id_bytes

_DEVICE = id_bytes(DEVICE_ID)
_KEY = keys.table_key(K_DEV)
_LOOKUP = keys.lookup_key(K_DEV)
_ANNA = "user_2021222324252627"
_CARD = bytes.fromhex("0000000001a2b3c4")
_TERMS = User(_ANNA, DURESS, 1, NOW - 3600, NOW + 86_400)
_USERS = users_table(K_DEV, DEVICE_ID, 7, pins={"2580": _TERMS}, cards={_CARD: User(_ANNA)})
_REVOKED = revocations_table(K_DEV, DEVICE_ID, 9, [CREDENTIAL], {CREDENTIAL[:4]: 2})
_HEAD = t.HEADER_SIZE


def _given(wire: bytes) -> dict[str, object]:
    return {"key": _KEY, "device": _DEVICE, "wire": wire}


def _read(wire: bytes, kind: int, sequence: int) -> dict[str, object]:
    size = t.SHAPES[kind][0]
    rows = [wire[at : at + size] for at in range(_HEAD, len(wire) - keys.MAC_SIZE, size)]
    return {"kind": kind, "sequence": sequence, "rows": rows}


def _resealed(body: bytes) -> bytes:
    return body + keys.hmac_sha256(_KEY, hashlib.sha256(body).digest())[: keys.MAC_SIZE]


def _head(wire: bytes, kind: str, count: str, sequence: int) -> list[tuple[str | bytes, str]]:
    return [
        (wire[:4], "LWT1"),
        (wire[4:5], f"kind: {kind}"),
        (wire[5:6], f"row size {wire[5]}"),
        (wire[6:8], f"rows: {count}"),
        (wire[8:12], f"sequence {sequence}"),
        (wire[12:20], "device"),
    ]


def _user_parts(wire: bytes) -> Parts:
    parts = _head(wire, "users", "2", 7)
    for at in range(_HEAD, len(wire) - keys.MAC_SIZE, 36):
        whose = "PIN 2580" if wire[at + 25] else "the card 0000000001a2b3c4"
        parts += [
            (wire[at : at + 16], f"lookup key of {whose}"),
            (wire[at + 16 : at + 24], "user"),
            (wire[at + 24 : at + 26], "flags"),
            (wire[at + 26 : at + 28], "schedule"),
            (wire[at + 28 : at + 32], "not-before"),
            (wire[at + 32 : at + 36], "not-after"),
        ]
    return [*parts, (wire[-16:], "MAC")]


def _revoked_parts(wire: bytes) -> Parts:
    return [
        *_head(wire, "revocations", "2", 9),
        (wire[20:28], "credential id"),
        (wire[28:32], "revoked"),
        (wire[32:40], "subject: all keys"),
        (wire[40:44], "of a generation before 2"),
        (wire[44:], "MAC"),
    ]


def _row(key: bytes, flags: int = 0) -> bytes:
    return key + id_bytes(_ANNA) + struct.pack(">HHII", flags, 0, 0, NEVER)


def _forged(rows: list[bytes], **changes: int) -> bytes:
    fields = {"kind": 1, "size": 36, "count": len(rows), "sequence": 1, **changes}
    head = struct.pack(">4sBBHI8s", b"LWT1", *fields.values(), _DEVICE)
    return _resealed(head + b"".join(rows))


def table() -> list[Vector]:
    low, high = bytes(16), b"\1" * 16
    row = _USERS[_HEAD : _HEAD + 36]
    token = t.user_token(row, 1)
    terms = {
        "user": token.credential_id,
        "flags": token.flags,
        "schedule_id": token.schedule_id,
        "not_before": token.not_before,
        "not_after": token.not_after,
    }
    out = [
        good(
            "lookup_pin",
            "lookup",
            {"key": _LOOKUP, "label": "pin", "secret": b"2580"},
            t.lookup(_LOOKUP, b"pin", b"2580"),
        ),
        good(
            "lookup_card",
            "lookup",
            {"key": _LOOKUP, "label": "card", "secret": _CARD},
            t.lookup(_LOOKUP, b"card", _CARD),
        ),
        good("users", "table", _given(_USERS), _read(_USERS, 1, 7), _user_parts(_USERS)),
        good("revocations", "table", _given(_REVOKED), _read(_REVOKED, 2, 9), _revoked_parts(_REVOKED)),
        good("empty", "table", _given(_forged([])), _read(_forged([]), 1, 1)),
        good("terms", "user_token", {"row": row, "epoch": 1}, terms),
        bad("nothing", "table", _given(b""), "table"),
        bad("magic", "table", _given(_resealed(b"LWT2" + _USERS[4:-16])), "table"),
        bad("kind", "table", _given(_forged([], kind=3)), "table"),
        bad("row_size", "table", _given(_forged([], size=12)), "table"),
        bad("too_many_rows", "table", _given(_forged([], count=t.MAX_USERS + 1)), "table"),
        bad("sequence_zero", "table", _given(_forged([], sequence=0)), "table"),
        bad("rows_missing", "table", _given(_forged([_row(low)], count=2)), "table_row"),
        bad("descending", "table", _given(_forged([_row(high), _row(low)])), "table_row"),
        bad("twice", "table", _given(_forged([_row(low), _row(low, 1)])), "table_row"),
        bad("flags", "table", _given(_forged([_row(low, 128)])), "table_flags"),
        bad("mac", "table", _given(flipped(_USERS)), "table_mac"),
        bad("a_changed_term", "table", _given(flipped(_USERS, _HEAD + 35)), "table_mac"),
        bad("more_rows_than_said", "table", _given(_forged([_row(low), _row(high)], count=1)), "table_mac"),
    ]
    out.append(bad("device", "table", {**_given(_USERS), "device": bytes(8)}, "table_device"))
    return out
