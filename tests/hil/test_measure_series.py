"""Percentiles are values that were measured, and a verdict follows from the ratio alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.outcome import MET, MISSED, NO_TARGET, Line
from benchmarks.report import number
from hil.measure.series import Series

SAMPLES = st.lists(st.floats(0, 1e6), min_size=1, max_size=200)


@given(SAMPLES, st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_the_least_sample_that_so_many_do_not_exceed(
    samples: list[float], percent: int
) -> None:
    found = Series("ms", samples).percentile(percent)
    assert found in samples
    assert sum(value <= found for value in samples) * 100 >= percent * len(samples)
    assert sum(value < found for value in samples) * 100 < percent * len(samples)


def test_the_order_of_samples_is_kept() -> None:
    series = Series("ms")
    series.extend([3, 1])
    series.add(2)
    assert series.median == 2
    assert series.samples == [3, 1, 2]


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no samples"):
        Series("ms").percentile(50)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (Line("x", 6.0, "ms", 1.0, "peer", 6.0), MET),
        (Line("x", 6.1, "ms", 1.0, "peer", 6.0), MISSED),
        (Line("x", 6.1, "ms", 1.0, "peer"), NO_TARGET),
        (Line("x", 6.1, "ms"), NO_TARGET),
    ],
)
def test_a_verdict_needs_something_to_compare_with_and_a_target(line: Line, verdict: str) -> None:
    assert line.verdict == line.report()["verdict"] == verdict


@pytest.mark.parametrize(
    ("value", "text"), [(0.01234, "0.0123"), (1.5, "1.5"), (99.96, "100"), (1112, "1112")]
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text
