"""Guessing at a keypad: how long it is held up, over resets too."""

from protocol import access as a
from protocol import journal
from protocol.host.tables import User
from tests.device.users_bench import ANNA, BERT, CARD, Bench


async def test_guessing_is_held_up_for_longer_each_time_and_audited_once_for_each(bench: Bench) -> None:
    await bench.provision(policy={"codes": 3})
    await bench.users({"1234": User(ANNA)}, {CARD: User(BERT)})
    wrong, locked, granted = "unknown_credential", "locked_out", "granted"
    assert await bench.do("pin('0')", "pin('1')", "pin('1234')") == [wrong, wrong, granted]  # begins anew
    assert await bench.do("pin('0')", "pin('1')", "pin('2')") == [wrong] * 3
    assert await bench.do("pin('1234')", f"card({CARD!r})", "tick(29.9)", "pin('3')") == [
        locked,
        granted,
        locked,
    ]
    assert await bench.do("tick(0.1)", "pin('4')", "tick(59)", "pin('1234')") == [wrong, locked]
    assert await bench.do("tick(1)", "pin('5')") == [wrong]
    assert await bench.do("tick(120)", "pin('1234')", "pin('6')", "pin('7')", "pin('1234')") == [
        granted,
        wrong,
        wrong,
        granted,
    ]
    limits = [r for r in await bench.records() if r.type == journal.EVENT_WRONG_CODES]
    assert len(limits) == 3
    assert "locked_out" not in {status for _, _, status, _ in await bench.accesses()}


async def test_a_reset_or_a_cut_gives_a_guesser_no_new_attempts(bench: Bench) -> None:
    """Not one for each boot, and not the end of a lock-out."""
    await bench.provision(policy={"codes": 3})
    await bench.users({"1234": User(ANNA)}, {CARD: User(BERT)})
    wrong, locked, granted = "unknown_credential", "locked_out", "granted"
    booted = "now[0] = 0"  # the boot of the firmware; `tick` goes on from there
    assert await bench.do("pin('0')", "pin('1')") == [wrong] * 2
    await bench.rig.reset()
    assert await bench.do(booted, "pin('2')", "pin('1234')") == [wrong, locked]
    await bench.rig.board.power_cut()
    await bench.rig.board.power_on()
    assert await bench.do(
        booted, "tick(29.9)", "pin('1234')", f"card({CARD!r})", "tick(0.1)", "pin('3')"
    ) == [
        locked,
        granted,
        wrong,
    ]
    await bench.rig.reset()
    assert await bench.do(booted, "tick(59.9)", "pin('1234')", "tick(0.1)", "pin('1234')") == [
        locked,
        granted,
    ]
    await bench.rig.reset()
    assert await bench.do(booted, "pin('4')", "pin('5')", "pin('1234')") == [wrong, wrong, granted]


async def test_a_right_code_releases_before_anything_is_written_also_after_a_wrong_one(bench: Bench) -> None:
    await bench.provision()
    await bench.users({"1234": User(ANNA)})
    assert await bench.do("pin('0')") == ["unknown_credential"]
    released = await bench.execute("""
        from device.config_store import SlotFile
        from device.journal_store import JournalStore
        seen = []
        def watched(write):
            def wrapper(*args):
                seen.append(int(parts.door.released))
                return write(*args)
            return wrapper
        SlotFile.save = watched(SlotFile.save)
        JournalStore.commit = watched(JournalStore.commit)
        pin('1234')
        print(seen)
    """)
    assert released.strip() == "[1, 1]"  # the count of wrong codes, the record


async def test_a_day_of_guessing_tries_less_than_a_hundred_codes_and_does_not_fill_the_journal(
    bench: Bench,
) -> None:
    await bench.provision()
    await bench.users({"1234": User(ANNA)})
    out = await bench.execute(f"""
        tried = 0
        for n in range(8640):
            tick(10)
            tried += parts.authority.pin("%06d" % n) == {a.STATUS_UNKNOWN}
        print(tried, parts.recorder.store.sequence)
    """)
    tried, records = map(int, out.split())
    assert 80 < tried < 100
    assert records < 400
