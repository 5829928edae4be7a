"""Identifiers: `<kind>_<16 lowercase hex>` in JSON and topics, the 8 bytes alone on binary wires."""

from protocol.errors import LocalError, Malformed

KINDS = ("org", "site", "gw", "door", "dev", "user", "key", "act", "evt", "tok", "sch", "cred", "pkg")
ID_SIZE = 8
_HEX = "0123456789abcdef"


def new_id(kind: str, random8: bytes) -> str:
    """Name a new thing from 8 random bytes of the caller's."""
    if kind not in KINDS or len(random8) != ID_SIZE:
        raise LocalError("id kind or size")
    return kind + "_" + random8.hex()


def check_id(kind: str, value: object) -> str:
    """Return `value` if it is an id of that kind; raise Malformed otherwise."""
    if not isinstance(value, str) or len(value) != len(kind) + 1 + 2 * ID_SIZE:
        raise Malformed("bad_id")
    if not value.startswith(kind + "_"):
        raise Malformed("bad_id")
    for c in value[len(kind) + 1 :]:
        if c not in _HEX:
            raise Malformed("bad_id")
    return value


def id_bytes(value: str) -> bytes:
    """The 8 bytes of an id."""
    kind = value.split("_")[0]
    if kind not in KINDS:
        raise Malformed("bad_id")
    return bytes.fromhex(check_id(kind, value)[len(kind) + 1 :])


def id_from_bytes(kind: str, raw: bytes) -> str:
    """The id of that kind for 8 bytes from a binary wire; raise Malformed for another number of them."""
    if len(raw) != ID_SIZE:
        raise Malformed("bad_id")
    return new_id(kind, bytes(raw))
