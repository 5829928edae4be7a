"""Power lost in the middle of an unlock: the board boots, locked, and what it had promised is there."""

import asyncio
import contextlib

import pytest

from hil.board.board import OFF
from hil.board.flash import Cut, Where
from hil.phone import Phone, PhoneError
from protocol import journal
from tests.device.rig import DEADLINE, Rig

WAIT = 10.0


async def unlock_until_off(door: Rig, phone: Phone) -> list[int]:
    """The records that were promised. Cut before the answer, nothing was; nor when the phone gave up by itself."""
    promised = []
    async with asyncio.timeout(4 * DEADLINE):
        while door.board.state.value != OFF:
            with contextlib.suppress(PhoneError):
                promised.append((await phone.unlock(door.site.key_for_phone(), timeout=3.0)).audit_seq)
    return promised


@pytest.mark.parametrize("where", list(Where))
@pytest.mark.parametrize("write", [1, 3])
async def test_a_power_cut_in_mid_write_of_an_unlock(door: Rig, write: int, where: Where) -> None:
    site, phone = door.site, door.phone()
    promised = [(await phone.unlock(site.key_for_phone())).audit_seq]
    await site.record(journal.EVENT_ACCESS_GRANTED)
    site.acknowledges = False
    door.board.cut_power_at(Cut(write, where))
    promised += await unlock_until_off(door, phone)
    await door.door.strike.wait(0, WAIT)
    site.booted()
    site.acknowledges = True
    await door.board.power_on()
    assert (await site.synchronised())["door"] == "locked"
    granted = {r.seq for r in site.verify() if r.type == journal.EVENT_ACCESS_GRANTED}
    assert set(promised) <= granted
    assert not door.door.unlocked


async def test_cuts_in_a_row_keep_one_unbroken_journal(door: Rig) -> None:
    site, phone = door.site, door.phone()
    for write in range(2, 8):
        door.board.cut_power_at(Cut(write, Where.WITHIN))
        await unlock_until_off(door, phone)
        site.booted()
        await door.board.power_on()
        await site.synchronised()
    boots = [record.boot for record in site.verify()]
    assert boots == sorted(boots)
    assert len(set(boots)) == 7


async def test_a_power_cut_at_any_write_of_a_boot_lets_the_next_boot_be(lonely: Rig) -> None:
    board = lonely.board
    for write in range(1, 8):
        await board.power_cut()
        board.console.clear()
        board.cut_power_at(Cut(write, Where.WITHIN))
        await board.power_on()
        off = asyncio.ensure_future(board.wait_off(DEADLINE))
        runs = asyncio.ensure_future(lonely.running())  # a boot of fewer writes
        await asyncio.wait((off, runs), return_when=asyncio.FIRST_COMPLETED)
        for task in (off, runs):
            task.cancel()
        await asyncio.gather(off, runs, return_exceptions=True)
    await board.power_cut()
    board.console.clear()
    await board.power_on()
    await lonely.running()
    assert (await lonely.phone().unlock(lonely.site.key_for_phone())).granted
