"""The link's frames, and the bench's end of it."""

import asyncio
import contextlib
import errno
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.vm import wire
from hil.vm.link import Answer, Link

frames = st.builds(
    wire.Frame,
    kind=st.integers(0, 255),
    channel=st.integers(0, 255),
    op=st.integers(0, 255),
    t_us=st.integers(0, 2**62),
    payload=st.binary(max_size=300),
)


def encoded(frame: wire.Frame) -> bytes:
    return wire.encode(frame.kind, frame.channel, frame.op, frame.payload, frame.t_us)


@given(st.lists(frames, max_size=5), st.integers(1, 50))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[wire.Frame], step: int) -> None:
    stream = b"".join(encoded(frame) for frame in sent)
    decoder = wire.Decoder()
    received = [f for at in range(0, len(stream), step) for f in decoder.feed(stream[at : at + step])]
    assert received == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_a_frame_error(data: bytes) -> None:
    with contextlib.suppress(wire.FrameError):
        wire.Decoder().feed(data)


def test_payload_over_the_limit_is_neither_sent_nor_received() -> None:
    with pytest.raises(ValueError, match="over"):
        wire.encode(wire.CALL, 0, 0, bytes(wire.MAX_PAYLOAD + 1))
    with pytest.raises(wire.FrameError):
        wire.Decoder().feed(wire.HEADER.pack(wire.CALL, 0, 0, wire.MARK, wire.MAX_PAYLOAD + 1, 0))


