"""Puts files of the host on a board's flash before it gets power, with MicroPython's own LittleFS."""

import subprocess
import sys
from pathlib import Path

from hil.board.flash import BLOCK

_DEADLINE = 60.0
_IMAGE = (".img", ".bin", ".lfs", ".littlefs")

_COPY = """
import os, sys, vfs
BLOCK = %d
class Disk:
    def __init__(self, path):
        self.file = open(path, "r+b")
        self.blocks = self.file.seek(0, 2) // BLOCK
    def readblocks(self, n, buf, off=0):
        self.file.seek(n * BLOCK + off)
        self.file.readinto(buf)
    def writeblocks(self, n, buf, off=0):
        self.file.seek(n * BLOCK + off)
        self.file.write(buf)
    def ioctl(self, op, arg):
        if op == 6:
            self.file.seek(arg * BLOCK)
            self.file.write(b"\\xff" * BLOCK)
        return {4: self.blocks, 5: BLOCK}.get(op, 0)
def copy(source, target):
    if os.stat(source)[0] & 0x4000:
        if target != "/disk":
            try:
                os.mkdir(target)
            except OSError as e:
                if e.errno != 17:
                    raise
        for name in sorted(os.listdir(source)):
            copy(source + "/" + name, target + "/" + name)
        return
    with open(source, "rb") as a, open(target, "wb") as b:
        while data := a.read(4096):
            b.write(data)
disk = Disk(sys.argv[1])
try:
    fs = vfs.VfsLfs2(disk)
except OSError:
    vfs.VfsLfs2.mkfs(disk)
    fs = vfs.VfsLfs2(disk)
vfs.mount(fs, "/disk")
source = sys.argv[2]
if os.stat(source)[0] & 0x4000:
    copy(source, "/disk")
else:
    copy(source, "/disk/" + source.split("/")[-1])
vfs.umount("/disk")
"""
_RUN = "import sys, micropython_unix as m; sys.exit(m.run_main(['micropython', *sys.argv[1:]]) & 255)"


class PutError(Exception):
    """The files are not on the flash; the message says why."""


def put(flash: Path, source: Path) -> None:
    """A folder's content to the root of the file system, a file beside it, or the image of a whole flash in its place."""
    if not source.exists():
        raise PutError(f"{source}: no such file or folder")
    if source.is_file() and source.suffix in _IMAGE:
        _replace(flash, source)
        return
    command = [sys.executable, "-c", _RUN, "-c", _COPY % BLOCK, str(flash), str(source.resolve())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        full = "OSError" in str(reason) and "28" in str(reason)
        raise PutError(f"{source}: {'the flash is full' if full else ''.join(reason) or 'not copied'}")


def _replace(flash: Path, image: Path) -> None:
    size, room = image.stat().st_size, flash.stat().st_size
    if size > room or size % BLOCK:
        raise PutError(f"{image}: {size} bytes; an image is blocks of {BLOCK} bytes, at most {room} of them")
    with flash.open("r+b") as f:
        f.write(image.read_bytes())
        f.write(b"\xff" * (room - size))
