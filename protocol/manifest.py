"""The head of a firmware package: what it is, signed once for a whole fleet.

    0   "LWU1" 4 | product 16, ASCII and zeros | version 4 | floor 4 | trial, seconds 2 | zeros 2 | size 4 | SHA-256 32
    68  signature of the 68 bytes before, RSA-3072                                                     384
    452 the image

Who runs this version takes no older one than `floor`.
"""

import hashlib
import struct

from protocol.errors import Malformed
from protocol.rsa import SIGNATURE_SIZE, verify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from protocol.keys import Buffer

MANIFEST_SIZE = 68
HEAD_SIZE = MANIFEST_SIZE + SIGNATURE_SIZE
MIN_TRIAL_S = 2
MAX_TRIAL_S = 7200
_MAGIC = b"LWU1"
_FORMAT = ">4s16sIIH2sI32s"


class Manifest:
    """What a package says of itself. `trial_s`: the time in which it must prove healthy."""

    def __init__(
        self, product: str, version: int, floor: int, trial_s: int, size: int, sha256: bytes
    ) -> None:
        self.product = product
        self.version = version
        self.floor = floor
        self.trial_s = trial_s
        self.size = size
        self.sha256 = sha256

    def encode(self) -> bytes:
        """The 68 bytes that are signed."""
        fields = self.version, self.floor, self.trial_s, bytes(2), self.size, self.sha256
        return struct.pack(_FORMAT, _MAGIC, self.product.encode(), *fields)


def open_manifest(modulus: "Buffer", head: bytes) -> Manifest:
    """Check the 452 bytes before an image; raise Malformed or BadMac. Nothing is read before the signature fits."""
    if len(head) != HEAD_SIZE:
        raise Malformed("manifest_size")
    signed = head[:MANIFEST_SIZE]
    verify(modulus, hashlib.sha256(signed).digest(), head[MANIFEST_SIZE:])
    return read_manifest(signed)


def read_manifest(signed: bytes) -> Manifest:
    """The first 68 bytes, whoever signed them; raise Malformed."""
    magic, product, version, floor, trial_s, rest, size, sha256 = struct.unpack(_FORMAT, signed)
    name = product.rstrip(b"\0")
    if magic != _MAGIC or rest != b"\0\0" or not name or b"\0" in name or max(name) > 126:
        raise Malformed("manifest_shape")
    if not version > 0 or floor > version or not MIN_TRIAL_S <= trial_s <= MAX_TRIAL_S or not size:
        raise Malformed("manifest_number")
    return Manifest(str(name, "ascii"), version, floor, trial_s, size, sha256)
