"""Folders of a run that end with it; those of runs that were killed are swept up by the next one."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

_LOCK = ".running"  # locked for as long as the process lives that made the folder


class Scratch:
    """``path`` is a fresh folder, which is removed by ``remove``, at the end of ``with``, or after this process was killed."""

    def __init__(self, what: str) -> None:
        """Raises OSError if there is no room."""
        prefix = f"latchwork-{what}-"
        sweep(prefix)
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        try:
            self._lock = _lock(self.path)
        except BaseException:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def keep(self) -> None:
        """It is somebody's now: nothing removes it any more."""
        (self.path / _LOCK).unlink()

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


def _lock(folder: Path) -> int:
    """Its descriptor."""
    new = folder / f"{_LOCK}.new"
    fd = os.open(new, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX)
    new.rename(folder / _LOCK)  # nobody finds it before it is locked
    return fd


def sweep(prefix: str) -> None:
    """Remove what processes of the same user left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _locked(folder / _LOCK):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Raises OSError if its process lives, or it is another's."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)
