"""A MicroPython VM whose bluetooth a test drives line by line: ``vm_ble.py`` on a RadioVm."""

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from hil.radio.medium import Medium
from tests.hil.radio_vm import DEADLINE, RadioVm

SCRIPT = Path(__file__).with_name("vm_ble.py")

CENTRAL_CONNECT, CENTRAL_DISCONNECT, GATTS_WRITE, GATTS_READ_REQUEST = range(1, 5)
SCAN_RESULT, SCAN_DONE, PERIPHERAL_CONNECT, PERIPHERAL_DISCONNECT = range(5, 9)
SERVICE_RESULT, SERVICE_DONE, CHARACTERISTIC_RESULT, CHARACTERISTIC_DONE = range(9, 13)
DESCRIPTOR_RESULT, DESCRIPTOR_DONE, READ_RESULT, READ_DONE, WRITE_DONE = range(13, 18)
NOTIFY, INDICATE, INDICATE_DONE, MTU_EXCHANGED = range(18, 22)
L2CAP_ACCEPT, L2CAP_CONNECT, L2CAP_DISCONNECT, L2CAP_RECV, L2CAP_SEND_READY = range(22, 27)
ENCRYPTION_UPDATE, PASSKEY_ACTION = 28, 31

READ, WRITE_NO_RESPONSE, WRITE, NOTIFIES, INDICATES = 2, 4, 8, 16, 32
READ_ENCRYPTED, READ_AUTHENTICATED = 0x200, 0x400
FLAGS = b"\x02\x01\x06"


class Raised(Exception):
    """The line raised on the VM: name of the exception, its arguments."""


class BleVm(RadioVm):
    """``secrets`` is where the program keeps its bonds, over restarts."""

    def __init__(self, medium: Medium, secrets: Path, mac: str) -> None:
        super().__init__(medium, SCRIPT, str(secrets), mac=mac)
        self.events: list[tuple[int, tuple[Any, ...]]] = []
        self.secrets: list[str] = []
        self._seen: dict[int, int] = {}
        self._news = asyncio.Event()
        self._results: asyncio.Queue[str] = asyncio.Queue()

    def on_line(self, line: str) -> None:
        if line.startswith("irq "):
            _, event, fields = line.split(" ", 2)
            self.events.append((int(event), tuple(ast.literal_eval(fields))))
            self._news.set()
        elif line.startswith("secret "):
            self.secrets.append(line)
        elif line[:2] in ("= ", "! "):
            self._results.put_nowait(line)

    async def start(self) -> None:
        self.events.clear()
        self._seen.clear()
        await super().start()
        await self.line("ready")

    async def do(self, line: str) -> Any:
        """The value of a line of MicroPython. Raises Raised."""
        self.write(line.encode() + b"\n")
        async with asyncio.timeout(DEADLINE):
            result = await self._results.get()
        if result.startswith("!"):
            name, arguments = result[2:].split(" ", 1)
            raise Raised(name, ast.literal_eval(arguments))
        try:
            return ast.literal_eval(result[2:])
        except (ValueError, SyntaxError):
            return result[2:]

    async def error(self, line: str) -> int:
        """The errno of the OSError that a line raises."""
        try:
            await self.do(line)
        except Raised as raised:
            assert raised.args[0] == "OSError", raised
            return int(raised.args[1][0])
        raise AssertionError(f"{line} raised nothing")

    async def irq(self, event: int) -> tuple[Any, ...]:
        """Fields of the next event of this number."""
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    self._news.clear()
                    for at in range(self._seen.get(event, 0), len(self.events)):
                        if self.events[at][0] == event:
                            self._seen[event] = at + 1
                            return self.events[at][1]
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"no event {event} in\n" + "\n".join(self.printed)) from None

    def since(self, event: int) -> list[tuple[Any, ...]]:
        """All events of this number that ``irq`` has not given."""
        seen, self._seen[event] = self._seen.get(event, 0), len(self.events)
        return [fields for other, fields in self.events[seen:] if other == event]

    async def advertise(self, data: bytes = FLAGS, **options: Any) -> tuple[int, bytes]:
        """Advertise every 20 ms; returns the address for ``gap_connect``."""
        extra = "".join(f", {name}={value!r}" for name, value in options.items())
        await self.do(f"ble.gap_advertise(20000, {data!r}{extra})")
        kind, address = await self.do("ble.config('mac')")
        return kind, address


@asynccontextmanager
async def vms(medium: Medium, folder: Path, count: int) -> AsyncIterator[list[BleVm]]:
    """Boards on one medium whose radios are not active yet."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(BleVm(medium, folder / f"{n}", f"240ac400000{n}"))
            for n in range(count)
        ]


async def connect(central: BleVm, peripheral: BleVm) -> tuple[int, int]:
    """(handle at the central, handle at the peripheral) of a new connection."""
    kind, address = await peripheral.advertise()
    await central.do(f"ble.gap_connect({kind}, {address!r}, 15000)")
    ours = await central.irq(PERIPHERAL_CONNECT)
    assert ours[1:] == (kind, address)
    return ours[0], (await peripheral.irq(CENTRAL_CONNECT))[0]
