"""Envelopes, commands, journal, clock, schedule, topics, MQTT: round trips, attacks, and bytes from nowhere."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from protocol import journal, mqtt, topics
from protocol.clock import Interval, IntervalClock, inside
from protocol.command import CommandGate, build_command, replay_admit
from protocol.envelope import LABEL_COMMAND, LABEL_TIME, open_sealed, seal
from protocol.errors import BadMac, Expired, Malformed, ProtocolError, Replayed, WrongDevice
from protocol.fragment import Reassembler, split
from protocol.keys import hkdf_sha256, hmac_sha256
from protocol.schedule import WeeklySchedule

KEY = bytes(range(32))
ACT, DEV, SITE = "act_" + "1" * 16, "dev_" + "2" * 16, "site_" + "3" * 16
NOW = Interval(1_700_000_000, 1)


@given(st.binary(max_size=100), st.lists(st.binary(max_size=50), max_size=4))
def test_hmac_equals_the_standard_library(key, parts):
    assert hmac_sha256(key, *parts) == hmac.new(key, b"".join(parts), hashlib.sha256).digest()


@given(st.binary(max_size=64), st.binary(max_size=64), st.binary(max_size=32), st.integers(1, 200))
def test_hkdf_equals_cryptography(ikm, salt, info, length):
    expected = HKDF(hashes.SHA256(), length, salt, info).derive(ikm)
    assert hkdf_sha256(ikm, salt, info, length) == expected


def _command(**changes):
    command = build_command(ACT, DEV, 5, 1, 1_700_000_010, "unlock", {})
    return {**command, **changes}


def test_a_sealed_command_opens_with_its_own_key_and_label_only():
    raw = seal(KEY, LABEL_COMMAND, _command())
    assert open_sealed(KEY, LABEL_COMMAND, raw) == _command()
    with pytest.raises(BadMac):
        open_sealed(bytes(32), LABEL_COMMAND, raw)
    with pytest.raises(BadMac):
        open_sealed(KEY, LABEL_TIME, raw)
    with pytest.raises(BadMac):
        open_sealed(KEY, LABEL_COMMAND, raw.replace("unlock", "relock"))


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_envelopes_and_acks_of_anything_return_or_raise(raw):
    with pytest.raises(ProtocolError):
        open_sealed(KEY, LABEL_COMMAND, raw)


@pytest.mark.parametrize(
    ("changes", "clock", "error"),
    [
        ({"dev": "dev_" + "9" * 16}, NOW, WrongDevice),
        ({"boot": 4}, NOW, Replayed),
        ({"seq": 0}, NOW, Replayed),
        ({"seq": True}, NOW, Malformed),
        ({"exp": 1_700_000_000}, NOW, Expired),
        ({"exp": 1_800_000_000}, NOW, Expired),
        ({}, None, Expired),
        ({"op": "release_all"}, NOW, Malformed),
        ({"id": "act_x"}, NOW, Malformed),
        ({"args": []}, NOW, Malformed),
    ],
)
def test_a_wrong_command_is_refused_and_changes_nothing(changes, clock, error):
    gate = CommandGate(DEV, 5)
    with pytest.raises(error):
        gate.admit(_command(**changes), clock)
    assert gate.admit(_command(), NOW).seq == 1


def test_a_command_passes_once():
    gate = CommandGate(DEV, 5)
    gate.admit(_command(), NOW)
    with pytest.raises(Replayed):
        gate.admit(_command(), NOW)


@given(st.lists(st.integers(1, 80), max_size=60))
def test_the_window_takes_each_number_once_and_never_an_old_one(sequence):
    high, bitmap, taken = 0, 0, set()
    for seq in sequence:
        window = replay_admit(high, bitmap, seq)
        expected = seq not in taken and seq > high - 32
        assert (window is not None) == expected
        if window is not None:
            high, bitmap = window
            taken.add(seq)


def _chain(count):
    state, raws = journal.initial_state(KEY), []
    for n in range(count):
        raw, state = journal.append(state, journal.EVENT_BOOT, value=n)
        raws.append(raw)
    return raws


def test_a_journal_verifies_and_every_change_shows():
    raws = _chain(4)
    state = journal.initial_state(KEY)
    for raw in raws:
        record, state = journal.verify(state, raw)
    assert record.value == 3
    start = journal.initial_state(KEY)
    with pytest.raises(journal.ChainGap):
        journal.verify(start, raws[1])
    for at in range(journal.RECORD_SIZE):
        forged = bytearray(raws[0])
        forged[at] ^= 1
        with pytest.raises(ProtocolError):
            journal.verify(start, forged)


def test_an_anchor_is_proved_by_its_successor_and_by_nothing_else():
    raws = _chain(6)
    anchored = journal.anchor(journal.initial_state(KEY), raws[3])
    assert journal.verify(anchored, raws[4])[0].seq == 5
    forged = bytearray(raws[3])
    forged[-1] ^= 1
    with pytest.raises(BadMac):
        journal.verify(journal.anchor(journal.initial_state(KEY), forged), raws[4])


@given(st.binary(max_size=60))
def test_records_of_anything_return_or_raise(raw):
    try:
        assert journal.decode_record(raw).seq > 0
    except ProtocolError as error:
        assert error.reason


@given(st.binary(min_size=1, max_size=300), st.integers(23, 517))
def test_fragments_fit_and_come_together(message, mtu):
    pieces = split(message, mtu)
    assert max(map(len, pieces)) <= mtu - 3
    joiner = Reassembler()
    assert [joiner.push(piece) for piece in pieces][-1] == message


@given(st.lists(st.binary(max_size=30), max_size=12))
def test_fragments_of_anything_return_or_raise(pieces):
    joiner = Reassembler(64)
    for piece in pieces:
        try:
            message = joiner.push(piece)
        except ProtocolError:
            continue
        assert message is None or len(message) <= 64


def test_time_is_certain_only_when_the_whole_interval_is_inside():
    assert inside(Interval(100, 10), 90, 111)
    assert not inside(Interval(100, 10), 91, 200)
    assert not inside(Interval(100, 10), 0, 110)


@given(st.integers(0, 2**41), st.integers(0, 60_000), st.integers(0, 2**33), st.integers(0, 500))
def test_the_clock_never_excludes_the_true_time(t_ms, u_ms, elapsed, ppm):
    clock = IntervalClock(500)
    assert clock.now(0) is None
    clock.set(t_ms, u_ms, 1000)
    now = clock.now(1000 + elapsed)
    assert now is not None
    for true_ms in (
        t_ms + u_ms + elapsed + elapsed * ppm // 10**6,
        t_ms - u_ms + elapsed - elapsed * ppm // 10**6,
    ):
        assert (now.t - now.u) * 1000 <= true_ms <= (now.t + now.u) * 1000 + 999


def test_a_schedule_runs_past_midnight_and_needs_certainty():
    monday = 1_700_438_400  # 2023-11-20 00:00 UTC
    night = WeeklySchedule([(1, 22 * 60, 6 * 60)])
    assert night.allows(Interval(monday + 23 * 3600, 5))
    assert night.allows(Interval(monday + 29 * 3600, 5))
    assert not night.allows(Interval(monday + 3600, 5))
    assert not night.allows(Interval(monday + 22 * 3600 + 2, 5))
    assert not night.allows(Interval(monday + 30 * 3600, 0))


@given(st.text(max_size=140))
def test_topics_of_anything_return_or_raise(text):
    for parse in (topics.parse_site_topic, topics.parse_cloud_topic):
        with pytest.raises(Malformed):
            parse(text)


def test_topics_are_read_as_they_are_written():
    assert topics.parse_site_topic(topics.up(DEV, "events")) == (DEV, "up", "events")
    assert topics.parse_cloud_topic(topics.site_down(3, SITE, "ack")) == (3, SITE, "down", "ack")


@given(st.text(min_size=1, max_size=40), st.binary(max_size=300), st.integers(0, 1), st.data())
def test_mqtt_publishes_survive_any_cut(topic, payload, qos, data):
    raw = mqtt.encode_publish(topic, payload, qos, 7 if qos else 0) + mqtt.encode_puback(9)
    cut = data.draw(st.integers(0, len(raw)))
    decoder = mqtt.Decoder(4096)
    first, second = decoder.feed(raw[:cut]) + decoder.feed(raw[cut:])
    assert (first.topic, first.payload, first.qos) == (topic, payload, qos)
    assert (second.kind, second.packet_id) == (mqtt.PUBACK, 9)


@given(st.lists(st.binary(max_size=64), max_size=5))
def test_mqtt_of_anything_returns_or_raises(chunks):
    decoder = mqtt.Decoder(256)
    try:
        for chunk in chunks:
            assert all(packet.kind for packet in decoder.feed(chunk))
    except ProtocolError as error:
        assert error.reason
