"""Takes a JSON object apart member by member, so that the heap holds one member's values at a time."""

import json

from protocol.errors import Malformed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Iterator, Tuple

_OPENS, _CLOSES = "{[", "}]"
_SPACE = " \t\r\n"


def members(text: str, at: int = 0) -> "Iterator[Tuple[str, int, int]]":
    """Name, and where the value begins and ends, of each member of the object at `at`; raise Malformed."""
    at = _skip(text, at)
    if text[at : at + 1] != "{":
        raise Malformed("json_shape")
    at = _skip(text, at + 1)
    more = text[at : at + 1] != "}"
    while more:
        end = _end(text, at, ":")
        name = value(text, at, end)
        at, end = end + 1, _end(text, end + 1, ",}")
        if not isinstance(name, str):
            raise Malformed("json")
        yield name, at, end
        more = text[end] == ","
        at = _skip(text, end + 1)


def value(text: str, at: int, end: int) -> "Any":
    """The JSON value in text[at:end]; raise Malformed."""
    try:
        return json.loads(text[at:end])
    except (ValueError, RuntimeError, OverflowError):
        raise Malformed("json")


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _end(text: str, at: int, ends: str) -> int:
    """Where the first of `ends` is that is inside no string and no bracket."""
    depth = 0
    quoted = False
    while at < len(text):
        c = text[at]
        if quoted:
            if c == "\\":
                at += 1
            quoted = c != '"'
        elif not depth and c in ends:
            return at
        elif c in _OPENS:
            depth += 1
        elif c in _CLOSES:
            depth -= 1
        else:
            quoted = c == '"'
        at += 1
    raise Malformed("json")
