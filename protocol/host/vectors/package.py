"""Vectors of firmware packages: signatures as they must be, and as lenient verifiers have taken them."""

import hashlib
from typing import Any

from protocol.host.vectors.case import Parts, Vector, bad, flipped, good, joined
from protocol.manifest import MANIFEST_SIZE, Manifest
from protocol.rsa import SIGNATURE_SIZE

# The primes of a key that signs nothing but these vectors.
_P = int(
    "deaab39dbe22ff6c5a85d9cc14ac8d54c8c156e3af3702013fc72c8991e5fea7c0dd4bdfe40ffbe3cfd101ce13f0b348"
    "c40f5214e39827378365f1b23d7abf6633da7e3672baf29706e53d10a2af31a630bc731cfadad5ebb8ca272df774a30d"
    "f04a0596cd86749749d0acaea36f8282aa1d3a751997bb82bfa16cfd60a76dc7d4239f00355bc062789eb6cf1a8c9f22"
    "9dca9ad65f7dd32c263977def9bfc0619466a1e373f3b87982e4f4ab9542f38a9d7376f7bbb6a5824fdae5d0e021e8cb",
    16,
)
_Q = int(
    "c4793d45f01899237f0201fbf6b9880a2dc7af71ebfe53904db35aaab0065babdfe63f9e4f7ebbc74577651f94e12f3a"
    "ee0daddbbad2de9a0268485246f8cd43c35ef4ad3284b3a412fd9ea1ac32a6e4187e8f93f0217b3bde63a52ac512e59d"
    "5d93aaf825a9cebe8d5b1f5406519786fe06a218d25abba24e577625d3130291e1ddb8031b82e864bb88c61dfed91258"
    "ac884ce6d0b389d909d7a4c296962ec5d3ee1ac800a01e9a27b22b35ede5e983f06259926097c9c18b18b6b139cb52cf",
    16,
)
N = _P * _Q
_D = pow(65537, -1, (_P - 1) * (_Q - 1))
_MODULUS = N.to_bytes(SIGNATURE_SIZE, "big")
_OID = "0609608648016503040201"  # SHA-256
_INFO = bytes.fromhex(f"3031300d{_OID}05000420")


def raw(encoded: bytes) -> bytes:
    """The signature whose encoding is this: what only who has the key can make."""
    return pow(int.from_bytes(encoded, "big"), _D, N).to_bytes(SIGNATURE_SIZE, "big")


def _encoded(
    digest: bytes, info: bytes = _INFO, *, head: bytes = b"\0\1", fill: int = 0xFF, tail: bytes = b""
) -> bytes:
    content = b"\0" + info + digest + tail
    return head + bytes((fill,)) * (SIGNATURE_SIZE - 2 - len(content)) + content


def _signed(data: bytes) -> bytes:
    return raw(_encoded(hashlib.sha256(data).digest()))


def _with_multiple() -> tuple[bytes, bytes]:
    """A digest whose signature, plus the modulus, is still 384 bytes: the same number to who does not compare."""
    for n in range(1000):
        digest = hashlib.sha256(n.to_bytes(2, "big")).digest()
        larger = int.from_bytes(raw(_encoded(digest)), "big") + N
        if larger < 1 << 8 * SIGNATURE_SIZE:
            return digest, larger.to_bytes(SIGNATURE_SIZE, "big")
    raise AssertionError("no such digest")


