"""structlog, loaded with the first message: it brings Rich along, and costs a start more than the board's model."""

from typing import Any


class Log:
    """A logger of ``name``; its methods are structlog's."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, method: str) -> Any:
        import structlog

        return getattr(structlog.get_logger(self._name), method)
