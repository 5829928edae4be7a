"""What waits for a peer that does not read: in order, bounded, and over when the peer is gone."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from hil.vm.outbox import Outbox

LIMIT = 1 << 20
CHUNK = bytes(range(256)) * 256


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def fill(outbox: Outbox) -> int:
    """Send until it refuses; returns how many chunks it took."""
    for taken in range(1000):
        if not outbox.send(CHUNK):
            return taken
    raise AssertionError("it has no bound")


async def test_what_waited_arrives_in_order_when_the_peer_reads(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    outbox = Outbox(ours, LIMIT)
    sent = fill(outbox) * CHUNK
    received = b""
    while len(received) < len(sent):
        received += await asyncio.wait_for(asyncio.get_running_loop().sock_recv(theirs, 1 << 20), 5)
    assert received == sent
    assert outbox.send(b"again")
    outbox.close()


async def test_peer_that_goes_while_something_waits_is_told_once(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    gone = asyncio.Event()
    told = []

    def failed() -> None:
        told.append("gone")
        ours.close()  # as an owner does that will have no more of it
        gone.set()

    outbox = Outbox(ours, LIMIT, failed)
    fill(outbox)
    theirs.close()
    await asyncio.wait_for(gone.wait(), 5)
    await asyncio.sleep(0)
    assert told == ["gone"]
