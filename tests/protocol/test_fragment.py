"""Fragments: what is split comes together at every MTU, and a wrong one never joins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LocalError, Malformed
from protocol.fragment import ATT_OVERHEAD, COUNTER, MAX_MESSAGE, Reassembler, split


@given(st.binary(min_size=1, max_size=MAX_MESSAGE), st.integers(23, 517))
def test_fragments_fit_and_come_together(message, mtu):
    pieces = split(message, mtu)
    assert max(map(len, pieces)) <= mtu - ATT_OVERHEAD
    joiner = Reassembler()
    assert [joiner.push(memoryview(piece)) for piece in pieces] == [None] * (len(pieces) - 1) + [message]


@given(st.binary(min_size=1, max_size=COUNTER + 1))
def test_a_message_comes_together_byte_by_byte(message):
    joiner = Reassembler()
    assert [joiner.push(piece) for piece in split(message, 5)][-1] == message


@given(st.lists(st.binary(max_size=30), max_size=12))
def test_fragments_of_anything_return_or_raise(pieces):
    joiner = Reassembler(64)
    for piece in pieces:
        try:
            message = joiner.push(piece)
        except Malformed as error:
            assert error.reason in ("fragment_empty", "fragment_order", "fragment_size")
            continue
        assert message is None or 0 < len(message) <= 64


@given(st.binary(min_size=60, max_size=100), st.data())
def test_a_lost_repeated_or_swapped_fragment_never_gives_another_message(message, data):
    pieces = split(message, 23)
    at = data.draw(st.integers(0, len(pieces) - 1))
    wrong = data.draw(
        st.sampled_from(
            (
                pieces[:at] + pieces[at + 1 :],
                pieces[: at + 1] + pieces[at:],
                pieces[:at] + pieces[at:][::-1],
            )
        )
    )
    joiner, whole = Reassembler(), []
    for piece in wrong:
        try:
            whole.append(joiner.push(piece))
        except Malformed:
            whole.append(None)
    assert set(whole) <= {None, message}


def test_a_first_fragment_begins_anew_and_a_wrong_one_ends_what_was():
    joiner = Reassembler()
    first, *rest = split(bytes(60), 23)
    joiner.push(first)
    joiner.push(first)
    assert [joiner.push(piece) for piece in rest][-1] == bytes(60)
    joiner.push(first)
    with pytest.raises(Malformed):
        joiner.push(rest[1])
    with pytest.raises(Malformed):
        joiner.push(rest[0])


def test_a_central_cannot_make_the_door_hold_more_than_a_message():
    joiner = Reassembler()
    joiner.push(b"\x80" + bytes(MAX_MESSAGE))
    with pytest.raises(Malformed) as caught:
        joiner.push(b"\x01\x00")
    assert caught.value.reason == "fragment_size"


@pytest.mark.parametrize(("size", "mtu"), [(0, 23), (MAX_MESSAGE + 1, 517), (10, 4), (COUNTER + 2, 5)])
def test_what_no_run_of_fragments_can_carry_is_not_split(size, mtu):
    with pytest.raises(LocalError):
        split(bytes(size), mtu)
