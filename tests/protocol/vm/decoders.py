"""What the fuzzer feeds: every decoder that a stranger's bytes, or a damaged flash, may reach.

An operation of the vectors joins by its input's `wire` or `text`, and is here only to be sealed anew after the damage.
What has no such vector joins with a function of one input, under `@decoder` and valid inputs.
"""

# ruff: noqa: PTH102, PTH107, PTH123, SIM105, B904, UP031  (MicroPython)

import json
import os
import struct
import sys

from device import config_store, journal_store, pinmap
from device.json_members import members, value
from device.policy import parse_config
from protocol import access, clock, credential, envelope, handshake, journal, keys, wiegand
from protocol.command import CommandGate
from protocol.errors import Malformed
from protocol.fragment import Reassembler
from protocol.keypad import PinEntry

DECODERS = {}
settle = None  # brings what the decoders keep, within bounds, to the same point
# By operation of the vectors, the label its envelope is sealed with: without a fitting seal nothing inside is read.
LABELS = {
    "open": None,  # in the vector itself
    "command": envelope.LABEL_COMMAND,
    "command_result": envelope.LABEL_RESULT,
    "config": envelope.LABEL_CONFIG,
    "transfer_offer": envelope.LABEL_OFFER,
}
ROOT = bytes(range(32))
# What takes a flash, or a whole configuration, gets an eighth of the others' inputs.
SELDOM = ("config", "config_payload", "slot_file", "journal_state", "journal_segment", "manifest", "rsa")
DEVICE, DOOR = "dev_" + "0" * 16, bytes(8)
BUNDLE = "bundle.json"  # beside the fuzzer: what a station would send


def decoder(*seeds):
    """Register a function of one input; `seeds` are inputs that it takes."""

    def register(function):
        DECODERS[function.__name__] = function, seeds
        return function

    return register


def sealed(key, label, text):
    """An envelope around any text."""
    mac = keys.hmac_sha256(key, label, b"\0", text.encode())[: keys.MAC_SIZE].hex()
    return json.dumps({"p": text, "m": mac})


TOKEN = credential.Token(epoch=1, credential_id=b"anna0001", not_before=1000, not_after=9000).encode()
CAVEATS = credential.caveat(credential.CAVEAT_DOOR, DOOR) + credential.caveat(
    credential.CAVEAT_NOT_AFTER, bytes((0, 0, 16, 0))
)


@decoder(b"\x12\x01" + bytes(16) + TOKEN, b"\x12\x01" + bytes(16) + TOKEN + CAVEATS)
def proof_with_a_key(body):
    """Token and caveats under a MAC that fits, up to the decision: who holds a key may write what he likes."""
    side = handshake.DoorSide(DOOR, 1)
    challenge = side.challenge(bytes(16), 0, None, 0)
    key = keys.epoch_key(ROOT, body[19] if len(body) > 19 else 0)
    key = credential.mint(key, body[18:44])
    try:
        for item in credential.split_caveats(body[44:]):
            key = credential.attenuate(key, item)
    except Malformed:
        pass
    mac = keys.hmac_sha256(key, b"auth", challenge, body)[: keys.MAC_SIZE]
    auth = side.receive_auth(body + mac, 0, ROOT)
    grant = credential.Grant(auth.token, auth.caveats)
    now = clock.Interval(2000, 5)
    facts = access.Facts(1, grant=grant, action=auth.action, door_id=DOOR, epoch=1, clock=now)
    status = access.decide(facts)
    return side.result(auth, status, 1, 1, 0)


@decoder(
    '{"dev": "%s", "boot": 1, "id": "act_%s", "seq": 1, "exp": 1010, "op": "unlock", "args": {}}'
    % (DEVICE, "0" * 16)
)
def command_payload(text):
    return CommandGate(DEVICE, 1).admit(envelope.parse_object(text), clock.Interval(1000, 1)).seq


