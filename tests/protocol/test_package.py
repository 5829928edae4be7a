"""Signatures and manifests, against another implementation and against anything at all."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import carry
from protocol.errors import ProtocolError
from protocol.host.carry import Cargo, decode_want
from protocol.manifest import HEAD_SIZE, MANIFEST_SIZE, Manifest, open_manifest
from protocol.rsa import SIGNATURE_SIZE, verify
from protocol.transfer import MAX_CHUNK, SUM_SIZE, Offer, open_offer, split_chunk

KEY = rsa.generate_private_key(65537, 3072)
MODULUS = KEY.public_key().public_numbers().n.to_bytes(SIGNATURE_SIZE, "big")


def signed(data: bytes) -> bytes:
    return KEY.sign(data, padding.PKCS1v15(), hashes.SHA256())


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 8 * SIGNATURE_SIZE - 1))
def test_what_cryptography_signs_is_taken_and_no_other_bits(data, bit):
    digest, signature = hashlib.sha256(data).digest(), bytearray(signed(data))
    verify(MODULUS, digest, signature)
    signature[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ProtocolError):
        verify(MODULUS, digest, signature)


@pytest.mark.parametrize(
    ("scheme", "hash"),
    [
        (padding.PKCS1v15(), hashes.SHA384()),
        (padding.PKCS1v15(), hashes.SHA1()),
        (padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    ],
)
def test_another_scheme_of_the_same_key_is_refused(scheme, hash):
    with pytest.raises(ProtocolError):
        verify(MODULUS, hashlib.sha256(b"x").digest(), KEY.sign(b"x", scheme, hash))


NUMBERS = st.integers(1, 0xFFFFFFFF)


@settings(max_examples=25, deadline=None)
@given(
    st.from_regex("[a-z-]{1,16}", fullmatch=True),
    NUMBERS,
    NUMBERS,
    st.integers(2, 7200),
    st.binary(min_size=1),
)
def test_a_manifest_is_read_as_it_was_written(product, version, floor, trial_s, image):
    floor = min(floor, version)
    raw = Manifest(product, version, floor, trial_s, len(image), hashlib.sha256(image).digest()).encode()
    found = open_manifest(MODULUS, raw + signed(raw))
    assert found.encode() == raw
    assert (found.product, found.version, found.floor, found.trial_s) == (product, version, floor, trial_s)


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=MANIFEST_SIZE, max_size=MANIFEST_SIZE) | st.binary(max_size=HEAD_SIZE + 2))
def test_even_a_signed_head_of_anything_is_a_value_or_a_protocol_error(raw):
    try:
        assert open_manifest(MODULUS, raw + signed(raw)).encode() == raw
    except ProtocolError as error:
        assert error.reason


@given(st.binary(max_size=64) | st.binary(min_size=MAX_CHUNK, max_size=MAX_CHUNK + 20))
def test_a_chunk_of_anything_is_a_value_or_a_protocol_error(raw):
    try:
        id, offset, data = split_chunk(raw)
        assert id + offset.to_bytes(4, "big") + bytes(data) == raw
    except ProtocolError as error:
        assert error.reason == "chunk_size"


@given(st.lists(st.binary(max_size=240), max_size=4), st.binary(min_size=1, max_size=600), st.integers(0, 2))
def test_pieces_of_anything_give_a_chunk_of_the_offer_or_a_protocol_error(junk, file, good):
    sums = hashlib.sha256(file).digest()[:SUM_SIZE]
    load = carry.Load(Offer("revocations", 1, len(file), hashlib.sha256(file).digest(), sums))
    load.begin(0)
    pieces = list(Cargo("door_" + "0" * 16, 1, b"", file).pieces(0))
    try:
        for piece in [*pieces[:good], *(b"\x15" + one for one in junk)]:
            chunk = load.push(piece)
            assert chunk is None or bytes(chunk[12:]) == file
    except ProtocolError as error:
        assert error.reason in ("piece", "piece_sum")


@given(st.binary(max_size=8))
def test_an_answer_of_anything_is_a_want_or_a_protocol_error(raw):
    try:
        assert carry.want(*decode_want(raw)) == raw
    except ProtocolError as error:
        assert error.reason == "want"


@given(st.binary(max_size=600) | st.text(max_size=300).map(str.encode))
def test_an_offer_of_anything_is_a_protocol_error(raw):
    with pytest.raises(ProtocolError):
        open_offer(bytes(32), "dev_" + "1" * 16, raw)
