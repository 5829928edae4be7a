"""Secrets at rest: AES-256-GCM under a key-encryption key that lives in its own file (mode 0600), never in
the database.

    sealed = version 1 | nonce 12 | ciphertext and tag         associated data: what it is and whose

A copy of the database without the KEK file opens no door. The associated data ties a sealed value to its row:
swapping the sealed K_dev of two devices fails to open.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocol.ids import ID_SIZE, new_id

KEY_SIZE = 32
_VERSION = b"\x01"
_NONCE = 12


class SecretError(Exception):
    """A sealed value does not open: wrong KEK, wrong row, or damage."""


class Vault:
    """Seals and opens small secrets."""

    def __init__(self, kek: bytes) -> None:
        self._aead = AESGCM(kek)
        self._fingerprint_key = hmac.digest(kek, b"latchwork/fingerprint", "sha256")

    def seal(self, purpose: str, owner: str, plain: bytes) -> bytes:
        """Encrypt `plain` for the row `owner`."""
        nonce = secrets.token_bytes(_NONCE)
        return _VERSION + nonce + self._aead.encrypt(nonce, plain, self._context(purpose, owner))

    def open(self, purpose: str, owner: str, sealed: bytes) -> bytes:
        """Decrypt what `seal` made for the same purpose and owner."""
        if sealed[:1] != _VERSION:
            raise SecretError(f"{purpose} of {owner}: unknown version")
        try:
            return self._aead.decrypt(
                sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :], self._context(purpose, owner)
            )
        except (InvalidTag, ValueError) as error:
            raise SecretError(f"{purpose} of {owner} does not open with this key-encryption key") from error

    def fingerprint(self, purpose: str, plain: bytes) -> bytes:
        """32 bytes by which equal secrets are found, and that nobody can try out without the KEK."""
        return hmac.digest(self._fingerprint_key, purpose.encode() + b"\0" + plain, "sha256")

    @staticmethod
    def _context(purpose: str, owner: str) -> bytes:
        return f"latchwork/{purpose}/{owner}".encode()


def write_private(path: Path, content: bytes) -> None:
    """Create `path` readable by its owner only, from its first byte on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_kek(path: Path) -> bytes:
    """Read the KEK; refuse a file that others may read."""
    if path.stat().st_mode & 0o077:
        raise SecretError(f"{path} must be readable by its owner only (chmod 600)")
    kek = path.read_bytes()
    if len(kek) != KEY_SIZE:
        raise SecretError(f"{path} must hold {KEY_SIZE} bytes")
    return kek


def random_id(kind: str) -> str:
    """A new public id of that kind."""
    return new_id(kind, secrets.token_bytes(ID_SIZE))


def new_token() -> str:
    """A bearer token: 256 random bits, with a prefix that secret scanners can look for."""
    return "lw_" + secrets.token_urlsafe(32)


def token_digest(token: str) -> bytes:
    """What is stored of a token. A plain hash is enough: there is nothing to guess in 256 random bits."""
    return hashlib.sha256(token.encode()).digest()
