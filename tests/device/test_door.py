"""The door on a real board: what the strike, the switches and the power do to each other."""

import os
import signal

import pytest

from hil.board.core import Cause
from hil.board.description import builtin
from hil.board.flash import Cut, Where
from protocol import journal
from tests.device.rig import DEADLINE, Rig, rig

WAIT = 10.0
OPEN_S = 60  # an operate time that no test outlasts: what locks the door is not its end


async def configured(door: Rig, **policy: float) -> None:
    version = 2
    await door.site.down("config", door.site.config(version, policy={"max_u_s": 60, **policy}))
    await door.site.record(journal.EVENT_CONFIG_APPLIED)


async def released(door: Rig) -> None:
    await door.site.down("command", door.site.command())
    await door.door.strike.wait(1, WAIT)


async def test_a_grant_releases_the_strike_for_the_operate_time_and_locks_again(door: Rig) -> None:
    await configured(door, open_s=0.3)
    await released(door)
    energised = door.board.pins["relay"].level.t_us
    await door.door.strike.wait(0, WAIT)
    assert door.board.pins["relay"].level.t_us - energised >= 300_000  # no timer ends early


async def test_the_leaf_that_closes_locks_the_door_before_the_operate_time_is_over(door: Rig) -> None:
    await configured(door, open_s=OPEN_S)
    await released(door)
    door.door.open()
    await door.site.record(journal.EVENT_DOOR_OPENED)
    assert door.door.unlocked
    door.door.close()
    await door.door.strike.wait(0, WAIT)
    await door.site.record(journal.EVENT_DOOR_CLOSED)


async def test_a_leaf_that_opens_on_a_locked_door_is_forced_and_sounds_the_buzzer(door: Rig) -> None:
    door.door.force()
    await door.board.pins.wait_pin("buzzer", 1, WAIT)
    await door.site.record(journal.EVENT_DOOR_FORCED)
    door.door.close()
    await door.board.pins.wait_pin("buzzer", 0, WAIT)


async def test_a_leaf_that_stays_open_is_reported_as_held(door: Rig) -> None:
    await configured(door, open_s=0.3, held_s=1)
    await released(door)
    door.door.open()
    await door.site.record(journal.EVENT_DOOR_HELD)
    assert not door.door.unlocked
    assert door.site.newest == (await door.site.record(journal.EVENT_DOOR_HELD)).seq


async def test_a_press_of_400_ms_on_the_exit_button_opens(door: Rig) -> None:
    await door.door.tap_rex(0.4)
    await door.door.strike.wait(1, WAIT)
    granted = await door.site.record(journal.EVENT_ACCESS_GRANTED)
    assert granted.method == journal.METHOD_REX


async def test_one_press_is_one_grant_however_long(door: Rig) -> None:
    door.door.press_rex()
    first = await door.site.record(journal.EVENT_ACCESS_GRANTED)
    await door.door.strike.wait(1, WAIT)
    await door.door.strike.wait(0, WAIT)
    door.door.release_rex()
    door.door.force()  # a later event, so that what came before it is known
    await door.site.record(journal.EVENT_DOOR_FORCED)
    kinds = [record.type for record in door.site.verify()]
    assert kinds.count(journal.EVENT_ACCESS_GRANTED) == 1
    assert first.method == journal.METHOD_REX


async def test_a_button_that_is_stuck_at_boot_is_no_press(door: Rig) -> None:
    door.door.press_rex()
    await door.site.record(journal.EVENT_ACCESS_GRANTED)
    before = door.site.newest
    await door.reset()
    await door.site.synchronised()
    door.door.force()
    await door.site.record(journal.EVENT_DOOR_FORCED, after=before)
    records = [record for record in door.site.verify() if record.seq > before]
    assert journal.EVENT_ACCESS_GRANTED not in [record.type for record in records]


async def test_the_relay_is_locked_before_the_boot_does_anything_else(tmp_path) -> None:
    """With a relay that is energised by a low pin: to lock it, the firmware must drive the pin high."""
    description = builtin()
    relay = description.relay.model_copy(update={"active": "low"})
    async with rig(tmp_path, description=description.model_copy(update={"relay": relay})) as one:
        await one.execute("""
            with open('/pins.json', 'w') as f:
                f.write('{"relay": {"pin": 26, "invert": true}}')
        """)
        one.site.port = 1
        await one.provision()
        await one.board.power_cut()
        changes: list[tuple[str, int]] = []
        one.board.pins.listen(lambda name, level, _: changes.append((name, level)))
        one.board.cut_power_at(Cut(1, Where.BEFORE))  # the first write of a boot counts it
        await one.board.power_on()
        await one.board.wait_off(WAIT)
        assert changes[0] == ("relay", 1)


@pytest.mark.parametrize("damage", ["/lw/identity.json", "/lw/roots", "/pins.json"])
async def test_a_damaged_flash_leaves_the_relay_locked(lonely: Rig, damage: str) -> None:
    board = lonely.board
    board.console.write(b"\x03")
    await lonely.execute(f"with open({damage!r}, 'wb') as f:\n    f.write(b'{{')")
    board.console.clear()
    await lonely.reset()
    if damage != "/pins.json":
        await board.console.wait_for("Error", WAIT)
        assert board.pins["relay"].driven
        assert not lonely.door.unlocked
    else:  # the default map serves
        await lonely.running()
        await lonely.door.tap_rex()
        await lonely.door.strike.wait(1, WAIT)


@pytest.mark.parametrize("end", ["power", "reset", "crash", "break"])
async def test_whatever_ends_the_firmware_in_mid_pulse_leaves_the_strike_locked(door: Rig, end: str) -> None:
    await configured(door, open_s=OPEN_S)
    await released(door)
    board, before = door.board, door.site.newest
    door.site.booted()
    boots = board.boots.value
    if end == "power":
        await board.power_cut()
        await door.door.strike.wait(0, WAIT)
        await board.power_on()
    elif end == "reset":
        await board.reset()
    elif end == "crash":
        assert board.pid is not None
        os.kill(board.pid, signal.SIGKILL)
        await board.boots.wait(boots + 1, DEADLINE)
    else:
        board.console.write(b"\x03")
    await door.door.strike.wait(0, WAIT)
    if end != "break":  # after which the console has the board
        assert (await door.site.synchronised())["door"] == "locked"
        boot = await door.site.record(journal.EVENT_BOOT, after=before)
        assert boot.value == {"power": Cause.PWRON, "reset": Cause.HARD, "crash": Cause.SOFT}[end]
    assert not door.door.unlocked


async def test_losing_and_regaining_the_network_never_moves_the_bolt(door: Rig) -> None:
    moved: list[int] = []
    door.door.strike.listen(lambda strike: moved.append(strike.value))
    door.door.relay.listen(lambda relay: moved.append(relay.value))
    door.board.wifi.set_up(False)
    await door.site.admission.kick("dev_" + "d0" * 8)
    await door.board.console.wait_for("wifi_deadline|ECONNRESET", DEADLINE)
    door.board.wifi.set_up(True)
    await door.site.synchronised()
    assert moved == []
