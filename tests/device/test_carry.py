"""A list of revocations that a phone carries to a door without a network: all of it or nothing, whoever carries."""

import asyncio
import contextlib
import functools
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from hil.board.flash import Cut, Where
from hil.phone import DoorHungUp, PhoneError
from protocol import carry, journal, keys
from protocol.envelope import LABEL_CONFIG, LABEL_OFFER, seal
from protocol.host.carry import Cargo, decode_want
from protocol.host.tables import revocations_table
from protocol.host.transfers import build_carried_offer, build_offer
from tests.device.central import Central
from tests.device.rig import DEADLINE, Rig
from tests.device.site import DEVICE, DOOR

T = TypeVar("T")

ANNA = b"anna0001"
BERT = {"credential_id": b"bert0001"}
OFFER_EVERY_S = 0.25  # after a few, the door looks at no more of them than one in so long


def table(rig: Rig, sequence: int, entries: int = 500, revoked: bytes = ANNA, device: str = DEVICE) -> bytes:
    others = [b"o" + number.to_bytes(7, "big") for number in range(entries - 1)]
    return revocations_table(rig.site.k_dev, device, sequence, [*others, revoked], {})


def cargo(rig: Rig, sequence: int = 9, file: bytes = b"", /, **changes: Any) -> Cargo:
    """As the cloud would give it; ``changes`` of the offer, under a good seal."""
    file = file or table(rig, sequence)
    payload = {**build_carried_offer(DEVICE, "revocations", sequence, file), **changes}
    return Cargo(DOOR, sequence, seal(keys.config_key(rig.site.k_dev), LABEL_OFFER, payload).encode(), file)


async def status(rig: Rig, **fields: Any) -> tuple[str, int]:
    """What the door answers to a key, and the sequence that it proves to have."""
    result = await rig.phone().unlock(rig.site.key_for_phone(**fields))
    return result.status, result.rev_seq


async def online(rig: Rig, *kinds: int) -> list[journal.Record]:
    """All records, once the door has a network and has delivered those of these kinds."""
    async with rig.site.serving():
        for kind in kinds:
            await rig.site.record(kind)
        await rig.site.synchronised()
        return rig.site.verify()


def writes(rig: Rig) -> int:
    """Programs and erasures of the flash so far."""
    return sum(map(sum, rig.board.wear()))


def refusals(records: list[journal.Record]) -> list[journal.Record]:
    return [r for r in records if r.type == journal.EVENT_TRANSFER_REFUSED]


@pytest.fixture
def blank(blank: Rig) -> Rig:
    """No test here is about how soon a door is heard."""
    blank.medium.eager = True
    return blank


@pytest.fixture
async def isolated(blank: Rig) -> Rig:
    """Provisioned, and its site is down."""
    async with blank.site.serving():
        await blank.provision()
        await blank.site.synchronised()
    return blank


@pytest.mark.parametrize("mtu", [None, 185, 517])
async def test_a_phone_brings_500_revocations_to_a_door_without_a_network(
    isolated: Rig, mtu: int | None
) -> None:
    assert await status(isolated) == ("granted", 1)
    began = time.perf_counter()
    assert await isolated.phone(mtu).carry(cargo(isolated))
    print(f"MTU {mtu or 23}: {time.perf_counter() - began:.2f} s")
    assert await status(isolated) == ("revoked", 9)
    assert await status(isolated, **BERT) == ("granted", 9)
    async with isolated.site.serving():
        taken = await isolated.site.record(journal.EVENT_TRANSFER_TAKEN)
    assert taken.value == 9


async def test_what_was_carried_and_its_sequence_survive_a_power_cut(lonely: Rig) -> None:
    assert await lonely.phone().carry(cargo(lonely))
    await lonely.board.power_cut()
    await lonely.board.power_on()
    assert await status(lonely) == ("revoked", 9)
    with pytest.raises(DoorHungUp):
        await lonely.phone().carry(cargo(lonely, 8, table(lonely, 8, revoked=b"bert0001")), always=True)
    assert await status(lonely, **BERT) == ("granted", 9)


