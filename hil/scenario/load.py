"""From a file to the cases that it describes, or to its mistakes, each with line and column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hil.board.description import Description, DescriptionError
from hil.rig.capabilities import EVERYTHING, lacking
from hil.rig.hints import near
from hil.rig.resources import described
from hil.scenario.document import Document, Mistake, Place, ScenarioError, read
from hil.scenario.door_policy import refused
from hil.scenario.header import BoardIn, Header, board_files
from hil.scenario.parameters import MAX_CASES, Parameters, Scalar, combinations, substituted
from hil.scenario.plain import plain
from hil.scenario.steps import Step, StepReader, harms_site

STEPS, AFTERWARDS = "steps", "afterwards"
_LISTS = (STEPS, AFTERWARDS)


@dataclass(frozen=True)
class Case:
    """One combination of parameters: what is run, and what it is called."""

    header: Header
    steps: tuple[Step, ...]
    afterwards: tuple[Step, ...]
    parameters: Parameters
    varied: Parameters  # those of the matrix
    path: Path

    @property
    def is_alone(self) -> bool:
        """Whether it harms the site that others would share with it."""
        return any(map(harms_site, self.steps + self.afterwards))

    @property
    def title(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.varied.items())
        return f"{self.header.name} ({values})" if values else self.header.name


@dataclass(frozen=True)
class ScenarioFile:
    """A file without a mistake."""

    path: Path
    cases: tuple[Case, ...]

    @property
    def header(self) -> Header:
        return self.cases[0].header


def load(
    path: Path, settings: Mapping[str, str] | None = None, offers: frozenset[str] = EVERYTHING
) -> ScenarioFile:
    """Read a file, with parameters set; raises ScenarioError with every mistake in it, and with all that it needs of a rig beyond
    what that ``offers``."""
    return loaded(read(path), path, settings or {}, offers)


def loaded(
    document: Document, path: Path, settings: Mapping[str, str], offers: frozenset[str] = EVERYTHING
) -> ScenarioFile:
    """The same of a document."""
    if not isinstance(document.value, dict):
        raise ScenarioError([document.mistake((), "a scenario is a map with name and steps")])
    mistakes: list[Mistake] = []
    defaults, matrix = _varied(document, settings, mistakes)
    cases: list[Case] = []
    for values in combinations(matrix):
        if len(cases) == MAX_CASES:
            mistakes.append(document.mistake(("matrix",), f"makes more than {MAX_CASES} cases"))
            break
        case = _case(document, path, {**defaults, **values}, values, mistakes, offers)
        if case is not None:
            cases.append(case)
    if mistakes or not cases:
        raise ScenarioError(list(dict.fromkeys(mistakes)))
    return ScenarioFile(path, tuple(cases))


def _varied(
    document: Document, settings: Mapping[str, str], mistakes: list[Mistake]
) -> tuple[dict[str, Scalar], dict[str, list[Scalar]]]:
    """Parameters with what was set, and the matrix without it."""
    defaults = document.value.get("parameters")
    matrix = document.value.get("matrix")
    known = dict(defaults) if isinstance(defaults, dict) else {}
    rows = (
        {name: row for name, row in matrix.items() if isinstance(row, list)}
        if isinstance(matrix, dict)
        else {}
    )
    for name, text in settings.items():
        if name not in known:
            mistakes.append(
                document.mistake(("parameters",), f"--set {name}: no such parameter{near(name, known)}")
            )
            continue
        known[name] = _typed(text, known[name])
        rows.pop(name, None)
    return known, rows


def _typed(text: str, like: Any) -> Scalar:
    """What was set, as the type of the default if it fits."""
    if isinstance(like, bool):
        return text.lower() in ("true", "yes", "on", "1")
    for kind in (int, float):
        if isinstance(like, kind):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _case(
    document: Document,
    path: Path,
    parameters: Parameters,
    varied: Parameters,
    mistakes: list[Mistake],
    offers: frozenset[str],
) -> Case | None:
    before = len(mistakes)
    whole = {
        name: item
        if name in ("parameters", "matrix")
        else substituted(document, item, (name,), parameters, mistakes)
        for name, item in document.value.items()
    }
    header = _header(document, {name: item for name, item in whole.items() if name not in _LISTS}, mistakes)
    wiring = _wiring(document, header, path.parent, mistakes) if header is not None else {}
    reader = StepReader(document, mistakes, header, offers, wiring)
    lists = {name: reader.steps(whole.get(name, []), (name,)) for name in _LISTS}
    if not lists[STEPS] and len(mistakes) == before:
        mistakes.append(document.mistake((STEPS,), "a scenario has at least one step"))
    if header is not None:
        mistakes.extend(document.mistake(place, message) for place, message in header.strangers())
        mistakes.extend(
            document.mistake(place, lacking(what)) for place, what in header.needs() if what not in offers
        )
        mistakes.extend(_missing(document, header, path.parent))
        mistakes.extend(_policies(document, header))
        if lists[AFTERWARDS] and header.exhaustive is None:
            mistakes.append(
                document.mistake((AFTERWARDS,), "is for scenarios with exhaustive; make them steps")
            )
    if header is None or len(mistakes) > before:
        return None
    return Case(header, lists[STEPS], lists[AFTERWARDS], parameters, varied, path)


def _header(document: Document, value: Mapping[str, Any], mistakes: list[Mistake]) -> Header | None:
    try:
        return Header.model_validate(value)
    except ValidationError as error:
        known = {field.alias or name for name, field in Header.model_fields.items()} | set(_LISTS)
        mistakes.extend(explained(document, error, (), known))
        return None


def explained(
    document: Document, error: ValidationError, above: Place, known: Iterable[str]
) -> list[Mistake]:
    """Pydantic's complaints as mistakes of the file."""
    found: list[Mistake] = []
    for issue in error.errors(include_url=False):
        inner = tuple(part for part in issue["loc"] if part != "[key]")
        if issue["type"] == "extra_forbidden":
            names = known if len(inner) == 1 else BoardIn.model_fields if inner[0] == "boards" else ()
            message = f"unknown field {inner[-1]}{near(str(inner[-1]), names)}"
        elif issue["type"] == "missing":
            message = f"{inner[-1]} is missing"
        else:
            message = f"{inner[-1]}: {plain(issue)}" if inner else plain(issue)
        found.append(document.mistake((*above, *inner), message))
    return found


def _wiring(
    document: Document, header: Header, folder: Path, mistakes: list[Mistake]
) -> dict[str, Description]:
    """The descriptions of boards; those that are not there are told."""
    found: dict[str, Description] = {}
    for name, board in header.boards.items():
        try:
            found[name] = described(board.description, folder)
        except DescriptionError as error:
            mistakes.append(document.mistake(("boards", name, "description"), str(error)))
    return found


def _missing(document: Document, header: Header, folder: Path) -> list[Mistake]:
    """Files of boards that are not there."""
    found: list[Mistake] = []
    for name, board in header.boards.items():
        try:
            board_files(board, folder)
        except OSError as error:
            place = ("boards", name, "image" if error.filename == str(folder / board.image) else "files")
            found.append(document.mistake(place, f"{error.filename}: {error.strerror}"))
    return found


def _policies(document: Document, header: Header) -> list[Mistake]:
    """Fields of policies that doors do not have."""
    return [
        document.mistake(("boards", name, "policy", field), message)
        for name, board in header.boards.items()
        if board.policy
        for field, message in refused(board.policy)
    ]
