"""A fleet that comes back at once is let in by its turns: no handshake is begun that would not come to its end."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.gate import MAX_HELLO, Gate
from gateway.tls_records import Records
from protocol.host.turns import Turns
from tests.protocol.host.fleet import Fleet

WAIT_S = 20
CONNECT, CONNACK = b"connect", b"connack"


class Broker:
    """Behind the gate: shakes hands, and answers when it is told to."""

    def __init__(self, pki: Fleet) -> None:
        self.pki = pki
        self.came: asyncio.Queue[None] = asyncio.Queue()
        self.asked = 0
        self.answers = asyncio.Semaphore(0)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        identity = pki.issue("broker", server=True)
        self._context.load_cert_chain(identity.certificate, identity.key)
        self._context.load_verify_locations(pki.ca)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.maximum_version = ssl.TLSVersion.TLSv1_2  # as boards have it
        self._device = pki.issue("dev_" + "1" * 16)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came.put_nowait(None)
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            await writer.start_tls(self._context)
            assert await reader.readexactly(len(CONNECT)) == CONNECT
            self.asked += 1
            await self.answers.acquire()
            writer.write(CONNACK)
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async def device(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A device that has been let in."""
        context = self.pki.context(self._device)
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.write(CONNECT)
        assert await reader.readexactly(len(CONNACK)) == CONNACK
        return reader, writer


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("pki"))


