"""Where the airs of a user are: one socket, lock and log for each, in a folder that is the user's alone."""

import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hil.air.ops import AirError

DEFAULT_AIR = "default"
VARIABLE = "LATCHWORK_AIR"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,40}")
_MAX_PATH = 107  # bytes of a Unix socket's path: sun_path has 108 with its zero


def air_name(name: str | None = None) -> str:
    """The air that is meant: the one named, that of LATCHWORK_AIR, or the user's own; raises AirError."""
    name = name if name is not None else os.environ.get(VARIABLE) or DEFAULT_AIR
    if not _NAME.fullmatch(name):
        raise AirError(f"an air's name is up to 41 letters, digits, '.', '_' or '-', not {name!r}")
    return name


def folder() -> Path:
    """Private to the user; made at first use. Raises AirError if somebody else has made it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    usable = runtime and os.path.isdir(runtime)  # noqa: PTH112
    path = Path(runtime or "", "latchwork") if usable else _temporary() / f"latchwork-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise AirError(
            error.errno, f"{path}: {error.strerror}; set XDG_RUNTIME_DIR to a folder of yours"
        ) from None
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise AirError(f"{path} must be a folder of yours that nobody else can open: chmod 700, or remove it")
    return path


def _temporary() -> Path:
    import tempfile  # loads more than all else here

    return Path(tempfile.gettempdir())


class Airfield:
    """The files of one air."""

    def __init__(self, name: str) -> None:
        base = folder()
        self.name = name
        self.socket = base / f"{name}.air"
        self.log = base / f"{name}.log"
        self._lock = base / f"{name}.lock"
        if len(os.fsencode(self.socket)) > _MAX_PATH:
            raise AirError(f"{self.socket} is too long for a socket: use a shorter TMPDIR or name")

    @contextmanager
    def locked(self) -> Iterator[bool]:
        """Whether this process may now start or end the air; never waits. With its folder gone nobody finds it any more."""
        try:
            fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            yield True
            return
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(fd)


def airs() -> list[str]:
    """Names of all airs that have a socket."""
    return sorted(path.stem for path in folder().glob("*.air"))
