"""TLS contexts that trust a CA *and* a set of public keys: the pin is checked inside the handshake.

A pin is the lower-case hex SHA-256 of the peer's SubjectPublicKeyInfo (RFC 7469, §2.4). The contexts work wherever an
`ssl.SSLContext` does: paho, aiomqtt, httpx, websockets, asyncio.
"""

import hashlib
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

MIN_PINS = 2  # the current key and its backup: with one, a lost key would lock everybody out
Pathlike = str | os.PathLike[str]


class PinMismatch(ssl.SSLCertVerificationError):
    """The peer's certificate is valid, and its key is none of the pinned ones."""


def spki_sha256(cert_der: bytes) -> str:
    """Pin of a DER certificate."""
    key = x509.load_der_x509_certificate(cert_der).public_key()
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def pin_set(pins: Iterable[str]) -> frozenset[str]:
    """Check pins: at least two, each 64 lower-case hex digits. Raises ValueError."""
    checked = frozenset(pins)
    for pin in checked:
        if len(pin) != 64 or pin.strip("0123456789abcdef"):
            raise ValueError(f"not a pin (SHA-256 of the SubjectPublicKeyInfo, in hex): {pin!r}")
    if len(checked) < MIN_PINS:
        raise ValueError("a pin set has at least two pins: of the current key and of its backup")
    return checked


def _check(peer: bytes | None, pins: frozenset[str]) -> None:
    found = spki_sha256(peer) if peer else "no certificate"
    if found not in pins:
        raise PinMismatch(f"the peer's public key is not pinned: {found}")


def _socket_classes(pins: frozenset[str]) -> tuple[type[ssl.SSLSocket], type[ssl.SSLObject]]:
    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _check(self.getpeercert(binary_form=True), pins)

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _check(self.getpeercert(binary_form=True), pins)

    return PinnedSocket, PinnedObject


def _pin(context: ssl.SSLContext, pins: Iterable[str]) -> ssl.SSLContext:
    classes: tuple[Any, Any] = _socket_classes(pin_set(pins))
    context.sslsocket_class, context.sslobject_class = classes
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def client_context(
    ca: str | Path, certificate: Pathlike | None = None, key: Pathlike | None = None, pins: Iterable[str] = ()
) -> ssl.SSLContext:
    """A client that trusts servers of the CA with a pinned key. `ca` is PEM text, or a Path of a PEM file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca.read_text() if isinstance(ca, Path) else ca)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return _pin(context, pins)


def server_context(
    ca: str | Path, certificate: Pathlike, key: Pathlike, pins: Iterable[str]
) -> ssl.SSLContext:
    """A server that lets in clients of the CA with a pinned key, and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(cadata=ca.read_text() if isinstance(ca, Path) else ca)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return _pin(context, pins)
