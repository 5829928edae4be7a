"""Files for a device that do not fit one message: the cloud offers one, the device asks for it piece by piece.

    offer    sealed: {"dev", "kind", "ver", "size", "sha", "sums"}               down/update; phones
    request  {"id": <first 16 hex of sha>, "off": <offset>, "len": <length>}     up/fetch
    chunk    id 8 | offset 4 | data                                              down/chunk

Chunks carry no MAC: the SHA-256 of the sealed offer is over all of them. `sums` is in offers that anybody may carry: the
first 8 bytes of the SHA-256 of each chunk, so that a wrong one is known before it is on flash.
"""

import json

from protocol.envelope import LABEL_OFFER, open_sealed
from protocol.errors import Malformed, WrongDevice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Tuple

    from protocol.keys import Buffer

MAX_CHUNK = 2048  # bytes of data in one message: what a board holds besides all else
MAX_SIZE = 126_976  # 31 blocks of flash
MAX_OFFER = 512  # an offer waits in RAM, as it came
MAX_KIND = 16
MAX_CARRIED = 12_288  # a file whose sums fit an offer; a full table of revocations has 12036
ID_SIZE = 8
SUM_SIZE = 8
_HEAD = 12


class Offer:
    """A file that is to be had. `id`, the first 8 bytes of its digest, names it on the wire; `sums` may be empty."""

    def __init__(self, kind: str, version: int, size: int, sha256: bytes, sums: bytes) -> None:
        self.kind = kind
        self.version = version
        self.size = size
        self.sha256 = sha256
        self.sums = sums
        self.id = sha256[:ID_SIZE]


def open_offer(key: "Buffer", dev: str, raw: "Buffer") -> Offer:
    """Open and check an offer for this device; raise a ProtocolError."""
    if len(raw) > MAX_OFFER:
        raise Malformed("offer_size")
    payload = open_sealed(bytes(key), LABEL_OFFER, raw)
    if payload.get("dev") != dev:
        raise WrongDevice("offer_device")
    kind = payload.get("kind")
    if not isinstance(kind, str) or not 0 < len(kind) <= MAX_KIND:
        raise Malformed("offer_kind")
    size = _number(payload.get("size"), MAX_SIZE)
    sums = b""
    if "sums" in payload:
        sums = _hex(payload["sums"], (size + MAX_CHUNK - 1) // MAX_CHUNK * SUM_SIZE)
    return Offer(kind, _number(payload.get("ver"), 0xFFFFFFFF), size, _hex(payload.get("sha"), 32), sums)


def _hex(value: object, size: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * size or value.strip("0123456789abcdef"):
        raise Malformed("offer_sha")
    return bytes.fromhex(value)


def _number(value: object, high: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= high:
        raise Malformed("offer_number")
    return value


def chunk_length(offer: Offer, offset: int) -> int:
    """How many bytes the chunk at `offset` has."""
    return min(MAX_CHUNK, offer.size - offset)


def build_request(offer: Offer, offset: int) -> bytes:
    """Ask for the chunk at `offset`."""
    return json.dumps({"id": offer.id.hex(), "off": offset, "len": chunk_length(offer, offset)}).encode()


def split_chunk(raw: "Buffer") -> "Tuple[bytes, int, Buffer]":
    """(id, offset, data) of a chunk; raise Malformed. The data is a view."""
    if not _HEAD < len(raw) <= _HEAD + MAX_CHUNK:
        raise Malformed("chunk_size")
    return bytes(raw[:ID_SIZE]), int.from_bytes(raw[ID_SIZE:_HEAD], "big"), memoryview(raw)[_HEAD:]
