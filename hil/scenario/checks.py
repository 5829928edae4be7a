"""What a step asks of the scenario's head: names that are there, and boards that are wired for it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hil.board.description import Description
from hil.rig.hints import near
from hil.rig.wiring import no_card, no_control, no_keypad, no_pin
from hil.scenario.door_policy import refused
from hil.scenario.header import Header
from hil.scenario.verbs_door import BUTTONS

Arguments = Mapping[str, Any]
Wiring = Callable[[str, Description, Arguments], str]
# Verbs for a board that is a door of the site.
OF_A_DOOR = {
    "ble-unlock", "cloud-unlock", "expect-audit", "expect-device", "give-credential", "policy", "update",
}  # fmt: skip


def _button(board: str, about: Description, given: Arguments) -> str:
    return no_control(board, about, given["button"], BUTTONS[given["button"]])


def _leaf(board: str, about: Description, given: Arguments) -> str:
    return no_control(board, about, "dps", "open")


def _latched_leaf(board: str, about: Description, given: Arguments) -> str:
    return no_pin(board, about, "strike", "released") or _leaf(board, about, given)


WIRED: dict[str, tuple[str, Wiring]] = {
    "set-control": ("part", lambda board, about, given: no_control(board, about, given["part"], given["control"])),
    "expect-pin": ("part", lambda board, about, given: no_pin(board, about, given["part"], given["pin"])),
    "press": ("button", _button),
    "release": ("button", _button),
    "open": ("board", _latched_leaf),
    "prop": ("board", _latched_leaf),
    "close": ("board", _leaf),
    "force": ("board", _leaf),
    "card": ("board", lambda board, about, given: no_card(board, about)),
    "key": ("board", lambda board, about, given: no_keypad(board, about)),
}  # fmt: skip


def strangers(
    verb: str, given: Arguments, header: Header, wiring: Mapping[str, Description]
) -> Iterator[tuple[str, str]]:
    """Fields of a step that the head has nothing for, and what to say. ``wiring``: the boards whose description is there."""
    everybody = [*header.phones, *header.boards]
    for field, names in (("board", [*header.boards]), ("phone", [*header.phones])):
        if (name := given.get(field)) is not None and name not in names:
            yield field, f"no {field} {name}{near(name, names)}"
    if verb == "place" and given["what"] not in everybody:
        yield "what", f"no phone or board {given['what']}{near(given['what'], everybody)}"
    if verb == "radio-loss":
        for name in given["between"]:
            if name not in everybody:
                yield "between", f"no phone or board {name}{near(name, everybody)}"
    if verb in ("ble-unlock", "give-key", "revoke-key") and not header.phones:
        yield "", "needs a phone: name one under phones"
        return
    if verb == "policy":
        yield from (("fields", message) for _, message in refused(given["fields"]))
    board = given.get("board") or next(iter(header.boards))
    if board in header.boards:
        yield from _of_a_door(verb, given, header, board)
    if verb in WIRED and board in wiring:
        field, why = WIRED[verb]
        if told := why(board, wiring[board], given):
            yield field, told


def _of_a_door(verb: str, given: Arguments, header: Header, board: str) -> Iterator[tuple[str, str]]:
    doors = [name for name, about in header.boards.items() if about.is_door and header.has_site]
    if verb in OF_A_DOOR and board not in doors:
        yield "board", f"{board} is no door of a site"
    if verb == "update" and not header.boards[board].updates:
        yield "board", f"{board} does not trust the vendor: give it updates: true"
    for name in given.get("doors") or ():
        if name not in doors:
            yield "doors", f"{name} is no door of a site{near(name, doors)}"
