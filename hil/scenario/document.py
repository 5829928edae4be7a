"""Reads a YAML file into plain values, and remembers where each stood.

YAML 1.2 (ruamel.yaml): ``on`` and ``off`` are words and not booleans, and ``12:30`` is no number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000  # a few aliases of aliases are more than any memory
Place = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Mistake:
    """Something in a file that is not right. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ScenarioError(Exception):
    """A file is not a scenario; each of its mistakes says where, and what to do."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, sorted(mistakes))))
        self.mistakes = sorted(mistakes)


class Document:
    """``value`` is what the file says; ``mistake`` points into it."""

    def __init__(self, file: str, value: Any, places: dict[Place, tuple[int, int]]) -> None:
        self.file = file
        self.value = value
        self._places = places

    def line(self, place: Place) -> int:
        return self._at(place)[0]

    def mistake(self, place: Place, message: str) -> Mistake:
        return Mistake(self.file, *self._at(place), message)

    def _at(self, place: Place) -> tuple[int, int]:
        """Of the nearest thing around it that stands in the file."""
        while place not in self._places:
            if not place:
                return (1, 1)
            place = place[:-1]
        return self._places[place]


def read(path: Path) -> Document:
    """Raises ScenarioError."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8")
    except OSError as error:
        raise ScenarioError([Mistake(str(path), 1, 1, error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ScenarioError([Mistake(str(path), line, 1, "is not UTF-8 text")]) from None
    if len(data) > MAX_BYTES:
        raise ScenarioError([Mistake(str(path), 1, 1, f"is larger than {MAX_BYTES // 1024} KiB")])
    return parse(text, str(path))


def parse(text: str, file: str) -> Document:
    """The same of a text; ``file`` is its name in messages."""
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
        return _Walk(yaml, file).document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        reason = " ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioError([Mistake(file, line, column, f"not YAML: {reason}")]) from None
    except RecursionError:
        raise ScenarioError([Mistake(file, 1, 1, "is nested too deep, or holds itself")]) from None
    except (YAMLError, ValueError) as error:
        raise ScenarioError([Mistake(file, 1, 1, f"not YAML: {error}")]) from None


class _Walk:
    def __init__(self, yaml: YAML, file: str) -> None:
        self._yaml = yaml
        self._file = file
        self._places: dict[Place, tuple[int, int]] = {}

    def document(self, node: Node | None) -> Document:
        if node is None:
            raise ScenarioError([Mistake(self._file, 1, 1, "is empty")])
        return Document(self._file, self._value(node, ()), self._places)

    def _value(self, node: Node, place: Place) -> Any:
        if len(self._places) > MAX_NODES:
            raise self._error(node, f"has more than {MAX_NODES:,} values")
        self._places.setdefault(place, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*place, number)) for number, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._yaml.constructor.construct_object(node)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise self._error(key, "a key is a word")
            name = str(key.value)
            if name in found:
                raise self._error(key, f"{name} is said twice")
            # A mistake in a value is shown at its key: there it is named.
            self._places[(*place, name)] = (key.start_mark.line + 1, key.start_mark.column + 1)
            found[name] = self._value(value, (*place, name))
        return found

    def _error(self, node: Node, message: str) -> ScenarioError:
        mark = node.start_mark
        return ScenarioError([Mistake(self._file, mark.line + 1, mark.column + 1, message)])
