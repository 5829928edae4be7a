"""Datagrams of a board pass through its link, and are lost there."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.board.way import Quality, Way
from tests.hil.board_rig import DEADLINE, bare, did
from tests.hil.test_network_server import ERROR, JOIN, start

OPEN = """
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.settimeout(10)
print(sta.ifconfig()[0])
"""
PORT = 8766
ALL_PORT = 8776  # of a broadcast, which boards of other tests would hear


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


async def heard(sock: socket.socket, timeout: float = DEADLINE) -> tuple[bytes, tuple[str, int]]:
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(sock, 65535), timeout)


async def test_datagrams_go_both_ways_and_are_cut_to_the_buffer(tmp_path: Path, peer: socket.socket) -> None:
    async with bare(tmp_path) as board:
        address = (await did(board, JOIN + OPEN)).strip()
        port = peer.getsockname()[1]
        await did(board, f"u.bind(('', {PORT}))\nprint(u.sendto(b'ping', ('127.0.0.1', {port})))")
        assert await heard(peer) == (b"ping", (address, PORT))
        for data in (b"pong", b"0123456789", b"", b"word"):
            peer.sendto(data, (address, PORT))
        buffer = "b = bytearray(4)\nprint(u.recv(100), u.readinto(b), b)\n"
        read = f"print(u.recvfrom(100) == (b'pong', ('127.0.0.1', {port})), u.recv(4))\n"
        assert await did(board, read + buffer) == "True b'0123'\nb'' 4 bytearray(b'word')\n"


async def test_what_is_lost_is_lost_by_the_seed(tmp_path: Path, peer: socket.socket) -> None:
    quality = Quality(loss=0.5)
    async with bare(tmp_path) as board:
        assert board.network is not None
        await did(board, JOIN + OPEN)
        board.network.reseed("7")
        port = peer.getsockname()[1]
        board.network.quality = quality
        u = "v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        send = f"for n in range(60):\n    _ = v.sendto(bytes([n]), ('127.0.0.1', {port}))\n"
        await did(board, u + send)
        board.network.quality = Quality()
        await did(board, f"_ = v.sendto(b'end', ('127.0.0.1', {port}))")
        way = Way("7 udp 1 up")
        through = [bytes((n,)) for n in range(60) if way.datagram(0, 1, quality) is not None]
        assert 15 < len(through) < 45
        assert [(await heard(peer))[0] for _ in range(len(through) + 1)] == [*through, b"end"]


async def test_what_is_sent_over_a_partition_never_comes(tmp_path: Path, peer: socket.socket) -> None:
    async with bare(tmp_path) as board:
        assert board.network is not None
        address = (await did(board, JOIN + OPEN)).strip()
        to = f"('127.0.0.1', {peer.getsockname()[1]})"
        await did(board, f"u.bind(('', {PORT}))")
        board.network.partition()
        assert await did(board, f"print(u.sendto(b'lost', {to}))") == "4\n"  # as on a real one: nobody knows
        peer.sendto(b"lost", (address, PORT))
        with pytest.raises(TimeoutError):
            await heard(peer, 0.1)
        board.network.partition(False)
        await did(board, f"_ = u.sendto(b'found', {to})")
        assert (await heard(peer))[0] == b"found"
        peer.sendto(b"found", (address, PORT))
        assert await did(board, "print(u.recv(10))") == "b'found'\n"


async def test_latency_is_that_of_both_ways(tmp_path: Path, peer: socket.socket) -> None:
    async with bare(tmp_path) as board:
        assert board.network is not None
        await did(board, JOIN + OPEN)
        board.network.quality = Quality(latency_ms=40, jitter_ms=10)
        to = f"('127.0.0.1', {peer.getsockname()[1]})"
        ping = f"t = time.ticks_us(); _ = u.sendto(b'x', {to}); _ = u.recv(1)\n"
        ping += "print(time.ticks_diff(time.ticks_us(), t) >= 80000)"
        await start(board, ping)
        data, back = await heard(peer)
        peer.sendto(data, back)
        await board.console.wait_for("True\r?\n", DEADLINE)


def test_a_slow_line_drops_what_it_cannot_take() -> None:
    narrow, link = Way("1"), Quality(kbit_s=8)
    arrivals = [narrow.datagram(0, 500, link) for _ in range(5)]
    assert arrivals == [0.5, 1.0, 1.5, None, None]
    jittery, times = Way("1"), []
    for _ in range(100):
        times.append(jittery.datagram(0, 100, Quality(jitter_ms=100)))
    assert times != sorted(time for time in times if time is not None), "a datagram may overtake another"


async def test_a_connected_socket_hears_its_peer_alone_and_poll_knows(
    tmp_path: Path, peer: socket.socket
) -> None:
    async with bare(tmp_path) as board:
        address = (await did(board, JOIN + OPEN)).strip()
        port = peer.getsockname()[1]
        await did(board, f"u.bind(('', {PORT}))\nu.connect(('127.0.0.1', {port}))\n_ = u.send(b'hello')")
        assert (await heard(peer))[0] == b"hello"
        assert (
            await did(board, "print(u.write(b'abcdef', 2), u.write(b'abcdef', 2, 3), u.write('ab'))")
            == "2 3 2\n"
        )
        assert [(await heard(peer))[0] for _ in range(3)] == [b"ab", b"cde", b"ab"]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"strange", (address, PORT))
            peer.sendto(b"known", (address, PORT))
        poll = "import select\np = select.poll()\np.register(u, select.POLLIN)\n"
        assert (
            await did(board, poll + "print(len(p.poll(10000)), u.read(10), p.poll(0))") == "1 b'known' []\n"
        )
        late = (
            "u.settimeout(0.01)\n"
            + ERROR.format("u.recv(1)")
            + "u.setblocking(False)\n"
            + ERROR.format("u.recv(1)")
        )
        assert await did(board, late) == "[Errno 110] ETIMEDOUT\n[Errno 11] EAGAIN\n"


async def test_broadcast_and_multicast_reach_all_of_the_network_but_the_sender(tmp_path: Path) -> None:
    group = "u.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes([239, 1, 2, 3]) + bytes(4))\n"
    listen = OPEN + f"u.bind(('', {ALL_PORT}))\n" + group
    tell = f"print(u.sendto(b'all', ('255.255.255.255', {ALL_PORT})), u.sendto(b'some', ('239.1.2.3', {ALL_PORT})))"
    async with bare(tmp_path, name="one") as one, bare(tmp_path, name="two") as two:
        first = (await did(one, JOIN + listen)).strip()
        await did(two, JOIN + listen)
        await did(one, tell)
        heard = f"print(sorted([u.recvfrom(9) for _ in range(2)]) == [(w, ({first!r}, {ALL_PORT})) for w in (b'all', b'some')])"
        assert await did(two, heard) == "True\n"
        assert await did(one, "u.settimeout(0.05)\n" + ERROR.format("u.recv(9)")) == "[Errno 110] ETIMEDOUT\n"


async def test_a_board_hears_its_own_datagrams_by_its_own_address(tmp_path: Path) -> None:
    program = f"""
