"""Cards and PINs at a real board's door: each term of a row is enforced, and what guessing and repeating get."""

import json
import textwrap
import time
from typing import Any

import pytest

from device.spent import MAX_SPENT
from hil.board.flash import Cut, Where
from hil.phone import share
from protocol import access as a
from protocol import journal
from protocol.credential import (
    CAVEAT_ACTIONS,
    DURESS,
    NEEDS_SECOND,
    ONE_TIME,
    PASSBACK_EXEMPT,
    REMOTE_ONLY,
    caveat,
)
from protocol.host.calendar_rows import window_row
from protocol.host.tables import User, revocations_table, users_table
from protocol.ids import id_bytes
from tests.device.rig import DEADLINE, Rig, phone_side
from tests.device.site import DEVICE

HOUR = 3600
ANNA, BERT, CARL = (f"user_{letter * 16}" for letter in "abc")
CARD, OTHER_CARD = bytes(7) + b"\x01", bytes(7) + b"\x02"
SCHEDULES = window_row(1, 127, 0, 0, 1440) + window_row(
    2, 0, 1, 0, 1440
)  # always; on holidays, of which there are none

# Instead of the agent: the parts of a board, its readers in the hand of the test, and its time.
READERS = """
import json
from device.parts import Parts
from protocol import table
parts = Parts()
now = [100000]
parts.clock.uptime_ms = lambda: now[0]
said = []

def know_time(t, u=2):
    parts.clock.set(t * 1000, u * 1000)

def tick(seconds):
    now[0] += int(seconds * 1000)

def pin(digits, out=False):
    parts.door.lock()
    status = parts.authority.pin(digits, out)
    said.append([status, int(parts.door.released)])

def card(number, out=False):
    parts.door.lock()
    status = parts.authority.card(number, out)
    said.append([status, int(parts.door.released)])

def take(kind, raw):
    with open("/inbox", "wb") as f:
        f.write(raw)
    parts.kinds[kind][1]("/inbox", 0)

def told():
    print(json.dumps(said))
    said.clear()
"""


