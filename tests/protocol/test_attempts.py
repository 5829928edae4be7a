"""What a door remembers of attempts, against a model that keeps the whole history."""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.attempts import FIRST_LOCK_MS, MAX_INSIDE, MAX_LOCK_MS, SECOND_MS, Attempts

STEPS = st.lists(
    st.tuples(st.sampled_from("wwwwr"), st.sampled_from((0, 1, 29_999, 30_000, 10**6))), max_size=60
)


@settings(deadline=None)
@given(STEPS, st.integers(0, 6))
def test_codes_lock_the_keypad_out_as_the_model_says(steps, limit):
    attempts, now, wrong, until, length = Attempts(), 0, 0, 0, 0
    for step, wait in steps:
        now += wait
        assert attempts.locked_out(now) == (now < until)
        if now < until:
            continue
        if step == "r":
            attempts.right_code()
            wrong = length = 0
            continue
        wrong += 1
        begins = length > 0 or wrong >= max(1, limit)
        if begins:
            length = min(MAX_LOCK_MS, length * 2) if length else FIRST_LOCK_MS
            until = now + length
        assert attempts.wrong_code(now, limit) == (length if begins else 0)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 6), st.integers(0, 2 * MAX_LOCK_MS))
def test_a_boot_begins_with_the_lock_out_of_the_last_wrong_code(wrong, limit, now):
    before = Attempts()
    length = 0
    for _ in range(wrong):
        length = before.wrong_code(0, limit)
    after = Attempts(before.wrong, limit)
    assert after.locked_out(now) == (now < length)
    assert after.wrong_code(now, limit) == before.wrong_code(now, limit)


USERS = st.sampled_from([bytes([n]) * 8 for n in range(4)])


@settings(deadline=None)
@given(
    st.lists(st.tuples(USERS, st.booleans(), st.integers(0, 400)), max_size=50), USERS, st.integers(1, 1000)
)
def test_a_user_is_inside_for_the_forgiveness_time_after_the_last_entry_without_an_exit(
    passes, asked, forgiveness
):
    attempts, now, came_in = Attempts(), 0, {}
    for user, out, wait in passes:
        now += wait
        attempts.passed(user, now, out)
        came_in[user] = None if out else now
    at = came_in.get(asked)
    assert attempts.inside(asked, now, forgiveness) == (at is not None and now - at < forgiveness)


def test_the_memory_of_who_is_inside_is_bounded_and_forgets_the_first():
    attempts = Attempts()
    for n in range(MAX_INSIDE + 1):
        attempts.passed(n.to_bytes(8, "big"), n, out=False)
    inside = [attempts.inside(n.to_bytes(8, "big"), 100, 1000) for n in range(MAX_INSIDE + 1)]
    assert inside == [False] + [True] * MAX_INSIDE


@given(st.integers(0, 2 * SECOND_MS), USERS, USERS)
def test_a_first_half_is_good_for_its_user_for_a_while_and_for_one_opening(wait, card, code):
    attempts = Attempts()
    assert not attempts.second(code, wait)
    attempts.first(card, 0)
    assert attempts.second(code, wait) == (card == code and wait <= SECOND_MS)
    attempts.passed(code, wait, out=False)
    assert not attempts.second(card, wait)
