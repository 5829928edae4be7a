"""The handshake: what opens, and every way of cheating that we know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.credential import (
    CAVEAT_ACTIONS,
    CAVEAT_NOT_AFTER,
    Token,
    attenuate,
    caveat,
    decode_token,
    mint,
    split_caveats,
)
from protocol.errors import BadMac, Expired, ProtocolError, Replayed, WrongDevice
from protocol.handshake import ACTION_LOCK, ACTION_UNLOCK, NONCE_LIFE_MS, DoorSide, PhoneSide
from protocol.keys import credential_root, epoch_key

ROOT = credential_root(bytes(range(32)))
DOOR = bytes(range(8))
TOKEN = Token(1, b"subjseri", not_after=2_000_000_000).encode()
KEY = mint(epoch_key(ROOT, 1), TOKEN)


def _door() -> tuple[DoorSide, bytes]:
    door = DoorSide(DOOR, boot=3)
    return door, door.challenge(bytes(16), 1000, (1_700_000_000, 2), 9)


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


def test_caveats_come_apart_as_they_went_together():
    items = [caveat(CAVEAT_NOT_AFTER, bytes(4)), caveat(CAVEAT_ACTIONS, b"\x02")]
    assert split_caveats(b"".join(items)) == items


@given(st.binary(max_size=200))
def test_decoders_return_or_raise_a_protocol_error(raw):
    door, _ = _door()
    for decode in (
        decode_token,
        split_caveats,
        lambda b: door.receive_auth(b, 1000, ROOT),
        lambda b: PhoneSide(TOKEN, [], KEY).authenticate(b, ACTION_UNLOCK, bytes(16)),
    ):
        try:
            decode(raw)
        except ProtocolError as error:
            assert error.reason
