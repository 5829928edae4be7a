"""Unlocking over the air: who gets in, who does not, and what a stranger on the radio cannot do."""

import asyncio
import contextlib
import os
import time
from typing import Any

import pytest

from hil.phone import DoorHungUp, Phone, share
from protocol import journal
from protocol.access import STATUS_GRANTED, STATUS_NAMES
from protocol.credential import (
    CAVEAT_ACTIONS,
    CAVEAT_DOOR,
    CAVEAT_NOT_AFTER,
    CAVEAT_NOT_BEFORE,
    REMOTE_ONLY,
    caveat,
)
from protocol.handshake import ACTION_LOCK, ACTION_STATUS
from protocol.host.calendar_rows import window_row
from tests.device.central import Central
from tests.device.rig import Rig
from tests.device.site import DOOR_BYTES

WAIT = 10.0
HOUR = 3600
ANNA = b"anna0001"


def seconds(offset: int) -> bytes:
    return (int(time.time()) + offset).to_bytes(4, "big")


async def test_a_key_opens_and_the_record_names_it(door: Rig) -> None:
    result = await door.phone().unlock(door.site.key_for_phone())
    assert result.granted
    await door.door.strike.wait(1, WAIT)
    record = await door.site.record(journal.EVENT_ACCESS_GRANTED)
    assert (record.seq, record.subject, record.method) == (result.audit_seq, ANNA, journal.METHOD_BLE)


@pytest.mark.parametrize("mtu", [None, 185, 247])
async def test_a_key_opens_at_every_mtu(lonely: Rig, mtu: int | None) -> None:
    caveats = [caveat(CAVEAT_DOOR, DOOR_BYTES)] * 4
    longest = share(lonely.site.key_for_phone(), *caveats)
    assert (await lonely.phone(mtu).unlock(longest)).granted
    await lonely.door.strike.wait(1, WAIT)


async def test_without_any_broker_the_door_opens_and_the_record_is_delivered_later(blank: Rig) -> None:
    site = blank.site
    async with site.serving():
        await blank.provision()
        await site.synchronised()
    result = await blank.phone().unlock(site.key_for_phone())
    assert result.granted
    await blank.door.strike.wait(1, WAIT)
    async with site.serving():
        record = await site.record(journal.EVENT_ACCESS_GRANTED)
        assert record.seq == result.audit_seq
        site.verify()


async def refused(door: Rig, key: dict[str, Any], reason: str) -> None:
    """The phone is told why, the relay does not move, and the record says so."""
    result = await door.phone().unlock(key)
    assert result.status == reason
    record = await door.site.record(journal.EVENT_ACCESS_DENIED)
    assert STATUS_NAMES[record.status] == reason
    assert not door.board.pins.level("relay")
    assert not any(r.type == journal.EVENT_ACCESS_GRANTED for r in door.site.verify())


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"not_after": -HOUR}, "outside_window"),
        ({"not_before": HOUR}, "outside_window"),
        ({"flags": REMOTE_ONLY}, "remote_only"),
        ({"schedule_id": 9}, "outside_schedule"),
    ],
)
async def test_a_token_does_not_open_beyond_its_limits(
    door: Rig, fields: dict[str, int], reason: str
) -> None:
    now = int(time.time())
    fields = {name: value + now if name.startswith("not_") else value for name, value in fields.items()}
    await refused(door, door.site.key_for_phone(**fields), reason)


