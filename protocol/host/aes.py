"""AES-128 as `protocol.osdp_secure` wants it, of the library that a host has; a board has `cryptolib`."""

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


class Aes:
    """CBC from `iv` on, or ECB where it is None. As on a board, one object does one thing once."""

    def __init__(self, key: bytes, iv: bytes | None) -> None:
        self._cipher = Cipher(algorithms.AES128(key), modes.CBC(iv) if iv else modes.ECB())  # noqa: S305

    def encrypt(self, data: bytes) -> bytes:
        return self._cipher.encryptor().update(data)

    def decrypt(self, data: bytes) -> bytes:
        return self._cipher.decryptor().update(data)
