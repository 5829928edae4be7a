"""Values with units, as scenarios write them."""

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|min|h)\s*")
DURATION_PATTERN = r"^\s*\d+(\.\d+)?\s*(us|ms|s|m|min|h)\s*$"


def seconds(value: object) -> float:
    """``200ms``, ``1.5s``, ``2min``; a bare number has no unit, and is refused but for 0."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        return float(match[1]) * _UNITS[match[2]]
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 0:
        return 0.0
    raise ValueError(f"{value!r} is not a duration: write a number and a unit, such as 200ms, 1.5s or 2min")


def shown(value: float) -> str:
    """A duration as a scenario would write it."""
    if value >= 120:
        return f"{value / 60:g}min"
    return f"{value:g}s" if value >= 1 or value == 0 else f"{value * 1000:g}ms"


Duration = Annotated[
    float,
    BeforeValidator(seconds),
    Field(ge=0, le=86_400),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": 0}]}),
]

Level = Annotated[int, Field(ge=0, le=1, description="0 or 1.")]


def compiles(pattern: str) -> str:
    """A regular expression; ValueError says what is wrong with it."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return pattern


Regex = Annotated[str, AfterValidator(compiles)]
