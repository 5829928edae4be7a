"""What a network does to a board's connections, set while they exist: the board's own sockets, a real peer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.board.board import Board
from hil.board.network import Network
from hil.board.way import Quality, Way
from tests.hil.board_rig import bare, did

CONNECT = """
import errno, select, socket, time
def connect(timeout=10000):
    a = socket.getaddrinfo("127.0.0.1", {port}, 0, socket.SOCK_STREAM)[0][-1]
    s = socket.socket()
    s.setblocking(False)
    try:
        s.connect(a)
    except OSError as e:
        if e.errno != errno.EINPROGRESS:
            raise
    p = select.poll()
    p.register(s, select.POLLOUT)
    return s, p.poll(timeout)
def ready(s, timeout):
    p = select.poll()
    p.register(s, select.POLLIN)
    return bool(p.poll(timeout))
"""
PING = """
def ping(text, timeout=10000):
    s.write(text)
    return s.read(len(text)) if ready(s, timeout) else None
"""
JOIN = CONNECT + PING + "s, _ = connect()\nprint(ping(b'hello'))\n"


class Peer:
    """Echoes; ``ends`` counts connections that ended."""

    def __init__(self) -> None:
        self.port = 0
        self.ended = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(4096):
                writer.write(data)
                await writer.drain()
        self.ended.set()
        writer.close()


@contextlib.asynccontextmanager
async def joined(folder: Path) -> AsyncIterator[tuple[Board, Network, Peer]]:
    peer = Peer()
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = server.sockets[0].getsockname()[1]
    async with bare(folder) as board:
        assert board.network is not None
        assert await did(board, JOIN.format(port=peer.port)) == "b'hello'\n"
        assert board.network.connections == 1
        try:
            yield board, board.network, peer
        finally:
            server.close()


async def test_latency_is_that_of_both_ways(tmp_path: Path) -> None:
    async with joined(tmp_path) as (board, network, _):
        network.quality = Quality(latency_ms=40, jitter_ms=10)
        program = "t = time.ticks_us(); _ = ping(b'x'); print(time.ticks_diff(time.ticks_us(), t) >= 80000)"
        assert await did(board, program) == "True\n"


async def test_a_partition_holds_everything_back_and_new_connections_hang(tmp_path: Path) -> None:
    async with joined(tmp_path) as (board, network, _):
        network.partition()
        assert await did(board, "print(ping(b'lost?', 100), connect(100)[1])") == "None []\n"
        network.partition(False)
        assert (
            await did(board, "print(ready(s, 10000), s.read(5), connect()[1] != [])")
            == "True b'lost?' True\n"
        )


async def test_the_end_of_a_connection_does_not_pass_a_partition(tmp_path: Path) -> None:
    async with joined(tmp_path) as (board, network, peer):
        network.partition()
        await did(board, "s.close()")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.ended.wait(), 0.1)
        network.partition(False)
        await asyncio.wait_for(peer.ended.wait(), 10)


async def test_refused_half_open_and_reset(tmp_path: Path) -> None:
    refused = "s2, r = connect()\ntry:\n    s2.write(b'x')\nexcept OSError as e:\n    print(e.errno)\n"
    async with joined(tmp_path) as (board, network, _):
        network.refusing = True
        assert await did(board, refused) == "111\n"
        network.half_open()
        assert await did(board, "print(ready(s, 100))") == "False\n"
        told = "_ = s.write(b'x')\n_ = ready(s, 10000)\ntry:\n    print(s.read(1))\nexcept OSError as e:\n    print(e.errno)\n"
        assert await did(board, told) == "104\n"
        network.refusing = False
        await did(board, "s, _ = connect()")
        network.reset()
        assert (await did(board, told.removeprefix("_ = s.write(b'x')\n"))) == "104\n"


async def test_a_peer_that_does_not_listen_refuses(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    program = (
        CONNECT.format(port=port)
        + "s, _ = connect()\ntry:\n    s.write(b'x')\nexcept OSError as e:\n    print(e.errno)"
    )
    async with bare(tmp_path) as board:
        assert await did(board, program) == "111\n"


async def test_names_that_are_not_found(tmp_path: Path) -> None:
    program = "import socket\ntry:\n    socket.getaddrinfo('localhost', 1)\nexcept OSError as e:\n    print(e.errno)"
    async with bare(tmp_path) as board:
        assert board.network is not None
        board.network.no_names = True
        assert await did(board, program) == "-202\n"


def test_loss_and_rate_make_late_and_the_same_seed_makes_the_same_late() -> None:
    def late(seed: str, quality: Quality, every_s: float = 10.0) -> list[float]:
        way = Way(seed)
        return [way.arrival(n * every_s, 1460, quality) - n * every_s for n in range(200)]

    lossy = Quality(latency_ms=10, jitter_ms=5, loss=0.1)
    assert late("1", lossy) == late("1", lossy) != late("2", lossy)
    assert 8 < sum(each > 0.2 for each in late("1", lossy)) < 35
    assert late("1", Quality(kbit_s=1168)) == pytest.approx([0.01] * 200)
    with pytest.raises(ValueError, match="loss"):
        Quality(loss=1)


def test_what_is_sent_at_once_shares_the_latency_and_queues_for_the_rate() -> None:
    far, narrow = Way("1"), Way("1")
    assert [far.arrival(0, 100, Quality(latency_ms=40)) for _ in range(3)] == [0.04] * 3
    assert [narrow.arrival(0, 1460, Quality(kbit_s=1168)) for _ in range(3)] == pytest.approx(
        [0.01, 0.02, 0.03]
    )
    jittery, times = Way("1"), []
    for _ in range(100):
        times.append(jittery.arrival(0, 100, Quality(jitter_ms=100)))
    assert times == sorted(times), "nothing overtakes"


async def test_a_board_without_firmware_connects_through_the_bench_by_a_peers_own_address(
    tmp_path: Path,
) -> None:
    direct = "import socket\ns = socket.socket()\ns.connect(('127.0.0.1', {port}))\n_ = s.write(b'x')\nprint(s.read(1))\n"
    named = "print(socket.getaddrinfo('localhost', 80)[0][-1])\n"
    async with joined(tmp_path) as (board, network, peer):
        assert await did(board, direct.format(port=peer.port) + named) == "b'x'\n('127.0.0.1', 80)\n"
        assert network.connections == 2
        network.no_names = True  # an address needs none
        assert await did(board, direct.format(port=peer.port)) == "b'x'\n"


LATER = """
import errno, select, socket, time
def begin(port):
    global s, p
    s = socket.socket()
    s.setblocking(False)
    t = time.ticks_ms()
    try:
        s.connect(("127.0.0.1", port))
    except OSError as e:
        print(e.errno == errno.EINPROGRESS, time.ticks_diff(time.ticks_ms(), t) < 5000)
    p = select.poll()
    p.register(s)
