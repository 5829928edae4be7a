"""Modes and fire on real boards: who gets in, what a loss of power or network changes, and what a fire overrides."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from hil.board.description import builtin
from protocol import journal
from protocol.command import MODES
from protocol.credential import LOCKDOWN_OVERRIDE
from protocol.host.calendar_rows import window_row
from tests.device.conftest import wired
from tests.device.rig import DEADLINE, Rig, rig
from tests.device.site import DEVICE

WAIT = 15.0
RELEASED = ("unlocked", "evacuation")
LOCKDOWNS = ("lockdown", "lockdown_all")
ALWAYS = {"schedules": window_row(1, 127, 0, 0, 1440)}


async def put_into(rig: Rig, mode: str) -> None:
    result = await rig.ordered("mode", mode=mode)
    assert (result["ok"], result["status"]) == (True, "granted")
    record = (
        journal.decode_record(rig.site.records[result["jseq"]])
        if result["jseq"] in rig.site.records
        else None
    )
    record = record or await rig.site.record(journal.EVENT_MODE_CHANGED, after=result["jseq"] - 1)
    assert (record.type, record.method) == (journal.EVENT_MODE_CHANGED, journal.METHOD_REMOTE)
    assert record.value == MODES.index(mode)
    await rig.door.strike.wait(int(mode in RELEASED), WAIT)


async def power_cut(rig: Rig) -> None:
    await rig.board.power_cut()
    rig.site.booted()
    await rig.board.power_on()
    await rig.site.synchronised()


def moves(rig: Rig) -> list[int]:
    """Changes of the relay's coil from now on: they come before any answer of the board."""
    moved: list[int] = []
    rig.board.pins.listen(lambda name, level, _: moved.append(level) if name == "relay" else None)
    return moved


@pytest.mark.parametrize("mode", LOCKDOWNS)
async def test_a_lockdown_opens_to_flagged_keys_at_most_and_keeps_nobody_in(full: Rig, mode: str) -> None:
    await full.configured(policy={"open_s": 0.3})
    await put_into(full, mode)
    site, phone, moved = full.site, full.phone(), moves(full)
    denied = await phone.unlock(site.key_for_phone())
    assert (denied.granted, denied.status) == (False, "door_mode")
    refused = await full.ordered("unlock")
    assert (refused["ok"], refused["status"]) == (False, "door_mode")
    assert moved == []
    flagged = await phone.unlock(site.key_for_phone(flags=LOCKDOWN_OVERRIDE, credential_id=b"guard001"))
    assert flagged.granted == (mode == "lockdown")
    await full.door.strike.wait(0, WAIT)
    await full.door.tap_rex(0.1)
    await full.door.strike.wait(1, WAIT)
    await full.door.strike.wait(0, WAIT)
    await full.door.turn_key(0.1)
    await full.door.strike.wait(1, WAIT)
    await put_into(full, "normal")
    assert (await phone.unlock(site.key_for_phone())).granted


async def test_a_lockdown_ends_a_pulse(full: Rig) -> None:
    await full.configured(policy={"open_s": 60})
    await full.ordered("unlock")
    await full.door.strike.wait(1, WAIT)
    await put_into(full, "lockdown")


@pytest.mark.parametrize("mode", LOCKDOWNS)
async def test_a_lockdown_outlives_a_power_cut_and_its_end_does_too(full: Rig, mode: str) -> None:
    await put_into(full, mode)
    moved = moves(full)
    await power_cut(full)
    assert (await full.ordered("unlock"))["status"] == "door_mode"
    assert moved == []
    await put_into(full, "normal")
    await power_cut(full)
    assert (await full.ordered("unlock"))["ok"]


