"""MicroPython's L2CAP channels, between real VMs."""

import asyncio
import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hil.radio.medium import Medium
from tests.hil import ble_vm as ble
from tests.hil.ble_vm import BleVm, connect, vms
from tests.hil.radio_vm import DEADLINE

PSM, MTU, PEER_MTU = 22, 100, 300
PSM_NOT_SUPPORTED, NO_RESOURCES, NO_AUTHENTICATION = 8, 6, 23


@pytest.fixture
async def boards(medium: Medium, tmp_path: Path) -> AsyncIterator[list[BleVm]]:
    async with vms(medium, tmp_path, 2) as boards:
        for board in boards:
            await board.do("ble.active(True)")
        yield boards


async def channel(boards: list[BleVm]) -> tuple[str, str]:
    """(connection and channel as arguments, at each)."""
    central, peripheral = boards
    conn, theirs = await connect(central, peripheral)
    await peripheral.do(f"ble.l2cap_listen({PSM}, {PEER_MTU})")
    await central.do(f"ble.l2cap_connect({conn}, {PSM}, {MTU})")
    _, there, *fields = await peripheral.irq(ble.L2CAP_ACCEPT)
    assert fields == [PSM, PEER_MTU, MTU]
    assert await peripheral.irq(ble.L2CAP_CONNECT) == (theirs, there, *fields)
    _, here, *fields = await central.irq(ble.L2CAP_CONNECT)
    assert fields == [PSM, MTU, PEER_MTU]
    return f"{conn}, {here}", f"{theirs}, {there}"


async def test_a_sender_is_held_until_the_receiver_has_taken_all(boards: list[BleVm]) -> None:
    central, peripheral = boards
    here, there = await channel(boards)
    await peripheral.do("buf = bytearray(60)")
    for n in range(2):  # the credits for one packet of the receiver's MTU carry two small ones
        assert await central.do(f"ble.l2cap_send({here}, bytes(range({n}, 180)))") is True
        await peripheral.irq(ble.L2CAP_RECV)
    assert await central.do(f"ble.l2cap_send({here}, b'third')") is False
    assert await central.error(f"ble.l2cap_send({here}, b'fourth')") == errno.EBUSY
    assert await peripheral.do(f"ble.l2cap_recvinto({there}, None)") == 359
    got = b""
    while len(got) < 364:
        n = await peripheral.do(f"ble.l2cap_recvinto({there}, buf)")
        if n == 0:
            await peripheral.irq(ble.L2CAP_RECV)
        got += await peripheral.do(f"bytes(buf[:{n}])")
    assert got == bytes(range(180)) + bytes(range(1, 180)) + b"third"
    assert (await central.irq(ble.L2CAP_SEND_READY))[2] == 0
    assert await peripheral.do(f"ble.l2cap_send({there}, b'back')") is True
    await central.irq(ble.L2CAP_RECV)
    assert await central.do(f"ble.l2cap_recvinto({here}, None)") == 4


async def test_what_a_handler_takes_is_acknowledged_at_once(boards: list[BleVm]) -> None:
    central, peripheral = boards
    here, _ = await channel(boards)
    await peripheral.do("buf = bytearray(500)")
    await peripheral.do("got = []")
    await peripheral.do(
        "take = lambda conn, cid: got.append(bytes(buf[:ble.l2cap_recvinto(conn, cid, buf)]))"
    )
    await peripheral.do(f"answers[{ble.L2CAP_RECV}] = take")
    for n in range(10):
        if not await central.do(f"ble.l2cap_send({here}, bytes({190 + n}))"):
            await central.irq(ble.L2CAP_SEND_READY)
    async with asyncio.timeout(DEADLINE):
        while await peripheral.do("sum(len(part) for part in got)") < 1945:
            await peripheral.irq(ble.L2CAP_RECV)


async def test_more_than_fits_is_refused(boards: list[BleVm]) -> None:
    central, peripheral = boards
    here, there = await channel(boards)
    assert await peripheral.error(f"ble.l2cap_send({there}, bytes(101))") == errno.EINVAL  # the peer's MTU
    assert await central.error(f"ble.l2cap_send({here}, bytes(201))") == errno.EINVAL  # twice the own
    for line in (
        "ble.l2cap_send(0, 99, b'')",
        "ble.l2cap_recvinto(0, 99, None)",
        "ble.l2cap_disconnect(0, 99)",
    ):
        assert await central.error(line) == errno.EINVAL, line


async def test_a_channel_ends_from_either_side_and_with_its_connection(boards: list[BleVm]) -> None:
    central, peripheral = boards
    here, there = await channel(boards)
    conn = here.split(",")[0]
    for n, (board, ends) in enumerate(((central, here), (peripheral, there), (central, None))):
        if n:
            await central.do(f"ble.l2cap_connect({conn}, {PSM}, {MTU})")
            await central.irq(ble.L2CAP_CONNECT)
            await peripheral.irq(ble.L2CAP_CONNECT)
        if ends:
            await board.do(f"ble.l2cap_disconnect({ends})")
        else:
            await board.do(f"ble.gap_disconnect({conn})")
        for end in boards:
            assert (await end.irq(ble.L2CAP_DISCONNECT))[2:] == (PSM, 0)
    events = [event for event, _ in peripheral.events]
    await peripheral.irq(ble.CENTRAL_DISCONNECT)
    assert ble.CENTRAL_DISCONNECT not in events[: events.index(ble.L2CAP_DISCONNECT)]


async def test_a_channel_is_refused_with_its_reason(boards: list[BleVm]) -> None:
    central, peripheral = boards
    conn, _ = await connect(central, peripheral)

    async def status() -> int:
        await central.do(f"ble.l2cap_connect({conn}, {PSM}, {MTU})")
        return int((await central.irq(ble.L2CAP_DISCONNECT))[3])

    assert await status() == PSM_NOT_SUPPORTED
    await peripheral.do(f"ble.l2cap_listen({PSM}, {MTU})")
    assert await peripheral.error(f"ble.l2cap_listen({PSM}, {MTU})") == errno.EALREADY
    assert await peripheral.error(f"ble.l2cap_connect(0, {PSM}, {MTU})") == errno.EALREADY
    for answer, reason in ((NO_AUTHENTICATION, NO_AUTHENTICATION), (1, NO_RESOURCES)):
        await peripheral.do(f"answers[{ble.L2CAP_ACCEPT}] = {answer}")
        assert await status() == reason
