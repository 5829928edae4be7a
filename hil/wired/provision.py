"""Gives a board its identity: the cloud's bundle, applied over the console."""

import json
from pathlib import Path
from typing import Any

from hil.wired.port import BoardPort, PortError, Refused

_STATE = """
from device import provision
print(provision.is_provisioned())
"""


def read_bundle(path: Path) -> dict[str, Any]:
    """A bundle from a file; raises PortError."""
    try:
        bundle = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PortError(f"{path} holds no bundle: {error}") from None
    if not isinstance(bundle, dict) or "device_id" not in bundle:
        raise PortError(f"{path} holds no bundle: POST /v1/devices gives one")
    return bundle


def check(board: BoardPort, again: bool) -> None:
    """Whether the board can be provisioned; raises PortError."""
    try:
        provisioned = board.ask(_STATE)
    except Refused as error:
        if error.kind == "ImportError":
            raise PortError(
                f"there is no Latchwork firmware on the board on {board.port}: `latchwork device flash` puts it there"
            ) from None
        raise PortError(f"the board on {board.port} cannot say whether it is provisioned: {error}") from None
    if provisioned and not again:
        raise PortError(
            "the board is provisioned already: --again gives it a new identity and takes the old one,"
            " and every record that it has not delivered, away"
        )


def apply(board: BoardPort, bundle: dict[str, Any]) -> dict[str, Any]:
    """The board's answer; raises PortError with its reason."""
    try:
        printed = board.run(f"provision.apply({json.dumps(bundle)!r})")
    except Refused as error:
        if error.kind == "Malformed":
            raise PortError(f"the board refuses the bundle, and is as it was: {error.what}") from None
        raise PortError(f"the board could not take the bundle: {error}; provision it again") from None
    try:
        answer = json.loads(printed.strip().splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    if not isinstance(answer, dict) or answer.get("device_id") != bundle["device_id"]:
        raise PortError(f"the board on {board.port} answers {printed[-200:]!r}")
    return answer
