"""Keys and certificates of a throw-away fleet, as the files that TLS contexts are made from."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from protocol.host.pins import client_context, spki_sha256
from protocol.host.pki import issue, key_pem, make_ca, new_key

NO_BACKUP = "0" * 64  # a pin set has two; this broker lives for one run


@dataclass(frozen=True)
class Identity:
    """A certificate, its key and its pin."""

    certificate: Path
    key: Path
    pin: str


class Identities:
    """A CA and what it signs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / "ca.pem"
        self._folder = folder
        self._ca_key = new_key()
        self._ca = make_ca(self._ca_key)
        self.ca.write_bytes(self._ca.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *server_names: str) -> Identity:
        """A client's certificate, or a server's if it has names."""
        key = new_key()
        certificate = issue(self._ca, self._ca_key, key.public_key(), name, server_names=server_names)
        paths = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(key_pem(key))
        return Identity(*paths, spki_sha256(certificate.public_bytes(serialization.Encoding.DER)))


def context(ca: Path, client: Identity | tuple[Path, Path], server_pin: str) -> ssl.SSLContext:
    """As the product connects: mutual, pinned."""
    certificate, key = client if isinstance(client, tuple) else (client.certificate, client.key)
    return client_context(ca, certificate, key, [server_pin, NO_BACKUP])
