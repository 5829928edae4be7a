"""A named value that changes over time: a pin's level, a contact, a leaf. Listeners, waits, a trace line."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Generic, Literal, Protocol, TypeVar

T = TypeVar("T", int, str)


def now_us() -> int:
    """CLOCK_MONOTONIC in microseconds: the same clock as the VM's ``time.ticks_us``."""
    return time.monotonic_ns() // 1000


class TraceSink(Protocol):
    """A recording, such as ``hil.trace.vcd.VcdWriter``. Times are microseconds of ``now_us``."""

    def signal(self, name: str, width: int = 1, kind: Literal["wire", "string"] = "wire") -> Any: ...

    def change(self, signal: Any, value: int | str, t_us: int) -> None: ...


class WaitTimeout(Exception):
    """A signal did not take the wanted value before the deadline."""


class Observable(Generic[T]):
    """``value`` since ``t_us``. Setting the value it has already changes nothing and tells nobody."""

    def __init__(self, name: str, value: T, width: int = 1) -> None:
        """``width``: bits of a number, in a trace."""
        self.name = name
        self.width = width
        self.value: T = value
        self.t_us = now_us()
        self._listeners: list[Callable[[Observable[T]], None]] = []

    def set(self, value: T, t_us: int | None = None) -> None:
        if value == self.value:
            return
        self.value = value
        self.t_us = now_us() if t_us is None else t_us
        for listener in tuple(self._listeners):
            listener(self)

    def listen(self, listener: "Callable[[Observable[T]], None]") -> Callable[[], None]:
        """Call ``listener(signal)`` at each change until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def wait(self, value: T, timeout: float) -> int:
        """Time in microseconds at which it took ``value``; at once if it has it. Raises WaitTimeout."""
        if self.value == value:
            return self.t_us
        reached: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def check(signal: "Observable[T]") -> None:
            if signal.value == value and not reached.done():
                reached.set_result(signal.t_us)

        stop = self.listen(check)
        try:
            return await asyncio.wait_for(reached, timeout)
        except TimeoutError:
            raise WaitTimeout(f"{self.name} is {self.value!r}, not {value!r}, after {timeout} s") from None
        finally:
            stop()

    def trace(self, sink: TraceSink, scope: str) -> None:
        """Record every change as ``scope.name``. A number is recorded as text: PulseView's reader (libsigrok 0.5.2) ends a
        recording at its first vector.
        """
        text = isinstance(self.value, str) or self.width > 1
        line = sink.signal(f"{scope}.{self.name}", kind="string" if text else "wire")

        def record(signal: "Observable[T]") -> None:
            sink.change(line, str(signal.value) if text else signal.value, signal.t_us)

        record(self)
        self.listen(record)