class Bench:
    """A provisioned board whose readers are the test's."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.sequence = 0

    async def provision(self, policy: dict[str, int] | None = None, **config: Any) -> None:
        site = self.rig.site
        site.port = 1
        numbers = {"max_u_s": 60, "open_s": 5, "held_s": 30, **(policy or {})}
        await self.rig.execute(f"with open('/reader.py', 'w') as f:\n    f.write({READERS!r})")
        await self.rig.provision(main="pass", config=site.config(policy=numbers, **config))

    async def execute(self, code: str) -> str:
        """What code prints that has the names of READERS."""
        return await self.rig.execute("from reader import *\n" + textwrap.dedent(code))

    async def users(
        self, pins: dict[str, User] | None = None, cards: dict[bytes, User] | None = None
    ) -> None:
        self.sequence += 1
        raw = users_table(self.rig.site.k_dev, DEVICE, self.sequence, pins=pins or {}, cards=cards or {})
        await self.execute(f"take('users', {raw!r})")

    async def do(self, *steps: str) -> list[str]:
        """Names of the statuses; each goes with a released door or not, as it says."""
        code = "\n".join((*steps, "told()"))
        outcomes = json.loads((await self.execute(code)).splitlines()[-1])
        for status, released in outcomes:
            assert bool(released) == (status == a.STATUS_GRANTED)
        return [a.STATUS_NAMES[status] for status, _ in outcomes]

    async def records(self) -> list[journal.Record]:
        """All that was recorded and is durable."""
        out = await self.execute(
            "parts.recorder.commit()\n"
            "after = 0\n"
            "while True:\n"
            "    first, raws = parts.recorder.store.read(after, 16)\n"
            "    if not raws:\n"
            "        break\n"
            "    for raw in raws:\n"
            "        print(raw.hex())\n"
            "    after = first + len(raws) - 1\n"
        )
        return [journal.decode_record(bytes.fromhex(line)) for line in out.split()]

    async def accesses(self) -> list[tuple[int, int, str, str]]:
        """(type, method, status, user) of all records of a card or PIN."""
        return [
            (r.type, r.method, a.STATUS_NAMES[r.status], f"user_{r.subject.hex()}")
            for r in await self.records()
            if r.method in (journal.METHOD_CARD, journal.METHOD_PIN)
        ]


@pytest.fixture
async def bench(blank: Rig) -> Bench:
    return Bench(blank)


def now() -> int:
    return int(time.time())


async def test_a_pin_and_a_card_open_and_the_records_name_the_user_and_no_digit(bench: Bench) -> None:
    await bench.provision()
    await bench.users({"73519246": User(ANNA)}, {CARD: User(BERT)})
    statuses = await bench.do(
        "pin('73519246')", f"card({CARD!r})", "pin('73519247')", f"card({OTHER_CARD!r})"
    )
    assert statuses == ["granted", "granted", "unknown_credential", "unknown_credential"]
    nobody = "user_" + "0" * 16
    assert await bench.accesses() == [
        (journal.EVENT_ACCESS_GRANTED, journal.METHOD_PIN, "granted", ANNA),
        (journal.EVENT_ACCESS_GRANTED, journal.METHOD_CARD, "granted", BERT),
        (journal.EVENT_ACCESS_DENIED, journal.METHOD_PIN, "unknown_credential", nobody),
        (journal.EVENT_ACCESS_DENIED, journal.METHOD_CARD, "unknown_credential", nobody),
    ]
    await bench.rig.board.power_cut()
    image = bench.rig.board.flash_path.read_bytes()
    assert b"7351924" not in image
    assert id_bytes(ANNA) in image  # the image is the right one


async def test_every_term_of_a_row_is_enforced_and_unknown_time_serves_only_rows_without_a_limit(
    bench: Bench,
) -> None:
    await bench.provision(schedules=SCHEDULES)
    t = now()
    terms = {
        "1000": ({}, "granted", "granted"),
        "1001": ({"not_after": t - HOUR}, "clock_uncertain", "outside_window"),
        "1002": ({"not_before": t + HOUR}, "clock_uncertain", "outside_window"),
        "1003": ({"not_before": t - HOUR, "not_after": t + HOUR}, "clock_uncertain", "granted"),
        "1004": ({"schedule_id": 1}, "clock_uncertain", "granted"),
        "1005": ({"schedule_id": 2}, "clock_uncertain", "outside_schedule"),
        "1006": ({"schedule_id": 3}, "clock_uncertain", "outside_schedule"),
        "1007": ({"flags": REMOTE_ONLY}, "remote_only", "remote_only"),
    }
    await bench.users({digits: User(ANNA, **term) for digits, (term, _, _) in terms.items()})
    steps = [f"pin('{digits}')" for digits in terms]
    assert await bench.do(*steps) == [unknown for _, unknown, _ in terms.values()]
    assert await bench.do(f"know_time({t})", *steps) == [known for _, _, known in terms.values()]
    assert set(await bench.do(f"know_time({t}, 61)", *steps[1:-1])) == {"clock_uncertain"}


async def test_a_duress_code_opens_as_any_other_and_is_told_of_silently(bench: Bench) -> None:
    await bench.provision()
    await bench.users({"1234": User(ANNA), "4321": User(ANNA, flags=DURESS)})
    assert await bench.do("pin('1234')") == ["granted"]
    assert journal.EVENT_DURESS not in {r.type for r in await bench.records()}
    assert await bench.do("pin('4321')") == ["granted"]
    (duress,) = [r for r in await bench.records() if r.type == journal.EVENT_DURESS]
    assert duress.subject == id_bytes(ANNA)
    assert not bench.rig.board.pins.level("buzzer")


async def test_a_row_that_needs_a_second_opens_to_the_card_and_then_the_code_of_the_same_user(
    bench: Bench,
) -> None:
    await bench.provision()
    dual = NEEDS_SECOND
    await bench.users(
        {"1111": User(ANNA, flags=dual), "2222": User(BERT, flags=dual), "3333": User(CARL)},
        {CARD: User(ANNA, flags=dual), OTHER_CARD: User(ANNA, flags=dual, not_after=1)},
    )
    shown = f"card({CARD!r})"
    needed, granted = "second_needed", "granted"
    assert await bench.do(shown, "pin('1111')") == [needed, granted]
    assert await bench.do("pin('1111')") == [needed]  # one card is good for one opening
    assert await bench.do(shown, shown) == [needed, needed]
    assert await bench.do("tick(1)", "pin('2222')", "pin('1111')") == [needed, granted]
    assert await bench.do("pin('1111')", shown) == [needed, needed]  # the other way round
    assert await bench.do("tick(15.1)", "pin('1111')") == [needed]
    assert await bench.do(shown, "tick(15)", "pin('1111')") == [needed, granted]
    assert await bench.do(f"know_time({now()})", f"card({OTHER_CARD!r})", "pin('1111')") == [
        "outside_window",
        needed,
    ]
    assert await bench.do("pin('3333')") == [granted]


async def test_nobody_comes_in_twice_within_the_forgiveness_time_unless_they_went_out(bench: Bench) -> None:
    await bench.provision(policy={"passback_s": 300})
    await bench.users(
        {"1111": User(ANNA), "9999": User(CARL, flags=PASSBACK_EXEMPT)},
        {CARD: User(ANNA), OTHER_CARD: User(BERT)},
    )
    anna, bert = f"card({CARD!r}", f"card({OTHER_CARD!r}"
    refused, granted = "anti_passback", "granted"
    assert await bench.do(anna + ")", bert + ")", anna + ")", "pin('1111')") == [
        granted,
        granted,
        refused,
        refused,
    ]
    assert await bench.do(anna + ", True)", anna + ")", anna + ")") == [granted, granted, refused]
    assert await bench.do("tick(299)", anna + ")", "tick(1)", anna + ")") == [refused, granted]
    assert await bench.do("pin('9999')", "pin('9999')") == [granted, granted]
    await bench.rig.reset()  # a bundle does not fit beside what is loaded
    await bench.provision(policy={"passback_s": 300, "way_out": 1})
    await bench.users({}, {CARD: User(ANNA)})
    assert await bench.do(anna + ")", anna + ")") == [granted, granted]


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


async def test_a_boot_forgives_anti_passback_and_its_record_tells_when(bench: Bench) -> None:
    await bench.provision(policy={"passback_s": 300})
    await bench.users({}, {CARD: User(ANNA)})
    shown = f"card({CARD!r})"
    assert await bench.do(shown, shown) == ["granted", "anti_passback"]
    await bench.rig.reset()
    assert await bench.do(shown, shown) == ["granted", "anti_passback"]
    kinds = [r.type for r in await bench.records()]
    granted = [at for at, kind in enumerate(kinds) if kind == journal.EVENT_ACCESS_GRANTED]
    assert journal.EVENT_BOOT in kinds[granted[0] : granted[1]]


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


async def test_a_bad_table_is_refused_by_a_board_and_changes_nothing(bench: Bench) -> None:
    await bench.provision()
    await bench.users({"1234": User(ANNA)})
    k_dev = bench.rig.site.k_dev
    other = users_table(k_dev, "dev_" + "e0" * 8, 9, pins={"6666": User(BERT)})
    for raw, reason in ((other, "table_device"), (users_table(k_dev, DEVICE, 1), "table_older")):
        out = await bench.execute(f"""
            from protocol.errors import ProtocolError
            try:
                take('users', {raw!r})
            except ProtocolError as e:
                print(e.reason)
        """)
        assert out.strip() == reason
    assert await bench.do("pin('1234')", "pin('6666')") == ["granted", "unknown_credential"]


INSTEAD = """
import os
if "table" in os.listdir("/"):
    from device.identity import Identity
    from device.table_store import TableStore
    from protocol.ids import id_bytes
    me = Identity()
    TableStore("/lw/revocations", 2, me.table_key, id_bytes(me.device_id)).activate("/table")
    del me