@pytest.mark.parametrize("mode", RELEASED)
async def test_a_release_by_command_does_not_outlive_a_power_cut(full: Rig, mode: str) -> None:
    await put_into(full, mode)
    locked = await full.ordered("lock")
    assert (locked["ok"], locked["status"]) == (False, "door_mode")
    full.door.open()
    await full.site.record(journal.EVENT_DOOR_OPENED)
    full.door.close()
    await full.site.record(journal.EVENT_DOOR_CLOSED)
    assert full.door.unlocked
    await full.board.power_cut()
    await full.door.strike.wait(0, WAIT)
    full.site.booted()
    moved = moves(full)
    await full.board.power_on()
    assert (await full.site.synchronised())["door"] == "locked"
    await full.ordered("lock")
    assert moved == []


async def test_a_lock_command_ends_a_pulse(full: Rig) -> None:
    await full.configured(policy={"open_s": 60})
    await full.ordered("unlock")
    await full.door.strike.wait(1, WAIT)
    result = await full.ordered("lock")
    assert result["ok"]
    await full.door.strike.wait(0, WAIT)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("board", ["strike_full", "maglock_door"])
async def test_losing_and_regaining_the_network_moves_nothing_in_any_mode(
    tmp_path: Path, board: str, mode: str
) -> None:
    async with wired(tmp_path, board) as one:
        await put_into(one, mode)
        moved = moves(one)
        one.board.wifi.set_up(False)
        await one.site.admission.kick(DEVICE)
        await one.board.console.wait_for("wifi_deadline|ECONNRESET", DEADLINE)
        one.board.wifi.set_up(True)
        await one.site.synchronised()
        assert moved == []


async def test_a_schedule_holds_the_door_released_and_a_command_overrides_it(full: Rig) -> None:
    await full.configured(policy={"unlock_schedule": 1}, **ALWAYS)
    await full.door.strike.wait(1, WAIT)
    changed = await full.site.record(journal.EVENT_MODE_CHANGED)
    assert (changed.value, changed.method) == (1, journal.METHOD_NONE)
    await put_into(full, "lockdown")
    await full.ordered("mode", mode="normal")
    await full.door.strike.wait(1, WAIT)
    await full.configured(policy={"unlock_schedule": 2}, **ALWAYS)  # which the door does not have
    await full.door.strike.wait(0, WAIT)


async def test_a_schedule_releases_after_a_power_cut_only_when_the_time_is_certain(full: Rig) -> None:
    await full.configured(policy={"unlock_schedule": 1}, **ALWAYS)
    await full.door.strike.wait(1, WAIT)
    await full.board.power_cut()
    await full.door.strike.wait(0, WAIT)
    full.site.booted()
    full.site.answers_time = False
    moved = moves(full)
    await full.board.power_on()
    await full.site.next("state")
    await asyncio.sleep(9)  # longer than the firmware takes to look at its schedule
    assert moved == []
    full.site.answers_time = True
    await full.door.strike.wait(1, 2 * WAIT)


@pytest.mark.parametrize("mode", ["normal", *LOCKDOWNS])
async def test_fire_releases_a_maglock_in_every_mode_and_its_end_locks_it(maglock: Rig, mode: str) -> None:
    await maglock.configured(policy={"open_s": 60})
    if mode == "normal":
        await maglock.ordered("unlock")  # a pulse that is over when the fire is
    else:
        await put_into(maglock, mode)
    maglock.door.fire.set(1)
    await maglock.door.strike.wait(1, WAIT)
    assert (await maglock.site.record(journal.EVENT_FIRE)).value == 1
    await maglock.ordered("lock")
    await maglock.ordered("mode", mode="lockdown_all" if mode == "normal" else mode)
    assert maglock.door.unlocked
    maglock.door.fire.set(0)
    await maglock.door.strike.wait(0, WAIT)
    refused = await maglock.ordered("unlock")
    assert refused["status"] == "door_mode"