class Echo:
    """Answers ``op`` 0 at once, 1 when released, 2 with an error, 3 with a bug, 4 as 1, and does not let itself be cancelled,
    5 by a task that ``gate`` cancels."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.gate = asyncio.Event()
        self.lost = 0

    def handle(self, op: int, payload: bytes) -> Answer:
        self.seen.append(payload)
        if op == 1:
            return self._later(payload)
        if op == 4:
            return self._stubborn(payload)
        if op == 5:
            return self._cancelled()
        if op == 2:
            raise OSError(errno.EBUSY, "busy")
        if op == 3:
            raise KeyError("bug")
        return payload

    async def _later(self, payload: bytes) -> bytes:
        await self.gate.wait()
        return payload

    async def _cancelled(self) -> bytes:
        await self.gate.wait()
        task = asyncio.ensure_future(self._later(b""))
        task.cancel()
        return await task

    async def _stubborn(self, payload: bytes) -> bytes:
        with contextlib.suppress(asyncio.CancelledError):
            await self.gate.wait()
        return await self._later(payload)

    def vm_lost(self) -> None:
        self.lost += 1


class Rig:
    def __init__(self) -> None:
        self.lost = asyncio.Event()
        self.link = Link("rig", self.lost.set)
        self.echo, self.other = Echo(), Echo()
        self.link.attach(1, self.echo)
        self.link.attach(2, self.other)
        ours, self.vm = socket.socketpair()
        self.vm.setblocking(False)
        self.link.connect(ours)
        self._decoder = wire.Decoder()

    def send(self, kind: int, channel: int, op: int, payload: bytes) -> None:
        self.vm.send(wire.encode(kind, channel, op, payload))

    async def receive(self, count: int) -> list[tuple[int, int, bytes]]:
        got: list[wire.Frame] = []
        while len(got) < count:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.vm, 65536), 5)
            got += self._decoder.feed(data)
        return [(f.kind, f.channel, f.payload) for f in got]

    def close(self) -> None:
        self.link.disconnect()
        self.vm.close()


@pytest.fixture
async def rig():
    rig = Rig()
    yield rig
    rig.close()


async def test_slow_answer_keeps_its_channel_in_order_and_holds_up_no_other(rig: Rig) -> None:
    rig.send(wire.CALL, 1, 1, b"slow")
    rig.send(wire.CALL, 1, 0, b"behind")
    rig.send(wire.CALL, 2, 0, b"other")
    assert await rig.receive(1) == [(wire.REPLY, 2, b"other")]
    assert rig.echo.seen == [b"slow"]
    rig.echo.gate.set()
    assert await rig.receive(2) == [(wire.REPLY, 1, b"slow"), (wire.REPLY, 1, b"behind")]


async def test_errors_of_handlers_reach_the_caller_as_errno(rig: Rig) -> None:
    rig.send(wire.CALL, 1, 2, b"")
    rig.send(wire.CALL, 1, 3, b"")
    rig.send(wire.CALL, 9, 0, b"")
    numbers = [int.from_bytes(payload, "little") for _, _, payload in await rig.receive(3)]
    assert numbers == [errno.EBUSY, errno.EIO, errno.ENODEV]


async def test_posts_get_no_answer(rig: Rig) -> None:
    rig.send(wire.POST, 1, 0, b"a")
    rig.send(wire.POST, 1, 2, b"b")
    rig.send(wire.CALL, 1, 0, b"c")
    assert await rig.receive(1) == [(wire.REPLY, 1, b"c")]
    assert rig.echo.seen == [b"a", b"b", b"c"]


async def test_garbage_from_the_vm_ends_the_link_and_tells_the_channels(rig: Rig) -> None:
    rig.vm.send(b"\xff" * 64)
    await asyncio.wait_for(rig.lost.wait(), 5)
    assert not rig.link.connected
    assert rig.echo.lost == 1
    rig.link.interrupt(1, 0, b"into the void")


async def test_answer_to_a_vm_that_is_gone_is_not_given_to_the_next(rig: Rig) -> None:
    rig.send(wire.CALL, 1, 1, b"old")
    rig.send(wire.CALL, 2, 0, b"sync")
    await rig.receive(1)
    ours, new = socket.socketpair()
    rig.link.connect(ours)
    rig.echo.gate.set()
    rig.vm.close()
    rig.vm = new
    rig.vm.setblocking(False)
    rig.send(wire.CALL, 1, 0, b"new")
    assert await rig.receive(1) == [(wire.REPLY, 1, b"new")]


@pytest.mark.parametrize("op", [4, 1])
async def test_answer_that_outlives_its_vm_is_given_to_nobody_and_holds_up_nothing(rig: Rig, op: int) -> None:
    rig.send(wire.CALL, 1, 4, b"old")
    rig.send(wire.CALL, 2, 0, b"sync")
    await rig.receive(1)
    rig.vm.close()
    ours, rig.vm = socket.socketpair()
    rig.vm.setblocking(False)
    rig.link.connect(ours)
    rig.send(wire.CALL, 1, op, b"new")
    rig.send(wire.CALL, 1, 0, b"behind")
    rig.send(wire.CALL, 2, 0, b"sync")
    assert await rig.receive(1) == [(wire.REPLY, 2, b"sync")]
    rig.echo.gate.set()
    assert await rig.receive(2) == [(wire.REPLY, 1, b"new"), (wire.REPLY, 1, b"behind")]


async def test_an_answer_that_its_channel_gives_up_is_an_error_and_holds_up_nothing(rig: Rig) -> None:
    rig.send(wire.CALL, 1, 5, b"")
    rig.send(wire.CALL, 1, 0, b"behind")
    rig.echo.gate.set()
    given_up, behind = await rig.receive(2)
    assert (given_up[0], int.from_bytes(given_up[2], "little")) == (wire.ERROR, errno.ECANCELED)
    assert behind == (wire.REPLY, 1, b"behind")


async def test_vm_that_does_not_read_cannot_grow_the_bench(rig: Rig) -> None:
    for _ in range(2000):
        rig.link.interrupt(1, 0, bytes(1000))
    assert rig.link.dropped > 0
    decoder, received = wire.Decoder(), 0
    with pytest.raises(TimeoutError):
        while True:
            data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(rig.vm, 1 << 20), 0.2)
            received += len(decoder.feed(data))  # whole frames only: a dropped one leaves no stump
    assert received + rig.link.dropped == 2000
