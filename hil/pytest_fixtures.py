"""What stands behind the fixtures of the pytest plugin: the bench on a loop of its own, and views of it that block.

Tests are plain functions, or coroutines of whatever loop their project uses; the bench does not care.
"""

import asyncio
import contextlib
import functools
import inspect
import re
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from hil.phone import PhoneError, PhoneResult
from hil.pytest_markers import ANNA, SITE_FIXTURES, Marks, faults, header
from hil.radio.path_loss import Position
from hil.rig import Unwired, WaitTimeout
from hil.rig.expect import TAIL, lines
from hil.scenario.api import FAULTS, Scenario
from hil.scenario.bench import Bench
from hil.scenario.quantities import compiles
from hil.scenario.verb import StepFailed
from hil.scenario.world import Unit, World
from hil.stack.api import ApiError
from protocol.handshake import ACTION_STATUS, ACTION_UNLOCK

T = TypeVar("T")
EXPECT_S = 30.0
# What a test is told of its boards: how the bench found out is nobody's business.
_TOLD = (WaitTimeout, StepFailed, Unwired, PhoneError, ApiError)


class Loop:
    """An event loop in a thread. The bench's children die with that thread, and it lives as long as the session."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="latchwork", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Block until it is done; cancelled if the test is (by a time-out of pytest's, or Ctrl-C)."""
        __tracebackhide__ = True
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except _TOLD as error:
            raise error.with_traceback(None) from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Blocking:
    """The same object, whose methods run on the bench's loop and block, also those that are coroutines."""

    def __init__(self, inner: Any, loop: Loop, **parts: "Blocking") -> None:
        """``parts`` are attributes that block, too."""
        self._inner = inner
        self._on = loop
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        found = getattr(self._inner, name)
        if not callable(found):
            return found
        return functools.wraps(found)(functools.partial(_blocking, self._on, found))


