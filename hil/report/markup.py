"""Builds HTML and SVG from elements, so that nothing reaches the page unescaped."""

import re
from html import escape

# Neither HTML nor XML can carry these, escaped or not.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_VOID = frozenset({"br", "hr", "meta"})


class Markup(str):
    """Text that is markup already: made only by `el` and `join`, from escaped parts."""

    __slots__ = ()


Child = Markup | str | int | float | None
Attribute = str | int | float | bool | None


def text(value: Child) -> Markup:
    """Escaped text. Markup passes as it is; None is nothing."""
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else escape(_FORBIDDEN.sub("\ufffd", str(value))))


def join(*children: Child) -> Markup:
    """The children in a row."""
    return Markup("".join(text(child) for child in children))


def el(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """An element. `class_` gives class, `stroke_width` stroke-width; True a bare attribute, None none."""
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        name = name.rstrip("_").replace("_", "-")
        parts.append(name if value is True else f'{name}="{text(_number(value))}"')
    opening = "<" + " ".join(parts) + ">"
    return Markup(opening if tag in _VOID else f"{opening}{join(*children)}</{tag}>")


def _number(value: str | int | float) -> str | int:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
