"""Where the boards of a user are: one private folder with a folder for each board.

A board's folder outlives it: its flash is there, and it is the same board when it is started again. While it runs, its
supervisor holds a lock on ``lock``, which the kernel takes away with the process; what else says that it runs is swept up by the
next command.
"""

import fcntl
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
LOCK, SOCKET, TTY, LOG = "lock", "control", "tty", "supervisor.log"
_WHILE_IT_RUNS = (SOCKET, TTY)


class ShelfError(Exception):
    """The message says what is wrong and what to do."""


def root() -> Path:
    """The folder of this user, made if it is not there: ``LATCHWORK_BOARDS``, else in the folder for state of XDG."""
    chosen = os.environ.get("LATCHWORK_BOARDS")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(chosen) if chosen else Path(state) / "latchwork" / "boards"
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        about = path.stat()
    except OSError as error:
        raise ShelfError(f"{path}: {error.strerror}; LATCHWORK_BOARDS names another folder") from None
    if about.st_uid != os.getuid() or stat.S_IMODE(about.st_mode) & 0o077:
        raise ShelfError(
            f"{path} must be a folder of yours that nobody else can open: chmod 700, or set LATCHWORK_BOARDS to another"
        )
    return path


def place(name: str) -> Path:
    """The folder of a board, which need not exist."""
    if not NAME.fullmatch(name):
        raise ShelfError(f"{name!r} is no name of a board: letters, digits, '_', '-' and '.', at most 40")
    return root() / name


def names() -> list[str]:
    """Of all boards, running or not. Sweeps up behind supervisors that were killed."""
    found = sorted(path.name for path in root().iterdir() if NAME.fullmatch(path.name) and path.is_dir())
    for name in found:
        sweep(name)
    return found


def running() -> list[str]:
    return [name for name in names() if is_running(name)]


def free_name() -> str:
    """For a board that was given none."""
    taken = set(running())
    return next(name for name in _numbered() if name not in taken)


def is_running(name: str) -> bool:
    lock = hold(name)
    if lock is None:
        return True
    os.close(lock)
    return False


def hold(name: str) -> int | None:
    """The lock of a board as a descriptor, or None if its supervisor has it."""
    path = place(name)
    if not path.is_dir():
        return os.open(os.devnull, os.O_RDONLY)
    fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def sweep(name: str) -> None:
    """Remove what a supervisor that was killed left behind."""
    lock = hold(name)
    if lock is not None:
        clear(name)
        os.close(lock)


def clear(name: str) -> None:
    """For who holds the lock."""
    for leaf in _WHILE_IT_RUNS:
        (place(name) / leaf).unlink(missing_ok=True)


def short(folder: Path) -> Path:
    """Another path to a folder: that of a socket has room for about 100 characters. Its descriptor stays open."""
    return Path(f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)}")


def erase(name: str) -> None:
    """Forget a board that does not run, its flash among it."""
    if is_running(name):
        raise ShelfError(f"board {name} runs: latchwork board stop {name}")
    shutil.rmtree(place(name), ignore_errors=True)


def _numbered() -> Iterator[str]:
    number = 1
    while True:
        yield f"board{number}"
        number += 1