import device.main
device.main.main()
"""


async def revoke(rig: Rig, raw: bytes) -> None:
    """The agent's next boot finds the table as if it had been received."""
    rig.board.console.write(b"\x03")
    await rig.execute(f"with open('/table', 'wb') as f:\n    f.write({raw!r})")
    await rig.revive()


async def test_the_table_of_revocations_and_the_configuration_both_revoke(blank: Rig) -> None:
    site, phone = blank.site, blank.phone()
    site.port = 1
    rev = {"seq": 3, "creds": [b"carl0001".hex()], "gens": {b"dora".hex(): 2}}
    await blank.provision(main=INSTEAD, config=site.config(rev=rev))
    await blank.running()
    await revoke(blank, revocations_table(site.k_dev, DEVICE, 7, [b"anna0001"], {b"bert": 3, b"dora": 1}))
    for credential, generation, status in (
        (b"anna0001", 0, "revoked"),
        (b"anna0002", 0, "granted"),
        (b"carl0001", 0, "revoked"),
        (b"bert0001", 2, "generation_over"),
        (b"bert0001", 3, "granted"),
        (b"dora0001", 1, "generation_over"),
        (b"dora0001", 2, "granted"),
    ):
        key = site.key_for_phone(credential_id=credential, generation=generation)
        result = await phone.unlock(key)
        assert (result.status, result.rev_seq) == (status, 7), credential


