"""Decoders that only run on MicroPython: the provisioning bundle, and all that comes down from the broker."""

import json

from device import provision
from device.authority import Authority
from device.clock import Clock
from device.config_store import NumberFile
from device.counters import Counters
from device.identity import Identity
from device.journal_store import JournalStore
from device.policy import ConfigKeeper
from device.recorder import Recorder
from device.uplink import Uplink
from protocol import envelope
from protocol.command import CommandGate


class Door:
    """What an authority asks of it."""

    def __getattr__(self, name):
        return lambda *arguments: None


class Board:
    """Parts as in `device.parts`, but for the door, which needs pins."""

    def __init__(self, base):
        self.counters = Counters()
        self.kinds = {"t": (lambda: 1, lambda path, version: None)}
        self.identity = Identity(base)
        self.clock = Clock(NumberFile(base + "/floor"))
        self.config = ConfigKeeper(
            base + "/config", self.identity.config_key, self.identity.device_id, self.counters
        )
        store = JournalStore(base + "/journal", self.identity.begin_boot())
        self.recorder = Recorder(store, self.clock, self.counters)
        self.gate = CommandGate(self.identity.device_id, self.identity.boot)
        self.door = Door()
        self.door_changed = lambda: None
        self.authority = Authority(self)
        self.config_changed = lambda: None


class Context:
    """What an uplink asks of its TLS context."""

    peer = ""


def of_a_board(bundle, sealed):
    """(name, function, valid inputs) of each, for a board that was provisioned with that bundle."""
    provision.apply(bundle, "lw")
    parts = Board("lw")
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
    found.append(("down_chunk", lambda raw: down("chunk", raw), pieces))
    found.append(("provisioning", provision._Bundle, (bundle, "[" * 3000)))
    return found
