"""Ten thousand unlocks leave the heap of a board as it was: handshake, decision, relay and journal, without the radio."""

from tests.device.rig import Rig, phone_side

UNLOCKS = 10_000
WARM = 6_000  # before the heap is looked at


async def test_ten_thousand_unlocks_leave_the_heap_as_it_was(blank: Rig) -> None:
    blank.site.port = 1
    await blank.provision(main="pass")  # no agent: its watchdog would outlive it, and reset the board
    token, _, key = phone_side(blank.site.key_for_phone())
    call = f"grown({token!r}, {key!r}, {UNLOCKS})"
    grown, granted, refused, committed = await blank.call("heap_growth.py", call)
    assert grown <= 0
    assert refused == (UNLOCKS + WARM) // 100
    assert granted == UNLOCKS + WARM - refused
    assert committed >= granted
