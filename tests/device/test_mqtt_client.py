"""The board's MQTT session against brokers that hold its pinned key and misbehave all the same."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tests.device.impostor import CONNACK, Impostor, Session, impostor
from tests.device.rig import DEADLINE, Rig
from tests.device.site import DEVICE

CONNECT, PUBLISH, PUBACK, SUBSCRIBE = 1, 3, 4, 8
LONG_S = 2.2  # of a handshake


@contextlib.asynccontextmanager
async def against(blank: Rig, play) -> AsyncIterator[Impostor]:  # type: ignore[no-untyped-def]
    """A board that dials a broker which does as ``play`` says, with the right key and certificate."""
    async with impostor(blank.site.fleet, blank.site.server, play) as broker:
        blank.site.port = broker.port
        await blank.provision()
        yield broker
        await blank.board.power_cut()


def publish(topic: str, payload: bytes, packet_id: int = 0, qos: int = 0) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic.encode()
    body += packet_id.to_bytes(2, "big") if qos else b""
    body += payload
    length, head = len(body), bytearray((0x30 | qos << 1,))
    while True:
        length, low = length >> 7, length & 0x7F
        head.append(low | (0x80 if length else 0))
        if not length:
            return bytes(head) + body


@pytest.mark.parametrize(
    "answer",
    [
        b"\x20\x02\x00\x05",  # refused
        b"\x20\x02\x00",  # cut off
        b"\x20\x03\x00\x00\x00",
        b"\xff\xff\xff\xff\xff",
        b"\x30\x80\x80\x80\x80",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
async def test_a_broker_that_does_not_welcome_is_left_and_tried_again(blank: Rig, answer: bytes) -> None:
    tries: asyncio.Queue[None] = asyncio.Queue()

    async def play(session: Session) -> None:
        await session.until(CONNECT)
        session.send(answer)
        tries.put_nowait(None)

    async with against(blank, play):
        for _ in range(3):
            await asyncio.wait_for(tries.get(), DEADLINE)
        assert (await blank.phone().unlock(blank.site.key_for_phone())).granted


async def test_a_gateway_that_lets_nobody_in_for_long_is_tried_less_and_less(blank: Rig) -> None:
    """However long a handshake took that came to nothing, it is a failure: a fleet that begins anew each time starves itself."""
    waits: asyncio.Queue[float] = asyncio.Queue()
    loop, left = asyncio.get_running_loop(), 0.0

    async def turn_away(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        if left:
            waits.put_nowait(loop.time() - left)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(LONG_S):
                while await reader.read(4096):
                    pass
        left = loop.time()
        writer.transport.abort()

    async with await asyncio.start_server(turn_away, "127.0.0.1", 0) as server:
        blank.site.port = server.sockets[0].getsockname()[1]
        await blank.provision()
        for least in (0.1, 0.25, 0.5):
            assert await asyncio.wait_for(waits.get(), DEADLINE) >= least
        await blank.board.power_cut()


async def test_a_refused_subscription_ends_the_session(blank: Rig) -> None:
    tries: asyncio.Queue[None] = asyncio.Queue()

    async def play(session: Session) -> None:
        await session.until(CONNECT)
        session.send(CONNACK)
        _, body = await session.until(SUBSCRIBE)
        session.send(b"\x90\x03" + body[:2] + b"\x80")
        tries.put_nowait(None)
        await session.ended()

    async with against(blank, play):
        for _ in range(2):
            await asyncio.wait_for(tries.get(), DEADLINE)


async def test_packets_that_come_byte_by_byte_are_understood(blank: Rig) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def play(session: Session) -> None:
        await session.until(CONNECT)
        for byte in CONNACK:
            session.send(bytes((byte,)))
            await session.writer.drain()
        _, body = await session.until(SUBSCRIBE)
        session.send(b"\x90\x03" + body[:2] + b"\x01")
        for byte in publish("d/x/down/nonsense", b"y" * 40, 77, qos=1):
            session.send(bytes((byte,)))
            await session.writer.drain()
        while True:
            kind, body = await session.packet()
            if kind >> 4 == PUBACK:
                heard.put_nowait(body)

    async with against(blank, play):
        assert await asyncio.wait_for(heard.get(), DEADLINE) == (77).to_bytes(2, "big")


async def test_no_more_than_four_messages_are_in_flight_and_none_is_lost_by_the_wait(blank: Rig) -> None:
    """A broker that acknowledges nothing is owed no fifth message; when it does, the rest follows."""
    sent: asyncio.Queue[bytes] = asyncio.Queue()
    go = asyncio.Event()

    async def play(session: Session) -> None:
        await session.welcome()
        waiting = []
        for _ in range(4):
            _, body = await session.until(PUBLISH)
            waiting.append(body)
            sent.put_nowait(body)
        await go.wait()
        while True:
            for body in waiting:
                at = 2 + int.from_bytes(body[:2], "big")
                session.send(b"\x40\x02" + body[at : at + 2])
            _, body = await session.until(PUBLISH)
            sent.put_nowait(body)
            waiting = [body]

    async with against(blank, play):
        topics = []
        for _ in range(4):
            body = await asyncio.wait_for(sent.get(), DEADLINE)
            topics.append(body[2 : 2 + int.from_bytes(body[:2], "big")].decode().rsplit("/", 1)[-1])
        assert topics == ["time", "state", "events", "log"]
        assert sent.empty()
        go.set()
        await blank.door.tap_rex()  # changes the state of the door
        body = await asyncio.wait_for(sent.get(), DEADLINE)
        assert body[: 2 + int.from_bytes(body[:2], "big")].endswith(b"/state")


async def test_a_broker_that_acknowledges_nothing_is_given_up(blank: Rig) -> None:
    """After its deadline, though the connection is fine; the door never waits for it."""
    sessions: asyncio.Queue[None] = asyncio.Queue()

    async def play(session: Session) -> None:
        await session.welcome()
        sessions.put_nowait(None)
        await session.ended()

    async with against(blank, play):
        for _ in range(2):
            await asyncio.wait_for(sessions.get(), 2 * DEADLINE)


@pytest.mark.parametrize(
    "packet",
    [publish(f"d/{DEVICE}/down/command", b'{"p": "{}", "m": "' + b"0" * 32 + b'"}'), b"\xd0\x00"],
    ids=["command", "pingresp"],
)
async def test_a_flood_from_a_stolen_gateway_keeps_nobody_from_the_door(blank: Rig, packet: bytes) -> None:
    """It holds the pinned key and never stops sending; buttons and phones are served all the same."""
    flooding, over = asyncio.Event(), asyncio.Event()
    flood = packet * (10_000 // len(packet))

    async def play(session: Session) -> None:
        await session.welcome()
        with contextlib.suppress(ConnectionError):
            while not over.is_set():
                session.send(flood)
                await session.writer.drain()
                flooding.set()

    async with against(blank, play):
        await asyncio.wait_for(flooding.wait(), DEADLINE)
        phone, key = blank.phone(), blank.site.key_for_phone()
        for _ in range(3):
            assert (await phone.unlock(key)).granted
        await blank.door.strike.wait(0, DEADLINE)
        await blank.door.tap_rex(0.4)
        await blank.door.strike.wait(1, DEADLINE)
        over.set()
