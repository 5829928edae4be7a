"""The contacts of a real board: short pulses, bounces and storms; bolt, tamper, key switch; what each alarm shows."""

import asyncio
import contextlib
import itertools
from pathlib import Path

import pytest

from hil.board.signals import WaitTimeout
from protocol import journal
from protocol.credential import EXTENDED_TIME
from tests.device.conftest import wired
from tests.device.rig import Rig

WAIT = 10.0
PULSE_S = 0.051  # more than 50 ms
BOUNCE_S = 0.002
CALM_S = 0.012  # what a loaded machine makes of it is told, and tried again
CALM_AGAIN_S = 0.3

# While pin 5 is high, a task that keeps all others waiting; interrupts come where it sleeps.
SLOW = """
import asyncio
import time
import device.door
import device.main
from machine import Pin

pin = Pin(5, Pin.IN)
run = device.door.Door.run

async def slow():
    while True:
        if pin.value():
            time.sleep_ms(300)
        await asyncio.sleep_ms(1)

async def also(door, beat):
    asyncio.create_task(slow())
    await run(door, beat)

device.door.Door.run = also
device.main.main()
"""

# While pin 5 is high, what the side of the credentials raises.
RAISES = """
import device.door
import device.main
from machine import Pin

pin = Pin(5, Pin.IN)
look = device.door.Door._look

async def maybe(door):
    if pin.value() and door.edges:
        door.alarm({kind}, b"anna0001")
    await look(door)

device.door.Door._look = maybe
device.main.main()
"""


async def ended(rig: Rig, kind: int, after: int = 0) -> journal.Record:
    """The record of the end of that alarm."""
    while True:
        record = await rig.site.record(journal.EVENT_ALARM_ENDED, after=after)
        if record.value == kind:
            return record
        after = record.seq


async def settled(rig: Rig) -> None:
    """A command, answered and recorded: what came before it is known."""
    result = await rig.ordered("lock")
    await rig.site.record(journal.EVENT_ACCESS_GRANTED, after=result["jseq"] - 1)


def kinds(rig: Rig, after: int = 0) -> list[int]:
    return [record.type for record in rig.site.verify() if record.seq > after]


@pytest.fixture
async def slow(tmp_path: Path):
    async with wired(tmp_path, "strike_full", main=SLOW) as one:
        await one.configured(policy={"open_s": 0.2})
        one.board.pins.set_input(5, 1)
        yield one


async def test_presses_of_50_ms_are_seen_though_tasks_are_slow(slow: Rig) -> None:
    for _ in range(4):
        before = slow.site.newest
        await slow.door.tap_rex(PULSE_S)
        record = await slow.site.record(journal.EVENT_ACCESS_GRANTED, after=before)
        assert record.method == journal.METHOD_REX


async def test_a_leaf_that_opens_for_50_ms_is_seen_though_tasks_are_slow(slow: Rig) -> None:
    before = slow.site.newest
    slow.door.force()
    await asyncio.sleep(PULSE_S)
    slow.door.close()
    await ended(slow, journal.EVENT_DOOR_FORCED, after=before)
    seen = [kind for kind in kinds(slow, before) if kind != journal.EVENT_ALARM_ENDED]
    assert seen == [journal.EVENT_DOOR_FORCED, journal.EVENT_DOOR_CLOSED]


@pytest.mark.parametrize("role", ["rex", "dps", "key", "fire", "tamper"])
async def test_bounces_are_no_pulses(full: Rig, role: str) -> None:
    while True:
        before = full.site.newest
        longest = await full.door.chatter(role, 10, BOUNCE_S)
        if longest < CALM_S:
            break
        await settled(full)
    await settled(full)
    assert kinds(full, before) == [journal.EVENT_ACCESS_GRANTED]


async def test_a_storm_of_edges_is_tamper_and_keeps_nobody_from_the_door(full: Rig) -> None:
    storm = asyncio.create_task(full.door.chatter("rex", 1_000_000, 0.0002))
    try:
        await full.site.record(journal.EVENT_TAMPER)
        assert (await full.ordered("unlock"))["ok"]
        await full.door.strike.wait(1, WAIT)
        assert (await full.phone().unlock(full.site.key_for_phone())).granted
    finally:
        storm.cancel()
        await asyncio.gather(storm, return_exceptions=True)
        full.board.pins.set_input("rex", 1)
    # Perhaps that of an alarm before the last one: a slow storm makes several. Its last press and the next must not be one.
    await ended(full, journal.EVENT_TAMPER)
    await asyncio.sleep(CALM_AGAIN_S)
    await settled(full)
    before = full.site.newest
    await full.door.tap_rex(0.1)
    assert (await full.site.record(journal.EVENT_ACCESS_GRANTED, after=before)).method == journal.METHOD_REX


