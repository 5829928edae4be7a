"""Files of a board without firmware have the times of its clock, which counts from 2000."""

from pathlib import Path

from tests.hil.board_rig import bare, did
from tests.hil.test_vm_executable import BOARD, run

WRITE = """
import machine, os, time
def write(path):
    now = time.time()
    with open(path, "w") as f:
        f.write("x")
    return [0 <= at - now <= 2 for at in os.stat(path)[7:10]]
"""
OWN = """
import vfs
class Ram:
    def __init__(self):
        self.data = bytearray(40 * 512)
    def readblocks(self, n, b, off=0):
        b[:] = self.data[n * 512 + off : n * 512 + off + len(b)]
    def writeblocks(self, n, b, off=0):
        self.data[n * 512 + off : n * 512 + off + len(b)] = b
    def ioctl(self, op, arg):
        return {4: 40, 5: 512, 6: 0}.get(op)
ram = Ram()
vfs.VfsLfs2.mkfs(ram)
fs = vfs.VfsLfs2(ram)
vfs.mount(fs, "/ram")
print(write("/ram/a"), fs.stat("/a") == os.stat("/ram/a"))
vfs.umount(fs)
fs = vfs.VfsLfs2(ram, mtime=False)
os.mount(fs, "/ram")
print(fs.stat("/a")[8] > 0, os.listdir("/ram"))
os.umount("/ram")
"""


async def test_they_follow_the_rtc(tmp_path: Path) -> None:
    set_clock = "machine.RTC().datetime((2031, 5, 6, 0, 12, 0, 0, 0))\n"
    async with bare(tmp_path) as board:
        assert (
            await did(board, WRITE + "print(write('a'), os.stat('a')[8] < 10**7)")
            == "[True, True, True] True\n"
        )
        later = set_clock + "print(write('b'), time.gmtime(os.stat('b')[8])[:3], os.stat('/')[8])\n"
        assert await did(board, later) == "[True, True, True] (2031, 5, 6) 0\n"
        assert await did(board, OWN) == "[True, True, True] True\nTrue ['a']\n"


def test_they_are_those_of_a_command_too(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WRITE + "print(write('a'))" + OWN)
    assert run(BOARD, "program.py", cwd=tmp_path) == (
        0,
        "[True, True, True]\n[True, True, True] True\nTrue ['a']\n",
        "",
    )
