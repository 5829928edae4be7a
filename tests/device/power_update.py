"""A firmware update while the power of its board is cut: its download, the switch, the trial, the way back.

One of two firmwares always runs, and what was told of an update holds.
"""

import asyncio
import os
from typing import Any

from hil import package
from hil.board.flash import BLOCK, Cut, Where
from hil.vm import image
from protocol import journal
from protocol.manifest import HEAD_SIZE
from protocol.transfer import MAX_CHUNK
from tests.device.power_steps import Act, Scene, Step, online
from tests.device.rig import DEADLINE
from tests.device.test_update import BROKEN, ROLLED_BACK_S, Vendor, heard

SMALL, FIRST, SECOND, THIRD = 2, 3, 4, 5  # versions; only the first comes to something
# Of the small one: a first piece, one that ends a block of flash, a short one in the next.
BALLAST = 2 * MAX_CHUNK
SAYS = "the small firmware ran"
TRIAL_S = 8
EXPIRES_S = 3  # the trial of the third, which never confirms itself
PIECE = 512
CONFIRMED = 28  # in the trailer, the last block of a slot
# One in so many writes of a full download is cut: it has 1400, and they are of the small one's kinds.
SAMPLE = 120


def steps(maker: Vendor) -> tuple[Step, ...]:
    """For boards that take this vendor's packages."""
    first, second = (maker.package(version, trial_s=TRIAL_S) for version in (FIRST, SECOND))
    third = maker.package(THIRD, trial_s=EXPIRES_S, **BROKEN["never confirms"])
    size = len(first) - HEAD_SIZE
    last = (
        1 - -size // BLOCK - -size // PIECE
    )  # operation on the slots before the switch: the last of the image
    return (
        Step("a small update", _fetch_small(_small(maker)), stays=False),
        Step("download of a full update", _fetch(first), every=SAMPLE, stays=False),
        Step("switch to the update", _activate(first), _nearly(first), off=True, slots=last),
        Step("trial of the update", _confirm, off=True),
        Step("rollback of an update", _roll_back, _in_vain(second), off=True),
        # From the mark of its try on, which is the first write to the slots.
        Step("expiry of a trial", _expire, _activated(THIRD, third), off=True, slots=2, stays=False),
    )


def _small(maker: Vendor) -> bytes:
    """A firmware that boots, says so and ends: few enough writes to cut at each, from its offer until it is in force."""
    source = maker.folder / "small.py"
    source.write_text(f"def main():\n    print({SAYS!r})\n")
    files = image.compile_files({"device/main.py": source})
    built = image.pack({**files, "ballast": os.urandom(BALLAST)})
    return package.sign(built, maker.key, SMALL, trial_s=TRIAL_S)


def _runs(scene: Scene, possible: set[str]) -> None:
    """After the boot, one of these firmwares runs."""

    async def check(later: Scene) -> None:
        assert later.state["fw"] in possible

    scene.checks.append(check)


def _fetch(data: bytes) -> Act:
    """Once it was told that the update is activated, the new firmware runs."""

    async def act(scene: Scene) -> None:
        possible = {"0.1.0", f"0.1.0+{FIRST}"}
        _runs(scene, possible)
        await scene.rig.site.offer("firmware", FIRST, data)
        await heard(scene.rig, journal.EVENT_UPDATE_ACTIVATED, FIRST)
        possible.remove("0.1.0")
        await heard(scene.rig, journal.EVENT_TRANSFER_TAKEN, FIRST)

    return act


def _fetch_small(data: bytes) -> Act:
    """Once it was told that the update is activated, it is what boots first; it ends at once, so the one before comes back."""

    async def act(scene: Scene) -> None:
        board = scene.rig.board
        told: list[int] = []

        async def booted(later: Scene) -> None:
            assert not told or SAYS in board.console.text

        board.console.clear()
        scene.checks.append(booted)
        _runs(scene, {"0.1.0"})
        await scene.rig.site.offer("firmware", SMALL, data)
        told.append((await heard(scene.rig, journal.EVENT_UPDATE_ACTIVATED, SMALL)).seq)
        await heard(scene.rig, journal.EVENT_TRANSFER_TAKEN, SMALL)

    return act


