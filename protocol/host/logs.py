"""The log of a server of ours: JSON lines on standard error, or in a file."""

import contextlib
import io
import logging
import sys
from collections.abc import Iterator
from typing import TextIO

import structlog


class _Sink(io.TextIOBase):
    """Where all loggers write. They are made once and keep it; where its lines go may change."""

    def __init__(self) -> None:
        self.to: TextIO | None = None  # standard error

    def write(self, text: str) -> int:
        return (self.to or sys.stderr).write(text)

    def flush(self) -> None:
        (self.to or sys.stderr).flush()


_sink = _Sink()


def log_json(level: int = logging.INFO) -> None:
    """Send all that is logged from now on to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(_sink),  # type: ignore[arg-type]
        cache_logger_on_first_use=True,
    )


@contextlib.contextmanager
def logged_to(file: TextIO) -> Iterator[None]:
    """Within it, all that is logged goes into this file, which may be closed after it."""
    before = _sink.to
    _sink.to = file
    log_json()
    try:
        yield
    finally:
        _sink.to = before
