"""VMs live exactly as long as somebody wants them to."""

import asyncio
import os
import pty
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.vm.image import ROOT
from hil.vm.spawner import VmProcess, Zygote, ZygoteError

BENCH = """
import asyncio, sys
from pathlib import Path
from hil.board.board import Board
from hil.board.description import builtin
from hil.vm.spawner import Zygote
from tests.hil.board_rig import program

async def main():
    zygote = await Zygote.start()
    here = Path(sys.argv[1])
    rom = program(here, "pass")
    boards = [Board(builtin(), f"b{n}", here / f"b{n}", vm=zygote, firmware=rom) for n in range(3)]
    for board in boards:
        await board.start()
    print(zygote.pid, *(board.pid for board in boards), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Outlet:
    """A terminal and a link for VMs that use neither."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.ours, self.theirs = socket.socketpair()

    async def spawn(self, zygote: Zygote, code: str, cwd: Path, **env: str) -> VmProcess:
        arguments = ["-c", code]
        return await zygote.spawn(
            arguments, terminal=self.slave, link=self.theirs, cwd=cwd, env=env, images={}
        )


@pytest.fixture
def outlet() -> Iterator[Outlet]:
    made = Outlet()
    with made.ours, made.theirs:
        yield made
    os.close(made.master)
    os.close(made.slave)


