"""Writes docs/scenarios.md from the models that read scenarios: ``python -m hil.scenario.page [--check]``."""

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hil.scenario.api import FAULTS, VERBS
from hil.scenario.cli import SHIPPED
from hil.scenario.header import BoardIn, ExhaustiveIn, Header, PhoneIn
from hil.scenario.load import load
from hil.scenario.quantities import DURATION_PATTERN, shown
from hil.scenario.steps import MAX_TIMES
from hil.scenario.verb import Verb

PAGE = Path(__file__).resolve().parents[2] / "docs" / "scenarios.md"
EXAMPLE = "rex"
_INTRO = """# Scenarios

A scenario is a YAML file: boards, and steps that are done to them and expected of them. This page is written from the
code (`python -m hil.scenario.page`). How to begin is in [bench.md](bench.md#scenarios).

    latchwork scenario run FILE... [--seed N] [--set NAME=VALUE] [-j N] [--junit F] [--html F] [--vcd F] [--timeout S] [--keep]
    latchwork scenario lint FILE...
    latchwork scenario schema > scenario.schema.json
    latchwork scenario list

FILE may be a folder. Exit code: 0 all passed, 1 one failed, 2 a file or an option is wrong, 42 a scenario's time was
over. A failure tells what was expected and seen, the end of each console, the seed, and the command that does the
same again: the same seed draws the same faults. `lint` tells every mistake with line, column and what was meant.
Editors complete and check by the JSON Schema.

All cases of a run share one cloud and one gateway, which are mended before each case; boards, phones and keys are its
own. A scenario lasts as long as what it describes, for its boards live in real time: the verdict tells set-up and
steps apart.
"""
_STEPS = """## Steps

A step is a map of one verb to its fields; a bare value is that of the first field (`delay: 200ms`, `wait-serial:
ready`), and a verb that needs no field stands alone (`- open`). A duration is a number with `us`, `ms`, `s`, `min` or
`h`. Each verb is a method of the Python API by the same name, with underscores and in seconds: `await
scenario.expect_pin("relay", 1, within=0.5)` (`hil/scenario/api.py`), and the `scenario` fixture of the pytest plugin
has them all.
"""
_FLOW = f"""### repeat, parallel

`repeat: {{times: 3, steps: [...]}}` does its steps up to {MAX_TIMES:,} times; `parallel: [...]` begins all of its
steps at once, and the first that fails ends the others.
"""
_FAULTS = """## Faults

`fault: {kill: gateway}`. What they do to gateway and cloud is undone before the next scenario.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [
        _INTRO,
        "An example, `hil/scenarios/rex.yaml`:\n",
        _indented((SHIPPED / f"{EXAMPLE}.yaml").read_text()),
    ]
    parts += [
        "## The head\n",
        _table(Header),
        "`steps`: a list, see below. `afterwards`: with `exhaustive`, what must hold after each cut.\n",
    ]
    heads: dict[str, type[BaseModel]] = {"A board": BoardIn, "A phone": PhoneIn, "exhaustive": ExhaustiveIn}
    for title, model in heads.items():
        about = " ".join((model.__doc__ or "").split())
        parts += [f"### {title}\n", f"{about}\n", _table(model)]
    parts += [_STEPS, *map(_verb, VERBS.values()), _FLOW, _FAULTS, *map(_verb, FAULTS.values()), _shipped()]
    return "\n".join(parts)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.splitlines()) + "\n"


def _verb(verb: Verb) -> str:
    about = " ".join(verb.about.split())
    return f"### {verb.name}\n\n{about}\n\n{_table(verb.model)}"


def _table(model: type[BaseModel]) -> str:
    schema = model.model_json_schema(by_alias=True)
    fields, required = schema.get("properties", {}), schema.get("required", [])
    if not fields:
        return ""
    definitions = schema.get("$defs", {})
    rows = ["| field | value | if absent | |", "|---|---|---|---|"]
    for name, field in fields.items():
        absent = "needed" if name in required else _absent(field)
        about = " ".join(str(_described(field)).split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {_kind(field, definitions)} | {absent} | {about} |")
    return "\n".join(rows) + "\n"


def _described(field: dict[str, Any]) -> str:
    inner = (option.get("description", "") for option in field.get("anyOf", []))
    return str(field.get("description") or next(filter(None, inner), ""))


def _absent(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default in (None, "", [], {}) or isinstance(default, (dict, list)):
        return ""
    if _is_duration(field):
        return f"`{shown(default)}`"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _is_duration(field: dict[str, Any]) -> bool:
    options = [*field.get("anyOf", []), field]
    options += [inner for option in options for inner in option.get("anyOf", [])]
    return any(option.get("pattern") == DURATION_PATTERN for option in options)


def _kind(field: dict[str, Any], definitions: dict[str, Any]) -> str:
    if _is_duration(field):
        return "duration"
    if "enum" in field or "const" in field:
        values = field.get("enum", [field.get("const")])
        return ", ".join(f"`{value}`" for value in values)
    if "$ref" in field:
        return str(field["$ref"].rpartition("/")[2].removesuffix("In").lower())
    options = [option for option in field.get("anyOf", []) if option.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(_kind(option, definitions) for option in options))
    if field.get("type") == "array":
        return f"list of {_kind(field.get('items', {}), definitions)}"
    kind = str(field.get("type", "any"))
    return {"string": "text", "integer": "whole number", "object": "map", "boolean": "`true`, `false`"}.get(
        kind, kind
    )


def _shipped() -> str:
    rows = ["## Those that come with the bench\n", "| file | what it shows |", "|---|---|"]
    for path in sorted(SHIPPED.glob("*.yaml")):
        about = " ".join(load(path).header.about.split())
        rows.append(f"| [{path.stem}](../hil/scenarios/{path.name}) | {about} |")
    return "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    """0; 1 when the page differs, 2 for a wrong call."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m hil.scenario.page [--check]", file=sys.stderr)
        return 2
    if not arguments:
        PAGE.write_text(page())
    elif not PAGE.exists() or PAGE.read_text() != page():
        print(f"differs: {PAGE.name}; write it anew by python -m hil.scenario.page")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
