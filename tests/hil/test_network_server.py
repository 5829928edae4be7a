"""What a board listens at: others reach it by its own address, and the faults of its link act there."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.board.board import Board
from hil.board.network import Network
from hil.board.way import Quality
from tests.hil.board_rig import DEADLINE, bare, did

JOIN = """
import errno, network, socket, time
sta = network.WLAN()
_ = sta.active(True)
sta.connect("any")
while not sta.isconnected():
    time.sleep_ms(5)
"""
SERVE = """
s = socket.socket()
s.bind(("", {port}))
s.listen(2)
print(sta.ifconfig()[0])
"""
ECHO = """
c, who = s.accept()
print(who)
while True:
    data = c.recv(100)
    if not data:
        break
    c.write(data)
c.close()
"""
ERROR = "try:\n    {}\nexcept OSError as e:\n    print(e)\n"
PORT = 8765


@contextlib.asynccontextmanager
async def served(
    folder: Path, port: int = PORT, name: str = "bare"
) -> AsyncIterator[tuple[Board, Network, str]]:
    """A board that listens, and its address."""
    async with bare(folder, name=name) as board:
        address = (await did(board, JOIN + SERVE.format(port=port))).strip()
        assert board.network is not None
        yield board, board.network, address


async def echoed(address: str, port: int = PORT, text: bytes = b"hello") -> bytes:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(address, port), DEADLINE)
    writer.write(text)
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), DEADLINE)
    writer.close()
    return answer


async def start(board: Board, program: str) -> None:
    """Run it at the prompt without waiting for its end."""
    board.console.clear()
    board.console.write(b"\x05" + program.encode().replace(b"\n", b"\r") + b"\r\x04")


async def test_a_client_of_this_machine_reaches_a_board_and_is_named_to_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (board, network, address):
        await start(board, ECHO)
        reader, writer = await asyncio.open_connection(address, PORT, local_addr=("127.0.0.1", 0))
        port = writer.get_extra_info("sockname")[1]
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), DEADLINE) == b"hello"
        assert network.connections == 1
        writer.close()
        await board.console.wait_for(rf"\('127.0.0.1', {port}\)", DEADLINE)


async def test_two_boards_listen_at_one_port(tmp_path: Path) -> None:
    async with (
        served(tmp_path, name="one") as (one, _, first),
        served(tmp_path, name="two") as (two, _, second),
    ):
        assert first != second
        for board, address in ((one, first), (two, second)):
            await start(board, ECHO)
            assert await echoed(address, text=address.encode()) == address.encode()


async def test_a_port_that_the_machine_keeps_for_itself_is_reached_too(tmp_path: Path) -> None:
    async with served(tmp_path, port=80) as (board, _, address):
        from hil.board.address import outer_port

        await start(board, ECHO)
        assert await echoed(address, outer_port(80)) == b"hello"


async def test_one_board_is_the_client_of_another(tmp_path: Path) -> None:
    ask = "c = socket.socket()\nc.connect(({!r}, {}))\n_ = c.write(b'hello')\nprint(c.read(5), sta.ifconfig()[0])\n"
    async with served(tmp_path, name="one") as (one, _, address), bare(tmp_path, name="two") as two:
        await start(one, ECHO)
        answer, mine = (await did(two, JOIN + ask.format(address, PORT))).split()
        assert answer == "b'hello'"
        await one.console.wait_for(rf"\('{mine}', \d+\)", DEADLINE)


async def test_a_partition_holds_callers_back(tmp_path: Path) -> None:
    async with served(tmp_path) as (board, network, address):
        await start(board, ECHO)
        reader, writer = await asyncio.open_connection(address, PORT)
        writer.write(b"1")
        assert await asyncio.wait_for(reader.readexactly(1), DEADLINE) == b"1"
        network.partition()
        writer.write(b"2")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.1)
        network.partition(False)
        assert await asyncio.wait_for(reader.readexactly(1), DEADLINE) == b"2"
        network.quality = Quality(latency_ms=40)
        begin = asyncio.get_running_loop().time()
        writer.write(b"3")
        assert await reader.readexactly(1) == b"3"
        assert asyncio.get_running_loop().time() - begin >= 0.08
        network.reset()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.readexactly(1), DEADLINE)
        writer.close()


async def test_who_is_refused_and_when(tmp_path: Path) -> None:
    async with served(tmp_path) as (board, network, address):
        network.refusing = True
        with pytest.raises(ConnectionRefusedError):
            await echoed(address)
        network.refusing = False
        await start(board, ECHO)
        assert await echoed(address) == b"hello"
        await did(board, "_ = sta.active(False)")
        with pytest.raises(ConnectionRefusedError):
            await echoed(address)
        await did(board, JOIN + "s.close()")
        with pytest.raises(ConnectionRefusedError):
            await echoed(address)


async def test_a_server_ends_with_its_vm(tmp_path: Path) -> None:
    async with served(tmp_path) as (board, _, address):
        await board.power_cut()
        with pytest.raises(ConnectionRefusedError):
            await echoed(address)


async def test_a_port_is_bound_once_and_again_when_it_was_let_go(tmp_path: Path) -> None:
    again = "t = socket.socket()\n" + ERROR.format(f"t.bind(('0.0.0.0', {PORT}))")
    async with served(tmp_path) as (board, _, _address):
        assert await did(board, again) == "[Errno 98] EADDRINUSE\n"
        forgotten = f"del s\nt = socket.socket()\nt.bind(('', {PORT}))\nt.listen(1)\nt.close()\n"
        assert await did(board, forgotten + forgotten.removeprefix("del s\n")) == ""


async def test_servers_that_are_forgotten_make_room(tmp_path: Path) -> None:
    program = "for _ in range(40):\n    t = socket.socket()\n    t.bind(('', 0))\nprint('all')"
    async with bare(tmp_path) as board:
        assert await did(board, JOIN + program) == "all\n"


async def test_a_caller_whom_nobody_takes_leaves_no_name(tmp_path: Path) -> None:
    async with served(tmp_path) as (board, network, address):
        await did(board, "import gc\ndel s\n_ = gc.collect()")
        with pytest.raises(ConnectionResetError):
            await echoed(address)
        await network.flushed(DEADLINE)
        assert [port for port in range(1 << 16) if network._callers.name(port)] == []


async def test_a_board_is_its_own_peer(tmp_path: Path) -> None:
    program = """
for host in ("127.0.0.1", "localhost", sta.ifconfig()[0]):
    c = socket.socket()
    c.connect((host, {port}))
    d, who = s.accept()
    _ = c.write(b"x")
    print(d.read(1), type(who[1]))
"""
    async with served(tmp_path) as (board, network, _):
        network.partition()  # which is not within the board
        assert await did(board, program.format(port=PORT)) == "b'x' <class 'int'>\n" * 3


async def test_without_an_interface_there_is_no_way(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = server.getsockname()[1]
        program = "import errno, network, socket\n"
        for failing in (
            "socket.socket().connect(('10.1.2.3', 80))",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.1.2.3', 80))",
            "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('255.255.255.255', 80))",
            "socket.getaddrinfo('example.invalid', 80)",
            "socket.socket().connect(('example.invalid', 80))",
        ):
            program += ERROR.format(failing)
        program += f"print(socket.getaddrinfo('10.1.2.3', 80)[0][-1])\nsocket.socket().connect(('127.0.0.1', {here}))\n"
        async with bare(tmp_path) as board:
            unreachable = "[Errno 113] EHOSTUNREACH\n"
            assert await did(board, program) == unreachable * 3 + "-202\n-202\n('10.1.2.3', 80)\n"
