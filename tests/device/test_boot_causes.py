"""Each boot is audited with what caused it; of a loss of power and a brown-out the chip's own word is the same."""

from collections.abc import Awaitable, Callable

from protocol import journal
from protocol.host.boot_causes import boot_cause
from tests.device.rig import DEADLINE, Rig


async def off_and_on(rig: Rig) -> None:
    await rig.board.power_cut()
    await rig.board.power_on()


async def sag(rig: Rig) -> None:
    await rig.board.brown_out()


async def reset_line(rig: Rig) -> None:
    await rig.board.reset()


async def soft_reset(rig: Rig) -> None:
    boots = rig.board.boots.value
    rig.board.console.write(b"\x03")
    await rig.board.console.wait_for(">>> ", DEADLINE)
    rig.board.console.write(b"\x04")
    await rig.board.boots.wait(boots + 1, DEADLINE)


async def recorded(rig: Rig, boot: Callable[[Rig], Awaitable[None]]) -> str:
    """What the record of that boot says."""
    rig.site.booted()
    rig.board.console.clear()
    await boot(rig)
    await rig.site.synchronised()
    return boot_cause((await rig.site.record(journal.EVENT_BOOT, after=rig.site.before_boot)).value)


async def test_each_boot_is_recorded_with_its_cause(door: Rig) -> None:
    """In an order in which none of them could be taken for the one before."""
    causes = [
        await recorded(door, boot) for boot in (off_and_on, sag, reset_line, sag, off_and_on, soft_reset, sag)
    ]
    assert causes == [
        "power_on",
        "brown_out",
        "hard_reset",
        "brown_out",
        "power_on",
        "soft_reset",
        "brown_out",
    ]


async def test_what_another_program_left_in_the_rtc_memory_is_no_mark(door: Rig) -> None:
    await door.execute("import machine\nmachine.RTC().memory(b'theirs')")
    assert await recorded(door, sag) == "power_on"
    assert await recorded(door, sag) == "brown_out"
