"""The log of a server of ours: JSON lines on standard error, or in a file."""

import logging
import sys
from typing import TextIO

import structlog


def log_json(to: TextIO | None = None, level: int = logging.INFO) -> None:
    """Send all that is logged from now on there; None is standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(to or sys.stderr),
        cache_logger_on_first_use=True,
    )