async def test_a_door_that_lost_its_table_honours_no_key_until_a_phone_brings_one(lonely: Rig) -> None:
    assert await lonely.phone().carry(cargo(lonely))
    lonely.board.console.write(b"\x03")
    await lonely.execute("import os\nos.remove('/lw/revocations')")
    await lonely.revive()
    assert await status(lonely, **BERT) == ("revoked", 0)
    with pytest.raises(DoorHungUp):
        await lonely.phone().carry(cargo(lonely, 8))
    assert await lonely.phone().carry(cargo(lonely))
    assert await status(lonely, **BERT) == ("granted", 9)


async def test_an_unlock_by_another_phone_is_answered_while_one_carries(lonely: Rig) -> None:
    """After each piece; and the answer takes no longer than on a door to which nobody carries."""
    one, other = cargo(lonely), lonely.phone()
    key = lonely.site.key_for_phone(**BERT)
    async with Central(lonely.medium, "carrier") as carrier:
        offset = await begun(carrier, one)
        alone = (await other.unlock(key)).timings["answer_ms"]
        busy = []
        for piece in list(one.pieces(offset))[:-1]:
            await carrier.send(piece)
            result = await other.unlock(key)
            assert result.granted
            busy.append(result.timings["answer_ms"])
        assert not carrier.gone.is_set()
        print(f"answer: {alone:.1f} ms alone, {max(busy):.1f} ms at the most while a phone carries")
    assert await lonely.phone().carry(one)


async def begun(carrier: Central, one: Cargo) -> int:
    """The offset that the door wants."""
    await carrier.send(one.carry())
    status, offset = decode_want(await carrier.message())
    assert status == carry.WANT_CHUNK
    return offset


async def test_a_phone_that_walks_away_is_followed_by_another_that_goes_on(lonely: Rig) -> None:
    one = cargo(lonely)
    async with Central(lonely.medium, "first") as first:
        assert await begun(first, one) == 0
        for piece in one.pieces(0):
            await first.send(piece)
        assert decode_want(await first.message()) == (carry.WANT_CHUNK, 2048)
    assert await status(lonely) == ("granted", 1)
    async with Central(lonely.medium, "second") as second:
        assert await begun(second, one) == 2048
    assert await lonely.phone().carry(one)
    assert (await status(lonely))[0] == "revoked"


async def persistently(ask: Callable[[], Awaitable[T]]) -> T:
    """As a phone does whose connection met another's in the air, or a door that hung up."""
    async with asyncio.timeout(DEADLINE):
        while True:
            with contextlib.suppress(PhoneError):
                return await ask()


async def test_two_phones_at_once_bring_one_whole_list(isolated: Rig) -> None:
    one = cargo(isolated)
    phones = isolated.phone(), isolated.phone(None)
    await asyncio.gather(*(persistently(functools.partial(phone.carry, one)) for phone in phones))
    assert (await status(isolated))[0] == "revoked"
    assert not refusals(await online(isolated, journal.EVENT_TRANSFER_TAKEN))


async def test_a_phone_and_the_gateway_at_once_bring_one_whole_list(door: Rig) -> None:
    file = table(door, 9)
    one, serve = cargo(door, 9, file), door.site._serve_file
    served = asyncio.Event()

    async def slowly(request: dict[str, Any]) -> None:
        served.set()
        await asyncio.sleep(0.05)
        await serve(request)

    door.site._serve_file = slowly  # type: ignore[method-assign]
    await door.site.offer("revocations", 9, file)
    await asyncio.wait_for(served.wait(), DEADLINE)
    assert await door.phone().carry(one)
    assert (await status(door))[0] == "revoked"
    assert (await door.site.record(journal.EVENT_TRANSFER_TAKEN)).value == 9
    assert not refusals(door.site.verify())


