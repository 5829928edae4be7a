"""Firmware updates on a real board: proved, tried, kept if healthy; and whatever goes wrong, a board that boots."""

import asyncio
import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hil import package
from hil.board.description import builtin
from hil.board.flash import Cut, Where
from hil.vm import image
from protocol import journal
from protocol.host.refusals import is_final
from protocol.manifest import HEAD_SIZE, MANIFEST_SIZE
from tests.device.on_vm import ROOT
from tests.device.rig import DEADLINE, Rig, rig

TRIAL_S = 16
ROLLED_BACK_S = 90.0


@functools.cache
def vendor() -> rsa.RSAPrivateKey:
    return package.new_key()


class Vendor:
    """Builds packages for boards that were made with its key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = vendor()
        self._trusted = folder / "release_key.py"
        self._trusted.write_text(package.key_module(self.key))

    def image(self, **replaced: str) -> Path:
        """Of this tree, with modules of `device` replaced by other source."""
        files = {"device/release_key.py": self._trusted}
        for name, source in replaced.items():
            files[f"device/{name}.py"] = self.folder / f"{name}.py"
            files[f"device/{name}.py"].write_text(source)
        return image.firmware_image(ROOT, files)

    def package(self, version: int, *, trial_s: int = TRIAL_S, **changes: Any) -> bytes:
        options = {name: changes.pop(name) for name in ("floor", "product") if name in changes}
        key = changes.pop("key", self.key)
        built = self.image(**changes).read_bytes()
        return package.sign(built, key, version, trial_s=trial_s, **options)


@pytest.fixture
def maker(tmp_path: Path) -> Vendor:
    return Vendor(tmp_path)


@pytest.fixture
async def door(tmp_path: Path, maker: Vendor) -> AsyncIterator[Rig]:
    """A door that takes the vendor's packages."""
    async with rig(tmp_path, firmware=maker.image()) as one, one.site.serving():
        await one.provision()
        await one.site.synchronised()
        yield one


async def offer(door: Rig, version: int, data: bytes) -> None:
    await door.site.offer("firmware", version, data)


async def heard(door: Rig, kind: int, version: int, timeout: float = 40.0) -> journal.Record:
    """The newest record of that kind, which is about that version."""
    async with asyncio.timeout(timeout):
        while True:
            for seq in sorted(door.site.records, reverse=True):
                record = journal.decode_record(door.site.records[seq])
                if (record.type, record.value) == (kind, version):
                    return record
            await asyncio.sleep(0.2)


async def firmware(door: Rig) -> str:
    """What the board says that it runs, in the first session of a boot of which nothing was heard before."""
    before = door.site.boot
    state = await door.site.synchronised()
    while state["boot"] == before:  # the last words of the boot before
        state = await door.site.synchronised()
    return str(state["fw"])


async def works(door: Rig) -> None:
    await door.site.down("command", door.site.command())
    assert (await door.site.result())["ok"]


async def rolled_back(door: Rig, version: int, runs: str = "0.1.0") -> None:
    """The board gave that version up, runs the one before, and says so once."""
    await heard(door, journal.EVENT_UPDATE_ROLLED_BACK, version, ROLLED_BACK_S)
    door.site.booted()
    await door.reset()
    assert await firmware(door) == runs
    await works(door)
    kinds = [record.type for record in door.site.verify()]
    assert kinds.count(journal.EVENT_UPDATE_ROLLED_BACK) == 1
    assert journal.EVENT_UPDATE_CONFIRMED not in kinds


async def test_an_update_is_fetched_proved_tried_and_confirmed(door: Rig, maker: Vendor) -> None:
    boots = door.board.boots.value
    await offer(door, 3, maker.package(3))
    await heard(door, journal.EVENT_UPDATE_ACTIVATED, 3)
    door.site.booted()
    assert await firmware(door) == "0.1.0+3"
    await heard(door, journal.EVENT_UPDATE_CONFIRMED, 3)
    await works(door)
    await door.reset()
    assert await firmware(door) == "0.1.0+3"
    assert door.board.boots.value == boots + 2
    # And the next one goes into the first slot.
    await offer(door, 4, maker.package(4))
    await heard(door, journal.EVENT_UPDATE_CONFIRMED, 4)
    assert [r.value for r in door.site.verify() if r.type == journal.EVENT_UPDATE_CONFIRMED] == [3, 4]
    await door.reset()
    assert await firmware(door) == "0.1.0+4"


