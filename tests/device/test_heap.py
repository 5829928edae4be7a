"""Ten thousand unlocks leave the heap of a board as it was: handshake, decision, relay and journal, without the radio."""

import pytest

from tests.device.rig import Rig, phone_side

UNLOCKS = 10_000
WARM = 6_000  # before the heap is looked at


@pytest.mark.timeout(600)
async def test_ten_thousand_unlocks_leave_the_heap_as_it_was(lonely: Rig) -> None:
    token, _, key = phone_side(lonely.site.key_for_phone())
    lonely.board.console.write(b"\x03")
    call = f"grown({token!r}, {key!r}, {UNLOCKS})"
    grown, granted, refused, committed = await lonely.call("heap_growth.py", call)
    assert grown <= 0
    assert refused == (UNLOCKS + WARM) // 100
    assert granted == UNLOCKS + WARM - refused
    assert committed >= granted