@pytest.mark.parametrize("where", list(Where))
async def test_a_power_cut_in_the_middle_leaves_the_old_list_or_the_new(lonely: Rig, where: Where) -> None:
    """At writes of the offer, of pieces, and of the change of tables."""
    assert await lonely.phone().carry(cargo(lonely, 2, table(lonely, 2, 2, revoked=b"carl0001")))
    for sequence, write in ((3, 1), (4, 5), (5, 10)):
        one = cargo(lonely, sequence, table(lonely, sequence, 300, b"s%07d" % sequence))
        lonely.board.cut_power_at(Cut(write, where))
        carrying = asyncio.create_task(lonely.phone().carry(one))
        await lonely.board.wait_off(DEADLINE)
        carrying.cancel()
        await lonely.board.power_on()
        after = await status(lonely, credential_id=b"s%07d" % sequence)
        assert after in (("granted", sequence - 1), ("revoked", sequence))
        assert await persistently(functools.partial(lonely.phone().carry, one))
        assert await status(lonely, credential_id=b"s%07d" % sequence) == ("revoked", sequence)


async def refused(rig: Rig, one: Cargo) -> None:
    """No sooner than the door has an offer to spare for the next: it is the seal that is refused, not the rate."""
    earned = asyncio.create_task(asyncio.sleep(OFFER_EVERY_S))
    with pytest.raises(DoorHungUp):
        await rig.phone().carry(one, always=True)
    await earned


@pytest.fixture
async def listed(lonely: Rig) -> Rig:
    """A door without a network that has list 5, in which Anna is."""
    assert await lonely.phone().carry(cargo(lonely, 5))
    return lonely


def forged(rig: Rig, label: bytes = LABEL_OFFER, key: bytes = bytes(32)) -> Cargo:
    good = cargo(rig)
    payload = build_carried_offer(DEVICE, "revocations", 9, good.file)
    return Cargo(DOOR, 9, seal(key, label, payload).encode(), good.file)


def damaged(rig: Rig) -> Cargo:
    good = cargo(rig)
    file = bytearray(good.file)
    file[3000] ^= 1
    return Cargo(DOOR, 9, good.offer, bytes(file))


ATTACKS = {
    "older": (lambda rig: cargo(rig, 4, table(rig, 4, revoked=b"bert0001")), "offer_older"),
    "forged": (forged, "bad_mac"),
    "sealed as another thing": (
        lambda rig: forged(rig, LABEL_CONFIG, keys.config_key(rig.site.k_dev)),
        "bad_mac",
    ),
    "another door's": (lambda rig: cargo(rig, dev="dev_" + "e0" * 8), "offer_device"),
    "of the gateway's": (
        lambda rig: Cargo(
            DOOR,
            9,
            seal(
                keys.config_key(rig.site.k_dev),
                LABEL_OFFER,
                build_offer(DEVICE, "revocations", 9, table(rig, 9)),
            ).encode(),
            b"",
        ),
        "offer_kind",
    ),
    "another kind": (lambda rig: cargo(rig, kind="users"), "offer_kind"),
    "oversized": (lambda rig: cargo(rig, size=1 << 20), "offer_number"),
    "a wrong piece": (damaged, "piece_sum"),
    "garbage": (lambda rig: Cargo(DOOR, 9, os.urandom(100), b""), "json"),
}


async def test_whatever_is_not_a_newer_list_of_this_door_is_refused_and_audited(isolated: Rig) -> None:
    assert await isolated.phone().carry(cargo(isolated, 5))
    for attack in ATTACKS:
        await refused(isolated, ATTACKS[attack][0](isolated))
        assert await status(isolated) == ("revoked", 5), attack
    assert await status(isolated, **BERT) == ("granted", 5)
    isolated.site.messages.clear()
    async with isolated.site.serving():
        await isolated.site.synchronised()
        counters = (await isolated.site.next("log"))["counters"]  # comes with each session
        records = isolated.site.verify()
    for _, reason in ATTACKS.values():
        assert counters[f"ble_{reason}"], reason
    assert {r.method for r in refusals(records)} == {journal.METHOD_BLE}
    assert len(refusals(records)) == 4  # of a flood less and less
    assert "crash_ble" not in counters
    # And the genuine one, which a stranger spoilt, is taken at once.
    assert await isolated.phone().carry(cargo(isolated))


