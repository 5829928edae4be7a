"""The phone against doors on real MicroPython VMs, honest and hostile ones."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from hil.phone import (
    DoorAnswerForged,
    DoorHungUp,
    DoorKey,
    DoorNotFound,
    DoorTimeout,
    Phone,
    PhoneError,
    share,
)
from hil.radio.medium import Medium
from protocol.access import STATUS_NAMES
from protocol.credential import CAVEAT_ACTIONS, CAVEAT_DOOR, CAVEAT_NOT_AFTER, Token, caveat, mint
from protocol.handshake import ACTION_STATUS, ACTION_UNLOCK
from protocol.keys import credential_root, epoch_key
from tests.hil.radio_vm import RadioVm

SCRIPT = Path(__file__).with_name("vm_door.py")
DEADLINE = 20.0
DOOR = bytes.fromhex("00112233aabbccdd")
ROOT = credential_root(bytes(range(32)))


@pytest.fixture
async def phone(medium: Medium) -> AsyncIterator[Phone]:
    phone = Phone.on(medium, "phone")
    yield phone
    await phone.aclose()


def entry(door: bytes = DOOR, root: bytes = ROOT) -> dict[str, Any]:
    """What a phone's bundle holds for a door."""
    token = Token(1, b"subjserl").encode()
    key = mint(epoch_key(root, 1), token)
    return DoorKey("door_" + door.hex(), "Front door", token, key).to_json()


@asynccontextmanager
async def door_vm(
    medium: Medium,
    behaviour: str = "honest",
    status: int = 0,
    door: bytes = DOOR,
    root: bytes = ROOT,
    mac: str = "240ac4000201",
) -> AsyncIterator[RadioVm]:
    async with RadioVm(medium, SCRIPT, door.hex(), root.hex(), str(status), behaviour, mac=mac) as vm:
        await vm.line("ready")
        yield vm


@pytest.mark.parametrize("mtu", [None, 185, 517])
async def test_a_key_opens_its_door_at_every_mtu(medium: Medium, mtu: int | None) -> None:
    phone = Phone.on(medium, "phone", mtu=mtu)
    async with door_vm(medium) as vm:
        result = await phone.unlock(entry())
        assert (result.status, result.granted, result.audit_seq, result.rev_seq) == (
            STATUS_NAMES[0],
            True,
            7,
            3,
        )
        assert list(result.timings) == ["scan_ms", "connect_ms", "discover_ms", "answer_ms"]
        assert await vm.line("auth") == f"{ACTION_UNLOCK} 0"
        assert (await phone.unlock(entry(), action=ACTION_STATUS)).granted
        assert await vm.line("auth") == f"{ACTION_STATUS} 0"
    await phone.aclose()


@pytest.mark.parametrize(
    ("status", "name"), [(1, STATUS_NAMES[1]), (3, STATUS_NAMES[3]), (200, "status_200")]
)
async def test_a_denial_is_an_answer(medium: Medium, phone: Phone, status: int, name: str) -> None:
    async with door_vm(medium, status=status):
        result = await phone.unlock(entry())
        assert (result.status, result.granted) == (name, False)


async def test_a_shared_key_carries_its_caveats_and_cannot_be_widened(medium: Medium, phone: Phone) -> None:
    shared = share(entry(), caveat(CAVEAT_DOOR, DOOR), caveat(CAVEAT_ACTIONS, b"\x02"))
    twice = share(shared, caveat(CAVEAT_NOT_AFTER, (1 << 31).to_bytes(4, "big")))
    async with door_vm(medium) as vm:
        assert (await phone.unlock(shared)).granted
        assert await vm.line("auth") == f"{ACTION_UNLOCK} 2"
        assert (await phone.unlock(twice)).granted
        assert await vm.line("auth") == f"{ACTION_UNLOCK} 3"
        for widened in (shared["caveats"][:1], [], shared["caveats"][::-1]):
            with pytest.raises(DoorHungUp) as refused:
                await phone.unlock({**shared, "caveats": widened})
            assert refused.value.may_have_opened
            assert await vm.line("refused") == "auth_mac"


async def test_the_right_one_of_two_doors_opens(medium: Medium, phone: Phone) -> None:
    other = bytes.fromhex("00112233aabbccde")
    root = credential_root(bytes(32))
    async with (
        door_vm(medium) as front,
        door_vm(medium, door=other, root=root, mac="240ac4000202") as back,
    ):
        await phone.unlock(entry(other, root))
        await back.line("auth")
        assert not [line for line in front.printed if line.startswith("auth")]


async def test_a_door_that_is_not_there_is_not_found(
    medium: Medium, phone: Phone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hil.phone.SCAN_TIMEOUT", 0.3)
    async with door_vm(medium):
        with pytest.raises(DoorNotFound) as missing:
            await phone.unlock(entry(b"elsewhr!"))
        assert (missing.value.may_have_opened, missing.value.retry) == (False, True)


@pytest.mark.parametrize("behaviour", ["flip", "twin", "flood", "garbled", "borrowed"])
async def test_an_answer_that_proves_nothing_is_forged(medium: Medium, phone: Phone, behaviour: str) -> None:
    root = os.urandom(32) if behaviour == "twin" else ROOT
    async with door_vm(medium, behaviour, root=root):
        with pytest.raises(DoorAnswerForged) as forged:
            await phone.unlock(entry())
        assert not forged.value.retry
        assert forged.value.may_have_opened == (behaviour not in ("garbled", "borrowed"))


async def test_a_mute_door_times_out_and_is_left(medium: Medium, phone: Phone) -> None:
    async with door_vm(medium, "mute"):
        with pytest.raises(DoorTimeout) as mute:
            await phone.unlock(entry(), timeout=1.0)
        assert mute.value.may_have_opened
        assert phone.adapter.device.connections == {}


async def test_a_door_that_hangs_up_is_told_from_one_that_denies(medium: Medium, phone: Phone) -> None:
    async with door_vm(medium, "hangup"):
        with pytest.raises(DoorHungUp) as dropped:
            await phone.unlock(entry())
        assert dropped.value.may_have_opened


async def test_a_wrong_key_gets_no_answer(medium: Medium, phone: Phone) -> None:
    async with door_vm(medium) as vm:
        with pytest.raises(DoorHungUp):
            await phone.unlock(entry(root=os.urandom(32)))
        assert await vm.line("refused") == "auth_mac"


async def test_a_power_cut_in_mid_unlock_is_an_error_not_a_hang(medium: Medium, phone: Phone) -> None:
    async with door_vm(medium, "mute") as vm:
        attempt = asyncio.create_task(phone.unlock(entry()))
        await vm.line("heard")
        await vm.power_cut()
        with pytest.raises(PhoneError):
            await asyncio.wait_for(attempt, DEADLINE)


async def test_an_unlock_that_is_given_up_leaves_the_phone_usable(medium: Medium, phone: Phone) -> None:
    async with door_vm(medium):
        over = 0
        for turns in range(60):  # each gives up 4 ms later, until attempts are over by then, also slow ones
            attempt = asyncio.create_task(phone.unlock(entry()))
            await asyncio.sleep(turns * 0.004)
            attempt.cancel()
            await asyncio.wait({attempt})
            if not attempt.cancelled():
                assert attempt.result().granted
                over += 1
            if over == 5:
                break
        assert turns > 10
        assert (await phone.unlock(entry())).granted
        assert not phone.adapter.device.is_scanning
        assert not phone.adapter.device.connections


def test_a_key_is_not_shown_in_logs() -> None:
    key = DoorKey.parse(entry())
    assert key.key.hex() not in repr(key)
    assert repr(key.key) not in repr(key)
