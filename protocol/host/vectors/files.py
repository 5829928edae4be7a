"""The files that hold the vectors: one JSON file per topic, and SPEC.md, whose worked blocks are vectors too.

A worked block of SPEC.md is a fence named `vector <topic>/<name>`; what is between is written here.
"""

import json
import re
from pathlib import Path

from protocol.host.vectors import build
from protocol.host.vectors.case import Vector

_BLOCK = re.compile(r"^```vector ([a-z]+)/([a-z0-9_]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WIDTH = 96
_COLUMN = 44


def rendered(protocol: Path) -> dict[Path, str]:
    """What every generated file of the folder should hold."""
    vectors = build()
    out = {protocol / "vectors" / f"{topic}.json": _json(topic, made) for topic, made in vectors.items()}
    spec = protocol / "SPEC.md"
    out[spec] = worked(spec.read_text(), vectors)
    return out


def worked(text: str, vectors: dict[str, list[Vector]]) -> str:
    """The text with its worked blocks filled in. Raises KeyError for a vector that there is not."""
    found = {(topic, vector["name"]): vector for topic, made in vectors.items() for vector in made}

    def fill(block: re.Match[str]) -> str:
        topic, name = block[1], block[2]
        return f"```vector {topic}/{name}\n{_worked(found[topic, name])}```"

    return _BLOCK.sub(fill, text)


def block_names(text: str) -> list[tuple[str, str]]:
    """(topic, name) of every worked block."""
    return [(block[1], block[2]) for block in _BLOCK.finditer(text)]


def _json(topic: str, made: list[Vector]) -> str:
    lines = ",\n".join(f"  {json.dumps(vector)}" for vector in made)
    return f'{{"topic": "{topic}", "vectors": [\n{lines}\n]}}\n'


def _worked(vector: Vector) -> str:
    """Lines of a worked block: the inputs, the named bytes, and what comes out."""
    lines: list[str] = []
    parts = vector.get("parts", [])
    whole = "".join(item for item, _ in parts)
    for name, value in vector["in"].items():
        if value != whole:
            lines += _lines(name, value)
    for item, what in parts:
        lines.append(
            f"  {item:<{_COLUMN}}  {what}" if len(item) <= _COLUMN else f"  {item}\n  {'':<{_COLUMN}}  {what}"
        )
    if "error" in vector:
        lines.append(f"refused: {vector['error']}")
    elif vector["out"] != whole:
        out = vector["out"]
        for name, value in out.items() if isinstance(out, dict) else (("", out),):
            lines += _lines(f"-> {name}".strip(), value)
    return "".join(f"{line}\n" for line in lines)


def _lines(name: str, value: object) -> list[str]:
    """`name = value` in lines that, joined without their indent, are the value to the letter."""
    text = value if isinstance(value, str) else json.dumps(value)
    text = f"{name} {text}" if name == "->" else f"{name} = {text}"
    lines: list[str] = []
    while len(text) > _WIDTH:
        space = text.rfind(" ", _WIDTH // 2, _WIDTH)
        cut = space if space > 0 else _WIDTH
        lines.append(text[:cut])
        text = text[cut:]
    first, *more = [*lines, text]
    return [first, *(f"    {line}" for line in more)]
