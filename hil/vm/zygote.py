"""The process that board VMs are forked from: MicroPython preloaded, no threads, no event loop.

Run as ``python -m hil.vm.zygote CONTROL ORDERS MODULES NICENESS``; the client is ``hil/vm/spawner.py``. The first two are Unix
SEQPACKET sockets. An order with all that a VM needs, and its two descriptors (terminal, board link), lies ready in the second
before the first says ``FORK``: the child takes it. Answers are lines in the first: ``started ORDER PID`` and ``failed ORDER
WHY`` by the child, ``ended PID STATUS`` by the zygote. MODULES is a folder of compiled modules whose names no VM has in its
heap, NICENESS that of the VMs. Every process here dies with its parent (PR_SET_PDEATHSIG), and the zygote also ends when its
control socket does, so a killed bench leaves nothing.

A page that the zygote writes to between two forks is one that no two VMs share, and so is one that a child writes to: every
line of Python does (reference counts). That was most of a VM's memory. So the zygote does little but fork, and a child does
what it must in few words. Of the handlers of signals it has CPython's in C, which do nothing in a VM.
"""

import ctypes
import gc
import marshal
import mmap
import os
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSCTTY
from typing import Any, NoReturn

import micropython_unix

from hil.vm import mpy, poke
from hil.vm.absent import remove_absent
from hil.vm.identity import become_esp32
from hil.vm.line_feed import keep_line_feeds
from hil.vm.orders import BENCH, FORK, KILL, MAP, MAX_ORDER, VM_LINK_FD
from hil.vm.qstrs import put_into_binary

EXIT_NOT_STARTED = 70  # a child that failed before MicroPython ran; sysexits.h calls it an internal error
_MAX_FD = 65536
_LOOK_US = 100_000
_FD = 4  # bytes of a descriptor in a control message
_TWO_FDS = socket.CMSG_SPACE(2 * _FD)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.PyDLL(None)
_prctl = _libc.prctl  # looked up once, not by each child
_SIGKILL = int(signal.SIGKILL)


def die_with_parent(parent: int, number: int = _SIGKILL) -> None:
    """Have the kernel kill this process when ``parent`` ends, by that signal; end now if it already has."""
    if _prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0) != 0:
        raise OSError("prctl")
    if os.getppid() != parent:
        os._exit(1)


class Images:
    """ROM images mapped once; the VMs inherit the pages and execute bytecode in place."""

    def __init__(self) -> None:
        self._mapped: dict[bytes, tuple[mmap.mmap, bytes]] = {}

    def share(self, path: bytes) -> bytes:
        """As ``place``, for a file of one board that it writes to: what it writes is in its memory at once."""
        return self._keep(path, mmap.mmap(os.open(path, os.O_RDWR), 0))

    def place(self, path: bytes) -> bytes:
        """Map the image if it is new; return ``address,length`` for the VM's environment."""
        if path not in self._mapped:
            file = os.open(path, os.O_RDONLY)
            try:
                return self._keep(path, mmap.mmap(file, 0, access=mmap.ACCESS_COPY))
            finally:
                os.close(file)
        return self._mapped[path][1]

    def _keep(self, path: bytes, pages: mmap.mmap) -> bytes:
        place = b"%d,%d" % (ctypes.addressof(ctypes.c_char.from_buffer(pages)), len(pages))
        self._mapped[path] = (pages, place)
        return place


class Zygote:
    """Serves one bench."""

    def __init__(self, control: socket.socket, orders: socket.socket, niceness: int = 0) -> None:
        self._control = control
        self._orders = orders
        self._niceness = niceness
        self._images = Images()
        self._pid = os.getpid()

    def serve(self) -> None:
        """Until the bench closes the control socket."""
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, _LOOK_US))
        while word := self._next():
            if word == FORK:
                if os.fork() == 0:
                    self._become_vm()
            elif word[:1] == MAP:
                with suppress(OSError):  # the child will try for itself, and say why it cannot
                    self._images.place(word[1:])
            elif word[:1] == KILL:
                for pid in word[1:].split():
                    self._kill(int(pid))

    def _next(self) -> bytes:
        """What the bench says. A signal that comes after Python has looked for one, and before the kernel waits, ends no wait:
        its handler would have to wait for the bench's next word.
        """
        while True:
            with suppress(BlockingIOError):  # the time is over
                return self._control.recv(MAX_ORDER)

    @staticmethod
    def _kill(pid: int) -> None:
        """One of ours that has not ended; any other process may have its number as soon as ``reap`` has run."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        try:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.kill(pid, signal.SIGKILL)
        except ChildProcessError:
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def reap(self, *_: Any) -> None:
        """Handler of SIGCHLD: tell of all that have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                self._control.send(b"ended %d %d" % (ended[0], os.waitstatus_to_exitcode(ended[1])))

    def _become_vm(self) -> NoReturn:
        """In the child: take the order, and run it."""
        number = -1
        try:
            die_with_parent(self._pid)
            data, ancillary, _, _ = self._orders.recvmsg(MAX_ORDER, _TWO_FDS)
            # Of bytes only: a str would be interned, in a table of the size of a megabyte.
            number, argv, env, images, own, cwd = marshal.loads(data)  # noqa: S302 - our own bench's
            os.chdir(cwd)
            for name, value in env:
                os.putenv(name, value)
            for name, path in images:
                os.putenv(name, self._images.place(path))
            for name, path in own:
                os.putenv(name, self._images.share(path))
            _wear(ancillary[0][2])
            self._control.send(b"started %d %d" % (number, os.getpid()))
            os.nice(self._niceness)
            os.closerange(VM_LINK_FD + 1, _MAX_FD)
            os._exit(micropython_unix.run_main([word.decode() for word in argv]) & 0xFF)
        except OSError as error:
            self._control.send(b"failed %d %s" % (number, str(error).encode()))
        finally:
            os._exit(EXIT_NOT_STARTED)  # never return into the zygote's loop


def _wear(descriptors: bytes) -> None:
    """A session of its own on the terminal, which is the first of two descriptors, and the link in its place."""
    terminal = int.from_bytes(descriptors[:_FD], sys.byteorder)
    os.setsid()
    ioctl(terminal, TIOCSCTTY, 0)
    os.dup2(terminal, 0)
    os.dup2(terminal, 1)
    os.dup2(terminal, 2)
    os.dup2(int.from_bytes(descriptors[_FD:], sys.byteorder), VM_LINK_FD)


def _names(modules: Path) -> Iterator[bytes]:
    """What a VM interns as it loads any of these."""
    for path in modules.glob("*.mpy"):
        yield f"{BENCH}/{path.name}".encode()
        yield from mpy.names(path.read_bytes())


def main() -> None:
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the bench's terminal is the bench's business
    modules, niceness = Path(sys.argv[3]), int(sys.argv[4])
    control, orders = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    zygote = Zygote(control, orders, niceness)
    signal.signal(signal.SIGCHLD, zygote.reap)
    _libc.clearenv()  # that of the C library, where MicroPython's ``os.getenv`` looks
    become_esp32()
    remove_absent()
    keep_line_feeds()
    put_into_binary(_names(modules))
    poke.allow()
    gc.collect()
    gc.freeze()  # the collector must not touch, and so copy, the pages the VMs share
    gc.disable()
    zygote.serve()


if __name__ == "__main__":
    main()
