"""The interval clock: the true time is always inside."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clock import WANDER_PPM, Interval, IntervalClock, build_time_reply, build_time_request, inside
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


BOUND = 100
HOUR = 3_600_000


class Crystal:
    """The oracle: true time by exact fractions, of ticks whose drift stays in one band of WANDER_PPM."""

    def __init__(self, edge):
        self.band = (max(edge, -BOUND), min(edge + WANDER_PPM, BOUND))
        self.ticks = 0
        self.true_ms = Fraction(1_800_000_000_000)

    def run(self, ticks, where):
        low, high = self.band
        drift = low + (high - low) * where
        self.ticks += ticks
        self.true_ms += ticks * (1 - drift / PPM)

    def sync(self, clock, u_ms, where):
        """An answer that is off by no more than it says."""
        earliest, latest = ceil(self.true_ms - u_ms), floor(self.true_ms + u_ms)
        clock.set(earliest + floor((latest - earliest) * where), u_ms, self.ticks)


def covers(clock, crystal):
    now = clock.now(crystal.ticks)
    return (now.t - now.u) * 1000 <= crystal.true_ms <= (now.t + now.u) * 1000


def within(low, high):
    """Numbers of a range, and more often its ends: there it breaks."""
    return st.sampled_from((low, high)) | st.integers(low, high)


share = st.sampled_from((Fraction(0), Fraction(1))) | st.fractions(0, 1)
run = st.tuples(within(1, 30 * 24 * HOUR), share)
sync = st.tuples(within(1, 5_000), share)


@given(
    edge=st.fractions(-BOUND - WANDER_PPM, BOUND, max_denominator=1000),
    days=st.lists(st.tuples(st.lists(run, min_size=1, max_size=3), sync), min_size=1, max_size=12),
    alone=st.lists(run, max_size=3),
)
def test_the_true_time_is_inside_whatever_was_learnt_of_a_crystal_within_its_bound_and_wander(
    edge, days, alone
):
    crystal, clock = Crystal(edge), IntervalClock(BOUND)
    crystal.sync(clock, 40, Fraction(1, 2))
    for runs, (u_ms, where) in days:
        for step in runs:
            crystal.run(*step)
            assert covers(clock, crystal)
        crystal.sync(clock, u_ms, where)
        assert covers(clock, crystal)
        assert clock.low <= crystal.band[0] <= crystal.band[1] <= clock.high
    for step in alone:
        crystal.run(*step)
        assert covers(clock, crystal)


@given(
    steps=st.lists(
        st.tuples(within(1, 30 * 24 * HOUR), within(-10_000_000, 10_000_000), within(0, 5_000)), max_size=20
    )
)
def test_no_series_of_wrong_times_makes_it_trust_a_crystal_more_than_its_kind_allows(steps):
    clock, ticks = IntervalClock(BOUND), 0
    clock.set(1_800_000_000_000, 40, 0)
    for elapsed, off, u_ms in steps:
        ticks += elapsed
        clock.set(1_800_000_000_000 + ticks + off, u_ms, ticks)
        assert -BOUND <= clock.low <= clock.high <= BOUND
        assert clock.high - clock.low >= min(2 * WANDER_PPM, BOUND + min(clock.high, -clock.low))


def learn(clock, crystal, days=1, u_ms=100):
    """Hourly answers, each as wrong as it may be, in turns."""
    for hour in range(24 * days + 1):
        crystal.sync(clock, u_ms, Fraction(hour % 2))
        crystal.run(HOUR, Fraction(1, 2))


def learnt(drift, days=1):
    """A clock that knows its crystal."""
    clock, crystal = IntervalClock(BOUND), Crystal(drift - WANDER_PPM // 2)
    learn(clock, crystal, days)
    return clock, crystal


@pytest.mark.parametrize("drift", [-90, -60, 0, 60, 90])
@pytest.mark.parametrize("heat", [Fraction(0), Fraction(1)])
def test_a_board_that_has_learnt_is_within_ten_seconds_after_a_week_alone(drift, heat):
    clock, crystal = learnt(drift)
    crystal.run(7 * 24 * HOUR, heat)
    assert covers(clock, crystal)
    assert clock.now(crystal.ticks).u <= 10
    assert -BOUND <= clock.low <= clock.high <= BOUND


def test_an_answer_that_cannot_be_true_forgets_what_was_learnt():
    clock, crystal = learnt(60)
    assert clock.high - clock.low < BOUND
    clock.set(floor(crystal.true_ms) + 10_000, 5, crystal.ticks)
    assert (clock.low, clock.high) == (-BOUND, BOUND)
    # The next true answers disagree with that one, and then all is well.
    learn(clock, crystal)
    assert clock.low <= crystal.band[0] < crystal.band[1] <= clock.high
    assert clock.high - clock.low < BOUND


def test_it_learns_anew_each_day_and_believes_the_newer_of_two_good_measurements():
    """Also the somewhat worse one: a crystal ages, and what it was is not what it is."""
    clock, crystal = learnt(50, days=10)
    crystal.band = (54, 64)
    learn(clock, crystal, days=2, u_ms=110)
    assert 59 - WANDER_PPM - 5 <= clock.low < 59 < clock.high <= 59 + WANDER_PPM + 5


def test_a_slow_answer_does_not_replace_a_better_measurement():
    clock, crystal = learnt(60)
    low, high = clock.low, clock.high
    crystal.run(HOUR, Fraction(1, 2))
    crystal.sync(clock, 5_000, Fraction(1))
    assert (clock.low, clock.high) == (low, high)


def test_a_much_better_answer_is_measured_from_instead_of_the_first():
    """The first of a boot may have taken seconds."""
    crystal, clock = Crystal(55), IntervalClock(BOUND)
    crystal.sync(clock, 5_000, Fraction(1))
    for hour in range(24):
        crystal.run(HOUR, Fraction(1, 2))
        crystal.sync(clock, 20, Fraction(hour % 2))
    assert clock.high - clock.low < 3 * WANDER_PPM


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
