"""The provisioned board that the fuzzer feeds, and what brings its bounded state to the same point.

No object is made anew meanwhile, so that one which loses heap has it still when that is measured. What is bounded is filled,
not emptied: it shows if its bound does not hold.
"""

# ruff: noqa: PTH123  (MicroPython)

import asyncio
import json
from asyncio import core
from hashlib import sha256

from device import counters, journal_store, provision
from device import update as _update  # noqa: F401  (the firmware loads it when it is needed)
from device.certificate import Certificate
from device.parts import Parts
from device.uplink import Uplink
from protocol import envelope, journal
from protocol.command import Command
from protocol.errors import Malformed

BASE = "lw"
# Bounds of the firmware that have no name on the VM.
RESULTS, FAILED, QUEUED = 8, 8, 4


class Tasks:
    """What the firmware began, run to its end; an error that ends a task goes through."""

    def __init__(self):
        self._error = None
        asyncio.get_event_loop().set_exception_handler(self._failed)

    def _failed(self, _loop, context):
        self._error = context["exception"]

    async def _ended(self):
        while core._task_queue.peek():
            await asyncio.sleep_ms(1)

    def run(self):
        if core._task_queue.peek():
            asyncio.run(self._ended())
        error, self._error = self._error, None
        if error is not None:
            raise error


def _fill_ring():
    """The journal as it is after years; its old segments are there, and are not read."""
    size = journal_store.SEGMENT_RECORDS
    last = journal_store.MAX_SEGMENTS * size
    for first in range(1, last, size):
        with open(BASE + f"/journal/{first:08x}", "wb") as f:
            f.write(bytes(size * journal.RECORD_SIZE))
    chain = journal.ChainState(last, bytes(32), bytes(32))
    journal_store._write_state(BASE + "/journal", chain, last)


class Board:
    """`sealed(key, label, text)` makes an envelope around any text."""

    def __init__(self, bundle, sealed):
        provision.apply(bundle, BASE)
        _fill_ring()
        self.sealed = sealed
        self.tasks = Tasks()
        self.parts = parts = Parts(BASE)
        parts.kinds["t"] = parts.kinds["revocations"] = (lambda: 1, lambda path, version: None)
        self.certificate = Certificate(parts.identity)
        self.uplink = Uplink(parts, None, self.certificate)
        self.inbox = parts.inbox
        self.now_s = parts.clock.floor + 100
        self.config_text = json.loads(json.loads(bundle)["config"])["p"]
        with open(BASE + "/certificate.der", "rb") as f:
            self.shown = f.read()
        self._floor = parts.clock.floor
        self._config, self._epoch = parts.config.current, parts.config.epoch

    def seal(self, label, text):
        """As the cloud seals what is no command and no time."""
        return self.sealed(self.parts.identity.config_key, label, text).encode()

    def offer(self, kind, file, **more):
        """Text of an offer of that file."""
        offer = {"dev": self.parts.identity.device_id, "kind": kind, "ver": 2, "size": len(file)}
        offer["sha"] = sha256(file).digest().hex()
        offer.update(more)
        return json.dumps(offer)

    def put_back(self):
        """Each input meets the same floor, configuration and replay window: after a few, nothing would get past them."""
        parts, uplink = self.parts, self.uplink
        parts.clock.floor = parts.clock._kept.value = self._floor
        parts.clock._clock._first = None  # no crystal was measured
        parts.clock.set(self.now_s * 1000, 1)
        parts.config.current, parts.config.epoch = self._config, self._epoch
        parts.gate._high = parts.gate._bitmap = 0
        uplink._nonce, uplink._asked_ms = "00", parts.clock.uptime_ms()
        uplink._postponed = None
        parts.inbox = self.inbox

    def down(self, leaf, raw):
        """By its handler, for the reason; then as the session would, which counts and audits it, and raises nothing."""
        self.put_back()
        self.inbox.request()  # a chunk is for what was asked for
        try:
            self.uplink._handlers[leaf](raw)
        finally:
            self.uplink._postponed = None
            self.receive(leaf, raw)
            self.tasks.run()

    def receive(self, leaf, raw):
        """As the session does."""
        self.uplink.received(self.uplink._prefix + leaf, raw)

    def renew(self, certificate):
        """A renewed certificate came as a file."""
        with open("renewed.der", "wb") as f:
            f.write(certificate)
        try:
            self.certificate.take("renewed.der", 1)
        except ValueError:  # of TLS, which the inbox refuses as `fault`
            raise Malformed("fault") from None

    def settle(self):
        """Bring all that is bounded to the same point."""
        parts = self.parts
        self.put_back()
        self.tasks.run()
        self.receive("config", self.seal(envelope.LABEL_CONFIG, self._newer()))
        for leaf in ("config", "command"):
            self.receive(leaf, b"")
        self.renew(self.shown)
        for _ in range(RESULTS):
            self.uplink._answer(Command("act_" + "0" * 16, 1, 1, "unlock", {}), True, "granted", 1)
        self._settle_inbox()
        for n in range(counters.MAX_REASONS):
            parts.counters.up("fuzz_" + str(n))
        while len(parts.recorder.store._pending) < journal_store.MAX_PENDING:
            parts.recorder.record(journal.EVENT_BOOT)

    def _newer(self):
        raw = json.loads(self.config_text)
        raw["ver"] += 1
        return json.dumps(raw)

    def _settle_inbox(self):
        files = self.inbox
        for _ in range(1 + QUEUED):  # the one under way, and those behind it
            files._drop()
        for n in range(len(files._failed), FAILED):
            file = bytes((n,))
            files.offer(self.seal(envelope.LABEL_OFFER, self.offer("t", file)))
            files.chunk(sha256(file).digest()[:8] + bytes(4) + b"x", True)
            self.tasks.run()
        for kind in ("t", "revocations"):
            files.offer(self.seal(envelope.LABEL_OFFER, self.offer(kind, kind.encode())))
