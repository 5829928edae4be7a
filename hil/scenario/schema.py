"""The JSON Schema of scenario files, from the models that read them."""

from typing import Any

from hil.scenario.api import FAULTS, VERBS
from hil.scenario.header import Header
from hil.scenario.steps import FAULT, MAX_TIMES, PARALLEL, REPEAT
from hil.scenario.verb import Verb

Schema = dict[str, Any]
_STEPS = {"type": "array", "items": {"$ref": "#/$defs/step"}}
# Any value may be a parameter, whose type is known only when it is set.
REFERENCE = {"type": "string", "pattern": r"\$\{[^}]*\}"}


def schema() -> Schema:
    """Draft 2020-12."""
    head = _lenient(Header.model_json_schema(by_alias=True))
    definitions = head.pop("$defs", {})
    definitions["step"] = {"anyOf": [_step(verb) for verb in VERBS.values()] + _flow() + _bare()}
    for named in ("boards", "phones"):
        _or_nothing(head["properties"][named], "patternProperties")
    head["properties"] |= {"steps": {**_STEPS, "minItems": 1}, "afterwards": _STEPS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **head,
        "title": "Latchwork scenario",
        "required": [*head.get("required", []), "steps"],
        "$defs": definitions,
    }


def _or_nothing(owner: Schema, key: str) -> None:
    """``anna:`` alone is a phone like any other."""
    owner[key] = {pattern: {"anyOf": [inner, {"type": "null"}]} for pattern, inner in owner[key].items()}


def _step(verb: Verb) -> Schema:
    return {
        "type": "object",
        "description": verb.about,
        "properties": {verb.name: _fields(verb)},
        "required": [verb.name],
        "additionalProperties": False,
    }


def _fields(verb: Verb) -> Schema:
    """The fields, or the value of the first; nothing, if none is needed."""
    whole = _lenient(verb.model.model_json_schema(by_alias=True))
    whole.pop("title", None)
    whole.pop("description", None)
    ways = [whole]
    if verb.short:
        ways.append(next(iter(whole["properties"].values())))
    if not whole.get("required"):
        ways.append({"type": "null"})
    return {"anyOf": ways}


def _flow() -> list[Schema]:
    times = {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_TIMES}, REFERENCE]}
    repeat = {
        "type": "object",
        "properties": {"times": times, "steps": _STEPS},
        "required": ["times", "steps"],
        "additionalProperties": False,
    }
    faults = {"anyOf": [*(_step(verb) for verb in FAULTS.values()), {"enum": list(FAULTS)}]}
    return [
        {"type": "object", "properties": {name: inner}, "required": [name], "additionalProperties": False}
        for name, inner in ((REPEAT, repeat), (PARALLEL, _STEPS), (FAULT, faults))
    ]


def _bare() -> list[Schema]:
    """Verbs that need no field may stand alone."""
    return [
        {"enum": [name for name, verb in VERBS.items() if not verb.model.model_json_schema().get("required")]}
    ]


def _lenient(value: Any) -> Any:
    """The same schema, but a parameter may stand for any scalar."""
    if isinstance(value, list):
        return [_lenient(item) for item in value]
    if not isinstance(value, dict):
        return value
    inner = {
        key: item if key in ("default", "enum", "const") else _lenient(item) for key, item in value.items()
    }
    if inner.get("type") in ("integer", "number", "boolean", "string") or "enum" in inner or "const" in inner:
        described = {key: inner.pop(key) for key in ("description", "default", "title") if key in inner}
        return {**described, "anyOf": [inner, REFERENCE]}
    return inner
