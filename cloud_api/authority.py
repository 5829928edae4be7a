"""The fleet's certificate authority and our own server identities.

Every certificate is P-256 (what Mbed TLS on a board verifies quickly), and every server of ours has a spare:
a second key, made at `init`, whose pin is given out from the first day and whose private key can then replace
the current one without an outage.
"""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cloud_api.secrets import write_private
from cloud_api.settings import Folder
from protocol.host import pki
from protocol.host.pins import spki_sha256

LOCALHOST = "localhost"
CLOUD_NAME = "cloud"  # common name, and client id at our broker


class BadRequestError(Exception):
    """A certificate request that we will not sign; `field` is where it came from."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


@dataclass(frozen=True)
class Signed:
    """A certificate for a key that its owner keeps."""

    pem: str
    pin: str


@dataclass(frozen=True)
class NewIdentity:
    """A certificate and its keys, all DER; `ends` is the certificate's end in unix seconds."""

    certificate: bytes
    private_key: bytes
    pin: str
    spki: bytes
    ends: int


@dataclass(frozen=True)
class KeyPair:
    """Files of one of our own identities."""

    certificate: Path
    key: Path

    @property
    def pin(self) -> str:
        """SPKI SHA-256."""
        return spki_sha256(x509.load_pem_x509_certificate(self.certificate.read_bytes()).public_bytes(_DER))


_DER = serialization.Encoding.DER
_PEM = serialization.Encoding.PEM


def server_name(host: str) -> str:
    """The name to ask for at `host`: a TLS client cannot ask for an address, and ours always also hold
    `localhost`.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return LOCALHOST


def _server_names(host: str) -> list[str]:
    return list(dict.fromkeys([LOCALHOST, "127.0.0.1", "::1", host]))


class Authority:
    """Signs devices, gateways and our own servers."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._certificate = x509.load_pem_x509_certificate(folder.ca.read_bytes())
        key = serialization.load_pem_private_key(folder.ca_key.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self.ca_pem = folder.ca.read_text()
        self.ca_der = self._certificate.public_bytes(_DER)
        self.https = current_pair(folder.https)
        self.broker = current_pair(folder.broker)
        self.client = current_pair(folder.client)
        self.https_pins = [self.https.pin, _pair(folder.https, "backup").pin]
        self.broker_pins = [self.broker.pin, _pair(folder.broker, "backup").pin]
        self.client_pin = self.client.pin

    def new_client(self, common_name: str) -> NewIdentity:
        """A key pair and client certificate, for a board that cannot make its own."""
        key = pki.new_key()
        spki = key.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        certificate, ends = self.renew_client(spki, common_name)
        private = key.private_bytes(_DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return NewIdentity(certificate, private, spki_sha256(certificate), spki, ends)

    def renew_client(self, spki: bytes, common_name: str) -> tuple[bytes, int]:
        """A new client certificate (DER) for a key that we know, and its end in unix seconds."""
        key = serialization.load_der_public_key(spki)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        issued = pki.issue(self._certificate, self._key, key, common_name)
        return issued.public_bytes(_DER), int(issued.not_valid_after_utc.timestamp())

    def sign_client(self, request_pem: str, common_name: str) -> Signed:
        """A client certificate for a request; the name is ours to give, whatever it asks for."""
        return self._sign("client_csr", request_pem, common_name, [])

    def sign_server(self, request_pem: str, host: str) -> Signed:
        """A server certificate for a request."""
        return self._sign("broker_csr", request_pem, server_name(host), _server_names(host))

    def _sign(self, field: str, request_pem: str, name: str, servers: list[str]) -> Signed:
        key = _requested_key(field, request_pem)
        certificate = pki.issue(self._certificate, self._key, key, name, server_names=servers)
        return Signed(certificate.public_bytes(_PEM).decode(), spki_sha256(certificate.public_bytes(_DER)))


def _requested_key(field: str, request_pem: str) -> ec.EllipticCurvePublicKey:
    try:
        request = x509.load_pem_x509_csr(request_pem.encode())
        proven = request.is_signature_valid
        key = request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise BadRequestError(field, "is not a PKCS #10 request in PEM") from None
    if not proven:
        raise BadRequestError(field, "is not signed by its own key")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadRequestError(field, "must be for a P-256 key")
    return key


def _pair(directory: Path, name: str) -> KeyPair:
    return KeyPair(directory / f"{name}.pem", directory / f"{name}.key")


def current_pair(directory: Path) -> KeyPair:
    """The identity in use."""
    return _pair(directory, "current")


def create_authority(folder: Folder, host: str) -> None:
    """Make the CA, and our own identities with their spares. The folder must not hold any yet."""
    key = pki.new_key()
    write_private(folder.ca_key, pki.key_pem(key))
    certificate = pki.make_ca(key)
    folder.ca.write_bytes(certificate.public_bytes(_PEM))
    for directory, name, servers in (
        (folder.https, server_name(host), _server_names(host)),
        (folder.broker, server_name(host), _server_names(host)),
        (folder.client, CLOUD_NAME, []),
    ):
        directory.mkdir(mode=0o700)
        for which in ("current", "backup"):
            pair, own = _pair(directory, which), pki.new_key()
            write_private(pair.key, pki.key_pem(own))
            signed = pki.issue(certificate, key, own.public_key(), name, server_names=servers)
            pair.certificate.write_bytes(signed.public_bytes(_PEM))
