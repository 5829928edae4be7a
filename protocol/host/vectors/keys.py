"""Vectors of HMAC (RFC 4231), HKDF (RFC 5869), the key tree, and pins."""

import datetime
import hashlib

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from protocol import keys as k
from protocol.host.vectors.case import DEVICE_ID, K_DEV, Vector, bad, good

_LONG_KEY = b"Test Using Larger Than Block-Size Key - Hash Key First"
_LONG_DATA = (
    b"This is a test using a larger than block-size key and a larger than block-size data. "
    b"The key needs to be hashed before being used by the HMAC algorithm."
)
# Key, data and the first 16 bytes or all of the MAC, as RFC 4231 section 4 prints them.
_RFC_4231 = (
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    (b"\x0c" * 20, b"Test With Truncation", "a3b6167473100ee06e0c796c2955552b"),
    (b"\xaa" * 131, _LONG_KEY, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    (b"\xaa" * 131, _LONG_DATA, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
)
# Input keying material, salt, info and output of RFC 5869 appendices A.1 to A.3.
_RFC_5869 = (
    (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c"
        "59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71"
        "cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        b"\x0b" * 22,
        b"",
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
)


def keys() -> list[Vector]:
    """Published vectors first: what is below them stands on them."""
    out = [
        good(f"rfc4231_{n}", "hmac", {"key": key, "data": data}, mac)
        for n, (key, data, mac) in enumerate(_RFC_4231, 1)
    ]
    for n, (ikm, salt, info, okm) in enumerate(_RFC_5869, 1):
        given = {"ikm": ikm, "salt": salt, "info": info, "length": len(okm) // 2}
        out.append(good(f"rfc5869_a{n}", "hkdf", given, okm))
    root = k.credential_root(K_DEV)
    tree = {
        "credential_root": root,
        "epoch_0": k.epoch_key(root, 0),
        "epoch_1": k.epoch_key(root, 1),
        "command": k.command_key(K_DEV),
        "time": k.time_key(K_DEV),
        "config": k.config_key(K_DEV),
        "journal": k.journal_key(K_DEV),
        "table": k.table_key(K_DEV),
        "lookup": k.lookup_key(K_DEV),
        "osdp": k.osdp_key(K_DEV),
    }
    out.append(good("tree", "tree", {"k_dev": K_DEV}, tree))
    return out


def _certificate() -> tuple[bytes, bytes]:
    """A certificate for a P-256 key, and its SubjectPublicKeyInfo. Ed25519 signs it, which is deterministic."""
    key = ec.derive_private_key(int.from_bytes(bytes(range(1, 33)), "big"), ec.SECP256R1()).public_key()
    authority = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, DEVICE_ID)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Fleet CA")]))
        .public_key(key)
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .sign(authority, None)
    )
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_bytes(serialization.Encoding.DER), spki


def pins() -> list[Vector]:
    """Pins of a certificate, and certificates that are none."""
    der, spki = _certificate()
    pin = hashlib.sha256(spki)
    return [
        good("certificate", "pin", {"wire": der}, {"spki": spki, "pin": pin.digest()}),
        bad("empty", "pin", {"wire": b""}, "der_tag"),
        bad("trailing", "pin", {"wire": der + b"\0"}, "der_trailing"),
        bad("indefinite_length", "pin", {"wire": b"\x30\x80\0\0"}, "der_length"),
        bad("long_form_of_a_short_length", "pin", {"wire": b"\x30\x81\x02\x30\0"}, "der_length"),
        bad("truncated", "pin", {"wire": der[:-1]}, "der_truncated"),
        bad("too_large", "pin", {"wire": b"\x30\x82" + bytes(4096)}, "der_size"),
    ]
