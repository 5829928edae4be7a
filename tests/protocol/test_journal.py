"""The journal's chain: every change, gap and reordering shows, and an old key tells nothing of the past."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import journal
from protocol.errors import BadMac, LocalError, Malformed, ProtocolError
from protocol.messages import MAX_ACK, MAX_RECORDS, build_events, parse_ack

KEY = bytes(range(32))
U32 = st.integers(0, 0xFFFFFFFF)
FIELDS = st.fixed_dictionaries(
    {
        "kind": st.integers(0, 255),
        "boot": U32,
        "time": U32,
        "uncertainty": st.integers(0, 0xFFFF),
        "method": st.integers(0, 255),
        "status": st.integers(0, 255),
        "subject": st.binary(min_size=8, max_size=8),
        "value": U32,
    }
)


def _chain(count, state=None):
    state, raws = state or journal.initial_state(KEY), []
    for n in range(count):
        raw, state = journal.append(state, journal.EVENT_BOOT, value=n)
        raws.append(raw)
    return raws, state


def _same(a, b):
    return (a.seq, a.digest, a.key) == (b.seq, b.digest, b.key)


@given(st.lists(FIELDS, min_size=1, max_size=4))
def test_a_journal_reads_as_it_was_written(entries):
    writer = reader = journal.initial_state(KEY)
    for n, fields in enumerate(entries, 1):
        raw, writer = journal.append(writer, **fields)
        assert len(raw) == journal.RECORD_SIZE
        record, reader = journal.verify(reader, memoryview(raw))
        expected = {**fields, "seq": n, "type": fields["kind"]}
        del expected["kind"]
        assert vars(record) == expected
        assert _same(reader, writer)


@given(st.binary(max_size=60) | st.binary(min_size=45, max_size=45).map(lambda raw: b"\1" + raw))
def test_records_of_anything_return_or_raise(raw):
    start = journal.initial_state(KEY)
    for read in (
        journal.decode_record,
        lambda r: journal.verify(start, r),
        lambda r: _small_anchor(start, r),
    ):
        try:
            read(raw)
        except ProtocolError as error:
            assert error.reason in ("record_size", "record_version", "record_mac", "chain_gap")


def _small_anchor(state, raw):
    """An anchor, unless it would have to step far: what that costs has a test of its own."""
    return journal.anchor(state, raw[:3] + bytes(2) + raw[5:]) if len(raw) > 5 else journal.anchor(state, raw)


@given(st.integers(0, 8 * journal.RECORD_SIZE - 1))
def test_every_bit_of_a_record_counts(bit):
    raws, _ = _chain(1)
    forged = bytearray(raws[0])
    forged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        journal.verify(journal.initial_state(KEY), forged)


@given(st.permutations(range(5)))
def test_only_the_order_of_writing_verifies(order):
    raws, _ = _chain(5)
    state, verified = journal.initial_state(KEY), 0
    for n in order:
        try:
            _, state = journal.verify(state, raws[n])
            verified += 1
        except journal.ChainGap:
            break
    assert (verified == 5) == (list(order) == sorted(order))


def test_a_record_of_another_chain_with_the_same_number_does_not_fit():
    _, state = _chain(2)
    other, _ = journal.append(state, journal.EVENT_DOOR_OPENED)
    theirs, _ = journal.append(journal.ChainState(2, bytes(32), state.key), journal.EVENT_DOOR_OPENED)
    assert other != theirs
    with pytest.raises(BadMac):
        journal.verify(state, theirs)


def test_the_key_of_today_does_not_write_what_came_before():
    raws, state = _chain(3)
    stolen = state.key
    honest = journal.initial_state(KEY)
    for raw in raws:
        thief = journal.ChainState(honest.seq, honest.digest, stolen)
        forged, _ = journal.append(thief, journal.EVENT_BOOT, value=99)
        with pytest.raises(BadMac):
            journal.verify(honest, forged)
        _, honest = journal.verify(honest, raw)


@given(st.integers(1, 30), st.integers(0, 30))
def test_an_anchor_is_the_chain_that_was_missed(count, start):
    _, before = _chain(start)
    raws, after = _chain(count, before)
    assert _same(journal.anchor(before, raws[-1]), after)


def test_an_anchor_is_proved_by_its_successor_and_by_nothing_else():
    raws, _ = _chain(6)
    anchored = journal.anchor(journal.initial_state(KEY), raws[3])
    assert journal.verify(anchored, raws[4])[0].seq == 5
    forged = bytearray(raws[3])
    forged[-1] ^= 1
    with pytest.raises(BadMac):
        journal.verify(journal.anchor(journal.initial_state(KEY), forged), raws[4])


@pytest.mark.parametrize("seq", [journal.MAX_LEAP + 1, 0xFFFFFFFF])
def test_an_anchor_too_far_away_is_refused_before_its_cost(seq):
    raw = struct.pack(">BBI", 1, 1, seq) + bytes(40)
    with pytest.raises(journal.ChainGap):
        journal.anchor(journal.initial_state(KEY), raw)


def test_an_anchor_does_not_go_back_or_stand_still():
    raws, state = _chain(3)
    for raw in raws:
        with pytest.raises(journal.ChainGap):
            journal.anchor(state, raw)


def test_a_record_without_a_number_is_malformed():
    with pytest.raises(Malformed):
        journal.decode_record(b"\1" + bytes(45))


def test_every_event_and_method_has_one_name():
    for names in (journal.EVENT_NAMES, journal.METHOD_NAMES):
        assert len(set(names.values())) == len(names)


@given(st.binary(max_size=300) | st.integers().map(lambda n: b'{"seq": %d}' % n))
def test_acknowledgements_of_anything_return_or_raise(raw):
    try:
        assert 0 <= parse_ack(raw)["seq"] <= 0xFFFFFFFF
    except Malformed as error:
        assert error.reason


@pytest.mark.parametrize("seq", ["true", "1.0", "-1", "4294967296", '"1"', "null", "[1]"])
def test_a_watermark_is_a_number_of_32_bits(seq):
    with pytest.raises(Malformed) as caught:
        parse_ack(b'{"seq": %b}' % seq.encode())
    assert caught.value.reason == "ack_seq"


def test_an_acknowledgement_is_short():
    assert parse_ack(b'{"seq": 7}' + b" " * (MAX_ACK - 10)) == {"seq": 7}
    with pytest.raises(Malformed) as caught:
        parse_ack(b'{"seq": 7}' + b" " * (MAX_ACK - 9))
    assert caught.value.reason == "ack_size"


@pytest.mark.parametrize("count", [0, MAX_RECORDS + 1])
def test_a_message_holds_one_record_at_least_and_not_too_many(count):
    with pytest.raises(LocalError):
        build_events([bytes(46)] * count)
