"""Writes a Value Change Dump (IEEE 1364-2005 clause 18) that GTKWave, PulseView and sigrok-cli open.

The header must name every signal, yet boards join while a run is under way. So the changes go to a scratch
file and the header is written when the recording is closed.
"""

import heapq
import re
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

Kind = Literal["wire", "string"]
Value = bool | int | str | None

# Boards report through sockets of their own, so changes arrive out of order: by as much as the bench stalls.
REORDER_WINDOW_US = 1_000_000
# Bounds the memory of that window against a signal that chatters.
REORDER_MAX_CHANGES = 16_384
# A bus wider than this is a mistake of the caller, not a door.
MAX_WIDTH = 1024

_TIMESCALES = {
    1: "1 us",
    10: "10 us",
    100: "100 us",
    1_000: "1 ms",
    10_000: "10 ms",
    100_000: "100 ms",
    1_000_000: "1 s",
}
_BITS = frozenset("01xz")
# Printable ASCII without what begins a keyword, a time or a value: libsigrok skips records it does not know
# word by word, and would take such a code for a change of another signal.
_CODE_ALPHABET = "".join(c for c in map(chr, range(33, 127)) if c not in "#$01xXzZbBrRsS")
_UNPRINTABLE = re.compile(r"[^!-~]+")


class VcdError(ValueError):
    """The caller misused the writer: a bad name, width, value or timescale."""


class Signal:
    """One declared variable. `name` is the caller's; `path` is what the file says, without the dots."""

    __slots__ = ("code", "kind", "last", "name", "path", "width")

    def __init__(self, name: str, path: tuple[str, ...], code: str, kind: Kind, width: int) -> None:
        self.name = name
        self.path = path
        self.code = code
        self.kind = kind
        self.width = width
        self.last: str | None = None


