"""The interval clock: the true time is always inside."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clock import Interval, IntervalClock, build_time_reply, build_time_request, inside
from protocol.errors import LocalError

PPM = 1_000_000


def test_time_is_certain_only_when_the_whole_interval_is_inside():
    assert inside(Interval(100, 10), 90, 111)
    assert not inside(Interval(100, 10), 91, 200)
    assert not inside(Interval(100, 10), 0, 110)


@given(
    t_ms=st.integers(0, 2**42),
    u_ms=st.integers(0, 60_000),
    elapsed=st.integers(0, 2**33),
    bound=st.integers(0, 500),
    data=st.data(),
)
def test_the_true_time_is_inside_for_any_drift_within_the_bound(t_ms, u_ms, elapsed, bound, data):
    clock = IntervalClock(bound)
    assert clock.now(0) is None
    clock.set(t_ms, u_ms, 1000)
    now = clock.now(1000 + elapsed)
    drift = data.draw(st.sampled_from((-bound, bound)) | st.integers(-bound, bound))
    error = data.draw(st.sampled_from((-u_ms, u_ms)) | st.integers(-u_ms, u_ms))
    true_ms = t_ms + error + elapsed * Fraction(PPM + drift, PPM)
    assert (now.t - now.u) * 1000 <= true_ms <= (now.t + now.u) * 1000


@given(
    st.integers(0, 2**42),
    st.integers(0, 60_000),
    st.lists(st.integers(0, 2**30), min_size=2, max_size=6),
    st.integers(0, 500),
)
def test_the_interval_of_later_ticks_never_ends_earlier(t_ms, u_ms, ticks, bound):
    clock = IntervalClock(bound)
    clock.set(t_ms, u_ms, 0)
    ends = [now.t + now.u for now in map(clock.now, sorted(ticks))]
    assert ends == sorted(ends)


def test_no_part_of_the_drift_is_rounded_away():
    clock = IntervalClock(100)
    clock.set(999, 0, 0)
    now = clock.now(1)  # one second, and a ten-thousandth of a millisecond to either side
    assert (now.t, now.u) == (1, 1)


def test_ticks_before_the_setting_count_as_the_setting():
    clock = IntervalClock(100)
    clock.set(5_000, 0, 1000)
    assert clock.now(0).t == 5


@pytest.mark.parametrize(("t_ms", "u_ms"), [(-1, 0), (0, -1)])
def test_a_time_before_1970_or_a_negative_uncertainty_is_ours_to_avoid(t_ms, u_ms):
    with pytest.raises(LocalError):
        IntervalClock(100).set(t_ms, u_ms, 0)


def test_a_request_carries_16_random_bytes_and_the_reply_repeats_them():
    request = build_time_request(bytes(range(16)))
    assert request == {"n": bytes(range(16)).hex()}
    assert build_time_reply("dev_" + "1" * 16, request["n"], 5) == {
        "dev": "dev_" + "1" * 16,
        "n": request["n"],
        "t": 5,
    }
    with pytest.raises(LocalError):
        build_time_request(bytes(15))
    with pytest.raises(LocalError):
        IntervalClock(-1)
