"""Provisioning and enrolment: secrets are given once, and stored by nobody who could read them."""

import base64
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cloud_api.secrets import SecretError, Vault, read_kek, write_private
from protocol.envelope import LABEL_CONFIG, open_sealed
from protocol.host import pki
from protocol.host.cloud_messages import MAX_DEVICES
from protocol.host.pins import spki_sha256
from protocol.keys import command_key, config_key, credential_root, journal_key, time_key
from tests.cloud_api.conftest import open_device
from tests.cloud_api.test_problems import problem
from tests.cloud_api.world import CloudProcess, Gateway, made, new_door, new_site

PEM = serialization.Encoding.PEM


async def test_a_bundle_holds_a_certificate_of_our_ca_for_its_own_key(
    cloud: CloudProcess, api: httpx.AsyncClient, gateway: Gateway
) -> None:
    device = await open_device(api, gateway)
    bundle = device.bundle
    certificate = x509.load_der_x509_certificate(base64.b64decode(bundle["certificate"]))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(cloud.ca.encode()))
    assert certificate.subject.rfc4514_string() == f"CN={device.id}"
    key = serialization.load_der_private_key(base64.b64decode(bundle["private_key"]), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == certificate.public_key()
    assert len(base64.b64decode(bundle["k_dev"])) == 32
    assert bundle["broker"]["pins"] == [
        spki_sha256(ssl_der(gateway.enrolment["broker_certificate"])),
        "ab" * 32,
    ]
    config = open_sealed(config_key(base64.b64decode(bundle["k_dev"])), LABEL_CONFIG, bundle["config"])
    assert (config["dev"], config["ver"], config["rev"]) == (
        device.id,
        1,
        {"seq": 0, "creds": [], "gens": {}},
    )
    pushed = await gateway.receive("registry")
    pins = [spki_sha256(base64.b64decode(bundle["certificate"]))]
    assert pushed["devices"] == [{"id": device.id, "pins": pins, "status": "active"}]


def ssl_der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)


async def test_no_key_of_a_device_is_in_the_database_in_clear(
    cloud: CloudProcess, api: httpx.AsyncClient, gateway: Gateway
) -> None:
    door = await new_door(api, gateway.site_id)
    headers = {"Idempotency-Key": "provision"}
    bundle = await made(await api.post("/v1/devices", json={"door_id": door["id"]}, headers=headers))
    k_dev = base64.b64decode(bundle["k_dev"])
    secrets = [k_dev, base64.b64decode(bundle["private_key"])]
    secrets += [f(k_dev) for f in (command_key, config_key, time_key, journal_key, credential_root)]
    stored = b"".join(path.read_bytes() for path in cloud.root.glob("cloud.db*"))
    for secret in secrets:
        for form in (secret, secret.hex().encode(), base64.b64encode(secret)):
            assert form not in stored


async def test_a_bundle_is_given_once(api: httpx.AsyncClient, gateway: Gateway) -> None:
    door = await new_door(api, gateway.site_id)
    body, headers = {"door_id": door["id"]}, {"Idempotency-Key": "provision"}
    first = await api.post("/v1/devices", json=body, headers=headers)
    bundle = await made(first)
    again = await api.post("/v1/devices", json=body, headers=headers)
    problem(again, 409, "secret_given_once")
    assert again.headers["location"] == first.headers["location"] == f"/v1/devices/{bundle['device_id']}"
    problem(await api.post("/v1/devices", json=body), 409, "door_has_device")
    shown = await api.get(f"/v1/devices/{bundle['device_id']}")
    assert bundle["k_dev"] not in shown.text
    assert "k_dev" not in shown.json()


async def test_a_retired_device_makes_room_for_another(api: httpx.AsyncClient, gateway: Gateway) -> None:
    device = await open_device(api, gateway)
    await made(await api.post(f"/v1/devices/{device.id}/retire"), 200)
    again = await made(await api.post("/v1/devices", json={"door_id": device.door_id}))
    assert again["device_id"] != device.id
    assert again["k_dev"] != device.bundle["k_dev"]


async def test_a_site_without_a_gateway_cannot_get_a_device(api: httpx.AsyncClient) -> None:
    site = await new_site(api)
    door = await new_door(api, site["id"])
    problem(await api.post("/v1/devices", json={"door_id": door["id"]}), 409, "site_without_gateway")


def enrolment(site_id: str, **changes: Any) -> dict[str, Any]:
    csr = pki.make_csr(pki.new_key(), "x").public_bytes(PEM).decode()
    other = pki.make_csr(pki.new_key(), "x").public_bytes(PEM).decode()
    base = {"site_id": site_id, "host": "127.0.0.1", "port": 8883, "client_csr": csr, "broker_csr": other}
    return {**base, "backup_broker_pin": "ab" * 32, **changes}