def _signatures() -> list[Vector]:
    digest = hashlib.sha256(b"latchwork").digest()
    given = {"modulus": _MODULUS, "digest": digest}

    def forged(name: str, encoded: bytes) -> Vector:
        assert len(encoded) == SIGNATURE_SIZE
        return bad(name, "rsa", {**given, "wire": raw(encoded)}, "rsa_signature")

    genuine = raw(_encoded(digest))
    tail = bytes(SIGNATURE_SIZE - 3 - 8 - len(_INFO) - 32)
    other, larger = _with_multiple()
    no_separator = b"\0\1" + b"\xff" * (SIGNATURE_SIZE - 2 - len(_INFO) - 32) + _INFO + digest
    sha1 = bytes.fromhex("3021300906052b0e03021a05000414")
    return [
        good("signature", "rsa", {**given, "wire": genuine}, True),
        bad("of_another_digest", "rsa", {**given, "digest": bytes(32), "wire": genuine}, "rsa_signature"),
        bad("one_bit_changed", "rsa", {**given, "wire": flipped(genuine)}, "rsa_signature"),
        bad(
            "plus_the_modulus", "rsa", {"modulus": _MODULUS, "digest": other, "wire": larger}, "rsa_signature"
        ),
        bad("the_modulus", "rsa", {**given, "wire": _MODULUS}, "rsa_signature"),
        bad("zero", "rsa", {**given, "wire": bytes(SIGNATURE_SIZE)}, "rsa_signature"),
        bad("one", "rsa", {**given, "wire": bytes(SIGNATURE_SIZE - 1) + b"\1"}, "rsa_signature"),
        bad("all_ones", "rsa", {**given, "wire": b"\xff" * SIGNATURE_SIZE}, "rsa_signature"),
        bad("the_encoding_itself", "rsa", {**given, "wire": _encoded(digest)}, "rsa_signature"),
        forged("short_padding_and_a_tail", b"\0\1" + b"\xff" * 8 + b"\0" + _INFO + digest + tail),
        forged("one_byte_behind", _encoded(digest, tail=b"\0")),
        forged("no_separator", no_separator),
        forged("padding_of_encryption", _encoded(digest, head=b"\0\2")),
        forged("padding_of_zeros", _encoded(digest, fill=0)),
        forged("padding_with_another_byte", flipped(_encoded(digest), 100)),
        forged("oid_of_sha_384", _encoded(digest, _INFO.replace(b"\4\2\1", b"\4\2\2"))),
        forged("sha_1", _encoded(hashlib.sha1(b"latchwork").digest(), sha1)),  # noqa: S324 - what must be refused
        forged("without_parameters", _encoded(digest, bytes.fromhex(f"302f300b{_OID}0420"))),
        forged("long_lengths", _encoded(digest, bytes.fromhex(f"308131300d{_OID}05000420"))),
        forged("bare_digest", _encoded(digest, b"")),
        forged("digest_cut_short", _encoded(digest[:-1])),
        bad("signature_too_long", "rsa", {**given, "wire": b"\0" + genuine}, "rsa_size"),
        bad("key_of_2048_bits", "rsa", {**given, "modulus": _MODULUS[:256], "wire": genuine}, "rsa_key"),
        bad(
            "key_with_a_zero_in_front",
            "rsa",
            {**given, "modulus": b"\0" + _MODULUS[1:], "wire": genuine},
            "rsa_key",
        ),
        bad("no_key", "rsa", {**given, "modulus": b"", "wire": genuine}, "rsa_key"),
    ]


def package() -> list[Vector]:
    sha = hashlib.sha256(b"image").digest()
    parts: Parts = (
        (b"LWU1", "magic"),
        (b"latchwork-door\0\0", "product, filled up with zeros"),
        ("00000007", "version 7"),
        ("00000005", "floor 5"),
        ("0258", "trial: 600 s"),
        ("0000", "zeros"),
        ("00000005", "size of the image"),
        (sha, "SHA-256 of the image"),
    )
    manifest = joined(parts)
    assert manifest == Manifest("latchwork-door", 7, 5, 600, 5, sha).encode()

    def head(at: int = 0, new: bytes = b"") -> bytes:
        changed = manifest[:at] + new + manifest[at + len(new) :]
        return changed + _signed(changed)

    def refused(name: str, at: int, new: str, error: str) -> Vector:
        return bad(name, "manifest", {"modulus": _MODULUS, "wire": head(at, bytes.fromhex(new))}, error)

    out: dict[str, Any] = {
        "product": "latchwork-door",
        "version": 7,
        "floor": 5,
        "trial_s": 600,
        "size": 5,
        "sha256": sha,
    }
    signed = (*parts, (_signed(manifest), "signature of the 68 bytes before"))
    forged = manifest[:23] + b"\x08" + head()[24:]
    return [
        *_signatures(),
        good("manifest", "manifest", {"modulus": _MODULUS, "wire": head()}, out, signed),
        bad("forged_version", "manifest", {"modulus": _MODULUS, "wire": forged}, "rsa_signature"),
        bad("no_manifest", "manifest", {"modulus": _MODULUS, "wire": bytes(MANIFEST_SIZE)}, "manifest_size"),
        refused("another_magic", 0, "4c575532", "manifest_shape"),
        refused("no_product", 4, "00" * 16, "manifest_shape"),
        refused("zero_within_the_product", 6, "00", "manifest_shape"),
        refused("product_beyond_ascii", 4, "c3", "manifest_shape"),
        refused("something_for_the_zeros", 30, "0001", "manifest_shape"),
        refused("version_0", 20, "00000000", "manifest_number"),
        refused("floor_above_the_version", 24, "00000008", "manifest_number"),
        refused("no_trial", 28, "0000", "manifest_number"),
        refused("a_trial_of_a_day", 28, "ffff", "manifest_number"),
        refused("empty_image", 32, "00000000", "manifest_number"),
    ]
