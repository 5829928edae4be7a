"""``latchwork micropython [--air NAME] [--name NAME] [--btsnoop FILE]``: one command that behaves as the ``micropython``
executable, on a simulated board. These options are ours and come first; all that follows is MicroPython's.

This process becomes the VM, so arguments, streams, signals and exit code are MicroPython's own. The board
model is its child and starts meanwhile: a program that touches no hardware does not wait for it. Each loads what it needs
after they have parted, so both cores load at once.
"""

import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from hil.air.seat import Seat
    from hil.air.understudy import Understudy
    from hil.board.description import Description  # loads pydantic
    from hil.board.late_network import LateNetwork
    from hil.vm.link import Link

FLUSH_S = 1.0  # for what a VM has sent before it ended
LAST_S = 3  # of its model after it, at most
FLASH_KIB = 1024  # of a board that keeps nothing
DEFAULT_PATH = ".frozen:~/.micropython/lib:/usr/lib/micropython"
DEFAULT_BOARD = Path(__file__).resolve().parents[1] / "boards" / "esp32.toml"
OPTIONS = ("--air", "--name", "--btsnoop")


class Ours(NamedTuple):
    """``air``: which one it hears, None is the user's own. ``name``: as people call the board; it has its addresses from it.
    ``btsnoop``: a file for its HCI packets."""

    air: str | None = None
    name: str | None = None
    btsnoop: str | None = None


def split(arguments: Sequence[str]) -> tuple[Ours, list[str]]:
    """Our options and MicroPython's; raises ValueError."""
    ours, rest = Ours(), list(arguments)
    while rest and rest[0].partition("=")[0] in OPTIONS:
        option, given, value = rest.pop(0).partition("=")
        if not given and not rest:
            raise ValueError(f"{option} wants a value")
        ours = ours._replace(**{option[2:]: value if given else rest.pop(0)})
    return ours, rest


def run(arguments: Sequence[str]) -> NoReturn:
    """Run MicroPython with ``arguments`` (without argv[0]) and end this process as it ends.

    ``LATCHWORK_BOARD`` names the description of another board than ``esp32.toml``.
    """
    options, arguments = _checked(arguments)
    description = _described(os.environ.get("LATCHWORK_BOARD"))
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if os.fork() == 0:
        theirs.close()
        _serve(ours, parent, options, description)
    ours.close()
    _become_vm(theirs, arguments)


def _checked(arguments: Sequence[str]) -> tuple[Ours, list[str]]:
    """As ``split``; a mistake ends this process with a message."""
    try:
        options, rest = split(arguments)
        if options.air is not None:
            from hil.air.folder import air_name  # who names none does not wait for it to be loaded

            air_name(options.air)
        if options.btsnoop is not None:
            file = Path(options.btsnoop).absolute()
            file.write_bytes(b"")  # a mistake in its name is told now, and here
            options = options._replace(btsnoop=str(file))
    except (ValueError, OSError) as error:
        print(f"latchwork: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    return options, rest


def _become_vm(link: socket.socket, arguments: Sequence[str]) -> NoReturn:
    import micropython_unix

    from hil.vm import image, poke
    from hil.vm.absent import remove_absent
    from hil.vm.identity import become_esp32

    modules = image.bench_folder()
    os.set_inheritable(link.fileno(), True)
    os.environ["LATCHWORK_LINK"] = str(link.fileno())
    os.environ["MICROPYPATH"] = f"{modules}:{os.environ.get('MICROPYPATH', DEFAULT_PATH)}"
    os.environ["TZ"] = "UTC"
    become_esp32()
    remove_absent()
    os.environ["LATCHWORK_BARE"] = "1"
    poke.allow()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os._exit(micropython_unix.run_main(["micropython", *arguments]) & 0xFF)


def _described(board: str | None) -> "Description | None":
    if not board:
        return None
    from hil.board.description import DescriptionError, load_description

    try:
        return load_description(Path(board))
    except DescriptionError as error:
        print(f"latchwork: {error}", file=sys.stderr)
        sys.exit(2)


def _wires(description: "Description | None") -> Sequence[Sequence[int]]:
    """The pins that are joined. The board that comes with the bench is not checked, for that would take longer than all else."""
    if description is not None:
        return description.wires
    import tomllib

    return [wire["pins"] for wire in tomllib.loads(DEFAULT_BOARD.read_text()).get("wire", ())]


def _serve(sock: socket.socket, vm: int, options: Ours, description: "Description | None") -> NoReturn:
    """The board model, until the VM ends. What it needs is loaded here: the VM does not wait for that."""
    try:
        from hil.vm.zygote import die_with_parent

        die_with_parent(vm, signal.SIGTERM)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        import asyncio

        import hil.air.seat  # noqa: F401  # with asyncio: what the understudy has, it need not load
        from hil.air.understudy import Understudy

        asyncio.run(_model(sock, vm, options, description, Understudy(sock)))
    finally:
        os._exit(0)


async def _model(
    sock: socket.socket, vm: int, options: Ours, description: "Description | None", understudy: "Understudy"
) -> None:
    import asyncio

    from hil.air.ops import Identity
    from hil.air.seat import Seat
    from hil.board.identity import ble_address, unique_id
    from hil.vm.link import Link

    ended = asyncio.Event()
    link = Link("micropython", on_lost=ended.set)
    chip = unique_id(options.name)
    who = Identity(options.name or f"micropython-{vm}", ble_address(chip), btsnoop=options.btsnoop)
    seat = Seat(link, who, options.air, understudy=understudy)
    if _wants_radio(sock):
        seat.wake()
        await asyncio.sleep(0)  # its first step starts the air, which gets ready while the rest is loaded
    network = _attach(link, seat, vm, chip, description)
    link.connect(sock)
    await ended.wait()
    await network.flushed(FLUSH_S)


def _attach(
    link: "Link", seat: "Seat", vm: int, chip: bytes, description: "Description | None"
) -> "LateNetwork":
    """All that is on the board besides its radio."""
    import functools

    from hil.board.core import Cause, Core
    from hil.board.ethernet import Ethernet
    from hil.board.late_network import LateNetwork
    from hil.board.nvs import Nvs
    from hil.board.partitions import Partitions
    from hil.board.peripherals import Peripherals
    from hil.board.pins import Pins
    from hil.board.routes import Routes
    from hil.board.uart import Uarts
    from hil.board.wifi import Wifi
    from hil.vm.poke import poke

    def reset(cause: Cause, _: int) -> None:
        print(f"latchwork: {cause.name} reset", file=sys.stderr, flush=True)
        os.kill(vm, signal.SIGKILL)

    Core(link, chip, reset, poke=functools.partial(poke, vm), epoch_us=time.time_ns() // 1000)
    pins = Pins(link, {} if description is None else description.pins, _wires(description))
    Uarts(link, pins)
    Peripherals(link, pins, description)
    Nvs(link, None)
    Partitions(link, None, FLASH_KIB, FLASH_KIB)
    routes = Routes(chip)
    Wifi(link, seat=seat, routes=routes)
    Ethernet(link, routes)
    return LateNetwork(link, chip.hex(), routes, _outlive_vm)


def _outlive_vm() -> None:
    """For a while: what it has sent is still on its way."""
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(LAST_S))


def _wants_radio(sock: socket.socket) -> bool:
    """Whether the program has loaded ``bluetooth`` by now; what it has said stays to be read."""
    from hil.vm import wire

    try:
        said = sock.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return any(frame.channel == wire.BLE for frame in wire.Decoder().feed(said))
    except (BlockingIOError, ConnectionError, wire.FrameError):
        return False