@decoder(
    '{"dev": "%s", "ver": 2, "rev": {"seq": 2, "creds": ["616e6e6130303031"], "gens": {"616e6e61": 3}}, "schedules": '
    '"00011f0001e00438", "tz": "UTC0", "policy": {"max_u_s": 60, "open_s": 0.5, "held_s": 30}}' % DEVICE
)
def config_payload(text):
    config = parse_config(text, DEVICE)
    schedule = config.schedule(1)
    return schedule is not None and schedule.allows(clock.Interval(1000, 5))


@decoder('{"a": [1, {"b": "\\"}"}], "c": {"d": null}} ')
def json_object(text):
    return [value(text, at, end) for _, at, end in members(text)]


@decoder('{"relay": 26, "rex": {"pin": 14, "invert": false, "pull": null}, "led": null}', "[" * 400)
def pin_map(text):
    try:
        return pinmap.parse(text)
    except ValueError:  # documented
        raise Malformed("pin_map")


@decoder("[[26, 8], [34, 17, 16, 1, 16, 0, 17179738112, 1, 131071]]")
def card_formats(text):
    wiegand.formats(envelope.parse_object('{"f": ' + text + "}").get("f"))


@decoder("1234#", "12*0123456789#")
def pin_keys(text):
    entry = PinEntry()
    return [entry.key(name, 1) for name in text]


@decoder(b"\x03\x80ab\x03\x01cd\x03\x42ef", b"\x03\xc0ab" * 3)
def fragments(wire):
    """Each piece after its length; the door's limits of a message."""
    joiner, at, whole = Reassembler(64), 0, None
    while at < len(wire):
        whole = joiner.push(wire[at + 1 : at + 1 + wire[at]])
        at += 1 + wire[at]
    return whole


CHAIN = journal.initial_state(ROOT)


@decoder(journal.append(CHAIN, journal.EVENT_BOOT)[0])
def chain_record(wire):
    """What follows in the chain, and what stands behind a hole."""
    if len(wire) > 6:
        wire = wire[:2] + b"\0\0\0" + wire[5:]  # a leap's cost is bounded elsewhere
    journal.anchor(CHAIN, wire)
    return journal.verify(CHAIN, wire)[0].seq


def _put(name, raw):
    with open(name, "wb") as f:
        f.write(raw)


@decoder(config_store._header(1, b"payload") + b"payload")
def slot_file(raw):
    _put("slot.0", raw)
    found = config_store.SlotFile("slot").load()
    if found is None:
        raise Malformed("slot")
    return found


def _journal(state, segment):
    """A journal of damaged files is one that goes on, whatever they hold."""
    try:
        os.mkdir("damaged")
    except OSError:
        pass
    for name in os.listdir("damaged"):
        os.remove("damaged/" + name)
    _put("damaged/state", state)
    _put("damaged/00000001", segment)
    store = journal_store.JournalStore("damaged", 1)
    before = store.committed
    store.add(journal.EVENT_BOOT)
    store.commit()
    assert store.committed == before + 1 == store.sequence
    assert len(store.read(before, 2)[1]) == 1
    store._close()


STATE = struct.pack(">4sII32s32s", b"LWJ1", 0, 0, CHAIN.digest, CHAIN.key)
STATE += struct.pack(">I", config_store.binascii.crc32(STATE) & 0xFFFFFFFF)
SEGMENT = b""
for _ in range(3):
    _record, CHAIN = journal.append(CHAIN, journal.EVENT_BOOT)
    SEGMENT += _record
CHAIN = journal.initial_state(ROOT)


@decoder(STATE)
def journal_state(raw):
    return _journal(raw, SEGMENT)


@decoder(SEGMENT)
def journal_segment(raw):
    return _journal(STATE, raw)


if sys.implementation.name == "micropython":
    from tests.protocol.vm.board import Board
    from tests.protocol.vm.board_decoders import of_a_board, of_provisioning

    with open(BUNDLE) as f:
        _bundle = f.read()
    _board = Board(_bundle, sealed)
    settle = _board.settle
    for _name, _function, _seeds in of_a_board(_board) + [of_provisioning(_bundle)]:
        DECODERS[_name] = _function, _seeds
