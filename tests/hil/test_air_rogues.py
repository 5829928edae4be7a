"""Members of an air that talk nonsense, never read or belong to somebody else, and airs that stop: who suffers?"""

import asyncio
import contextlib
import errno
import json
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hil.air import client, ops, server, wifi
from hil.air.client import Member
from hil.air.folder import Airfield
from hil.air.ops import AirError, Identity
from hil.vm import wire
from tests.hil.airs import eventually, servers

POINT = {"ssid": "bench", "key": "", "channel": 1, "security": 0, "clients": 4, "hidden": False}


async def joined(number: int, kind: str = ops.BOARD) -> Member:
    return await client.join(None, Identity(f"m{number}", bytes((2, 0, 0, 0, 0, number))), kind)


@pytest.fixture
async def honest(air: Airfield) -> AsyncIterator[Member]:
    """A member that has done nothing wrong."""
    async with await joined(1) as member:
        yield member
    await asyncio.to_thread(eventually, lambda: not air.socket.exists())


async def scan(member: Member) -> Any:
    return json.loads(await member.call(ops.WIFI, wifi.SCAN))


@pytest.mark.parametrize("kind", [ops.BOARD, ops.HOST, ops.WATCHER])
async def test_any_call_is_answered_and_harms_nobody_else(honest: Member, kind: str) -> None:
    dice = random.Random(kind)
    async with await joined(2, kind) as rogue:
        for _ in range(300):
            channel = dice.choice((ops.AIR, ops.BLE, ops.WIFI, 200))
            payload = dice.choice((b"", b"[]", b"{}", b"null", b"[[[", dice.randbytes(dice.randrange(60))))
            try:
                await rogue.call(channel, dice.randrange(48), payload, deadline=10)
            except OSError as error:
                assert error.errno != errno.ETIMEDOUT, (channel, payload)
        assert rogue.lost.is_set() is False
    assert await scan(honest) == []
    assert json.loads(await honest.call(ops.AIR, ops.SHOW, bytes(4)))["members"][0]["name"] == "m1"


@pytest.mark.parametrize(
    "change",
    [
        {"ssid": None, "hidden": ...},
        {"clients": 1000},
        {"channel": 256},
        {"security": -1},
        {"key": "x" * 65},
        {"ssid": "\N{SNOWMAN}" * 32},
        {"clients": []},
    ],
)
async def test_an_access_point_that_makes_no_sense_is_refused_and_heard_by_nobody(
    honest: Member, change: dict[str, Any]
) -> None:
    about = {key: value for key, value in (POINT | change).items() if value is not ...}
    async with await joined(2) as rogue:
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
            await rogue.call(ops.WIFI, wifi.AP, json.dumps(about).encode())
        assert await scan(honest) == []
        await rogue.call(ops.WIFI, wifi.AP, json.dumps(POINT).encode())
        assert [row[0] for row in await scan(honest)] == ["bench"]


async def test_a_member_that_never_reads_costs_the_air_a_bounded_buffer(
    air: Airfield, honest: Member
) -> None:
    def resident_kib() -> int:
        text = Path(f"/proc/{servers(air)[0]}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0])

    async with contextlib.AsyncExitStack() as others:
        for number in range(2, 40):  # so that each answer is long
            await others.enter_async_context(await joined(number))
        before = resident_kib()
        with socket.socket(socket.AF_UNIX) as rogue:
            rogue.connect(str(air.socket))
            who = {"version": ops.VERSION, "kind": ops.WATCHER, **Identity("x", bytes(6)).to_json()}
            rogue.sendall(wire.encode(wire.CALL, ops.AIR, ops.JOIN, json.dumps(who).encode(), 1))
            ask = wire.encode(wire.CALL, ops.AIR, ops.SHOW, bytes(4), 2)
            for _ in range(100):
                await asyncio.to_thread(rogue.sendall, ask * 100)
            answer = await honest.call(ops.AIR, ops.SHOW, bytes(4))
            assert resident_kib() - before < 10_000 * len(answer) // 1024 // 2
    assert air.log.read_bytes().count(b"dropped") < 100


async def test_bytes_that_are_no_frames_end_their_connection_only(air: Airfield, honest: Member) -> None:
    with socket.socket(socket.AF_UNIX) as noise:
        noise.connect(str(air.socket))
        noise.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert await asyncio.to_thread(noise.recv, 1) == b""
    assert await scan(honest) == []


async def test_somebody_else_is_turned_away(air: Airfield, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder keeps others out; the air does not rely on it."""
    other = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: other)
    ours, theirs = socket.socketpair()
    with ours, socket.socket(socket.AF_UNIX) as listening:
        server.Air(air, listening)._take(theirs)
        assert ours.recv(1) == b""


async def test_a_log_that_cannot_be_written_ends_nothing(air: Airfield) -> None:
    air.log.symlink_to("/dev/full")
    async with await joined(1) as member:
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):  # which it logs
            await member.call(ops.WIFI, wifi.JOIN, b"{}")
        assert await scan(member) == []
    await asyncio.to_thread(eventually, lambda: not air.socket.exists())


async def test_a_call_that_the_air_never_answers_has_a_deadline(air: Airfield, honest: Member) -> None:
    (process,) = servers(air)
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(OSError, match="does not answer"):
            await honest.call(ops.AIR, ops.SHOW, bytes(4), deadline=0.05)
    finally:
        os.kill(process, signal.SIGCONT)


async def test_an_air_that_stands_still_is_not_waited_for_when_joining(
    air: Airfield, honest: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "START_S", 0.2)
    (process,) = servers(air)
    os.kill(process, signal.SIGSTOP)
    try:
        with pytest.raises(AirError, match=r"air here does not answer; see .*here\.log"):
            await joined(2)
    finally:
        os.kill(process, signal.SIGCONT)


async def test_an_air_that_takes_nothing_any_more_is_lost(air: Airfield, honest: Member) -> None:
    (process,) = servers(air)
    os.kill(process, signal.SIGSTOP)
    try:
        for _ in range(2 * client.MAX_UNSENT // wire.MAX_PAYLOAD):
            honest.post(ops.WIFI, wifi.LEAVE, bytes(wire.MAX_PAYLOAD))
        assert honest.lost.is_set()
        with pytest.raises(ConnectionResetError):
            await honest.call(ops.AIR, ops.SHOW, bytes(4))
    finally:
        os.kill(process, signal.SIGCONT)
