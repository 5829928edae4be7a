"""The SPKI walk returns what cryptography returns, or Malformed; never anything else."""

import datetime
import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import Malformed
from protocol.x509_spki import MAX_CERTIFICATE, spki_of, spki_pin

_START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_KEYS = [
    ec.generate_private_key(ec.SECP256R1()),
    ec.generate_private_key(ec.SECP384R1()),
    rsa.generate_private_key(65537, 2048),
    ed25519.Ed25519PrivateKey.generate(),
]
_CA = ec.generate_private_key(ec.SECP256R1())


def _certificate(key, subject="door", issuer="Fleet CA", serial=1, names=()):
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(_START)
        .not_valid_after(_START + datetime.timedelta(days=9000))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
    return builder.sign(_CA, hashes.SHA256()).public_bytes(Encoding.DER)


def _expected(der):
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_SAMPLE = _certificate(_KEYS[0], names=["localhost"])


@settings(max_examples=60, deadline=None)
@given(
    key=st.sampled_from(_KEYS),
    subject=st.text(min_size=1, max_size=30),
    issuer=st.text(min_size=1, max_size=60),
    serial=st.integers(1, 2**158),
    names=st.integers(0, 40),
)
def test_spki_equals_cryptography(key, subject, issuer, serial, names):
    der = _certificate(key, subject, issuer, serial, [f"name-{n}.example.org" for n in range(names)])
    assert spki_of(der) == _expected(der)
    assert spki_of(memoryview(der)) == _expected(der)
    assert spki_pin(der) == hashlib.sha256(_expected(der)).hexdigest()


@given(st.binary(max_size=400))
def test_random_bytes_are_malformed(raw):
    with pytest.raises(Malformed):
        spki_of(raw)


@given(st.integers(0, len(_SAMPLE) - 1), st.integers(0, 255))
def test_one_changed_byte_gives_a_slice_or_malformed(position, value):
    raw = bytearray(_SAMPLE)
    raw[position] = value
    try:
        spki = spki_of(raw)
    except Malformed:
        return
    assert spki[0] == 0x30
    assert spki in bytes(raw)


def test_every_truncation_is_malformed():
    for size in range(len(_SAMPLE)):
        with pytest.raises(Malformed):
            spki_of(_SAMPLE[:size])


def test_trailing_data_is_malformed():
    with pytest.raises(Malformed):
        spki_of(_SAMPLE + b"\x00")


def test_indefinite_and_padded_lengths_are_malformed():
    for raw in (
        b"\x30\x80\x00\x00",
        b"\x30\x81\x02\x30\x00",
        b"\x30\x82\x00\x02\x30\x00",
        b"\x30\x83\x00\x00\x02\x30\x00",
    ):
        with pytest.raises(Malformed) as caught:
            spki_of(raw)
        assert caught.value.reason == "der_length"


def test_a_certificate_over_the_limit_is_refused_before_the_walk():
    with pytest.raises(Malformed) as caught:
        spki_of(b"\x30\x82" + bytes(MAX_CERTIFICATE))
    assert caught.value.reason == "der_size"
