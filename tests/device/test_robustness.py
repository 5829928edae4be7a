"""What a board does when its own firmware fails: tasks that raise or hang, heaps that fill, peers that stall."""

import asyncio
import contextlib

import pytest

from hil.board.core import Cause
from hil.board.description import builtin
from hil.board.signals import WaitTimeout
from hil.phone import DoorHungUp
from protocol import journal
from tests.device.rig import DEADLINE, Rig

WAIT = 10.0
HEADROOM = 16 * 1024  # bytes that stay free: two TLS records, or one configuration

# The firmware, with one way to fail: what `broken(door)` does at the next edge while pin 5 is high.
FAILS = """
import asyncio
import device.door
import device.main
import machine
from device.watchdog import Watchdog
from machine import Pin, WDT

async def run(self):
    while True:
        self.check()
        await asyncio.sleep_ms(400)

# The same watchdog, fifteen times as fast.
machine.WDT = lambda timeout: WDT(timeout=timeout // 15)
Watchdog.run = run
pin = Pin(5, Pin.IN)
look = device.door.Door._look

async def broken(door):
{body}

async def maybe(door):
    if pin.value() and door.edges:
        door.edges = False
        await broken(door)
    await look(door)

device.door.Door._look = maybe
device.main.main()
"""


async def failing(blank: Rig, body: str) -> None:
    """Provisioned, and released with a long operate time, when the failure strikes."""
    config = blank.site.config(policy={"open_s": 60})
    await blank.provision(main=FAILS.format(body=body), config=config)
    await blank.site.synchronised()
    await blank.site.down("command", blank.site.command())
    await blank.door.strike.wait(1, WAIT)
    blank.board.pins.set_input(5, 1)


@pytest.mark.parametrize(
    "body",
    ["    while True:\n        pass", "    import asyncio\n    await asyncio.Event().wait()"],
    ids=["spins", "waits for ever"],
)
async def test_a_stuck_door_task_resets_the_board_and_the_strike_is_locked(blank: Rig, body: str) -> None:
    """Also one that spins, under which no timer callback runs any more."""
    site = blank.site
    async with site.serving():
        await failing(blank, body)
        newest, boots = site.newest, blank.board.boots.value
        blank.door.press_rex()
        await blank.board.boots.wait(boots + 1, DEADLINE)
        blank.board.pins.set_input(5, 0)
        await blank.door.strike.wait(0, WAIT)
        boot = await site.record(journal.EVENT_BOOT, after=newest)
        assert boot.value == Cause.WDT
        assert not blank.door.unlocked


async def test_a_task_that_raises_is_counted_locked_and_started_again(blank: Rig) -> None:
    site = blank.site
    async with site.serving():
        await failing(blank, "    raise ValueError('broken')")
        newest = site.newest
        blank.door.press_rex()
        await blank.door.strike.wait(0, WAIT)
        restarted = await site.record(journal.EVENT_TASK_RESTARTED, after=newest)
        assert restarted.value == 0
        blank.board.pins.set_input(5, 0)
        blank.door.release_rex()
        await asyncio.wait_for(pressed_until_open(blank), DEADLINE)
        assert (await site.counters())["crash_door"] >= 1
        assert blank.board.boots.value == 2  # one before it was provisioned, one since


async def pressed_until_open(blank: Rig) -> None:
    while not blank.door.unlocked:
        await blank.door.tap_rex(0.1)
        with contextlib.suppress(WaitTimeout):
            await blank.door.strike.wait(1, 0.3)


async def test_a_healthy_board_is_never_reset_by_its_watchdog(blank: Rig) -> None:
    """For twice its timeout, while nothing happens at the door."""
    site = blank.site
    async with site.serving():
        await blank.provision(main=FAILS.format(body="    pass"))
        await site.synchronised()
        boots = blank.board.boots.value
        with pytest.raises(Exception, match="boots"):
            await blank.board.boots.wait(boots + 1, 4.5)


@pytest.mark.parametrize("leaf", ["certificate.der", "key.der", "ca.der"])
async def test_a_board_whose_certificate_is_damaged_is_still_a_door(lonely: Rig, leaf: str) -> None:
    lonely.board.console.write(b"\x03")
    await lonely.execute(f"with open('/lw/{leaf}', 'wb') as f:\n    f.write(b'junk')")
    lonely.board.console.clear()
    await lonely.reset()
    await lonely.board.console.wait_for("Error", WAIT)
    assert (await lonely.phone().unlock(lonely.site.key_for_phone())).granted
    await lonely.door.strike.wait(1, WAIT)


@pytest.mark.parametrize("leaf", ["identity.json", "roots"])
async def test_whoever_is_inside_gets_out_of_a_board_that_has_forgotten_who_it_is(
    lonely: Rig, leaf: str
) -> None:
    lonely.board.console.write(b"\x03")
    await lonely.execute(f"with open('/lw/{leaf}', 'wb') as f:\n    f.write(b'junk')")
    lonely.board.console.clear()
    await lonely.reset()
    await lonely.board.console.wait_for("Error", WAIT)
    assert not lonely.door.unlocked
    await pressed_until_open(lonely)
    await lonely.door.pass_through()
    await lonely.door.strike.wait(0, WAIT)
    await pressed_until_open(lonely)


async def test_a_broker_that_accepts_and_says_nothing_holds_up_no_unlock(blank: Rig) -> None:
    """The handshake hangs in the middle, and the door goes on."""
    dialled = asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        dialled.set()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    async with server:
        blank.site.port = server.sockets[0].getsockname()[1]
        await blank.provision()
        await asyncio.wait_for(dialled.wait(), DEADLINE)
        for _ in range(3):
            assert (await blank.phone().unlock(blank.site.key_for_phone())).granted
        await blank.door.tap_rex()
        await blank.door.strike.wait(1, WAIT)
        await blank.board.power_cut()


async def test_fifty_unlocks_and_a_configuration_leave_headroom_on_the_heap(door: Rig) -> None:
    site, phone = door.site, door.phone()
    assert builtin().mcu.heap_kib == 160
    key = site.key_for_phone()
    opened = 0
    async with asyncio.timeout(3 * DEADLINE):
        while opened < 50:
            with contextlib.suppress(DoorHungUp):  # on a proof sooner than 250 ms after the last: come again
                assert (await phone.unlock(key)).granted
                opened += 1
    rev = {"seq": 2, "creds": [f"{n:016x}" for n in range(64)], "gens": {}}
    await site.down("config", site.config(2, rev=rev))
    await site.record(journal.EVENT_CONFIG_APPLIED)
    counters = await site.counters()
    used, free, hole = site.heap
    assert 0 < hole <= free
    assert free >= HEADROOM, f"{used} bytes used, {free} free of {(used + free) // 1024} KiB"
    assert not [name for name in counters if name.startswith("crash_") or name.endswith("_memory")]
    assert site.admitted == 2


async def test_reports_come_back_at_once_with_the_session(door: Rig) -> None:
    first = await door.site.counters()
    second = await door.site.counters()
    assert second["uplink_connected"] == first["uplink_connected"] + 1