@pytest.mark.parametrize("board", ["maglock_door", "strike_full"])
@pytest.mark.parametrize("jammed_in", ["a release", "a lock"])
async def test_fire_releases_a_lock_whose_bolt_is_jammed(tmp_path: Path, board: str, jammed_in: str) -> None:
    """The current is as a fire asks while the bolt is stuck, and once it comes loose the door is open."""
    async with wired(tmp_path, board) as one:
        await one.configured(policy={"open_s": 60, "jam_s": 1, "fire_releases": 1})
        if jammed_in == "a lock":
            await one.ordered("unlock")
            await one.door.strike.wait(1, WAIT)
        one.door.jam()
        await one.ordered("lock" if jammed_in == "a lock" else "unlock")
        await one.site.record(journal.EVENT_DOOR_JAMMED)
        if jammed_in == "a release":
            await one.ordered("lock")
            await one.door.relay.wait(0, WAIT)
        one.door.fire.set(1)
        await one.door.relay.wait(1, WAIT)
        assert (await one.site.record(journal.EVENT_FIRE)).value == 1
        moved = moves(one)
        assert (await one.ordered("lock"))["status"] == "door_mode"
        one.door.unjam()
        await one.door.strike.wait(1, WAIT)
        assert moved == []
        one.door.fire.set(0)
        await one.door.strike.wait(0, WAIT)


async def test_fire_at_boot_releases_a_maglock_before_there_is_a_network(maglock: Rig) -> None:
    await put_into(maglock, "lockdown_all")
    await maglock.board.power_cut()
    assert not maglock.door.unlocked  # on its own supply
    maglock.door.fire.set(1)
    maglock.board.wifi.set_up(False)
    await maglock.board.power_on()
    await maglock.door.strike.wait(1, WAIT)
    maglock.door.fire.set(0)
    await maglock.door.strike.wait(0, WAIT)


async def test_a_door_that_a_fire_and_a_mode_release_stays_so_when_the_fire_ends(maglock: Rig) -> None:
    await put_into(maglock, "evacuation")
    moved = moves(maglock)
    maglock.door.fire.set(1)
    await maglock.site.record(journal.EVENT_FIRE)
    maglock.door.fire.set(0)
    await maglock.site.record(journal.EVENT_FIRE, after=(await maglock.site.record(journal.EVENT_FIRE)).seq)
    assert moved == []
    await put_into(maglock, "normal")


@pytest.mark.parametrize("releases", [0, 1])
async def test_fire_moves_a_fail_secure_strike_only_if_the_configuration_says_so(
    full: Rig, releases: int
) -> None:
    await full.configured(policy={"fire_releases": releases})
    moved = moves(full)
    full.door.fire.set(1)
    begun = await full.site.record(journal.EVENT_FIRE)
    if releases:
        await full.door.strike.wait(1, WAIT)
    await full.ordered("lock")
    assert moved == [1] * releases
    full.door.fire.set(0)
    assert (await full.site.record(journal.EVENT_FIRE, after=begun.seq)).value == 0
    await full.door.strike.wait(0, WAIT)
    assert moved == [1, 0] * releases


@pytest.mark.parametrize("end", ["power", "reset", "crash"])
async def test_no_end_of_the_firmware_lets_a_maglock_go(maglock: Rig, end: str) -> None:
    await maglock.configured(policy={"open_s": 60})
    moved, board = moves(maglock), maglock.board
    maglock.site.booted()
    boots = board.boots.value
    if end == "power":
        await board.power_cut()
        await board.power_on()
    elif end == "reset":
        await board.reset()
    else:
        assert board.pid is not None
        os.kill(board.pid, signal.SIGKILL)
        await board.boots.wait(boots + 1, DEADLINE)
    await maglock.site.synchronised()
    assert moved == []


async def test_a_maglock_on_the_open_contact_is_locked_by_current(tmp_path: Path) -> None:
    about = builtin("maglock_door")
    strike = about.strike.model_copy(update={"contact": "normally-open"})
    async with (
        rig(tmp_path, description=about.model_copy(update={"strike": strike})) as one,
        one.site.serving(),
    ):
        await one.wire()
        await one.provision()
        await one.site.synchronised()
        assert not one.door.unlocked
        assert one.door.relay.value == 1
        await one.ordered("unlock")
        await one.door.strike.wait(1, WAIT)
        await one.door.strike.wait(0, WAIT)
        with contextlib.suppress(TimeoutError):
            await one.board.power_cut()
        await one.door.strike.wait(1, WAIT)  # which is why it should not be wired like that
