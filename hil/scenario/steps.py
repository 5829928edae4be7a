"""Reads the list of steps: each a map of one verb to its fields, or to the value of its first field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hil.board.description import Description
from hil.rig.capabilities import EVERYTHING, lacking
from hil.rig.hints import near
from hil.scenario.api import FAULTS, VERBS
from hil.scenario.checks import strangers
from hil.scenario.document import Document, Mistake, Place
from hil.scenario.header import Header
from hil.scenario.matching import names_in
from hil.scenario.plain import plain
from hil.scenario.verb import Verb

FAULT, REPEAT, PARALLEL = "fault", "repeat", "parallel"
FLOW = (REPEAT, PARALLEL)
WORDS = (*VERBS, FAULT, *FLOW)
# Fields in which {name} is what the site calls something.
NAMED = {
    "api": ("path", "body", "expect"),
    "give-key": ("terms",),
    "give-credential": ("terms",),
    "policy": ("fields",),
}
MAX_DEPTH = 8
MAX_TIMES = 10_000
TITLE_WIDTH = 90


@dataclass(frozen=True)
class Step:
    """``path`` leads to the method of the Python API. Of ``repeat`` and ``parallel``: ``steps`` are done."""

    word: str
    title: str
    line: int
    path: tuple[str, ...] = ()
    arguments: tuple[tuple[str, Any], ...] = ()
    steps: "tuple[Step, ...]" = ()
    times: int = 1


class StepReader:
    """Collects mistakes rather than to stop at the first."""

    def __init__(
        self,
        document: Document,
        mistakes: list[Mistake],
        header: Header | None,
        offers: frozenset[str] = EVERYTHING,
        wiring: Mapping[str, Description] | None = None,
    ) -> None:
        """``offers``: what the rig can do; ``wiring``: how its boards are wired, of those whose description is there."""
        self._wiring = wiring or {}
        self._offers = offers
        self._document = document
        self._mistakes = mistakes
        self._header = header
        self._names = _first_names(header) if header is not None else set[str]()

    def steps(self, value: Any, place: Place, depth: int = 0) -> tuple[Step, ...]:
        if not isinstance(value, list):
            self._wrong(place, "is a list of steps, each after a dash")
            return ()
        if depth > MAX_DEPTH:
            self._wrong(place, f"is nested deeper than {MAX_DEPTH}")
            return ()
        found = [self._step(item, (*place, number), depth) for number, item in enumerate(value)]
        return tuple(step for step in found if step is not None)

    def _step(self, value: Any, place: Place, depth: int) -> Step | None:
        if isinstance(value, str) and value in WORDS:  # "- open" for "- open:"
            value = {value: None}
        if not isinstance(value, dict) or len(value) != 1:
            told = f"has {len(value)} of them: {', '.join(value)}" if isinstance(value, dict) else "is none"
            self._wrong(place, f"a step is a map of one verb, such as `delay: 200ms`; this {told}")
            return None
        ((word, fields),) = value.items()
        inside = (*place, word)
        if word not in WORDS:
            self._wrong(inside, f"unknown step {word}{near(word, WORDS)}")
            return None
        if word in FLOW:
            return self._flow(word, fields, inside, depth)
        if word == FAULT:
            return self._fault(fields, inside)
        return self._act(VERBS[word], fields, inside, word)

    def _fault(self, fields: Any, place: Place) -> Step | None:
        if isinstance(fields, str) and fields in FAULTS:
            fields = {fields: None}
        if not isinstance(fields, dict) or len(fields) != 1:
            self._wrong(place, f"a fault is a map of one: {', '.join(FAULTS)}")
            return None
        ((word, inner),) = fields.items()
        if word not in FAULTS:
            self._wrong((*place, word), f"unknown fault {word}{near(word, FAULTS)}")
            return None
        return self._act(FAULTS[word], inner, (*place, word), f"{FAULT} {word}")

    def _act(self, verb: Verb, fields: Any, place: Place, word: str) -> Step | None:
        try:
            arguments = verb.arguments(fields)
        except ValidationError as error:
            self._explain(error, verb, place, fields)
            return None
        if (needed := verb.needs(arguments)) and needed not in self._offers:
            self._wrong(place, lacking(needed))
        self._check_names(verb, arguments, place)
        title = f"{word} {_told(fields)}".strip()
        return Step(
            word, title[:TITLE_WIDTH], self._document.line(place), verb.path, tuple(arguments.items())
        )

    def _flow(self, word: str, fields: Any, place: Place, depth: int) -> Step | None:
        times, inner, where = 1, fields, place
        if word == REPEAT:
            if not isinstance(fields, dict) or set(fields) != {"times", "steps"}:
                self._wrong(place, "repeat has the fields times and steps")
                return None
            times, inner, where = fields["times"], fields["steps"], (*place, "steps")
            if isinstance(times, bool) or not isinstance(times, int) or not 1 <= times <= MAX_TIMES:
                self._wrong((*place, "times"), f"times is a number from 1 to {MAX_TIMES:,}, not {times!r}")
                return None
        steps = self.steps(inner, where, depth + 1)
        if inner == []:
            self._wrong(where, f"{word} has at least one step")
        told = f"{word} {times} times" if word == REPEAT else word
        title = f"{told}: {'; '.join(step.title for step in steps)}"
        return Step(word, title[:TITLE_WIDTH], self._document.line(place), steps=steps, times=times)

    def _check_names(self, verb: Verb, arguments: dict[str, Any], place: Place) -> None:
        """Boards, phones and names that neither the head nor an earlier step has made."""
        if self._header is None:
            return
        for field, message in strangers(verb.name, arguments, self._header, self._wiring):
            self._wrong((*place, field), message)
        for field in NAMED.get(verb.name, ()):
            for name in names_in(arguments[field]):
                if name not in self._names:
                    self._wrong((*place, field), f"no name {name} until here{near(name, self._names)}")
        self._names |= {*arguments.get("save", ()), f"{arguments.get('user')}.user"}

    def _explain(self, error: ValidationError, verb: Verb, place: Place, fields: Any) -> None:
        known = [field.alias or name for name, field in verb.model.model_fields.items()]
        issues = error.errors(include_url=False)
        misspelt = any(issue["type"] == "extra_forbidden" for issue in issues)
        for issue in issues:
            field = str(issue["loc"][0]) if issue["loc"] else verb.name
            if misspelt and issue["type"] == "missing":
                continue  # most likely the same field
            if issue["type"] == "extra_forbidden":
                message = f"{verb.name} has no field {field}{near(field, known)}"
            elif issue["type"] == "missing":
                message = f"{verb.name} needs {field}"
            else:
                message = f"{field}: {plain(issue)}"
            inside = issue["loc"] if isinstance(fields, dict) else ()
            self._wrong((*place, *inside), message)

    def _wrong(self, place: Place, message: str) -> None:
        self._mistakes.append(self._document.mistake(place, message))


def _told(fields: Any) -> str:
    """As the file says it, in one line."""
    if fields is None:
        return ""
    if isinstance(fields, dict):
        return ", ".join(f"{name} {_told(item)}".strip() for name, item in fields.items())
    if isinstance(fields, list):
        return f"[{', '.join(_told(item) for item in fields)}]"
    return (
        repr(fields) if isinstance(fields, str) and (not fields or not fields.isprintable()) else str(fields)
    )


def _first_names(header: Header) -> set[str]:
    """What is there before the first step."""
    doors = [name for name, board in header.boards.items() if board.is_door]
    ids = {"site", *doors, *(f"{door}.device" for door in doors)} if header.has_site else set[str]()
    return ids | {f"{phone}.{what}" for phone in header.phones for what in ("key", "user")}


def harms_site(step: Step) -> bool:
    """Whether it is a fault of gateway or cloud, or holds one."""
    fault = FAULTS.get(step.path[-1].replace("_", "-")) if step.path[:1] == (FAULT,) else None
    return (fault is not None and fault.short == "what") or any(map(harms_site, step.steps))
