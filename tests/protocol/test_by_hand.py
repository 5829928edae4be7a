"""The protocol a second time, from SPEC.md alone, with hmac, hashlib and cryptography: it agrees with the vectors.

The vectors are made by the product's code; this is what keeps them from being its mistakes.
"""

import base64
import hashlib
import hmac
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.device.on_vm import ROOT


def _vectors(topic):
    text = (ROOT / "protocol" / "vectors" / f"{topic}.json").read_text()
    return {vector["name"]: vector for vector in json.loads(text)["vectors"]}


def _unhex(text):
    return bytes.fromhex(text)


def _mac(key, *parts):
    return hmac.digest(key, b"".join(parts), "sha256")


def _hkdf(k_dev, label):
    return HKDF(hashes.SHA256(), 32, b"latchwork/1", label).derive(k_dev)


def _u16(number):
    return number.to_bytes(2, "big")


def _u32(number):
    return number.to_bytes(4, "big")


K_DEV = bytes(range(32))
K_EPOCH = _mac(_hkdf(K_DEV, b"credential"), b"epoch\x01")


def _token():
    given = _vectors("credential")["token"]["out"]
    return b"".join(
        (
            b"\x01",
            bytes((given["epoch"],)),
            _unhex(given["credential_id"]),
            _u32(given["generation"]),
            _u32(given["not_before"]),
            _u32(given["not_after"]),
            _u16(given["flags"]),
            _u16(given["schedule_id"]),
        )
    )


def _chal():
    given = _vectors("handshake")["challenge"]["out"]
    return b"".join(
        (
            b"\x11\x01",
            _unhex(given["door"]),
            _u32(given["boot"]),
            _unhex(given["nonce"]),
            _u32(given["time"]),
            _u16(given["uncertainty"]),
            _u32(given["rev_seq"]),
        )
    )


def _auth(caveats):
    """AUTH, and the key that it was made with."""
    given = _vectors("handshake")["prove"]["in"]
    key = _mac(K_EPOCH, b"cred", _token())
    for caveat in caveats:
        key = _mac(key, b"cav", caveat)
    body = b"\x12" + bytes((given["action"],)) + _unhex(given["nonce"]) + _token() + b"".join(caveats)
    return body + _mac(key, b"auth", _chal(), body)[:16], key


LABELS = ("command", "time", "config", "journal", "table", "lookup")


def test_the_tree_of_keys():
    tree = _vectors("keys")["tree"]["out"]
    root = _hkdf(K_DEV, b"credential")
    assert tree == {
        "credential_root": root.hex(),
        "epoch_0": _mac(root, b"epoch\x00").hex(),
        "epoch_1": K_EPOCH.hex(),
        **{label: _hkdf(K_DEV, label.encode()).hex() for label in LABELS},
        "osdp": _hkdf(K_DEV, b"osdp")[:16].hex(),
    }


def test_token_caveats_and_keys():
    vectors = _vectors("credential")
    assert vectors["token"]["in"]["wire"] == _token().hex()
    key = _mac(K_EPOCH, b"cred", _token())
    assert vectors["mint"]["out"] == key.hex()
    until = b"\x02\x04" + _u32(1_800_003_600)
    shared = _mac(key, b"cav", until)
    assert vectors["attenuate"]["out"] == shared.hex()
    assert vectors["attenuate_again"]["out"] == _mac(shared, b"cav", b"\x04\x01\x02").hex()


def test_challenge_proof_and_result():
    vectors = _vectors("handshake")
    assert vectors["challenge"]["in"]["wire"] == _chal().hex()
    auth, key = _auth([])
    assert vectors["prove"]["out"] == vectors["auth"]["in"]["wire"] == auth.hex()
    caveats = [_unhex(item) for item in vectors["prove_shared"]["in"]["caveats"]]
    assert vectors["prove_shared"]["out"] == _auth(caveats)[0].hex()
    out = vectors["result"]["out"]
    body = (
        b"\x13" + bytes((out["status"],)) + _u32(out["audit_seq"]) + _u32(out["rev_seq"]) + _u32(out["time"])
    )
    assert vectors["result"]["in"]["wire"] == (body + _mac(key, b"rslt", auth[-16:], body)[:16]).hex()


def test_fragments():
    auth, _ = _auth([])
    vectors = _vectors("fragment")
    assert vectors["auth_at_mtu_185"]["out"] == [(b"\xc0" + auth).hex()]
    pieces = [auth[at : at + 19] for at in range(0, len(auth), 19)]
    headers = (0x80, 1, 2, 0x43)
    expected = [(bytes((header,)) + piece).hex() for header, piece in zip(headers, pieces, strict=True)]
    assert vectors["auth_at_mtu_23"]["out"] == expected


def test_every_envelope_that_opens():
    labels = {"command": b"cmd", "command_result": b"res", "config": b"cfg"}
    opened = 0
    for topic in ("envelope", "command", "time", "config"):
        for vector in _vectors(topic).values():
            given = vector["in"]
            if "error" in vector or "text" not in given or vector["op"] == "object":
                continue
            label = labels[vector["op"]] if vector["op"] in labels else given["label"].encode()
            outer = json.loads(given["text"])
            assert outer["m"] == _mac(_unhex(given["key"]), label, b"\0", outer["p"].encode())[:16].hex()
            opened += 1
    assert opened >= 7


def test_the_journal():
    vectors = _vectors("journal")
    key, digest = _hkdf(K_DEV, b"journal"), bytes(32)
    for seq, raw in enumerate(map(_unhex, vectors["chain"]["in"]["records"]), 1):
        assert raw[2:6] == _u32(seq)
        assert raw[30:] == _mac(key, digest, raw[:30])[:16]
        digest, key = hashlib.sha256(raw).digest(), _mac(key, b"next")
    assert vectors["chain"]["out"] == {"seq": 4, "digest": digest.hex(), "key": key.hex()}
    fields = vectors["record"]["out"]
    body = b"".join(
        (
            b"\x01",
            bytes((fields["type"],)),
            _u32(fields["seq"]),
            _u32(fields["boot"]),
            _u32(fields["time"]),
            _u16(fields["uncertainty"]),
            bytes((fields["method"], fields["status"])),
            _unhex(fields["subject"]),
            _u32(fields["value"]),
        )
    )
    assert _unhex(vectors["record"]["in"]["wire"])[:30] == body
    sent = json.loads(_vectors("messages")["events"]["out"])["r"]
    assert [base64.b64decode(item).hex() for item in sent] == vectors["chain"]["in"]["records"][:2]
