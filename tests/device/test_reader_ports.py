"""Readers at a whole board: cards and codes of a table that came over the air open its door, and nothing else does."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.board.description import Description, builtin
from hil.osdp_reader import GREEN, LED, RED, Reader, Terminal
from protocol import journal, keys, wiegand
from protocol.host.tables import User, users_table
from tests.device.rig import DEADLINE, Rig, rig
from tests.device.site import DEVICE

ANNA, BERT = "user_" + "a" * 16, "user_" + "b" * 16
CARD = wiegand.card(26, 3456, 12)
WIRE = bytes.fromhex("0606c040")  # the same card, as an OSDP reader sends it
OSDP = {"uart": 1, "tx": 17, "rx": 16, "de": 4, "baud": 9600, "address": 1}


@contextlib.asynccontextmanager
async def online(folder: Path, description: Description, **pins: Any) -> AsyncIterator[Rig]:
    """A provisioned board with these readers, its table of users in force."""
    async with rig(folder, description=description) as one, one.site.serving():
        text = json.dumps({**description.pin_map, **pins})
        await one.execute(f"with open('/pins.json', 'w') as f:\n    f.write({text!r})")
        await one.provision()
        await one.site.synchronised()
        await users(one, 1, pins={"4711": User(ANNA)}, cards={CARD: User(BERT)})
        yield one


async def users(one: Rig, sequence: int, **entries: Any) -> None:
    before = one.site.newest
    await one.site.offer("users", sequence, users_table(one.site.k_dev, DEVICE, sequence, **entries))
    record = await one.site.record(journal.EVENT_TRANSFER_TAKEN, after=before)
    assert record.value == sequence


@pytest.fixture
async def wired(tmp_path: Path) -> AsyncIterator[Rig]:
    async with online(tmp_path, builtin("reader_door")) as one:
        yield one


@pytest.fixture
async def osdp(tmp_path: Path) -> AsyncIterator[Rig]:
    async with online(tmp_path, builtin("osdp_door"), osdp=OSDP) as one:
        yield one


@contextlib.contextmanager
def reader_of(one: Rig) -> Iterator[Reader]:
    reader = Reader(Terminal(one.board.uarts[1].open_pty()), keys.osdp_key(one.site.k_dev))
    reader.start()
    try:
        yield reader
    finally:
        reader.stop()


async def opened_by(one: Rig, method: int, user: str, after: int) -> None:
    record = await one.site.record(journal.EVENT_ACCESS_GRANTED, after=after)
    assert (record.method, record.subject.hex()) == (method, user[5:])
    await one.door.strike.wait(1, DEADLINE)
    await one.door.strike.wait(0, DEADLINE)


async def refused_by(one: Rig, method: int, after: int) -> None:
    record = await one.site.record(journal.EVENT_ACCESS_DENIED, after=after)
    assert (record.method, record.subject) == (method, bytes(8))
    assert not one.door.unlocked


async def card(one: Rig, number: int) -> int:
    """Show a card of facility 12; the sequence before."""
    before = one.site.newest
    await one.board.wiegand.card(12, number)
    return before


async def code(one: Rig, keys: str) -> int:
    """Press keys; the sequence before."""
    before = one.site.newest
    for name in keys:
        await one.board.keypad.tap(name)
    return before


async def lit(reader: Reader, colour: int) -> None:
    async with asyncio.timeout(DEADLINE):
        while colour not in [command["on_color"] for command in reader.shown(LED)]:  # noqa: ASYNC110  (another thread)
            await asyncio.sleep(0.02)


async def test_a_card_and_a_code_open_and_others_do_not(wired: Rig) -> None:
    await opened_by(wired, journal.METHOD_CARD, BERT, await card(wired, 3456))
    await refused_by(wired, journal.METHOD_CARD, await card(wired, 3457))
    await opened_by(wired, journal.METHOD_PIN, ANNA, await code(wired, "4711#"))
    await refused_by(wired, journal.METHOD_PIN, await code(wired, "4712#"))


async def test_a_newer_table_takes_a_code_back_and_an_older_one_does_not_return_it(wired: Rig) -> None:
    await users(wired, 2, cards={CARD: User(BERT)})
    await refused_by(wired, journal.METHOD_PIN, await code(wired, "4711#"))
    old = users_table(wired.site.k_dev, DEVICE, 1, pins={"4711": User(ANNA)})
    await wired.site.offer("users", 1, old)
    assert (await wired.site.counters())["down_update_offer_older"] == 1


async def test_codes_are_guessed_a_few_times_only(wired: Rig) -> None:
    for guess in ("0000#", "1111#", "2222#", "3333#", "4444#"):
        await code(wired, guess)
    await wired.site.record(journal.EVENT_WRONG_CODES)
    before = await code(wired, "4711#")
    await card(wired, 3456)  # which the lock-out of the keypad does not concern
    await opened_by(wired, journal.METHOD_CARD, BERT, before)
    granted = [r for r in wired.site.verify() if r.type == journal.EVENT_ACCESS_GRANTED]
    assert len(granted) == 1


async def test_cards_are_read_while_bluetooth_and_uplink_are_busy(wired: Rig) -> None:
    site, phone, key = wired.site, wired.phone(), wired.site.key_for_phone()
    owners = {number: f"user_{number:016x}" for number in range(1, 21)}
    await users(
        wired, 2, cards={wiegand.card(26, number, 7): User(owner) for number, owner in owners.items()}
    )
    before, busy = site.newest, True

    async def commands() -> int:
        count = 0
        while busy:
            await site.down("command", site.command())
            await site.result()
            count += 1
        return count

    async def phones() -> int:
        count = 0
        while busy:
            await phone.unlock(key)
            count += 1
        return count

    working = [asyncio.create_task(commands()), asyncio.create_task(phones())]
    for number in owners:
        await wired.board.wiegand.card(7, number)
    busy = False
    assert all(count > 3 for count in await asyncio.gather(*working))
    seen = before
    shown = []
    while len(shown) < len(owners):
        record = await site.record(journal.EVENT_ACCESS_GRANTED, after=seen)
        seen = record.seq
        if record.method == journal.METHOD_CARD:
            shown.append("user_" + record.subject.hex())
    assert shown == list(owners.values())


async def test_an_osdp_reader_opens_by_card_and_code_over_its_provisioned_key(osdp: Rig) -> None:
    with reader_of(osdp) as reader:
        async with asyncio.timeout(DEADLINE):
            while not reader.secure:  # noqa: ASYNC110  (another thread)
                await asyncio.sleep(0.02)
        before = osdp.site.newest
        reader.present(26, WIRE)
        await opened_by(osdp, journal.METHOD_CARD, BERT, before)
        await lit(reader, GREEN)
        before = osdp.site.newest
        reader.type("4711#")
        await opened_by(osdp, journal.METHOD_PIN, ANNA, before)
        before = osdp.site.newest
        reader.type("4712#")
        await refused_by(osdp, journal.METHOD_PIN, before)
        await lit(reader, RED)
        reader.tamper(True)
        await osdp.site.record(journal.EVENT_READER_TAMPER)
    await osdp.site.record(journal.EVENT_READER_OFFLINE)
    with reader_of(osdp):
        while (await osdp.site.record(journal.EVENT_ALARM_ENDED)).value != journal.EVENT_READER_OFFLINE:
            pass


async def test_a_reader_that_never_comes_is_an_alarm(osdp: Rig) -> None:
    await osdp.site.record(journal.EVENT_READER_OFFLINE)
