"""Cards and PINs at a real board's door: each term of a row is enforced, and what repeating gets."""

from protocol import journal
from protocol.credential import DURESS, NEEDS_SECOND, PASSBACK_EXEMPT, REMOTE_ONLY
from protocol.host.calendar_rows import window_row
from protocol.host.tables import User, users_table
from protocol.ids import id_bytes
from tests.device.site import DEVICE
from tests.device.users_bench import ANNA, BERT, CARD, CARL, HOUR, OTHER_CARD, Bench, now

# Always; and on holidays, of which there are none.
SCHEDULES = window_row(1, 127, 0, 0, 1440) + window_row(2, 0, 1, 0, 1440)


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