import socket
a = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
a.bind(("127.0.0.1", {PORT}))
b = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
_ = b.sendto(b"ping", ("127.0.0.1", {PORT}))
data, back = a.recvfrom(9)
_ = a.sendto(b"pong", back)
print(data, back[0], b.recvfrom(9)[1])
c = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
{ERROR.format(f"c.bind(('', {PORT}))")}
a.close()
c.bind(('', {PORT}))
{ERROR.format("a.recv(1)")}
{ERROR.format("c.send(b'x')")}
"""
    async with bare(tmp_path) as board:
        said = f"b'ping' 127.0.0.1 ('127.0.0.1', {PORT})\n[Errno 98] EADDRINUSE\n[Errno 9] EBADF\n"
        assert (await did(board, program)).startswith(said)


async def test_sockets_that_are_forgotten_make_room(tmp_path: Path) -> None:
    program = "import socket\nfor _ in range(50):\n    u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nprint('all')"
    async with bare(tmp_path) as board:
        assert await did(board, program) == "all\n"


async def test_a_socket_that_is_bound_again_leaves_its_port_to_others(
    tmp_path: Path, peer: socket.socket
) -> None:
    group = "u.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes([239, 1, 2, 4]) + bytes(4))\n"
    async with bare(tmp_path) as board:
        address = (await did(board, JOIN + OPEN)).strip()
        again = f"u.bind(('', {PORT}))\n" * 2 + group + f"u.bind(('', {PORT + 1}))\n"
        assert await did(board, again) == ""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind((address, PORT))
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for host in (address, "239.1.2.4"):
            peer.sendto(host.encode(), (host, PORT + 1))
        assert await did(board, "print(sorted([u.recv(20) for _ in range(2)]))") == (
            f"[b'{address}', b'239.1.2.4']\n"
        )


async def test_a_socket_bound_to_the_board_itself_hears_nobody_else(
    tmp_path: Path, peer: socket.socket
) -> None:
    async with bare(tmp_path) as board:
        address = (await did(board, JOIN + OPEN)).strip()
        await did(board, f"u.bind(('127.0.0.1', {PORT}))")
        peer.sendto(b"others", (address, PORT))
        own = f"v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n_ = v.sendto(b'own', ({address!r}, {PORT}))\n"
        own += f"_ = v.sendto(b'loop', ('127.0.0.1', {PORT}))\nprint(u.recv(9))\n"
        assert await did(board, own) == "b'loop'\n"
        assert (
            await did(board, "u.settimeout(0.05)\n" + ERROR.format("u.recv(9)")) == "[Errno 110] ETIMEDOUT\n"
        )


async def test_only_multicast_groups_are_joined_and_not_any_number_of_them(tmp_path: Path) -> None:
    join = "u.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, bytes({}) + bytes(4))"
    several = "for n in range(9):\n    " + ERROR.format(join.format("[239, 1, 2, n]")).replace("\n", "\n    ")
    async with bare(tmp_path) as board:
        await did(board, JOIN + OPEN)
        assert await did(board, ERROR.format(join.format("[127, 64, 0, 9]"))) == "99\n"
        assert await did(board, several) == "99\n"
        assert await did(board, join.format("[239, 1, 2, 0]")) == ""
