"""A throw-away fleet: a CA, and certificates it signed, as files."""

import datetime
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from protocol.host.pins import spki_sha256


@dataclass(frozen=True)
class Identity:
    name: str
    certificate: Path
    key: Path
    pin: str


class Fleet:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Fleet CA {directory.name}")])
        ca = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(True, 0), True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = directory / "ca.pem"
        self.ca.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
        self._count = 0

    def issue(self, name: str, *, server: bool = False, seconds: int = 30 * 86400) -> Identity:
        """A new key and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self.certify(key.public_key(), name, server=server, seconds=seconds)
        self._count += 1
        stem = self.directory / f"{self._count}"
        pin = spki_sha256(certificate.public_bytes(serialization.Encoding.DER))
        identity = Identity(name, stem.with_suffix(".crt"), stem.with_suffix(".key"), pin)
        identity.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        identity.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return identity

    def certify(
        self, key: ec.EllipticCurvePublicKey, name: str, *, server: bool = False, seconds: int = 30 * 86400
    ) -> x509.Certificate:
        """A certificate for somebody's public key."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        names = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        return (
            self._builder(subject, key, seconds)
            .add_extension(x509.ExtendedKeyUsage([usage]), False)
            .add_extension(x509.SubjectAlternativeName(names), False)
            .sign(self._key, hashes.SHA256())
        )

    def context(self, identity: Identity | None) -> ssl.SSLContext:
        """A client's context; without an identity, one that offers no certificate."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if identity is not None:
            context.load_cert_chain(identity.certificate, identity.key)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, seconds: int = 30 * 86400
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .issuer_name(self._name)
            .subject_name(subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=60))
            .not_valid_after(now + datetime.timedelta(seconds=seconds))
        )
