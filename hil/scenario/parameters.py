"""``${name}`` in a scenario: parameters with defaults, set by ``--set``, and a matrix of their values."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from hil.rig.hints import near
from hil.scenario.document import Document, Mistake, Place

Scalar = str | int | float | bool
Parameters = Mapping[str, Scalar]

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
MAX_CASES = 200  # of a matrix


def combinations(matrix: Mapping[str, list[Scalar]]) -> Iterator[dict[str, Scalar]]:
    """Every combination of the values; one empty one without a matrix."""
    for values in itertools.product(*matrix.values()):
        yield dict(zip(matrix, values, strict=True))


def substituted(
    document: Document, value: Any, place: Place, parameters: Parameters, mistakes: list[Mistake]
) -> Any:
    """The value with its references replaced; one that is all of a text keeps the parameter's type."""
    if isinstance(value, dict):
        return {
            key: substituted(document, item, (*place, key), parameters, mistakes)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            substituted(document, item, (*place, number), parameters, mistakes)
            for number, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value
    unknown = [name for name in _REFERENCE.findall(value) if name not in parameters]
    for name in unknown:
        mistakes.append(document.mistake(place, f"no parameter {name}{near(name, parameters)}"))
    if unknown:
        return value
    whole = _REFERENCE.fullmatch(value)
    return parameters[whole[1]] if whole else _REFERENCE.sub(lambda m: str(parameters[m[1]]), value)
