"""structlog, loaded with the first message: it brings Rich along, and costs a start more than the board's model."""

import contextlib
import sys
from collections.abc import Callable
from typing import Any


class Log:
    """A logger of ``name``; its methods are structlog's.

    On standard error where nothing else is set up: standard output is the board's. A disk that is full costs the message only.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Callable[..., None]:
        import structlog

        if structlog.is_configured():
            logger = structlog.get_logger(self._name)
        else:
            logger = structlog.wrap_logger(structlog.PrintLogger(sys.stderr), _plain(structlog))

        def say(event: str, **fields: Any) -> None:
            with contextlib.suppress(OSError):
                getattr(logger, method)(event, **fields)

        return say


def _plain(structlog: Any) -> list[Any]:
    """Lines for a file. Rich's tracebacks would cost a server that a member makes fail 20 ms each."""
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    trace = structlog.dev.plain_traceback
    return [
        structlog.processors.add_log_level,
        stamp,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=trace),
    ]
