"""Reads a serial line as a person does: each match begins where the one before it ended."""

import asyncio
import codecs
import io
import re
from collections.abc import Sequence

from hil.board.signals import WaitTimeout

MAX_UNREAD = 1024 * 1024  # characters kept of a board that prints and nobody reads
TAIL = 600  # characters of the console in a failure


class Expecter:
    """``feed`` is given the bytes of the line; the waits search what came since the last match."""

    def __init__(self) -> None:
        self._decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder("utf-8")("replace"), translate=True
        )
        self._unread = ""
        self._grown = asyncio.Event()
        self.text = ""

    def feed(self, data: bytes) -> None:
        new = self._decoder.decode(data)
        self.text = (self.text + new)[-MAX_UNREAD:]
        self._unread = (self._unread + new)[-MAX_UNREAD:]
        self._grown.set()

    def skip(self) -> None:
        """All that came until now counts as read."""
        self._unread = ""

    def forget(self) -> None:
        """Begin anew: nothing has been read or printed."""
        self.text = self._unread = ""

    @property
    def tail(self) -> str:
        return self.text[-TAIL:]

    async def expect(self, patterns: str | Sequence[str], timeout: float) -> re.Match[str]:
        """Of several, the earliest match in the text. Raises WaitTimeout with the console's end."""
        wanted = _several(patterns)
        patterns = [lines(pattern).replace(r"\r\n", r"\n") for pattern in wanted]
        return await self._match(patterns, timeout, wanted)

    async def expect_exact(self, texts: str | Sequence[str], timeout: float) -> str:
        """As ``expect``, for the text itself."""
        wanted = _several(texts)
        return (await self._match([re.escape(lines(text)) for text in wanted], timeout, wanted))[0]

    async def _match(self, patterns: list[str], timeout: float, wanted: list[str]) -> re.Match[str]:
        """``wanted``: what to call them."""
        compiled = [re.compile(pattern, re.MULTILINE) for pattern in patterns]
        try:
            async with asyncio.timeout(timeout):
                while (found := self._first(compiled)) is None:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            raise WaitTimeout(
                f"no {' or '.join(map(repr, wanted))} on the console in {timeout:g} s; unread: {self._unread[-TAIL:]!r}"
            ) from None
        self._unread = self._unread[found.end() :]
        return found

    def _first(self, compiled: list[re.Pattern[str]]) -> re.Match[str] | None:
        found = [match for pattern in compiled if (match := pattern.search(self._unread)) is not None]
        return min(found, key=lambda match: match.start(), default=None)


def printable(line: str) -> str:
    """A board may print what moves a terminal's cursor, or worse."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)


def lines(wanted: str) -> str:
    """With ends of lines as the console that is searched has them."""
    return wanted.replace("\r\n", "\n")


def _several(patterns: str | Sequence[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)
