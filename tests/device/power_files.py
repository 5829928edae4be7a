"""What is renewed at a board while its power is cut: certificate, tables, pins of the broker.

Each is the one before or the new one, whole; nothing older ever comes back; and the board always gets back in.
"""

import asyncio

from protocol import journal, wiegand
from protocol.host.tables import User, revocations_table, users_table
from tests.device.power_steps import Scene, Step, configure, online
from tests.device.rig import DEADLINE, Rig
from tests.device.site import DEVICE
from tests.device.test_certificate import renewed
from tests.device.test_pin_rotation import broker_goes_on_with
from tests.device.test_reader_ports import BERT

OLD, NEW = 1, 2  # sequences of tables
CARDS = 3456  # and the sequence: number of the card that a table lets in
ROWS = {"users": 60, "revocations": 180}  # that make a table of two pieces


async def _offer(scene: Scene, kind: str, version: int, data: bytes) -> None:
    site = scene.rig.site
    newest = site.newest
    await site.offer(kind, version, data)
    taken = await site.record(journal.EVENT_TRANSFER_TAKEN, after=newest)
    scene.records.append(taken.seq)


async def _renew(scene: Scene) -> None:
    """The board comes back with the certificate."""
    await _offer(scene, "certificate", 2_000_000_000, renewed(scene.rig))


def _table(rig: Rig, kind: str, sequence: int) -> bytes:
    """The new table takes one card away and gives another; it revokes one key more."""
    k_dev = rig.site.k_dev
    if kind == "users":
        pins = {f"{number:04}": User("user_" + "a1" * 8) for number in range(ROWS[kind])}
        cards = {wiegand.card(26, CARDS + sequence, 12): User(BERT)}
        return users_table(k_dev, DEVICE, sequence, pins=pins, cards=cards)
    others = [b"other" + number.to_bytes(3, "big") for number in range(ROWS[kind])]
    revoked = [b"revoked" + bytes((48 + number,)) for number in range(OLD, sequence + 1)]
    return revocations_table(k_dev, DEVICE, sequence, others + revoked, {})


async def _before(scene: Scene, kind: str) -> None:
    await scene.rig.board.power_on()
    await online(scene.rig)
    await _offer(scene, kind, OLD, _table(scene.rig, kind, OLD))


async def _replace(scene: Scene, kind: str) -> None:
    """Once it was told that the new table is taken, the old one is not in force again."""
    possible = {OLD, NEW}

    async def whole(later: Scene) -> None:
        assert later.state["files"][kind] in possible
        if kind == "revocations":
            await _revoked(later, OLD)
            assert (await later.phone.unlock(later.rig.site.key_for_phone(), timeout=DEADLINE)).granted
        await _replaced(later, kind)

    scene.checks.append(whole)
    await _offer(scene, kind, NEW, _table(scene.rig, kind, NEW))
    possible.remove(OLD)


async def _replaced(scene: Scene, kind: str) -> None:
    """The board gets the new table by itself, or is offered it again; then the old one is refused."""
    site = scene.rig.site
    if scene.state["files"][kind] != NEW:
        await site.offer(kind, NEW, _table(scene.rig, kind, NEW))
        while (await site.next("state"))["files"][kind] != NEW:
            pass
    site.messages.pop("fetch", None)
    await site.offer(kind, OLD, _table(scene.rig, kind, OLD))
    await site.heard()
    assert site.queue("fetch").empty()
    await (_revoked(scene, OLD, NEW) if kind == "revocations" else _cards(scene.rig))


async def _revoked(scene: Scene, *numbers: int) -> None:
    site = scene.rig.site
    for number in numbers:
        key = site.key_for_phone(credential_id=b"revoked" + bytes((48 + number,)))
        assert (await scene.phone.unlock(key, timeout=DEADLINE)).status == "revoked"


async def _cards(rig: Rig) -> None:
    refused = await _shown(rig, CARDS + OLD, journal.EVENT_ACCESS_DENIED)
    assert refused.subject == bytes(8)
    granted = await _shown(rig, CARDS + NEW, journal.EVENT_ACCESS_GRANTED)
    assert granted.subject.hex() == BERT[5:]


async def _shown(rig: Rig, number: int, event: int) -> journal.Record:
    """Show a card until it is read: a busy host may tear a burst of bits."""
    record = asyncio.create_task(rig.site.record(event, after=rig.site.newest))
    while not record.done():
        await rig.board.wiegand.card(12, number)
        await asyncio.wait((record,), timeout=2)
    return record.result()


async def _other_broker(scene: Scene) -> None:
    """The broker has a key that only the configuration tells, not the provisioning: without it, nobody gets back in."""
    rig = scene.rig
    await rig.board.power_on()
    await online(rig)
    second = rig.site.fleet.issue("second", server=True)
    await rig.configured(pins=[rig.site.server.pin, second.pin])
    await broker_goes_on_with(rig, second)


async def _rotate(scene: Scene) -> None:
    await configure(scene, pins=[scene.rig.site.server.pin, "3" * 64])


def _table_step(name: str, kind: str) -> Step:
    return Step(name, lambda scene: _replace(scene, kind), lambda scene: _before(scene, kind))


STEPS = (
    Step("a renewed certificate", _renew),
    _table_step("a table of users", "users"),
    _table_step("a table of revocations", "revocations"),
    Step("pins of the broker", _rotate, _other_broker),
)