def fails(f, *args):
    try:
        print(f(*args))
    except OSError as e:
        print(e)
"""
NOT_YET = "print(p.poll(0), s.write(b'x'), s.read(1))\nfails(s.send, b'x')\nfails(s.recv, 1)\n"
SAID_NOT_YET = "[] None None\n[Errno 11] EAGAIN\n[Errno 11] EAGAIN\n"


async def test_a_connection_that_is_not_waited_for_is_there_when_the_peer_has_answered(
    tmp_path: Path,
) -> None:
    async with joined(tmp_path) as (board, network, peer):
        network.quality = Quality(latency_ms=400)
        assert await did(board, LATER + f"begin({peer.port})\n" + NOT_YET) == "True True\n" + SAID_NOT_YET
        ready = "print(p.poll(10000)[0][1] == select.POLLOUT, s.write(b'x'))\np.modify(s, select.POLLIN)\n"
        assert await did(board, ready + "print(len(p.poll(10000)), s.read(1))") == "True 1\n1 b'x'\n"
        assert network.connections == 2


async def test_a_connection_that_begins_in_a_partition_is_there_after_it(tmp_path: Path) -> None:
    async with joined(tmp_path) as (board, network, peer):
        network.partition()
        assert await did(board, LATER + f"begin({peer.port})\n" + NOT_YET) == "True True\n" + SAID_NOT_YET
        network.partition(False)
        assert await did(board, "print(p.poll(10000)[0][1] == select.POLLOUT, s.write(b'x'))") == "True 1\n"


async def test_a_refusal_is_told_to_who_has_not_waited_for_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with bare(tmp_path) as board:
        told = "_ = p.poll(10000)\nfails(s.send, b'x')\n"
        assert await did(board, LATER + f"begin({port})\n" + told) == "True True\n[Errno 111] ECONNREFUSED\n"


async def test_a_wait_for_a_peer_ends_with_the_boards_socket(tmp_path: Path) -> None:
    async with joined(tmp_path) as (board, network, peer):
        network.partition()
        await did(board, LATER + f"begin({peer.port})\ns.close()")
        network.partition(False)
        assert (
            await did(board, f"begin({peer.port})\n_ = p.poll(10000)\nprint(s.write(b'x'))")
            == "True True\n1\n"
        )
        await asyncio.wait_for(peer.ended.wait(), 10)  # that of the first, which nobody has taken


async def test_a_board_sends_no_more_than_its_window_into_a_partition(tmp_path: Path) -> None:
    flood = """
s.settimeout(0.2)
n = 0
try:
    while True:
        n += s.write(bytes(1000))
except OSError as e:
    print(e, 5000 < n < 40000)
"""
    async with joined(tmp_path) as (board, network, _):
        network.partition()
        assert await did(board, flood) == "[Errno 110] ETIMEDOUT True\n"
        network.partition(False)
        drain = "s.settimeout(10)\nm = 0\nwhile m < n:\n    m += len(s.recv(1000))\nprint(m == n)\n"
        assert await did(board, drain) == "True\n"
