"""Verbs: a method of the Python API is a step of a YAML file, by its own signature and docstring."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

F = TypeVar("F", bound=Callable[..., Any])
_MARK, _NEEDS, _RULE = "_is_verb", "_needs", "_rule"
_STRICT = ConfigDict(extra="forbid", populate_by_name=True, alias_generator=lambda name: kebab(name))


class StepFailed(Exception):
    """A board, a phone or the cloud did not do what was expected."""

    def __init__(self, expected: str, seen: str) -> None:
        super().__init__(f"expected {expected}; saw {seen}")
        self.expected = expected
        self.seen = seen


def verb(method: F) -> F:
    """Make a method a step. Its first parameter is what a bare value stands for: ``delay: 200ms``."""
    setattr(method, _MARK, True)
    return method


def needs(capability: str, of: str = "") -> Callable[[F], F]:
    """Say what a rig must be able to do (``hil.rig.capabilities``); ``of`` an argument: only where that is given."""

    def mark(method: F) -> F:
        setattr(method, _NEEDS, (capability, of))
        return method

    return mark


def rule(broken: Callable[[Any], str]) -> Callable[[F], F]:
    """Hold the fields of a step to each other: ``broken`` says of the model what is wrong; empty if nothing is."""

    def mark(method: F) -> F:
        setattr(method, _RULE, broken)
        return method

    return mark


def kebab(name: str) -> str:
    return name.rstrip("_").replace("_", "-")


@dataclass(frozen=True)
class Verb:
    """``path`` leads from the scenario to the method; ``name`` is the word in the file."""

    name: str
    path: tuple[str, ...]
    about: str
    model: type[BaseModel]
    capability: str = ""
    needed_for: str = ""  # the argument that needs it; else the verb does

    def needs(self, arguments: Mapping[str, Any]) -> str:
        """The capability of a rig that the step needs; empty if none."""
        return self.capability if not self.needed_for or arguments[self.needed_for] is not None else ""

    @property
    def short(self) -> str:
        """The field that a bare value stands for; empty if there is none."""
        return next(iter(self.model.model_fields), "")

    def arguments(self, value: Any) -> dict[str, Any]:
        """Raises pydantic's ValidationError."""
        if value is None:
            value = {}
        elif not isinstance(value, dict):
            value = {self.short: value}
        valid = self.model.model_validate(value)
        return {name: getattr(valid, name) for name in self.model.model_fields}


def verbs_of(owner: type, *above: str) -> dict[str, Verb]:
    """The verbs of a class by their names in a file, in the order of the class."""
    found: dict[str, Verb] = {}
    for base in reversed(owner.__mro__):
        for name, method in vars(base).items():
            if getattr(method, _MARK, False):
                found[kebab(name)] = _verb(name, method, above)
    return found


def _verb(name: str, method: Callable[..., Any], above: tuple[str, ...]) -> Verb:
    hints = get_type_hints(method, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default))
    model = create_model(
        kebab(name),
        __config__=_STRICT,
        __doc__=inspect.getdoc(method),
        __validators__=_validators(getattr(method, _RULE, None)),
        **fields,
    )
    capability, needed_for = getattr(method, _NEEDS, ("", ""))
    return Verb(kebab(name), (*above, name), inspect.getdoc(method) or "", model, capability, needed_for)


def _validators(broken: Callable[[Any], str] | None) -> dict[str, Any]:
    """The rule of a verb, for pydantic."""

    def hold(given: BaseModel) -> BaseModel:
        if broken is not None and (message := broken(given)):
            raise ValueError(message)
        return given

    return {"rule": model_validator(mode="after")(hold)}
