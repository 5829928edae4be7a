"""Enrolment: this gateway makes its own keys, the cloud certifies them. No private key leaves the folder."""

import hashlib
import json
import ssl
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ValidationError

from gateway.registry import Registry
from gateway.settings import CloudBroker, Folder, Settings, write_secret
from protocol.host import cloud_messages, pki

ANSWER_DEADLINE_S = 20.0


class EnrolmentError(Exception):
    """The cloud did not enrol us, or its answer is not one that we can trust."""


class Enrolled(BaseModel):
    """The answer of POST /v1/gateways."""

    gateway_id: str
    site_id: str
    shard: int
    ca: str
    client_certificate: str
    broker_certificate: str
    cloud_broker: CloudBroker
    registry: cloud_messages.Registry


def enrol(
    folder: Folder,
    *,
    url: str,
    token: str,
    site_id: str,
    host: str,
    port: int,
    ca: str,
    context: ssl.SSLContext,
) -> Settings:
    """Enrol the gateway of a site and fill its folder. `context` has the cloud's pins. Raises EnrolmentError.

    May be repeated after a failure: it uses the same keys again, and the cloud knows the request.
    """
    if folder.settings.exists():
        raise EnrolmentError(f"{folder.directory} is already an enrolled gateway")
    folder.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    client, broker, backup = map(_key, (folder.client_key, folder.broker_key, folder.backup_broker_key))
    place = {"site_id": site_id, "host": host, "port": port}
    request = _request(folder, place, client, broker, _pin(backup))
    enrolled = _ask(url, token, request, context)
    _check(enrolled, site_id, ca, client, broker)
    write_secret(folder.ca, ca.encode())
    write_secret(folder.client_certificate, enrolled.client_certificate.encode())
    write_secret(folder.broker_certificate, enrolled.broker_certificate.encode())
    registry = Registry(folder.registry)
    registry.replace(enrolled.registry)
    registry.save(registry.snapshot())
    settings = Settings(
        gateway_id=enrolled.gateway_id,
        site_id=enrolled.site_id,
        shard=enrolled.shard,
        host=host,
        port=port,
        broker_pins=[_pin(broker), _pin(backup)],
        cloud_broker=enrolled.cloud_broker,
    )
    folder.save(settings)
    return settings


def _request(
    folder: Folder,
    place: dict[str, Any],
    client: ec.EllipticCurvePrivateKey,
    broker: ec.EllipticCurvePrivateKey,
    backup_pin: str,
) -> dict[str, Any]:
    """The request for this place: the same as in an earlier attempt, or a new one.

    Kept, because an ECDSA signature is never twice the same, and the cloud knows a repetition by its body.
    """
    if folder.request.exists():
        earlier: dict[str, Any] = json.loads(folder.request.read_bytes())
        if place.items() <= earlier.items():
            return earlier
    request = {
        **place,
        "client_csr": _csr(client),
        "broker_csr": _csr(broker),
        "backup_broker_pin": backup_pin,
    }
    write_secret(folder.request, json.dumps(request).encode())
    return request


def _ask(url: str, token: str, request: dict[str, Any], context: ssl.SSLContext) -> Enrolled:
    # The request's own digest: a repetition after a lost answer gets that answer, not a second gateway.
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": digest}
    try:
        with httpx.Client(verify=context, timeout=ANSWER_DEADLINE_S, trust_env=False) as client:
            answer = client.post(f"{url.rstrip('/')}/v1/gateways", json=request, headers=headers)
    except (httpx.HTTPError, OSError) as error:
        raise EnrolmentError(f"the cloud cannot be reached at {url}: {error}") from error
    if answer.status_code != 201:
        raise EnrolmentError(f"the cloud refused ({answer.status_code}): {answer.text[:500]}")
    try:
        return Enrolled.model_validate_json(answer.content)
    except ValidationError as error:
        raise EnrolmentError(f"the cloud's answer is not understood: {error}") from None


def _check(
    enrolled: Enrolled,
    site_id: str,
    ca: str,
    client: ec.EllipticCurvePrivateKey,
    broker: ec.EllipticCurvePrivateKey,
) -> None:
    """The certificates are for our keys, and the fleet CA is the one that the operator gave us."""
    try:
        given = x509.load_pem_x509_certificate(ca.encode())
        if x509.load_pem_x509_certificate(enrolled.ca.encode()) != given:
            raise EnrolmentError("the cloud names another fleet CA than the one given")
        for text, key in ((enrolled.client_certificate, client), (enrolled.broker_certificate, broker)):
            certificate = x509.load_pem_x509_certificate(text.encode())
            certificate.verify_directly_issued_by(given)
            if certificate.public_key() != key.public_key():
                raise EnrolmentError("the cloud certified another key than ours")
    except (ValueError, TypeError) as error:
        raise EnrolmentError(f"the cloud sent a certificate that is none: {error}") from error
    if enrolled.site_id != site_id:
        raise EnrolmentError("the cloud enrolled us for another site")


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in the file, made at the first time."""
    if not path.exists():
        write_secret(path, pki.key_pem(pki.new_key()))
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise EnrolmentError(f"{path} is not an elliptic curve key")
    return key


def _csr(key: ec.EllipticCurvePrivateKey) -> str:
    # The cloud chooses the name: an id that it draws.
    return pki.make_csr(key, "gateway").public_bytes(serialization.Encoding.PEM).decode()


def _pin(key: ec.EllipticCurvePrivateKey) -> str:
    spki = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(spki).hexdigest()
