"""What a description lets somebody see and move on a board: its parts, their pins and controls."""

from collections.abc import Mapping

from hil.board.description import MAX_GPIO, Description
from hil.rig.hints import near

LEVEL = "level"
# Controls that somebody moves: part, control, and the contact of the door model.
CONTROLS = {
    ("dps", "open"): "leaf",
    ("rex", "pressed"): "rex",
    ("key", "turned"): "key",
    ("tamper", "open"): "tamper",
    ("fire", "active"): "fire",
    ("bolt", "thrown"): "bolt",
}
# What can be seen beside the levels of the chip's own pins.
CONTACTS = {**CONTROLS, ("relay", "contact"): "relay", ("strike", "released"): "strike"}
_READER_HINT = "give it the description reader_door or osdp_door"


def no_control(board: str, about: Description, part: str, control: str) -> str:
    """Why nobody can move that; empty if somebody can."""
    if control == LEVEL:
        return no_pin(board, about, part, LEVEL)
    wired = (part, control) in CONTROLS and part in about.pins
    return "" if wired else _unwired("control", board, about, (part, control), CONTROLS)


def no_pin(board: str, about: Description, part: str, pin: str) -> str:
    """Why nobody can see that; empty if somebody can."""
    if pin == LEVEL:
        wired = part in about.pins or _is_gpio(part)
    else:
        owner = "relay" if part == "strike" else part  # its coil is fed through the relay's contact
        wired = (part, pin) in CONTACTS and owner in about.pins
    return "" if wired else _unwired("pin", board, about, (part, pin), CONTACTS)


def no_card(board: str, about: Description) -> str:
    """Why no card can be shown there; empty if one can."""
    return "" if about.wiegand or _has_osdp(about) else f"{board} has no card reader: {_READER_HINT}"


def no_keypad(board: str, about: Description) -> str:
    """Why nobody can type there; empty if somebody can."""
    there = about.keypad or about.wiegand or _has_osdp(about)
    return "" if there else f"{board} has no keypad: {_READER_HINT}"


def _has_osdp(about: Description) -> bool:
    return any(line.kind == "osdp" for line in about.uart)


def _is_gpio(part: str) -> bool:
    number = part.removeprefix("gpio")
    return number != part and number.isdecimal() and len(number) < 3 and int(number) <= MAX_GPIO


def _unwired(
    kind: str, board: str, about: Description, wanted: tuple[str, str], known: Mapping[tuple[str, str], str]
) -> str:
    part, name = wanted
    parts = {*about.pins} | ({"strike"} if about.relay is not None else set())
    if part not in parts and not _is_gpio(part):
        return f"{board} has no part {part}{near(part, parts, len(parts))}"
    names = {n for p, n in known if p == part} | ({LEVEL} if part != "strike" else set())
    return f"{part} of {board} has no {kind} {name}{near(name, names)}"
