"""Envelopes and commands: what opens, what passes, and every way of cheating that we know."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clock import Interval
from protocol.command import (
    MAX_LIFE_S,
    MODES,
    WINDOW,
    Command,
    CommandGate,
    build_command,
    build_result,
    parse_result,
    replay_admit,
)
from protocol.envelope import LABEL_COMMAND, LABEL_TIME, MAX_ENVELOPE, open_sealed, parse_object, seal
from protocol.errors import BadMac, Expired, LocalError, Malformed, ProtocolError, Replayed, WrongDevice

KEY = bytes(range(32))
ACT, DEV = "act_" + "1" * 16, "dev_" + "2" * 16
NOW = Interval(1_700_000_000, 1)


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.just("p"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=6))
def test_what_is_sealed_opens_as_it_was(payload):
    assert open_sealed(KEY, LABEL_COMMAND, seal(KEY, LABEL_COMMAND, payload)) == payload
    assert open_sealed(KEY, LABEL_COMMAND, memoryview(seal(KEY, LABEL_COMMAND, payload).encode())) == payload


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode) | JSON.map(json.dumps).map(str.encode))
def test_envelopes_of_anything_raise_a_protocol_error(raw):
    with pytest.raises(ProtocolError):
        open_sealed(KEY, LABEL_COMMAND, raw)


@given(st.integers(0), st.integers(0, 255))
def test_a_damaged_envelope_opens_unchanged_or_not_at_all(at, byte):
    raw = bytearray(seal(KEY, LABEL_COMMAND, _command()).encode())
    raw[at % len(raw)] = byte
    try:
        assert open_sealed(KEY, LABEL_COMMAND, raw) == _command()
    except ProtocolError as error:
        assert error.reason


@pytest.mark.parametrize("respell", [str.upper, lambda m: m[:-2] + "  ", lambda m: " " + m[:-1]])
def test_a_mac_has_one_spelling(respell):
    outer = json.loads(seal(KEY, LABEL_COMMAND, _command()))
    with pytest.raises(BadMac):
        open_sealed(KEY, LABEL_COMMAND, json.dumps({**outer, "m": respell(outer["m"])}))


def test_half_a_surrogate_pair_is_no_payload():
    raw = json.dumps({"p": "\ud800", "m": "0" * 32})
    with pytest.raises(Malformed) as caught:
        open_sealed(KEY, LABEL_COMMAND, raw)
    assert caught.value.reason == "envelope_text"


@pytest.mark.parametrize("length", [MAX_ENVELOPE - 60, MAX_ENVELOPE, MAX_ENVELOPE + 1])
def test_nothing_over_the_limit_is_sealed_or_opened(length):
    payload = {"x": "y" * length}
    raw = json.dumps({"p": json.dumps(payload), "m": "0" * 32})
    if len(raw) <= MAX_ENVELOPE:
        assert len(seal(KEY, LABEL_COMMAND, payload)) == len(raw)
        return
    with pytest.raises(LocalError):
        seal(KEY, LABEL_COMMAND, payload)
    with pytest.raises(Malformed) as caught:
        open_sealed(KEY, LABEL_COMMAND, raw)
    assert caught.value.reason == "envelope_size"


@given(st.text(max_size=60) | JSON.map(json.dumps))
def test_one_json_object_or_malformed(text):
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    for raw in (text, text.encode()):
        if isinstance(expected, dict):
            assert parse_object(raw) == expected
        else:
            with pytest.raises(Malformed):
                parse_object(raw)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1}\0',
        '{"a": 1}\0{"b": 2}',
        '{"a": 1} {"b": 2}',
        '{"a": ' + "9" * 5000 + "}",
        '{"a":' * 4000,
        "[" * 8000,
    ],
)
def test_what_is_no_json_or_too_much_of_it_is_malformed(text):
    with pytest.raises(Malformed):
        parse_object(text)


@given(st.binary(max_size=20))
def test_bytes_that_are_no_utf_8_are_malformed(raw):
    with pytest.raises(Malformed):
        parse_object(b'{"a": "' + raw + b'\xff"}')


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
        ({"exp": 1_700_000_002 + MAX_LIFE_S}, NOW, Expired),
        ({"seq": 1.0}, NOW, Malformed),
        ({"seq": 1 << 32}, NOW, Malformed),
        ({"exp": -1}, NOW, Malformed),
        ({"op": ["unlock"]}, NOW, Malformed),
        ({"op": "mode"}, NOW, Malformed),
        ({"op": "mode", "args": {"mode": "open"}}, NOW, Malformed),
        ({"op": "mode", "args": {"mode": []}}, NOW, Malformed),
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


def test_a_command_is_taken_from_its_second_to_its_last():
    exp = _command()["exp"]
    for t, u, taken in ((exp, 0, True), (exp - 1, 1, True), (exp, 1, False), (exp - MAX_LIFE_S, 0, True)):
        gate = CommandGate(DEV, 5)
        if taken:
            assert gate.admit(_command(), Interval(t, u)).exp == exp
        else:
            with pytest.raises(Expired):
                gate.admit(_command(), Interval(t, u))


FIELDS = ("id", "dev", "boot", "seq", "exp", "op", "args")


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=7), st.sets(st.sampled_from(FIELDS)))
def test_commands_of_anything_are_admitted_or_raise(changes, missing):
    payload = {k: v for k, v in _command(**changes).items() if k not in missing}
    try:
        command = CommandGate(DEV, 5).admit(payload, NOW)
    except ProtocolError as error:
        assert error.reason
        return
    assert isinstance(command, Command)
    assert (payload["dev"], payload["boot"]) == (DEV, 5)
    assert payload["op"] in ("unlock", "lock") or payload["args"]["mode"] in MODES


@given(st.dictionaries(st.sampled_from(("id", "dev", "seq", "ok", "status", "t", "jseq")), JSON, max_size=7))
def test_results_of_anything_return_or_raise(changes):
    payload = {**build_result(ACT, DEV, 1, True, "granted", 0, 7), **changes}
    try:
        assert parse_result(payload) == payload
    except ProtocolError as error:
        assert error.reason


def test_an_operation_that_no_door_knows_is_not_built():
    with pytest.raises(LocalError):
        build_command(ACT, DEV, 5, 1, 0, "explode", {})


# Steps of any size, back and forth, and to both ends of the window.
SEQUENCES = st.lists(
    st.integers(1, 80) | st.sampled_from((31, 32, 33, 63, 64, 2**32 - 1, 2**32 - 32)), max_size=60
)


@given(SEQUENCES)
def test_the_window_takes_each_number_once_and_never_an_old_one(sequence):
    high, bitmap, taken = 0, 0, set()
    for seq in sequence:
        window = replay_admit(high, bitmap, seq)
        expected = seq not in taken and seq > high - WINDOW
        assert (window is not None) == expected
        if window is not None:
            high, bitmap = window
            taken.add(seq)
            assert high == max(taken)
            assert bitmap == sum(1 << high - n for n in taken if high - n < WINDOW)