class VcdWriter:
    """A recording. Signals may be declared at any time before `close`.

    Time zero of the file is `start_us` or, without it, the earliest change. A change older than the reorder
    window keeps its value and takes the time of the last change written.
    """

    def __init__(self, path: str | Path, timescale_us: int = 1, start_us: int | None = None) -> None:
        if timescale_us not in _TIMESCALES:
            raise VcdError(f"a VCD timescale is 1, 10 or 100 of a unit, not {timescale_us} us")
        self.path = Path(path)
        self.start_us = start_us
        self._timescale_us = timescale_us
        self._recorded_at = datetime.now(UTC)
        self._signals: dict[str, Signal] = {}
        self._paths: dict[tuple[str, ...], str] = {}
        self._initial: dict[str, str] = {}
        self._window: list[tuple[int, int, Signal, str]] = []
        self._serial = 0
        self._newest_us = 0
        self._written_tick = 0
        self._body = tempfile.TemporaryFile("w+", encoding="ascii", dir=self.path.parent)  # noqa: SIM115
        self._closed = False

    def signal(self, name: str, width: int = 1, kind: Kind = "wire") -> Signal:
        """Declare `name`, or return it as declared before. Dots make scopes: `door-1.relay`.

        A width over 1 is for GTKWave: libsigrok 0.5.2 ends a recording at its first vector.
        """
        known = self._signals.get(name)
        if known is not None:
            if (known.kind, known.width) != (kind, width):
                raise VcdError(f"signal {name!r} is already a {known.kind} of width {known.width}")
            return known
        if not 1 <= width <= MAX_WIDTH or (kind == "string" and width != 1):
            raise VcdError(f"signal {name!r} cannot have width {width}")
        path = tuple(reference(part) for part in name.split("."))
        if path in self._paths:
            raise VcdError(f"signals {name!r} and {self._paths[path]!r} have the same name in a VCD file")
        signal = Signal(name, path, _code(len(self._signals)), kind, width)
        self._signals[name] = signal
        self._paths[path] = name
        return signal

    def change(self, signal: Signal, value: Value, t_us: int) -> None:
        """Record that `signal` took `value` (None: unknown) at `t_us` of the caller's monotonic clock."""
        if self._closed:
            raise VcdError("the recording is closed")
        text = _string(value) if signal.kind == "string" else _bits(value, signal.width)
        self._serial += 1
        heapq.heappush(self._window, (t_us, self._serial, signal, text))
        self._newest_us = t_us if self._serial == 1 else max(self._newest_us, t_us)
        while self._window[0][0] < self._newest_us - REORDER_WINDOW_US or (
            len(self._window) > REORDER_MAX_CHANGES
        ):
            self._write_oldest()

    def close(self, end_us: int | None = None) -> None:
        """Write the file. `end_us` says how long the last levels lasted. Closing twice is harmless."""
        if self._closed:
            return
        while self._window:
            self._write_oldest()
        self._closed = True
        if end_us is not None and self._tick(end_us) > self._written_tick:
            self._body.write(f"#{self._tick(end_us)}\n")
        self._body.seek(0)
        with self._body, self.path.open("w", encoding="ascii", newline="\n") as out:
            out.write(self._header())
            shutil.copyfileobj(self._body, out)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tick(self, t_us: int) -> int:
        if self.start_us is None:
            self.start_us = t_us
        return max(0, (t_us - self.start_us) // self._timescale_us)

    def _write_oldest(self) -> None:
        t_us, _, signal, text = heapq.heappop(self._window)
        tick = max(self._tick(t_us), self._written_tick)
        if text == signal.last:
            return
        signal.last = text
        if tick == 0:
            self._initial[signal.code] = text
            return
        if tick > self._written_tick:
            self._body.write(f"#{tick}\n")
            self._written_tick = tick
        self._body.write(_value_change(signal, text))

    def _header(self) -> str:
        lines = [
            f"$date {self._recorded_at.isoformat(timespec='milliseconds')} $end",
            "$version Latchwork bench $end",
            f"$comment start_us={self.start_us or 0} $end",
            f"$timescale {_TIMESCALES[self._timescale_us]} $end",
        ]
        scope: tuple[str, ...] = ()
        for signal in sorted(self._signals.values(), key=lambda s: (s.path[:-1], len(s.code), s.code)):
            lines += _move(scope, signal.path[:-1])
            scope = signal.path[:-1]
            lines.append(f"$var {signal.kind} {signal.width} {signal.code} {signal.path[-1]} $end")
        lines += [*_move(scope, ()), "$enddefinitions $end", "#0", "$dumpvars"]
        unknown = {"wire": "x", "string": ""}
        text = "\n".join(lines) + "\n"
        for signal in self._signals.values():
            text += _value_change(signal, self._initial.get(signal.code, unknown[signal.kind]))
        return text + "$end\n"


def _move(here: tuple[str, ...], there: tuple[str, ...]) -> list[str]:
    shared = 0
    while shared < min(len(here), len(there)) and here[shared] == there[shared]:
        shared += 1
    return ["$upscope $end"] * (len(here) - shared) + [f"$scope module {s} $end" for s in there[shared:]]


def reference(name: str) -> str:
    """A name as a VCD file can say it. Raises VcdError for none."""
    # A leading $ would read as a keyword, and "$end" would end the declaration.
    text = _UNPRINTABLE.sub("_", name.strip()).replace("$", "_")
    if not text:
        raise VcdError("a signal and each of its scopes need a name")
    return text


def _code(index: int) -> str:
    """The shortest identifier codes, in order: !, ", %, … ~, !!, …"""
    code = ""
    index += 1
    while index:
        index, digit = divmod(index - 1, len(_CODE_ALPHABET))
        code = _CODE_ALPHABET[digit] + code
    return code


def _bits(value: Value, width: int) -> str:
    if value is None:
        return "x"
    if isinstance(value, str):
        text = value.lower()
        if not text or len(text) > width or not _BITS.issuperset(text):
            raise VcdError(f"{value!r} is not {width} bits of 0, 1, x, z")
        return text
    number = int(value)
    if not -(1 << (width - 1)) <= number < (1 << width):
        raise VcdError(f"{number} does not fit in {width} bits")
    return format(number & ((1 << width) - 1), "b")


def _string(value: Value) -> str:
    """GTKWave's string records hold no white space; it undoes C escapes."""
    text = "" if value is None else str(value)
    return "".join(c if "!" <= c <= "~" and c != "\\" else _escape(c) for c in text)


def _escape(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "replace"))


def _value_change(signal: Signal, text: str) -> str:
    if signal.kind == "string":
        return f"s{text} {signal.code}\n"
    if signal.width > 1:
        return f"b{text} {signal.code}\n"
    return f"{text}{signal.code}\n"
