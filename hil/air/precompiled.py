"""Methods of dataclasses, compiled once: Python writes them as text and compiles that at each import.

Bumble has 500 such classes, and an air loads it while its first board waits: this is half of that time.
"""

import contextlib
import dataclasses
import marshal
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

_TAG = sys.implementation.cache_tag  # code is that of one version of Python


@contextlib.contextmanager
def precompiled(folder: Path) -> Iterator[None]:
    """While this lasts, dataclasses find their methods compiled in a file of folder, which is made if it lacks one."""
    file = folder / f"dataclasses-{_TAG}.bin"
    methods = _Methods(_read(file))
    vars(dataclasses)["exec"] = methods.run  # found before the builtin, by what the module calls
    try:
        yield
    finally:
        del vars(dataclasses)["exec"]
    if methods.is_new:
        with contextlib.suppress(OSError):  # no room, or not ours: the next one compiles again
            _write(file, methods.used)


class _Methods:
    """``used``: the code of each text that was run."""

    def __init__(self, known: dict[str, CodeType]) -> None:
        self.used: dict[str, CodeType] = {}
        self.is_new = False
        self._known = known

    def run(self, text: str, *namespaces: Any) -> None:
        """``exec``."""
        code = self._known.get(text)
        if code is None:
            code = compile(text, "<string>", "exec")
            self.is_new = True
        self.used[text] = code
        exec(code, *namespaces)  # noqa: S102


def _read(file: Path) -> dict[str, CodeType]:
    try:
        known = marshal.loads(file.read_bytes())  # noqa: S302  # the user's own, as __pycache__ is
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(file: Path, methods: dict[str, CodeType]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_suffix(f".{os.getpid()}")
    try:
        scratch.write_bytes(marshal.dumps(methods))
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)