async def test_a_bolt_that_does_not_retract_is_jammed_until_it_does(full: Rig) -> None:
    await full.configured(policy={"open_s": 60, "jam_s": 1})
    full.door.jam()
    await full.ordered("unlock")
    await full.site.record(journal.EVENT_DOOR_JAMMED)
    await full.board.pins.wait_pin("buzzer", 1, WAIT)
    full.door.unjam()
    await ended(full, journal.EVENT_DOOR_JAMMED)
    await full.board.pins.wait_pin("buzzer", 0, WAIT)


async def test_a_bolt_that_is_not_thrown_is_jammed_unless_the_leaf_is_open(full: Rig) -> None:
    await full.configured(policy={"open_s": 60, "jam_s": 1})
    await full.ordered("unlock")
    await full.door.strike.wait(1, WAIT)
    full.door.jam()
    await full.ordered("lock")
    jammed = await full.site.record(journal.EVENT_DOOR_JAMMED)
    full.door.force()
    end = await ended(full, journal.EVENT_DOOR_JAMMED)
    full.door.unjam()
    full.door.close()
    assert end.seq > jammed.seq


async def test_a_good_bolt_is_never_jammed(full: Rig) -> None:
    await full.configured(policy={"open_s": 1.5, "jam_s": 1})
    await full.ordered("unlock")
    await full.door.strike.wait(1, WAIT)
    await full.door.pass_through()
    await full.door.strike.wait(0, WAIT)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await full.site.record(journal.EVENT_DOOR_JAMMED)


async def test_held_open_is_warned_of_then_alarmed_then_silenced(full: Rig) -> None:
    await full.configured(policy={"open_s": 0.2, "held_s": 3, "warn_s": 2, "silence_s": 1})
    buzzer, beeps = full.board.pins["buzzer"].level, []
    buzzer.listen(lambda level: beeps.append(level.value))
    await full.ordered("unlock")
    await full.door.strike.wait(1, WAIT)
    full.door.open()
    await buzzer.wait(1, WAIT)
    assert journal.EVENT_DOOR_HELD not in kinds(full)
    await buzzer.wait(0, WAIT)
    await full.site.record(journal.EVENT_DOOR_HELD)
    await buzzer.wait(1, WAIT)
    await buzzer.wait(0, WAIT)  # silent, though the leaf is still open
    assert len(beeps) >= 4
    full.door.close()
    await ended(full, journal.EVENT_DOOR_HELD)
    await full.board.pins.wait_pin("led", 0, WAIT)


async def test_an_opened_enclosure_is_tamper_and_blinks_until_it_is_closed(full: Rig) -> None:
    full.door.tamper.set(1)
    await full.site.record(journal.EVENT_TAMPER)
    for level in (1, 0, 1):
        await full.board.pins.wait_pin("led", level, WAIT)
    full.door.tamper.set(0)
    await ended(full, journal.EVENT_TAMPER)
    await full.board.pins.wait_pin("led", 0, WAIT)
    assert not full.door.unlocked


async def test_the_key_switch_opens_and_is_recorded(full: Rig) -> None:
    await full.door.turn_key(PULSE_S)
    await full.door.strike.wait(1, WAIT)
    record = await full.site.record(journal.EVENT_ACCESS_GRANTED)
    assert record.method == journal.METHOD_KEY_SWITCH
    full.door.open()
    await full.site.record(journal.EVENT_DOOR_OPENED)
    assert journal.EVENT_DOOR_FORCED not in kinds(full)


async def test_a_handle_that_opens_by_itself_is_no_alarm_and_releases_nothing(full: Rig) -> None:
    await full.configured(policy={"free_egress": 1, "open_s": 1})
    moved: list[int] = []
    full.door.strike.listen(lambda strike: moved.append(strike.value))
    await full.door.tap_rex(PULSE_S)
    await full.site.record(journal.EVENT_ACCESS_GRANTED)
    full.door.force()
    await full.site.record(journal.EVENT_DOOR_OPENED)
    full.door.close()
    await full.site.record(journal.EVENT_DOOR_CLOSED)
    before = full.site.newest
    full.door.force()  # and without the handle it is one
    await full.site.record(journal.EVENT_DOOR_FORCED, after=before)
    assert moved == []
    assert kinds(full).count(journal.EVENT_DOOR_FORCED) == 1


