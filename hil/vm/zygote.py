"""The process that board VMs are forked from: MicroPython preloaded, no threads, no event loop, no signal that does anything.

Run as ``python -m hil.vm.zygote FD``; the client is ``hil/vm/spawner.py``. One JSON datagram per request and answer
on a Unix SEQPACKET socket; a spawn request carries two descriptors (terminal, board link). Every process here dies
with its parent (PR_SET_PDEATHSIG), and the zygote also ends when its control socket does, so a killed bench leaves
nothing.

What can be prepared before the fork is prepared there: every line of Python that a child runs copies pages of the
interpreter it shares with its siblings (reference counts), and that was most of a VM's memory.
"""

import ctypes
import gc
import json
import mmap
import os
import select
import signal
import socket
import sys
import termios
from collections.abc import Mapping
from fcntl import F_DUPFD_CLOEXEC, fcntl, ioctl
from pathlib import Path
from typing import Any

import micropython_unix

from hil.vm import poke
from hil.vm.absent import remove_absent
from hil.vm.identity import become_esp32
from hil.vm.line_feed import keep_line_feeds

MAX_REQUEST = 64 * 1024
VM_LINK_FD = 3
EXIT_NOT_STARTED = 70  # a child that failed before MicroPython ran; sysexits.h calls it an internal error
_HIGH_FD = 16  # the zygote's own descriptors lie above the numbers a VM gets
_MAX_FD = 65536
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Have the kernel SIGKILL this process when ``parent`` ends; end now if it already has."""
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(1)


class Images:
    """ROM images mapped once; the VMs inherit the pages and execute bytecode in place."""

    def __init__(self) -> None:
        self._mapped: dict[str, tuple[mmap.mmap, str]] = {}

    @staticmethod
    def shared(path: str) -> tuple[mmap.mmap, str]:
        """A file of one board that it writes to: what it writes is in its memory at once. Close it after the fork."""
        with Path(path).open("r+b") as f:
            pages = mmap.mmap(f.fileno(), 0)
        return pages, f"{ctypes.addressof(ctypes.c_char.from_buffer(pages))},{len(pages)}"

    def place(self, path: str) -> str:
        """Map the image if it is new; return ``address,length`` for the VM's environment."""
        if path not in self._mapped:
            with Path(path).open("rb") as f:
                pages = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
            address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
            self._mapped[path] = (pages, f"{address},{len(pages)}")
        return self._mapped[path][1]


class Zygote:
    """Serves one bench."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._images = Images()
        self._pids: dict[int, int] = {}  # of VMs that have not been reaped, by pidfd
        with select.epoll() as events:
            self._events = select.epoll.fromfd(fcntl(events.fileno(), F_DUPFD_CLOEXEC, _HIGH_FD))
        self._events.register(control, select.EPOLLIN)
        self._null = _high(os.open(os.devnull, os.O_RDWR))

    def serve(self) -> None:
        """Until the bench closes the control socket."""
        while True:
            for fd, _ in self._events.poll():
                if fd in self._pids:
                    self._reap(fd)
                elif not self._serve_one():
                    return

    def end(self) -> None:
        for pid in self._pids.values():
            os.kill(pid, signal.SIGKILL)

    def _serve_one(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, MAX_REQUEST, 2)
        if not data:
            return False
        request = json.loads(data)
        if request["op"] == "kill":
            for pid in set(request["pids"]).intersection(self._pids.values()):
                os.kill(pid, signal.SIGKILL)
            return True
        try:
            env = {**request["env"], **{k: self._images.place(p) for k, p in request["images"].items()}}
            own = [(name, *self._images.shared(path)) for name, path in request["own"].items()]
            try:
                env.update({name: place for name, _, place in own})
                pid = self._spawn(request["argv"], env, request["cwd"], fds)
            finally:
                for _, pages, _ in own:
                    pages.close()
            answer = {"id": request["id"], "pid": pid}
        except OSError as error:
            answer = {"id": request["id"], "error": str(error)}
        finally:
            for fd in fds:
                os.close(fd)
        self._tell(answer)
        return True

    def _spawn(self, argv: list[str], env: Mapping[str, str], cwd: str, fds: list[int]) -> int:
        """Wear the VM's folder, environment and descriptors, fork, and take them off again."""
        os.chdir(cwd)
        set_environment({**env, "LATCHWORK_LINK": str(VM_LINK_FD)})
        terminal, link = (_high(os.dup(fd)) for fd in fds)
        try:
            for fd in (0, 1):
                os.dup2(terminal, fd)
            os.dup2(link, VM_LINK_FD)
            pid = fork_vm(argv, terminal)
        finally:
            for fd in (0, 1, VM_LINK_FD):
                os.dup2(self._null, fd)
            os.close(terminal)
            os.close(link)
            os.chdir("/")
        pidfd = _high(os.pidfd_open(pid))
        self._pids[pidfd] = pid
        self._events.register(pidfd, select.EPOLLIN)
        return pid

    def _reap(self, pidfd: int) -> None:
        self._events.unregister(pidfd)
        os.close(pidfd)
        pid, status = os.waitpid(self._pids.pop(pidfd), 0)
        self._tell({"pid": pid, "exit": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> None:
        self._control.send(json.dumps(message).encode())


def set_environment(env: Mapping[str, str]) -> None:
    """Of the C library only, which is where MicroPython's ``os.getenv`` looks."""
    _libc.clearenv()
    for name, value in env.items():
        _libc.setenv(name.encode(), value.encode(), 1)


def fork_vm(argv: list[str], terminal: int) -> int:
    """Fork a VM in a session of its own on ``terminal``; the child does not return."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(parent)
            os.setsid()
            ioctl(terminal, termios.TIOCSCTTY, 0)
            os.dup2(terminal, 2)
            os.closerange(VM_LINK_FD + 1, _MAX_FD)
            os._exit(micropython_unix.run_main(argv) & 0xFF)
        finally:
            os._exit(EXIT_NOT_STARTED)  # never return into the zygote's loop
    return pid


def _high(fd: int) -> int:
    """The same file above the VM's numbers; ``fd`` is closed."""
    moved = fcntl(fd, F_DUPFD_CLOEXEC, _HIGH_FD)
    os.close(fd)
    return moved


def main() -> None:
    die_with_parent(os.getppid())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at the bench's terminal is the bench's business
    zygote = Zygote(socket.socket(fileno=_high(int(sys.argv[1]))))
    become_esp32()
    remove_absent()
    keep_line_feeds()
    poke.allow()
    gc.collect()
    gc.freeze()  # the collector must not touch, and so copy, the pages the VMs share
    gc.disable()
    try:
        zygote.serve()
    finally:
        zygote.end()


if __name__ == "__main__":
    main()
