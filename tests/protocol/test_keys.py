"""HMAC, HKDF and the key tree: equal to the standard library and to cryptography on any input."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from protocol import keys
from protocol.errors import LocalError

K_DEV = bytes(range(32))


@given(st.binary(max_size=200), st.lists(st.binary(max_size=50), max_size=4))
def test_hmac_equals_the_standard_library(key, parts):
    assert keys.hmac_sha256(key, *parts) == hmac.new(key, b"".join(parts), hashlib.sha256).digest()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 63, 64, 65, 200])
def test_hmac_keeps_leading_and_trailing_zeros_of_a_key(size):
    for key in (bytes(size), bytes(size) + b"\1", b"\1" + bytes(size)):
        for buffer in (bytes, bytearray, memoryview):
            expected = hmac.digest(key, b"message", "sha256")
            assert keys.hmac_sha256(buffer(key), buffer(b"message")) == expected


@given(st.binary(max_size=64), st.binary(max_size=64), st.binary(max_size=32), st.integers(1, 200))
def test_hkdf_equals_cryptography(ikm, salt, info, length):
    expected = HKDF(hashes.SHA256(), length, salt, info).derive(ikm)
    assert keys.hkdf_sha256(ikm, salt, info, length) == expected


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_hkdf_refuses_a_length_that_rfc_5869_does_not_have(length):
    with pytest.raises(LocalError):
        keys.hkdf_sha256(b"", b"", b"", length)


def test_no_two_keys_of_the_tree_are_equal():
    root = keys.credential_root(K_DEV)
    tree = [root, *(keys.epoch_key(root, epoch) for epoch in range(256))]
    tree += [derive(K_DEV) for derive in (keys.command_key, keys.time_key, keys.config_key, keys.journal_key)]
    tree += [derive(K_DEV) for derive in (keys.table_key, keys.lookup_key, keys.osdp_key)]
    assert len(set(tree)) == len(tree) == 264
    assert len({key[:16] for key in tree}) == len(tree)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_constant_equal_is_equality(a, b):
    assert keys.constant_equal(a, b) == (a == b)
    assert keys.constant_equal(a, bytearray(a))


@pytest.mark.parametrize("epoch", [-1, 256])
def test_an_epoch_is_one_byte(epoch):
    with pytest.raises(LocalError):
        keys.epoch_key(K_DEV, epoch)


def test_a_root_key_has_32_bytes():
    with pytest.raises(LocalError):
        keys.command_key(bytes(31))
