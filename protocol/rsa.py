"""RSA-3072 signatures, PKCS #1 v1.5 with SHA-256 (RFC 8017, 8.2.2), e = 65537: verification alone.

The encoding is built and compared whole, never parsed: what a lenient parser lets through has no place here.
"""

from protocol.errors import BadMac, Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from protocol.keys import Buffer

SIGNATURE_SIZE = 384
_E = 65537
# DigestInfo of SHA-256, RFC 8017, 9.2, note 1
_PREFIX = bytes.fromhex("003031300d060960864801650304020105000420")
_PADDING = b"\0\1" + b"\xff" * (SIGNATURE_SIZE - 2 - 20 - 32)


def verify(modulus: "Buffer", digest: bytes, signature: "Buffer") -> None:
    """Check a signature of the data with this SHA-256; raise Malformed for another size, BadMac if it does not fit."""
    if len(modulus) != SIGNATURE_SIZE or modulus[0] < 0x80:
        raise Malformed("rsa_key")
    if len(signature) != SIGNATURE_SIZE:
        raise Malformed("rsa_size")
    n, s = int.from_bytes(modulus, "big"), int.from_bytes(signature, "big")
    if s >= n or pow(s, _E, n).to_bytes(SIGNATURE_SIZE, "big") != _PADDING + _PREFIX + digest:
        raise BadMac("rsa_signature")
