"""What the chip's ROM and MicroPython do at power-on: mount the flash, then boot.py, then the program.

The program is ``/main.py`` on the flash if there is one, else ``device.main`` of the firmware in ROM. When
it ends, or when a tool holds the raw REPL over a soft reset, the REPL follows.
"""

import io
import sys

import _board
import _flash
import vfs
from _board import os

import __main__


def _exists(path):
    try:
        os.stat(path)
        return True
    except OSError:
        return False


def _run(path):
    with open(path) as f:
        source = f.read()
    exec(compile(source, path, "exec"), __main__.__dict__)  # noqa: S102


def _tell(error):
    """Its traceback begins in the program, as this module is no part of a board's Python."""
    with io.StringIO() as f:
        sys.print_exception(error, f)
        for line in f.getvalue().split("\n")[:-1]:
            if not line.startswith('  File "_boot"'):
                print(line)


def _choose(power):
    import chooser
    from _rom import Rom, memories

    chooser.mount(memories(), Rom(os.getenv("LATCHWORK_ROM_FILE"), power))


def _first_boot():
    print("Performing initial setup")
    with open("/boot.py", "w") as f:
        f.write("# This file is executed on every boot (including wake-boot from deepsleep)\n")


def _power():
    """That of the flash, which counts its writes down from now on."""
    power = _flash.power
    power.left, power.where, power.slots = [int(number) for number in os.getenv("LATCHWORK_CUT").split(",")]
    worn = os.getenv("LATCHWORK_WORN")
    if worn:
        power.told(1, bytes.fromhex(worn))
    _board.on(_board.CORE, power.told)
    return power


def _modules(bare):
    """Those that are chosen by what the board is."""
    if bare:
        sys.modules["vfs"] = __import__("_vfs")  # not one that a file on the path can stand before
        for name in ("VfsPosix", "VfsLfs1", "getenv", "putenv", "unsetenv", "system", "errno"):
            delattr(__import__("os"), name)
    elif os.getenv("LATCHWORK_NETWORK") == "1":
        sys.modules["socket"] = __import__("_socket")
    elif not _board.bare:
        sys.modules["socket"] = __import__("usocket")  # a tuple for each address would cost heap
    if _board.bare:
        import _alias


def _mount(bare):
    power = _power()
    if not bare:
        _choose(power)
    flash = _flash.Flash(os.getenv("LATCHWORK_FLASH"), power)
    vfs.umount("/")
    try:
        disk = vfs.VfsLfs2(flash)
    except OSError:
        first = bytearray(64)
        flash.readblocks(0, first)
        if any(first):
            print("flash: no valid file system; formatting is left to you")
            return
        vfs.VfsLfs2.mkfs(flash)
        disk = vfs.VfsLfs2(flash)
        vfs.mount(disk, "/")
        if bare:
            _first_boot()
    else:
        vfs.mount(disk, "/")


def _program():
    if _exists("main.py"):
        _run("main.py")
    elif _exists("/rom/device/main.mpy"):
        __import__("chooser").start()


def _mount_rom():
    """The image in the partition romfs, if there is one, as MicroPython does before boot.py."""
    import _romfs

    try:
        vfs.mount(vfs.VfsRom(_romfs.segment()), "/rom")
    except OSError:
        return
    sys.path.extend(["/rom", "/rom/lib"])


def boot():
    bare = not os.getenv("LATCHWORK_ROM")
    _modules(bare)
    _mount(bare)
    os.chdir("/")
    sys.path[:] = ["/bench", "", ".frozen", "/lib"]
    if bare:
        _mount_rom()
    else:
        sys.path.append("/rom")
    sys.argv[:] = []
    try:
        if _exists("boot.py"):
            _run("boot.py")
        if os.getenv("LATCHWORK_RAW") != "1":
            _program()
    except SystemExit:
        raise  # a soft reset
    except BaseException as e:
        _tell(e)
    if not _board.bare:
        __import__("_spin")
    os.putenv("MICROPYINSPECT", "1")  # the REPL is next
