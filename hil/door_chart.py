"""``python -m hil.door_chart``: draw the door's table, as the firmware has it, into docs/firmware.md; ``--check`` compares."""

import sys
from pathlib import Path

from device import door_table as table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "firmware.md"
BEGIN, END = "<!-- door table: python -m hil.door_chart -->\n", "<!-- end of door table -->\n"
INPUT_NAMES = ("grant", "relock", "leaf_opened", "leaf_closed", "time", "shunt", "hold", "secure")
TRAIT_NAMES = {1: "released", 16: "forced", 32: "held", 64: "warning"}
_TIMES = ("", "operate", "held open", "warning", "relock delay")
_SHOWN = {"forced": "alarm", "held": "alarm", "warning": "beeps"}

_SAME_LEAF = "the leaf is there already"
_FREE = "a mode or a fire releases, and only its end secures"
_NO_TIME = "no time runs"
_SECURED = "secured already"
_RELEASED = "released already, so an opening is expected"
_OPEN = "the leaf is open already: there is no opening to expect"
_ONCE = "expected already; a mode ends no way out"


def _nothing() -> dict[tuple[str, str], str]:
    """Why an input means nothing in a state."""
    leaf = {"opened", "open", "warning", "held", "forced", "unlocked_open"}
    reasons = {(s, "leaf_opened" if s in leaf else "leaf_closed"): _SAME_LEAF for s in table.STATE_NAMES}
    for state in ("unlocked", "unlocked_open"):
        reasons.update({(state, i): _FREE for i in ("grant", "relock", "time", "hold")})
        reasons[state, "shunt"] = _RELEASED
    for state in ("released", "opened", "relocking"):
        reasons[state, "shunt"] = _RELEASED
    for state in ("open", "warning", "held", "forced", "locked"):
        reasons.update({(state, i): _SECURED for i in ("relock", "secure")})
    for state in ("open", "warning", "held", "forced"):
        reasons[state, "shunt"] = _OPEN
    for state in ("locked", "held", "forced"):
        reasons[state, "time"] = _NO_TIME
    reasons.update({("shunted", i): _ONCE for i in ("relock", "secure")})
    return reasons


NOTHING = _nothing()


def _traits(state: str) -> tuple[str, str, str]:
    bits = table.TRAITS[table.STATE_NAMES.index(state)]
    shown = [_SHOWN[name] for bit, name in TRAIT_NAMES.items() if bits & bit and name in _SHOWN]
    return "released" if bits & 1 else "secured", _TIMES[(bits & 14) >> 1], ", ".join(shown)


def _next(state: str, event: str) -> str | None:
    after = table.step(table.STATE_NAMES.index(state), INPUT_NAMES.index(event))
    return table.STATE_NAMES[after] if after >= 0 else None


def _rows() -> list[str]:
    footnotes = {reason: number for number, reason in enumerate(dict.fromkeys(NOTHING.values()), 1)}
    rows = ["| state | lock | time | shows | " + " | ".join(f"`{name}`" for name in INPUT_NAMES) + " |"]
    rows.append("|---" * (4 + len(INPUT_NAMES)) + "|")
    for state in table.STATE_NAMES:
        cells = [
            f"({footnotes[NOTHING[state, event]]})" if (after := _next(state, event)) is None else after
            for event in INPUT_NAMES
        ]
        rows.append("| " + " | ".join([f"`{state}`", *_traits(state), *cells]) + " |")
    return [*rows, "", *[f"({number}) {reason}.  " for reason, number in footnotes.items()]]


def _diagram() -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> locked: boot", "    [*] --> open: boot, leaf open"]
    for state in table.STATE_NAMES:
        ways: dict[str, list[str]] = {}
        for event in INPUT_NAMES:
            after = _next(state, event)
            if after is not None:
                ways.setdefault(after, []).append(event)
        lines += [f"    {state} --> {after}: {', '.join(events)}" for after, events in ways.items()]
    return [*lines, "```"]


def chart() -> str:
    """The table and the diagram, as Markdown."""
    return "\n".join([*_rows(), "", *_diagram(), ""])


def drawn(page: str) -> str:
    """The page with the chart between its markers; raises ValueError if they are not there."""
    head, _, rest = page.partition(BEGIN)
    _, found, tail = rest.partition(END)
    if not found:
        raise ValueError("no markers")
    return head + BEGIN + "\n" + chart() + "\n" + END + tail


def main(arguments: list[str]) -> int:
    """0; 1 when the page differs, 2 for a wrong call."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m hil.door_chart [--check]", file=sys.stderr)
        return 2
    page = PAGE.read_text()
    wanted = drawn(page)
    if not arguments:
        PAGE.write_text(wanted)
    elif wanted != page:
        print(f"differs: {PAGE.name}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
