"""Decoders that only run on MicroPython: the provisioning bundle, and all that comes down from the broker."""

import json
from hashlib import sha256

import cryptolib

from device import inbox, provision
from device.carrier import Carrier
from protocol import envelope
from protocol.osdp_secure import Session


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


def of_a_board(board):
    """(name, function, valid inputs) of each."""
    identity = board.parts.identity
    command = {"dev": identity.device_id, "boot": identity.boot, "seq": 1, "exp": board.now_s + 5, "args": {}}
    command.update(id="act_" + "0" * 16, op="unlock")
    time = {"dev": identity.device_id, "n": "00", "t": board.now_s * 1000}
    offer = board.offer("t", b"", size=5000, sha="00" * 32)
    below = (
        ("time", identity.time_key, envelope.LABEL_TIME, json.dumps(time)),
        ("command", identity.command_key, envelope.LABEL_COMMAND, json.dumps(command)),
        ("config", identity.config_key, envelope.LABEL_CONFIG, board.config_text),
        ("update", identity.config_key, envelope.LABEL_OFFER, offer),
    )

    def within_its_seal(leaf, key, label):
        return lambda text: board.down(leaf, board.sealed(key, label, text).encode())

    found = [("down_" + leaf, within_its_seal(leaf, key, label), (text,)) for leaf, key, label, text in below]
    pieces = [
        bytes(8) + at.to_bytes(4, "big") + bytes(2048) for at in (0, 2048, 4096)
    ]  # the last is too long
    found += carried(board)
    found.append(("down_chunk", lambda raw: board.down("chunk", raw), pieces))
    found.append(("renewed_certificate", board.renew, (board.shown,)))
    found.append(("osdp_answer", osdp_answer, (b"\x03\x12\x01" + bytes(17) + PROOF,)))
    found.append(("osdp_reply", osdp_reply, (b"\x16\x40", b"\x18\x48" + COVERED)))
    return found


class Central:
    """What a carrier asks of a connection."""

    handle, load = 1, None

    def progress(self):
        """It did something."""


async def tell(_central, _message):
    """The phone is notified."""


def carried(board):
    """What phones carry: an offer, within its seal and as it comes; and the pieces of one that was taken."""
    parts = board.parts
    file = bytes(300)
    text = board.offer("revocations", file, sums=sha256(file).digest()[:8].hex())
    good = board.seal(envelope.LABEL_OFFER, text)

    def take(*messages):
        inbox.remove_file(inbox.path_of(parts.identity.base) + ".offer")
        parts.inbox = None  # nothing is under way, nothing has failed
        central, carrier = Central(), Carrier(parts, tell)
        try:
            for message in messages:
                carrier.take(central, message)
        finally:
            board.tasks.run()

    return [
        ("carried_offer", lambda text: take(b"\x14" + board.seal(envelope.LABEL_OFFER, text)), (text,)),
        ("carried", lambda raw: take(b"\x14" + raw), (good,)),
        (
            "carried_piece",
            lambda raw: take(b"\x14" + good, raw or b"\0"),
            (b"\x15" + bytes(4) + file[:232], b"\x14" + good),
        ),
    ]


def of_provisioning(bundle):
    """(name, function, valid inputs)."""
    return "provisioning", provision._Bundle, (bundle, "[" * 3000) + tuple(wrong_bundles(bundle))


def wrong_bundles(bundle):
    """The bundle with one field of no use, for each: random damage to its long texts seldom gets past the JSON."""
    for name in sorted(json.loads(bundle)):
        wrong = json.loads(bundle)
        wrong[name] = "AAAA" if name in ("k_dev", "certificate") else None
        yield json.dumps(wrong)
