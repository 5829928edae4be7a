"""The session with the site broker: state, time, journal, commands, configuration, counters.

Nothing here decides. A command goes through the gate and the authority, which energises the relay before
anything is written or sent. What the broker sends and we refuse is counted by reason, and never ends the
session.
"""

import asyncio
import binascii
import gc
import json
import os
import sys

from micropython import const

from device import door_table, inbox
from device.backoff import Backoff
from device.mqtt_client import MqttClient
from device.tls_socket import PinMismatch
from protocol import journal, messages, topics
from protocol.access import STATUS_GRANTED, STATUS_NAMES
from protocol.clock import build_time_request
from protocol.command import build_result
from protocol.envelope import LABEL_COMMAND, LABEL_RESULT, LABEL_TIME, open_sealed, seal
from protocol.errors import Expired, Malformed, ProtocolError, Replayed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, List, Optional, Tuple

    from device import chooser
    from device.certificate import Certificate
    from device.parts import Parts
    from device.wifi import Wifi
    from protocol.command import Command
    from protocol.keys import Buffer
else:
    import chooser

_FIRMWARE = const("0.1.0")
_ACK_MS = const(10_000)  # a batch that is not acknowledged by then is sent again
_TIME_AGAIN_MS = const(10_000)
_TIME_EVERY_MS = const(3_600_000)
_MAX_ROUND_TRIP_MS = const(10_000)  # a time that took longer says too little
# Both clocks count whole milliseconds: 1 in t, 2 in the round trip, 1 in what passes until it is used.
_ROUNDED_MS = const(4)
# 20 years after the floor: as the floor, a time beyond would have every true one refused.
_HORIZON_S = const(631_152_000)
_LOG_EVERY_MS = const(15_000)
_HOLE_EVERY_MS = const(3_600_000)
_HOLE_STEP = const(256)
_TICK_MS = const(5_000)
_MAX_RESULTS = const(8)
_BRACE = const(0x7B)
_FIRST_RETRY_MS = const(250)
# What nobody answers costs nobody: even a thousand doors may ask every few seconds whether the broker is there again.
_MAX_RETRY_MS = const(5_000)
# It is there and did not let us in: a thousand handshakes that come to nothing keep each other from an end.
_MAX_TURNED_AWAY_MS = const(20_000)
_AUDITED = {"command": journal.EVENT_COMMAND_REFUSED, "config": journal.EVENT_CONFIG_REFUSED}
_AUDIT_MS = const(10_000)
_AUDIT_MAX_MS = const(3_600_000)