def _blocking(loop: Loop, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    __tracebackhide__ = True

    async def call() -> Any:
        result = method(*args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    return loop.run(call())


class Dut:
    """A board's console, in the manner of pytest-embedded."""

    def __init__(self, unit: Unit, loop: Loop) -> None:
        self._console = unit.target.console
        self._loop = loop

    @property
    def path(self) -> str:
        """What mpremote connects to."""
        return self._console.path

    @property
    def text(self) -> str:
        """All that was printed."""
        return self._console.text

    def write(self, data: str | bytes) -> None:
        """Type at it. A text gets its end of line, unless it has one or is a control character such as Ctrl-C."""
        if isinstance(data, str) and data.isprintable():
            data += "\r\n"
        _blocking(self._loop, self._console.write, data)

    def expect(self, pattern: Any, timeout: float = EXPECT_S, expect_all: bool = False) -> Any:
        """The match of a regular expression (a text, bytes, or compiled), or of the first of a list that comes; with
        ``expect_all`` the matches of all of them, in any order. Each begins where the one before it ended. Raises WaitTimeout.
        """
        __tracebackhide__ = True
        patterns = _several(pattern)
        if not expect_all:
            return self._one(patterns, timeout)
        left, found = list(patterns), []
        while left:
            match = self._one(left, timeout)
            found.append(match)
            left.remove(next(p for p in left if _fits(p, match)))
        return found

    def expect_exact(self, text: Any, timeout: float = EXPECT_S) -> Any:
        """The text itself, or the first of a list that comes."""
        __tracebackhide__ = True
        texts = {one.decode() if isinstance(one, bytes) else str(one): one for one in _several(text)}
        found = self._loop.run(self._console.expect_exact(list(texts), timeout))
        return next((one for plain, one in texts.items() if lines(plain) == found), found)

    def _one(self, patterns: list[Any], timeout: float) -> Any:
        __tracebackhide__ = True
        match = self._loop.run(self._console.expect(list(map(_text, patterns)), timeout))
        if any(_is_bytes(p) for p in patterns):
            raw = match[0].encode()
            found = (re.search(p, raw, re.MULTILINE) for p in patterns if _is_bytes(p))
            return next(filter(None, found), match)
        return match


def _several(wanted: Any) -> list[Any]:
    return list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]


def _is_bytes(pattern: Any) -> bool:
    return isinstance(pattern.pattern if isinstance(pattern, re.Pattern) else pattern, bytes)


def _text(pattern: Any) -> str:
    """With the flags of a compiled one in it. ValueError if it is no regular expression."""
    __tracebackhide__ = True
    flags = ""
    if isinstance(pattern, re.Pattern):
        named = {re.IGNORECASE: "i", re.DOTALL: "s", re.VERBOSE: "x"}
        flags = "".join(letter for flag, letter in named.items() if pattern.flags & flag)
        pattern = pattern.pattern
    text = pattern.decode() if isinstance(pattern, bytes) else str(pattern)
    try:
        return f"(?{flags}:{text})" if flags else compiles(text)
    except ValueError as error:
        raise error.with_traceback(None) from None


def _fits(pattern: Any, match: Any) -> bool:
    whole = match[0].decode() if isinstance(match[0], bytes) else match[0]
    return re.search(_text(pattern), whole, re.MULTILINE) is not None


class BoardHandle:
    """A board: every protocol of a rig, and its console as ``dut``."""

    def __init__(self, unit: Unit, loop: Loop) -> None:
        target = unit.target
        self.name = target.name
        self.power = Blocking(target.power, loop)
        self.console = Blocking(target.console, loop)
        self.pins = Blocking(target.pins, loop)
        self.flash = Blocking(target.flash, loop)
        self.radio = Blocking(target.radio, loop)
        self.reader = Blocking(target.reader, loop)
        self.dut = Dut(unit, loop)


class PhoneHandle:
    """A phone with its keys."""

    def __init__(self, world: World, name: str, loop: Loop) -> None:
        self.name = name
        self._world = world
        self._loop = loop

    def unlock(self, board: str | None = None, timeout: float = 10.0) -> PhoneResult:
        """The door's answer: ``status``, ``granted``, ``audit_seq``. Raises hil.phone.PhoneError if there is none."""
        return self._ask(board, timeout, ACTION_UNLOCK)

    def status(self, board: str | None = None, timeout: float = 10.0) -> PhoneResult:
        """The same, and nothing opens."""
        return self._ask(board, timeout, ACTION_STATUS)

    def place(self, x: float, y: float, z: float = 1.0) -> None:
        """Carry it somewhere, in metres."""
        _blocking(self._loop, self._world.phone(self.name).adapter.place, Position(x, y, z))

    def _ask(self, board: str | None, timeout: float, action: int) -> PhoneResult:
        key = self._world.keys[self.name, self._world.unit(board).name]
        return self._loop.run(self._world.phone(self.name).unlock(key, timeout, action))


class SiteHandle:
    """The cloud's side of the test's doors."""

    def __init__(self, world: World, loop: Loop) -> None:
        self._world = world
        self.id = world.site.site_id
        self.url = world.site.api.url
        self.api = Blocking(world.site.api, loop)

    def door_id(self, board: str | None = None) -> str:
        return self._world.door(board).door_id

    def device_id(self, board: str | None = None) -> str:
        return self._world.door(board).device_id


class Bed:
    """What one test has."""

    def __init__(self, world: World, loop: Loop, seed: int) -> None:
        self._world = world
        self._loop = loop
        self._seed = seed
        self._boards = {name: BoardHandle(unit, loop) for name, unit in world.units.items()}
        inner = Scenario(world)
        self.fault = Blocking(inner.fault, loop)
        self.scenario = Blocking(inner, loop, fault=self.fault)

    def board(self, name: str | None = None) -> BoardHandle:
        return self._boards[self._world.unit(name).name]

    def boards(self) -> Mapping[str, BoardHandle]:
        return self._boards

    def phone(self, name: str = ANNA) -> PhoneHandle:
        return PhoneHandle(self._world, name, self._loop)

    def site(self) -> SiteHandle:
        return SiteHandle(self._world, self._loop)

    def fail_at(self, marks: Marks) -> None:
        """Bring the marked faults about."""
        for name, values, fields in faults(marks):
            getattr(self.fault, FAULTS[name].path[-1])(*values, **fields)

    def sections(self) -> list[tuple[str, str]]:
        """What a report of a failure shows."""
        seed = ("latchwork", f"again: --latchwork-seed {self._seed}")
        consoles = [
            (f"console of {name}", unit.target.console.text[-4 * TAIL :])
            for name, unit in self._world.units.items()
        ]
        return [*consoles, seed]


class Beds:
    """The session's bench; its cloud and gateway are started by the first test that needs them."""

    def __init__(self, folder: Path, seed: int | None, air: str | None) -> None:
        self._loop = Loop()
        self._bench = Bench(folder / "bench")
        self._seed = secrets.randbelow(2**32) if seed is None else seed
        self._air = air

    def __enter__(self) -> Self:
        self._loop.run(self._bench.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._loop.run(self._bench.__aexit__(kind, error, trace))
        finally:
            self._loop.close()

    @contextlib.contextmanager
    def made(self, marks: Marks, fixtures: frozenset[str], folder: Path) -> Iterator[Bed]:
        """What a test's marks and fixtures ask for. Raises Misuse before anything runs."""
        wanted = header(marks, fixtures, folder, self._bench.folder)
        faults(marks)
        air = self._air if not SITE_FIXTURES & fixtures else None

        async def start() -> World:
            world = World(self._bench, wanted, folder, self._seed, air=air)
            try:
                await world.start()
            except BaseException:
                await world.stop()
                raise
            return world

        world = self._loop.run(start())
        try:
            bed = Bed(world, self._loop, self._seed)
            bed.fail_at(marks)
            yield bed
        finally:
            self._loop.run(world.stop())
