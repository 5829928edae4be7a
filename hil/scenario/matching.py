"""Whether JSON is as a scenario expects it: what it names must be there; the rest may be anything. And ``{name}`` in it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME = re.compile(r"\{([a-z][a-z0-9_.-]*)\}")
Json = Mapping[str, Any]


def matches(value: Json, wanted: Json) -> bool:
    return not lacks(value, wanted)


def lacks(value: Json, wanted: Json) -> dict[str, Any]:
    """What is there instead, of the fields that are not as wanted."""
    wrong: dict[str, Any] = {}
    for name, item in wanted.items():
        seen = value.get(name, "nothing")
        if isinstance(item, Mapping) and isinstance(seen, Mapping):
            if inner := lacks(seen, item):
                wrong[name] = inner
        elif seen != item:
            wrong[name] = seen
    return wrong


def gist(value: Json) -> str:
    """``type door_forced, status granted``."""
    return ", ".join(
        f"{name} ({gist(item)})" if isinstance(item, Mapping) else f"{name} {item}"
        for name, item in value.items()
    )


def names_in(value: Any) -> Iterator[str]:
    """What ``{name}`` stands for in any text of it."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from names_in(item)
    elif isinstance(value, str):
        yield from NAME.findall(value)
