"""A real reader: libosdp's peripheral device, for a line in this process or at a pseudo-terminal."""

import contextlib
import os
import threading
from typing import Any

from osdp.channel import Channel
from osdp.constants import Capability, CardFormat, Event, LibFlag, LogLevel, StatusReportType
from osdp.helpers import PDCapabilities, PDInfo
from osdp.peripheral_device import PeripheralDevice

ADDRESS = 1
SCBK = bytes.fromhex("86d73041f4a3c214ada90a4ebb5f3b71")
SCBK_D = bytes(range(0x30, 0x40))
LED, BUZZER = 2, 3  # of libosdp's commands
GREEN, RED = 2, 1
_REFRESH_S = 0.005


class Wire(Channel):  # type: ignore[misc]  # libosdp has no types
    """Bytes between libosdp and whoever stands at the other end."""

    _ids = iter(range(1, 1 << 30))  # libosdp tells channels apart by this

    def __init__(self) -> None:
        super().__init__()
        self.id = next(Wire._ids)
        self.to_reader = b""
        self.from_reader = b""

    def read(self, max_bytes: int) -> bytes:
        data, self.to_reader = self.to_reader[:max_bytes], self.to_reader[max_bytes:]
        return data

    def write(self, buf: bytes) -> int:
        self.from_reader += bytes(buf)
        return len(buf)

    def flush(self) -> None:
        self.to_reader = b""


class Terminal(Channel):  # type: ignore[misc]
    """A serial port."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.id = next(Wire._ids)
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def read(self, max_bytes: int) -> bytes:
        with contextlib.suppress(BlockingIOError):
            return os.read(self.fd, max_bytes)
        return b""

    def write(self, buf: bytes) -> int:
        return os.write(self.fd, bytes(buf))

    def flush(self) -> None:
        """Nothing is kept here."""


class Reader:
    """``commands`` is what it was told to show. With no ``scbk`` it is in its install mode, as from its maker."""

    def __init__(self, channel: Channel, scbk: bytes | None = SCBK, address: int = ADDRESS) -> None:
        flags = [LibFlag.EnforceSecure] if scbk else [LibFlag.InstallMode]
        capabilities = PDCapabilities(
            [
                (Capability.ContactStatusMonitoring, 1, 1),
                (Capability.CardDataFormat, 1, 1),
                (Capability.LEDControl, 1, 1),
                (Capability.AudibleControl, 1, 1),
            ]
        )
        self.commands: list[dict[str, Any]] = []
        self._device = PeripheralDevice(
            PDInfo(address, channel, scbk=scbk, flags=flags),
            capabilities,
            log_level=LogLevel.Emergency,
            command_handler=self._command,
        )
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def secure(self) -> bool:
        return bool(self._device.is_sc_active())

    def refresh(self) -> None:
        self._device.ctx.refresh()

    def present(self, bits: int, raw: bytes) -> None:
        """Somebody holds a card to it."""
        self._submit(
            event=Event.CardRead,
            reader_no=0,
            direction=0,
            format=CardFormat.Unspecified,
            length=bits,
            data=raw,
        )

    def type(self, keys: str) -> None:
        """Somebody presses keys; * and # are DEL and CR on this line."""
        data = keys.replace("*", "\x7f").replace("#", "\r").encode()
        self._submit(event=Event.KeyPress, reader_no=0, data=data)

    def tamper(self, active: bool) -> None:
        self._submit(event=Event.Status, type=StatusReportType.Local, report=bytes((active, 0)))

    def shown(self, kind: int) -> list[dict[str, Any]]:
        return [command for command in self.commands if command["command"] == kind]

    def start(self) -> None:
        """Power it on; it runs in a thread of its own."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take its power away."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        while not self._over.wait(_REFRESH_S):
            self.refresh()

    def _submit(self, **event: Any) -> None:
        self._device.ctx.submit_event(event)

    def _command(self, command: dict[str, Any]) -> tuple[int, None]:
        self.commands.append(command)
        return 0, None
