"""The judge of the random faults must itself be able to say no."""

from hypothesis import given
from hypothesis import strategies as st

from tests.system.explain import Grant, unexplained

ANY_TIME = Grant(float("-inf"), float("inf"))
times = st.lists(st.floats(0, 1000), max_size=8, unique=True).map(sorted)


def never(_pulse: float) -> bool:
    return False


def around(when: float) -> Grant:
    return Grant(when - 1, when + 1)


@given(times)
def test_pulses_with_a_grant_each_are_explained(pulses: list[float]) -> None:
    assert unexplained(pulses, [around(when) for when in pulses], never) == []


@given(times)
def test_grants_without_a_pulse_are_nothing_to_explain(granted: list[float]) -> None:
    assert unexplained(granted[::2], [around(when) for when in granted], never) == []


@given(times)
def test_one_grant_explains_one_pulse(pulses: list[float]) -> None:
    assert len(unexplained([*pulses, 2000.0], [ANY_TIME] * len(pulses), never)) == 1


@given(times)
def test_a_pulse_out_of_its_grant_s_time_is_not_explained(pulses: list[float]) -> None:
    late = 5000.0
    assert unexplained([*pulses, late], [*map(around, pulses), around(late - 3)], never) == [late]


@given(times)
def test_the_excused_pulse_is_the_one_that_is_left_out(pulses: list[float]) -> None:
    lost = -1.0
    grants = [ANY_TIME] * len(pulses)
    assert unexplained([lost, *pulses], grants, lambda pulse: pulse == lost) == []
    assert len(unexplained([lost, *pulses], grants, never)) == 1
