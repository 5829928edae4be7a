"""The markers of the pytest plugin: what they may say, and the boards and faults that they ask for."""

import inspect
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hil.board.description import DescriptionError
from hil.rig.hints import near
from hil.rig.resources import described
from hil.scenario.api import FAULTS
from hil.scenario.header import BoardIn, Header, board_files
from hil.scenario.plain import plain

Marks = Mapping[str, Sequence[tuple[tuple[Any, ...], dict[str, Any]]]]
FRONT, ANNA = "front", "anna"
SITE_FIXTURES = frozenset({"site", "phone"})


class Misuse(Exception):
    """A marker asks for what there is not."""


def board(description: Any = None, name: Any = None, firmware: Any = None, **fields: Any) -> dict[str, Any]:
    """Fields of a board of a scenario, and its name."""
    given = {"description": description, "name": name, "firmware": firmware} | fields
    return {field: value for field, value in given.items() if value is not None}


def flash_image(what: Any, board: str | None = None) -> tuple[Any, str | None]:
    """What is on a board's flash; of the first without a name."""
    return what, board


def latchwork_fault(name: str, *values: Any, **fields: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """A fault of scenarios with its fields."""
    return name, values, fields


def header(marks: Marks, fixtures: frozenset[str], folder: Path, scratch: Path) -> Header:
    """The boards and phones that a test's marks and fixtures ask for. Raises Misuse."""
    has_site = bool(SITE_FIXTURES & fixtures)
    boards = _boards(marks["board"])
    for args, kwargs in marks["flash_image"]:
        what, name = _bound(flash_image, args, kwargs)
        name = name or next(iter(boards))
        if name not in boards:
            raise Misuse(f"flash_image: no board {name}{near(name, boards)}")
        boards[name] |= _flash(what, folder, Path(tempfile.mkdtemp(dir=scratch)))
    for about in boards.values():
        held = about.keys() & {"program", "files", "image"}
        about.setdefault("firmware", "door" if has_site and not held else "none")
    made = {name: _made(name, about, folder) for name, about in boards.items()}
    phones: dict[str, Any] = {ANNA: {}} if "phone" in fixtures else {}
    try:
        return Header.model_validate({"name": "pytest", "boards": made, "site": has_site, "phones": phones})
    except ValidationError as error:
        raise Misuse(f"board: {_told(error, Header.model_fields)}") from None


def faults(marks: Marks) -> list[tuple[str, tuple[Any, ...], dict[str, Any]]]:
    """The names of the marked faults, and their arguments. Raises Misuse."""
    found = [_bound(latchwork_fault, args, kwargs) for args, kwargs in marks["latchwork_fault"]]
    for name, values, fields in found:
        if name not in FAULTS:
            raise Misuse(f"latchwork_fault: no fault {name!r}{near(str(name), FAULTS)}")
        known = FAULTS[name].model.model_fields
        parameters = [
            inspect.Parameter(
                field,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=None if not about.is_required() else inspect.Parameter.empty,
            )
            for field, about in known.items()
        ]
        try:
            inspect.Signature(parameters).bind(*values, **fields)
        except TypeError as error:
            raise Misuse(f"latchwork_fault {name}: {error}; it takes {', '.join(known)}") from None
    return found


def _boards(marks: Iterable[tuple[tuple[Any, ...], dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for args, kwargs in marks or [((), {})]:
        fields = _bound(board, args, kwargs)
        name = fields.pop("name", None) or (FRONT if not found else f"{FRONT}-{len(found) + 1}")
        if name in found:
            raise Misuse(f"board: there are two of the name {name}")
        found[name] = fields
    return found


def _bound(marker: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a marker says by its arguments."""
    try:
        return marker(*args, **kwargs)
    except TypeError as error:
        raise Misuse(str(error).replace("()", "")) from None


def _made(name: str, about: dict[str, Any], folder: Path) -> BoardIn:
    try:
        made = BoardIn.model_validate(about)
        described(made.description, folder)
        board_files(made, folder)
    except ValidationError as error:
        raise Misuse(f"board {name}: {_told(error, BoardIn.model_fields)}") from None
    except DescriptionError as error:
        raise Misuse(f"board {name}: {error}") from None
    except OSError as error:
        raise Misuse(f"flash_image of {name}: {error.filename}: {error.strerror}") from None
    return made


def _told(error: ValidationError, known: Iterable[str]) -> str:
    lines = []
    for issue in error.errors(include_url=False):
        field = ".".join(str(part) for part in issue["loc"] if part != "[key]")
        unknown = issue["type"] == "extra_forbidden"
        lines.append(f"unknown field {field}{near(field, known)}" if unknown else f"{field}: {plain(issue)}")
    return "; ".join(lines)


def _flash(what: Any, folder: Path, scratch: Path) -> dict[str, Any]:
    """Fields of a board: its program, its files, or its whole flash."""
    if isinstance(what, Mapping):
        for name, text in what.items():
            path = scratch / str(name).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else str(text).encode())
        return _flash(scratch, folder, scratch)
    if not isinstance(what, (str, Path)):
        raise Misuse(f"flash_image: a map of paths to texts, a folder, a program, or an image, not {what!r}")
    path = folder / what
    if path.is_dir():
        files = {str(f.relative_to(path)): str(f) for f in sorted(path.rglob("*")) if f.is_file()}
        return {"files": files}
    if path.suffix == ".py":
        return {"files": {"main.py": str(path)}}
    return {"image": str(path)}