AGENT = (ROOT / "device" / "agent.py").read_text()
BROKEN = {
    "crashes at once": {"main": "raise ValueError\n"},
    "ends at once": {"main": "def main():\n    pass\n"},
    "hangs at boot": {"main": "def main():\n    print('hangs')\n    while True:\n        pass\n"},
    "never confirms": {"update": "async def settle(parts, hearts):\n    pass\n"},
    "a task that ends": {"agent": AGENT.replace('("journal", parts.recorder.run)', '("journal", nothing)')},
}
BROKEN["a task that ends"]["agent"] += "\n\nasync def nothing():\n    pass\n"


@pytest.mark.parametrize("how", BROKEN)
async def test_a_firmware_that_does_not_prove_healthy_is_rolled_back_by_itself(
    door: Rig, maker: Vendor, how: str
) -> None:
    await offer(door, 2, maker.package(2, trial_s=8, **BROKEN[how]))
    await rolled_back(door, 2)
    # It is not tried again; a better one is.
    await offer(door, 2, maker.package(2, trial_s=8, **BROKEN[how]))
    await offer(door, 3, maker.package(3))
    await heard(door, journal.EVENT_UPDATE_CONFIRMED, 3)
    tried = [r.value for r in door.site.verify() if r.type == journal.EVENT_UPDATE_ACTIVATED]
    assert tried == [2, 3]


async def test_a_firmware_that_is_rolled_back_leaves_the_key_epoch_that_it_raised(
    door: Rig, maker: Vendor
) -> None:
    await offer(door, 2, maker.package(2, **BROKEN["never confirms"]))
    await heard(door, journal.EVENT_UPDATE_ACTIVATED, 2)
    door.site.booted()
    assert await firmware(door) == "0.1.0+2"
    await door.configured(epoch=3)
    await rolled_back(door, 2)
    statuses = [(await door.phone().unlock(door.site.key_for_phone(epoch=epoch))).status for epoch in (1, 3)]
    assert statuses == ["key_epoch_over", "granted"]


async def test_an_update_is_confirmed_without_a_broker_by_door_and_bluetooth(
    door: Rig, maker: Vendor
) -> None:
    await offer(door, 2, maker.package(2))
    await heard(door, journal.EVENT_UPDATE_ACTIVATED, 2)
    async with door.site.outage():
        await door.board.boots.wait(door.board.boots.value + 1, DEADLINE)
        await asyncio.sleep(TRIAL_S * 0.75 + 3)
        phone = door.phone()
        assert (await phone.unlock(door.site.key_for_phone())).granted
    door.site.booted()
    await heard(door, journal.EVENT_UPDATE_CONFIRMED, 2)


@pytest.mark.parametrize("how", ["healthy", "never confirms", "hangs at boot"])
async def test_fire_releases_a_maglock_while_an_update_is_on_trial(
    tmp_path: Path, maker: Vendor, how: str
) -> None:
    """And whatever comes of the trial, the door is open when it is over."""
    async with (
        rig(tmp_path, firmware=maker.image(), description=builtin("maglock_door")) as one,
        one.site.serving(),
    ):
        await one.wire()
        await one.provision()
        await one.site.synchronised()
        boots = one.board.boots.value
        await offer(one, 2, maker.package(2, trial_s=8, **BROKEN.get(how, {})))
        await heard(one, journal.EVENT_UPDATE_ACTIVATED, 2)
        await one.board.boots.wait(boots + 1, DEADLINE)
        one.door.fire.set(1)
        if how == "hangs at boot":
            for _ in range(2):  # of its three tries; the watchdog ends the last
                await one.board.console.wait_for("hangs", DEADLINE)
                one.board.console.clear()
                await one.board.reset()
        else:
            await one.door.strike.wait(1, DEADLINE)
        end = journal.EVENT_UPDATE_CONFIRMED if how == "healthy" else journal.EVENT_UPDATE_ROLLED_BACK
        await heard(one, end, 2, ROLLED_BACK_S)
        await one.door.strike.wait(1, DEADLINE)
        one.door.fire.set(0)
        await one.door.strike.wait(0, DEADLINE)


def flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 0x10
    return bytes(changed)


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        ("another key", "rsa_signature"),
        ("no signature", "rsa_signature"),
        ("another product", "update_product"),
        ("another version than offered", "update_version"),
        ("cut short", "update_size"),
        ("more behind", "update_size"),
        ("head alone", "manifest_size"),
        ("a bit of the version", "rsa_signature"),
        ("a bit of the digest", "rsa_signature"),
        ("a bit of the signature", "rsa_signature"),
        ("a bit of the image", "update_hash"),
        ("the last bit", "update_hash"),
    ],
)
async def test_a_package_that_is_not_the_vendors_is_refused_and_nothing_changes(
    door: Rig, maker: Vendor, attack: str, reason: str
) -> None:
    good = maker.package(7)
    data = {
        "another key": lambda: maker.package(7, key=package.new_key()),
        "no signature": lambda: good[:MANIFEST_SIZE] + bytes(HEAD_SIZE - MANIFEST_SIZE) + good[HEAD_SIZE:],
        "another product": lambda: maker.package(7, product="coffee-machine"),
        "another version than offered": lambda: maker.package(6),
        "cut short": lambda: good[:-1],
        "more behind": lambda: good + b"\0",
        "head alone": lambda: good[: HEAD_SIZE - 1],
        "a bit of the version": lambda: flipped(good, 23),
        "a bit of the digest": lambda: flipped(good, MANIFEST_SIZE - 1),
        "a bit of the signature": lambda: flipped(good, HEAD_SIZE - 1),
        "a bit of the image": lambda: flipped(good, HEAD_SIZE + 4000),
        "the last bit": lambda: flipped(good, len(good) - 1),
    }[attack]()
    await offer(door, 7, data)
    record = await door.site.record(journal.EVENT_TRANSFER_REFUSED)
    # The bytes of an image may have been changed by the flash.
    assert (record.value, is_final(record.status)) == (7, reason != "update_hash")
    assert (await door.site.counters())[f"inbox_{reason}"] == 1
    boots = door.board.boots.value
    await door.reset()
    assert await firmware(door) == "0.1.0"
    assert door.board.boots.value == boots + 1
    assert journal.EVENT_UPDATE_ACTIVATED not in [r.type for r in door.site.verify()]


async def test_no_older_version_comes_in_by_any_way(door: Rig, maker: Vendor) -> None:
    site = door.site
    await offer(door, 5, maker.package(5, floor=4))
    await heard(door, journal.EVENT_UPDATE_CONFIRMED, 5)
    await site.offer("firmware", 4, maker.package(4))
    assert (await site.counters())["down_update_offer_older"] == 1
    # A package of an older version under a newer offer.
    await site.offer("firmware", 6, maker.package(4))
    await site.record(journal.EVENT_TRANSFER_REFUSED)
    assert (await site.counters())["inbox_update_version"] == 1
    # The slot is lost with its trailer: the floor is not.
    await door.board.power_cut()
    with door.board.slots_path.open("r+b") as f:
        f.seek(-4096, 2)
        f.write(bytes(4096))
    site.booted()
    await door.board.power_on()
    assert await firmware(door) == "0.1.0"
    newest = site.newest
    await site.offer("firmware", 3, maker.package(3))
    await site.record(journal.EVENT_TRANSFER_REFUSED, after=newest)
    assert (await site.counters())["inbox_update_floor"] == 1


async def test_power_cuts_at_the_first_writes_of_every_trial_end_in_the_firmware_before(
    door: Rig, maker: Vendor
) -> None:
    await offer(door, 2, maker.package(2))
    await heard(door, journal.EVENT_UPDATE_ACTIVATED, 2)
    await door.board.power_cut()
    for write, where in ((1, Where.AFTER), (2, Where.WITHIN), (1, Where.AFTER)):
        door.board.cut_power_at(Cut(write, where))
        await door.board.power_on()
        await door.board.wait_off(DEADLINE)
    door.site.booted()
    await door.board.power_on()
    assert await firmware(door) == "0.1.0"
    await heard(door, journal.EVENT_UPDATE_ROLLED_BACK, 2)
    await works(door)
