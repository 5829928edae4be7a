"""What opens once: codes and phone keys, over resets, replays and power cuts."""

import asyncio

import pytest

from device.spent import MAX_SPENT
from hil.board.board import Board
from hil.board.flash import Cut, Where
from hil.phone import share
from protocol import access as a
from protocol.credential import CAVEAT_ACTIONS, ONE_TIME, caveat
from protocol.host.tables import User
from tests.device.rig import DEADLINE, Rig, phone_side
from tests.device.users_bench import ANNA, BERT, HOUR, Bench, now
from tests.tasks import end


async def test_a_one_time_code_opens_once_also_over_a_reset(bench: Bench) -> None:
    await bench.provision()
    t = now()
    await bench.users(
        {"5555": User(ANNA, flags=ONE_TIME, not_after=t + HOUR), "6666": User(ANNA, flags=ONE_TIME)}
    )
    clock = f"know_time({t})"
    assert await bench.do(clock, "pin('5555')", "pin('5555')") == ["granted", "one_time_spent"]
    await bench.rig.reset()
    assert await bench.do(clock, "pin('5555')", "pin('6666')") == ["one_time_spent", "granted"]
    await bench.users({"6666": User(BERT, flags=ONE_TIME, not_after=t + HOUR)})
    assert await bench.do("pin('6666')") == ["one_time_spent"]  # the same code again is the same credential


async def test_a_refused_one_time_code_is_not_spent(bench: Bench) -> None:
    await bench.provision()
    t = now()
    await bench.users({"5555": User(ANNA, flags=ONE_TIME, not_before=t, not_after=t + HOUR)})
    assert await bench.do("pin('5555')", f"know_time({t + 10})", "pin('5555')") == [
        "clock_uncertain",
        "granted",
    ]


async def test_a_full_set_refuses_further_one_time_codes_and_nothing_else(bench: Bench) -> None:
    await bench.provision()
    await bench.users({"5555": User(ANNA, flags=ONE_TIME), "1234": User(BERT)})
    await bench.execute(f"""
        from device.spent import Spent
        spent = Spent("/lw/spent")
        for n in range({MAX_SPENT}):
            assert spent.open(n.to_bytes(8, "big"), 0)
            spent.spend(n.to_bytes(8, "big"), 0xFFFFFFFF)
    """)
    assert await bench.do("pin('5555')", "pin('1234')") == ["one_time_spent", "granted"]


async def test_a_one_time_key_opens_once_also_over_a_reset_and_a_replay(lonely: Rig) -> None:
    key = lonely.site.key_for_phone(flags=ONE_TIME)
    phone = lonely.phone()
    assert (await phone.unlock(key)).granted
    await lonely.door.strike.wait(1, DEADLINE)
    assert (await phone.unlock(key)).status == "one_time_spent"
    await lonely.revive()
    assert (await phone.unlock(key)).status == "one_time_spent"
    assert (await phone.unlock(lonely.site.key_for_phone())).granted


@pytest.mark.parametrize(("flags", "commits"), [(0, 0), (ONE_TIME, 1)])
async def test_an_unlock_costs_at_most_ten_hmacs_and_one_commit_before_the_relay(
    bench: Bench, flags: int, commits: int
) -> None:
    """With as many caveats as there may be."""
    await bench.provision()
    key = share(bench.rig.site.key_for_phone(flags=flags), *[caveat(CAVEAT_ACTIONS, b"\xff")] * 4)
    status, hmacs, before, after = await bench.rig.call("unlock_cost.py", f"unlock{phone_side(key)}")
    assert status == a.STATUS_GRANTED
    assert 7 <= hmacs <= 10
    assert before == commits
    assert after == commits + 1  # the journal's, behind the relay


@pytest.mark.parametrize("where", list(Where))
async def test_a_power_cut_at_any_write_of_a_one_time_opening_never_allows_a_second(
    bench: Bench, where: Where
) -> None:
    await bench.provision()
    codes = {f"{n:04}": User(ANNA, flags=ONE_TIME) for n in range(1, 100)}
    await bench.users(codes)
    pulses: list[int] = []
    bench.rig.board.pins["relay"].level.listen(lambda level: pulses.append(1) if level.value else None)
    board, has_power = bench.rig.board, False
    for write, digits in enumerate(codes, 1):
        del pulses[:]
        board.cut_power_at(Cut(write, where))
        has_power = await keyed(board, digits)
        if has_power:
            await bench.rig.reset()
        else:
            board.console.clear()
            await board.power_on()
        first = len(pulses)
        assert first <= 1
        (again,) = await bench.do(f"pin('{digits}')")
        assert again == "one_time_spent" if first else again in ("one_time_spent", "granted")
        assert len(pulses) <= 1, (write, digits)
        if has_power:  # it was cut at each of its writes
            break
    assert has_power
    assert write > 10


async def keyed(board: Board, digits: str) -> bool:
    """Key a code in, at the prompt; False if that cost the board its power."""
    board.console.clear()
    leave_raw, hear = "\x02", "import time; time.sleep_ms(0)"  # of the cut
    board.console.write(f"{leave_raw}{hear}; from reader import *; pin('{digits}'); told()\r".encode())
    told = asyncio.create_task(board.console.wait_for(r"^\[\[", DEADLINE))
    off = asyncio.create_task(board.wait_off(DEADLINE))
    await asyncio.wait((told, off), return_when=asyncio.FIRST_COMPLETED)
    has_power = not off.done()
    await end(off if has_power else told)
    return has_power
