"""The bench's end of the board link: channels answer the VM's calls and interrupt its firmware.

A ``Link`` outlives resets: the board connects it to a new VM at every boot. A channel's ``handle`` may be
plain or async. While an async answer is awaited, later frames *of that channel* wait in order; other
channels go on.
"""

import asyncio
import contextlib
import errno
import inspect
import socket
import sys
import termios
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from fcntl import ioctl
from typing import Protocol

from hil.log import Log
from hil.vm import wire
from hil.vm.outbox import Outbox
from hil.vm.wire import BLE, BUS, CORE, GPIO, NET, NVS, UART

__all__ = ["BLE", "BUS", "CORE", "GPIO", "NET", "NVS", "UART", "Channel", "Link"]

log = Log(__name__)

MAX_BACKLOG = 256 * 1024  # bytes waiting for a VM that does not read; more is dropped and counted
LOOK_S = 0.002
MAX_PENDING = 1024  # frames of one channel waiting behind an async answer

Answer = bytes | None | Awaitable[bytes | None]


class Channel(Protocol):
    """One group of operations of the board model."""

    def handle(self, op: int, payload: bytes) -> Answer:
        """Answer operation ``op``. Raise OSError(errno) to make the VM's ``_board.call`` raise it."""

    def vm_lost(self) -> None:
        """The VM is gone (reset, power cut): forget all that lived in its RAM. Must not block."""


class _Queue:
    """A channel with the frames that wait behind its async answer."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pending: deque[wire.Frame] = deque()
        self.task: asyncio.Task[None] | None = None


class Link:
    """``attach`` channels once, ``connect`` a socket at every boot; ``t_us`` is the last frame's stamp."""

    def __init__(self, name: str, on_lost: Callable[[], None] | None = None) -> None:
        self.name = name
        self.t_us = 0
        self.dropped = 0
        self._on_lost = on_lost
        self._queues: dict[int, _Queue] = {}
        self._failures = Counter[tuple[int, int]]()  # by channel and operation
        self._sock: socket.socket | None = None
        self._decoder = wire.Decoder()
        self._held: bytearray | None = None
        self._outbox: Outbox | None = None  # of a VM that died it tells nothing: the reader does

    @property
    def connected(self) -> bool:
        return self._sock is not None

    def attach(self, channel_id: int, channel: Channel) -> None:
        self._queues[channel_id] = _Queue(channel)

    def connect(self, sock: socket.socket) -> None:
        """Take the model's end of a new VM's socket pair."""
        self.disconnect()
        sock.setblocking(False)
        self._sock = sock
        self._outbox = Outbox(sock, MAX_BACKLOG)
        self._decoder = wire.Decoder()
        asyncio.get_running_loop().add_reader(sock, self._readable)

    def disconnect(self) -> None:
        """Let go of the VM: cancel its calls and tell every channel. Idempotent."""
        if self._sock is None or self._outbox is None:
            return
        asyncio.get_running_loop().remove_reader(self._sock)
        self._outbox.close()
        self._sock.close()
        self._sock = self._outbox = None
        for queue in self._queues.values():
            queue.pending.clear()
            if queue.task is not None:
                queue.task.cancel()
                queue.task = None
            queue.channel.vm_lost()

    def interrupt(self, channel: int, op: int, payload: bytes = b"") -> None:
        """Run the VM's handler of ``channel`` with (op, payload) once its firmware can be interrupted."""
        self._send(wire.encode(wire.INTERRUPT, channel, op, payload))

    def _readable(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(65536)
            frames = self._decoder.feed(data)
        except BlockingIOError:
            return
        except ConnectionError:
            data, frames = b"", []  # it died with frames of ours unread
        except wire.FrameError as error:
            log.warning("link_lost", board=self.name, error=str(error))
            data, frames = b"", []
        for frame in frames:
            self._accept(frame)
        if not data:
            self.disconnect()
            if self._on_lost is not None:
                self._on_lost()

    def _accept(self, frame: wire.Frame) -> None:
        self.t_us = frame.t_us
        queue = self._queues.get(frame.channel)
        if queue is None:
            if frame.kind == wire.CALL:
                self._error(frame, errno.ENODEV)
        elif queue.task is None:
            self._dispatch(queue, frame)
        elif len(queue.pending) < MAX_PENDING:
            queue.pending.append(frame)
        else:
            self._drop("link_frame_dropped", channel=frame.channel, op=frame.op)

    def _dispatch(self, queue: _Queue, frame: wire.Frame) -> None:
        try:
            answer = queue.channel.handle(frame.op, frame.payload)
            if inspect.isawaitable(answer):
                queue.task = asyncio.ensure_future(self._drain(queue, frame, answer))
            else:
                self._reply(frame, answer)
        except Exception as error:
            self._failed(frame, error)

    async def _drain(self, queue: _Queue, frame: wire.Frame, answer: Awaitable[bytes | None]) -> None:
        """Await one answer, then let the frames go on that queued up behind it."""
        me = asyncio.current_task()
        try:
            payload = await answer
            if queue.task is me:
                self._reply(frame, payload)
        except asyncio.CancelledError:
            if me is None or me.cancelling():
                raise
            self._failed(frame, OSError(errno.ECANCELED, "ended by the channel itself"))
        except Exception as error:
            if queue.task is me:
                self._failed(frame, error)
        if queue.task is not me:
            return  # that VM is gone: a wait_for of Python 3.11 may have kept the cancellation for itself
        queue.task = None
        while queue.pending and queue.task is None:
            self._dispatch(queue, queue.pending.popleft())

    def _failed(self, frame: wire.Frame, error: Exception) -> None:
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        if not isinstance(error, OSError):
            where = (frame.channel, frame.op)
            self._failures[where] += 1
            if _is_told(count := self._failures[where]):
                fields = {"board": self.name, "channel": frame.channel, "op": frame.op, "count": count}
                log.error("link_handler_failed", **fields, exc_info=error)
        self._error(frame, number)

    def _reply(self, frame: wire.Frame, payload: bytes | None) -> None:
        if frame.kind == wire.CALL:
            self._send(wire.encode(wire.REPLY, frame.channel, frame.op, payload or b"", frame.t_us))

    def _error(self, frame: wire.Frame, number: int) -> None:
        if frame.kind == wire.CALL:
            payload = number.to_bytes(4, "little", signed=True)
            self._send(wire.encode(wire.ERROR, frame.channel, frame.op, payload, frame.t_us))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """What is sent meanwhile comes to the VM at once: its program does not run between two of it."""
        self._held = bytearray()
        try:
            yield
        finally:
            held, self._held = bytes(self._held), None
            if held:
                self._send(held)

    async def taken(self, timeout: float) -> None:
        """Wait until the VM has read what was sent to it, at most so many seconds."""
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        while self._sock is not None and _unread(self._sock) and loop.time() < end:  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(LOOK_S)

    def _send(self, frame: bytes) -> None:
        if self._held is not None:
            self._held += frame
            return
        if self._outbox is not None and not self._outbox.send(frame):
            self._drop("link_interrupt_dropped")

    def _drop(self, what: str, **fields: int) -> None:
        self.dropped += 1
        if _is_told(self.dropped):
            log.warning(what, board=self.name, dropped=self.dropped, **fields)


def _is_told(count: int) -> bool:
    """The first, second, fourth, eighth, ...: a peer that goes on for ever must not fill the disk with our log."""
    return count & (count - 1) == 0


def _unread(sock: socket.socket) -> int:
    """Bytes that the other end has not read."""
    return int.from_bytes(ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
