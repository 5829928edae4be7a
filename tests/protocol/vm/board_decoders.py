"""Decoders that only run on MicroPython: the provisioning bundle, and all that comes down from the broker."""

# ruff: noqa: PTH123  (MicroPython)

import json
from hashlib import sha256

import cryptolib

from device import inbox, provision
from device.carrier import Carrier
from device.certificate import Certificate
from device.parts import Parts
from device.uplink import Uplink
from protocol import envelope
from protocol.osdp_secure import Session


class Context:
    """What an uplink asks of its TLS context."""

    peer = ""


def aes(key, iv):
    """A fresh one for each call, as `device` makes them."""

    class Cipher:
        def encrypt(self, data):
            return cryptolib.aes(key, 2 if iv else 1, iv).encrypt(data)

        def decrypt(self, data):
            return cryptolib.aes(key, 2 if iv else 1, iv).decrypt(data)

    return Cipher()


SCBK = bytes(range(16))
PROOF = aes(Session(aes, SCBK, bytes(8)).s_enc, None).encrypt(bytes(16))


def _open_session():
    session = Session(aes, SCBK, bytes(8))
    session.answer(b"\x03\x12\x01", bytes(17) + PROOF)
    return session


COVERED = _open_session().cover(b"\x48data")[1][1:]


def osdp_answer(wire):
    return Session(aes, SCBK, bytes(8)).answer(wire[:3], wire[3:])


def osdp_reply(wire):
    """From the type of its security block on. Under a MAC that fits; and under one that need not."""
    wire = bytes(5) + b"\x02" + wire
    session = _open_session()
    mac = session._mac(wire)[:4]
    return session.open(wire + (mac if len(wire) % 5 else b"0000"), 7)


def of_a_board(bundle, sealed):
    """(name, function, valid inputs) of each, for a board that was provisioned with that bundle."""
    provision.apply(bundle, "lw")
    parts = Parts("lw")
    parts.kinds = {"t": (lambda: 1, lambda path, version: None)}
    uplink = Uplink(parts, None, Context())
    identity = parts.identity
    dev = identity.device_id
    now_s = parts.clock.floor + 100
    command = {"dev": dev, "boot": identity.boot, "seq": 1, "exp": now_s + 5, "args": {}}
    command.update(id="act_" + "0" * 16, op="unlock")
    offer = {"dev": dev, "kind": "t", "ver": 2, "size": 5000, "sha": "00" * 32}
    inner = json.loads(json.loads(bundle)["config"])["p"]
    below = (
        (
            "time",
            identity.time_key,
            envelope.LABEL_TIME,
            json.dumps({"dev": dev, "n": "00", "t": now_s * 1000}),
        ),
        ("command", identity.command_key, envelope.LABEL_COMMAND, json.dumps(command)),
        ("config", identity.config_key, envelope.LABEL_CONFIG, inner),
        ("update", identity.config_key, envelope.LABEL_OFFER, json.dumps(offer)),
    )

    def down(leaf, raw):
        """By its handler, for the reason; then as the session would, which counts and audits it, and raises nothing."""
        parts.clock.set(now_s * 1000, 1)
        uplink._nonce, uplink._asked_ms = "00", parts.clock.uptime_ms()
        if uplink._inbox is not None:
            uplink._inbox.request()  # a chunk is for what was asked for
        try:
            uplink._handlers[leaf](raw)
        finally:
            uplink._postponed = None
            uplink.received(uplink._prefix + leaf, raw)

    def within_its_seal(leaf, key, label):
        return lambda text: down(leaf, sealed(key, label, text).encode())

    found = [("down_" + leaf, within_its_seal(leaf, key, label), (text,)) for leaf, key, label, text in below]
    pieces = [
        bytes(8) + at.to_bytes(4, "big") + bytes(2048) for at in (0, 2048, 4096)
    ]  # the last is too long
    found += carried(parts, sealed)
    found.append(("down_chunk", lambda raw: down("chunk", raw), pieces))
    certificate = Certificate(identity)

    def renewed(raw):
        with open("renewed.der", "wb") as f:
            f.write(raw)
        certificate.take("renewed.der", 1)

    with open("lw/certificate.der", "rb") as f:
        found.append(("renewed_certificate", renewed, (f.read(),)))
    found.append(("osdp_answer", osdp_answer, (b"\x03\x12\x01" + bytes(17) + PROOF,)))
    found.append(("osdp_reply", osdp_reply, (b"\x16\x40", b"\x18\x48" + COVERED)))
    found.append(("provisioning", provision._Bundle, (bundle, "[" * 3000) + tuple(wrong_bundles(bundle))))
    return found


class Central:
    """What a carrier asks of a connection."""

    handle, load = 1, None

    def progress(self):
        """It did something."""


def carried(parts, sealed):
    """What phones carry: an offer, within its seal and as it comes; and the pieces of one that was taken."""
    parts.kinds["revocations"] = (lambda: 1, lambda path, version: None)
    identity = parts.identity
    file = bytes(300)
    sums = sha256(file).digest()[:8].hex()
    offer = {"dev": identity.device_id, "kind": "revocations", "ver": 2, "size": 300, "sums": sums}
    offer["sha"] = sha256(file).digest().hex()
    text = json.dumps(offer)
    good = sealed(identity.config_key, envelope.LABEL_OFFER, text).encode()

    def take(central, message):
        parts.inbox = None  # nothing is under way, nothing has failed
        try:
            Carrier(parts, None).take(central, message)
        finally:
            parts.inbox = None

    def pieces(raw):
        inbox.remove_file(inbox.path_of(identity.base) + ".offer")
        one = Central()
        parts.inbox = None
        carrier = Carrier(parts, None)
        carrier.take(one, b"\x14" + good)
        try:
            carrier.take(one, raw or b"\0")
        finally:
            parts.inbox = None

    return [
        (
            "carried_offer",
            lambda text: take(
                Central(), b"\x14" + sealed(identity.config_key, envelope.LABEL_OFFER, text).encode()
            ),
            (text,),
        ),
        ("carried", lambda raw: take(Central(), b"\x14" + raw), (good,)),
        ("carried_piece", pieces, (b"\x15" + bytes(4) + file[:232], b"\x14" + good)),
    ]


def wrong_bundles(bundle):
    """The bundle with one field of no use, for each: random damage to its long texts seldom gets past the JSON."""
    for name in sorted(json.loads(bundle)):
        wrong = json.loads(bundle)
        wrong[name] = "AAAA" if name in ("k_dev", "certificate") else None
        yield json.dumps(wrong)
