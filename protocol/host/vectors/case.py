"""Positive and negative vectors, and the fixed world that they are about."""

from collections.abc import Sequence
from typing import Any

from protocol import keys
from protocol.credential import NEVER, Token, mint
from protocol.ids import id_from_bytes

Vector = dict[str, Any]
Parts = Sequence[tuple[str | bytes, str]]

K_DEV = bytes(range(32))
ROOT = keys.credential_root(K_DEV)
EPOCH = 1
DOOR = bytes.fromhex("d0d1d2d3d4d5d6d7")
DOOR_ID = id_from_bytes("door", DOOR)
DEVICE_ID = "dev_e0e1e2e3e4e5e6e7"
SITE_ID = "site_a0a1a2a3a4a5a6a7"
GATEWAY_ID = "gw_9091929394959697"
ATTEMPT_ID = "act_b0b1b2b3b4b5b6b7"
BOOT = 3
NOW = 1_800_000_000  # 2027-01-15 08:00:00 UTC, a Friday
CREDENTIAL = bytes.fromhex("0a0b0c0d01020304")
TOKEN = Token(EPOCH, CREDENTIAL, generation=2, not_before=NOW - 3600, not_after=NOW + 86_400)
TOKEN_BYTES = TOKEN.encode()
K_CRED = mint(keys.epoch_key(ROOT, EPOCH), TOKEN_BYTES)
OPEN_TOKEN = Token(EPOCH, CREDENTIAL, generation=2, not_before=0, not_after=NEVER)


def plain(value: object) -> Any:
    """The value as JSON has it: bytes are lower hex."""
    if isinstance(value, bytes | bytearray):
        return value.hex()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def good(name: str, op: str, given: dict[str, Any], out: object, parts: Parts = ()) -> Vector:
    """A vector that gives a value."""
    vector = {"name": name, "op": op, "in": plain(given), "out": plain(out)}
    return {**vector, "parts": _parts(parts)} if parts else vector


def bad(name: str, op: str, given: dict[str, Any], error: str) -> Vector:
    """A vector that is refused, with this reason."""
    return {"name": name, "op": op, "in": plain(given), "error": error}


def _parts(parts: Parts) -> list[list[str]]:
    return [[item if isinstance(item, str) else item.hex(), what] for item, what in parts]


def joined(parts: Parts) -> bytes:
    """The wire that the parts are of."""
    return b"".join(bytes.fromhex(item) if isinstance(item, str) else item for item, _ in parts)


def flipped(raw: bytes, at: int = -1) -> bytes:
    """`raw` with one bit changed."""
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)