async def test_the_relock_delay_counts_from_the_closed_leaf(full: Rig) -> None:
    await full.configured(policy={"open_s": 60, "relock_ms": 700})
    await full.ordered("unlock")
    await full.door.strike.wait(1, WAIT)
    full.door.open()
    await full.site.record(journal.EVENT_DOOR_OPENED)
    full.door.close()
    closed = full.door.leaf.t_us
    await full.door.strike.wait(0, WAIT)
    assert full.board.pins["relay"].level.t_us - closed >= 700_000


async def test_a_flagged_key_has_the_extended_time_and_another_has_not(full: Rig) -> None:
    await full.configured(policy={"open_s": 0.3, "extended_s": 2})
    phone, relay = full.phone(), full.board.pins["relay"].level
    for flags, least, most in ((EXTENDED_TIME, 2_000_000, 60_000_000), (0, 300_000, 1_900_000)):
        await phone.unlock(full.site.key_for_phone(flags=flags))
        await relay.wait(1, WAIT)
        began = relay.t_us
        await relay.wait(0, WAIT)
        assert least <= relay.t_us - began <= most


@pytest.mark.parametrize(
    ("kind", "shows"), [(journal.EVENT_DURESS, False), (journal.EVENT_WRONG_CODES, True)]
)
async def test_what_the_credentials_raise_is_recorded_and_duress_shows_nowhere(
    tmp_path: Path, kind: int, shows: bool
) -> None:
    async with wired(tmp_path, "strike_full", main=RAISES.format(kind=kind)) as one:
        await one.configured(policy={"silence_s": 3})
        one.door.tamper.set(1)  # the buzzer's time runs on when the alarm is over
        await one.board.pins.wait_pin("buzzer", 1, WAIT)
        one.door.tamper.set(0)
        await ended(one, journal.EVENT_TAMPER)
        for output in ("buzzer", "led"):
            await one.board.pins.wait_pin(output, 0, WAIT)
        shown: list[str] = []
        one.board.pins.listen(lambda name, _level, _: shown.append(name))
        one.board.pins.set_input(5, 1)
        await one.door.chatter("key", 2, 0)  # an edge, and no turn
        assert (await one.site.record(kind)).subject == b"anna0001"
        one.board.pins.set_input(5, 0)
        await ended(one, kind)
        assert ({"led", "buzzer"} & set(shown) != set()) == shows


async def test_whoever_forces_a_door_that_is_shown_to_be_forced_ends_nothing(full: Rig) -> None:
    """Bolt and leaf play: an alarm ends with its own cause only."""
    full.door.tamper.set(1)
    await full.site.record(journal.EVENT_TAMPER)
    full.door.force()
    await full.site.record(journal.EVENT_DOOR_FORCED)
    full.door.close()
    end = await full.site.record(journal.EVENT_ALARM_ENDED)
    assert end.value == journal.EVENT_DOOR_FORCED
    full.door.tamper.set(0)
    assert (await full.site.record(journal.EVENT_ALARM_ENDED, after=end.seq)).value == journal.EVENT_TAMPER


async def test_every_alarm_that_starts_ends_whatever_the_contacts_do(full: Rig) -> None:
    await full.configured(policy={"open_s": 0.2, "held_s": 1, "warn_s": 0, "jam_s": 1, "silence_s": 1})
    contacts = full.door
    for leaf, tamper, key in itertools.product((1, 0), repeat=3):
        contacts.leaf.set(leaf)
        contacts.tamper.set(tamper)
        contacts.key.set(key)
        with contextlib.suppress(WaitTimeout):
            await contacts.strike.wait(1, 0.3)
    contacts.close()
    await full.ordered("lock")
    on: set[int] = set()
    for _ in range(40):
        await full.site.heard()
        on = set()
        for record in full.site.verify():
            if record.type in (6, 7, 14, 15, 16, 17):
                assert record.type not in on
                on.add(record.type)
            elif record.type == journal.EVENT_ALARM_ENDED:
                on.remove(record.value)
        if not on:
            break
    assert not on


async def test_duress_does_not_sound_an_alarm_again_that_is_silent(tmp_path: Path) -> None:
    async with wired(tmp_path, "strike_full", main=RAISES.format(kind=journal.EVENT_DURESS)) as one:
        await one.configured(policy={"silence_s": 1})
        one.door.tamper.set(1)
        await one.board.pins.wait_pin("buzzer", 1, WAIT)
        await one.board.pins.wait_pin("buzzer", 0, WAIT)
        sounds: list[int] = []
        one.board.pins["buzzer"].level.listen(lambda level: sounds.append(level.value))
        one.board.pins.set_input(5, 1)
        await one.door.chatter("key", 2, 0)
        await one.site.record(journal.EVENT_DURESS)
        one.board.pins.set_input(5, 0)
        await ended(one, journal.EVENT_DURESS)
        assert sounds == []
