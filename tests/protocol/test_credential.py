"""Tokens and caveats: round trips, narrowing, and bytes from nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import credential as c
from protocol.errors import LocalError, Malformed, ProtocolError

U32 = st.integers(0, 0xFFFFFFFF)
TOKENS = st.builds(
    c.Token,
    st.integers(0, 255),
    st.binary(min_size=8, max_size=8),
    U32,
    U32,
    U32,
    st.integers(0, c.KNOWN_FLAGS),
    st.integers(0, 0xFFFF),
)
CAVEATS = st.one_of(
    st.tuples(st.just(c.CAVEAT_NOT_BEFORE), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(c.CAVEAT_NOT_AFTER), st.binary(min_size=4, max_size=4)),
    st.tuples(st.just(c.CAVEAT_DOOR), st.binary(min_size=8, max_size=8)),
    st.tuples(st.just(c.CAVEAT_ACTIONS), st.binary(min_size=1, max_size=1)),
).map(lambda item: c.caveat(*item))


@given(TOKENS)
def test_a_token_reads_as_it_was_written(token):
    raw = token.encode()
    assert len(raw) == c.TOKEN_SIZE
    assert vars(c.decode_token(memoryview(raw))) == vars(token)
    assert token.subject == token.credential_id[:4]


@given(st.binary(max_size=40) | st.binary(min_size=25, max_size=25).map(lambda raw: b"\1" + raw))
def test_tokens_of_anything_are_these_bytes_or_malformed(raw):
    try:
        assert c.decode_token(raw).encode() == raw
    except Malformed as error:
        assert error.reason in ("token_size", "token_version", "token_flags")


@pytest.mark.parametrize(
    "fields",
    [
        {"epoch": 256},
        {"epoch": -1},
        {"not_after": 1 << 32},
        {"not_before": -1},
        {"generation": 1 << 32},
        {"flags": 32},
        {"schedule_id": 1 << 16},
        {"credential_id": b"short"},
    ],
)
def test_a_field_that_does_not_fit_is_not_cut_to_fit(fields):
    with pytest.raises(LocalError):
        c.Token(**{"epoch": 1, "credential_id": bytes(8), **fields}).encode()


@given(st.lists(CAVEATS, max_size=c.MAX_CAVEATS))
def test_caveats_come_apart_as_they_went_together(items):
    assert c.split_caveats(memoryview(b"".join(items))) == items


@given(st.lists(CAVEATS, min_size=c.MAX_CAVEATS + 1, max_size=8))
def test_more_caveats_than_the_door_checks_are_refused(items):
    with pytest.raises(Malformed) as caught:
        c.split_caveats(b"".join(items))
    assert caught.value.reason == "caveat_count"


@given(st.binary(max_size=60) | st.lists(CAVEATS, max_size=5).map(b"".join).map(lambda raw: raw[:-1]))
def test_caveats_of_anything_are_these_bytes_or_raise(raw):
    try:
        assert b"".join(c.split_caveats(raw)) == raw
    except ProtocolError as error:
        assert error.reason.startswith("caveat_")


@pytest.mark.parametrize(("kind", "size"), [(1, 3), (2, 8), (3, 4), (4, 2), (5, 4), (0, 0), (256, 4)])
def test_a_caveat_of_another_size_or_type_is_not_made(kind, size):
    with pytest.raises(LocalError):
        c.caveat(kind, bytes(size))


@given(TOKENS, st.lists(CAVEATS, max_size=4), st.binary(min_size=8, max_size=8), st.integers(-1, 9))
def test_a_caveat_never_widens(token, items, door, action):
    wide, narrow = c.Grant(token, items[:-1]), c.Grant(token, items)
    assert narrow.not_before >= wide.not_before >= token.not_before
    assert narrow.not_after <= wide.not_after <= token.not_after
    assert wide.permits(door, action) or not narrow.permits(door, action)
    assert narrow.time_limited or not wide.time_limited


@given(TOKENS, st.lists(CAVEATS, min_size=1, max_size=4, unique=True), st.randoms())
def test_the_key_depends_on_every_caveat_and_their_order(token, items, random):
    def key_of(caveats):
        key = c.mint(bytes(32), token.encode())
        for item in caveats:
            key = c.attenuate(key, item)
        return key

    shuffled = random.sample(items, len(items))
    assert (key_of(shuffled) == key_of(items)) == (shuffled == items)
    assert key_of(items[1:]) != key_of(items)