async def test_a_table_of_another_door_under_an_offer_of_this_one_is_refused(isolated: Rig) -> None:
    """The cloud makes none; the table's own header and MAC would stop it."""
    one = cargo(isolated, 9, table(isolated, 9, device="dev_" + "e0" * 8))
    assert not await isolated.phone().carry(one)
    assert await status(isolated) == ("granted", 1)
    (record,) = refusals(await online(isolated, journal.EVENT_TRANSFER_REFUSED))
    assert record.value == 9


async def test_a_truncated_list_is_no_progress_and_costs_the_connection(listed: Rig) -> None:
    one = cargo(listed)
    async with Central(listed.medium, "short") as central:
        await begun(central, one)
        pieces = list(one.pieces(0))
        await central.send(pieces[0])
        await central.send(pieces[1][:-1])
        await central.dropped()
    async with Central(listed.medium, "slow") as central:
        await begun(central, one)
        began = time.monotonic()
        await central.dropped()
        assert time.monotonic() - began < 7
    assert await status(listed) == ("revoked", 5)


async def test_a_flood_keeps_nobody_from_the_door_and_writes_nothing(listed: Rig) -> None:
    """Two strangers: one repeats a genuine offer and spoils its pieces, one writes what comes to mind."""
    genuine, rest = cargo(listed), asyncio.Event()
    spoilt: asyncio.Queue[int] = asyncio.Queue()
    key = listed.site.key_for_phone(**BERT)

    async def spoil(number: int) -> None:
        while not rest.is_set():
            with contextlib.suppress(Exception):
                async with Central(listed.medium, f"spoiler{number}") as central:
                    await central.send(genuine.carry())
                    for at in range(0, 2048, carry.MAX_PIECE):
                        size = min(carry.MAX_PIECE, 2048 - at)
                        await central.send(b"\x15" + at.to_bytes(4, "big") + bytes(size))
                    await central.dropped()
                    spoilt.put_nowait(number)
                await asyncio.sleep(0.3)  # or nobody hears who connects: they answer one advertisement

    async def babble() -> None:
        while not rest.is_set():
            with contextlib.suppress(Exception):
                async with Central(listed.medium, "babbler") as central:
                    while not central.gone.is_set():
                        await central.write(b"\x80\x14" + os.urandom(100))

    async with Central(listed.medium, "first") as central:
        await begun(central, genuine)  # what an offer may cost is spent
    for _ in range(4):  # and what refusals are recorded
        await refused(listed, forged(listed))
    strangers = [asyncio.create_task(spoil(0)), asyncio.create_task(babble())]
    await spoilt.get()
    before = writes(listed)
    for _ in range(5):
        await spoilt.get()
    assert writes(listed) == before
    waits = []
    for _ in range(6):
        began = time.monotonic()
        assert (await persistently(functools.partial(listed.phone().unlock, key, timeout=3))).granted
        waits.append(time.monotonic() - began)
    rest.set()
    await asyncio.gather(*strangers)
    print(f"opened after {max(waits):.1f} s at the most")
    assert await persistently(functools.partial(listed.phone().carry, genuine))
    assert await status(listed) == ("revoked", 9)


async def test_a_phone_that_never_offered_or_offers_twice_is_hung_up_on(listed: Rig) -> None:
    async with Central(listed.medium, "rude") as central:
        await central.send(next(cargo(listed).pieces(0)))
        await central.dropped()
    async with Central(listed.medium, "twice") as central:
        await begun(central, cargo(listed))
        await central.send(cargo(listed).carry())
        await central.dropped()
        assert central.silent  # it was refused; the deadline alone would have ended it later, after an answer


async def test_a_list_takes_the_place_of_a_file_that_nobody_serves(door: Rig) -> None:
    site = door.site
    await site.offer("users", 3, os.urandom(5000), serve=False)
    await site.next("fetch")
    with pytest.raises(DoorHungUp):  # the gateway may be about to serve it
        await door.phone().carry(cargo(door), always=True)
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(OFFER_EVERY_S)
            with contextlib.suppress(PhoneError):
                if await door.phone().carry(cargo(door)):
                    break
    assert (await status(door))[0] == "revoked"
