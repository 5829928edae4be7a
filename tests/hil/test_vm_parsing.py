import ast
import contextlib
import gc
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.vm.parsing import parse

SOURCE = Path(__file__).read_text() * 10


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can, also within the conversion of a tree."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()

    def collected(phase: str, info: dict[str, int]) -> None:
        sum(range(50))

    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    gc.callbacks.append(collected)
    yield
    gc.callbacks.remove(collected)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


def test_a_thread_parses_whatever_others_do(restless: None) -> None:
    over = threading.Event()

    def disturb() -> None:
        while not over.is_set():
            with contextlib.suppress(SystemError):
                ast.parse(SOURCE)

    other = threading.Thread(target=disturb)
    other.start()
    try:
        trees = [ast.dump(parse(SOURCE)) for _ in range(6)]
    finally:
        over.set()
        other.join()
    assert len(set(trees)) == 1
