"""Reads a Value Change Dump, ours or another tool's, into traces that can be drawn and asked."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path

_UNIT_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3, "ps": 1e-6, "fs": 1e-9}
_TIMESCALE = re.compile(r"(\d{1,6})\s*([munpf]?s)")
_ORIGIN = re.compile(r"\bstart_us=(-?\d{1,19})")
_ESCAPED = re.compile(r"((?:\\x[0-9a-fA-F]{2})+)")
_DUMP_SECTIONS = frozenset({"$dumpvars", "$dumpall", "$dumpon", "$dumpoff"})


@dataclass
class Trace:
    """The changes of one variable, in ascending time: `times_us[i]` is when it took `values[i]`."""

    name: str
    kind: str
    width: int
    times_us: list[float] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def at(self, t_us: float) -> str:
        """The value at `t_us`; 'x' (or "" for a string) before the first change."""
        index = bisect_right(self.times_us, t_us) - 1
        if index >= 0:
            return self.values[index]
        return "" if self.kind == "string" else "x"

    def edges(self, value: str) -> list[float]:
        """The times at which the variable took `value`."""
        return [t for t, v in zip(self.times_us, self.values, strict=True) if v == value]

    def _append(self, t_us: float, value: str) -> None:
        if not self.values or self.values[-1] != value:
            self.times_us.append(t_us)
            self.values.append(value)


@dataclass
class Waveforms:
    """A recording by full name (`door-1.relay`). Times are microseconds from its start.

    `start_us` is where the recorder's monotonic clock stood at time zero, if the file tells.
    """

    traces: dict[str, Trace] = field(default_factory=dict)
    end_us: float = 0.0
    start_us: int | None = None

    def scopes(self) -> dict[str, list[Trace]]:
        """The traces by the scope they stand in, in the file's order."""
        groups: dict[str, list[Trace]] = {}
        for name, trace in self.traces.items():
            groups.setdefault(name.rpartition(".")[0], []).append(trace)
        return groups


def read_vcd(path: str | Path) -> Waveforms:
    """Read a recording. What is not understood is passed over: it may be cut short."""
    with Path(path).open(encoding="utf-8", errors="replace") as source:
        return _Reader(token for line in source for token in line.split()).read()


class _Reader:
    def __init__(self, tokens: Iterator[str]) -> None:
        self._tokens = tokens
        self._waveforms = Waveforms()
        # Two variables may share one identifier code when they are the same wire in two scopes.
        self._by_code: dict[str, list[Trace]] = {}
        self._scope: list[str] = []
        self._tick_us = 1.0
        self._now_us = 0.0

    def read(self) -> Waveforms:
        for token in self._tokens:
            if token.startswith("$") and len(token) > 1:
                self._section(token)
            elif token.startswith("#"):
                self._time(token)
            else:
                self._change(token)
        self._waveforms.end_us = self._now_us
        return self._waveforms

    def _section(self, keyword: str) -> None:
        # The dump keywords only bracket value changes, and their closing $end is a token like any other.
        if keyword in _DUMP_SECTIONS or keyword == "$end":
            return
        words = self._until_end()
        if keyword == "$scope":
            self._scope.append(words[-1] if words else "")
        elif keyword == "$upscope" and self._scope:
            self._scope.pop()
        elif keyword == "$var":
            self._variable(words)
        elif keyword == "$timescale":
            match = _TIMESCALE.search(" ".join(words))
            if match:
                self._tick_us = int(match[1]) * _UNIT_US[match[2]]
        elif keyword == "$comment":
            match = _ORIGIN.search(" ".join(words))
            if match:
                self._waveforms.start_us = int(match[1])

    def _until_end(self) -> list[str]:
        return list(takewhile(lambda word: word != "$end", self._tokens))

    def _variable(self, words: list[str]) -> None:
        if len(words) < 4:
            return
        kind, width, code, reference = words[:4]
        name = ".".join([*self._scope, reference])
        trace = Trace(name, kind, int(width) if width.isdecimal() and len(width) < 7 else 1)
        self._waveforms.traces[name] = trace
        self._by_code.setdefault(code, []).append(trace)

    def _time(self, token: str) -> None:
        # More digits than any clock has would be a number Python refuses to parse.
        if token[1:].isdecimal() and len(token) < 32:
            self._now_us = max(self._now_us, int(token[1:]) * self._tick_us)

    def _change(self, token: str) -> None:
        first = token[0].lower()
        if first in "01xz" and len(token) > 1:
            self._store(token[1:], first)
        elif first in "br":
            self._store(next(self._tokens, ""), token[1:].lower())
        elif first == "s":
            self._store(next(self._tokens, ""), _unescape(token[1:]))

    def _store(self, code: str, value: str) -> None:
        for trace in self._by_code.get(code, ()):
            trace._append(self._now_us, value)


def _unescape(text: str) -> str:
    def decode(match: re.Match[str]) -> str:
        return bytes.fromhex(match[1].replace("\\x", "")).decode("utf-8", "replace")

    return _ESCAPED.sub(decode, text)