def _activate(data: bytes) -> Act:
    fetch = _fetch(data)

    async def act(scene: Scene) -> None:
        await scene.rig.board.power_on()
        await online(scene.rig)
        await fetch(scene)

    return act


def _nearly(data: bytes) -> Act:
    """All but the last piece is on flash."""
    last = (len(data) - 1) // MAX_CHUNK * MAX_CHUNK

    async def prepare(scene: Scene) -> None:
        site, reached = scene.rig.site, asyncio.Event()
        serve = site._serve_file

        async def all_but_last(request: dict[str, Any]) -> None:
            if request["off"] == last:
                reached.set()
            else:
                await serve(request)

        await scene.rig.board.power_on()
        await online(scene.rig)
        site._serve_file = all_but_last  # type: ignore[method-assign]
        await site.offer("firmware", FIRST, data)
        await asyncio.wait_for(reached.wait(), DEADLINE)
        await scene.rig.board.power_cut()
        site._serve_file = serve  # type: ignore[method-assign]

    return prepare


async def _confirm(scene: Scene) -> None:
    """Once it was told that the update is confirmed, its slot is."""
    rig = scene.rig
    told: list[int] = []

    async def confirmed(later: Scene) -> None:
        slot = later.rig.board.slots_path.read_bytes()
        assert not told or slot[CONFIRMED - BLOCK] == 0

    scene.checks.append(confirmed)
    _runs(scene, {f"0.1.0+{FIRST}"})
    await rig.board.power_on()
    await rig.site.synchronised()
    record = await heard(rig, journal.EVENT_UPDATE_CONFIRMED, FIRST)
    told.append(record.seq)
    scene.records.append(record.seq)


def _activated(version: int, data: bytes) -> Act:
    """The next boot is the first of that update."""

    async def prepare(scene: Scene) -> None:
        rig = scene.rig
        await rig.board.power_on()
        await online(rig)
        await rig.site.offer("firmware", version, data)
        await heard(rig, journal.EVENT_UPDATE_ACTIVATED, version)
        await rig.board.power_cut()

    return prepare


def _in_vain(data: bytes) -> Act:
    """The tries of an update are used up: the power was lost in each."""
    activated = _activated(SECOND, data)

    async def prepare(scene: Scene) -> None:
        rig = scene.rig
        await activated(scene)
        for _ in range(3):
            rig.board.cut_power_at(Cut(1, Where.AFTER))
            await rig.board.power_on()
            await rig.board.wait_off(DEADLINE)

    return prepare


async def _roll_back(scene: Scene) -> None:
    """The firmware before runs, and says at least once that it had to."""
    rig = scene.rig

    async def said(later: Scene) -> None:
        await heard(later.rig, journal.EVENT_UPDATE_ROLLED_BACK, SECOND)

    scene.checks.append(said)
    _runs(scene, {f"0.1.0+{FIRST}"})
    await rig.board.power_on()
    await rig.site.synchronised()
    record = await heard(rig, journal.EVENT_UPDATE_ROLLED_BACK, SECOND)
    scene.records.append(record.seq)


async def _expire(scene: Scene) -> None:
    """However many of the tries were taken away, it ends in the firmware before."""
    rig = scene.rig

    async def ends(later: Scene) -> None:
        site = later.rig.site
        await heard(later.rig, journal.EVENT_UPDATE_ROLLED_BACK, THIRD, ROLLED_BACK_S)
        site.messages.clear()
        await site.admission.kick(site.device.name)
        assert (await site.synchronised())["fw"] == f"0.1.0+{FIRST}"

    scene.checks.append(ends)
    _runs(scene, {f"0.1.0+{FIRST}", f"0.1.0+{THIRD}"})
    await rig.board.power_on()
    await heard(rig, journal.EVENT_UPDATE_ROLLED_BACK, THIRD, ROLLED_BACK_S)
