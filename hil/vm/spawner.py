"""The bench's client of the zygote: starts VMs, kills them, and reports how they ended."""

import asyncio
import itertools
import marshal
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hil.vm import image
from hil.vm.orders import FORK, KILL, MAP, VM_LINK_FD
from hil.vm.poke import poke, to_main_thread

MAX_SPAWNS = 16  # requests on the way at once; they must fit the socket's buffer
MAX_KILLS = 4096  # in one request
FULL_S = 0.005  # before another attempt while the zygote has yet to read
SPAWN_DEADLINE = 20.0  # a fork takes 1 ms; this is for a machine that swaps


class ZygoteError(Exception):
    """The zygote refused to start a VM, or is gone."""


class VmProcess:
    """One VM: ``wait`` gives its exit code, negative for the signal that killed it."""

    def __init__(self, zygote: "Zygote", pid: int) -> None:
        self.pid = pid
        self._zygote = zygote
        self._exit: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self._exit.done()

    async def wait(self) -> int:
        return await asyncio.shield(self._exit)

    def kill(self) -> None:
        """SIGKILL, as the loss of power: nothing in the VM runs any more once ``wait`` returns."""
        if self.running:
            self._zygote.kill(self.pid)

    def interrupt(self) -> None:
        """SIGINT, if it still has a handler for that."""
        if self.running and self.catches(signal.SIGINT):
            to_main_thread(self.pid, signal.SIGINT)

    def poke(self) -> None:
        """Call it out of a system call, so that it runs what is due."""
        if self.running:
            poke(self.pid)

    def catches(self, number: signal.Signals) -> bool:
        """It has a handler for that signal at this moment."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def ended(self, status: int) -> None:
        if not self._exit.done():
            self._exit.set_result(status)


class Zygote:
    """``await Zygote.start()`` or ``async with Zygote()``; one serves any number of boards, whose VMs give way to other
    processes by ``niceness`` (nice(1)).
    """

    def __init__(self, niceness: int = 0) -> None:
        self._niceness = niceness
        self._ids = itertools.count(1)
        self._slots = asyncio.Semaphore(MAX_SPAWNS)
        self._spawns: dict[int, asyncio.Future[VmProcess]] = {}
        self._vms: dict[int, VmProcess] = {}
        self._doomed: list[int] = []
        self._mapped: set[bytes] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._orders: socket.socket | None = None

    @classmethod
    async def start(cls, niceness: int = 0) -> Self:
        zygote = cls(niceness)
        zygote._launch(await asyncio.to_thread(image.bench_folder))
        return zygote

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _launch(self, modules: Path) -> None:
        self._control, control = _socketpair()
        self._orders, orders = _socketpair()
        with control, orders:
            theirs = control.fileno(), orders.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hil.vm.zygote", *map(str, theirs), str(modules), str(self._niceness)],
                pass_fds=theirs,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            )
        asyncio.get_running_loop().add_reader(self._control, self._readable)

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        terminal: int,
        link: socket.socket,
        cwd: Path,
        env: Mapping[str, str],
        images: Mapping[str, Path],
        own: Mapping[str, Path] | None = None,
    ) -> VmProcess:
        """Run ``micropython`` with ``argv`` (without argv[0]) on the pty slave ``terminal``.

        ``images`` are mapped into the VM; each name becomes an environment variable ``address,length``. So are the files
        of ``own``, which no other VM has and which this one may write to.
        """
        number = next(self._ids)
        where = _pairs(images)
        order = (
            number,
            [word.encode() for word in ("micropython", *argv)],
            _pairs({**env, "LATCHWORK_LINK": VM_LINK_FD}),
            where,
            _pairs(own or {}),
            os.fsencode(cwd),
        )
        async with self._slots:
            if self._control is None or self._orders is None:
                raise ZygoteError("the zygote is not running")
            answer: asyncio.Future[VmProcess] = asyncio.get_running_loop().create_future()
            self._spawns[number] = answer
            try:
                for path in {path for _, path in where} - self._mapped:
                    self._control.send(MAP + path)
                    self._mapped.add(path)
                socket.send_fds(self._orders, [marshal.dumps(order)], [terminal, link.fileno()])
                self._control.send(FORK)
                return await asyncio.wait_for(answer, SPAWN_DEADLINE)
            except (BlockingIOError, ConnectionError, TimeoutError) as error:
                raise ZygoteError(f"the zygote does not answer: {error!r}") from error
            finally:
                self._spawns.pop(number, None)

    def kill(self, pid: int) -> None:
        """Ask the zygote, which knows whether the pid is still that VM's; once for all that lose their power together."""
        if not self._doomed:
            asyncio.get_running_loop().call_soon(self._kill_all)
        self._doomed.append(pid)

    def _kill_all(self) -> None:
        while self._doomed and self._control is not None:
            try:
                self._control.send(KILL + " ".join(map(str, self._doomed[:MAX_KILLS])).encode())
            except BlockingIOError:
                asyncio.get_running_loop().call_later(FULL_S, self._kill_all)
                return
            except OSError:
                break  # it is gone, and they with it: the reader tells
            del self._doomed[:MAX_KILLS]
        self._doomed.clear()

    async def close(self) -> None:
        """Kill every VM and the zygote. Idempotent."""
        self._lost()
        if self._process is not None:
            process, self._process = self._process, None
            # Its VMs die by their parent-death signal.
            process.send_signal(signal.SIGKILL)
            await asyncio.get_running_loop().run_in_executor(None, process.wait)

    def _readable(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._lost()
            return
        self._accept(*data.decode().split(maxsplit=2))

    def _accept(self, word: str, number: str, rest: str) -> None:
        if word == "ended":
            vm = self._vms.pop(int(number), None)
            if vm is not None:
                vm.ended(int(rest))
            return
        answer = self._spawns.get(int(number))
        if word == "failed":
            if answer is not None and not answer.done():
                answer.set_exception(ZygoteError(rest))
            return
        vm = self._vms[int(rest)] = VmProcess(self, int(rest))
        if answer is None or answer.done():
            vm.kill()  # who asked for it has given up
        else:
            answer.set_result(vm)

    def _lost(self) -> None:
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        if self._orders is not None:
            self._orders.close()
        self._control = self._orders = None
        for vm in self._vms.values():
            vm.ended(-signal.SIGKILL)
        self._vms.clear()
        for answer in self._spawns.values():
            if not answer.done():
                answer.set_exception(ZygoteError("the zygote ended"))

    async def __aenter__(self) -> Self:
        if self._process is None:
            self._launch(await asyncio.to_thread(image.bench_folder))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _socketpair() -> tuple[socket.socket, socket.socket]:
    """Ours, which does not block, and theirs."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def _pairs(names: Mapping[str, object]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), str(value).encode()) for name, value in names.items()]
