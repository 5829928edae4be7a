"""A member's end of an air: joins it, starting it if nobody has, and calls its channels."""

import asyncio
import contextlib
import errno
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Self

from hil.air import ops
from hil.air.folder import Airfield, air_name
from hil.air.ops import AirError, Identity
from hil.air.understudy import Understudy
from hil.vm import wire
from hil.vm.outbox import Outbox

START_S = 15.0  # from the first attempt to the answer to JOIN; an air that is new loads Python in that time
CALL_S = 25.0  # less than the VM waits for us
ATTEMPTS = 4  # an air may end just as we come; one that ends each time is broken
MAX_CALLS = 1024  # unanswered ones of a member
MAX_UNSENT = 4 * 1024 * 1024  # bytes that an air has not taken yet
_BACKLOG = 128
_AGAIN_S = 0.005

_servers: list[subprocess.Popen[bytes]] = []  # started here; kept to be reaped

OnInterrupt = Callable[[int, bytes], None]


class Member:
    """Use ``join``. ``lost`` is set when the air is gone; what is called then raises OSError(ECONNRESET)."""

    def __init__(self, sock: socket.socket) -> None:
        self.name = ""
        self.lost = asyncio.Event()
        self._sock = sock
        self._decoder = wire.Decoder()
        self._calls: dict[int, asyncio.Future[bytes]] = {}
        self._count = 0
        self._handlers: dict[int, OnInterrupt] = {}
        self._outbox = Outbox(sock, MAX_UNSENT, self.close)
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock, self._readable)

    def on(self, channel: int, handler: OnInterrupt) -> None:
        """Run handler(op, payload) for the interrupts of channel."""
        self._handlers[channel] = handler

    async def call(self, channel: int, op: int, payload: bytes = b"", deadline: float = CALL_S) -> bytes:
        """Ask and return the answer; raises OSError with the errno that the air gave, or ETIMEDOUT."""
        if len(self._calls) >= MAX_CALLS:
            raise OSError(errno.ENOBUFS, "too many calls at once")
        self._count += 1
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._calls[self._count] = answer
        stamp = self._count
        try:
            self._send(wire.encode(wire.CALL, channel, op, payload, stamp))
            return await asyncio.wait_for(answer, deadline)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "the air does not answer") from None
        finally:
            self._calls.pop(stamp, None)

    async def ask(self, channel: int, op: int, payload: bytes = b"") -> bytes:
        """``call`` whose refusal is an AirError with what the air says about it."""
        try:
            return await self.call(channel, op, payload)
        except ConnectionError:
            raise
        except OSError as error:
            said = (await self.call(ops.AIR, ops.SAID)).decode()
            raise AirError(error.errno, said or error.strerror) from None

    def post(self, channel: int, op: int, payload: bytes = b"") -> None:
        """Tell; an air that is gone hears nothing."""
        with contextlib.suppress(ConnectionError):
            self._send(wire.encode(wire.POST, channel, op, payload))

    def close(self) -> None:
        """Leave the air. Idempotent."""
        if self.lost.is_set():
            return
        self.lost.set()
        asyncio.get_running_loop().remove_reader(self._sock)
        self._outbox.close()
        self._sock.close()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(OSError(errno.ECONNRESET, "the air is gone"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _send(self, frame: bytes) -> None:
        if not self.lost.is_set() and not self._outbox.send(frame):
            self.close()  # an air that takes nothing any more is as good as gone
        if self.lost.is_set():
            raise OSError(errno.ECONNRESET, "the air is gone")

    def _readable(self) -> None:
        try:
            data = self._sock.recv(65536)
            frames = self._decoder.feed(data)
        except BlockingIOError:
            return
        except (OSError, wire.FrameError):
            data, frames = b"", []
        for frame in frames:
            self._accept(frame)
        if not data:
            self.close()

    def _accept(self, frame: wire.Frame) -> None:
        if frame.kind == wire.INTERRUPT:
            handler = self._handlers.get(frame.channel)
            if handler is not None:
                handler(frame.op, frame.payload)
            return
        answer = self._calls.get(frame.t_us)
        if answer is None or answer.done():
            return
        if frame.kind == wire.ERROR:
            number = int.from_bytes(frame.payload, "little", signed=True)
            answer.set_exception(OSError(number, os.strerror(number)))
        else:
            answer.set_result(frame.payload)


async def join(
    air: str | None,
    identity: Identity,
    kind: str,
    *,
    start: bool = True,
    understudy: Understudy | None = None,
) -> Member:
    """Become a member of an air, which is started if it is not there and ``start``; raises AirError.

    ``kind`` is one of ``server.CHANNELS``: it says which channels the member has. ``understudy`` saves the start of a Python.
    """
    field = Airfield(air_name(air))
    request = json.dumps({"version": ops.VERSION, "kind": kind, **identity.to_json()}).encode()
    try:
        async with asyncio.timeout(START_S):
            for attempt in range(ATTEMPTS):
                if attempt:
                    await asyncio.sleep(_AGAIN_S * 4**attempt * random.uniform(0.5, 1.5))  # noqa: S311
                member = Member(await _connection(field, start, understudy))
                try:
                    return await _joined(member, request)
                except ConnectionError:
                    member.close()
                except BaseException:
                    member.close()
                    raise
    except TimeoutError:
        raise AirError(errno.ETIMEDOUT, f"air {field.name} does not answer; see {field.log}") from None
    raise AirError(errno.ECONNREFUSED, f"air {field.name} ends at once; see {field.log}")


async def watch(air: str) -> Member:
    """Join as somebody who only looks, and does not keep the air alive; raises AirError if it is not there."""
    return await join(air, Identity("watcher", bytes(6)), ops.WATCHER, start=False)


async def look(air: str) -> dict[str, Any]:
    """The snapshot of an air: see hil/air/snapshot.py."""
    async with await watch(air) as member:
        text = b""
        while part := await member.call(ops.AIR, ops.SHOW, len(text).to_bytes(4, "little")):
            text += part
    found: dict[str, Any] = json.loads(text)
    return found


async def _joined(member: Member, request: bytes) -> Member:
    answer = await member.ask(ops.AIR, ops.JOIN, request)
    member.name = json.loads(answer)["name"]
    return member


async def _connection(field: Airfield, start: bool, understudy: Understudy | None) -> socket.socket:
    """Connected to a server, or to the socket that one which is starting will serve."""
    while True:
        with contextlib.suppress(BlockingIOError):  # many come at once: the next attempt finds room
            sock = _connect(field)
            if sock is None and not start:
                raise AirError(errno.ENOENT, f"there is no air {field.name}; see `latchwork air list`")
            if sock is None:
                sock = _connect_first(field, understudy)
            if sock is not None:
                return sock
        await asyncio.sleep(_AGAIN_S * random.uniform(0.5, 1.5))  # noqa: S311


def _connect_first(field: Airfield, understudy: Understudy | None) -> socket.socket | None:
    """Start the air, unless somebody else is about to."""
    with field.locked() as locked:
        if not locked:
            return None
        sock = _connect(field)
        if sock is None:
            _start(field, understudy)
            sock = _connect(field)
        return sock


def _connect(field: Airfield) -> socket.socket | None:
    """None: nobody listens, or its socket is a dead one's."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        sock.connect(str(field.socket))
    except (FileNotFoundError, ConnectionRefusedError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


def _start(field: Airfield, understudy: Understudy | None) -> None:
    """Start the server with a socket that can be connected to at once; needs the lock."""
    _servers[:] = [server for server in _servers if server.poll() is None]
    field.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening, field.log.open("wb") as log:
        listening.bind(str(field.socket))
        listening.listen(_BACKLOG)
        if understudy is not None and understudy.launch(field.name, listening, log):
            return
        fd = listening.fileno()
        command = [sys.executable, "-m", "hil.air.server", str(fd), field.name]
        null = subprocess.DEVNULL
        server = subprocess.Popen(
            command, pass_fds=[fd], stdin=null, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    _servers.append(server)
