"""Sealed JSON: the payload travels as a string and the MAC covers exactly that string, so no canonical form is needed.

    {"p": "<payload JSON>", "m": "<32 hex>"}          m = HMAC(key, label | 0x00 | p)[:16]

The label separates the uses of a key; the key is one device's, so an envelope for another device never opens.
"""

import json

from protocol.errors import BadMac, LocalError, Malformed
from protocol.keys import MAC_SIZE, constant_equal, hmac_sha256

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Union

LABEL_COMMAND = b"cmd"
LABEL_RESULT = b"res"
LABEL_TIME = b"time"
LABEL_CONFIG = b"cfg"
LABEL_OFFER = b"off"
MAX_ENVELOPE = 5632  # what a stranger on the wire can make the board parse


def _refuse(_: str) -> None:
    raise ValueError


# CPython alone reads NaN and Infinity, which are no JSON; MicroPython has no such decoder to configure.
_READS_BYTES = not hasattr(json, "JSONDecoder")
_loads = json.JSONDecoder(parse_constant=_refuse).decode if hasattr(json, "JSONDecoder") else json.loads


def _mac(key: bytes, label: bytes, text: str) -> bytes:
    # MicroPython hashes text as it lies in memory; a copy of a large one may find no room on a board.
    payload = text if _READS_BYTES else text.encode()
    return hmac_sha256(key, label, b"\0", payload)[:MAC_SIZE]  # type: ignore[arg-type]


def seal(key: bytes, label: bytes, payload: "Dict[str, Any]") -> str:
    """Seal a payload; raise LocalError if it is too large for the device."""
    text = json.dumps(payload)
    raw = json.dumps({"p": text, "m": _mac(key, label, text).hex()})
    if len(raw.encode()) > MAX_ENVELOPE:
        raise LocalError("envelope size")
    return raw


def open_sealed(
    key: bytes, label: bytes, raw: "Union[str, bytes, bytearray, memoryview]"
) -> "Dict[str, Any]":
    """The payload of a sealed envelope; raise Malformed or BadMac. Nothing inside is parsed before the MAC fits."""
    return parse_object(open_text(key, label, raw))


def open_text(key: bytes, label: bytes, raw: "Union[str, bytes, bytearray, memoryview]") -> str:
    """The payload as the text that was sealed, for who cannot hold all of it parsed; raise Malformed or BadMac."""
    if len(raw) > MAX_ENVELOPE:
        raise Malformed("envelope_size")
    outer = parse_object(raw)
    text = outer.get("p")
    mac = outer.get("m")
    if not isinstance(text, str) or not isinstance(mac, str) or len(mac) != 2 * MAC_SIZE:
        raise Malformed("envelope_shape")
    try:
        # As text, for bytes.fromhex would take spaces and capitals: one MAC has one spelling.
        fits = constant_equal(mac.encode(), _mac(key, label, text).hex().encode())
    except UnicodeError:  # half of a surrogate pair; MicroPython encodes it, and no MAC fits
        raise Malformed("envelope_text")
    if not fits:
        raise BadMac()
    return text


def parse_object(raw: "Union[str, bytes, bytearray, memoryview]") -> "Dict[str, Any]":
    """One JSON object; raise Malformed for anything else."""
    try:
        text = raw if isinstance(raw, str) else str(raw, "utf-8")
        if "\0" in text:
            raise ValueError  # MicroPython ends its reading there, and would take whatever follows
        if _READS_BYTES:
            text = raw  # type: ignore[assignment]  # the copy may go: a board's heap is needed for the values
        value = _loads(text)
    except (ValueError, RuntimeError, OverflowError):
        raise Malformed("json")
    except MemoryError:
        # Nested deeper, or cut smaller, than a board's heap holds; what was built of it is garbage by now.
        raise Malformed("json_memory")
    if not isinstance(value, dict):
        raise Malformed("json_shape")
    return value