async def test_a_door_that_lost_its_revocations_honours_no_key_until_it_has_them_again(blank: Rig) -> None:
    site, phone = blank.site, blank.phone()
    site.port = 1
    await blank.provision(main=INSTEAD)
    await blank.running()
    raw = revocations_table(site.k_dev, DEVICE, 7, [b"bert0001"], {})
    await revoke(blank, raw)
    assert (await phone.unlock(site.key_for_phone())).granted
    blank.board.console.write(b"\x03")
    await blank.execute("with open('/lw/revocations', 'r+b') as f:\n    f.seek(21)\n    f.write(b'x')")
    await blank.revive()
    assert (await phone.unlock(site.key_for_phone())).status == "revoked"
    await revoke(blank, raw)
    assert (await phone.unlock(site.key_for_phone())).granted


async def test_tables_come_through_the_site_are_in_force_at_once_and_bad_ones_are_audited(door: Rig) -> None:
    site, phone = door.site, door.phone()
    assert (await phone.unlock(site.key_for_phone())).granted
    await site.offer("revocations", 7, revocations_table(site.k_dev, DEVICE, 7, [b"anna0001"], {}))
    taken = await site.record(journal.EVENT_TRANSFER_TAKEN)
    assert taken.value == 7
    result = await phone.unlock(site.key_for_phone())
    assert (result.status, result.rev_seq) == ("revoked", 7)
    users = {f"{n:04}": User(ANNA) for n in range(200)}
    await site.offer("users", 3, users_table(site.k_dev, DEVICE, 3, pins=users))
    assert (await site.record(journal.EVENT_TRANSFER_TAKEN, after=taken.seq)).value == 3
    other = users_table(site.k_dev, "dev_" + "e0" * 8, 4, pins=users)
    await site.offer("users", 4, other)
    assert (await site.record(journal.EVENT_TRANSFER_REFUSED)).value == 4
    assert (await site.counters())["inbox_table_device"] == 1
    assert (await phone.unlock(site.key_for_phone())).status == "revoked"


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
    codes = {f"{n:04}": User(ANNA, flags=ONE_TIME) for n in range(1, 12)}
    await bench.users(codes)
    pulses: list[int] = []
    bench.rig.board.pins["relay"].level.listen(lambda level: pulses.append(1) if level.value else None)
    board = bench.rig.board
    for write, digits in enumerate(codes, 1):
        del pulses[:]
        board.cut_power_at(Cut(write, where))
        off = False
        try:
            assert await bench.do(f"pin('{digits}')") == ["granted"]
        except Exception:
            off = True
        if off:
            await board.wait_off(DEADLINE)
            board.console.clear()
            await board.power_on()
        else:
            await bench.rig.reset()
        first = len(pulses)
        assert first <= 1
        (again,) = await bench.do(f"pin('{digits}')")
        assert again == "one_time_spent" if first else again in ("one_time_spent", "granted")
        assert len(pulses) <= 1, (write, digits)


async def test_ten_thousand_decisions_leave_nothing_on_the_heap(bench: Bench) -> None:
    await bench.provision(policy={"passback_s": 1})
    users = {f"{n:04}": User(f"user_{n:016x}", flags=PASSBACK_EXEMPT) for n in range(1, 200)}
    await bench.users(users)
    grown = await bench.execute("""
        import gc
        def show(count):
            for n in range(count):
                tick(0.01)
                parts.authority.pin("%04d" % (1 + n % 199 if n % 50 else 0))
                if n % 64 == 0:
                    parts.recorder.commit()
        show(6000)  # until the journal's ring is full
        gc.collect()
        held = gc.mem_alloc()
        show(10000)
        gc.collect()
        print(gc.mem_alloc() - held)
    """)
    assert int(grown) <= 0
