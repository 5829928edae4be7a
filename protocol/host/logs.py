"""The log of a server of ours: JSON lines on standard error, or in a file."""

import contextlib
import errno
import io
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import structlog


class _Sink(io.TextIOBase):
    """Where all loggers write. They are made once and keep it; where its lines go may change.

    A log is no reason to end: what cannot be written (the disk is full, the reader has gone) is lost and counted, and the first
    line that can be says how many were. Lines go to the file itself: a buffer would be full of them at the end and fail the exit.
    """

    def __init__(self) -> None:
        self.files: list[TextIO] = []  # the last one has it, else standard error
        self._lock = threading.Lock()
        self._lost = 0
        self._torn = b""  # ends a line of which only a part was written

    def write(self, text: str) -> int:
        with self._lock:
            told = (
                f'{{"event": "log.lost", "level": "warning", "lines": {self._lost}}}\n' if self._lost else ""
            )
            try:
                self._put(told + text)
                self._lost = 0
            except (OSError, ValueError):  # of a file that was closed, ValueError
                self._lost += 1
        return len(text)

    def _put(self, text: str) -> None:
        """Raises OSError; then no whole line was written."""
        to = self.files[-1] if self.files else sys.stderr
        try:
            number = to.fileno()
        except io.UnsupportedOperation:  # a text in memory
            to.write(text)
            return
        data = self._torn + text.encode(errors="backslashreplace")
        written = os.write(number, data)
        self._torn = b""
        if written < len(data):
            self._torn = b"\n"
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


_sink = _Sink()


def log_json(level: int = logging.INFO) -> None:
    """Send all that is logged from now on to standard error, what other libraries warn of as text."""
    logging.basicConfig(stream=_sink, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(_sink),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


@contextlib.contextmanager
def logged_to(file: TextIO) -> Iterator[None]:
    """Within it, all that is logged goes into this file, which may be closed after it; of several that overlap, into the last."""
    _sink.files.append(file)
    log_json()
    try:
        yield
    finally:
        _sink.files.remove(file)
