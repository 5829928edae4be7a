"""The pin map: which GPIO is the lock's relay, which are the door's contacts, the LED and the buzzer; and the lock's kind.

`/pins.json` overrides the default for one board: `{"lock": "fail_safe", "relay": 26, "rex": {"pin": 14, "invert":
false}, "led": null, "bolt": 32}`. A role set to null is not wired. `invert` means that the pin is low when the role is
active; of the relay: while the lock has current. A `fail_secure` lock (the default) is released by current, a
`fail_safe` one by its absence.

Readers are wired only if they are named: `"wiegand": {"d0": 32, "d1": 33, "led": 18, "buzzer": 19}` gives the roles
`wiegand_d0` to `wiegand_buzzer`, `"keypad": {"rows": [4 pins], "cols": [3 pins]}` gives `row0` to `row3`, `col0` to `col2`.
`"osdp": {"uart": 1, "tx": 17, "rx": 16, "de": 4, "baud": 9600, "address": 0}` gives `osdp_tx`, `osdp_rx` and, for a
transceiver that needs it, `osdp_de`.
"""

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional, Sequence

PINS_FILE = "/pins.json"
MAX_PIN = 48

# ESP32 pins that flash and PSRAM leave free. The switches close to ground: the leaf away from its frame opens
# the DPS, so a cut wire reads as an open door; the exit button pulls its pin low while it is pressed.
_DEFAULTS = (
    ("relay", 26, False, None),
    ("dps", 27, False, "up"),
    ("rex", 14, True, "up"),
    ("led", 2, False, None),
    ("buzzer", 25, False, None),
    # Wired only where the file names a pin.
    ("bolt", None, True, "up"),  # closed while the bolt is thrown, or the armature bonded
    ("tamper", None, False, "up"),  # closed while nobody touches the enclosure: a cut wire is tamper
    ("key", None, True, "up"),  # closed while the key is turned
    ("fire", None, False, "up"),  # closed while there is no fire: a cut wire is one
)
# A reader's lines idle high; its LED and buzzer are on while their line is low.
_READERS = (
    ("d0", None, False, "up"),
    ("d1", None, False, "up"),
    ("led", None, True, None),
    ("buzzer", None, True, None),
)


class PinRole:
    """One wired role: GPIO number, polarity and pull resistor (`up`, `down` or None). The relay's is active while
    the lock is released, whatever its kind.
    """

    fail_safe = False
    line: "Sequence[int]" = ()  # of `osdp_tx`: UART, baud rate, address of the reader

    def __init__(self, number: int, invert: bool, pull: "Optional[str]") -> None:
        self.number = number
        self.invert = invert
        self.pull = pull


def default_map() -> "Dict[str, PinRole]":
    """The map of the reference board."""
    return {
        name: PinRole(number, invert, pull) for name, number, invert, pull in _DEFAULTS if number is not None
    }


def _is_pin(value: "Any") -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PIN


def _override(name: str, value: "Any", roles: "Sequence[Any]" = _DEFAULTS) -> PinRole:
    known = [(number, invert, pull) for role, number, invert, pull in roles if role == name]
    if not known:
        raise ValueError("unknown role")
    number, invert, pull = known[0]
    if not isinstance(value, dict):
        value = {"pin": value}
    number = value.get("pin", number)
    if not _is_pin(number):
        raise ValueError("pin")
    invert, pull = value.get("invert", invert), value.get("pull", pull)
    if not isinstance(invert, bool) or pull not in (None, "up", "down"):
        raise ValueError("pin options")
    return PinRole(number, invert, pull)


def _readers(wiegand: "Any", keypad: "Any", osdp: "Any") -> "Dict[str, PinRole]":
    roles = {}
    if wiegand is not None:
        if not isinstance(wiegand, dict) or "d0" not in wiegand or "d1" not in wiegand:
            raise ValueError("wiegand")
        for name in wiegand:
            roles["wiegand_" + name] = _override(name, wiegand[name], _READERS)
    if keypad is not None:
        if not isinstance(keypad, dict) or len(keypad) != 2:
            raise ValueError("keypad")
        for name, count in (("rows", 4), ("cols", 3)):
            numbers = keypad.get(name)
            if not isinstance(numbers, list) or len(numbers) != count:
                raise ValueError("keypad")
            for i in range(count):
                roles[name[:3] + str(i)] = _override("d0", numbers[i], _READERS)
    if osdp is not None:
        if not isinstance(osdp, dict) or "tx" not in osdp or "rx" not in osdp:
            raise ValueError("osdp")
        line = []
        for name, low, high in (("uart", 1, 2), ("baud", 9600, 115200), ("address", 0, 126)):
            value = osdp.pop(name, low)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ValueError("osdp")
            line.append(value)
        for name in osdp:
            if name not in ("tx", "rx", "de"):
                raise ValueError("osdp")
            roles["osdp_" + name] = _override("d0", osdp[name], _READERS)
        roles["osdp_tx"].line = line
    return roles


def parse(text: str) -> "Dict[str, PinRole]":
    """Apply the overrides in `text`; raise ValueError when they are not a usable map."""
    pins = default_map()
    try:
        overrides = json.loads(text)
    except (RuntimeError, MemoryError):  # nested too deep
        raise ValueError("pin map")
    if not isinstance(overrides, dict):
        raise ValueError("pin map")
    lock = overrides.pop("lock", "fail_secure")
    if lock not in ("fail_secure", "fail_safe"):
        raise ValueError("lock")
    readers = _readers(*[overrides.pop(name, None) for name in ("wiegand", "keypad", "osdp")])
    for name, value in overrides.items():
        if value is not None:
            pins[name] = _override(name, value)
        elif name in pins and name != "relay":
            del pins[name]
        else:
            raise ValueError("role is required")
    relay = pins["relay"]
    relay.fail_safe = lock == "fail_safe"
    relay.invert ^= relay.fail_safe
    pins.update(readers)
    numbers = [role.number for role in pins.values()]
    if len(set(numbers)) != len(numbers):
        raise ValueError("pin used twice")
    return pins


def load(path: str = PINS_FILE) -> "Dict[str, PinRole]":
    """The map of this board; a damaged file gives the default map: the door must still lock and open."""
    try:
        with open(path) as f:
            return parse(f.read())
    except (OSError, ValueError):
        return default_map()
