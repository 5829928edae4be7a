"""Finds the SubjectPublicKeyInfo in a DER certificate (RFC 5280 section 4.1), for pins where there is no
X.509 API.

It walks, and checks no signature: that is the TLS stack's work. What it must get right is that the bytes
returned are the very field the TLS stack takes the public key from, so it accepts strict DER and nothing
else.
"""

import hashlib

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Tuple

    from protocol.keys import Buffer

MAX_CERTIFICATE = 4096  # what a peer can make the door walk and hash
MIN_PINS = 2  # current and backup: one alone would tie the door to one key for ever
MAX_PINS = 4  # two of them while a rotation is under way

_INTEGER = 0x02
_SEQUENCE = 0x30
_VERSION = 0xA0  # [0] EXPLICIT, only present in v2 and v3


def _element(raw: "Buffer", pos: int, end: int, tag: int) -> "Tuple[int, int]":
    """Start and end of the content of the element at `pos`, which must carry `tag` and end by `end`."""
    if pos + 2 > end or raw[pos] != tag:
        raise Malformed("der_tag")
    size = raw[pos + 1]
    pos += 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 2 or pos + count > end:
            raise Malformed("der_length")
        size = 0
        for i in range(count):
            size = size << 8 | raw[pos + i]
        # DER: the shortest form is the only one (X.690 section 10.1).
        if size < 0x80 or (count == 2 and size < 0x100):
            raise Malformed("der_length")
        pos += count
    if pos + size > end:
        raise Malformed("der_truncated")
    return pos, pos + size


def spki_of(certificate: "Buffer") -> bytes:
    """The SubjectPublicKeyInfo element, header included; raise Malformed if this is no DER certificate."""
    total = len(certificate)
    if total > MAX_CERTIFICATE:
        raise Malformed("der_size")
    outer, outer_end = _element(certificate, 0, total, _SEQUENCE)
    if outer_end != total:
        raise Malformed("der_trailing")
    pos, end = _element(certificate, outer, outer_end, _SEQUENCE)
    if pos < end and certificate[pos] == _VERSION:
        _, pos = _element(certificate, pos, end, _VERSION)
    _, pos = _element(certificate, pos, end, _INTEGER)
    for _ in range(4):  # signature algorithm, issuer, validity, subject
        _, pos = _element(certificate, pos, end, _SEQUENCE)
    _, spki_end = _element(certificate, pos, end, _SEQUENCE)
    return bytes(certificate[pos:spki_end])


def spki_pin(certificate: "Buffer") -> str:
    """The pin of a certificate: lower-hex SHA-256 of its SubjectPublicKeyInfo."""
    return hashlib.sha256(spki_of(certificate)).digest().hex()


def check_pins(raw: "Any", reason: str) -> "Tuple[str, ...]":
    """A pin set from JSON: MIN_PINS to MAX_PINS different pins; raise Malformed(reason)."""
    if not isinstance(raw, list) or not MIN_PINS <= len(raw) <= MAX_PINS:
        raise Malformed(reason)
    for pin in raw:
        if not isinstance(pin, str) or len(pin) != 64 or pin.strip("0123456789abcdef") or raw.count(pin) > 1:
            raise Malformed(reason)
    return tuple(raw)
