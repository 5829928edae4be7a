"""Writes down who said what while the demonstration runs: what it saw itself, and what the gateway logged."""

import json
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hil.board.board import Board
from hil.phone import PhoneResult
from hil.report import Message
from hil.report.model import Kind, Outcome

OPERATOR, CLOUD, GATEWAY = "operator", "cloud", "site gateway"
MEDIUM = "air"
_PINS = {
    ("relay", 1): "relay energised",
    ("relay", 0): "relay released",
    ("dps", 1): "leaf opened",
    ("dps", 0): "leaf closed",
}


class Scribe:
    """`messages` in no order; the report sorts them. Times given are seconds of time.monotonic(). `fetcher` is who fetches
    the keys of phones."""

    def __init__(self, fetcher: str = OPERATOR) -> None:
        self._fetcher = fetcher
        self.messages: list[Message] = []
        self.pulses: list[tuple[str, int]] = []  # (board, microsecond) of every energised relay
        self._origin_s = time.monotonic()
        self._wall_s = time.time() - self._origin_s  # what to take off a time of day

    def begin(self, origin_s: float) -> None:
        """The run's time zero."""
        self._origin_s = origin_s

    def said(
        self,
        source: str,
        target: str,
        label: str,
        kind: Kind,
        at_s: float | None = None,
        detail: str = "",
        outcome: Outcome = "delivered",
    ) -> None:
        """One message, now or at a time."""
        t_ms = round(((time.monotonic() if at_s is None else at_s) - self._origin_s) * 1000, 3)
        self.messages.append(
            Message(
                t_ms=t_ms,
                source=source,
                target=target,
                label=label,
                kind=kind,
                detail=detail,
                outcome=outcome,
            )
        )

    def called(self, method: str, path: str, status: int, began_s: float, ended_s: float) -> None:
        """An API call. Reading is left out: the bench asks often."""
        if method == "GET":
            return
        who = self._fetcher if path.endswith("/mobile") else OPERATOR
        short = path if path.count("/") < 3 else "…/" + path.rpartition("/")[2]  # without ids, which are long
        self.said(who, CLOUD, f"{method} {short}", "http", began_s, path)
        self.said(
            CLOUD, who, str(status), "http", ended_s, outcome="delivered" if status < 400 else "refused"
        )

    def heard(self, event: Mapping[str, Any], doors: Mapping[str, str]) -> None:
        """An event of the live stream; `doors` names them by id."""
        where = doors.get(str(event["door_id"]), "")
        self.said(CLOUD, OPERATOR, f"{event['type']} {where}".strip(), "ws", detail=f"event {event['id']}")

    def unlocked(self, who: str, door: str, began_s: float, result: PhoneResult) -> None:
        """A Bluetooth handshake, from the phone's own laps."""
        at = began_s + result.timings["scan_ms"] / 1000
        self.said(who, door, "connect", "ble", at)
        at += (result.timings["connect_ms"] + result.timings["discover_ms"]) / 1000
        self.said(door, who, "CHAL nonce, time", "ble", at)
        self.said(who, door, "AUTH token, proof", "ble", at + 1e-6)
        outcome: Outcome = "delivered" if result.granted else "refused"
        label = f"RESULT {result.status}, record {result.audit_seq}"
        self.said(door, who, label, "ble", at + result.timings["answer_ms"] / 1000, outcome=outcome)

    def watch(self, board: Board) -> None:
        """Follow a board's relay and position switch."""

        def changed(pin: str, level: int, t_us: int) -> None:
            if (pin, level) == ("relay", 1):
                self.pulses.append((board.name, t_us))
            if (pin, level) in _PINS:
                self.said(board.name, board.name, _PINS[pin, level], "pin", t_us / 1e6)

        board.pins.listen(changed)

    def read_gateway_log(self, path: Path, devices: Mapping[str, str], stranger: str) -> None:
        """Take in what the gateway logged, if it ever ran; `devices` names the boards by device id, `stranger` is who
        it refused: that one gave a name of theirs."""
        if not path.exists():
            return
        for line in path.read_text(errors="replace").splitlines():
            try:
                entry = json.loads(line)
                at = datetime.fromisoformat(entry["timestamp"]).timestamp() - self._wall_s
            except (ValueError, KeyError, TypeError):
                continue  # a traceback, or a line cut short by a kill
            self._take(entry, at, devices, stranger)

    def _take(self, entry: dict[str, Any], at: float, devices: Mapping[str, str], stranger: str) -> None:
        event = entry.get("event")
        if event in ("message.sent", "message.received"):
            self._passed_on(entry, at, devices)
        elif event == "admission.admitted":
            self.said(
                devices.get(entry["who"], entry["who"]),
                GATEWAY,
                "CONNECT, pin fits",
                "mqtt",
                at,
            )
        elif event == "admission.refused":
            as_whom = f"as {devices.get(entry['who'], entry['who'])}"
            self.said(stranger, GATEWAY, f"CONNECT: {entry['reason']}", "mqtt", at, as_whom, "refused")
        elif event == "link.up" and entry["link"] == "cloud":
            self.said(GATEWAY, CLOUD, "CONNECT, pins fit", "mqtt", at)

    def _passed_on(self, entry: dict[str, Any], at: float, devices: Mapping[str, str]) -> None:
        parts = entry["topic"].split("/")
        label, size = "/".join(parts[-2:]), f"{entry['size']} bytes"
        if entry["link"] == "cloud":
            source, target = (GATEWAY, CLOUD) if parts[-2] == "up" else (CLOUD, GATEWAY)
        else:
            board = devices.get(parts[1], parts[1])
            source, target = (board, GATEWAY) if parts[-2] == "up" else (GATEWAY, board)
        self.said(source, target, label, "mqtt", at, size)