async def test_a_token_opens_inside_its_window_and_schedule(door: Rig) -> None:
    now = int(time.time())
    always = window_row(1, 127, 0, 0, 1440)
    await door.site.down("config", door.site.config(2, schedules=always))
    await door.site.record(journal.EVENT_CONFIG_APPLIED)
    key = door.site.key_for_phone(not_before=now - HOUR, not_after=now + HOUR, schedule_id=1)
    assert (await door.phone().unlock(key)).granted


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (CAVEAT_DOOR, lambda: os.urandom(8)),
        (CAVEAT_ACTIONS, lambda: bytes((1 << ACTION_STATUS,))),
        (CAVEAT_NOT_AFTER, lambda: seconds(-HOUR)),
        (CAVEAT_NOT_BEFORE, lambda: seconds(HOUR)),
    ],
)
async def test_a_shared_key_opens_no_more_than_its_caveats_leave(door: Rig, kind: int, value: Any) -> None:
    key = share(door.site.key_for_phone(), caveat(kind, value()))
    time_bound = kind in (CAVEAT_NOT_AFTER, CAVEAT_NOT_BEFORE)
    await refused(door, key, "outside_window" if time_bound else "caveat")


async def test_a_revoked_credential_and_an_old_generation_are_refused_others_are_not(door: Rig) -> None:
    site, phone = door.site, door.phone()
    gens = {b"bert".hex(): 3, b"carl".hex(): 1}
    creds = [os.urandom(8).hex() for _ in range(40)] + [ANNA.hex()]
    await site.down("config", site.config(2, rev={"seq": 7, "creds": creds, "gens": gens}))
    await site.record(journal.EVENT_CONFIG_APPLIED)
    bert = {"credential_id": b"bert0001"}
    for fields, status in (
        ({}, "revoked"),
        ({**bert, "generation": 2}, "generation_over"),
        ({**bert, "generation": 3}, "granted"),
        ({"credential_id": b"anna0002"}, "granted"),
    ):
        result = await phone.unlock(site.key_for_phone(**fields))
        assert (result.status, result.rev_seq) == (status, 7)


async def test_an_id_that_only_straddles_two_revoked_ones_is_not_revoked(door: Rig) -> None:
    site = door.site
    creds = [b"12345678".hex(), b"abcdefgh".hex()]
    await site.down("config", site.config(2, rev={"seq": 7, "creds": creds, "gens": {}}))
    await site.record(journal.EVENT_CONFIG_APPLIED)
    phone = door.phone()
    assert (await phone.unlock(site.key_for_phone(credential_id=b"5678abcd"))).granted
    assert (await phone.unlock(site.key_for_phone(credential_id=b"abcdefgh"))).status == "revoked"


async def test_a_door_that_does_not_know_the_time_serves_only_keys_without_limits(lonely: Rig) -> None:
    phone, key = lonely.phone(), lonely.site.key_for_phone
    assert (await phone.unlock(key(not_after=int(time.time()) + HOUR))).status == "clock_uncertain"
    assert (
        await phone.unlock(share(key(), caveat(CAVEAT_NOT_AFTER, seconds(HOUR))))
    ).status == "clock_uncertain"
    assert not lonely.board.pins.level("relay")
    assert (await phone.unlock(key())).granted


async def test_a_key_of_another_door_gets_no_answer(lonely: Rig) -> None:
    lonely_root, lonely.site.k_dev = lonely.site.k_dev, os.urandom(32)
    stolen = lonely.site.key_for_phone()
    lonely.site.k_dev = lonely_root
    with pytest.raises(DoorHungUp):
        await lonely.phone().unlock(stolen)
    assert not lonely.board.pins.level("relay")


async def test_a_key_of_another_epoch_is_refused(lonely: Rig) -> None:
    assert (await lonely.phone().unlock(lonely.site.key_for_phone(epoch=2))).status == "key_epoch_over"


async def test_locking_ends_the_pulse_and_a_status_moves_nothing(blank: Rig) -> None:
    blank.site.port = 1
    await blank.provision(config=blank.site.config(policy={"open_s": 60}))
    await blank.running()
    phone, key = blank.phone(), blank.site.key_for_phone()
    assert (await phone.unlock(key, action=ACTION_STATUS)).granted
    assert not blank.board.pins.level("relay")
    assert (await phone.unlock(key)).granted
    await blank.door.strike.wait(1, WAIT)
    assert (await phone.unlock(key, action=ACTION_LOCK)).granted
    await blank.door.strike.wait(0, WAIT)