def rsa_request() -> str:
    key = rsa.generate_private_key(65537, 2048)
    from cryptography.hazmat.primitives import hashes

    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(PEM).decode()


def unproven_request() -> str:
    """A request whose signature was made for something else."""
    request = pki.make_csr(pki.new_key(), "x")
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    body = base64.encodebytes(bytes(der)).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize("field", ["client_csr", "broker_csr"])
async def test_a_request_that_proves_nothing_is_not_signed(api: httpx.AsyncClient, field: str) -> None:
    site = await new_site(api)
    for bad in ("", "x", "-----BEGIN CERTIFICATE REQUEST-----\n", rsa_request(), unproven_request()):
        answer = await api.post("/v1/gateways", json=enrolment(site["id"], **{field: bad}))
        found = problem(answer, 422, "invalid_request")
        assert found["errors"][0]["pointer"] == f"/body/{field}"


async def test_two_pins_of_one_key_are_no_backup(api: httpx.AsyncClient) -> None:
    site = await new_site(api)
    key = pki.new_key()
    pki_der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    import hashlib

    csr = pki.make_csr(key, "x").public_bytes(PEM).decode()
    pin = hashlib.sha256(pki_der).hexdigest()
    answer = await api.post("/v1/gateways", json=enrolment(site["id"], broker_csr=csr, backup_broker_pin=pin))
    problem(answer, 422, "invalid_request")


async def test_a_site_has_one_gateway_at_a_time(api: httpx.AsyncClient) -> None:
    site = await new_site(api)
    first = await made(await api.post("/v1/gateways", json=enrolment(site["id"])))
    problem(await api.post("/v1/gateways", json=enrolment(site["id"])), 409, "site_has_gateway")
    await made(await api.post(f"/v1/gateways/{first['gateway_id']}/retire"), 200)
    await made(await api.post("/v1/gateways", json=enrolment(site["id"])))


async def test_the_name_in_a_request_is_ignored(api: httpx.AsyncClient) -> None:
    site = await new_site(api)
    csr = pki.make_csr(pki.new_key(), "cloud").public_bytes(PEM).decode()
    enrolled = await made(await api.post("/v1/gateways", json=enrolment(site["id"], client_csr=csr)))
    certificate = x509.load_pem_x509_certificate(enrolled["client_certificate"].encode())
    assert certificate.subject.rfc4514_string() == f"CN={enrolled['gateway_id']}"


def test_a_sealed_secret_opens_only_for_its_row_and_its_purpose() -> None:
    vault = Vault(b"k" * 32)
    sealed = vault.seal("k_dev", "dev_a", b"secret")
    assert vault.open("k_dev", "dev_a", sealed) == b"secret"
    for purpose, owner, blob in (
        ("k_dev", "dev_b", sealed),
        ("chain", "dev_a", sealed),
        ("k_dev", "dev_a", sealed[:-1]),
        ("k_dev", "dev_a", b"\x02" + sealed[1:]),
        ("k_dev", "dev_a", b""),
    ):
        with pytest.raises(SecretError):
            vault.open(purpose, owner, blob)
    with pytest.raises(SecretError):
        Vault(b"o" * 32).open("k_dev", "dev_a", sealed)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    write_private(path, b"k" * 32)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_kek(path) == b"k" * 32
    path.chmod(0o640)
    with pytest.raises(SecretError):
        read_kek(path)


async def test_a_site_takes_as_many_devices_as_its_gateway_can_hear_of(
    cloud: CloudProcess, api: httpx.AsyncClient, gateway: Gateway
) -> None:
    await open_device(api, gateway)
    add_retired(cloud, gateway.site_id, MAX_DEVICES - 2)
    last = await open_device(api, gateway)
    while len((pushed := await gateway.receive("registry"))["devices"]) < MAX_DEVICES:
        pass
    assert pushed["devices"][-1]["id"] == last.id
    door = await new_door(api, gateway.site_id)
    problem(await api.post("/v1/devices", json={"door_id": door["id"]}), 409, "site_full")
    assert (await last.ask_time(bytes(16)))["dev"] == last.id


def add_retired(cloud: CloudProcess, site_id: str, count: int) -> None:
    """Copies of a site's one device, as if they had been there before it."""
    with closing(sqlite3.connect(cloud.database, timeout=20)) as db, db:
        about = [row[1] for row in db.execute("PRAGMA table_info(devices)")]
        kept = ", ".join(sorted({*about} - {"ord", "id", "status"}))
        copy = f"INSERT INTO devices(id, status, {kept}) SELECT ?, 'retired', {kept} FROM devices"
        names = ((f"dev_{os.urandom(8).hex()}", site_id) for _ in range(count))
        db.executemany(f"{copy} WHERE site_id=? AND status='active'", names)
