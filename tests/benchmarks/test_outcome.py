"""A line tells whether its target was met, also against a limit of nothing."""

import pytest

from benchmarks.outcome import MET, MISSED, NO_TARGET, Line


@pytest.mark.parametrize(
    ("value", "against", "at_most", "verdict"),
    [
        (0, 0, 1.0, MET),
        (32, 0, 1.0, MISSED),
        (160, 160, 1.0, MET),
        (161, 160, 1.0, MISSED),
        (12, 2, 6.0, MET),
        (13, 2, 6.0, MISSED),
        (5, None, None, NO_TARGET),
        (5, 2, None, NO_TARGET),
    ],
)
def test_a_value_meets_its_target_or_misses_it(
    value: float, against: float | None, at_most: float | None, verdict: str
) -> None:
    assert Line("what", value, "ms", against, "limit", at_most).verdict == verdict