class Uplink:
    """This board's side of the wire."""

    def __init__(self, parts: "Parts", wifi: "Wifi", certificate: "Certificate") -> None:
        self._parts = parts
        self._wifi = wifi
        self._certificate = certificate
        self._peer = ""  # pin of the broker that was let in last
        self._dev = parts.identity.device_id
        self._client = MqttClient(self._dev, self.received, parts.clock.uptime_ms)
        self._work = asyncio.Event()
        self._backoff = Backoff(_FIRST_RETRY_MS, _MAX_RETRY_MS)
        self._results: "List[bytes]" = []
        self._postponed: "Optional[Buffer]" = None  # a configuration; it stays where it was put together
        self._state_due = True
        self._batch_end = 0  # last sequence of the batch under way
        self._batch_ms = 0
        self._nonce = ""
        self._asked_ms = 0  # uptime, as all times here that may be days apart: ticks wrap
        self._time_due = True
        self._hole = self._hole_due = 0
        self._logged = 0
        self._logged_ms = -_LOG_EVERY_MS
        certificate.changed = self._show_certificate
        self._prefix = topics.down(self._dev, "ack")[: -len("ack")]
        self._audit_due: "Dict[Any, Tuple[int, int]]" = {}  # by event: when the next may be recorded, and the wait before
        self._config_refused = ""
        self._inbox = inbox.of(parts)
        self._inbox.news = self.news
        self._handlers: "Dict[str, Callable[[Buffer], Any]]" = {
            "command": self._command,
            "ack": self._ack,
            "time": self._time,
            "config": self._config,
            "update": self._inbox.offer,
            "chunk": self._inbox.chunk,
        }
        release = chooser.read(chooser.running)[0]
        self._firmware = _FIRMWARE + ("+" + str(release) if release else "")

    def _show_certificate(self) -> None:
        self._client.fail("certificate")

    def news(self) -> None:
        """There are new records, or the door's state changed."""
        self._work.set()

    def door_changed(self) -> None:
        """The door's state changed."""
        self._state_due = True
        self._work.set()

    async def run(self) -> None:
        """Connect, serve, and again, for ever."""
        counters = self._parts.counters
        while True:
            try:
                await self._wifi.join()
                await self._serve()
            except PinMismatch:
                counters.up("uplink_pin")
            except ProtocolError as e:
                counters.up("uplink_" + e.reason)
            except OSError as e:
                counters.up("uplink_lost")
                print("latchwork: uplink:", e)
            except MemoryError as e:
                counters.up("uplink_memory")
                sys.print_exception(e)
            self._apply_postponed()
            cap_ms = _MAX_TURNED_AWAY_MS if self._client.reached else _MAX_RETRY_MS
            await asyncio.sleep_ms(self._backoff.next_ms(cap_ms))

    async def _connect(self) -> None:
        broker = self._parts.identity.broker
        context = self._certificate.context()
        context.pins = self._parts.config.current.pins or broker["pins"]
        try:
            await self._client.connect(
                broker["host"], broker["port"], context, broker["server_name"], [self._prefix + "+"]
            )
        except OSError:
            self._certificate.not_let_in()
            raise
        self._peer = context.peer

    async def _serve(self) -> None:
        """One session, from connect to its end, which is always an exception."""
        tasks: "List[Any]" = []
        # What was asked in the last session is not answered in this one: nobody knows how old that answer is.
        self._nonce = ""
        try:
            await self._connect()
            self._parts.counters.up("uplink_connected")
            self._state_due = self._time_due = True
            self._logged_ms = -_LOG_EVERY_MS
            self._batch_end = 0
            self._work.set()
            self._inbox.ask_again()
            tasks = [asyncio.create_task(self._send()), asyncio.create_task(self._tick())]
            await self._client.run()
        finally:
            # First the writers, for a socket must not be closed under a task that waits for it.
            for task in tasks:
                task.cancel()
            self._client.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep_ms(_TICK_MS)
            self._backoff.reset()  # the session is steady; a poisoned one, or a handshake however long, is not
            if self._parts.clock.uptime_ms() - self._asked_ms > _TIME_EVERY_MS:
                self._time_due = True
            self._work.set()

    async def _send(self) -> None:
        """Send what is due, the most urgent first; wait for more."""
        try:
            while True:
                await self._work.wait()
                self._work.clear()
                await self._send_results()
                await self._send_time_request()
                await self._send_state()
                await self._send_events()
                await self._send_fetch()
                await self._send_log()
        except Exception as e:  # whatever it is: a session that sends nothing must not go on
            if not isinstance(e, OSError):
                sys.print_exception(e)
            self._parts.counters.up("uplink_write")
            self._client.fail("write")

    async def _send_results(self) -> None:
        while self._results:
            await (
                self._client.room()
            )  # first, for a result that was taken out and is not in flight is lost with us
            await self._publish("result", self._results.pop(0), again=True)

    async def _send_state(self) -> None:
        if not self._state_due:
            return
        self._state_due = False
        await self._publish("state", json.dumps(self._state()).encode())

    def _state(self) -> "Dict[str, Any]":
        parts = self._parts
        now = parts.clock.now()
        state = {
            "boot": parts.identity.boot,
            "jseq": parts.recorder.store.committed,
            "cfg": parts.config.current.version,
            "rev": parts.config.current.revocation,
            "epoch": parts.config.epoch,
            "fw": self._firmware,
            "door": door_table.STATE_NAMES[parts.door.state],
            "clk": [now.t, now.u] if now is not None else None,
            "drift_ppm": parts.clock.drift(),
            # That of the firmware is in `fw`, and asking for it would load what updates.
            "files": {kind: of[0]() for kind, of in parts.kinds.items() if kind != "firmware"},
        }
        if self._config_refused:
            state["cfg_refused"] = self._config_refused
        return state

    async def _send_time_request(self) -> None:
        now = self._parts.clock.uptime_ms()
        if self._nonce and now - self._asked_ms > _TIME_AGAIN_MS:
            self._time_due = True
        if not self._time_due:
            return
        self._time_due = False
        nonce = os.urandom(16)
        self._nonce = nonce.hex()
        self._asked_ms = now
        await self._publish("time", json.dumps(build_time_request(nonce)).encode())

    async def _send_events(self) -> None:
        """One batch under way at a time, so that the order is the journal's."""
        store = self._parts.recorder.store
        now = self._parts.clock.uptime_ms()
        if self._batch_end > store.acked and now - self._batch_ms < _ACK_MS:
            return
        first, records = store.read(store.acked, messages.MAX_RECORDS)
        if not records:
            return
        self._batch_end = first + len(records) - 1
        self._batch_ms = now
        await self._publish("events", messages.build_events(records))

    async def _send_fetch(self) -> None:
        request = self._inbox.request()
        if request:
            await self._publish("fetch", request)

    async def _send_log(self) -> None:
        counters = self._parts.counters
        now = self._parts.clock.uptime_ms()
        if counters.version == self._logged or now - self._logged_ms < _LOG_EVERY_MS:
            return
        self._logged = counters.version
        self._logged_ms = now
        gc.collect()  # so that the number is what is needed, not what happens to lie about
        report = {
            "counters": counters.snapshot(),
            "up": now // 1000,
            "heap": [gc.mem_alloc(), gc.mem_free(), self._largest_hole()],
        }
        await self._publish("log", json.dumps(report).encode())

    def _largest_hole(self) -> int:
        """The largest piece of heap that can be had, in bytes: what is free in small pieces holds no packet. Looked for
        once an hour, since every miss of the search collects garbage.
        """
        now = self._parts.clock.uptime_ms()
        if now >= self._hole_due:
            self._hole_due = now + _HOLE_EVERY_MS
            self._hole, high = 0, gc.mem_free()
            while high - self._hole > _HOLE_STEP:
                middle = (self._hole + high) // 2
                try:
                    bytearray(middle)
                    self._hole = middle
                except MemoryError:
                    high = middle
        return self._hole

    async def _publish(self, leaf: str, payload: bytes, again: bool = False) -> None:
        await self._client.publish(topics.up(self._dev, leaf), payload, again)

    def received(self, topic: str, payload: "Buffer") -> None:
        """A message from the broker, on any topic: act on it, or count why not."""
        leaf = topic[len(self._prefix) :] if topic.startswith(self._prefix) else ""
        handler = self._handlers.get(leaf)
        try:
            if handler is None:
                raise Malformed("topic")
            handler(payload)
        except ProtocolError as e:
            self._refused(leaf, e, payload)
            self._parts.counters.up("down_" + (leaf if handler else "unknown") + "_" + e.reason)
        except MemoryError as e:
            sys.print_exception(e)
            self._parts.counters.up("down_" + leaf + "_memory")
        except OSError:
            self._parts.counters.up("down_" + leaf + "_flash")

    def _refused(self, leaf: str, e: ProtocolError, payload: "Buffer") -> None:
        """A forged, repeated, late, older or broken command or configuration is audited; but of a flood less and less,
        for it must not push other records out of the ring.
        """
        if leaf == "config" and self._config_refused != e.reason:
            self._config_refused = e.reason
            self.door_changed()
        kind = _AUDITED.get(leaf)
        now = self._parts.clock.uptime_ms()
        due, wait = self._audit_due.get(kind, (0, 0))
        if kind is None or now < due:
            return
        wait = min(2 * wait, _AUDIT_MAX_MS) if now - due < wait else _AUDIT_MS
        self._audit_due[kind] = now + wait, wait
        self._parts.recorder.record(kind, journal.METHOD_REMOTE, e.refusal, value=binascii.crc32(payload))

    def _command(self, raw: "Buffer") -> None:
        parts = self._parts
        payload = open_sealed(parts.identity.command_key, LABEL_COMMAND, raw)
        command = parts.gate.admit(payload, parts.clock.now())
        status, sequence = parts.authority.command(command)
        self._answer(command, status == STATUS_GRANTED, STATUS_NAMES[status], sequence)

    def _answer(self, command: "Command", ok: bool, status: str, sequence: int) -> None:
        """Queue the sealed result. The oldest goes first when the broker takes none: its attempt has timed
        out.
        """
        parts = self._parts
        now = parts.clock.now()
        t = int(now.t) if now is not None else 0
        result = build_result(command.id, self._dev, command.seq, ok, status, t, sequence)
        if len(self._results) >= _MAX_RESULTS:
            self._results.pop(0)
            parts.counters.up("result_dropped")
        self._results.append(seal(parts.identity.command_key, LABEL_RESULT, result).encode())
        self._work.set()

    def _ack(self, raw: "Buffer") -> None:
        store = self._parts.recorder.store
        store.acknowledge(messages.parse_ack(raw)["seq"])
        self._work.set()

    def _time(self, raw: "Buffer") -> None:
        parts = self._parts
        payload = open_sealed(parts.identity.time_key, LABEL_TIME, raw)
        round_trip = parts.clock.uptime_ms() - self._asked_ms
        if payload.get("dev") != self._dev or not self._nonce or payload.get("n") != self._nonce:
            raise Replayed("time_nonce")
        t_ms = payload.get("t")
        if not isinstance(t_ms, int) or t_ms < 0:
            raise Malformed("time")
        self._nonce = ""
        if round_trip > _MAX_ROUND_TRIP_MS:
            self._time_due = True
            raise Expired("round_trip")
        ahead = t_ms // 1000 - parts.clock.floor
        if ahead < 0:
            raise Expired("below_floor")
        if ahead > _HORIZON_S:
            raise Expired("beyond_horizon")
        told = parts.clock.now() and parts.clock.drift()
        parts.clock.set(t_ms + round_trip // 2, round_trip // 2 + _ROUNDED_MS)
        if told is None:
            parts.recorder.record(journal.EVENT_TIME_SET)
        if told != parts.clock.drift():
            self._state_due = True
        self._work.set()

    def _config(self, raw: "Buffer") -> None:
        parts = self._parts
        try:
            if parts.config.accept(raw, self._peer):
                parts.config_changed()
            self._config_refused = ""
        except (MemoryError, Malformed) as e:
            full = not isinstance(e, Malformed) or e.reason == "json_memory"
            if self._postponed is not None or not full or raw[0] != _BRACE:
                raise
            # The heap may not hold a large configuration beside the session that it came by.
            self._postponed = raw
            self._client.fail("memory")
            return
        self._state_due = True
        self._work.set()

    def _apply_postponed(self) -> None:
        """Between two sessions, when their buffers are free; what does not fit even then is counted."""
        if self._postponed is not None:
            self._parts.counters.up("config_postponed")
            gc.collect()
            self.received(self._prefix + "config", self._postponed)
            self._postponed = None
