"""What a station would send to the board that is fuzzed: the same bytes at each run, for they are inputs too."""

import datetime
import json
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from protocol.host.pins import spki_sha256
from tests.device.site import Site
from tests.protocol.host.fleet import Identity

SCALAR = int.from_bytes(bytes(range(1, 33)), "big")
BEGIN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def bundle(folder: Path) -> str:
    """For a broker that is not there; one certificate is everybody's. JSON."""
    site = Site(folder)
    site.port = 1
    site.k_dev = bytes(range(32))
    site.device = site.server = _identity(folder)
    site.fleet.ca = site.device.certificate
    return json.dumps(site.bundle(time=int(BEGIN.timestamp() * 1000)))


def _identity(folder: Path) -> Identity:
    key = ec.derive_private_key(SCALAR, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fuzzed")])
    certificate = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .subject_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + datetime.timedelta(days=3650))
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    identity = Identity(
        "fuzzed",
        folder / "fuzzed.crt",
        folder / "fuzzed.key",
        spki_sha256(certificate.public_bytes(serialization.Encoding.DER)),
    )
    identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    identity.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return identity
