import ast
import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from hil.vm.parsing import parse

SOURCE = Path(__file__).read_text()
DEEP = 100  # calls below the other's conversion: more than any tree here has levels
DEADLINE = 20.0


class Other:
    """A thread that converts a tree of its own when it is told to, and is back at its beginning then."""

    def __init__(self) -> None:
        self._turn, self._done = threading.Event(), threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def convert(self) -> None:
        self._done.clear()
        self._turn.set()
        assert self._done.wait(DEADLINE)

    def close(self) -> None:
        self._over = True
        self._turn.set()
        self._thread.join()

    def _run(self) -> None:
        while self._turn.wait() and not self._over:
            self._turn.clear()
            with contextlib.suppress(SystemError):
                _below(DEEP, lambda: ast.parse("a = 1"))
            self._done.set()


def _below(calls: int, do: Callable[[], object]) -> None:
    if calls:
        _below(calls - 1, do)
    else:
        do()


@contextlib.contextmanager
def disturbed() -> Iterator[None]:
    """Another converts in the midst of what this thread does, at each collection of garbage."""
    thread, threshold, other = threading.current_thread(), gc.get_threshold(), Other()

    def collected(phase: str, _: dict[str, int]) -> None:
        if phase == "stop" and threading.current_thread() is thread:
            other.convert()

    gc.callbacks.append(collected)
    gc.set_threshold(50)
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(collected)
        other.close()


def test_a_thread_parses_whatever_others_do() -> None:
    with disturbed():
        tree = parse(SOURCE)
    assert ast.unparse(tree) == ast.unparse(parse(SOURCE))
