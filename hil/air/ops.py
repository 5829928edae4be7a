"""What is said between an air and its members: frames of hil/vm/wire.py on a Unix stream socket.

The stamp of a call is the member's own number for it. Channels:

    AIR    below; the first frame of a member is its JOIN
    BLE    of a board as in hil/radio/ble_ops.py, as its stack runs in the air; of a host HCI packets, either way
    WIFI   hil/air/wifi.py: access points and stations

Calls of AIR; texts are UTF-8, structures JSON:

    JOIN    {"version", "name", "kind", "mac", "position", "btsnoop"} -> {"name"}: the name it goes by, if its own was taken
    RESET   channel u8; the member's VM is gone, and what lived in its RAM. A post
    PLACE   {"name", "position"}; "" is the member itself
    DISTURB {"lose", "between": [name, name], "seed"}: lose this part of all packets, or of those between two; or
            {"noise", "position", "power", "duty", "share"}: a source of noise by its name, null takes it away; or
            {"renew": true}: all resolvable private addresses run out
    SHOW    offset u32 -> that part of the snapshot (hil/air/snapshot.py); "" is its end

A position is [x, y, z] in metres, or null: near everything. A refusal is an ERROR with an errno; SAID gives its text.
"""

import json
from dataclasses import dataclass
from typing import Any

from hil.vm import wire

AIR, BLE, WIFI = wire.CORE, wire.BLE, wire.NET
VERSION = 2

JOIN, RESET, PLACE, SHOW, SAID, DISTURB = range(1, 7)

BOARD, HOST, WATCHER = "board", "host", "watcher"  # kinds of members: a host has a controller in the air
HCI = 1  # the operation of a host's channel BLE

MAX_NAME = 60
MAX_SAID = 400  # characters of a refusal
Place = tuple[float, float, float] | None


class AirError(OSError):
    """The air refused or is not there; the text says what to do."""


@dataclass(frozen=True)
class Identity:
    """Who joins: a name for people, the public Bluetooth address (6 bytes, big endian), a place, a file for HCI packets."""

    name: str
    mac: bytes
    position: Place = None
    btsnoop: str | None = None

    def to_json(self) -> dict[str, Any]:
        fields = {"name": self.name, "mac": self.mac.hex(), "position": self.position}
        return {**fields, "btsnoop": self.btsnoop}


def identity(fields: Any) -> Identity:
    """Of a JOIN; raises ValueError."""
    if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
        raise ValueError("a member has a name")
    name = fields["name"]
    if not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"a name has 1 to {MAX_NAME} printable characters")
    mac = bytes.fromhex(str(fields.get("mac")))
    if len(mac) != 6:
        raise ValueError("an address has 6 bytes")
    btsnoop = fields.get("btsnoop")
    if btsnoop is not None and not (isinstance(btsnoop, str) and btsnoop.startswith("/")):
        raise ValueError("a btsnoop file is named by its whole path")
    return Identity(name, mac, place(fields.get("position")), btsnoop)


def encode_place(name: str, value: Place) -> bytes:
    return json.dumps({"name": name, "position": value}).encode()


def place(value: Any) -> Place:
    """[x, y] or [x, y, z] in metres, or None; raises ValueError."""
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not 2 <= len(value) <= 3:
        raise ValueError("a position is x, y and z in metres")
    x, y, z = (*map(float, value), 1.0)[:3]
    if not all(abs(part) <= 1e6 for part in (x, y, z)):
        raise ValueError("a position is at most 1,000 km from the origin")
    return x, y, z
