"""The provisioning station: puts a bundle on a board over its serial console, as it would on a wired one."""

import asyncio
import json
from concurrent.futures import Executor
from typing import Any

from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

BAUD = 115200
OPEN_DEADLINE_S = 10


class StationError(Exception):
    """The board on this port cannot be provisioned; the message says what it answered."""


def execute(port: str, code: str) -> str:
    """Run code on the board over the raw REPL; what it printed. Blocks."""
    try:
        transport = SerialTransport(port, BAUD, wait=OPEN_DEADLINE_S)
    except TransportError as error:
        raise StationError(f"no board answers on {port}: {error}") from error
    try:
        transport.enter_raw_repl(soft_reset=False)
        return str(transport.exec(code).decode())
    except TransportError as error:
        raise StationError(f"the board on {port} refused: {error}") from error
    finally:
        transport.close()


async def provision(port: str, bundle: dict[str, Any], station: Executor | None = None) -> dict[str, Any]:
    """Apply a bundle; the board's answer. The board needs a reset before it acts on it. ``station`` runs the tool, by default
    a thread of ours, which must not have 1,024 files open: pyserial waits by select(2)."""
    code = f"from device import provision\nprovision.apply({json.dumps(bundle)!r})"
    printed = await asyncio.get_running_loop().run_in_executor(station, execute, port, code)
    try:
        answer = json.loads(printed.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise StationError(f"the board on {port} answered {printed[-200:]!r}") from None
    if not isinstance(answer, dict) or answer.get("device_id") != bundle["device_id"]:
        raise StationError(f"the board on {port} answered {printed[-200:]!r}")
    return answer
