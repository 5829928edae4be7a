"""HMAC, HKDF and the tree of keys that hangs from a device's root key.

HMAC: RFC 2104 with SHA-256. HKDF: RFC 5869. Both in pure Python because MicroPython has neither.
A device is provisioned with K_dev, derives the roots below, and forgets K_dev.
"""

import hashlib

from protocol.errors import LocalError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Union

    Buffer = Union[bytes, bytearray, memoryview]

KEY_SIZE = 32
MAC_SIZE = 16  # truncated to 128 bits wherever a MAC goes on a wire
_BLOCK = 64
_IPAD = int.from_bytes(b"\x36" * _BLOCK, "big")
_OPAD = int.from_bytes(b"\x5c" * _BLOCK, "big")
_SALT = b"latchwork/1"


def hmac_sha256(key: "Buffer", *parts: "Buffer") -> bytes:
    """HMAC-SHA256 over the concatenation of `parts`; 32 bytes."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    # One long integer is padded at once: byte by byte this cost more than the hash.
    padded = int.from_bytes(key, "big") << 8 * (_BLOCK - len(key))
    inner = hashlib.sha256((padded ^ _IPAD).to_bytes(_BLOCK, "big"))
    for part in parts:
        inner.update(part)
    outer = hashlib.sha256((padded ^ _OPAD).to_bytes(_BLOCK, "big"))
    outer.update(inner.digest())
    return outer.digest()


def hkdf_sha256(ikm: "Buffer", salt: "Buffer", info: "Buffer", length: int = KEY_SIZE) -> bytes:
    """HKDF extract and expand (RFC 5869); `length` up to 8160 bytes."""
    if not 0 < length <= 255 * 32:
        raise LocalError("hkdf length")
    prk = hmac_sha256(salt if len(salt) else bytes(32), ikm)
    out = b""
    block = b""
    counter = 1
    while len(out) < length:
        block = hmac_sha256(prk, block, info, bytes((counter,)))
        out += block
        counter += 1
    return out[:length]


def constant_equal(a: "Buffer", b: "Buffer") -> bool:
    """Compare without telling by time where the first difference is."""
    if len(a) != len(b):
        return False
    diff = 0
    for i in range(len(a)):
        diff |= a[i] ^ b[i]
    return diff == 0


def _root(k_dev: "Buffer", label: bytes) -> bytes:
    if len(k_dev) != KEY_SIZE:
        raise LocalError("K_dev is 32 bytes")
    return hkdf_sha256(k_dev, _SALT, label)


def credential_root(k_dev: "Buffer") -> bytes:
    """Root of the credential keys of all epochs."""
    return _root(k_dev, b"credential")


def epoch_key(credential_root: "Buffer", epoch: int) -> bytes:
    """K_epoch: the key that every credential token of one key epoch (0..255) is minted with."""
    if not 0 <= epoch <= 255:
        raise LocalError("epoch is one byte")
    return hmac_sha256(credential_root, b"epoch", bytes((epoch,)))


def command_key(k_dev: "Buffer") -> bytes:
    """K_cmd: seals commands to the device and their results."""
    return _root(k_dev, b"command")


def time_key(k_dev: "Buffer") -> bytes:
    """K_time: seals time replies."""
    return _root(k_dev, b"time")


def config_key(k_dev: "Buffer") -> bytes:
    """K_cfg: seals configurations and revocation lists."""
    return _root(k_dev, b"config")


def journal_key(k_dev: "Buffer") -> bytes:
    """K_1 of the journal's forward-evolving chain."""
    return _root(k_dev, b"journal")


def table_key(k_dev: "Buffer") -> bytes:
    """K_table: seals the tables of users and revocations."""
    return _root(k_dev, b"table")


def lookup_key(k_dev: "Buffer") -> bytes:
    """K_lookup: makes the keys by which PINs and cards are found in a table."""
    return _root(k_dev, b"lookup")


def osdp_key(k_dev: "Buffer") -> bytes:
    """SCBK of the readers on the device's OSDP bus; 16 bytes."""
    return _root(k_dev, b"osdp")[:16]
