"""The handshake: what opens, and every way of cheating that we know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.credential import (
    CAVEAT_ACTIONS,
    CAVEAT_DOOR,
    CAVEAT_NOT_AFTER,
    MAX_CAVEATS,
    Token,
    attenuate,
    caveat,
    decode_token,
    mint,
    split_caveats,
)
from protocol.errors import BadMac, Expired, LocalError, ProtocolError, Replayed, WrongDevice
from protocol.handshake import (
    ACTION_LOCK,
    ACTION_UNLOCK,
    ACTIONS,
    CHALLENGE_SIZE,
    MAX_AUTH,
    NONCE_LIFE_MS,
    DoorSide,
    PhoneSide,
    decode_challenge,
)
from protocol.keys import credential_root, epoch_key

ROOT = credential_root(bytes(range(32)))
DOOR = bytes(range(8))
U32 = st.integers(0, 0xFFFFFFFF)
TOKEN = Token(1, b"subjseri", not_after=2_000_000_000).encode()
KEY = mint(epoch_key(ROOT, 1), TOKEN)


def _door() -> tuple[DoorSide, bytes]:
    door = DoorSide(DOOR, boot=3)
    return door, door.challenge(bytes(16), 1000, (1_700_000_000, 2), 9)


def _proved() -> PhoneSide:
    """A phone that waits for its answer."""
    phone = PhoneSide(TOKEN, [], KEY)
    phone.authenticate(_door()[1], ACTION_UNLOCK, bytes(16))
    return phone


def test_a_phone_and_a_door_agree():
    door, challenge = _door()
    phone = PhoneSide(TOKEN, [], KEY, DOOR)
    auth = door.receive_auth(phone.authenticate(challenge, ACTION_UNLOCK, bytes(16)), 1500, ROOT)
    result = phone.receive_result(door.result(auth, 0, 7, 9, 1_700_000_001))
    assert (auth.token.credential_id, auth.action) == (b"subjseri", ACTION_UNLOCK)
    assert (result.status, result.audit_seq, result.rev_seq, result.time) == (0, 7, 9, 1_700_000_001)


def test_a_nonce_opens_once():
    door, challenge = _door()
    proof = PhoneSide(TOKEN, [], KEY).authenticate(challenge, ACTION_UNLOCK, bytes(16))
    door.receive_auth(proof, 1000, ROOT)
    with pytest.raises(Replayed):
        door.receive_auth(proof, 1000, ROOT)


def test_a_failed_proof_uses_the_nonce_up():
    door, challenge = _door()
    proof = PhoneSide(TOKEN, [], KEY).authenticate(challenge, ACTION_UNLOCK, bytes(16))
    with pytest.raises(BadMac):
        door.receive_auth(proof[:-1] + bytes((proof[-1] ^ 1,)), 1000, ROOT)
    with pytest.raises(Replayed):
        door.receive_auth(proof, 1000, ROOT)


def test_a_nonce_lives_five_seconds():
    door, challenge = _door()
    proof = PhoneSide(TOKEN, [], KEY).authenticate(challenge, ACTION_UNLOCK, bytes(16))
    with pytest.raises(Expired):
        door.receive_auth(proof, 1000 + NONCE_LIFE_MS + 1, ROOT)


def test_a_proof_for_one_door_or_boot_opens_no_other():
    _, challenge = _door()
    proof = PhoneSide(TOKEN, [], KEY).authenticate(challenge, ACTION_UNLOCK, bytes(16))
    other = DoorSide(DOOR, boot=4)
    other.challenge(bytes(16), 1000, (1_700_000_000, 2), 9)
    with pytest.raises(BadMac):
        other.receive_auth(proof, 1000, ROOT)
    with pytest.raises(WrongDevice):
        PhoneSide(TOKEN, [], KEY, b"another!").authenticate(challenge, ACTION_UNLOCK, bytes(16))


@given(st.data())
def test_every_bit_of_a_proof_counts(data):
    door, challenge = _door()
    proof = bytearray(PhoneSide(TOKEN, [], KEY).authenticate(challenge, ACTION_UNLOCK, bytes(16)))
    at = data.draw(st.integers(0, len(proof) - 1))
    proof[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ProtocolError):
        door.receive_auth(proof, 1000, ROOT)


@given(st.data())
def test_every_bit_of_a_result_counts(data):
    door, challenge = _door()
    phone = PhoneSide(TOKEN, [], KEY, DOOR)
    auth = door.receive_auth(phone.authenticate(challenge, ACTION_UNLOCK, bytes(16)), 1500, ROOT)
    result = bytearray(door.result(auth, 3, 7, 9, 0))
    at = data.draw(st.integers(0, len(result) - 1))
    result[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ProtocolError):
        phone.receive_result(result)


def test_a_result_is_for_one_proof():
    door, challenge = _door()
    phone = PhoneSide(TOKEN, [], KEY, DOOR)
    auth = door.receive_auth(phone.authenticate(challenge, ACTION_UNLOCK, bytes(16)), 1500, ROOT)
    granted = door.result(auth, 0, 7, 9, 0)
    phone.authenticate(challenge, ACTION_UNLOCK, b"another nonce...")
    with pytest.raises(BadMac):
        phone.receive_result(granted)


@given(
    st.binary(min_size=8, max_size=8),
    U32,
    st.binary(min_size=16, max_size=16),
    st.none() | st.tuples(U32, st.integers(0, 1 << 20)),
    U32,
)
def test_a_challenge_reads_as_it_was_written(door_id, boot, nonce, clock, rev_seq):
    raw = DoorSide(door_id, boot).challenge(nonce, 0, clock, rev_seq)
    assert len(raw) == CHALLENGE_SIZE
    assert vars(decode_challenge(memoryview(raw))) == {
        "door_id": door_id,
        "boot": boot,
        "nonce": nonce,
        "time": clock[0] if clock else None,
        "uncertainty": min(clock[1], 0xFFFF) if clock else 0xFFFF,
        "rev_seq": rev_seq,
    }


CAVEATS = st.sampled_from(
    (
        caveat(CAVEAT_ACTIONS, b"\x02"),
        caveat(CAVEAT_NOT_AFTER, bytes(4)),
        caveat(CAVEAT_DOOR, DOOR),
    )
)


@given(st.lists(CAVEATS, max_size=MAX_CAVEATS), st.sampled_from(ACTIONS), st.binary(min_size=16, max_size=16))
def test_any_proof_is_taken_as_it_was_made(caveats, action, nonce):
    key = KEY
    for item in caveats:
        key = attenuate(key, item)
    door, challenge = _door()
    proof = PhoneSide(TOKEN, caveats, key, DOOR).authenticate(challenge, action, nonce)
    assert len(proof) <= MAX_AUTH
    auth = door.receive_auth(memoryview(proof), 1000, ROOT)
    assert (auth.token.encode(), auth.caveats, auth.action, auth.key) == (TOKEN, caveats, action, key)


@given(st.integers(0, 60), st.binary(max_size=8), st.integers(0, 8))
def test_a_proof_with_bytes_put_in_or_taken_out_is_no_proof(at, inserted, removed):
    door, challenge = _door()
    proof = PhoneSide(TOKEN, [], KEY).authenticate(challenge, ACTION_UNLOCK, bytes(16))
    damaged = proof[:at] + inserted + proof[at + removed :]
    if damaged != proof:
        with pytest.raises(ProtocolError):
            door.receive_auth(damaged, 1000, ROOT)


def test_a_phone_needs_a_proof_before_an_answer_and_an_action_that_there_is():
    phone = PhoneSide(TOKEN, [], KEY)
    with pytest.raises(LocalError):
        phone.receive_result(b"\x13" + bytes(29))
    for action, nonce in ((0, bytes(16)), (4, bytes(16)), (ACTION_UNLOCK, bytes(15))):
        with pytest.raises(LocalError):
            phone.authenticate(_door()[1], action, nonce)


def test_a_caveat_narrows_and_cannot_be_taken_off():
    item = caveat(CAVEAT_ACTIONS, bytes((1 << ACTION_LOCK,)))
    narrow = attenuate(KEY, item)
    door, challenge = _door()
    proof = PhoneSide(TOKEN, [item], narrow).authenticate(challenge, ACTION_LOCK, bytes(16))
    assert door.receive_auth(proof, 1000, ROOT).caveats == [item]
    door, challenge = _door()
    bare = PhoneSide(TOKEN, [], narrow).authenticate(challenge, ACTION_UNLOCK, bytes(16))
    with pytest.raises(BadMac):
        door.receive_auth(bare, 1000, ROOT)


@given(st.binary(max_size=200))
def test_decoders_return_or_raise_a_protocol_error(raw):
    door, _ = _door()
    for decode in (
        decode_token,
        split_caveats,
        lambda b: door.receive_auth(b, 1000, ROOT),
        lambda b: PhoneSide(TOKEN, [], KEY).authenticate(b, ACTION_UNLOCK, bytes(16)),
        _proved().receive_result,
    ):
        try:
            decode(raw)
        except ProtocolError as error:
            assert error.reason
