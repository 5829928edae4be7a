"""``latchwork micropython``: one command that behaves as the ``micropython`` executable, on a simulated
board.

This process becomes the VM, so arguments, streams, signals and exit code are MicroPython's own. The board
model is its child and starts meanwhile: a program that touches no hardware does not wait for it.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import NoReturn

import micropython_unix

from hil.vm import image
from hil.vm.identity import become_esp32
from hil.vm.zygote import die_with_parent

DEFAULT_PATH = ".frozen:~/.micropython/lib:/usr/lib/micropython"
UNIQUE_ID = bytes.fromhex("024c57000001")


def run(arguments: Sequence[str]) -> NoReturn:
    """Run MicroPython with ``arguments`` (without argv[0]) and end this process as it ends."""
    modules = image.bench_folder()
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if os.fork() == 0:
        theirs.close()
        _serve(ours, parent)
    ours.close()
    os.set_inheritable(theirs.fileno(), True)
    os.environ["LATCHWORK_LINK"] = str(theirs.fileno())
    os.environ["MICROPYPATH"] = f"{modules}:{os.environ.get('MICROPYPATH', DEFAULT_PATH)}"
    os.environ["TZ"] = "UTC"
    become_esp32()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os._exit(micropython_unix.run_main(["micropython", *arguments]) & 0xFF)


def _serve(sock: socket.socket, vm: int) -> NoReturn:
    """The board model, until the VM ends. What it needs is loaded here: the VM does not wait for that."""
    try:
        import asyncio

        die_with_parent(vm)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        asyncio.run(_model(sock, vm))
    finally:
        os._exit(0)


async def _model(sock: socket.socket, vm: int) -> None:
    import asyncio

    from hil.board.core import Cause, Core
    from hil.board.nvs import Nvs
    from hil.board.pins import Pins
    from hil.board.uart import Uarts
    from hil.board.wifi import Wifi
    from hil.vm.link import BLE, Link
    from hil.vm.radio_on_demand import RadioOnDemand

    def reset(cause: Cause, _: int) -> None:
        print(f"latchwork: {cause.name} reset", file=sys.stderr, flush=True)
        os.kill(vm, signal.SIGKILL)

    ended = asyncio.Event()
    link = Link("micropython", on_lost=ended.set)
    Core(link, UNIQUE_ID, reset, epoch_us=time.time_ns() // 1000)
    Uarts(link, Pins(link, {}))
    Nvs(link, None)
    Wifi(link)
    link.attach(BLE, RadioOnDemand(link, UNIQUE_ID))
    link.connect(sock)
    await ended.wait()