async def test_a_proof_works_once_and_on_its_own_connection_only(lonely: Rig) -> None:
    """A recorder in the air has every byte of a good unlock; none of it opens the door again."""
    key = lonely.site.key_for_phone()
    async with Central(lonely.medium, "owner") as owner:
        proof = owner.proof(key, await owner.challenge())
        await owner.send(proof)
        assert (await owner.answer()).status == STATUS_GRANTED
        await lonely.door.strike.wait(1, WAIT)
        await lonely.door.strike.wait(0, WAIT)
        await owner.send(proof)
        await owner.dropped()
    async with Central(lonely.medium, "thief") as thief:
        await thief.challenge()
        await thief.send(proof)
        await thief.dropped()
    assert not lonely.board.pins.level("relay")


async def test_a_proof_without_a_challenge_of_this_connection_is_refused(lonely: Rig) -> None:
    key = lonely.site.key_for_phone()
    async with (
        Central(lonely.medium, "near") as near,
        Central(lonely.medium, "far") as far,
    ):
        proof = near.proof(key, await far.challenge())
        await near.send(proof)
        await near.dropped()
        assert not lonely.board.pins.level("relay")


async def test_a_proof_with_one_wrong_bit_is_refused(lonely: Rig) -> None:
    for position in (0, 1, 20, 30, -17, -1):
        async with Central(lonely.medium, f"noise{position}") as central:
            proof = bytearray(central.proof(lonely.site.key_for_phone(), await central.challenge()))
            proof[position] ^= 1
            await central.send(bytes(proof))
            await central.dropped()
        assert not lonely.board.pins.level("relay")


async def test_idle_centrals_are_dropped_and_their_slots_freed(lonely: Rig) -> None:
    async with (
        Central(lonely.medium, "one") as one,
        Central(lonely.medium, "two") as two,
        Central(lonely.medium, "three", mtu=None) as three,
    ):
        await three.write(b"\x80half")  # a message that never ends keeps nobody's slot
        for central in (one, two, three):
            await central.dropped()
        assert (await lonely.phone().unlock(lonely.site.key_for_phone())).granted


async def test_garbage_is_counted_and_ends_neither_the_task_nor_the_next_unlock(door: Rig) -> None:
    garbage = [
        b"",
        b"\x00",
        b"\xc0",
        b"\x41late",
        b"\xc0" + os.urandom(60),
        b"\xff" * 200,
        b"\xc0\x12\x09" + bytes(58),
    ]
    for item in garbage:
        async with Central(door.medium, "noise") as central:
            await central.challenge()
            with contextlib.suppress(Exception):  # the door may hang up in the middle of a write
                await central.write(item)
            await central.dropped()
    async with Central(door.medium, "flood") as central:
        with contextlib.suppress(Exception):
            for _ in range(40):
                await central.write(b"\x80" + bytes(100))
    assert (await door.phone().unlock(door.site.key_for_phone())).granted
    counters = await door.site.counters()
    assert counters["ble_fragment_empty"] == 3
    assert counters["ble_fragment_order"] >= 2
    assert counters["ble_auth"] >= 1
    assert "crash_ble" not in counters


async def test_more_phones_than_slots_all_get_in(lonely: Rig) -> None:
    key = lonely.site.key_for_phone()

    async def persist(phone: Phone) -> bool:
        while True:
            try:
                return (await phone.unlock(key)).granted
            except DoorHungUp as error:  # two answered the same advertisement, and one was heard
                assert not error.may_have_opened

    assert all(await asyncio.gather(*(persist(lonely.phone()) for _ in range(5))))


async def test_the_same_refusal_again_is_counted_not_recorded(door: Rig) -> None:
    phone, key = door.phone(), door.site.key_for_phone(flags=REMOTE_ONLY)
    first = await phone.unlock(key)
    for _ in range(3):
        assert (await phone.unlock(key)).audit_seq == first.audit_seq
    assert (await door.site.counters())["refused_again"] == 3