@contextlib.asynccontextmanager
async def gated(pki: Fleet, **options: Any) -> AsyncIterator[tuple[Gate, Broker]]:
    """A gate that is shut, and its broker."""
    broker = Broker(pki)
    async with await asyncio.start_server(broker.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        gate = Gate("127.0.0.1", 0, lambda: ("127.0.0.1", port), **options)
        await gate.start()
        try:
            yield gate, broker
        finally:
            await gate.close()


async def came(broker: Broker, number: int) -> None:
    for _ in range(number):
        await asyncio.wait_for(broker.came.get(), WAIT_S)


async def waiting(gate: Gate, number: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while gate.waiting != number:  # noqa: ASYNC110  (of connections on their way)
            await asyncio.sleep(0.001)


async def hung_up(reader: asyncio.StreamReader) -> bool:
    """Whether the other side ended the connection in time."""
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(WAIT_S):
            while await reader.read(4096):
                pass
    return True


async def test_no_more_handshakes_are_under_way_than_may_be_and_all_come_to_their_end(pki: Fleet) -> None:
    async with gated(pki, max_handshakes=3, place_s=WAIT_S) as (gate, broker), asyncio.TaskGroup() as group:
        gate.open()
        devices = [group.create_task(broker.device(gate.port)) for _ in range(12)]
        await came(broker, 3)
        for let_in in range(1, 10):
            assert broker.came.empty()
            assert broker.asked < let_in + 3
            broker.answers.release()
            await came(broker, 1)
        for _ in range(3):
            broker.answers.release()
        for device in devices:
            _, writer = await asyncio.wait_for(device, WAIT_S)
            writer.transport.abort()


async def test_who_comes_while_nobody_listens_waits_and_is_let_in(pki: Fleet) -> None:
    async with gated(pki) as (gate, broker):
        broker.answers.release()
        gate.open()
        gate.shut()
        device = asyncio.create_task(broker.device(gate.port))
        await waiting(gate, 1)
        assert broker.came.empty()
        gate.open()
        _, writer = await asyncio.wait_for(device, WAIT_S)
        writer.transport.abort()


async def test_who_waits_too_long_is_sent_away_and_has_cost_the_broker_nothing(pki: Fleet) -> None:
    async with gated(pki, max_wait_s=0.05) as (gate, broker):
        for hello in (b"", b"\x16\x03\x01\x00\x05hello"):
            reader, writer = await asyncio.open_connection("127.0.0.1", gate.port)
            writer.write(hello)
            assert await hung_up(reader)
            writer.transport.abort()
        gate.open()
        assert gate.waiting == 0
        assert broker.came.empty()


async def test_who_leaves_while_it_waits_takes_no_place(pki: Fleet) -> None:
    async with gated(pki, max_handshakes=1, place_s=WAIT_S) as (gate, broker):
        _, writer = await asyncio.open_connection("127.0.0.1", gate.port)
        writer.write(b"hello")
        await waiting(gate, 1)
        writer.close()
        await waiting(gate, 0)
        gate.open()
        broker.answers.release()
        _, writer = await asyncio.wait_for(broker.device(gate.port), WAIT_S)
        assert broker.came.qsize() == 1
        writer.transport.abort()


async def test_a_handshake_that_stalls_gives_its_place_to_the_next(pki: Fleet) -> None:
    async with gated(pki, max_handshakes=1, place_s=0.05) as (gate, broker):
        gate.open()
        broker.answers.release()
        _, stalled = await asyncio.open_connection("127.0.0.1", gate.port)
        stalled.write(b"\x16\x03\x01\x02\x00")
        await came(broker, 1)
        _, writer = await asyncio.wait_for(broker.device(gate.port), WAIT_S)
        for one in (stalled, writer):
            one.transport.abort()


async def test_a_stranger_with_many_connections_keeps_nobody_out(pki: Fleet) -> None:
    async with gated(pki, max_handshakes=1, place_s=0.5) as (gate, broker):
        strangers = [
            await asyncio.open_connection("127.0.0.1", gate.port, local_addr=("127.0.0.7", 0))
            for _ in range(20)
        ]
        for _, stranger in strangers:
            stranger.write(b"\x16\x03\x01\x02\x00")
        await waiting(gate, 20)
        device = asyncio.create_task(broker.device(gate.port))
        await waiting(gate, 21)
        broker.answers.release()
        gate.open()
        _, writer = await asyncio.wait_for(device, WAIT_S)
        assert (
            broker.came.qsize() < 10
        )  # it was the second, and those that stall come only as places are given up
        for _, one in (*strangers, (None, writer)):
            one.transport.abort()


async def test_a_full_gate_and_an_endless_hello_are_sent_away(pki: Fleet) -> None:
    async with gated(pki, max_waiting=2) as (gate, _):
        ends = [await asyncio.open_connection("127.0.0.1", gate.port) for _ in range(3)]
        for number, (_, writer) in enumerate(ends[:2], 1):
            writer.write(b"hello")
            await waiting(gate, number)
        ends[2][1].write(b"hello")
        assert await hung_up(ends[2][0])
        ends[0][1].write(bytes(MAX_HELLO))
        assert await hung_up(ends[0][0])
        assert gate.waiting == 1
        for _, writer in ends:
            writer.transport.abort()


async def test_what_passes_is_unchanged_and_ends_where_either_side_ends(pki: Fleet) -> None:
    sent = bytes(range(256)) * 4096
    async with gated(pki) as (gate, broker):
        gate.open()
        broker.answers.release()
        reader, writer = await asyncio.wait_for(broker.device(gate.port), WAIT_S)
        writer.write(sent)  # faster than it comes back: each end slows down the other
        assert await asyncio.wait_for(reader.readexactly(len(sent)), WAIT_S) == sent
        await gate.close()
        assert await hung_up(reader)


def test_the_addresses_take_turns_and_the_longest_line_is_cut() -> None:
    turns: Turns[str] = Turns(4)
    for item in ("a1", "a2", "a3", "b1"):
        assert turns.add(item[0], item) is None
    assert turns.add("b", "b2") == "a3"
    assert turns.add("a", "a4") == "a4"
    turns.discard("b", "b2")
    turns.discard("c", "c1")
    assert len(turns) == 3
    assert [turns.next() for _ in range(3)] == ["a1", "b1", "a2"]
    with pytest.raises(IndexError):
        turns.next()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_end_of_a_handshake_is_seen_wherever_its_bytes_are_cut(
    pki: Fleet, version: ssl.TLSVersion
) -> None:
    flights = client_flights(pki, version)
    whole = b"".join(flights)
    records = Records()
    ended = 0
    while not records.ended:
        records.feed(whole[ended : ended + 1])
        ended += 1
    assert len(flights[0]) < ended <= len(whole) - len(flights[-1]) + 5
    for cut in range(len(whole)):
        records = Records()
        records.feed(whole[:cut])
        assert records.ended == (cut >= ended)
        records.feed(whole[cut:])
        assert records.ended


def client_flights(pki: Fleet, version: ssl.TLSVersion) -> list[bytes]:
    """What a client sends in a handshake with a certificate of its own, and with its first words, write by write."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity = pki.issue("broker", server=True)
    server.load_cert_chain(identity.certificate, identity.key)
    server.load_verify_locations(pki.ca)
    server.verify_mode = ssl.CERT_REQUIRED
    client = pki.context(pki.issue("dev_" + "2" * 16))
    client.minimum_version = client.maximum_version = version
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(down, up, server_hostname="localhost")
    far_in = ssl.MemoryBIO()
    far = server.wrap_bio(far_in, down, server_side=True)
    flights = []
    for side in (near, far) * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        if sent := up.read():
            flights.append(sent)
            far_in.write(sent)
    near.write(CONNECT)
    return [*flights, up.read()]