def ended(pidfd: int) -> bool:
    ready, _, _ = select.select([pidfd], [], [], 10)
    return bool(ready)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_killed_bench_leaves_no_process(tmp_path: Path, number: int) -> None:
    bench = subprocess.Popen(
        [sys.executable, "-c", BENCH, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert bench.stdout is not None
    pids = [int(pid) for pid in bench.stdout.readline().split()]
    assert len(pids) == 4
    watched = [os.pidfd_open(pid) for pid in pids]
    bench.send_signal(number)
    bench.wait(10)
    assert all(ended(pidfd) for pidfd in watched)
    for pidfd in watched:
        os.close(pidfd)
    bench.stdout.close()


async def test_killed_zygote_takes_its_vms_along_and_says_so(tmp_path: Path, outlet: Outlet) -> None:
    async with Zygote() as zygote:
        vm = await outlet.spawn(zygote, "while True: pass", tmp_path)
        pidfd = os.pidfd_open(vm.pid)
        os.kill(zygote.pid, signal.SIGKILL)
        assert await asyncio.wait_for(vm.wait(), 10) == -signal.SIGKILL
        assert ended(pidfd)
        os.close(pidfd)
        with pytest.raises(ZygoteError):
            await outlet.spawn(zygote, "pass", tmp_path)


@pytest.mark.parametrize(
    ("code", "status"), [("pass", 0), ("import sys; sys.exit(7)", 7), ("1 / 0", 1), ("raise SystemExit", 0)]
)
async def test_exit_status_is_reported(tmp_path: Path, outlet: Outlet, code: str, status: int) -> None:
    async with Zygote() as zygote:
        vm = await outlet.spawn(zygote, code, tmp_path)
        assert await asyncio.wait_for(vm.wait(), 10) == status
        vm.kill()  # of one that is gone, harmless


async def test_more_that_lose_their_power_than_the_zygote_can_take_at_once_all_do(
    tmp_path: Path, outlet: Outlet
) -> None:
    async with Zygote() as zygote:
        vm = await outlet.spawn(zygote, "import time; time.sleep(60)", tmp_path)
        os.kill(zygote.pid, signal.SIGSTOP)
        for _ in range(1000):
            zygote.kill(1 << 22)  # no process can have this number
            await asyncio.sleep(0)
        vm.kill()
        os.kill(zygote.pid, signal.SIGCONT)
        assert await asyncio.wait_for(vm.wait(), 20) == -signal.SIGKILL


# A zygote's own steps, at the worst of moments. Its control socket is ours here, and it has a child that has ended.
STEPS = """
import os, signal, socket, sys
from hil.vm.zygote import Zygote

def child(do):
    pid = os.fork()
    if not pid:
        do()
    return pid

def has_ended(pid):
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

ours, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ours.settimeout(10)
"""
# The VM ends after the zygote has looked whether it runs, and before it kills it.
ENDS_AS_IT_IS_KILLED = """
zygote = Zygote(control, None)
signal.signal(signal.SIGCHLD, zygote.reap)
look = os.waitid
def looked(kind, pid, options):
    os.waitid = look
    os.kill(pid, signal.SIGTERM)
    has_ended(pid)  # though it ran as we looked
pid = child(signal.pause)
os.waitid = looked
zygote._kill(pid)
assert ours.recv(100) == b"ended %d -15" % pid
"""
# The signal of its end comes after Python has looked for one, and before the kernel waits for the bench's word.
ENDS_UNHEARD = """
import ctypes, functools, threading
from itertools import repeat
from hil.vm.orders import MAX_ORDER

class Control:
    setsockopt, send = control.setsockopt, control.send
    # All in C, so that Python looks for no signal between the two.
    signals = map(max, map(ctypes.PyDLL(None)["raise"], repeat(signal.SIGCHLD)), repeat(MAX_ORDER))
    recv = functools.partial(next, map(control.recv, signals))

pid = child(lambda: os._exit(7))
has_ended(pid)
zygote = Zygote(Control(), None)
signal.signal(signal.SIGCHLD, zygote.reap)

def bench():
    said = ours.recv(100)
    os._exit(0 if said == b"ended %d 7" % pid else 1)

threading.Thread(target=bench).start()
zygote.serve()
"""


@pytest.mark.parametrize("moment", [ENDS_AS_IT_IS_KILLED, ENDS_UNHEARD], ids=["as it is killed", "unheard"])
def test_an_end_is_told_whenever_it_comes(moment: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", STEPS + moment], env=environment, check=True, timeout=20)


async def test_who_ends_by_itself_as_it_is_killed_takes_nobody_along(tmp_path: Path, outlet: Outlet) -> None:
    async with Zygote() as zygote:
        for n in range(50):
            vm = await outlet.spawn(zygote, "", tmp_path)
            ending = asyncio.ensure_future(vm.wait())
            for _ in range(n):
                zygote.kill(vm.pid)
                await asyncio.sleep(0)
            await asyncio.wait_for(ending, 10)
        assert await (await outlet.spawn(zygote, "import sys; sys.exit(7)", tmp_path)).wait() == 7


async def test_kill_is_a_sigkill(tmp_path: Path, outlet: Outlet) -> None:
    async with Zygote() as zygote:
        vm = await outlet.spawn(zygote, "while True: pass", tmp_path)
        vm.kill()
        assert await asyncio.wait_for(vm.wait(), 10) == -signal.SIGKILL


async def test_vm_sees_only_its_own_environment_folder_and_descriptors(
    tmp_path: Path, outlet: Outlet
) -> None:
    code = (
        "import os\n"
        "assert os.getenv('HOME') is None and os.getenv('WHO') == 'door'\n"
        f"assert os.getcwd() == {str(tmp_path)!r}, os.getcwd()\n"
        "assert os.getenv('LATCHWORK_LINK') == '3'\n"
        "for fd in range(4, 64):\n"
        "    try:\n"
        "        open(fd, 'rb').read(0)\n"
        "        open(fd, 'rb').seek(0, 1)\n"
        "    except OSError as e:\n"
        "        assert e.errno == 9, (fd, e)\n"
        "    else:\n"
        "        raise AssertionError(fd)\n"
    )
    async with Zygote() as zygote:
        vm = await outlet.spawn(zygote, code, tmp_path, WHO="door")
        assert await asyncio.wait_for(vm.wait(), 10) == 0


async def test_impossible_spawn_is_an_error_of_the_caller_only(tmp_path: Path, outlet: Outlet) -> None:
    async with Zygote() as zygote:
        with pytest.raises(ZygoteError, match="No such file"):
            await zygote.spawn(
                [],
                terminal=outlet.slave,
                link=outlet.theirs,
                cwd=tmp_path,
                env={},
                images={"X": tmp_path / "none"},
            )
        vm = await outlet.spawn(zygote, "pass", tmp_path)
        assert await asyncio.wait_for(vm.wait(), 10) == 0
