"""Firmware in two slots: an update is proved, put into the slot that does not run, and tried; it stays if it turns out
healthy. A power cut at any moment leaves one whole slot that is chosen at the next boot (`device/chooser.py`).
"""

import asyncio
import hashlib
import time

import machine
from micropython import const

from device import release_key
from device.config_store import NumberFile
from protocol import journal
from protocol.errors import Damaged, Expired, Malformed, Replayed, WrongDevice
from protocol.manifest import HEAD_SIZE, open_manifest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List

    from device import chooser
    from device.parts import Parts
    from device.watchdog import Heart
else:
    import chooser

_PIECE = const(512)
_LOOK_MS = const(1_000)
_SAY_MS = const(2_000)  # for the records to leave before the reset
_IN_USE_S = const(60)  # longest wait for a door that is being used


def version() -> int:
    """The newest version that needs no fetching: the one that runs, or one that did not prove healthy."""
    running, other = chooser.read(chooser.running)[0], chooser.read(1 - chooser.running)
    return max(running, other[0] if other[3][chooser.RECORDED] != 0xFF else 0)


def _floor(parts: "Parts") -> NumberFile:
    return NumberFile(parts.identity.base + "/release")


async def take(parts: "Parts", path: str, offered: int) -> None:
    """Prove a package, put it into the other slot, and reset into it soon. Raises ProtocolError; then nothing has changed."""
    if chooser.trial:
        raise Expired("update_on_trial")
    with open(path, "rb") as f:  # noqa: ASYNC230
        manifest = open_manifest(release_key.MODULUS, f.read(HEAD_SIZE))
        if manifest.product != release_key.PRODUCT:
            raise WrongDevice("update_product")
        if manifest.version != offered or manifest.version <= version():
            raise Replayed("update_version")
        if manifest.version < _floor(parts).value:
            raise Replayed("update_floor")
        if (
            f.seek(0, 2) != HEAD_SIZE + manifest.size
            or manifest.size > (chooser.blocks() - 1) * chooser.BLOCK
        ):
            raise Malformed("update_size")
        f.seek(HEAD_SIZE)
        slot = 1 - chooser.running
        await _write(f, slot, manifest.size)
    if await _digest(slot, manifest.size) != manifest.sha256:
        raise Damaged("update_hash")
    parts.recorder.record(journal.EVENT_UPDATE_ACTIVATED, value=manifest.version)
    parts.recorder.commit()
    # The switch: one write.
    head = chooser.seal(manifest.version, manifest.floor, manifest.trial_s)
    chooser.flash.writeblocks((slot + 1) * chooser.blocks() - 1, head, 0)
    asyncio.create_task(_restart(parts))


async def _write(f: "Any", slot: int, size: int) -> None:
    flash, first, last = chooser.flash, slot * chooser.blocks(), (slot + 1) * chooser.blocks() - 1
    flash.ioctl(6, last)  # what was there is no firmware any more, before it is touched
    buffer = bytearray(_PIECE)
    for at in range(0, size, _PIECE):
        if not at % chooser.BLOCK:
            flash.ioctl(6, first + at // chooser.BLOCK)
            await asyncio.sleep_ms(0)
        count = f.readinto(buffer)
        flash.writeblocks(first + at // chooser.BLOCK, memoryview(buffer)[:count], at % chooser.BLOCK)


async def _digest(slot: int, size: int) -> bytes:
    """Of what is on flash, which is what will run."""
    state, buffer = hashlib.sha256(), bytearray(_PIECE)
    for at in range(0, size, _PIECE):
        if not at % chooser.BLOCK:
            await asyncio.sleep_ms(0)
        piece = memoryview(buffer)[: min(_PIECE, size - at)]
        chooser.flash.readblocks(slot * chooser.blocks() + at // chooser.BLOCK, piece, at % chooser.BLOCK)
        state.update(piece)
    return state.digest()


async def _restart(parts: "Parts") -> None:
    """Into the new firmware, once the door is not in use."""
    await asyncio.sleep_ms(_SAY_MS)
    for _ in range(_IN_USE_S):
        if not parts.door.released:
            break
        await asyncio.sleep_ms(_LOOK_MS)
    machine.reset()


async def settle(parts: "Parts", hearts: "List[Heart]") -> None:
    """After a boot with news of the slots: record a slot that was tried in vain, and see a trial to its end."""
    if chooser.failed >= 0:
        parts.recorder.record(journal.EVENT_UPDATE_ROLLED_BACK, value=chooser.read(chooser.failed)[0])
        parts.recorder.commit()
        chooser.mark(chooser.failed, chooser.RECORDED)
    await _prove(parts, hearts)


async def _prove(parts: "Parts", hearts: "List[Heart]") -> None:
    """Confirm the firmware on trial: with a session after a quarter of its time, without one after three quarters, if door
    and Bluetooth answer and no task has ended. Else the chooser's timer ends the trial.
    """
    began = time.ticks_ms()
    while chooser.trial:
        await asyncio.sleep_ms(_LOOK_MS)
        lived = time.ticks_diff(time.ticks_ms(), began)
        if lived < chooser.trial * (250 if parts.counters.get("uplink_connected") else 750):
            continue
        healthy = all([heart.alive for heart in hearts])
        for name in parts.counters.snapshot():
            healthy = healthy and not name.startswith("crash_")
        if healthy:
            number, floor, _, _ = chooser.read(chooser.running)
            kept = _floor(parts)
            if floor > kept.value:
                kept.save(floor)  # first: what was confirmed has its floor on flash
            chooser.confirm()
            parts.recorder.record(journal.EVENT_UPDATE_CONFIRMED, value=number)
