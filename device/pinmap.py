"""The pin map: which GPIO is the relay, the door position switch, the exit button, the LED and the buzzer.

`/pins.json` overrides the default for one board: `{"relay": 26, "rex": {"pin": 14, "invert": false}, "led":
null}`. A role set to null is not wired. `invert` means that the pin is low when the role is active.
"""

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Optional

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
)
_REQUIRED = ("relay",)


class PinRole:
    """One wired role: GPIO number, polarity and pull resistor (`up`, `down` or None)."""

    def __init__(self, number: int, invert: bool, pull: "Optional[str]") -> None:
        self.number = number
        self.invert = invert
        self.pull = pull


def default_map() -> "Dict[str, PinRole]":
    """The map of the reference board."""
    return {name: PinRole(number, invert, pull) for name, number, invert, pull in _DEFAULTS}


def _is_pin(value: "Any") -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_PIN


def _override(role: PinRole, value: "Any") -> PinRole:
    if _is_pin(value):
        return PinRole(value, role.invert, role.pull)
    if not isinstance(value, dict) or not _is_pin(value.get("pin", role.number)):
        raise ValueError("pin")
    invert, pull = value.get("invert", role.invert), value.get("pull", role.pull)
    if not isinstance(invert, bool) or pull not in (None, "up", "down"):
        raise ValueError("pin options")
    return PinRole(value.get("pin", role.number), invert, pull)


def parse(text: str) -> "Dict[str, PinRole]":
    """Apply the overrides in `text`; raise ValueError when they are not a usable map."""
    pins = default_map()
    overrides = json.loads(text)
    if not isinstance(overrides, dict):
        raise ValueError("pin map")
    for name in overrides:
        if name not in pins:
            raise ValueError("unknown role")
        if overrides[name] is None:
            if name in _REQUIRED:
                raise ValueError("role is required")
            del pins[name]
        else:
            pins[name] = _override(pins[name], overrides[name])
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
